// What a run leaves for the next one, in a real browser: over several calls the answers are those that ONNX Runtime gave where the states were carried by hand.
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
const DATA = `${ROOT}tests/data/states/`;
/** Where a processor stands in for the GPU, it compiles slowly. */
const TIMEOUT = 300_000;

/** The arrays of an `.npz` file without compression: the numbers of each call, by name. */
async function recorded(model) {
  const file = await readFile(`${DATA}${model}.npz`);
  const arrays = {};
  for (let at = 0; file.readUInt32LE(at) === 0x04034b50; ) {
    const [size, named, extra] = [file.readUInt32LE(at + 18), file.readUInt16LE(at + 26), file.readUInt16LE(at + 28)];
    const name = file.toString('utf8', at + 30, at + 30 + named).replace(/\.npy$/, '');
    const start = at + 30 + named + extra;
    const header = 10 + file.readUInt16LE(start + 8);
    const [, type, shape] = /'descr': '([^']+)'.*'shape': \(([^)]*)\)/.exec(file.toString('latin1', start + 10, start + header));
    const bytes = new Uint8Array(file.subarray(start + header, start + size));
    const numbers = Array.from(new { '<f4': Float32Array, '<i8': BigInt64Array, '|u1': Uint8Array }[type](bytes.buffer), Number);
    const calls = Number(shape.split(',')[0]);
    arrays[name] = Array.from({ length: calls }, (_, call) => numbers.slice((call * numbers.length) / calls, ((call + 1) * numbers.length) / calls));
    at = start + size;
  }
  return arrays;
}

let browser, folder, server, page, listener, odd;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mlp-states-'));
  await mlpc(['build', `${DATA}states.mlp`, '-o', folder]);
  [listener, odd] = await Promise.all(['listener', 'odd'].map(recorded));
  browser = await launch();
  server = await serve({ '/': BLANK, '/runtime/': RUNTIME, '/bundle/': folder });
  page = await browser.context.newPage();
  page.setDefaultTimeout(TIMEOUT);
  page.on('pageerror', (error) => console.error(error));
  await page.goto(server.url);
  await page.evaluate(async () => {
    const { openBundle } = await import('/runtime/index.js');
    const bundle = await openBundle('/bundle/manifest.json');
    window.open_ = (name) => bundle.pipeline(name);
    // Tensors as lists of numbers, by name.
    window.answer = async (pipeline, input, prefer) => {
      const { output, meta } = await pipeline.runWithMeta(input, { prefer: [prefer] });
      if (meta.backend !== prefer) throw new Error(`it ran on ${meta.backend}`);
      return Object.fromEntries(Object.entries(output).map(([field, values]) => [field, Array.from(values, Number)]));
    };
  });
});

after(async () => {
  await browser?.close();
  await server?.close();
  if (folder) await rm(folder, { recursive: true, force: true });
});

function near(actual, expected, place) {
  assert.equal(actual.length, expected.length, place);
  actual.forEach((number, i) => assert.ok(Math.abs(number - expected[i]) <= 1e-4 + 1e-3 * Math.abs(expected[i]), `${place}[${i}]: ${number}, not ${expected[i]}`));
}

for (const backend of ['wasm', 'webgpu']) {
  test(`calls remember on ${backend}`, async () => {
    const answers = await page.evaluate(
      async ([backend, audio, x]) => {
        const [listen, other, turn] = [open_('Listen'), open_('Listen'), open_('Turn')];
        const heard = (sound, pipeline = listen) => answer(pipeline, { audio: sound }, backend).then(({ score }) => score);
        const found = { scores: [], turns: [], others: [] };
        // Asked for at once, they follow one another.
        found.scores = await Promise.all(audio.map((sound) => heard(sound)));
        for (const numbers of x) {
          found.turns.push(await answer(turn, { x: numbers }, backend));
          await turn.tune({ prefer: [backend] });
        }
        found.others = [await heard(audio[0], other), await heard(audio[1], other)];
        await listen.reset();
        found.again = [await heard(audio[0]), await heard(audio[1])];
        found.others.push(await heard(audio[2], other));
        if (backend === 'webgpu') {
          // A run whose answer stays on the GPU is a run.
          await other.runOnGpu({ audio: audio[3] }, { prefer: [backend] });
          found.left = await heard(audio[4], other);
        }
        return found;
      },
      [backend, listener['in:audio'], odd['in:x']],
    );
    answers.scores.forEach((score, call) => near(score, listener['out:score'][call], `score of call ${call}`));
    answers.turns.forEach(({ y, counted }, call) => {
      near(y, odd['out:y'][call], `y of call ${call}`);
      assert.deepEqual(counted, odd['out:counted'][call]);
    });
    answers.others.forEach((score, call) => near(score, listener['out:score'][call], `another's score of call ${call}`));
    answers.again.forEach((score, call) => near(score, listener['out:score'][call], `score of call ${call} after the reset`));
    if (backend === 'webgpu') near(answers.left, listener['out:score'][4], 'score after one that stayed on the GPU');
  });
}

test('two calls in a pipeline have memories of their own', async () => {
  const scores = await page.evaluate(
    async ([audio]) => {
      const both = open_('Both');
      const found = [];
      for (const left of audio) found.push((await answer(both, { left, right: new Float32Array(16) }, 'wasm')).near);
      return found;
    },
    [listener['in:audio']],
  );
  scores.forEach((score, call) => near(score, listener['out:score'][call], `score of call ${call}`));
});

test('a GPU that is taken away takes the state along, which its caller is told', async () => {
  const outcome = await page.evaluate(
    async ([audio]) => {
      const { requestDevice } = GPUAdapter.prototype;
      let device;
      GPUAdapter.prototype.requestDevice = async function (options) {
        return (device = await requestDevice.call(this, options));
      };
      try {
        const listen = open_('Listen');
        const options = { prefer: ['webgpu', 'wasm'] };
        await listen.run({ audio: audio[1] }, options);
        device.destroy();
        const lost = await listen.run({ audio: audio[2] }, options).then(() => 'answered', ({ code }) => code);
        const { output, meta } = await listen.runWithMeta({ audio: audio[0] }, options);
        return { lost, backend: meta.backend, score: Array.from(output.score) };
      } finally {
        GPUAdapter.prototype.requestDevice = requestDevice;
      }
    },
    [listener['in:audio']],
  );
  assert.deepEqual([outcome.lost, outcome.backend], ['DEVICE_LOST', 'wasm']);
  near(outcome.score, listener['out:score'][0], 'the first score of a state that begins anew');
});
