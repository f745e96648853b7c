import type { DType } from './manifest.js';
import type { Shaped } from './values.js';

/**
 * Arrays that lie where the pipeline reads its inputs, one for each input that is a tensor. What is written to them needs no copy: pass them on to `run`.
 * They are filled anew before every run, which uses their memory for other things.
 */
export type InputViews<Input> = {
  readonly [Name in keyof Input as Viewed<Input[Name]> extends never ? never : Name]: Viewed<Input[Name]>;
};

type Viewed<Value> = unknown extends Value ? ArrayBufferView : Extract<Value, ArrayBufferView>;

/** A tensor that stayed on the GPU. It is valid until the pipeline's next run. */
export interface GpuTensor {
  readonly device: GPUDevice;
  /** The buffer, which other values may share; it can be bound as storage and copied from. */
  readonly buffer: GPUBuffer;
  /** The tensor's first byte in it, a multiple of 4. */
  readonly offset: number;
  readonly bytes: number;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** The outputs of a pipeline that are tensors, on the GPU. */
export type GpuOutputs<Output> = Output extends ArrayBufferView | Shaped
  ? GpuTensor
  : unknown extends Output
    ? GpuTensor | Readonly<Record<string, GpuTensor>>
    : { readonly [Name in keyof Output as Output[Name] extends ArrayBufferView | Shaped ? Name : never]: GpuTensor };
