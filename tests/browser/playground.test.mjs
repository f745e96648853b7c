// The playground as a person uses it: written in, looked at, run on a photo, the answer compared with the native one.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { launch } from './chromium.mjs';
import { mlpc, ROOT } from './mlpc.mjs';
import { serve } from './server.mjs';

const PLAYGROUND = `${ROOT}bindings/npm/playground`;
const EXAMPLE = `${ROOT}examples/objects/`;
/** Bytes that the compiler may have, gzipped. */
const COMPILER_BUDGET = 2_500_000;
/** How far a score may be from the native one; page.test.mjs says why. */
const TOLERANCE = { wasm: 1e-5, webgpu: 0.025 };
/** Milliseconds for the page: compilers compile slowly where others use the processor too. */
const TIMEOUT = Number(process.env.TIMEOUT ?? 240_000);

let folder, browser, server;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mlp-playground-'));
  await build({ root: PLAYGROUND, logLevel: 'warn', build: { outDir: join(folder, 'page'), emptyOutDir: true } });
  server = await serve({ '/': join(folder, 'page') });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});

/** Opens an example. What goes wrong in the page is gathered in `errors`. */
async function open(example = 'objects', theme = 'light') {
  const page = await browser.context.newPage();
  page.setDefaultTimeout(TIMEOUT);
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  await page.emulateMedia({ colorScheme: theme });
  await page.goto(`${server.url}/?example=${example}`);
  await page.waitForSelector('.status[data-milliseconds]');
  await page.waitForSelector('.file[aria-pressed=true]');
  return { page, errors };
}

const EDITOR = '.editor .cm-content';

/** Puts the cursor right after a text that stands on one line of the editor. */
async function cursorAfter(page, text) {
  await page.evaluate(
    ([selector, text]) => {
      const content = document.querySelector(selector);
      const walker = document.createTreeWalker(content, NodeFilter.SHOW_TEXT);
      const line = [...content.querySelectorAll('.cm-line')].find((line) => line.textContent.includes(text));
      if (!line) throw new Error(`no line has ${text}`);
      walker.currentNode = line;
      let left = line.textContent.indexOf(text) + text.length;
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        if (left <= node.length) {
          content.focus();
          getSelection().collapse(node, left);
          return;
        }
        left -= node.length;
      }
    },
    [EDITOR, text],
  );
  await page.waitForTimeout(50);
}

/** What stands in a tab of text, once it does. */
async function tabText(page, name, expected) {
  await page.getByRole('tab', { name }).click();
  const panel = page.getByRole('tabpanel', { name });
  await panel.getByText(expected).first().waitFor();
  return panel.innerText();
}

/** Drops a file somewhere. */
async function drop(page, selector, path, type) {
  const name = path.split('/').at(-1);
  const transfer = await page.evaluateHandle(
    ([name, base64, type]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))], name, { type }));
      return transfer;
    },
    [name, (await readFile(path)).toString('base64'), type],
  );
  await page.dispatchEvent(selector, 'drop', { dataTransfer: transfer });
}

/** The places and first lines of the problems that are listed. */
function problems(page) {
  return page.$$eval('.problems li', (rows) => rows.map((row) => ({ place: row.dataset.place, code: row.querySelector('.code').textContent, text: row.querySelector('.message').textContent })));
}

test('a mistake is pointed at while one types, and its fix undoes it', async () => {
  const { page, errors } = await open();
  assert.deepEqual(await problems(page), []);
  await cursorAfter(page, '|> soft');
  await page.keyboard.press('Delete');
  await page.waitForSelector('.problems li');
  const [first] = await problems(page);
  assert.equal(first.place, 'objects.mlp:30:8');
  assert.match(first.text, /`softax`.*`softmax`/);
  // The place is underlined, and the editor offers the edit there.
  await page.waitForSelector('.editor .cm-lintRange-error');
  await page.getByRole('tab', { name: 'Graph' }).click();
  await page.getByRole('tabpanel', { name: 'Graph' }).getByRole('alert').filter({ hasText: 'has errors' }).waitFor();
  await page.click('.problems .problem');
  assert.equal(await page.evaluate(() => getSelection().toString()), 'softax');
  await page.locator('.problems .fix', { hasText: 'softmax' }).click();
  await page.waitForSelector('.problems p');
  assert.deepEqual(await problems(page), []);
  assert.match(await page.innerText(EDITOR), /\|> softmax\n/);
  assert.deepEqual(errors, []);
  await page.close();
});

