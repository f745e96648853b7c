#!/usr/bin/env node
// Does a model come out right in a browser? The counterpart of `mlpc verify` that runs in Chromium: the same paths, the same lines.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { launch } from './chromium.mjs';
import { Known } from './known.mjs';
import { mlpc } from './mlpc.mjs';
import { BLANK, serve } from './server.mjs';

const USAGE = `Usage: node tests/browser/verify.mjs PATH --backend wasm|wasm-relaxed|webgpu|all [options]

PATH is an ONNX test case (a folder with model.onnx and test_data_set_*), a folder of such folders, or a model with --data.

  --backend NAME  may be given more than once; all where it is left out
  --data FILE     arrays in:NAME and out:NAME of a model, .npz
  --rtol R        relative tolerance of floats, 1e-3
  --atol A        absolute tolerance of floats, 1e-4
  --known FILE    cases that may fail: CASE [BACKEND,...] REASON a line
  --json          one object a line: name, backend, status, max_abs, max_rel, detail
  --mlpc FILE     the compiler; else the variable MLPC, target/release/mlpc, or the one on the path`;

/** What each backend asks of the runtime. */
const BACKENDS = {
  wasm: { prefer: ['wasm'], relaxedSimd: false },
  'wasm-relaxed': { prefer: ['wasm'], relaxedSimd: true },
  webgpu: { prefer: ['webgpu'] },
};

/** Opens a case in the page, where its outputs stay: they can be large. */
async function open({ base, entry, tolerance }) {
  const [{ openBundle }, { compare, bitDifference }] = await Promise.all([import('/runtime/index.js'), import('/compare/compare.js')]);
  const arrays = { bool: Uint8Array, u8: Uint8Array, i8: Int8Array, u16: Uint16Array, i16: Int16Array, u32: Uint32Array, i32: Int32Array, u64: BigUint64Array, i64: BigInt64Array, f16: Uint16Array, bf16: Uint16Array, f32: Float32Array, f64: Float64Array };
  const read = async ({ dtype, file }) => new arrays[dtype](await (await fetch(base + file)).arrayBuffer());
  const pipeline = (await openBundle(`${base}${entry.bundle}/manifest.json`)).pipeline();
  const input = Object.fromEntries(await Promise.all(entry.inputs.map(async (port) => [port.name, await read(port)])));
  const expected = await Promise.all(entry.outputs.map(read));
  let first;
  const judge = async (backend, options, result) => {
    const answer = await pipeline.run(input, options);
    // A single output is given without a record, and one whose size a run decides with its shape.
    const given = entry.outputs.map(({ name }) => (entry.outputs.length === 1 ? answer : answer[name]));
    const outputs = given.map((value) => (ArrayBuffer.isView(value) ? value : value.data));
    given.forEach(({ shape }, i) => {
      const wanted = entry.outputs[i].shape;
      if (shape && `${shape}` !== `${wanted}`) result.detail ||= `\`${entry.outputs[i].name}\` has shape [${shape}], expected [${wanted}]`;
    });
    entry.outputs.forEach((port, i) => {
      const { max_abs, max_rel, fault } = compare(port, outputs[i], expected[i], tolerance);
      result.max_abs = Math.max(result.max_abs, max_abs);
      result.max_rel = Math.max(result.max_rel, max_rel);
      result.detail ||= fault;
    });
    first ??= { backend, outputs };
    // Where all arithmetic is on integers, every backend gives the same bits.
    const difference = entry.integer && entry.outputs.map((port, i) => bitDifference(port, outputs[i], first.outputs[i])).find(Boolean);
    if (difference) result.detail = `${difference} from ${first.backend}, and should be bit-equal`;
    if (result.detail) result.status = 'fail';
  };
  window.runCase = async ([backend, options]) => {
    const result = { backend, status: 'pass', max_abs: 0, max_rel: 0, detail: '' };
    await judge(backend, options, result).catch((error) => {
      result.status = error.code === 'NO_BACKEND' ? 'unsupported' : 'fail';
      result.detail = error.message;
    });
    pipeline.dispose();
    return result;
  };
}

