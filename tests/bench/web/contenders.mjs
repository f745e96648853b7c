// Who is measured in a browser, and how each page is made.
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const require = createRequire(import.meta.url);

/**
 * `group` is the setting in which a contender is compared, `threads` how many it may use, `page` the script of its page, `package` the peer that must be installed, `model` the ending of
 * the file that it loads, `options` what the script is told.
 */
export const CONTENDERS = [
  ...[1, 2].flatMap((threads) => [
    { name: 'mlp', ours: true, page: 'mlp.js', options: { prefer: ['wasm'], threads } },
    { name: 'mlp without relaxed SIMD', ours: true, page: 'mlp.js', options: { prefer: ['wasm'], relaxedSimd: false, threads } },
    { name: 'onnxruntime-web', page: 'onnxruntime-wasm.js', package: 'onnxruntime-web', model: '.onnx', options: { threads } },
    { name: 'LiteRT.js', page: 'litert.js', package: '@litertjs/core', model: '.tflite', options: { accelerator: 'wasm', threads } },
    // Its build for threads makes workers of its own source text, which is not whole any more once a bundler has been at it: it waits for them without end.
    ...(threads > 1 ? [] : [{ name: 'TensorFlow.js', page: 'tfjs.js', package: '@tensorflow/tfjs-backend-wasm', model: '.onnx', converted: true }]),
  ].map((contender) => ({ ...contender, threads, group: threads > 1 ? `WebAssembly, ${threads} threads` : 'WebAssembly' }))),
  ...[
    { name: 'mlp', ours: true, page: 'mlp.js', options: { prefer: ['webgpu'] } },
    { name: 'onnxruntime-web', page: 'onnxruntime-webgpu.js', package: 'onnxruntime-web', model: '.onnx' },
    { name: 'LiteRT.js', page: 'litert.js', package: '@litertjs/core', model: '.tflite', options: { accelerator: 'webgpu' } },
  ].map((contender) => ({ ...contender, threads: 1, group: 'WebGPU' })),
];

/** Folders of packages that pages fetch from as they run, by the place where they are served. */
const ASSETS = {
  '/onnxruntime-web/': ['onnxruntime-web', 'dist'],
  '/litert/': ['@litertjs/core', 'wasm'],
  '/tfjs-backend-wasm/': ['@tensorflow/tfjs-backend-wasm', 'dist'],
};

/** The version of a peer, or nothing where it is not installed. */
export function version(name) {
  const file = join(HERE, 'node_modules', name, 'package.json');
  return existsSync(file) ? require(file).version : undefined;
}

/** The scripts of the pages, bundled and minified as a site would serve them, and the peers' own folders: mounts of a server. */
export async function mounts(contenders) {
  const scripts = {};
  for (const page of new Set(contenders.map((contender) => contender.page))) {
    const bundle = await rolldown({ input: join(HERE, page), platform: 'browser', logLevel: 'silent', external: (id) => id.startsWith('node:') });
    const { output } = await bundle.generate({ format: 'es', minify: true, codeSplitting: false });
    scripts[page] = output[0].code;
    await bundle.close();
  }
  const folders = Object.entries(ASSETS).filter(([, [name]]) => version(name));
  return { '/scripts/': scripts, ...Object.fromEntries(folders.map(([prefix, parts]) => [prefix, join(HERE, 'node_modules', ...parts)])) };
}

/** The bytes that a contender loads for a model; nothing where there is no such file. Fails where the model cannot be converted for it. */
export async function modelBytes(contender, model) {
  if (contender.ours) return new Uint8Array();
  const file = model.replace(/\.onnx$/, contender.model);
  if (!existsSync(file)) return undefined;
  if (!contender.converted) return readFile(file);
  const { convert } = await import('./tfjs-model.mjs');
  const { model: network, weights } = await convert(file);
  const header = Buffer.from(JSON.stringify(network));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  return Buffer.concat([length, header, Buffer.alloc(-header.length & 3), Buffer.from(weights.buffer)]);
}

/** The page of one turn; its script lies beside it. */
export function html(job) {
  const text = JSON.stringify(job).replaceAll('<', '\\u003c');
  return `<!doctype html><meta charset="utf-8"><title>turn</title><link rel="icon" href="data:,"><script type="application/json" id="job">${text}</script><script type="module" src="script.js"></script>`;
}

