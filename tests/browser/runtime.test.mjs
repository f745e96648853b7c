// The runtime in a real browser, on a pipeline that is small enough to check by hand.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { files, PIPELINE, sourceOf } from '../../bindings/npm/runtime/dist/test/fixture.js';
import { launch } from './chromium.mjs';
import { mlpc, ROOT } from './mlpc.mjs';
import { BLANK, serve } from './server.mjs';

const SUM = `
struct Symbols { height: u32, width: u32 }
@group(0) @binding(0) var<storage, read> photo: array<u32>;
@group(0) @binding(1) var<storage, read> offsets: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> numbers: array<f32>;
@group(0) @binding(4) var<uniform> symbols: Symbols;
@compute @workgroup_size(1) fn sum() {
  let n = symbols.height * symbols.width;
  var total = 0.0;
  for (var i = 0u; i < n; i++) { total += f32(photo[i] & 255u); }
  numbers[4] = (total / f32(n) + offsets[0] + offsets[1]) / weights[0];
}`;
const RANK = `
@group(0) @binding(0) var<storage, read_write> indices: array<u32>;
@group(0) @binding(1) var<storage, read_write> numbers: array<f32>;
@compute @workgroup_size(1) fn rank() {
  let bright = numbers[4];
  let dark = 255.0 - bright;
  let first = select(1u, 0u, bright >= dark);
  indices[0] = first;
  indices[1] = 1u - first;
  numbers[0] = max(bright, dark);
  numbers[1] = min(bright, dark);
}`;

/** The same, many times as slow. */
const SLOW = SUM.replace('var total = 0.0;', 'var total = 0.0;\n  for (var j = 0u; j < 300u; j++) { total = 0.0;').replace('&255u); }', '&255u); } }').replace('& 255u); }', '& 255u); } }');

/** The GPU form of the fixture; `changes` make it one that does not work. */
function program(changes = {}) {
  return {
    modules: [{ label: 'sum', wgsl: SUM }, { label: 'rank', wgsl: RANK }],
    slots: [64 * 64 * 4, 16, 16, 32],
    uniforms: [0, 1],
    inputs: [{ buffer: 0, slot: 0, offset: 0, bytes: 64 * 64 * 4 }, { buffer: 1, slot: 1, offset: 0, bytes: 8 }],
    outputs: [
      { buffer: 2, slot: 2, offset: 0, bytes: 8 },
      { buffer: 3, slot: 3, offset: 0, bytes: 8 },
      { buffer: 4, slot: 3, offset: 16, bytes: 4 },
    ],
    dispatches: [
      { kernel: 'sum', module: 0, entry: 'sum', bindings: [{ read: 0 }, { read: 1 }, { weights: { offset: 0, bytes: 16 } }, { write: 3 }, 'symbols'], workgroups: [1, 1, 1] },
      { kernel: 'rank', module: 1, entry: 'rank', bindings: [{ write: 2 }, { write: 3 }], workgroups: [1, 1, 1] },
    ],
    features: [],
    ...changes,
  };
}

let browser, server, page;
const served = [];
const bundle = {};
const sources = {};

