import type { Left } from './engine.js';
import { MlpError } from './errors.js';
import { readImage, type ImageInput } from './image.js';
import { count, type DType, type Encoding, type Field, type PipelineManifest, type ValueType } from './manifest.js';
import { inferred, sized, Sizes, varies } from './sizes.js';
import { readSound, type SoundInput } from './sound.js';
import type { Encoder } from './text/encoder.js';
import type { GpuTensor } from './views.js';

/** A label and how sure the pipeline is of it. */
export interface Ranked<Label extends string = string> {
  readonly label: Label;
  /** The label's line in its file, from 0. */
  readonly index: number;
  readonly score: number;
}

/** A tensor whose sizes vary from run to run: its numbers, row by row, and its shape. */
export interface Shaped<Data = ArrayLike<number> | ArrayLike<bigint>> {
  readonly data: Data;
  readonly shape: readonly number[];
}

/** The arrays that carry tensors. 16-bit floats travel as their bits, truth values as bytes. */
const ARRAYS = {
  bool: Uint8Array,
  u8: Uint8Array,
  i8: Int8Array,
  u16: Uint16Array,
  i16: Int16Array,
  u32: Uint32Array,
  i32: Int32Array,
  u64: BigUint64Array,
  i64: BigInt64Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  f32: Float32Array,
  f64: Float64Array,
} satisfies Record<DType, unknown>;

/** The bytes of one run's inputs, in the order of the plan's ports, and its symbols. */
export interface Arguments {
  readonly inputs: readonly Uint8Array[];
  readonly symbols: readonly number[];
}

/** Gives what makes tokens of the texts of an encoding. */
export type Encoders = (encoding: Encoding) => Promise<Encoder>;

/** Turns a pipeline's input into bytes and symbols, and says which field is wrong where one is. */
export async function encode(pipeline: PipelineManifest, input: unknown, encoders: Encoders): Promise<Arguments> {
  if (typeof input !== 'object' || input === null) {
    throw new MlpError('INPUT', `${pipeline.name} takes { ${pipeline.inputs.map((field) => field.name).join(', ')} }, and got ${input === null ? 'null' : typeof input}`);
  }
  const ports = new Map<string, Uint8Array>();
  const sizes = new Sizes(pipeline);
  for (const { name, type } of pipeline.inputs) {
    const value: unknown = (input as Record<string, unknown>)[name];
    if (value === undefined || value === null) throw new MlpError('INPUT', `${pipeline.name} needs the input ${name}`);
    if (type.kind === 'tensor') {
      ports.set(type.port, tensor(name, type, value, sizes));
    } else if (type.kind === 'image') {
      const pixels = await readImage(value as ImageInput, name, type.max_height, type.max_width);
      ports.set(type.port, bytesOf(pixels.data));
      sizes.note(name, type.height, pixels.height);
      sizes.note(name, type.width, pixels.width);
    } else if (type.kind === 'sound') {
      ports.set(type.port, bytesOf(readSound(value as SoundInput, name, type.rate, type.samples)));
    } else if (type.kind === 'text') {
      if (typeof value !== 'string') throw new MlpError('INPUT', `${name} takes a string, and got ${typeof value}`);
    } else {
      throw new MlpError('FORMAT', `${pipeline.name} takes a ${type.kind}, which this runtime cannot write`);
    }
  }
  for (const encoding of pipeline.encodings ?? []) {
    const tokens = (await encoders(encoding))(encoding.texts.map((text) => (input as Record<string, string>)[text]!));
    for (const part of ['ids', 'mask', 'types'] as const) {
      const port = encoding[part];
      if (port !== undefined) ports.set(port, bytesOf(tokens[part]));
    }
  }
  return {
    inputs: pipeline.input_ports.map((port) => known(ports.get(port), port)),
    symbols: sizes.values(),
  };
}

type TensorType = Extract<ValueType, { kind: 'tensor' }>;

function tensor(name: string, { dtype, shape }: TensorType, input: unknown, sizes: Sizes): Uint8Array {
  const type = ARRAYS[dtype];
  const { data: value, shape: said }: Partial<Shaped> = varies(shape) && !Array.isArray(input) && !ArrayBuffer.isView(input) ? (input as Shaped) : { data: input as ArrayLike<number> };
  const given = value?.length ?? NaN;
  const taken = `${dtype}[${shape.join(', ')}]`;
  const found = said ?? inferred(shape, given);
  const length = count(found);
  if (given !== length || found.length !== shape.length) throw new MlpError('INPUT', `${name} takes ${length} numbers (${taken}), and got ${given}`);
  found.forEach((size, axis) => sizes.note(name, shape[axis]!, size));
  try {
    return bytesOf(value instanceof type ? value : (type as typeof Float32Array).from(value as ArrayLike<number>));
  } catch (error) {
    throw new MlpError('INPUT', `${name} takes a ${type.name} or what it can be made from`, { cause: error });
  }
}

