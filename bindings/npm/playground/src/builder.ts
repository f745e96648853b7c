import type { Compiler } from './compiler.ts';
import type { Built, View } from './protocol.ts';

/** Builds in a worker of its own, so that the one that answers the editor never waits for a build. */
export class Builder {
  /** Files that the worker has not heard of yet; none is one that is gone. */
  readonly #news = new Map<string, Uint8Array | undefined>();
  readonly #files = new Set<string>();
  /** What was made of the files as they are, by what was asked. */
  readonly #made = new Map<string, Promise<unknown>>();

  constructor(private readonly compiler: Compiler) {}

  /** A file changed. */
  put(path: string, contents: Uint8Array | string): void {
    this.#files.add(path);
    this.#news.set(path, typeof contents === 'string' ? new TextEncoder().encode(contents) : contents);
    this.#made.clear();
  }

  /** All files are gone. */
  clear(): void {
    this.#news.clear();
    for (const path of this.#files) this.#news.set(path, undefined);
    this.#files.clear();
    this.#made.clear();
  }

  /** The bundle of a source file. */
  build(path: string): Promise<Built> {
    return this.#once(`build ${path}`, () => this.compiler.ask('build', path));
  }

  /** A text about a source file. */
  view(view: View, path: string): Promise<string> {
    return this.#once(`${view} ${path}`, () => this.compiler.ask('view', view, path));
  }

  /** Asks once for the files as they are. */
  #once<T>(key: string, ask: () => Promise<T>): Promise<T> {
    const known = this.#made.get(key);
    if (known) return known as Promise<T>;
    for (const [path, bytes] of this.#news) (bytes ? this.compiler.ask('write', path, bytes) : this.compiler.ask('remove', path)).catch(() => {});
    this.#news.clear();
    const made = ask();
    this.#made.set(key, made);
    return made;
  }
}
