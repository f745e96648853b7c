import type { Arguments } from './values.js';

/** An output port that stayed on the GPU. */
export interface Left {
  readonly device: GPUDevice;
  readonly buffer: GPUBuffer;
  readonly offset: number;
}

/** Where a pipeline computes. */
export type Backend = 'webgpu' | 'wasm';

/** One loaded pipeline on one backend. Runs must not overlap. */
export interface Engine {
  readonly backend: Backend;
  /** What of the backend is used: `simd128`, `relaxed`, or the GPU's own description. */
  readonly variant: string;
  /** Threads that are there to compute, where there may be several. */
  threads?(): number;
  /**
   * Computes; `sizes` are the bytes of each output port, and the answer holds as many: in an array of its own each, or, as a view, where the backend has them until the
   * next run.
   */
  run(args: Arguments, sizes: readonly number[], outputs: 'copy' | 'view'): Promise<Uint8Array<ArrayBuffer>[]>;
  /** Where the bytes of an input port are read from. An input that lies there already is not copied. */
  input(port: number, bytes: number): Uint8Array<ArrayBuffer>;
  /** Computes and leaves the output ports where they are; only a GPU has this. */
  leave?(args: Arguments): Promise<readonly Left[]>;
  /** Sets what is kept from run to run back to zeros. */
  reset(): void;
  /** Measures which variants of its kernels the device runs fastest, and runs those from then on. */
  tune?(): Promise<void>;
  dispose(): void;
}
