import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { deflateSync } from 'node:zlib';
import { definePipeline, MlpError, openBundle, type MlpErrorCode, type Progress } from '@mlp/runtime';
import { files, photo, PIPELINE, server, sourceOf, type Input, type Output } from './fixture.js';

const wasm = { prefer: ['wasm'] } as const;

async function open(options: { weight?: number; change?: (contents: Record<string, Uint8Array>) => void } = {}) {
  const contents = await files(options.weight);
  const source = sourceOf(contents);
  options.change?.(contents);
  const asked: string[] = [];
  return { pipeline: definePipeline<Input, Output>(source, { fetch: server(contents, asked) }), asked, source };
}

function fails(code: MlpErrorCode, message: RegExp) {
  return (error: unknown) => error instanceof MlpError && error.code === code && (assert.match(error.message, message), true);
}

test('a photo and a tensor go in, a ranking and a tensor come out', async () => {
  const { pipeline } = await open({ weight: 2 });
  const { output, meta } = await pipeline.runWithMeta({ photo: photo(100), offsets: [30, 10] }, wasm);
  assert.deepEqual(output, {
    top: [
      { label: 'dark', index: 1, score: 185 },
      { label: 'bright', index: 0, score: 70 },
    ],
    mean: new Float32Array([70]),
  });
  assert.equal(meta.backend, 'wasm');
  assert.ok(meta.milliseconds >= 0);
});

test('what a run leaves is read by the next one', async () => {
  const contents = await files();
  const [photoInput] = PIPELINE.inputs;
  // The mean of a run is added in the next one.
  const states = [{ name: 'sum', from: PIPELINE.wasm.ports['mean']!, to: PIPELINE.wasm.ports['offsets']!, bytes: 4 }];
  const kept = { ...PIPELINE, inputs: [photoInput!], input_ports: ['photo'], wasm: { ...PIPELINE.wasm, states } };
  const pipeline = definePipeline<Pick<Input, 'photo'>, Output>(sourceOf(contents, kept), { fetch: server(contents) });
  const run = async (red: number, of = pipeline) => (await of.run({ photo: photo(red) }, wasm)).mean[0];
  assert.ok(pipeline.hasState && !(await open()).pipeline.hasState);
  await pipeline.reset();
  assert.deepEqual([await run(9), await run(1)], [9, 10]);
  await assert.rejects(run(67), fails('RUN', /stopped/), 'this mean makes the module stop');
  assert.equal(await run(2), 12, 'a run that fails leaves the state as it was');
  await assert.rejects(pipeline.run({} as Input, wasm), fails('INPUT', /needs the input photo/));
  const other = pipeline.separate();
  assert.deepEqual([await run(5, other), await run(5)], [5, 17]);
  // What is asked for meanwhile happens in that order.
  const [before, , after] = await Promise.all([run(3), pipeline.reset(), run(4)]);
  assert.deepEqual([before, after, await run(5, other)], [20, 4, 10]);
  const aborted = pipeline.run({ photo: photo(100) }, { ...wasm, signal: AbortSignal.abort() });
  await assert.rejects(aborted, fails('ABORTED', /aborted/));
  assert.equal(await run(1), 5);
});

test('runs follow one another as they were asked for', async () => {
  const { pipeline } = await open();
  const order: number[] = [];
  const ask = (mean: number) => pipeline.run({ photo: photo(mean), offsets: [0, 0] }, wasm).then(() => order.push(mean));
  await Promise.all([1, 2, 3, 4].map(ask));
  assert.deepEqual(order, [1, 2, 3, 4]);
});