before(async () => {
  const contents = {};
  const variants = {
    good: program(),
    demanding: program({ features: ['shader-f16'] }),
    slow: program({
      modules: [{ label: 'sum', wgsl: SLOW }, { label: 'rank', wgsl: RANK }, { label: 'sum', wgsl: SUM }, { label: 'sum', wgsl: SUM, features: ['none-such'] }],
      dispatches: program().dispatches.map((dispatch, i) => (i ? dispatch : { ...dispatch, variants: [3, 2].map((module) => ({ module, workgroups: [1, 1, 1] })) })),
    }),
    invalid: program({ modules: [{ label: 'sum', wgsl: 'fn sum() { return 1; }' }, { label: 'rank', wgsl: RANK }] }),
  };
  for (const [name, gpu] of Object.entries(variants)) {
    const all = { ...(await files(2)), 'gpu.json': new TextEncoder().encode(JSON.stringify(gpu)) };
    const { urls, ...source } = sourceOf(all, { ...PIPELINE, gpu: 'gpu.json' });
    sources[name] = source;
    for (const [file, bytes] of Object.entries(all)) contents[`${name}/${file}`] = bytes;
  }
  // A server that knows no type for modules.
  const { 'relaxed.wasm': module, ...rest } = await files(2);
  const untyped = { ...rest, 'relaxed.bin': module };
  const { urls, ...source } = sourceOf(untyped, { ...PIPELINE, wasm: { ...PIPELINE.wasm, relaxed: 'relaxed.bin' } });
  sources.untyped = source;
  for (const [file, bytes] of Object.entries(untyped)) contents[`untyped/${file}`] = bytes;
  const runtime = fileURLToPath(new URL('../../bindings/npm/runtime/dist/', import.meta.url));
  server = await serve({ '/': BLANK, '/runtime/': runtime, '/files/': contents, '/bundle/': bundle }, { served: (path) => served.push(path), headers: { 'cache-control': 'no-store' } });
  browser = await launch();
  page = await browser.context.newPage();
  page.on('pageerror', (error) => console.error(error));
  await page.goto(server.url);
  await page.evaluate(async (sources) => {
    const runtime = await import('/runtime/index.js');
    window.open_ = (name) => {
      const urls = () => Object.fromEntries(Object.keys(sources[name].files).map((file) => [file, new URL(`/files/${name}/${file}`, location.href)]));
      return runtime.definePipeline({ ...sources[name], urls });
    };
    window.photo = (red, width, height) => ({ width, height, data: new Uint8Array(width * height * 4).map((_, i) => (i % 4 ? 255 : red)) });
    window.outcome = (promise) => promise.then(({ output, meta }) => ({ top: output.top, mean: output.mean[0], backend: meta.backend }), ({ code, message }) => ({ code, message }));
  }, sources);
});

after(async () => {
  await browser?.close();
  await server?.close();
});

const expected = { top: [{ label: 'dark', index: 1, score: 185 }, { label: 'bright', index: 0, score: 70 }], mean: 70 };

for (const backend of ['wasm', 'webgpu']) {
  test(`answers on ${backend}`, async () => {
    const first = await page.evaluate((backend) => outcome(open_('good').runWithMeta({ photo: photo(100, 3, 2), offsets: [30, 10] }, { prefer: [backend] })), backend);
    assert.deepEqual(first, { ...expected, backend });
  });
}

test('Chromium takes the relaxed module', async () => {
  const variant = await page.evaluate(async () => (await open_('good').runWithMeta({ photo: photo(1, 1, 1), offsets: [0, 0] }, { prefer: ['wasm'] })).meta.variant);
  assert.equal(variant, 'relaxed');
});

test('a module is compiled as it arrives, whatever type the server gives it', async () => {
  const answer = await page.evaluate(async () => {
    const compile = WebAssembly.compileStreaming;
    let streamed = 0;
    WebAssembly.compileStreaming = (response) => {
      streamed++;
      return compile(response);
    };
    try {
      return { ...(await outcome(open_('untyped').runWithMeta({ photo: photo(100, 3, 2), offsets: [30, 10] }, { prefer: ['wasm'] }))), streamed };
    } finally {
      WebAssembly.compileStreaming = compile;
    }
  });
  assert.deepEqual(answer, { ...expected, backend: 'wasm', streamed: 1 });
});

for (const backend of ['wasm', 'webgpu']) {
  test(`a second visit with kept files downloads nothing on ${backend}`, async () => {
    const visit = async () => {
      const from = served.length;
      const answer = await page.evaluate((backend) => outcome(open_('good').runWithMeta({ photo: photo(100, 3, 2), offsets: [30, 10] }, { prefer: [backend], cache: true })), backend);
      assert.deepEqual(answer, { ...expected, backend });
      return served.slice(from).filter((path) => path.startsWith('/files/')).length;
    };
    await visit();
    await page.waitForFunction(async () => (await (await caches.open('mlp')).keys()).length >= 3);
    assert.equal(await visit(), 0);
    const damaged = await page.evaluate(async (sha256) => {
      const cache = await caches.open('mlp');
      await cache.put(`/.mlp/${sha256}`, new Response(new Uint8Array(128)));
      return (await (await cache.match(`/.mlp/${sha256}`)).arrayBuffer()).byteLength;
    }, sources.good.files['weights.bin'].sha256);
    assert.equal(damaged, 128);
    assert.equal(await visit(), 1, 'what was damaged is downloaded again');
    await page.evaluate(() => caches.delete('mlp'));
  });
}

