// Models that the tree carries come out right in Chromium, on every backend, and the quantized one to the same bits on each.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ROOT } from './mlpc.mjs';
import { verify } from './verify.mjs';

const CASES = [
  { name: 'sk_digits_mlp', path: 'tests/data/sk_digits_mlp.onnx', data: 'tests/data/sk_digits_mlp.npz' },
  { name: 'efficientnet_lite0', path: 'examples/objects/efficientnet_lite0.onnx', data: 'tests/data/efficientnet_lite0_qdq.npz' },
];

for (const variant of ['tiled', 'split', 'dot', 'subgroup']) {
  test(`kernels that share their work or multiply packed bytes give the same: ${variant}`, async () => {
    const [, { path, data }] = CASES;
    const results = [];
    await verify({ path: ROOT + path, data: ROOT + data, backends: ['wasm', 'webgpu'], variant, report: (result) => results.push(result) });
    assert.deepEqual(results.map(({ status, detail }) => ({ status, detail })), Array(2).fill({ status: 'pass', detail: '' }));
  });
}

for (const { name, path, data } of CASES) {
  test(`${name} gives what was recorded, on every backend of a browser`, async () => {
    const results = [];
    const backends = ['wasm', 'wasm-relaxed', 'webgpu'];
    const names = await verify({ path: ROOT + path, data: ROOT + data, backends, report: (result) => results.push(result) });
    assert.deepEqual(names, [name]);
    assert.deepEqual(results.map(({ backend, status, detail }) => ({ backend, status, detail })), backends.map((backend) => ({ backend, status: 'pass', detail: '' })));
  });
}