/** The bytes of each output port in a run with these symbols, in the plan's order; the most that there are where none are given. */
export function outputBytes(pipeline: PipelineManifest, symbols?: readonly number[]): readonly number[] {
  const sizes = new Map<string, number>();
  for (const { type } of pipeline.outputs) {
    if (type.kind === 'tensor') {
      sizes.set(type.port, count(sized(pipeline, type.shape, symbols)) * ARRAYS[type.dtype].BYTES_PER_ELEMENT);
      if (type.rows) sizes.set(type.rows.port, 4);
    } else if (type.kind === 'label') sizes.set(type.port, 4);
    else if (type.kind === 'ranking') sizes.set(type.indices, 4 * type.count).set(type.scores, 4 * type.count);
    else throw new MlpError('FORMAT', `${pipeline.name} gives an ${type.kind}, which this runtime cannot read`);
  }
  return pipeline.output_ports.map((port) => known(sizes.get(port), port));
}

/** Names of the label files that the outputs need. */
export function labelFiles(pipeline: PipelineManifest): string[] {
  return [...new Set(pipeline.outputs.flatMap(({ type }) => ('labels' in type ? [type.labels] : [])))];
}

/** Names of the tokenizers that the inputs need. */
export function tokenizerFiles(pipeline: PipelineManifest): string[] {
  return [...new Set((pipeline.encodings ?? []).map(({ tokenizer }) => tokenizer))];
}

/** Makes a pipeline's answer from the bytes of its output ports in a run with these symbols. */
export function decode(
  pipeline: PipelineManifest,
  outputs: readonly Uint8Array<ArrayBuffer>[],
  labels: ReadonlyMap<string, readonly string[]>,
  symbols: readonly number[],
): unknown {
  const port = <T>(name: string, array: new (buffer: ArrayBuffer, offset: number, length: number) => T, size = 4): T => {
    const { buffer, byteOffset, length } = known(outputs[pipeline.output_ports.indexOf(name)], name);
    return new array(buffer, byteOffset, length / size);
  };
  const label = (file: string, index: number) => {
    const text = labels.get(file)?.[index];
    if (text === undefined) throw new MlpError('RUN', `${pipeline.name} answered with label ${index}, and ${file} has no such line`);
    return text;
  };
  const value = ({ type }: Field): unknown => {
    if (type.kind === 'tensor') {
      const data = port<ArrayBufferView>(type.port, ARRAYS[type.dtype], ARRAYS[type.dtype].BYTES_PER_ELEMENT);
      if (!type.rows && !varies(type.shape)) return data;
      const shape = sized(pipeline, type.shape, symbols);
      if (!type.rows) return { data, shape };
      const { axis } = type.rows;
      const found = [...shape];
      found[axis] = Math.min(port(type.rows.port, Int32Array)[0]!, shape[axis]!);
      // The first rows along the axis: so many elements of as many as there are in each block.
      const [whole, kept] = [count(shape.slice(axis)), count(found.slice(axis))];
      return { data: (data as Float32Array).filter((_, at) => at % whole < kept), shape: found };
    }
    if (type.kind === 'label') return label(type.labels, port(type.port, Int32Array)[0]!);
    // `outputBytes` refuses what is neither.
    const { labels: file, indices, scores: place } = type as Extract<ValueType, { kind: 'ranking' }>;
    const scores = port(place, Float32Array);
    return Array.from(port(indices, Int32Array), (index, rank): Ranked => ({ label: label(file, index), index, score: scores[rank]! }));
  };
  if (pipeline.record) return Object.fromEntries(pipeline.outputs.map((field) => [field.name, value(field)]));
  return value(known(pipeline.outputs[0], 'value'));
}

/** Typed arrays of the inputs that are tensors, where `at` says that a port lies; of those whose sizes vary, as long as they can be. */
export function inputViews(pipeline: PipelineManifest, at: (port: number, bytes: number) => Uint8Array<ArrayBuffer>): Record<string, ArrayBufferView> {
  const views: Record<string, ArrayBufferView> = {};
  for (const { name, type } of pipeline.inputs) {
    if (type.kind !== 'tensor') continue;
    const array = ARRAYS[type.dtype];
    const length = count(sized(pipeline, type.shape));
    const { buffer, byteOffset } = at(pipeline.input_ports.indexOf(type.port), length * array.BYTES_PER_ELEMENT);
    views[name] = new array(buffer, byteOffset, length);
  }
  return views;
}

/**
 * The outputs that are tensors, where they stayed on the GPU after a run with these symbols. Of those whose rows a run counts there are as many as there can be: how
 * many are the answer is on the GPU too, and those behind them are -1.
 */
export function gpuOutputs(pipeline: PipelineManifest, left: readonly Left[], symbols: readonly number[]): unknown {
  const sizes = outputBytes(pipeline, symbols);
  const tensors = pipeline.outputs.flatMap(({ name, type }): [string, GpuTensor][] => {
    if (type.kind !== 'tensor') return [];
    const port = pipeline.output_ports.indexOf(type.port);
    return [[name, { ...known(left[port], name), bytes: sizes[port]!, dtype: type.dtype, shape: sized(pipeline, type.shape, symbols) }]];
  });
  if (!tensors.length) throw new MlpError('INPUT', `${pipeline.name} gives no tensor that could stay on the GPU: use run`);
  return pipeline.record ? Object.fromEntries(tensors) : tensors[0]![1];
}

/** The lines of a label file. */
export function lines(text: string): readonly string[] {
  return text.replace(/\r?\n$/, '').split(/\r?\n/);
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function known<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new MlpError('FORMAT', `the bundle does not say what ${name} is`);
  return value;
}
