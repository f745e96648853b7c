import { FileCache } from './cache.js';
import { Downloads, type Progress } from './download.js';
import { abortable, MlpError, throwIfAborted, typed } from './errors.js';
import type { Backend, Engine } from './engine.js';
import { checkFormat, type Encoding, type PipelineManifest, type PipelineSource } from './manifest.js';
import type { Encoder } from './text/encoder.js';
import { decode, encode, gpuOutputs, inputViews, labelFiles, lines, outputBytes, tokenizerFiles, type Arguments } from './values.js';
import { chooseWasm, openWasm } from './wasm.js';
import { hasWebGpu, openWebGpu } from './webgpu.js';

/** How a run went. */
export interface RunMeta {
  readonly backend: Backend;
  /** What of the backend was used: `simd128`, `relaxed`, or the GPU's own description. */
  readonly variant: string;
  /** The threads that were there to compute; more than one on WebAssembly alone, where memory can be shared. */
  readonly threads: number;
  /** Milliseconds from the first byte of the input written to the last byte of the output read; decoding an image is not in it. */
  readonly milliseconds: number;
}

/** What decides how a pipeline is loaded. */
export interface Settings {
  readonly prefer: readonly Backend[];
  /** False keeps to `simd128`, whose floating-point results are the same bits on every device. */
  readonly relaxedSimd: boolean;
  /** Threads on WebAssembly, where that is said. */
  readonly threads: number | undefined;
  /** True keeps files in the browser's storage. */
  readonly cache: boolean;
  readonly fetch: typeof globalThis.fetch;
}

interface Loaded {
  readonly engine: Engine;
  readonly labels: ReadonlyMap<string, readonly string[]>;
  readonly encoders: ReadonlyMap<Encoding, Encoder>;
}

/** A pipeline that is loaded, or being loaded, for one list of preferred backends. Runs follow one another. */
export class Session {
  readonly ready: Promise<Loaded>;
  progress: Progress | undefined;
  #disposal = new AbortController();
  #listeners = new Set<(progress: Progress) => void>();
  #queue: Promise<unknown> = Promise.resolve();
  #current: Promise<Loaded>;

  constructor(
    private readonly source: PipelineSource,
    private readonly settings: Settings,
  ) {
    checkFormat(source.format);
    // A manifest that does not fit is refused before anything is loaded.
    outputBytes(source.pipeline);
    this.ready = this.#current = this.#load(settings.prefer);
    this.ready.catch(() => {});
  }

  /** Calls `listener` with the progress so far and with each step, until the returned function is called. */
  onProgress(listener: (progress: Progress) => void): () => void {
    this.#listeners.add(listener);
    if (this.progress) listener(this.progress);
    return () => this.#listeners.delete(listener);
  }

  /** Computes one answer, after the runs that were asked for before. An aborted run that has not begun never begins. */
  async run(input: unknown, signal: AbortSignal | undefined, outputs: 'copy' | 'view' = 'copy'): Promise<{ output: unknown; meta: RunMeta }> {
    return this.#next(input, signal, (args) => this.#compute(args, outputs));
  }

