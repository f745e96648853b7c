#!/usr/bin/env node
// Times bundles of mlpc in Chromium beside onnxruntime-web, LiteRT.js and TensorFlow.js, turn by turn; README.md beside this file says what is measured.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { launch } from '../browser/chromium.mjs';
import { mlpc, ROOT } from '../browser/mlpc.mjs';
import { BLANK, serve } from '../browser/server.mjs';
import { prepare } from './web/cases.mjs';
import { CONTENDERS, modelBytes, mounts, version } from './web/contenders.mjs';
import { peaks } from './web/peaks.mjs';
import { failed, header, ratios, roofline, summary } from './web/rows.mjs';
import { turn } from './web/turn.mjs';

const USAGE = `Usage: node tests/bench/browser.mjs [MODEL.onnx ...] [options]

  --group NAME       wasm (one thread), threads (two) or webgpu; all where it is left out
  --contender NAME   one of: ${[...new Set(CONTENDERS.map(({ name }) => name))].join(', ')}; repeat it; all where it is left out
  --dim NAME=SIZE    a symbolic size; repeat it; recorded inputs and outputs are then not used
  --rounds N         turns of each, 3; every turn is a fresh browser
  --seconds S        the length of a turn after the first result, 1
  --json             print the results as JSON
  --out FILE         write the results to a file
  --docs             write docs/benchmarks/browser.json, and render docs/benchmarks.md; models and settings that are not measured now keep their rows
  --mlpc FILE        the compiler; else the variable MLPC, target/release/mlpc, or the one on the path

Peers that are not installed are named as absent: npm ci --prefix tests/bench/web`;

const SETTINGS = { wasm: 'WebAssembly', threads: 'WebAssembly, 2 threads', webgpu: 'WebGPU' };
const MODELS = resolve(ROOT, '../shared/models');
const DEFAULTS = ['efficientnet_lite0', 'efficientnet_lite0_qdq', 'minilm_l6_int8w', 'blazeface_front128', 'light_squeezenet', 'light_shufflenet'];
/** How answers are judged: what `mlpc verify` allows. */
const TOLERANCE = { rtol: 1e-3, atol: 1e-4 };

/** Measures models; `report` is called with each row. Gives the object that README.md describes. */
export async function bench({ models, groups, contenders: names, dims = {}, rounds, seconds, compiler, report = () => {} }) {
  const asked = CONTENDERS.filter(({ name, group }) => groups.includes(group) && (!names?.length || names.includes(name)));
  const absent = [...new Set(asked.filter((contender) => contender.package && !version(contender.package)).map(({ name }) => name))];
  const contenders = asked.filter(({ name }) => !absent.includes(name));
  const folder = await mkdtemp(join(tmpdir(), 'mlp-bench-'));
  const site = await open(contenders, folder);
  try {
    const peak = await probe(site);
    const rows = [];
    for (const model of models) {
      const entry = await prepare(model, { folder, dims, compiler });
      for (const group of groups) {
        const measured = await measure(site, entry, contenders.filter((contender) => contender.group === group), { rounds, seconds, tolerance: TOLERANCE });
        for (const row of ratios(measured)) {
          row.roofline = row.ours && group === SETTINGS.wasm ? roofline(row, peak) : undefined;
          rows.push(row);
          report(row);
        }
      }
    }
    return {
      schema: 1,
      kind: 'browser',
      machine: await machine(site, contenders, compiler),
      peaks: groups.includes(SETTINGS.wasm) ? [{ setting: SETTINGS.wasm, ...peak }] : [],
      settings: { rounds, seconds },
      rows,
      absent: absent.map((contender) => ({ contender, reason: 'not installed: npm ci --prefix tests/bench/web' })),
    };
  } finally {
    await site.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** The server of all turns. Pages, cases and models are mounted anew for each. */
async function open(contenders, folder) {
  const served = [];
  const site = { served, turn: {} };
  const all = { '/': BLANK, '/blank/': BLANK, '/turn/': site.turn, ...(await mounts(contenders)) };
  site.scripts = all['/scripts/'];
  site.mount = (prefix, path) => (all[prefix] = path);
  for (const prefix of ['/case/', '/bundle/', '/model/']) all[prefix] = folder;
  const server = await serve(all, { served: (path) => served.push(path), headers: { 'cache-control': 'no-store' } });
  site.url = server.url;
  site.close = server.close;
  site.read = async (path) => {
    const bytes = Buffer.from(await (await fetch(server.url + path)).arrayBuffer());
    served.pop();
    return bytes;
  };
  return site;
}

/** A row for each contender: they take turns, so that what else the machine does falls on all. */
async function measure(site, entry, contenders, settings) {
  const turns = new Map(contenders.map((contender) => [contender, []]));
  const reasons = new Map();
  site.mount('/case/', entry.home);
  site.mount('/bundle/', await inMemory(entry.bundle));
  const models = new Map();
  for (const contender of contenders) {
    const bytes = await modelBytes(contender, entry.model).catch((error) => void reasons.set(contender, error.message));
    if (bytes) models.set(contender, bytes);
    else if (!reasons.has(contender)) turns.delete(contender);
  }
  for (let round = 0; round < settings.rounds; round++) {
    for (const [contender, bytes] of models) {
      if (reasons.has(contender)) continue;
      site.mount('/model/', { [`model${contender.model ?? ''}`]: bytes });
      const figures = await turn(site, contender, entry, settings);
      if (figures.failed) reasons.set(contender, figures.failed);
      else turns.get(contender).push(figures);
      if (figures.answer) await expect(entry, figures.answer);
    }
  }
  return [...turns].map(([contender, list]) => (reasons.has(contender) ? failed(entry, contender, reasons.get(contender)) : summary(entry, contender, list)));
}

/** The files of a folder: everybody's weights are served from memory. */
async function inMemory(folder) {
  const names = await readdir(folder);
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))])));
}

