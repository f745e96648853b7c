// Modules for several threads in a real browser: the bits of one thread, wherever a page may have helpers, and no helpers where it may not.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from './chromium.mjs';
import { mlpc, ROOT } from './mlpc.mjs';
import { BLANK, serve } from './server.mjs';

const RUNTIME = fileURLToPath(new URL('../../bindings/npm/runtime/dist/', import.meta.url));
const CROSS_ORIGIN = { 'cross-origin-opener-policy': 'unsafe-none', 'cross-origin-embedder-policy': 'unsafe-none' };
const policy = (workers) => ({ 'content-security-policy': `script-src 'self' 'unsafe-eval'; worker-src ${workers}` });

let browser, folder, threads;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mlp-threads-'));
  await mlpc(['build', `${ROOT}examples/objects/efficientnet_lite0.onnx`, '-o', folder]);
  ({ threads } = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')).pipelines[0].wasm);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await rm(folder, { recursive: true, force: true });
});

/** A page on a server with these headers, told of `work`; what was asked for is in `served`. */
async function visit(headers, work) {
  const served = [];
  const server = await serve({ '/': BLANK, '/runtime/': RUNTIME, '/bundle/': folder }, { served: (path) => served.push(path.split('/').at(-1)), headers: { 'cache-control': 'no-store', ...headers } });
  const page = await browser.context.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  try {
    await page.goto(server.url);
    await page.evaluate(async () => {
      const { openBundle } = await import('/runtime/index.js');
      const bundle = await openBundle('/bundle/manifest.json');
      const [{ name, type }] = bundle.manifest.pipelines[0].inputs;
      const size = type.shape.reduce((product, size) => product * size, 1);
      window.pipeline = bundle.pipeline();
      // `seed` tells inputs apart.
      window.answer = async (seed, options) => {
        const input = new Float32Array(size).map((_, i) => ((i * (7919 + seed)) % 1000) / 500 - 1);
        const { output, meta } = await pipeline.runWithMeta({ [name]: input }, { prefer: ['wasm'], ...options });
        const [values] = ArrayBuffer.isView(output) ? [output] : Object.values(output);
        return { bits: new Uint32Array(values.buffer, values.byteOffset, values.length).join(), threads: meta.threads };
      };
      // Runs until so many threads have come, or long enough to say that they never will.
      window.answers = async (count, options, turns) => {
        let last = 1;
        for (let turn = 0; turn < turns && last < count; turn++) {
          ({ threads: last } = await answer(0, options));
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        const found = [];
        for (let seed = 0; seed < 12; seed++) found.push((await answer(seed % 4, options)).bits);
        return { threads: last, found };
      };
    });
    return await work(page, served);
  } finally {
    await page.close();
    await server.close();
    assert.deepEqual(errors, []);
  }
}

const isShared = (file) => file === threads.simd128 || file === threads.relaxed;

test('helpers compute the same bits, and end with their pipeline', async () => {
  await visit({}, async (page, served) => {
    assert.ok(await page.evaluate(() => crossOriginIsolated));
    for (const relaxedSimd of [true, false]) {
      const one = await page.evaluate((relaxedSimd) => answers(1, { threads: 1, relaxedSimd }, 1), relaxedSimd);
      assert.deepEqual([one.threads, page.workers().length], [1, 0]);
      assert.equal(new Set(one.found).size, 4, 'inputs make a difference');
      for (const count of [2, 4]) {
        const several = await page.evaluate(([threads, relaxedSimd]) => answers(threads, { threads, relaxedSimd }, 500), [count, relaxedSimd]);
        assert.deepEqual(several, { threads: count, found: one.found });
        assert.equal(page.workers().length, count - 1);
        await page.evaluate(() => pipeline.dispose());
        for (let turn = 0; page.workers().length && turn < 500; turn++) await page.waitForTimeout(10);
        assert.equal(page.workers().length, 0, 'helpers end with their pipeline');
      }
    }
    assert.ok(served.includes(threads.relaxed) && served.includes(threads.simd128) && !served.includes('worker.js'));
  });
});

test('a page that is isolated has helpers unasked, and downloads one module', async () => {
  await visit({}, async (page, served) => {
    const processors = await page.evaluate(() => navigator.hardwareConcurrency);
    const { threads } = await page.evaluate((count) => answers(count, {}, 500), Math.min(2, processors));
    assert.ok(processors > 1 ? threads >= 2 && threads <= 4 : threads === 1);
    assert.equal(served.filter((file) => file.endsWith('.wasm')).length, 1);
    assert.equal(served.some(isShared), processors > 1);
  });
});

test('a page that is not isolated computes on one thread', async () => {
  await visit(CROSS_ORIGIN, async (page, served) => {
    assert.ok(!(await page.evaluate(() => crossOriginIsolated)));
    const { threads } = await page.evaluate(() => answers(2, { threads: 2 }, 3));
    assert.equal(threads, 1);
    assert.equal(page.workers().length, 0);
    assert.ok(!served.some(isShared));
  });
});

test('a policy that allows only files as workers is kept to', async () => {
  await visit(policy("'self'"), async (page, served) => {
    const one = await page.evaluate(() => answers(1, { threads: 1 }, 1));
    const two = await page.evaluate(() => answers(2, { threads: 2 }, 500));
    assert.deepEqual(two, { threads: 2, found: one.found });
    assert.ok(served.includes('worker.js'));
  });
});

test('a policy that allows no workers leaves one thread, with the same answer', async () => {
  await visit(policy("'none'"), async (page) => {
    const one = await page.evaluate(() => answers(1, { threads: 1 }, 1));
    const two = await page.evaluate(() => answers(2, { threads: 2 }, 5));
    assert.deepEqual(two, { threads: 1, found: one.found });
  });
});
