// The browser benchmark, on our own contenders and a model of the tree: what it finds is judged, never how fast it was.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bench } from '../bench/browser.mjs';
import { median, ratios, roofline } from '../bench/web/rows.mjs';
import { ROOT } from './mlpc.mjs';

test('every contender of ours answers the same, with one submission and one readback', async () => {
  const groups = ['WebAssembly', 'WebGPU'];
  const contenders = ['mlp', 'mlp without relaxed SIMD'];
  const result = await bench({ models: [`${ROOT}tests/data/sk_digits_mlp.onnx`], groups, contenders, dims: { N: 3 }, rounds: 1, seconds: 0.01 });
  assert.equal(result.schema, 1);
  assert.deepEqual(result.rows.map(({ group, contender, status }) => [group, contender, status]), [
    ['WebAssembly', 'mlp', 'ok'],
    ['WebAssembly', 'mlp without relaxed SIMD', 'ok'],
    ['WebGPU', 'mlp', 'ok'],
  ]);
  const [first, second, gpu] = result.rows;
  assert.equal(second.max_abs < 1e-4, true, 'the second is compared with the first');
  assert.ok(first.page_ms >= first.load_ms + first.first_ms && first.runs >= 1 && first.min_ms <= first.median_ms);
  assert.ok(first.memory_bytes >= 65536 && gpu.memory_bytes === 0);
  for (const row of result.rows) {
    assert.ok(row.code_bytes > 1000 && row.code_bytes < 55_000, `${row.code_bytes} bytes of code`);
    assert.ok(row.weight_bytes > 4 * 64, 'weights are counted');
  }
  assert.deepEqual([gpu.submits, gpu.maps], [1, 1]);
  assert.ok(gpu.dispatches >= 1);
});

test('figures become rows', () => {
  assert.equal(median([3, 1, 2, 10]), 2.5);
  const rows = [{ ours: true, status: 'ok', median_ms: 2 }, { ours: false, status: 'ok', median_ms: 5 }, { ours: false, status: 'failed' }];
  assert.deepEqual(ratios(rows).map(({ ratio }) => ratio), [1, 2.5, undefined]);
  assert.equal(roofline({ status: 'ok', macs: { f32: 1e9, int8: 4e9 }, median_ms: 200 }, { f32_gmacs: 20, int8_gmacs: 80 }), 0.5);
});