/** Verifies every case of `path` on every backend, and calls `report` with each result. Returns the names of the cases. */
export async function verify({ path, data, backends, rtol = 1e-3, atol = 1e-4, compiler, variant, report }) {
  const folder = await mkdtemp(join(tmpdir(), 'mlp-verify-'));
  let browser, server;
  try {
    await mlpc(['verify', resolve(path), ...(data ? ['--data', resolve(data)] : []), ...(variant ? ['--gpu-variant', variant] : []), '--emit', folder], { path: compiler });
    const cases = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8'));
    const here = fileURLToPath(new URL('.', import.meta.url));
    const runtime = fileURLToPath(new URL('../../bindings/npm/runtime/dist/', import.meta.url));
    server = await serve({ '/': BLANK, '/cases/': folder, '/runtime/': runtime, '/compare/': here });
    browser = await launch();
    const page = await browser.context.newPage();
    await page.goto(server.url);
    for (const entry of cases) {
      if (entry.bundle !== null) await page.evaluate(open, { base: '/cases/', entry, tolerance: { rtol, atol } });
      for (const backend of backends) {
        const refused = { backend, status: entry.unsupported ? 'unsupported' : 'fail', max_abs: 0, max_rel: 0, detail: entry.detail };
        const result = entry.bundle === null ? refused : await page.evaluate((job) => window.runCase(job), [backend, BACKENDS[backend]]);
        report({ name: entry.name, ...result });
      }
    }
    return cases.map(({ name }) => name);
  } finally {
    await browser?.close();
    await server?.close();
    await rm(folder, { recursive: true, force: true });
  }
}

const COLOURS = { pass: '\x1b[32m', fail: '\x1b[1;31m', unsupported: '\x1b[33m', known: '\x1b[2m' };

function line({ name, backend, status, max_abs, max_rel, detail }) {
  const word = status.padEnd(11);
  const coloured = process.stdout.isTTY ? `${COLOURS[status]}${word}\x1b[0m` : word;
  const number = (value) => value.toExponential(2).replace('e+', 'e');
  return `${coloured} ${backend.padEnd(12)} ${name}  max_abs ${number(max_abs)} max_rel ${number(max_rel)}${detail ? `  ${detail}` : ''}`;
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      backend: { type: 'string', multiple: true, default: ['all'] },
      data: { type: 'string' },
      rtol: { type: 'string', default: '1e-3' },
      atol: { type: 'string', default: '1e-4' },
      known: { type: 'string' },
      json: { type: 'boolean', default: false },
      mlpc: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const asked = values.backend.flatMap((names) => names.split(','));
  const unknown = asked.find((backend) => backend !== 'all' && !Object.hasOwn(BACKENDS, backend));
  const [rtol, atol] = [Number(values.rtol), Number(values.atol)];
  if (values.help || positionals.length !== 1 || unknown || Number.isNaN(rtol) || Number.isNaN(atol)) {
    if (unknown) console.error(`There is no backend ${unknown} in a browser.\n`);
    console.error(USAGE);
    return values.help ? 0 : 2;
  }
  const known = new Known(values.known, values.known ? await readFile(values.known, 'utf8') : '');
  const counts = { pass: 0, fail: 0, unsupported: 0, known: 0 };
  const report = (result) => {
    const judged = known.apply(result);
    counts[judged.status]++;
    console.log(values.json ? JSON.stringify(judged) : line(judged));
  };
  const backends = Object.keys(BACKENDS).filter((backend) => asked.includes('all') || asked.includes(backend));
  const names = await verify({ path: positionals[0], data: values.data, backends, rtol, atol, compiler: values.mlpc, report });
  const stale = known.stale(names);
  for (const row of stale) console.error(`error: ${row}`);
  if (!values.json) console.log(`\n${counts.pass} passed, ${counts.fail} failed, ${counts.unsupported} unsupported, ${counts.known} known gaps`);
  return counts.fail || counts.unsupported || stale.length ? 1 : 0;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  main().then(
    (status) => (process.exitCode = status),
    (error) => {
      console.error(error.message);
      process.exitCode = 1;
    },
  );
}
