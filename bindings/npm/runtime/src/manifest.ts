import { MlpError } from './errors.js';

/** The bundle format that this runtime reads. */
export const FORMAT_VERSION = 1;

/** The element types of tensors. */
export type DType = 'bool' | 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'u64' | 'i64' | 'f16' | 'bf16' | 'f32' | 'f64';

/** The size of a dimension: a number, or the name of a symbol of the pipeline, which a run's inputs decide. */
export type Size = number | string;

/** How much of a tensor a run gives: along the axis, as many rows as the output port, one `i32`, says; the shape has the most that there can be. */
export interface Rows {
  readonly axis: number;
  readonly port: string;
}

/** The type of a value, with the ports that carry it. */
export type ValueType =
  | { kind: 'tensor'; dtype: DType; shape: readonly Size[]; port: string; rows?: Rows }
  | { kind: 'image'; max_height: number; max_width: number; port: string; height: string; width: string }
  | { kind: 'sound'; rate: number; samples: number; port: string }
  | { kind: 'text' }
  | { kind: 'label'; labels: string; port: string }
  | { kind: 'ranking'; labels: string; count: number; indices: string; scores: string };

/** A named value of a pipeline's signature. */
export interface Field {
  readonly name: string;
  readonly type: ValueType;
}

/** How texts become tokens before a run. */
export interface Encoding {
  /** The inputs that are texts, one or two. */
  readonly texts: readonly string[];
  /** The file of the tokenizer. */
  readonly tokenizer: string;
  /** Whether the tokens are added that say where a text begins and ends. */
  readonly special: boolean;
  /** How many tokens a run takes. */
  readonly length: number;
  /** What becomes of longer texts, where anything does. */
  readonly truncate?: { readonly most: number; readonly side: 'left' | 'right' };
  /** The number that fills up. */
  readonly pad: number;
  readonly pad_side: 'left' | 'right';
  /** The ports of the tokens' numbers, of what is text, and of which text they belong to. */
  readonly ids?: string;
  readonly mask?: string;
  readonly types?: string;
}

/** A file's digest and size. */
export interface FileEntry {
  readonly sha256: string;
  readonly bytes: number;
  /** Digests of the pieces of a large file, which are compared while the rest arrives. */
  readonly pieces?: readonly string[];
  /** Another file that has the same bytes compressed. */
  readonly compressed?: Compressed;
}

/** A file that another one is compressed in: a zlib stream of blocks whose bytes are sorted by their place in a number of `lanes` bytes. */
export interface Compressed {
  readonly file: string;
  readonly lanes: number;
}

/** The WebAssembly modules of a pipeline. */
export interface WasmModules {
  readonly simd128: string;
  readonly relaxed: string;
  readonly memory_pages: number;
  readonly weights_offset: number;
  readonly arena_offset: number;
  readonly ports: Readonly<Record<string, number>>;
  /** What is moved within the arena after a run, so that the next one reads it; places are in bytes from the arena's start. */
  readonly states?: readonly { readonly name: string; readonly from: number; readonly to: number; readonly bytes: number }[];
  /** The modules for several threads, where those pay. */
  readonly threads?: WasmThreads;
}

/** The WebAssembly modules of a pipeline that several threads share, with everything at the same places in memory. */
export interface WasmThreads {
  readonly simd128: string;
  readonly relaxed: string;
  readonly memory_pages: number;
  /** Pages for each thread but the first. */
  readonly helper_pages: number;
}

/** An integer of each run. */
export interface SizeSymbol {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  /** How it is worked out of the symbols before it: `floor(sum(coefficient * product of factors) / divisor)`. */
  readonly formula?: { readonly terms: readonly { readonly coefficient: number; readonly factors: readonly number[] }[]; readonly divisor: number };
}

/** What of a pipeline's manifest a browser needs. */
export interface PipelineManifest {
  readonly name: string;
  readonly inputs: readonly Field[];
  readonly outputs: readonly Field[];
  readonly record: boolean;
  readonly encodings?: readonly Encoding[];
  readonly symbols?: readonly SizeSymbol[];
  readonly input_ports: readonly string[];
  readonly output_ports: readonly string[];
  readonly weights: string;
  readonly wasm: WasmModules;
  readonly gpu?: string;
}

/** One pipeline of a bundle and where its files are; the generated module makes it. */
export interface PipelineSource {
  readonly format: number;
  readonly pipeline: PipelineManifest;
  /** Digests and sizes by file name. */
  readonly files: Readonly<Record<string, FileEntry>>;
  /** Addresses by file name. A function, so that importing the module does nothing. */
  readonly urls: () => Readonly<Record<string, URL | string>>;
}

/** The `manifest.json` of a bundle, as far as a browser reads it. */
export interface Manifest {
  readonly format: number;
  readonly name: string;
  readonly pipelines: readonly PipelineManifest[];
  readonly files: Readonly<Record<string, FileEntry>>;
}

/** Refuses a bundle of another format before anything of it is looked at. */
export function checkFormat(format: unknown): void {
  if (format !== FORMAT_VERSION) {
    throw new MlpError('FORMAT', `this bundle has format ${String(format)} and @mlp/runtime reads format ${FORMAT_VERSION}: build it again with the mlpc of the same release`);
  }
}

/** The entry of `name`, which every file that is fetched must have. */
export function entryOf(source: PipelineSource, name: string): FileEntry {
  const entry = Object.hasOwn(source.files, name) ? source.files[name] : undefined;
  if (!entry) throw new MlpError('FORMAT', `the bundle names the file ${name} and has no entry for it`);
  return entry;
}

/** Elements of a tensor of that shape. */
export function count(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