/** From now on the others must answer the same. */
async function expect(entry, answer) {
  for (const [i, text] of answer.entries()) {
    const file = `output_${i}.bin`;
    await writeFile(join(entry.home, file), Buffer.from(text, 'base64'));
    entry.outputs[i].file = file;
  }
}

async function probe(site) {
  const browser = await launch();
  try {
    const page = await browser.context.newPage();
    await page.goto(`${site.url}/blank/`);
    return await peaks(page);
  } finally {
    await browser.close();
  }
}

async function machine(site, contenders, compiler) {
  const browser = await launch();
  try {
    const page = await browser.context.newPage();
    await page.goto(`${site.url}/blank/`);
    const agent = await page.evaluate(() => navigator.userAgent);
    const adapter = await page.evaluate(async () => {
      const info = (await navigator.gpu?.requestAdapter())?.info;
      return info && [info.vendor, info.architecture].filter(Boolean).join(' ');
    });
    const { stdout } = await mlpc(['--version'], { path: compiler });
    const versions = { mlp: stdout.trim().split(' ').at(-1), Chromium: /Chrome\/([\d.]+)/.exec(agent)?.[1] };
    for (const contender of contenders) if (contender.package) versions[contender.name] = version(contender.package);
    return { ...header(cpus(), existsSync('/proc/cpuinfo') ? await readFile('/proc/cpuinfo', 'utf8') : ''), gpu: adapter, versions };
  } finally {
    await browser.close();
  }
}

/** Writes the results beside the pages of the documentation, with the rows of an earlier run for what was not measured now. */
async function publish(result) {
  const folder = join(ROOT, 'docs', 'benchmarks');
  const file = join(folder, 'browser.json');
  await mkdir(folder, { recursive: true });
  const old = existsSync(file) ? JSON.parse(await readFile(file, 'utf8')) : { rows: [], peaks: [], machine: { versions: {} } };
  const key = ({ model, group }) => `${group} ${model}`;
  const now = new Set(result.rows.map(key));
  const kept = old.schema === result.schema ? old.rows.filter((row) => !now.has(key(row))) : [];
  const order = Object.values(SETTINGS);
  const rows = [...kept, ...result.rows].sort((a, b) => order.indexOf(a.group) - order.indexOf(b.group));
  const peaks = result.peaks.length ? result.peaks : old.peaks;
  const versions = { ...old.machine.versions, ...result.machine.versions };
  await writeFile(file, `${JSON.stringify({ ...result, machine: { ...result.machine, versions }, peaks, rows }, null, 1)}\n`);
  execFileSync('python3', [fileURLToPath(new URL('report.py', import.meta.url)), folder], { stdio: 'inherit' });
}

function print(row) {
  const title = `${row.model.padEnd(26)} ${row.group.padEnd(12)} ${row.contender.padEnd(25)}`;
  if (row.status !== 'ok') return console.log(`${title} cannot: ${row.reason.slice(0, 140)}`);
  const ratio = row.ratio && !row.ours ? `${row.ratio.toFixed(2)}x` : '';
  const gpu = row.dispatches ? `  ${row.dispatches} dispatches, ${row.submits} submits, ${row.maps} maps` : '';
  const sizes = `code ${(row.code_bytes / 1000).toFixed(1)} kB, weights ${(row.weight_bytes / 1e6).toFixed(1)} MB, wasm ${(row.memory_bytes / 1e6).toFixed(1)} MB, resident ${((row.resident_bytes ?? 0) / 1e6).toFixed(0)} MB`;
  console.log(`${title} ${row.median_ms.toFixed(2).padStart(8)} ms ${ratio.padStart(7)}  first ${row.first_ms.toFixed(0)}  page ${row.page_ms.toFixed(0)}  ${sizes}${gpu}`);
}

function options() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      group: { type: 'string', multiple: true, default: Object.keys(SETTINGS) },
      contender: { type: 'string', multiple: true },
      dim: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
      out: { type: 'string' },
      docs: { type: 'boolean', default: false },
      mlpc: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const known = new Set(CONTENDERS.map(({ name }) => name));
  const bad =
    values.group.find((name) => !Object.hasOwn(SETTINGS, name)) ??
    values.contender?.find((name) => !known.has(name)) ??
    values.dim.find((dim) => !/^[^=]+=[1-9]\d*$/.test(dim)) ??
    [values.rounds, values.seconds].find((number) => !(Number(number) > 0));
  return { values, positionals, bad };
}

async function main() {
  const { values, positionals, bad } = options();
  if (values.help || bad !== undefined) {
    if (bad !== undefined) console.error(`${bad} is not understood.\n`);
    console.error(USAGE);
    return values.help ? 0 : 2;
  }
  const found = DEFAULTS.map((name) => join(MODELS, `${name}.onnx`)).filter((path) => existsSync(path));
  const models = positionals.length ? positionals.map((path) => resolve(path)) : found.length ? found : [`${ROOT}examples/objects/efficientnet_lite0.onnx`];
  const result = await bench({
    models,
    groups: values.group.map((name) => SETTINGS[name]),
    contenders: values.contender,
    dims: Object.fromEntries(values.dim.map((dim) => dim.split('=')).map(([symbol, size]) => [symbol, Number(size)])),
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    compiler: values.mlpc,
    report: values.json ? undefined : print,
  });
  if (values.json) console.log(JSON.stringify(result, null, 1));
  if (values.out) await writeFile(values.out, `${JSON.stringify(result, null, 1)}\n`);
  if (values.docs) await publish(result);
  return 0;
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
