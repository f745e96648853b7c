import type { FileCache } from './cache.js';
import { MlpError, typed } from './errors.js';
import { entryOf, type FileEntry, type PipelineSource } from './manifest.js';
import { canDecompress, decompressed } from './decompress.js';
import { Verification } from './verify.js';

/** How far loading has come, over all files together. */
export interface Progress {
  /** `download` while bytes arrive, then `compile` until the pipeline can run. */
  readonly phase: 'download' | 'compile';
  /** Bytes that have arrived. */
  readonly loaded: number;
  /** Bytes in all, known from the start. */
  readonly total: number;
}

/** Bytes of a file that wait for their place in memory; a file that runs further ahead stops until it has one. */
const AHEAD = 8 << 20;

/** Downloads and verifies the files of one pipeline, all at once, with one overall progress. */
export class Downloads {
  readonly #incoming = new Map<string, Incoming>();
  #names: readonly string[] = [];

  constructor(
    readonly source: PipelineSource,
    private readonly fetch: typeof globalThis.fetch,
    private readonly cache: FileCache | undefined,
    private readonly signal: AbortSignal,
    private readonly onProgress: (progress: Progress) => void,
  ) {}

  /**
   * Asks for files, before anybody knows where their bytes belong. What was asked for by an attempt that failed, and has not been used up, is on its way already.
   * `module` is the one that is compiled as it arrives.
   */
  start(names: readonly string[], module?: string): void {
    this.#names = names;
    for (const name of names) {
      const known = this.#incoming.get(name);
      if (known && !known.taken) continue;
      this.#incoming.set(name, new Incoming(name, entryOf(this.source, name), () => this.#request(name, name === module), () => this.#report('download')));
    }
    this.#report('download');
  }

  /** Tells that only compilation is left. */
  compiling(): void {
    this.#report('compile');
  }

  /** Lets a file stream to the start of `target`, and resolves when all of it is there and verified: it is copied nowhere else. */
  into(name: string, target: Uint8Array<ArrayBuffer>): Promise<void> {
    return this.#file(name).into(target);
  }

  /** The verified text of a file. */
  async text(name: string): Promise<string> {
    return new TextDecoder().decode(await this.#bytes(name));
  }

  /** The compiled module, which was verified before it is given out. */
  async module(name: string): Promise<WebAssembly.Module> {
    const bytes = await this.#bytes(name);
    try {
      return (await this.#file(name).module) ?? (await WebAssembly.compile(bytes));
    } catch (error) {
      throw typed(error, 'NO_BACKEND', 'this browser cannot run the WebAssembly module (it needs SIMD)');
    }
  }

  async #bytes(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const target = new Uint8Array(entryOf(this.source, name).bytes);
    await this.into(name, target);
    return target;
  }

  #file(name: string): Incoming {
    const file = this.#incoming.get(name);
    if (!file) throw new MlpError('FORMAT', `${name} was not asked for`);
    return file;
  }

  async #request(name: string, compiled: boolean): Promise<Arrival> {
    const compressed = canDecompress() ? entryOf(this.source, name).compressed : undefined;
    const file = compressed?.file ?? name;
    const { sha256 } = entryOf(this.source, file);
    const kept = await this.cache?.read(sha256);
    const arrival = (response: Response, again?: () => Promise<Arrival>): Arrival => ({
      response,
      module: compiled ? compile(response) : undefined,
      // After the module has taken its copy, which gives the response another body.
      body: compressed && response.body ? decompressed(response.body, compressed) : response.body,
      again,
      failure: (error) => this.#failure(name, error),
    });
    const download = async () => arrival(await this.#fetch(file));
    if (!kept) return download();
    return arrival(kept, async () => {
      await this.cache?.forget(sha256);
      return download();
    });
  }

  async #fetch(name: string): Promise<Response> {
    const urls = this.source.urls();
    const url = Object.hasOwn(urls, name) ? urls[name] : undefined;
    if (url === undefined) throw new MlpError('FORMAT', `the bundle has no address for ${name}`);
    let response: Response;
    try {
      response = await this.fetch(url, { signal: this.signal, credentials: 'same-origin' });
    } catch (error) {
      throw this.#failure(name, error);
    }
    if (!response.ok) throw new MlpError('NETWORK', `${name} could not be downloaded: the server answered ${response.status} for ${String(url)}`);
    this.cache?.keep(entryOf(this.source, name).sha256, response);
    return response;
  }

  #failure(name: string, error: unknown): MlpError {
    return typed(error, this.signal.aborted ? 'DISPOSED' : 'NETWORK', `${name} could not be downloaded`);
  }

  #report(phase: Progress['phase']): void {
    let [loaded, total] = [0, 0];
    for (const name of this.#names) {
      loaded += this.#incoming.get(name)?.loaded ?? 0;
      total += entryOf(this.source, name).bytes;
    }
    this.onProgress({ phase, loaded, total });
  }
}

