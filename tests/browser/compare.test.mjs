import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compare } from './compare.js';

const tolerance = { rtol: 0.01, atol: 0.1 };

test('numbers within the tolerance agree', () => {
  const { detail, max_abs, max_rel } = compare('y', [1, 101, NaN, Infinity], [1.0625, 100, NaN, Infinity], [4], tolerance);
  assert.equal(detail, '');
  assert.equal(max_abs, 1);
  assert.equal(max_rel, 0.0625 / 1.0625);
});

test('the worst number is named by its place', () => {
  const { detail } = compare('y', [0, 0.5, 0, 9, 0, 0], [0, 0, 0, 0, 0, 0], [1, 2, 3], tolerance);
  assert.equal(detail, 'y[0, 1, 0] is 9 instead of 0');
});

test('a number for no number, the other infinity and a missing element do not agree', () => {
  assert.match(compare('y', [NaN], [1], [1], tolerance).detail, /NaN instead of 1/);
  assert.match(compare('y', [-Infinity], [Infinity], [1], tolerance).detail, /-Infinity instead of Infinity/);
  assert.match(compare('y', [1, 2], [1], [1], tolerance).detail, /2 elements instead of 1/);
  assert.equal(compare('y', new BigInt64Array([3n]), new BigInt64Array([4n]), [1], { rtol: 0, atol: 0 }).max_abs, 1);
});
