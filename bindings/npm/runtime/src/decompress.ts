import { MlpError } from './errors.js';
import type { Compressed } from './manifest.js';

/** Bytes that were sorted together when the file was compressed. */
const BLOCK = 1 << 16;

/** True where this browser can read compressed files. */
export function canDecompress(): boolean {
  return typeof DecompressionStream === 'function' && typeof TransformStream === 'function';
}

/**
 * The file that a compressed one was made of: inflated, and the bytes of each number put together again. It gives no more than a block at once, so whoever counts
 * what comes out is safe from a small file that becomes a huge one.
 */
export function decompressed(body: ReadableStream<Uint8Array<ArrayBuffer>>, { file, lanes }: Compressed): ReadableStream<Uint8Array> {
  if (!(Number.isInteger(lanes) && lanes > 0 && lanes <= 16)) throw new MlpError('FORMAT', `${file} is compressed in ${lanes} lanes, which this runtime cannot read`);
  const inflated = body.pipeThrough(new DecompressionStream('deflate'));
  return lanes === 1 ? inflated : inflated.pipeThrough(merge(lanes));
}

function merge(lanes: number): TransformStream<Uint8Array, Uint8Array> {
  const block = new Uint8Array(BLOCK);
  let filled = 0;
  const merged = () => {
    const bytes = new Uint8Array(filled);
    const numbers = Math.floor(filled / lanes);
    for (let lane = 0; lane < lanes; lane++) {
      for (let from = lane * numbers, to = lane; to < numbers * lanes; from++, to += lanes) bytes[to] = block[from]!;
    }
    bytes.set(block.subarray(numbers * lanes, filled), numbers * lanes);
    filled = 0;
    return bytes;
  };
  return new TransformStream({
    transform(chunk, controller) {
      for (let at = 0; at < chunk.length; ) {
        const count = Math.min(chunk.length - at, BLOCK - filled);
        block.set(chunk.subarray(at, at + count), filled);
        at += count;
        filled += count;
        if (filled === BLOCK) controller.enqueue(merged());
      }
    },
    flush(controller) {
      if (filled) controller.enqueue(merged());
    },
  });
}