test('answers do not share memory, and weights and labels are downloaded once', async () => {
  const { pipeline, asked } = await open();
  const first = await pipeline.run({ photo: photo(200), offsets: new Float32Array(2) }, wasm);
  const second = await pipeline.run({ photo: photo(10, 64, 64), offsets: [1, 2] }, wasm);
  assert.deepEqual([first.mean[0], second.mean[0]], [200, 13]);
  assert.deepEqual([first.top[0]?.label, second.top[0]?.label], ['bright', 'dark']);
  assert.deepEqual(asked.sort(), [asked.includes('relaxed.wasm') ? 'relaxed.wasm' : 'simd128.wasm', 'labels.txt', 'weights.bin'].sort());
});

test('inputs are written and outputs are read where the module has them', async () => {
  const { pipeline } = await open();
  const { offsets, ...rest } = await pipeline.inputViews(wasm);
  assert.deepEqual(Object.keys(rest), [], 'an image has no view');
  assert.ok(offsets instanceof Float32Array && offsets.length === 2);
  const view = async (offsets: Float32Array) => (await pipeline.run({ photo: photo(10), offsets }, { ...wasm, outputs: 'view' })).mean;
  offsets.set([1, 2]);
  const first = await view(offsets);
  assert.equal(first[0], 13);
  assert.equal(first.buffer, offsets.buffer, 'both lie in the memory of the module');
  offsets.set([5, 6]);
  assert.equal((await view(offsets))[0], 21);
  assert.equal(first[0], 21, 'a view is valid until the next run');
  const copied = await pipeline.run({ photo: photo(10), offsets }, wasm);
  assert.notEqual(copied.mean.buffer, offsets.buffer, 'an answer has memory of its own unless it is asked for otherwise');
});

test('a view that is given as another input is read before it is overwritten', async () => {
  const { pipeline } = await open();
  const { offsets } = await pipeline.inputViews(wasm);
  const answer = (await pipeline.run({ photo: photo(10), offsets: [1, 2] }, { ...wasm, outputs: 'view' })).mean;
  // Two numbers of the module's memory, the mean and what lies behind it, which is zero.
  const feedback = new Float32Array(answer.buffer, answer.byteOffset, 2);
  assert.equal((await pipeline.run({ photo: photo(20), offsets: feedback }, wasm)).mean[0], 33);
  assert.equal(offsets[0], 13, 'it was copied to its place');
});

test('outputs stay on a GPU alone', async () => {
  const { pipeline } = await open();
  await assert.rejects(pipeline.runOnGpu({ photo: photo(1), offsets: [0, 0] }, wasm), fails('NO_BACKEND', /Brightness runs on wasm/));
});

test('relaxed SIMD can be declined', async () => {
  const { pipeline, asked } = await open();
  const { meta } = await pipeline.runWithMeta({ photo: photo(1), offsets: [0, 0] }, { ...wasm, relaxedSimd: false });
  assert.equal(meta.variant, 'simd128');
  assert.ok(asked.includes('simd128.wasm') && !asked.includes('relaxed.wasm'));
});

test('a single value is given without a record', async () => {
  const contents = await files();
  const one = { ...PIPELINE, record: false, outputs: [{ name: 'value', type: { kind: 'label', labels: 'labels.txt', port: 'top.indices' } as const }], output_ports: ['top.indices'] };
  const pipeline = definePipeline<Input, string>(sourceOf(contents, one), { fetch: server(contents) });
  assert.equal(await pipeline.run({ photo: photo(9), offsets: [0, 0] }, wasm), 'dark');
});

test('progress is one figure over all files and ends where everything is there', async () => {
  const { pipeline, source } = await open();
  const steps: Progress[] = [];
  assert.equal(await pipeline.load({ ...wasm, onProgress: (step) => steps.push(step) }), 'wasm');
  const total = ['simd128.wasm', 'weights.bin', 'labels.txt'].reduce((sum, name) => sum + source.files[name]!.bytes, 0);
  assert.ok(steps.length > 4, 'files arrive in pieces');
  assert.ok(steps.every((step, i) => step.total === total && (i === 0 || step.loaded >= steps[i - 1]!.loaded)));
  assert.equal(steps.at(-1)!.loaded, total);
  assert.ok(steps.some((step) => step.phase === 'compile'));
  assert.ok(pipeline.isLoaded(wasm) && !pipeline.isLoaded());
});

