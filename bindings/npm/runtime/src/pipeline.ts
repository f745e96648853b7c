import type { Progress } from './download.js';
import type { Backend } from './engine.js';
import { abortable } from './errors.js';
import type { PipelineSource } from './manifest.js';
import { Session, type RunMeta } from './session.js';
import type { GpuOutputs, InputViews } from './views.js';

/** How a pipeline is loaded. Calls with the same choice share one loaded pipeline. */
export interface LoadOptions {
  /** Backends in order of preference; the first that works is used. WebGPU, then WebAssembly, where nothing else is said. */
  readonly prefer?: readonly Backend[] | undefined;
  /**
   * False keeps WebAssembly to fixed-width SIMD, whose floating-point results are the same bits on every device. Relaxed SIMD is faster where
   * a browser has it, and is used by default.
   */
  readonly relaxedSimd?: boolean | undefined;
  /**
   * Threads that WebAssembly may use, the calling one counted, where they pay. Only a page that is isolated (`crossOriginIsolated`) and Node can have several; they get
   * half of their processors, at least two and at most four, where nothing else is said. Results are the same bits for any number.
   */
  readonly threads?: number | undefined;
  /**
   * True keeps what is downloaded in the browser's storage, by digest, and looks there first: for large weights, which a browser's own cache drops early, and for
   * servers that forbid it. What is kept is verified when it is read; a full or missing storage changes nothing.
   */
  readonly cache?: boolean | undefined;
  /** Called with the overall progress of loading, from now on. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Stops waiting. What is being loaded goes on, for others and for the next run. */
  readonly signal?: AbortSignal | undefined;
}

/** How one run is made. */
export interface RunOptions extends LoadOptions {
  /**
   * `copy` gives every answer memory of its own. `view` gives typed arrays that lie where the backend wrote them, and saves that copy: read them before
   * the pipeline's next run, and before anything is written to the views of its inputs. With threads they lie in shared memory, which some interfaces of browsers refuse.
   */
  readonly outputs?: 'copy' | 'view' | undefined;
}

/** One answer, and how it came about. */
export interface Run<Output> {
  readonly output: Output;
  readonly meta: RunMeta;
}

/** A compiled pipeline. Nothing is downloaded before `load` or a run. */
export interface Pipeline<Input, Output> {
  readonly name: string;
  /** True where an answer depends on the runs before it: the pipeline keeps a state where it runs, which begins with zeros each time that it is loaded. */
  readonly hasState: boolean;
  /** Computes one answer, and loads the pipeline first where it is not. */
  run(input: Input, options?: RunOptions): Promise<Output>;
  /** The same, with the backend and the time it took. */
  runWithMeta(input: Input, options?: RunOptions): Promise<Run<Output>>;
  /** Computes one answer on WebGPU and leaves its tensors there, for who goes on to compute or draw with them. Fails where another backend was taken. */
  runOnGpu(input: Input, options?: LoadOptions): Promise<GpuOutputs<Output>>;
  /** Where the inputs that are tensors belong: write there and pass the arrays on to `run` with the same choice of backends, and nothing is copied. */
  inputViews(options?: LoadOptions): Promise<InputViews<Input>>;
  /** Downloads, verifies and compiles, so that the next run starts at once. Says which backend was taken. */
  load(options?: LoadOptions): Promise<Backend>;
  /**
   * Measures which variants of its kernels the GPU runs fastest, for a fraction of a second, and keeps the choice for this GPU. Unasked, that happens once after
   * the first answer, when the page is idle; call it to have it done before. Results stay the same. Does nothing on WebAssembly.
   */
  tune(options?: LoadOptions): Promise<void>;
  /** Sets the state back to zeros, once the runs that were asked for before are done: the next run is as the first one was. Does nothing where there is no state. */
  reset(): Promise<void>;
  /** The same pipeline, loaded on its own: its state is another one. */
  separate(): Pipeline<Input, Output>;
  /** True where the next run with that choice need not wait for a download. */
  isLoaded(options?: LoadOptions): boolean;
  /** Keeps what is loaded until the returned function is called; a while after the last such call everything is freed. */
  retain(): () => void;
  /** Frees everything now. The pipeline can be used again, and loads again. */
  dispose(): void;
}

