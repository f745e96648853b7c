import { typed } from './errors.js';

/** The GPU form of a plan, as the compiler writes it. */
export interface GpuProgram {
  readonly modules: readonly { label: string; wgsl: string; features?: readonly string[] }[];
  /** Sizes in bytes of the storage buffers. */
  readonly slots: readonly number[];
  /** Indices of the symbols that are written to the uniform buffer. */
  readonly uniforms: readonly number[];
  readonly inputs: readonly Transfer[];
  readonly outputs: readonly Transfer[];
  /** What is copied after the dispatches of a run, so that the next one reads it. */
  readonly states?: readonly { readonly from: Transfer; readonly to: Transfer }[];
  readonly dispatches: readonly Dispatch[];
  readonly features: readonly string[];
}

/** An input's or output's place. */
export interface Transfer {
  readonly slot: number;
  readonly offset: number;
  readonly bytes: number;
}

/** One dispatch. */
export interface Dispatch {
  readonly kernel: string;
  readonly module: number;
  readonly entry: string;
  readonly bindings: readonly Binding[];
  /** Whole numbers that the module reads as `params`. */
  readonly params?: readonly number[];
  readonly workgroups: readonly [number, number, number];
  /** Other ways to compute the same, the one that fits a GPU best by the kernel's shape first. */
  readonly variants?: readonly Pick<Dispatch, 'module' | 'params' | 'workgroups'>[];
}

/** What one binding is bound to. */
export type Binding = { read: number } | { write: number } | { weights: { offset: number; bytes: number } } | 'symbols' | 'params';

/** Bytes from one dispatch's parameters to the next one's: WebGPU's alignment of a uniform binding. */
export const PARAMS_STRIDE = 256;

/** Reads a program whose digest has been verified. */
export function parseProgram(text: string): GpuProgram {
  try {
    return JSON.parse(text) as GpuProgram;
  } catch (error) {
    throw typed(error, 'FORMAT', 'the GPU program is not JSON');
  }
}

/** A way to compute a dispatch: number 0 is what every device runs, others are its variants. Parameters are bound last, where there are any. */
export function wayOf(dispatch: Dispatch, number: number): Dispatch {
  const { kernel, entry } = dispatch;
  const { module, params, workgroups } = number ? dispatch.variants![number - 1]! : dispatch;
  const buffers = dispatch.bindings.filter((binding) => binding !== 'params');
  return params?.length ? { kernel, entry, module, params, workgroups, bindings: [...buffers, 'params'] } : { kernel, entry, module, workgroups, bindings: buffers };
}

/** The numbers of the ways whose modules need no more than the device `has`. */
export function waysOf({ modules }: GpuProgram, { variants = [] }: Dispatch, has: (feature: string) => boolean): number[] {
  return [0, ...variants.flatMap(({ module }, i) => ((modules[module]?.features ?? []).every(has) ? [i + 1] : []))];
}

/** Two dispatches whose bindings have the same kinds can share a layout. */
export function layoutKey(bindings: readonly Binding[]): string {
  return bindings.map((binding) => (typeof binding === 'string' ? 'uniform' : 'write' in binding ? 'write' : 'read')).join();
}