test('inputs of the wrong type are refused by name', async () => {
  const { pipeline } = await open();
  const run = (input: unknown) => pipeline.run(input as Input, wasm);
  await assert.rejects(run(null), fails('INPUT', /takes \{ photo, offsets \}/));
  await assert.rejects(run({ photo: photo(1) }), fails('INPUT', /needs the input offsets/));
  await assert.rejects(run({ photo: photo(1), offsets: [1, 2, 3] }), fails('INPUT', /offsets takes 2 numbers \(f32\[2\]\), and got 3/));
  await assert.rejects(run({ photo: { width: 2, height: 2, data: new Uint8Array(12) }, offsets: [0, 0] }), fails('INPUT', /photo is not an image/));
});

test('a photo beyond the bounds is shrunk by a whole factor, rounded half up', async () => {
  const { pipeline } = await open();
  // 130 columns exceed 64 by a factor of three: 43 blocks and a column left over, which is dropped.
  const data = new Uint8Array(130 * 6 * 4).map((_, i) => (i % 4 === 0 ? ((i / 4) % 130 === 129 ? 255 : [0, 0, 1, 1, 0, 1][Math.floor(i / 520)]!) : 0));
  const { mean } = await pipeline.run({ photo: { width: 130, height: 6, data }, offsets: [0, 0] }, wasm);
  assert.equal(mean[0], 0.5, 'rows of blocks are 1/3, which is 0, and 2/3, which is 1');
  const strip = await pipeline.run({ photo: { width: 1000, height: 1, data: new Uint8Array(4000).fill(9) }, offsets: [0, 0] }, wasm);
  assert.equal(strip.mean[0], 9, 'a side shorter than the factor keeps one pixel');
});

test('a changed file is refused before it is used', async () => {
  const tampered = await open({ change: (contents) => (contents['weights.bin'] = contents['weights.bin']!.map((byte, i) => (i === 5 ? 1 : byte))) });
  await assert.rejects(tampered.pipeline.load(wasm), fails('INTEGRITY', /weights.bin is not the file that was compiled/));
  const long = await open({ change: (contents) => (contents['labels.txt'] = new TextEncoder().encode('bright\ndark\nmore\n')) });
  await assert.rejects(long.pipeline.load(wasm), fails('INTEGRITY', /labels.txt is longer/));
  const short = await open({ change: (contents) => (contents['weights.bin'] = new Uint8Array(5)) });
  await assert.rejects(short.pipeline.load(wasm), fails('INTEGRITY', /weights.bin has 5 bytes instead of 128/));
});

test('the pieces of a file are compared one by one', async () => {
  const labels = new TextEncoder().encode(`bright\ndark\n${'-'.repeat(9 << 20)}`);
  const piece = 4 << 20;
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
  const pieces = [0, 1, 2].map((i) => sha256(labels.subarray(i * piece, (i + 1) * piece)));
  const contents = { ...(await files()), 'labels.txt': labels };
  const load = (pieces: readonly string[], served: Record<string, Uint8Array> = contents) => {
    const source = sourceOf(contents);
    const entry = { ...source.files['labels.txt']!, sha256: 'compared in pieces alone', pieces };
    return definePipeline<Input, Output>({ ...source, files: { ...source.files, 'labels.txt': entry } }, { fetch: server(served, [], 1 << 18) }).load(wasm);
  };
  assert.equal(await load(pieces), 'wasm');
  for (const at of [0, piece - 1, piece, labels.length - 1]) {
    const changed = labels.slice();
    changed[at]! ^= 1;
    await assert.rejects(load(pieces, { ...contents, 'labels.txt': changed }), fails('INTEGRITY', /labels.txt is not the file that was compiled/));
  }
  await assert.rejects(load(pieces.slice(1)), fails('INTEGRITY', /instead of compared in pieces alone/), 'digests that do not cover the file count for nothing');
});

