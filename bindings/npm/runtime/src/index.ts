/**
 * Runs pipelines that mlpc compiled, on WebGPU or WebAssembly. Importing this touches nothing of the page, so servers may import it too.
 *
 * @packageDocumentation
 */
export { openBundle, type Bundle } from './bundle.js';
export type { Progress } from './download.js';
export type { Backend } from './engine.js';
export { MlpError, type MlpErrorCode } from './errors.js';
export type { ImageInput, Pixels } from './image.js';
export type { SoundInput } from './sound.js';
export type { DType, Encoding, Field, FileEntry, Manifest, Compressed, PipelineManifest, PipelineSource, ValueType, WasmModules, WasmThreads } from './manifest.js';
export { definePipeline, type LoadOptions, type Pipeline, type Run, type RunOptions } from './pipeline.js';
export type { RunMeta } from './session.js';
export type { Ranked, Shaped } from './values.js';
export type { GpuOutputs, GpuTensor, InputViews } from './views.js';