test('completion and hover come from the language server', async () => {
  const { page, errors } = await open();
  await cursorAfter(page, '|> unbatch');
  await page.keyboard.press('Enter');
  await page.keyboard.type('|> soft');
  await page.waitForSelector('.cm-tooltip-autocomplete');
  const offered = await page.$$eval('.cm-tooltip-autocomplete li .cm-completionLabel', (labels) => labels.map((label) => label.textContent));
  assert.ok(offered.includes('softmax'), offered.join());
  await page.keyboard.press('Escape');
  await page.locator('.editor .cm-line', { hasText: '|> Objects' }).locator('text=Objects').first().hover();
  const hover = page.locator('.cm-tooltip .hover');
  await hover.waitFor();
  assert.match(await hover.innerText(), /model Objects/);
  assert.deepEqual(errors, []);
  await page.close();
});

test('every tab shows what the compiler makes of the file', async () => {
  const { page, errors } = await open();
  assert.match(await tabText(page, 'Syntax tree', 'edition 2026'), /pipeline Classify/);
  assert.match(await tabText(page, 'Typed program', 'pipeline Classify'), /model Objects: f32\[1, 1000\]/);
  assert.match(await tabText(page, 'Graph', 'graph "Classify"'), /image_resize/);
  assert.match(await tabText(page, 'Kernels', 'plan "Classify"'), /buffer b0 "photo"/);
  assert.match(await tabText(page, 'WGSL', '// Classify:'), /@compute/);
  assert.match(await tabText(page, 'TypeScript', '// index.d.ts'), /ClassifyInput/);
  const report = await tabText(page, 'Report', 'Multiply-accumulates');
  const [, kernels] = /Kernels\s+(\d+)/.exec(report) ?? [];
  const output = join(folder, 'native');
  await mlpc(['build', `${EXAMPLE}objects.mlp`, '-o', output]);
  const manifest = JSON.parse(await readFile(join(output, 'manifest.json'), 'utf8'));
  assert.equal(Number(kernels), manifest.pipelines[0].report.kernels);
  assert.match(report, new RegExp(manifest.pipelines[0].weights.replaceAll('.', '\\.')), 'the page builds the bytes that the command line builds');
  assert.match(report, new RegExp(manifest.pipelines[0].wasm.simd128.replaceAll('.', '\\.')));
  assert.deepEqual(errors, []);
  await page.close();
});

test('a name leads to its declaration, in another file too, and a text is brought into the one style', async () => {
  const { page, errors } = await open('transformer');
  await cursorAfter(page, 'start = Embedd');
  await page.keyboard.press('F12');
  await page.waitForSelector('.file[aria-pressed=true] >> text=bert.mlp');
  assert.equal(await page.evaluate(() => getSelection().toString()), 'Embeddings');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('End');
  await page.keyboard.type('   ');
  const written = await page.innerText(EDITOR);
  await page.getByRole('button', { name: 'Format' }).click();
  await page.waitForFunction(([selector, written]) => document.querySelector(selector).innerText !== written, [EDITOR, written]);
  assert.deepEqual(await problems(page), []);
  assert.deepEqual(errors, []);
  await page.close();
});

test('tabs are moved between with arrows', async () => {
  const { page } = await open('mosaic');
  await page.getByRole('tab', { name: 'Run' }).focus();
  await page.keyboard.press('ArrowRight');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Syntax tree');
  assert.equal(await page.getByRole('tab', { name: 'Syntax tree' }).getAttribute('aria-selected'), 'true');
  await page.keyboard.press('End');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Report');
  await page.close();
});

