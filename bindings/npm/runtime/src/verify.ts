import { MlpError } from './errors.js';
import type { FileEntry } from './manifest.js';

/** Bytes of a file that one entry of `pieces` is the digest of; the last piece may be shorter. */
const PIECE = 4 << 20;

/**
 * Compares a file with its digest while it arrives. Where the bundle has digests of pieces, each piece is hashed as soon as it is there, beside the
 * download, and no more than a piece is copied for it; else the whole is hashed at the end.
 */
export class Verification {
  readonly #pieces: Promise<void>[] = [];
  #error: unknown;

  constructor(
    private readonly name: string,
    private readonly entry: FileEntry,
    private readonly target: Uint8Array<ArrayBuffer>,
  ) {}

  /** The first `at` bytes are there. Throws where an earlier piece turned out to be wrong. */
  arrived(at: number): void {
    if (this.#error !== undefined) throw this.#error;
    const { pieces, bytes } = this.entry;
    if (!pieces || pieces.length !== Math.ceil(bytes / PIECE)) return;
    while (this.#pieces.length < pieces.length) {
      const start = this.#pieces.length * PIECE;
      const end = Math.min(start + PIECE, bytes);
      if (end > at) return;
      this.#check(this.target.subarray(start, end), pieces[this.#pieces.length]!);
    }
  }

  /** Everything is there: resolves where all of it is what was compiled. */
  async finish(): Promise<void> {
    if (!this.#pieces.length) this.#check(this.target.subarray(0, this.entry.bytes), this.entry.sha256);
    await Promise.all(this.#pieces);
  }

  #check(bytes: Uint8Array<ArrayBuffer>, sha256: string): void {
    const work = verify(this.name, bytes, sha256);
    work.catch((error: unknown) => (this.#error ??= error));
    this.#pieces.push(work);
  }
}

async function verify(name: string, bytes: Uint8Array<ArrayBuffer>, sha256: string): Promise<void> {
  const subtle = globalThis.crypto?.subtle;
  if (!subtle) throw new MlpError('INTEGRITY', `${name} cannot be verified here: browsers offer digests on https: and localhost alone`);
  // Browsers take no digest of memory that is shared.
  const own = (bytes.buffer as ArrayBufferLike) instanceof ArrayBuffer ? bytes : bytes.slice();
  const digest = new Uint8Array(await subtle.digest('SHA-256', own));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  if (hex !== sha256) throw new MlpError('INTEGRITY', `${name} is not the file that was compiled: its SHA-256 is ${hex} instead of ${sha256}`);
}
