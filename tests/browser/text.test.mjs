// Texts in a real browser: the tokens and the answers that the native runtime gives, and nothing of it downloaded by who has no texts.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from './chromium.mjs';
import { mlpc, ROOT } from './mlpc.mjs';
import { BLANK, serve } from './server.mjs';

const RUNTIME = fileURLToPath(new URL('../../bindings/npm/runtime/dist/', import.meta.url));
const TEXTS = ['', 'A licence grants rights.', 'Crème brûlée, 東京タワー \u{1f600} [MASK] unaffable!', 'Two  spaces and\nnaïve \u{1f468}\u200d\u{1f469}\u200d\u{1f467}. '.repeat(3)];

let browser, folder;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mlp-text-'));
  await mlpc(['build', `${ROOT}tests/library/text.mlp`, '-o', folder]);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await rm(folder, { recursive: true, force: true });
});

/** A page that can run the bundle's pipelines, told of `work`; what was asked for is in `served`. */
async function visit(work) {
  const served = [];
  const server = await serve({ '/': BLANK, '/runtime/': RUNTIME, '/bundle/': folder }, { served: (path) => served.push(path) });
  const page = await browser.context.newPage();
  try {
    await page.goto(server.url);
    await page.evaluate(async () => {
      const { openBundle } = await import('/runtime/index.js');
      const bundle = await openBundle('/bundle/manifest.json');
      // Tensors as lists of numbers, by name.
      window.answer = async (name, input, prefer) => {
        const output = await bundle.pipeline(name).run(input, { prefer: [prefer] });
        const fields = ArrayBuffer.isView(output) ? { value: output } : output;
        return Object.fromEntries(Object.entries(fields).map(([field, values]) => [field, Array.from(values, Number)]));
      };
    });
    return await work(page, served);
  } finally {
    await page.close();
    await server.close();
  }
}

/** What the native runtime answers. */
async function native(pipeline, input) {
  const inputs = Object.entries(input).flatMap(([name, text]) => ['--input', `${name}=${text}`]);
  const { stdout } = await mlpc(['run', folder, '--pipeline', pipeline, ...inputs, '--json']);
  const { output } = JSON.parse(stdout);
  return 'data' in output ? { value: output.data } : Object.fromEntries(Object.entries(output).map(([name, { data }]) => [name, data]));
}

test('tokens are those of the native runtime', async () => {
  await visit(async (page) => {
    for (const [pipeline, inputs] of [
      ['Words', (text) => ({ words: text })],
      ['Bytes', (text) => ({ words: text })],
      ['Pieces', (text) => ({ words: text })],
      ['Pair', (text) => ({ question: text, answer: 'It depends.' })],
    ]) {
      for (const text of TEXTS) {
        const expected = await native(pipeline, inputs(text));
        assert.deepEqual(await page.evaluate(([name, input]) => answer(name, input, 'wasm'), [pipeline, inputs(text)]), expected, `${pipeline} of ${JSON.stringify(text)}`);
      }
    }
  });
});

test('a transformer says the same of a sentence on every backend', async () => {
  await visit(async (page, served) => {
    for (const words of TEXTS.slice(1)) {
      const { value } = await native('Sentence', { words });
      for (const backend of ['wasm', 'webgpu']) {
        const found = await page.evaluate(([words, backend]) => answer('Sentence', { words }, backend), [words, backend]);
        assert.equal(found.value.length, 32);
        found.value.forEach((number, index) => assert.ok(Math.abs(number - value[index]) < 1e-4, `${backend}, ${index}: ${number} is not ${value[index]}`));
      }
    }
    assert.ok(served.some((path) => path === '/runtime/text/encoder.js'));
    const refused = page.evaluate(() => answer('Sentence', { words: 7 }, 'wasm'));
    await assert.rejects(refused, /words takes a string, and got number/);
  });
});

test('a pipeline without texts loads no part of it', async () => {
  await visit(async (page, served) => {
    await page.evaluate(() => import('/runtime/index.js'));
    assert.ok(served.includes('/runtime/index.js'));
    assert.deepEqual(served.filter((path) => path.startsWith('/runtime/text/')), []);
  });
});
