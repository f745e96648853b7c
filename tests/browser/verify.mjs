#!/usr/bin/env node
// Does a model come out right in a browser? The counterpart of `mlpc verify` that runs in Chromium: the same paths, the same lines.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { launch } from './chromium.mjs';
import { mlpc } from './mlpc.mjs';
import { BLANK, serve } from './server.mjs';

const USAGE = `Usage: node tests/browser/verify.mjs PATH --backend wasm|wasm-relaxed|webgpu [options]

PATH is an ONNX test case (a folder with model.onnx and test_data_set_*), a folder of such folders, or a model with --data.

  --backend NAME  may be given more than once; wasm where it is left out
  --data FILE     arrays in:NAME and out:NAME of a model, .npz
  --rtol R        relative tolerance, 1e-3
  --atol A        absolute tolerance, 1e-4
  --json          one object a line
  --mlpc FILE     the compiler; else the variable MLPC, target/release/mlpc, or the one on the path`;

/** What each backend asks of the runtime. */
const BACKENDS = {
  wasm: { prefer: ['wasm'], relaxedSimd: false },
  'wasm-relaxed': { prefer: ['wasm'], relaxedSimd: true },
  webgpu: { prefer: ['webgpu'] },
};

/** Runs one case in the page and compares there, since outputs can be large. */
async function inPage({ base, entry, options, tolerance }) {
  const [{ openBundle }, { compare }] = await Promise.all([import('/runtime/index.js'), import('/compare/compare.js')]);
  const arrays = { bool: Uint8Array, u8: Uint8Array, i8: Int8Array, u16: Uint16Array, i16: Int16Array, u32: Uint32Array, i32: Int32Array, u64: BigUint64Array, i64: BigInt64Array, f16: Uint16Array, bf16: Uint16Array, f32: Float32Array, f64: Float64Array };
  const read = async ({ dtype, file }) => new arrays[dtype](await (await fetch(base + file)).arrayBuffer());
  let pipeline;
  try {
    pipeline = (await openBundle(`${base}${entry.bundle}/manifest.json`)).pipeline();
    const input = Object.fromEntries(await Promise.all(entry.inputs.map(async (port) => [port.name, await read(port)])));
    const answer = await pipeline.run(input, options);
    // A single output is given without a record.
    const record = ArrayBuffer.isView(answer) ? { [entry.outputs[0].name]: answer } : answer;
    const results = await Promise.all(
      entry.outputs.map(async (port) => compare(port.name, record[port.name] ?? [], await read(port), port.shape, tolerance)),
    );
    const worst = (key) => Math.max(0, ...results.map((result) => result[key]));
    const detail = results.map((result) => result.detail).filter(Boolean).join('; ');
    return { status: detail ? 'fail' : 'pass', max_abs: worst('max_abs'), max_rel: worst('max_rel'), detail };
  } catch (error) {
    const status = error.code === 'NO_BACKEND' ? 'unsupported' : 'fail';
    return { status, max_abs: null, max_rel: null, detail: error.message };
  } finally {
    pipeline?.dispose();
  }
}

/** Verifies every case of `path` on every backend, and calls `report` with each result. */
export async function verify({ path, data, backends, rtol = 1e-3, atol = 1e-4, compiler, report }) {
  const folder = await mkdtemp(join(tmpdir(), 'mlp-verify-'));
  let browser, server;
  try {
    await mlpc(['verify', resolve(path), ...(data ? ['--data', resolve(data)] : []), '--emit', folder], { path: compiler });
    const cases = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8'));
    const here = fileURLToPath(new URL('.', import.meta.url));
    const runtime = fileURLToPath(new URL('../../bindings/npm/runtime/dist/', import.meta.url));
    server = await serve({ '/': BLANK, '/cases/': folder, '/runtime/': runtime, '/compare/': here });
    browser = await launch();
    const page = await browser.context.newPage();
    await page.goto(server.url);
    for (const entry of cases) {
      for (const backend of backends) {
        const skipped = entry.unsupported && { status: 'unsupported', max_abs: null, max_rel: null, detail: entry.unsupported };
        const job = { base: '/cases/', entry, options: BACKENDS[backend], tolerance: { rtol, atol } };
        report({ name: entry.name, backend: `browser-${backend}`, ...(skipped || (await page.evaluate(inPage, job))) });
      }
    }
  } finally {
    await browser?.close();
    await server?.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function line({ name, backend, status, max_abs, detail }) {
  const error = max_abs === null ? '' : ` max error ${max_abs.toExponential(2)}`;
  return `${status.padEnd(11)} ${backend.padEnd(20)} ${name}${error}${detail ? `: ${detail}` : ''}`;
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      backend: { type: 'string', multiple: true, default: ['wasm'] },
      data: { type: 'string' },
      rtol: { type: 'string', default: '1e-3' },
      atol: { type: 'string', default: '1e-4' },
      json: { type: 'boolean', default: false },
      mlpc: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const unknown = values.backend.find((backend) => !Object.hasOwn(BACKENDS, backend));
  const [rtol, atol] = [Number(values.rtol), Number(values.atol)];
  if (values.help || positionals.length !== 1 || unknown || Number.isNaN(rtol) || Number.isNaN(atol)) {
    if (unknown) console.error(`There is no backend ${unknown} in a browser.\n`);
    console.error(USAGE);
    return values.help ? 0 : 2;
  }
  const counts = { pass: 0, fail: 0, unsupported: 0 };
  const report = (result) => {
    counts[result.status]++;
    console.log(values.json ? JSON.stringify(result) : line(result));
  };
  await verify({ path: positionals[0], data: values.data, backends: values.backend, rtol, atol, compiler: values.mlpc, report });
  if (!values.json) console.log(`\n${counts.pass} passed, ${counts.fail} failed, ${counts.unsupported} unsupported`);
  return counts.fail || counts.unsupported ? 1 : 0;
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