test('compressed weights are decompressed, and nothing is believed of them', async () => {
  const contents = await files(3);
  const weights = contents['weights.bin']!;
  // Two lanes: all first bytes, then all second ones.
  const sorted = new Uint8Array([...weights.filter((_, i) => i % 2 === 0), ...weights.filter((_, i) => i % 2 === 1)]);
  const load = async (compressed: Uint8Array, lanes: number) => {
    const source = sourceOf({ ...contents, 'weights.zz': compressed });
    const entry = { ...source.files['weights.bin']!, compressed: { file: 'weights.zz', lanes } };
    const asked: string[] = [];
    const pipeline = definePipeline<Input, Output>({ ...source, files: { ...source.files, 'weights.bin': entry } }, { fetch: server({ ...contents, 'weights.zz': compressed }, asked) });
    const { mean } = await pipeline.run({ photo: photo(30), offsets: [0, 0] }, wasm);
    return { mean: mean[0], plain: asked.includes('weights.bin') };
  };
  assert.deepEqual(await load(deflateSync(sorted), 2), { mean: 10, plain: false });
  assert.deepEqual(await load(deflateSync(weights), 1), { mean: 10, plain: false });
  await assert.rejects(load(deflateSync(weights), 2), fails('INTEGRITY', /weights.bin is not the file that was compiled/));
  await assert.rejects(load(deflateSync(new Uint8Array(64 << 20)), 4), fails('INTEGRITY', /weights.bin is longer than the 128 bytes/));
  await assert.rejects(load(deflateSync(sorted).subarray(0, 10), 2), fails('NETWORK', /weights.bin could not be downloaded/));
  await assert.rejects(load(sorted, 2), fails('NETWORK', /weights.bin could not be downloaded/));
  for (const lanes of [0, -1, 1.5, 1e9]) await assert.rejects(load(deflateSync(sorted), lanes), fails('FORMAT', /is compressed in .* lanes/));
});

test('what was downloaded is kept by digest, and verified when it is read', async () => {
  const kept = new Map<string, Uint8Array>();
  const cache = {
    match: async (key: string) => (kept.has(key) ? new Response(kept.get(key)! as Uint8Array<ArrayBuffer>) : undefined),
    put: async (key: string, response: Response) => void kept.set(key, new Uint8Array(await response.arrayBuffer())),
    delete: async (key: string) => kept.delete(key),
  };
  const run = async (storage: unknown, options = {}) => {
    Object.assign(globalThis, { caches: storage });
    try {
      const { pipeline, asked } = await open();
      const output = await pipeline.run({ photo: photo(40), offsets: [0, 0] }, { ...wasm, cache: true, ...options });
      await new Promise((resolve) => setTimeout(resolve, 20));
      return { mean: output.mean[0], asked: asked.length };
    } finally {
      Reflect.deleteProperty(globalThis, 'caches');
    }
  };
  const storage = { open: async () => cache };
  assert.deepEqual(await run(storage, { cache: false }), { mean: 40, asked: 3 });
  assert.equal(kept.size, 0, 'nothing is kept unless it is asked for');
  assert.deepEqual(await run(storage), { mean: 40, asked: 3 });
  assert.equal(kept.size, 3);
  assert.deepEqual(await run(storage), { mean: 40, asked: 0 });
  for (const [key, bytes] of kept) kept.set(key, bytes.map((byte, i) => (i === bytes.length - 1 ? byte ^ 1 : byte)));
  assert.deepEqual(await run(storage), { mean: 40, asked: 3 }, 'what was damaged in storage is downloaded again');
  assert.deepEqual(await run(storage), { mean: 40, asked: 0 });
  const refuse = async () => Promise.reject(new Error('the storage is full'));
  for (const broken of [undefined, { open: refuse }, { open: async () => ({ match: refuse, put: refuse, delete: refuse }) }]) {
    assert.deepEqual(await run(broken), { mean: 40, asked: 3 });
  }
});

