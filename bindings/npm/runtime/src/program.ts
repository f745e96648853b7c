import { typed } from './errors.js';

/** The GPU form of a plan, as the compiler writes it. */
export interface GpuProgram {
  readonly modules: readonly { label: string; wgsl: string }[];
  /** Sizes in bytes of the storage buffers. */
  readonly slots: readonly number[];
  /** Indices of the symbols that are written to the uniform buffer. */
  readonly uniforms: readonly number[];
  readonly inputs: readonly Transfer[];
  readonly outputs: readonly Transfer[];
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
  readonly workgroups: [number, number, number];
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

/** Two dispatches whose bindings have the same kinds can share a layout. */
export function layoutKey(bindings: readonly Binding[]): string {
  return bindings.map((binding) => (typeof binding === 'string' ? 'uniform' : 'write' in binding ? 'write' : 'read')).join();
}
