import type { Arguments } from './values.js';

/** Where a pipeline computes. */
export type Backend = 'webgpu' | 'wasm';

/** One loaded pipeline on one backend. Runs must not overlap. */
export interface Engine {
  readonly backend: Backend;
  /** What of the backend is used: `simd128`, `relaxed`, or the GPU's own description. */
  readonly variant: string;
  /** Computes; `sizes` are the bytes of each output port, and the answer holds as many, in an array of its own each. */
  run(args: Arguments, sizes: readonly number[]): Promise<Uint8Array<ArrayBuffer>[]>;
  dispose(): void;
}
