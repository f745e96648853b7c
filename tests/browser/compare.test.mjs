import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bitDifference, compare } from './compare.js';
import { Known } from './known.mjs';

const tolerance = { rtol: 0.01, atol: 0.1 };
const port = (shape, more = {}) => ({ name: 'y', dtype: 'f32', shape, ...more });

test('floats within the tolerance agree', () => {
  const { fault, max_abs, max_rel } = compare(port([4]), [1, 101, NaN, Infinity], [1.0625, 100, NaN, Infinity], tolerance);
  assert.equal(fault, '');
  assert.equal(max_abs, 1);
  assert.equal(max_rel, 0.0625 / 1.0625);
});

test('the worst number is named by its place', () => {
  assert.equal(compare(port([1, 2, 3]), [0, 0.5, 0, 9, 0, 0], [0, 0, 0, 0, 0, 0], tolerance).fault, '`y`[0, 1, 0] is 9, expected 0');
});

test('a number for no number, the other infinity and a missing element do not agree', () => {
  assert.match(compare(port([1]), [NaN], [1], tolerance).fault, /is NaN, expected 1/);
  assert.match(compare(port([1]), [-Infinity], [Infinity], tolerance).fault, /is -Infinity, expected Infinity/);
  assert.match(compare(port([1]), [1, 2], [1], tolerance).fault, /2 elements, expected 1/);
});

test('integers agree exactly or not at all', () => {
  assert.match(compare(port([1], { dtype: 'i64' }), new BigInt64Array([3n]), new BigInt64Array([4n]), { rtol: 1, atol: 1 }).fault, /is 3, expected 4/);
});

test('a quantized output may be one step away, or have the same top five', () => {
  assert.equal(compare(port([1], { step: 0.5 }), [1], [1.5], tolerance).fault, '');
  assert.match(compare(port([1], { step: 0.5 }), [1], [2], tolerance).fault, /is 1, expected 2/);
  const scores = [9, 8, 7, 6, 5, 4.75, 0, 0, 0, 0];
  assert.equal(compare(port([1, 10], { step: 0.5 }), scores.map((score) => 2 * score), scores, tolerance).fault, '');
  const tied = [9, 8, 7, 6, 4.75, 5, 0, 0, 3, 0];
  assert.equal(compare(port([1, 10], { step: 0.5 }), tied, scores, tolerance).fault, '', 'the sixth is a step away from the fifth');
  assert.notEqual(compare(port([1, 10], { step: 0.5 }), [...scores].reverse(), scores, tolerance).fault, '');
});

test('bits are compared by element', () => {
  const first = new Float32Array([1, 2, 3, 4]);
  assert.equal(bitDifference(port([2, 2]), new Float32Array(first), first), '');
  assert.equal(bitDifference(port([2, 2]), new Float32Array([1, 2, 3.5, 4.5]), first), '`y` differs in 2 of 4 elements, first at [1, 0]');
});

test('a known gap excuses a failure and not a pass', () => {
  const known = new Known('gaps.txt', '# why\nconv webgpu no f64 on GPUs\n\npool [wasm,webgpu] rounding\nlost [wasm] gone\n'.replace('conv webgpu', 'conv [webgpu]'));
  const line = (name, backend, status) => known.apply({ name, backend, status, detail: 'f64' });
  assert.deepEqual(line('conv', 'webgpu', 'fail'), { name: 'conv', backend: 'webgpu', status: 'known', detail: 'no f64 on GPUs (f64)' });
  assert.equal(line('conv', 'wasm', 'fail').status, 'fail');
  assert.equal(line('pool', 'wasm', 'pass').status, 'pass');
  assert.deepEqual(known.stale(['conv', 'pool']), ['`pool` is in the list of known gaps and passes: take it out', '`lost` is in the list of known gaps and no case has that name']);
  assert.throws(() => new Known('gaps.txt', 'conv\n'), /gaps.txt:1: a row is/);
});