/** A response to a request for a file. */
interface Arrival {
  readonly response: Response;
  /** Its bytes as they arrive, decompressed. */
  readonly body: ReadableStream<Uint8Array> | null;
  /** The module that is compiled of it as it arrives. */
  readonly module: Promise<WebAssembly.Module> | undefined;
  /** Another way to the file, where this one turns out to be wrong: the browser's storage is not the server. */
  readonly again: (() => Promise<Arrival>) | undefined;
  readonly failure: (error: unknown) => MlpError;
}

/** A file on its way. It is read from the start, and what has arrived waits until somebody says where it belongs. */
class Incoming {
  loaded = 0;
  /** The compiled module; look at it once the file has been verified. */
  module: Promise<WebAssembly.Module> | undefined;
  #waiting: Uint8Array[] = [];
  #target: Uint8Array<ArrayBuffer> | undefined;
  #verification: Verification | undefined;
  #placed!: () => void;
  readonly #place = new Promise<void>((resolve) => (this.#placed = resolve));
  readonly #done: Promise<void>;

  constructor(
    private readonly name: string,
    private readonly entry: FileEntry,
    request: () => Promise<Arrival>,
    private readonly progress: () => void,
  ) {
    this.#done = request().then((arrival) => this.#receive(arrival));
    this.#done.catch(() => {});
  }

  /** True where the bytes have a place. */
  get taken(): boolean {
    return this.#target !== undefined;
  }

  into(target: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#target = target;
    this.#placed();
    return this.#done;
  }

  async #receive(arrival: Arrival): Promise<void> {
    this.module = arrival.module;
    try {
      await this.#read(arrival);
    } catch (error) {
      if (!(arrival.again && error instanceof MlpError && error.code !== 'DISPOSED')) throw error;
      this.loaded = 0;
      this.#waiting = [];
      this.#verification = undefined;
      await this.#receive(await arrival.again());
    }
  }

  async #read({ response, body, failure }: Arrival): Promise<void> {
    const reader = body?.getReader();
    try {
      if (reader) for (let part = await reader.read(); !part.done; part = await reader.read()) await this.#add(part.value);
      else await this.#add(new Uint8Array(await response.arrayBuffer()));
    } catch (error) {
      reader?.cancel().catch(() => {});
      throw failure(error);
    }
    const { bytes } = this.entry;
    if (this.loaded !== bytes) throw new MlpError('INTEGRITY', `${this.name} has ${this.loaded} bytes instead of ${bytes}`);
    await this.#place;
    this.#flush();
    await this.#verification!.finish();
  }

  async #add(chunk: Uint8Array): Promise<void> {
    const { bytes } = this.entry;
    if (this.loaded + chunk.length > bytes) throw new MlpError('INTEGRITY', `${this.name} is longer than the ${bytes} bytes that were compiled`);
    this.#waiting.push(chunk);
    this.loaded += chunk.length;
    this.progress();
    if (!this.#target && this.loaded > AHEAD) await this.#place;
    this.#flush();
  }

  /** Moves what waits to its place. */
  #flush(): void {
    if (!this.#target) return;
    this.#verification ??= new Verification(this.name, this.entry, this.#target);
    let at = this.loaded - this.#waiting.reduce((sum, { length }) => sum + length, 0);
    for (const chunk of this.#waiting) {
      this.#target.set(chunk, at);
      at += chunk.length;
    }
    this.#waiting = [];
    this.#verification.arrived(at);
  }
}

/** Compiles a response as it arrives, whatever type the server gives it. Nothing where the browser cannot: the bytes are compiled when they are there. */
function compile(response: Response): Promise<WebAssembly.Module> | undefined {
  if (typeof WebAssembly.compileStreaming !== 'function' || !response.body) return undefined;
  const copy = response.clone();
  const headers = { 'content-type': 'application/wasm' };
  const type = copy.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
  const module = WebAssembly.compileStreaming(type === headers['content-type'] ? copy : new Response(copy.body, { headers }));
  module.catch(() => {});
  return module;
}
