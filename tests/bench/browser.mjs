#!/usr/bin/env node
// Times onnxruntime-web and bundles of mlpc in one Chromium page, one thread each, turn by turn.
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { launch } from '../browser/chromium.mjs';
import { mlpc, ROOT } from '../browser/mlpc.mjs';
import { BLANK, serve } from '../browser/server.mjs';

const USAGE = `Usage: node tests/bench/browser.mjs [MODEL.onnx ...] [options]

  --runs N        inferences of each, 30
  --dim N=V       a size for a symbolic dimension, N=1; may be given more than once
  --backend NAME  wasm, wasm-relaxed or webgpu; may be given more than once; the two of WebAssembly where it is left out
  --json          one object a line
  --mlpc FILE     the compiler; else the variable MLPC, target/release/mlpc, or the one on the path

Without models it takes EfficientNet-Lite0: the int8 one of the objects example, and the others where the development models are.`;

const MODELS = resolve(ROOT, '../shared/models');
const DEFAULTS = ['efficientnet_lite0.onnx', 'efficientnet_lite0_qdq.onnx', 'efficientnet_lite0_qop.onnx'].map((name) => join(MODELS, name));
const OPTIONS = { wasm: { prefer: ['wasm'], relaxedSimd: false }, 'wasm-relaxed': { prefer: ['wasm'], relaxedSimd: true }, webgpu: { prefer: ['webgpu'] } };

/** Loads both, and times them turn by turn: what else the machine does then falls on both. */
async function inPage({ bundle, model, dims, backends, runs }) {
  const [{ openBundle }, { default: ort }] = await Promise.all([import('/runtime/index.js'), import('/ort/ort.wasm.min.mjs')]);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = '/ort/';
  const arrays = { float32: Float32Array, int64: BigInt64Array, int32: Int32Array, uint8: Uint8Array, int8: Int8Array };
  const clock = async (work) => {
    const start = performance.now();
    const result = await work();
    return { ms: performance.now() - start, result };
  };
  const bytes = new Uint8Array(await (await fetch(model)).arrayBuffer());
  const peer = await clock(() => ort.InferenceSession.create(bytes, { executionProviders: ['wasm'], intraOpNumThreads: 1 }));
  const feeds = {};
  const input = {};
  for (const { name, type, shape } of peer.result.inputMetadata) {
    const sizes = shape.map((size) => (typeof size === 'number' ? size : (dims[size] ?? 1)));
    const data = new arrays[type](sizes.reduce((a, b) => a * b, 1));
    for (let i = 0; i < data.length; i++) data[i] = typeof data[0] === 'bigint' ? BigInt(i % 7) : Math.sin(i) * (type === 'float32' ? 1 : 100);
    feeds[name] = new ort.Tensor(type, data, sizes);
    input[name] = data;
  }
  const pipeline = (await openBundle(bundle)).pipeline();
  const contestants = [['onnxruntime-web', () => peer.result.run(feeds), peer.ms]];
  for (const [name, options] of backends) {
    const { ms } = await clock(() => pipeline.load(options));
    contestants.push([name, () => pipeline.run(input, options), ms]);
  }
  for (const [, run] of contestants) for (let i = 0; i < 3; i++) await run();
  const times = contestants.map(() => []);
  for (let i = 0; i < runs; i++) {
    for (const [j, [, run]] of contestants.entries()) times[j].push((await clock(run)).ms);
  }
  const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
  return contestants.map(([name, , load], j) => ({ name, load_ms: load, median_ms: median(times[j]), p95_ms: [...times[j]].sort((a, b) => a - b)[Math.floor(0.95 * (runs - 1))] }));
}

/** Gzipped bytes of a bundle's code: the relaxed module, or the GPU program. */
async function codeBytes(folder) {
  const manifest = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8'));
  const size = async (name) => gzipSync(await readFile(join(folder, name)), { level: 9 }).length;
  const [pipeline] = manifest.pipelines;
  return { wasm: await size(pipeline.wasm.simd128), 'wasm-relaxed': await size(pipeline.wasm.relaxed), webgpu: pipeline.gpu ? await size(pipeline.gpu) : null };
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      runs: { type: 'string', default: '30' },
      dim: { type: 'string', multiple: true, default: ['N=1'] },
      backend: { type: 'string', multiple: true, default: ['wasm', 'wasm-relaxed'] },
      json: { type: 'boolean', default: false },
      mlpc: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help || values.backend.some((name) => !Object.hasOwn(OPTIONS, name))) {
    console.error(USAGE);
    return values.help ? 0 : 2;
  }
  const found = DEFAULTS.filter((path) => existsSync(path));
  const models = positionals.length ? positionals.map((path) => resolve(path)) : found.length ? found : [`${ROOT}examples/objects/efficientnet_lite0.onnx`];
  const folder = await mkdtemp(join(tmpdir(), 'mlp-bench-'));
  const ort = dirname(fileURLToPath(import.meta.resolve('onnxruntime-web')));
  const runtime = fileURLToPath(new URL('../../bindings/npm/runtime/dist/', import.meta.url));
  const mounts = { '/': BLANK, '/bundles/': folder, '/ort/': ort, '/runtime/': runtime };
  for (const path of models) mounts[`/models/${basename(path)}/`] = { 'model.onnx': await readFile(path) };
  const server = await serve(mounts);
  let browser;
  try {
    browser = await launch();
    for (const path of models) {
      const name = basename(path, '.onnx');
      const bundle = join(folder, name);
      await mlpc(['build', path, '-o', bundle, ...values.dim.flatMap((dim) => ['--dim', dim])], { path: values.mlpc });
      const page = await browser.context.newPage();
      await page.goto(server.url);
      const job = {
        bundle: `${server.url}/bundles/${name}/manifest.json`,
        model: `/models/${basename(path)}/model.onnx`,
        dims: Object.fromEntries(values.dim.map((dim) => dim.split('=')).map(([symbol, value]) => [symbol, Number(value)])),
        backends: values.backend.map((backend) => [backend, OPTIONS[backend]]),
        runs: Number(values.runs),
      };
      const [peer, ...ours] = await page.evaluate(inPage, job);
      report(name, peer, ours, await codeBytes(bundle), values.json);
      await page.close();
    }
  } finally {
    await browser?.close();
    await server.close();
    await rm(folder, { recursive: true, force: true });
  }
  return 0;
}

function report(model, peer, ours, code, json) {
  if (!json) console.log(`${model.padEnd(28)} onnxruntime-web ${peer.median_ms.toFixed(1)} ms (load ${peer.load_ms.toFixed(0)} ms)`);
  for (const { name, median_ms, p95_ms, load_ms } of ours) {
    const ratio = median_ms / peer.median_ms;
    const row = { name: model, backend: `browser-${name}`, threads: 1, median_ms, p95_ms, load_ms, code_gzip_bytes: code[name], onnxruntime_web_ms: peer.median_ms, ratio };
    if (json) console.log(JSON.stringify(row));
    else console.log(`  ${name.padEnd(26)} ${median_ms.toFixed(1)} ms, ${ratio.toFixed(2)} of its time (load ${load_ms.toFixed(0)} ms, code ${(code[name] / 1000).toFixed(1)} kB gzipped)`);
  }
}

main().then(
  (status) => (process.exitCode = status),
  (error) => {
    console.error(error.message);
    process.exitCode = 1;
  },
);