/** Milliseconds that a pipeline stays loaded after its last user left: a page that remounts a component does not load it twice. */
const LINGER = 10_000;

/** Makes a pipeline of what the compiler wrote. Generated modules call it. */
export function definePipeline<Input, Output>(source: PipelineSource, options?: { fetch?: typeof globalThis.fetch }): Pipeline<Input, Output> {
  return new LazyPipeline<Input, Output>(source, options?.fetch);
}

interface Entry {
  readonly session: Session;
  loaded: boolean;
}

class LazyPipeline<Input, Output> implements Pipeline<Input, Output> {
  readonly #sessions = new Map<string, Entry>();
  #users = 0;
  #farewell: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly source: PipelineSource,
    private readonly fetch: typeof globalThis.fetch | undefined,
  ) {}

  get name(): string {
    return this.source.pipeline.name;
  }

  get hasState(): boolean {
    return Boolean(this.source.pipeline.wasm.states);
  }

  async run(input: Input, options?: RunOptions): Promise<Output> {
    return (await this.runWithMeta(input, options)).output;
  }

  runWithMeta(input: Input, options: RunOptions = {}): Promise<Run<Output>> {
    return this.#with(options, (session) => session.run(input, options.signal, options.outputs) as Promise<Run<Output>>);
  }

  runOnGpu(input: Input, options: LoadOptions = {}): Promise<GpuOutputs<Output>> {
    return this.#with(options, (session) => session.leave(input, options.signal) as Promise<GpuOutputs<Output>>);
  }

  inputViews(options: LoadOptions = {}): Promise<InputViews<Input>> {
    return this.#with(options, (session) => session.inputs(options.signal) as Promise<InputViews<Input>>);
  }

  async load(options: LoadOptions = {}): Promise<Backend> {
    return (await this.#with(options, (session) => abortable(session.ready, options.signal))).engine.backend;
  }

  tune(options: LoadOptions = {}): Promise<void> {
    return this.#with(options, (session) => session.between((engine) => engine.tune?.(), options.signal));
  }

  async reset(): Promise<void> {
    await Promise.all([...this.#sessions.values()].map(({ session }) => session.between((engine) => engine.reset())));
  }

  separate(): Pipeline<Input, Output> {
    return new LazyPipeline(this.source, this.fetch);
  }

  isLoaded(options: LoadOptions = {}): boolean {
    return this.#sessions.get(key(options))?.loaded ?? false;
  }

  retain(): () => void {
    this.#users++;
    clearTimeout(this.#farewell);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      if (--this.#users === 0) this.#farewell = setTimeout(() => this.dispose(), LINGER);
    };
  }

  dispose(): void {
    clearTimeout(this.#farewell);
    for (const { session } of this.#sessions.values()) session.dispose();
    this.#sessions.clear();
  }

  /** The session of that choice. One that failed to load is forgotten, so that the next call tries again. */
  #open(options: LoadOptions): Entry {
    const name = key(options);
    const known = this.#sessions.get(name);
    if (known) return known;
    const session = new Session(this.source, {
      prefer: options.prefer ?? DEFAULT_PREFERENCE,
      relaxedSimd: options.relaxedSimd ?? true,
      threads: options.threads,
      cache: options.cache ?? false,
      fetch: this.fetch ?? globalThis.fetch.bind(globalThis),
    });
    const entry: Entry = { session, loaded: false };
    this.#sessions.set(name, entry);
    session.ready.then(
      () => (entry.loaded = true),
      () => this.#sessions.get(name) === entry && this.#sessions.delete(name),
    );
    return entry;
  }

  async #with<T>(options: LoadOptions, work: (session: Session) => Promise<T>): Promise<T> {
    const { session } = this.#open(options);
    const stop = options.onProgress && session.onProgress(options.onProgress);
    try {
      return await work(session);
    } finally {
      stop?.();
    }
  }
}

/** What is tried where nobody says otherwise. */
export const DEFAULT_PREFERENCE: readonly Backend[] = ['webgpu', 'wasm'];

function key({ prefer = DEFAULT_PREFERENCE, relaxedSimd = true, threads }: LoadOptions): string {
  return `${prefer.join()} ${relaxedSimd} ${threads}`;
}