test('a photo dropped on the page is answered as mlpc run answers', async () => {
  const { stdout } = await mlpc(['run', `${EXAMPLE}objects.mlp`, '--input', `photo=${EXAMPLE}espresso.png`, '--json']);
  const [expected] = JSON.parse(stdout).output.top;
  const { page, errors } = await open();
  await page.waitForSelector('.drop');
  await drop(page, '.drop', `${EXAMPLE}espresso.png`, 'image/png');
  for (const backend of ['wasm', 'webgpu']) {
    if (backend === 'webgpu') await page.getByRole('combobox', { name: 'Backend' }).selectOption('webgpu');
    await page.waitForSelector(`.meta[data-backend=${backend}]`);
    const [label, score] = await page.$eval('.ranking li', (row) => [row.querySelector('.label').textContent, Number(row.querySelector('data').value)]);
    assert.equal(label, expected.label);
    assert.ok(Math.abs(score - expected.score) < TOLERANCE[backend], `${backend}: ${score} instead of ${expected.score}`);
  }
  assert.deepEqual(errors, []);
  await page.close();
});

test('layers in the language run on numbers that are written', async () => {
  const { page, errors } = await open('transformer');
  await page.getByRole('textbox', { name: 'ids' }).waitFor();
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await page.waitForSelector('.meta');
  const text = await page.innerText('[data-output=sentence]');
  assert.match(text, /96 numbers from -0\.\d+ to 0\.\d+/);
  await page.getByRole('button', { name: 'bert.mlp' }).click();
  await page.getByText('no pipeline here').waitFor();
  assert.deepEqual(errors, []);
  await page.close();
});

test('files are added: a source with its model', async () => {
  const { page } = await open('mosaic');
  await page.setInputFiles('input[data-files]', ['objects.mlp', 'labels.txt', 'efficientnet_lite0.onnx'].map((name) => EXAMPLE + name));
  await page.waitForSelector('.file[aria-pressed=true] >> text=objects.mlp');
  await page.waitForFunction(() => !document.querySelector('.problems li'));
  await page.getByRole('button', { name: 'espresso.png' }).click();
  await page.waitForSelector('.ranking');
  assert.equal(await page.innerText('.ranking li:first-child .label'), 'espresso');
  await page.close();
});

test('the page typechecks, and the compiler is not larger than it was', async () => {
  const tsc = createRequire(import.meta.url).resolve('typescript/package.json');
  execFileSync(process.execPath, [join(dirname(tsc), 'bin', 'tsc'), '--noEmit'], { cwd: PLAYGROUND, stdio: 'inherit' });
  const assets = join(folder, 'page/assets');
  const modules = (await readdir(assets)).filter((name) => name.endsWith('.wasm'));
  assert.equal(modules.length, 1, modules.join());
  const module = await readFile(join(assets, modules[0]));
  const gzipped = gzipSync(module, { level: 9 }).length;
  console.log(`the compiler: ${module.length} bytes, gzipped ${gzipped}`);
  assert.ok(gzipped < COMPILER_BUDGET, `the compiler has ${gzipped} bytes`);
});

if (process.env.SCREENSHOT) {
  test('the picture for the documentation', async () => {
    for (const theme of ['light', 'dark']) {
      const { page } = await open('objects', theme);
      await page.setViewportSize({ width: 1440, height: 860 });
      await page.waitForSelector('.samples button');
      await page.getByRole('button', { name: 'espresso.png' }).click();
      await page.waitForSelector('.ranking');
      await page.waitForTimeout(500);
      const path = process.env.SCREENSHOT.replace(/(\.\w+)?$/, (end) => (theme === 'dark' ? `-dark${end}` : end));
      await page.screenshot({ path });
      await page.close();
    }
  });
}
