// The objects example as a person uses it: built with Vite, opened in Chromium, a photo dropped, the answer compared with the native one.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { launch } from './chromium.mjs';
import { compiler, mlpc, ROOT } from './mlpc.mjs';
import { serve } from './server.mjs';

const EXAMPLE = `${ROOT}examples/objects/`;
/** Bytes that the code of a web bundle may have, gzipped: the module or the GPU program, the runtime, the hook and the generated module. */
const CODE_BUDGET = 60_000;
/** Bytes that the JavaScript of it may have, gzipped and without React. */
const SCRIPT_BUDGET = 15_000;
/** How far the likeliest answer's score may be from the native one: photos are resized in floating point before the network's integers. */
const TOLERANCE = 1e-3;

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

/** Opens the page on a backend and drops a photo of the example into it. */
async function classify(photo, backend, theme = 'light') {
  const page = await browser.context.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  await page.emulateMedia({ colorScheme: theme });
  await page.goto(`${server.url}/?backend=${backend}`);
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
  await page.waitForSelector('.meta, [role=alert]', { timeout: 60_000 });
  return { page, errors, ...(await answer(page)) };
}

/** What the page shows. */
function answer(page) {
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

for (const backend of ['wasm', 'webgpu']) {
  for (const photo of ['espresso.png', 'chelsea.png']) {
    test(`${photo} dropped on the page gives the native answer on ${backend}`, async () => {
      const [shown, expected] = await Promise.all([classify(photo, backend), native(photo)]);
      assert.equal(shown.alert, undefined);
      assert.equal(shown.backend, backend);
      assert.deepEqual(shown.top.map(({ label }) => label), expected.map(({ label }) => label));
      shown.top.forEach(({ label, score }, i) => assert.ok(Math.abs(score - expected[i].score) < TOLERANCE, `${label}: ${score} instead of ${expected[i].score}`));
      assert.deepEqual(shown.errors, []);
      await shown.page.close();
    });
  }
}

test('the backend can be switched while a photo is shown', async () => {
  const { page, top } = await classify('espresso.png', 'wasm');
  await page.getByRole('radio', { name: 'WebGPU' }).check({ force: true });
  await page.waitForSelector('.meta [data-backend=webgpu]', { timeout: 60_000 });
  const switched = await answer(page);
  assert.deepEqual(switched.top.map(({ label }) => label), top.map(({ label }) => label));
  await page.close();
});

test('a file that is no image is refused in words', async () => {
  const { page } = await classify('espresso.png', 'wasm');
  await page.setInputFiles('input[type=file]', { name: 'letter.png', mimeType: 'image/png', buffer: Buffer.from('not a picture') });
  await page.waitForSelector('[role=alert]');
  assert.match((await answer(page)).alert, /INPUT.*photo is not an image/);
  await page.close();
});

test('the code of the bundle is small', async () => {
  const entry = join(folder, 'entry.js');
  const { writeFile } = await import('node:fs/promises');
  await writeFile(entry, `export * from ${JSON.stringify(`${EXAMPLE}objects.mlp`)};\n`);
  const { default: mlp } = await import('@mlp/unplugin/vite');
  const external = ['react', 'react-dom'];
  await build({
    root: `${EXAMPLE}web`,
    configFile: false,
    logLevel: 'warn',
    plugins: [mlp()],
    build: { outDir: join(folder, 'code'), lib: { entry, formats: ['es'] }, minify: true, rollupOptions: { external } },
  });
  const sizes = {};
  const walk = async (at) => {
    for (const item of await readdir(at, { withFileTypes: true })) {
      const path = join(at, item.name);
      if (item.isDirectory()) await walk(path);
      else sizes[item.name] = gzipSync(await readFile(path), { level: 9 }).length;
    }
  };
  await walk(join(folder, 'page'));
  const pageFiles = Object.entries(sizes).filter(([name]) => /\.(wasm|json)$/.test(name));
  for (const name of Object.keys(sizes)) delete sizes[name];
  await walk(join(folder, 'code'));
  const script = Object.entries(sizes).filter(([name]) => /\.m?js$/.test(name)).reduce((sum, [, bytes]) => sum + bytes, 0);
  const code = pageFiles.reduce((sum, [, bytes]) => sum + bytes, script);
  console.log(`gzipped bytes: script ${script}, ${pageFiles.map(([name, bytes]) => `${name} ${bytes}`).join(', ')}, together ${code}`);
  assert.ok(pageFiles.some(([name]) => name.endsWith('.wasm')), 'the page has a module');
  assert.ok(script < SCRIPT_BUDGET, `the script has ${script} bytes`);
  assert.ok(code < CODE_BUDGET, `the code has ${code} bytes`);
});

if (process.env.SCREENSHOT) {
  test('the picture for the documentation', async () => {
    for (const theme of ['light', 'dark']) {
      const { page } = await classify('espresso.png', 'webgpu', theme);
      await page.waitForTimeout(700);
      await page.screenshot({ path: process.env.SCREENSHOT.replace(/(\.\w+)?$/, (end) => (theme === 'dark' ? `-dark${end}` : end)) });
      await page.close();
    }
  });
}
