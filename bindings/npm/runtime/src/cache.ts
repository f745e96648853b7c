/** The name of the cache in the browser's storage. */
const NAME = 'mlp';

/**
 * Files by digest in the browser's storage, so that a later visit need not download them, from whatever address. It is a convenience: where storage is
 * absent, full or refused, there is simply nothing in it. What is read from it is verified like anything else.
 */
export class FileCache {
  readonly #cache: Promise<Cache | undefined> = open();

  /** The response that was kept for a digest. */
  async read(sha256: string): Promise<Response | undefined> {
    return (await this.#cache)?.match(key(sha256)).catch(() => undefined);
  }

  /** Keeps a copy of a response whose body nobody has read yet; the original goes on. */
  keep(sha256: string, response: Response): void {
    const copy = response.clone();
    const store = async () => {
      const cache = await this.#cache;
      // A copy that is not read would hold what the original reads.
      if (cache) await cache.put(key(sha256), new Response(copy.body, { headers: { 'content-type': copy.headers.get('content-type') ?? '' } }));
      else await copy.body?.cancel();
    };
    store().catch(() => copy.body?.cancel().catch(() => {}));
  }

  /** Forgets what was kept: it is not what was compiled. */
  async forget(sha256: string): Promise<void> {
    await (await this.#cache)?.delete(key(sha256)).catch(() => false);
  }
}

async function open(): Promise<Cache | undefined> {
  try {
    return await globalThis.caches?.open(NAME);
  } catch {
    return undefined;
  }
}

/** A cache wants addresses. Nothing is ever fetched from this one. */
function key(sha256: string): string {
  return `/.mlp/${sha256}`;
}
