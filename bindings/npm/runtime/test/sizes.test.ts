import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PipelineManifest } from '../src/manifest.js';

// No part of what the package exports.
const { decode, encode, inputViews, outputBytes } = (await import(new URL('../values.js', import.meta.url).href)) as typeof import('../src/values.js');

/** Two inputs of `[n, 2]` and `[32 m]` and an output of `[n, m]`; the flat size of the first is worked out. */
const PIPELINE: PipelineManifest = {
  name: 'Sized',
  inputs: [
    { name: 'words', type: { kind: 'tensor', dtype: 'i32', shape: ['n', 2], port: 'words' } },
    { name: 'pixels', type: { kind: 'tensor', dtype: 'u8', shape: ['32 * m'], port: 'pixels' } },
  ],
  outputs: [
    { name: 'table', type: { kind: 'tensor', dtype: 'f32', shape: ['n', 'm'], port: 'table' } },
    { name: 'flat', type: { kind: 'tensor', dtype: 'i32', shape: ['2 * n'], port: 'flat' } },
    { name: 'fixed', type: { kind: 'tensor', dtype: 'i32', shape: [1], port: 'fixed' } },
  ],
  record: true,
  symbols: [
    { name: 'n', min: 1, max: 4 },
    { name: 'm', min: 1, max: 3 },
    { name: '32 * m', min: 0, max: 96, formula: { terms: [{ coefficient: 32, factors: [1] }], divisor: 1 } },
    { name: '2 * n', min: 0, max: 8, formula: { terms: [{ coefficient: 2, factors: [0] }], divisor: 1 } },
  ],
  input_ports: ['words', 'pixels'],
  output_ports: ['table', 'flat', 'fixed'],
  weights: 'weights.bin',
  wasm: { simd128: '', relaxed: '', memory_pages: 1, weights_offset: 0, arena_offset: 0, ports: {} },
};

const none = () => assert.fail('there are no texts');
const given = (words: unknown, pixels: unknown = new Uint8Array(64)) => encode(PIPELINE, { words, pixels }, none);
const refused = (words: unknown, pixels: unknown, message: RegExp) =>
  assert.rejects(given(words, pixels), (error: { code?: string; message: string }) => error.code === 'INPUT' && message.test(error.message));

test('arrays and shapes tell the sizes of a run', async () => {
  assert.deepEqual((await given([1, 2, 3, 4, 5, 6])).symbols, [3, 2, 64, 6]);
  assert.deepEqual((await given({ data: Int32Array.of(1, 2), shape: [1, 2] }, new Uint8Array(96))).symbols, [1, 3, 96, 2]);
  assert.equal((await given([1, 2, 3, 4])).inputs[0]!.length, 16);
});

test('sizes that are not taken are refused by name', async () => {
  await refused([1, 2, 3], new Uint8Array(64), /words takes n, and was given 1.5 in its place/);
  await refused(new Array(10).fill(0), new Uint8Array(64), /n is 5, and Sized takes 1 to 4/);
  await refused([1, 2], new Uint8Array(65), /pixels takes 32 \* m, and was given 65 in its place/);
  await refused({ data: [1, 2, 3, 4], shape: [2, 3] }, new Uint8Array(64), /words takes 6 numbers/);
  await refused({ data: [1, 2, 3], shape: [1, 3] }, new Uint8Array(64), /words takes 2, and was given 3 in its place/);
  await refused({ data: [1, 2], shape: [2] }, new Uint8Array(64), /words takes 2 numbers/);
});

test('rows that a run counts are cut, along any axis, and the port that counts them is not shown', () => {
  const rows = (axis: number) => ({ axis, port: 'count' });
  const pipeline: PipelineManifest = {
    ...PIPELINE,
    outputs: [
      { name: 'boxes', type: { kind: 'tensor', dtype: 'i64', shape: [3, 2], port: 'boxes', rows: rows(0) } },
      { name: 'columns', type: { kind: 'tensor', dtype: 'f32', shape: [2, 3], port: 'columns', rows: rows(1) } },
    ],
    output_ports: ['boxes', 'columns', 'count'],
    symbols: [],
  };
  assert.deepEqual(outputBytes(pipeline, []), [48, 24, 4]);
  const answer = (count: number) => {
    const parts = [BigInt64Array.of(0n, 1n, 2n, 3n, -1n, -1n), Float32Array.of(0, 1, -1, 3, 4, -1), Int32Array.of(count)];
    return decode(pipeline, parts.map((part) => new Uint8Array(part.buffer)), new Map(), []);
  };
  assert.deepEqual(answer(2), {
    boxes: { data: BigInt64Array.of(0n, 1n, 2n, 3n), shape: [2, 2] },
    columns: { data: Float32Array.of(0, 1, 3, 4), shape: [2, 2] },
  });
  assert.deepEqual(answer(0), { boxes: { data: new BigInt64Array(0), shape: [0, 2] }, columns: { data: new Float32Array(0), shape: [2, 0] } });
  assert.deepEqual((answer(9) as { boxes: { shape: number[] } }).boxes.shape, [3, 2]);
});

test('results come with their shapes, those of constant sizes as arrays', async () => {
  const { symbols } = await given([1, 2, 3, 4]);
  const sizes = outputBytes(PIPELINE, symbols);
  assert.deepEqual(sizes, [16, 16, 4]);
  const outputs = sizes.map((bytes) => new Uint8Array(bytes));
  const answer = decode(PIPELINE, outputs, new Map(), symbols);
  assert.deepEqual(answer, {
    table: { data: new Float32Array(4), shape: [2, 2] },
    flat: { data: new Int32Array(4), shape: [4] },
    fixed: new Int32Array(1),
  });
});

test('views of inputs are as long as they can be', () => {
  const views = inputViews(PIPELINE, (_, bytes) => new Uint8Array(bytes));
  assert.equal((views['words'] as Int32Array).length, 8);
  assert.equal((views['pixels'] as Uint8Array).length, 96);
});
