import { MlpError, typed } from './errors.js';
import { entryOf, type PipelineSource } from './manifest.js';

/** How far loading has come, over all files together. */
export interface Progress {
  /** `download` while bytes arrive, then `compile` until the pipeline can run. */
  readonly phase: 'download' | 'compile';
  /** Bytes that have arrived. */
  readonly loaded: number;
  /** Bytes in all, known from the start. */
  readonly total: number;
}

/** Downloads and verifies the files of one pipeline, with one overall progress. */
export class Downloads {
  #loaded = 0;
  #total = 0;

  constructor(
    readonly source: PipelineSource,
    private readonly fetch: typeof globalThis.fetch,
    private readonly signal: AbortSignal,
    private readonly onProgress: (progress: Progress) => void,
  ) {}

  /** Counts `names` into the total. Call it once, before the first byte. */
  expect(names: readonly string[]): void {
    for (const name of names) this.#total += entryOf(this.source, name).bytes;
    this.#report('download');
  }

  /** Tells that only compilation is left. */
  compiling(): void {
    this.#report('compile');
  }

  /** The verified bytes of a file. */
  async bytes(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const target = new Uint8Array(entryOf(this.source, name).bytes);
    await (await this.open(name))(target);
    return target;
  }

  /** The verified text of a file. */
  async text(name: string): Promise<string> {
    return new TextDecoder().decode(await this.bytes(name));
  }

  /**
   * Asks for a file, and returns what streams it to the start of `target` and verifies it there: large files are copied nowhere else.
   * The bytes must not be used before that is done.
   */
  async open(name: string): Promise<(target: Uint8Array<ArrayBuffer>) => Promise<void>> {
    const entry = entryOf(this.source, name);
    const response = await this.#request(name);
    return async (target) => {
      let at = 0;
      const add = (chunk: Uint8Array) => {
        if (at + chunk.length > entry.bytes) throw new MlpError('INTEGRITY', `${name} is longer than the ${entry.bytes} bytes that were compiled`);
        target.set(chunk, at);
        at += chunk.length;
        this.#loaded += chunk.length;
        this.#report('download');
      };
      try {
        if (response.body) {
          const reader = response.body.getReader();
          for (let part = await reader.read(); !part.done; part = await reader.read()) add(part.value);
        } else {
          add(new Uint8Array(await response.arrayBuffer()));
        }
      } catch (error) {
        throw typed(error, this.signal.aborted ? 'DISPOSED' : 'NETWORK', `${name} could not be downloaded`);
      }
      if (at !== entry.bytes) throw new MlpError('INTEGRITY', `${name} has ${at} bytes instead of ${entry.bytes}`);
      await verify(name, target.subarray(0, entry.bytes), entry.sha256);
    };
  }

  async #request(name: string): Promise<Response> {
    const urls = this.source.urls();
    const url = Object.hasOwn(urls, name) ? urls[name] : undefined;
    if (url === undefined) throw new MlpError('FORMAT', `the bundle has no address for ${name}`);
    let response: Response;
    try {
      response = await this.fetch(url, { signal: this.signal, credentials: 'same-origin' });
    } catch (error) {
      throw typed(error, this.signal.aborted ? 'DISPOSED' : 'NETWORK', `${name} could not be downloaded`);
    }
    if (!response.ok) throw new MlpError('NETWORK', `${name} could not be downloaded: the server answered ${response.status} for ${String(url)}`);
    return response;
  }

  #report(phase: Progress['phase']): void {
    this.onProgress({ phase, loaded: this.#loaded, total: this.#total });
  }
}

async function verify(name: string, bytes: Uint8Array<ArrayBuffer>, sha256: string): Promise<void> {
  const subtle = globalThis.crypto?.subtle;
  if (!subtle) throw new MlpError('INTEGRITY', `${name} cannot be verified here: browsers offer digests on https: and localhost alone`);
  const digest = new Uint8Array(await subtle.digest('SHA-256', bytes));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  if (hex !== sha256) throw new MlpError('INTEGRITY', `${name} is not the file that was compiled: its SHA-256 is ${hex} instead of ${sha256}`);
}
