import { createHash } from 'node:crypto';
import wabt from 'wabt';
import type { PipelineManifest, PipelineSource } from '../src/manifest.js';

/** Pages of the fixture's memory: weights at 0, the arena in the second page. */
const PAGES = 16;
const WEIGHTS = 64;
const ARENA = 65536;
const PORTS = { photo: 4096, offsets: 0, 'top.indices': 64, 'top.scores': 128, mean: 192 };

/**
 * A pipeline small enough to check by hand: the mean of a photo's red bytes plus two offsets, divided by the weight, and a ranking of two
 * labels: `bright` with the mean and `dark` with 255 less the mean, best first.
 */
const TEXT = `(module
  (memory (export "memory") ${PAGES} ${PAGES})
  (func (export "run") (param $height i32) (param $width i32)
    (local $i i32) (local $n i32) (local $sum f32) (local $mean f32) (local $dark f32)
    (local.set $n (i32.mul (local.get $height) (local.get $width)))
    (loop $next
      (local.set $sum (f32.add (local.get $sum)
        (f32.convert_i32_u (i32.load8_u (i32.add (i32.const ${ARENA + PORTS.photo}) (i32.shl (local.get $i) (i32.const 2)))))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $n))))
    (local.set $mean (f32.div (local.get $sum) (f32.convert_i32_u (local.get $n))))
    (local.set $mean (f32.add (local.get $mean) (f32.load (i32.const ${ARENA + PORTS.offsets}))))
    (local.set $mean (f32.add (local.get $mean) (f32.load (i32.const ${ARENA + PORTS.offsets + 4}))))
    (local.set $mean (f32.div (local.get $mean) (f32.load (i32.const ${WEIGHTS}))))
    (if (f32.eq (local.get $mean) (f32.const 77)) (then unreachable))
    (local.set $dark (f32.sub (f32.const 255) (local.get $mean)))
    (f32.store (i32.const ${ARENA + PORTS.mean}) (local.get $mean))
    (if (f32.ge (local.get $mean) (local.get $dark))
      (then
        (i64.store (i32.const ${ARENA + PORTS['top.indices']}) (i64.const 0x100000000))
        (f32.store (i32.const ${ARENA + PORTS['top.scores']}) (local.get $mean))
        (f32.store (i32.const ${ARENA + PORTS['top.scores'] + 4}) (local.get $dark)))
      (else
        (i64.store (i32.const ${ARENA + PORTS['top.indices']}) (i64.const 1))
        (f32.store (i32.const ${ARENA + PORTS['top.scores']}) (local.get $dark))
        (f32.store (i32.const ${ARENA + PORTS['top.scores'] + 4}) (local.get $mean))))))`;

export const PIPELINE: PipelineManifest = {
  name: 'Brightness',
  inputs: [
    { name: 'photo', type: { kind: 'image', max_height: 64, max_width: 64, port: 'photo', height: 'photo.height', width: 'photo.width' } },
    { name: 'offsets', type: { kind: 'tensor', dtype: 'f32', shape: [2], port: 'offsets' } },
  ],
  outputs: [
    { name: 'top', type: { kind: 'ranking', labels: 'labels.txt', count: 2, indices: 'top.indices', scores: 'top.scores' } },
    { name: 'mean', type: { kind: 'tensor', dtype: 'f32', shape: [], port: 'mean' } },
  ],
  record: true,
  symbols: [
    { name: 'photo.height', min: 1, max: 64 },
    { name: 'photo.width', min: 1, max: 64 },
  ],
  input_ports: ['photo', 'offsets'],
  output_ports: ['top.indices', 'top.scores', 'mean'],
  weights: 'weights.bin',
  wasm: { simd128: 'simd128.wasm', relaxed: 'relaxed.wasm', memory_pages: PAGES, weights_offset: WEIGHTS, arena_offset: ARENA, ports: PORTS },
};

/** The same for several threads, which have nothing to do but come and go. */
const SHARED = TEXT.replace(`(memory (export "memory") ${PAGES} ${PAGES})`, `(import "env" "memory" (memory ${PAGES} 65536 shared))
  (func (export "helpers") (result i32) (i32.atomic.load (i32.const 0)))
  (func (export "work") (param $index i32)
    (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
    (drop (memory.atomic.wait32 (i32.const 4) (i32.const 0) (i64.const -1)))
    (drop (i32.atomic.rmw.sub (i32.const 0) (i32.const 1))))
  (func (export "stop")
    (i32.atomic.store (i32.const 4) (i32.const 1))
    (drop (memory.atomic.notify (i32.const 4) (i32.const -1))))`);

/** [`PIPELINE`] with modules for several threads. */
export const THREADED: PipelineManifest = {
  ...PIPELINE,
  wasm: { ...PIPELINE.wasm, threads: { simd128: 'threads.wasm', relaxed: 'relaxed-threads.wasm', memory_pages: PAGES, helper_pages: 1 } },
};

/** The files that [`THREADED`] has on top. */
export async function threadedFiles(): Promise<Record<string, Uint8Array>> {
  const { parseWat } = await wabt();
  const wasm = parseWat('threads.wat', SHARED, { threads: true }).toBinary({}).buffer;
  return { ...(await files()), 'threads.wasm': wasm, 'relaxed-threads.wasm': wasm };
}

/** The fixture's input and output types. */
export interface Input {
  photo: { width: number; height: number; data: Uint8Array };
  offsets: Float32Array | readonly number[];
}
export interface Output {
  top: { label: string; index: number; score: number }[];
  mean: Float32Array;
}

/** The fixture's files. The weight is one number, and slack. */
export async function files(weight = 1): Promise<Record<string, Uint8Array>> {
  const { parseWat } = await wabt();
  const wasm = parseWat('brightness.wat', TEXT).toBinary({}).buffer;
  const weights = new Uint8Array(128);
  new DataView(weights.buffer).setFloat32(0, weight, true);
  return { 'simd128.wasm': wasm, 'relaxed.wasm': wasm, 'weights.bin': weights, 'labels.txt': new TextEncoder().encode('bright\ndark\n') };
}

/** The source of a pipeline with those files, as a generated module has it. */
export function sourceOf(contents: Record<string, Uint8Array>, pipeline: PipelineManifest = PIPELINE): PipelineSource {
  const entry = (bytes: Uint8Array) => ({ sha256: createHash('sha256').update(bytes).digest('hex'), bytes: bytes.length });
  const names = Object.keys(contents);
  return {
    format: 1,
    pipeline,
    files: Object.fromEntries(Object.entries(contents).map(([name, bytes]) => [name, entry(bytes)])),
    urls: () => Object.fromEntries(names.map((name) => [name, `memory:${name}`])),
  };
}

/** A `fetch` that serves those files in pieces, and writes down what it was asked for. */
export function server(contents: Record<string, Uint8Array>, asked: string[] = [], piece = 100): typeof globalThis.fetch {
  return async (url, init) => {
    const name = String(url).replace(/^memory:/, '');
    asked.push(name);
    init?.signal?.throwIfAborted();
    const bytes = contents[name];
    if (!bytes) return new Response('not here', { status: 404 });
    const pieces = Array.from({ length: Math.ceil(bytes.length / piece) }, (_, i) => bytes.slice(piece * i, piece * i + piece));
    return new Response(new ReadableStream({ pull: (stream) => (pieces.length ? stream.enqueue(pieces.shift()!) : stream.close()) }));
  };
}

/** A photo of one red value. */
export function photo(red: number, width = 3, height = 2): Input['photo'] {
  return { width, height, data: new Uint8Array(width * height * 4).map((_, i) => (i % 4 === 0 ? red : 255)) };
}