  /** Computes on the GPU and leaves the outputs there. */
  async leave(input: unknown, signal: AbortSignal | undefined): Promise<unknown> {
    return this.#next(input, signal, async (args) => {
      const { engine } = await this.#current;
      if (!engine.leave) throw new MlpError('NO_BACKEND', `${this.source.pipeline.name} runs on ${engine.backend}, and outputs stay on a GPU alone`);
      return gpuOutputs(this.source.pipeline, await engine.leave(args), args.symbols);
    });
  }

  /** Where the inputs that are tensors are read from. */
  async inputs(signal: AbortSignal | undefined): Promise<Record<string, ArrayBufferView>> {
    const { engine } = await abortable(this.#current, signal);
    return inputViews(this.source.pipeline, (port, bytes) => engine.input(port, bytes));
  }

  async #next<T>(input: unknown, signal: AbortSignal | undefined, work: (args: Arguments) => Promise<T>): Promise<T> {
    const args = encode(this.source.pipeline, input, async (encoding) => (await this.#current).encoders.get(encoding)!);
    // Runs follow one another as they were asked for, however long an input takes to be read: a state goes from one to the next.
    const turn = this.#turn(signal, async () => {
      const given = await args;
      throwIfAborted(signal);
      return work(given);
    });
    turn.catch(() => {});
    await abortable(args, signal);
    return turn;
  }

  /** Does something with the engine after the runs that were asked for before. */
  async between(work: (engine: Engine) => unknown, signal?: AbortSignal): Promise<void> {
    return this.#turn(signal, async () => void (await work((await this.#current).engine)));
  }

  async #turn<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(() => {
      throwIfAborted(signal);
      return work();
    });
    this.#queue = turn.catch(() => {});
    return abortable(turn, signal);
  }

  /** Frees the GPU's memory, ends helping threads and stops a load. */
  dispose(): void {
    this.#disposal.abort(new MlpError('DISPOSED', `${this.source.pipeline.name} was disposed of`));
    this.#listeners.clear();
    const free = ({ engine }: Loaded) => engine.dispose();
    this.#current.then(free, () => {});
  }

  async #compute(args: Arguments, kind: 'copy' | 'view'): Promise<{ output: unknown; meta: RunMeta }> {
    const { engine, labels } = await this.#current;
    if (this.#disposal.signal.aborted) throw this.#disposal.signal.reason;
    try {
      const start = performance.now();
      const outputs = await engine.run(args, outputBytes(this.source.pipeline, args.symbols), kind);
      const milliseconds = performance.now() - start;
      return { output: decode(this.source.pipeline, outputs, labels, args.symbols), meta: { backend: engine.backend, variant: engine.variant, threads: engine.threads?.() ?? 1, milliseconds } };
    } catch (error) {
      const rest = this.settings.prefer.slice(this.settings.prefer.indexOf(engine.backend) + 1);
      if (!(error instanceof MlpError && error.code === 'DEVICE_LOST' && rest.length)) throw error;
      // The GPU is gone for good, and the input is still here: go on with what else may be used.
      engine.dispose();
      this.#current = this.#load(rest);
      // What the pipeline remembered is gone with it, which the caller has to know; the next run begins anew.
      if (this.source.pipeline.wasm.states) throw error;
      return this.#compute(args, kind);
    }
  }

  /** Tries the backends in order. The reasons of those that do not work are told when none does. */
  async #load(prefer: readonly Backend[]): Promise<Loaded> {
    const stop = new AbortController();
    const disposed = () => stop.abort(this.#disposal.signal.reason);
    this.#disposal.signal.addEventListener('abort', disposed);
    const cache = this.settings.cache ? new FileCache() : undefined;
    const downloads = new Downloads(this.source, this.settings.fetch, cache, stop.signal, (progress) => {
      this.progress = progress;
      for (const listener of this.#listeners) listener(progress);
    });
    try {
      return await this.#first(prefer, downloads);
    } catch (error) {
      // Nobody waits for what is still on its way.
      stop.abort();
      throw error;
    } finally {
      this.#disposal.signal.removeEventListener('abort', disposed);
    }
  }

  async #first(prefer: readonly Backend[], downloads: Downloads): Promise<Loaded> {
    const reasons: unknown[] = [];
    for (const backend of prefer) {
      try {
        const loaded = await this.#open(backend, downloads);
        if (this.#disposal.signal.aborted) loaded.engine.dispose();
        this.#disposal.signal.throwIfAborted();
        return loaded;
      } catch (error) {
        if (this.#disposal.signal.aborted) throw this.#disposal.signal.reason;
        if (!(error instanceof MlpError && error.code === 'NO_BACKEND')) throw typed(error, 'RUN', `${backend} failed`);
        reasons.push(`${backend}: ${error.message}`);
      }
    }
    throw new MlpError('NO_BACKEND', `${this.source.pipeline.name} cannot run here: ${reasons.join('; ') || 'no backend was named'}`);
  }

  async #open(backend: Backend, downloads: Downloads): Promise<Loaded> {
    const { pipeline } = this.source;
    if (backend === 'webgpu') {
      if (!hasWebGpu()) throw new MlpError('NO_BACKEND', 'the browser has no WebGPU');
      if (!pipeline.gpu) throw new MlpError('NO_BACKEND', 'the bundle has no GPU program for this pipeline');
    } else if (typeof WebAssembly !== 'object') {
      throw new MlpError('NO_BACKEND', 'the browser has no WebAssembly');
    }
    const choice = backend === 'wasm' ? chooseWasm(pipeline, this.settings.relaxedSimd, this.settings.threads) : undefined;
    const files = labelFiles(pipeline);
    downloads.start([choice?.file ?? pipeline.gpu!, pipeline.weights, ...files, ...tokenizerFiles(pipeline)], choice?.file);
    const labels = Promise.all(files.map(async (file) => [file, lines(await downloads.text(file))] as const));
    const opened = choice ? openWasm(downloads, choice) : openWebGpu(downloads);
    const [engine, texts, encoders] = await Promise.all([opened, labels, openEncoders(pipeline, downloads)]);
    return { engine, labels: new Map(texts), encoders: new Map(encoders) };
  }
}

/** What makes tokens of texts, which only pipelines with texts load. */
async function openEncoders(pipeline: PipelineManifest, downloads: Downloads): Promise<(readonly [Encoding, Encoder])[]> {
  const { encodings = [] } = pipeline;
  if (!encodings.length) return [];
  const { encoder } = await import('./text/encoder.js');
  // A file streams once, and several encodings may be of one tokenizer.
  const files = new Map(tokenizerFiles(pipeline).map((file) => [file, downloads.text(file)]));
  return Promise.all(encodings.map(async (encoding) => [encoding, encoder(encoding, await files.get(encoding.tokenizer)!)] as const));
}
