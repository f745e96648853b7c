// The objects example as a person uses it: built with Vite, opened in Chromium, a photo dropped, the answer compared with the native one.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import mlp from '@mlp/unplugin/vite';
import { build } from 'vite';
import { launch } from './chromium.mjs';
import { compiler, mlpc, ROOT } from './mlpc.mjs';
import { serve } from './server.mjs';

const EXAMPLE = `${ROOT}examples/objects/`;
/** Bytes that the code a page takes may have, gzipped: the largest of the modules, the GPU program, the runtime, the hook and the generated module. */
const CODE_BUDGET = 60_000;
/** Bytes that a WebAssembly module may have, gzipped. A page takes one of those for relaxed SIMD or not, for several threads or one. */
const MODULE_BUDGET = 40_000;
/** Bytes that the JavaScript of it may have, gzipped and without React. */
const SCRIPT_BUDGET = 15_750;
/**
 * How far a score may be from the native one. Photos are resized in floating point before the network's integers: WebAssembly rounds as the
 * processor does, and a GPU may round a pixel to the neighbouring integer, which moves a logit by one step of its quantization: a score by 0.023 at most.
 */
const TOLERANCE = { wasm: 1e-5, webgpu: 0.025 };
/** Milliseconds for the page: where the GPU is played by a processor that others use too, shaders compile slowly. */
const TIMEOUT = 300_000;

let folder, browser, server;

before(async () => {
  process.env.MLPC = compiler();
  folder = await mkdtemp(join(tmpdir(), 'mlp-page-'));
  await build({ root: `${EXAMPLE}web`, logLevel: 'warn', build: { outDir: join(folder, 'page'), emptyOutDir: true } });
  server = await serve({ '/': join(folder, 'page') });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});

/** Opens the page on a backend. What goes wrong in it is gathered in `errors`. */
async function open(backend, theme = 'light') {
  const page = await browser.context.newPage();
  page.setDefaultTimeout(TIMEOUT);
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  await page.emulateMedia({ colorScheme: theme });
  await page.goto(`${server.url}/?backend=${backend}`);
  return { page, errors };
}

/** Drops a photo of the example on the page. */
async function drop(page, photo) {
  const bytes = await readFile(EXAMPLE + photo);
  const transfer = await page.evaluateHandle(
    ([name, base64]) => {
      const data = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([data], name, { type: 'image/png' }));
      return transfer;
    },
    [photo, bytes.toString('base64')],
  );
  await page.dispatchEvent('.drop', 'drop', { dataTransfer: transfer });
  await page.waitForSelector(`.drop img[alt="${photo}"]`);
}

/** What the page shows once nothing is on its way any more. */
async function answer(page) {
  await page.waitForSelector('.answer[aria-busy=false] :is(.meta, [role=alert])');
  return page.evaluate(() => ({
    top: [...document.querySelectorAll('.ranking li')].map((row) => ({ label: row.querySelector('.label').textContent, score: Number(row.querySelector('data').value) })),
    backend: document.querySelector('.meta [data-backend]')?.dataset.backend,
    alert: document.querySelector('[role=alert]')?.textContent,
  }));
}

/** The native answer. */
async function native(photo) {
  const { stdout } = await mlpc(['run', `${EXAMPLE}objects.mlp`, '--input', `photo=${EXAMPLE}${photo}`, '--json']);
  return JSON.parse(stdout).output.top;
}

/** Holds what the page shows to the native answer. */
async function check(page, photo, backend) {
  const [shown, expected] = [await answer(page), await native(photo)];
  assert.equal(shown.alert, undefined);
  assert.equal(shown.backend, backend);
  const labels = (top) => top.map(({ label }) => label);
  assert.deepEqual(labels(shown.top).sort(), labels(expected).sort());
  const scores = new Map(expected.map(({ label, score }) => [label, score]));
  shown.top.forEach(({ label, score }, i) => {
    const near = (one, other) => assert.ok(Math.abs(one - other) < TOLERANCE[backend], `${label}, place ${i + 1}: ${one} instead of ${other}`);
    near(score, scores.get(label));
    // Labels whose scores are as near may stand in the other order.
    near(scores.get(label), expected[i].score);
  });
}

for (const backend of ['wasm', 'webgpu']) {
  test(`photos dropped on the page give the native answers on ${backend}`, async () => {
    const { page, errors } = await open(backend);
    for (const photo of ['espresso.png', 'chelsea.png']) {
      await drop(page, photo);
      await check(page, photo, backend);
    }
    if (backend === 'webgpu') {
      await page.getByRole('radio', { name: 'WebAssembly' }).check({ force: true });
      await page.waitForSelector('.meta [data-backend=wasm]');
      await check(page, 'chelsea.png', 'wasm');
    }
    assert.deepEqual(errors, []);
    await page.close();
  });
}

test('a file that is no image is refused in words', async () => {
  const { page } = await open('wasm');
  await page.setInputFiles('input[type=file]', { name: 'letter.png', mimeType: 'image/png', buffer: Buffer.from('not a picture') });
  assert.match((await answer(page)).alert, /INPUT.*photo is not an image/);
  await drop(page, 'espresso.png');
  await check(page, 'espresso.png', 'wasm');
  await page.close();
});

test('the code of the bundle is small', async () => {
  const entry = join(folder, 'entry.js');
  await writeFile(entry, `export * from ${JSON.stringify(`${EXAMPLE}objects.mlp`)};\n`);
  await build({
    root: `${EXAMPLE}web`,
    configFile: false,
    logLevel: 'error',
    plugins: [mlp()],
    // What Vite adds to preload chunks is not ours.
    build: { outDir: join(folder, 'code'), emptyOutDir: true, modulePreload: false, assetsInlineLimit: 0, rollupOptions: { input: entry, external: ['react'], preserveEntrySignatures: 'strict' } },
  });
  const files = await readdir(join(folder, 'code/assets'));
  const sizes = await Promise.all(files.filter((name) => /\.(js|wasm|json)$/.test(name)).map(async (name) => [name, gzipSync(await readFile(join(folder, 'code/assets', name)), { level: 9 }).length]));
  const sum = (pattern) => sizes.filter(([name]) => pattern.test(name)).reduce((total, [, bytes]) => total + bytes, 0);
  const module = Math.max(0, ...sizes.filter(([name]) => name.endsWith('.wasm')).map(([, bytes]) => bytes));
  // What makes tokens of texts is a chunk of its own, which a pipeline without texts never loads.
  const [script, program] = [sum(/^(?!encoder).*\.js$/), sum(/\.json$/)];
  const code = script + module + program;
  console.log(`gzipped bytes: script ${script}, largest module ${module}, GPU program ${program}, together ${code}`);
  assert.ok(script && module && program, `every kind of code is there: ${files.join(', ')}`);
  assert.ok(module < MODULE_BUDGET, `a module has ${module} bytes`);
  assert.ok(script < SCRIPT_BUDGET, `the script has ${script} bytes`);
  assert.ok(code < CODE_BUDGET, `the code has ${code} bytes`);
});

if (process.env.SCREENSHOT) {
  test('the picture for the documentation', async () => {
    for (const theme of ['light', 'dark']) {
      const { page } = await open(process.env.SCREENSHOT_BACKEND ?? 'wasm', theme);
      await drop(page, 'espresso.png');
      await answer(page);
      await page.waitForTimeout(700);
      await page.screenshot({ path: process.env.SCREENSHOT.replace(/(\.\w+)?$/, (end) => (theme === 'dark' ? `-dark${end}` : end)) });
      await page.close();
    }
  });
}