test('a failed load says why, and the next one tries again', async () => {
  let weights: Uint8Array | undefined;
  let all: Record<string, Uint8Array> = {};
  const { pipeline } = await open({
    change: (contents) => {
      all = contents;
      weights = contents['weights.bin'];
      delete contents['weights.bin'];
    },
  });
  await assert.rejects(pipeline.load(wasm), fails('NETWORK', /weights.bin could not be downloaded: the server answered 404/));
  all['weights.bin'] = weights!;
  assert.equal(await pipeline.load(wasm), 'wasm');
});

test('a bundle of another format is refused', async () => {
  const contents = await files();
  const pipeline = definePipeline<Input, Output>({ ...sourceOf(contents), format: 2 }, { fetch: server(contents) });
  await assert.rejects(pipeline.load(wasm), fails('FORMAT', /format 2 and @mlp\/runtime reads format 1/));
});

test('where no backend works, every reason is told', async () => {
  const { pipeline, asked } = await open();
  await assert.rejects(pipeline.load({ prefer: ['webgpu'] }), fails('NO_BACKEND', /webgpu: the browser has no WebGPU/));
  assert.deepEqual(asked, [], 'nothing is downloaded for a backend that is not there');
  assert.equal(await pipeline.load(), 'wasm', 'the next in the list is taken');
});

test('an aborted run stops waiting, and the load goes on for others', async () => {
  const { pipeline, asked } = await open();
  const stop = new AbortController();
  const first = pipeline.run({ photo: photo(1), offsets: [0, 0] }, { ...wasm, signal: stop.signal });
  const second = pipeline.run({ photo: photo(2), offsets: [0, 0] }, wasm);
  stop.abort(new Error('changed my mind'));
  await assert.rejects(first, (error: unknown) => error instanceof MlpError && error.code === 'ABORTED' && (error.cause as Error).message === 'changed my mind');
  assert.equal((await second).mean[0], 2);
  assert.equal(asked.filter((name) => name === 'weights.bin').length, 1);
  await assert.rejects(pipeline.run({ photo: photo(1), offsets: [0, 0] }, { ...wasm, signal: stop.signal }), fails('ABORTED', /aborted/));
});

test('a trap is an error of the run, and the next run works', async () => {
  const { pipeline } = await open();
  await assert.rejects(pipeline.run({ photo: photo(77), offsets: [0, 0] }, wasm), fails('RUN', /stopped/));
  assert.equal((await pipeline.run({ photo: photo(78), offsets: [0, 0] }, wasm)).mean[0], 78);
});

test('disposal stops a load and a later run loads again', async () => {
  const { pipeline } = await open();
  const load = pipeline.load(wasm);
  pipeline.dispose();
  await assert.rejects(load, fails('DISPOSED', /Brightness was disposed of/));
  assert.equal((await pipeline.run({ photo: photo(5), offsets: [0, 0] }, wasm)).mean[0], 5);
});

test('a bundle opens by its manifest', async () => {
  const contents = await files();
  const { files: entries } = sourceOf(contents);
  const manifest = { format: 1, name: 'test', pipelines: [PIPELINE], files: entries };
  const bundle = { ...contents, 'manifest.json': new TextEncoder().encode(JSON.stringify(manifest)) };
  const serve = server(bundle);
  const fetch: typeof globalThis.fetch = (url, init) => serve(String(url).split('/').at(-1)!, init);
  const { pipeline } = await openBundle('https://example.test/bundle/manifest.json', { fetch });
  const output = (await pipeline().run({ photo: photo(40), offsets: [0, 0] }, wasm)) as Output;
  assert.equal(output.mean[0], 40);
  assert.throws(() => pipeline('Other'), fails('FORMAT', /no pipeline Other \(it has Brightness\)/));
});