test('a bundle with compressed weights downloads those alone, and answers the same', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mlp-compressed-'));
  try {
    await mlpc(['build', `${ROOT}tests/fuzz/corpus/onnx/light_squeezenet.onnx`, '-o', folder, '--compress-weights']);
    const manifest = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8'));
    const entry = manifest.files[manifest.pipelines[0].weights];
    assert.ok(manifest.files[entry.compressed.file].bytes < 0.9 * entry.bytes);
    const names = ['manifest.json', ...Object.keys(manifest.files)];
    Object.assign(bundle, Object.fromEntries(await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))]))));
    const from = served.length;
    const differing = await page.evaluate(async () => {
      const { openBundle } = await import('/runtime/index.js');
      const run = async (backend) => {
        const pipeline = (await openBundle('/bundle/manifest.json')).pipeline();
        const [field] = (await (await fetch('/bundle/manifest.json')).json()).pipelines[0].inputs;
        const data = Float32Array.from({ length: field.type.shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(i));
        return pipeline.run({ [field.name]: data }, { prefer: [backend] });
      };
      const compressed = await run('wasm');
      const gpu = await run('webgpu');
      const stream = globalThis.DecompressionStream;
      globalThis.DecompressionStream = undefined;
      const plain = await run('wasm');
      globalThis.DecompressionStream = stream;
      return { cpu: compressed.filter((value, i) => value !== plain[i]).length, gpu: gpu.filter((value, i) => Math.abs(value - plain[i]) > 1e-4).length, sum: plain.reduce((a, b) => a + b) };
    });
    assert.deepEqual([differing.cpu, differing.gpu], [0, 0]);
    assert.ok(Math.abs(differing.sum - 1) < 1e-3, 'the answer is a distribution');
    const count = (name) => served.slice(from).filter((path) => path.endsWith(name)).length;
    assert.deepEqual([count(entry.compressed.file), count(manifest.pipelines[0].weights)], [2, 1]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('weights that are on their way for a GPU that fails go to WebAssembly', async () => {
  const from = served.length;
  const answer = await page.evaluate(() => outcome(open_('demanding').runWithMeta({ photo: photo(100, 3, 2), offsets: [30, 10] }, { prefer: ['webgpu', 'wasm'] })));
  assert.deepEqual(answer, { ...expected, backend: 'wasm' });
  assert.equal(served.slice(from).filter((path) => path.endsWith('weights.bin')).length, 1);
});

test('outputs stay on the GPU, or are read where they were mapped', async () => {
  const found = await page.evaluate(async () => {
    const pipeline = open_('good');
    const options = { prefer: ['webgpu'] };
    const { offsets } = await pipeline.inputViews(options);
    offsets.set([30, 10]);
    const { top, mean } = await pipeline.runOnGpu({ photo: photo(100, 3, 2), offsets }, options);
    const readback = mean.device.createBuffer({ size: 4, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
    const encoder = mean.device.createCommandEncoder();
    encoder.copyBufferToBuffer(mean.buffer, mean.offset, readback, 0, mean.bytes);
    mean.device.queue.submit([encoder.finish()]);
    await readback.mapAsync(GPUMapMode.READ);
    const [kept] = new Float32Array(readback.getMappedRange());
    offsets.set([50, 10]);
    const first = (await pipeline.run({ photo: photo(100, 3, 2), offsets }, { ...options, outputs: 'view' })).mean;
    const [seen] = first;
    const second = (await pipeline.run({ photo: photo(10, 3, 2), offsets }, options)).mean;
    return { kept, seen, after: first.length, second: second[0], top: top === undefined, bytes: mean.bytes, dtype: mean.dtype, shape: mean.shape };
  });
  assert.deepEqual(found, { kept: 70, seen: 80, after: 0, second: 35, top: true, bytes: 4, dtype: 'f32', shape: [] });
});

test('runs that are asked for at once on the GPU follow one another', async () => {
  const means = await page.evaluate(async () => {
    const pipeline = open_('good');
    const runs = [10, 20, 30, 40].map((red) => pipeline.run({ photo: photo(red, 64, 63), offsets: new Float32Array([1, 1]) }, { prefer: ['webgpu'] }));
    return (await Promise.all(runs)).map(({ mean }) => mean[0]);
  });
  assert.deepEqual(means, [6, 11, 16, 21]);
});

test('a device measures the variants of kernels that it has, and keeps the faster one', async () => {
  const { answers, kept } = await page.evaluate(async () => {
    const options = { prefer: ['webgpu'] };
    const kept = () => Object.entries(localStorage).filter(([key]) => key.startsWith('mlp ')).map(([, choice]) => JSON.parse(choice));
    const run = (pipeline) => outcome(pipeline.runWithMeta({ photo: photo(100, 64, 63), offsets: [30, 10] }, options));
    const first = open_('slow');
    const answers = [await run(first)];
    const before = kept();
    await first.tune(options);
    answers.push(await run(first));
    // Another one begins with what was found.
    answers.push(await run(open_('slow')));
    await open_('good').tune({ prefer: ['wasm'] });
    return { answers, kept: [before, kept()] };
  });
  assert.deepEqual(answers, Array(3).fill({ ...expected, backend: 'webgpu' }));
  assert.deepEqual(kept, [[], [[2, 0]]]);
});

test('a lost device is an error, or WebAssembly goes on', async () => {
  const [alone, both, after] = await page.evaluate(async () => {
    const request = GPUAdapter.prototype.requestDevice;
    const devices = [];
    GPUAdapter.prototype.requestDevice = async function (...options) {
      const device = await request.apply(this, options);
      devices.push(device);
      return device;
    };
    const input = { photo: photo(100, 3, 2), offsets: [30, 10] };
    const run = async (prefer) => {
      const pipeline = open_('good');
      await pipeline.load({ prefer });
      devices.at(-1).destroy();
      return [await outcome(pipeline.runWithMeta(input, { prefer })), await outcome(pipeline.runWithMeta(input, { prefer }))];
    };
    const [alone] = await run(['webgpu']);
    const [both, after] = await run(['webgpu', 'wasm']);
    GPUAdapter.prototype.requestDevice = request;
    return [alone, both, after];
  });
  assert.equal(alone.code, 'DEVICE_LOST', alone.message);
  assert.deepEqual(both, { ...expected, backend: 'wasm' });
  assert.deepEqual(after, { ...expected, backend: 'wasm' });
});

test('a GPU that cannot run the program says why, or WebAssembly takes over', async () => {
  const run = (name, prefer) => page.evaluate(([name, prefer]) => outcome(open_(name).runWithMeta({ photo: photo(100, 3, 2), offsets: [30, 10] }, { prefer })), [name, prefer]);
  assert.match((await run('demanding', ['webgpu'])).message, /webgpu: the GPU lacks shader-f16/);
  assert.equal((await run('demanding', ['webgpu', 'wasm'])).backend, 'wasm');
  const invalid = await run('invalid', ['webgpu']);
  assert.equal(invalid.code, 'NO_BACKEND');
  assert.match(invalid.message, /cannot be set up on this GPU/);
  assert.equal((await run('invalid', ['webgpu', 'wasm'])).backend, 'wasm');
});

test('every kind of image gives the pixels in its file', async () => {
  const means = await page.evaluate(async () => {
    const pipeline = open_('good');
    const canvas = Object.assign(document.createElement('canvas'), { width: 40, height: 20 });
    const context = canvas.getContext('2d');
    for (let x = 0; x < 40; x++) {
      context.fillStyle = `rgb(${3 * x}, 9, 200)`;
      context.fillRect(x, 0, 1, 20);
    }
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
    const image = Object.assign(new Image(), { src: URL.createObjectURL(blob) });
    await image.decode();
    const photos = {
      canvas,
      blob,
      image,
      file: new File([blob], 'ramp.png', { type: 'image/png' }),
      bitmap: await createImageBitmap(blob),
      pixels: context.getImageData(0, 0, 40, 20),
      offscreen: Object.assign(new OffscreenCanvas(40, 20)),
    };
    photos.offscreen.getContext('2d').drawImage(canvas, 0, 0);
    const entries = Object.entries(photos).map(async ([name, photo]) => [name, (await pipeline.run({ photo, offsets: [0, 0] }, { prefer: ['wasm'] })).mean[0]]);
    return Object.fromEntries(await Promise.all(entries));
  });
  const mean = (3 * 39) / 2 / 2;
  assert.deepEqual(means, { canvas: mean, blob: mean, image: mean, file: mean, bitmap: mean, pixels: mean, offscreen: mean });
});

test('what is not an image is refused', async () => {
  const answer = await page.evaluate(() => outcome(open_('good').runWithMeta({ photo: new Blob(['hello']), offsets: [0, 0] }, { prefer: ['wasm'] })));
  assert.equal(answer.code, 'INPUT');
  assert.match(answer.message, /photo is not an image that this browser can decode/);
});
