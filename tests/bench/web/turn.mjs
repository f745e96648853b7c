// One turn: a fresh browser, a contender's page, and what it cost.
import { readdir, readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { launch } from '../../browser/chromium.mjs';
import { html } from './contenders.mjs';
import { watch } from './watch.js';

/** A page that has not answered by then is given up. */
const PATIENCE_MS = 140_000;

/** Runs one turn of `contender` on `entry`, both served by `site`. Gives the figures, or `{ failed }`. */
export async function turn(site, contender, entry, settings) {
  site.turn['index.html'] = html(job(contender, entry, settings));
  site.turn['script.js'] = site.scripts[contender.page];
  if (contender.ours) site.turn['script.js'] = `globalThis.bundled=${JSON.stringify(entry.source)};${site.turn['script.js']}`;
  const browser = await launch();
  try {
    const page = await browser.context.newPage();
    await page.addInitScript(watch);
    let answer;
    const answered = new Promise((resolve) => (answer = resolve));
    await page.exposeFunction('report', (figures) => answer(figures));
    await page.goto(`${site.url}/blank/`);
    const base = await resident(browser.profile, 'VmRSS');
    const from = site.served.length;
    await page.goto(`${site.url}/turn/`);
    const gone = new Promise((resolve) => page.on('crash', () => resolve({ failed: 'its page crashed' })));
    const late = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS, { failed: `no answer in ${PATIENCE_MS / 1000} s` }).unref());
    const figures = await Promise.race([answered, gone, late]);
    if (figures.failed) return figures;
    const peak = await resident(browser.profile, 'VmHWM');
    return { ...figures, resident_bytes: peak && base ? peak - base : undefined, ...(await traffic(site, site.served.slice(from), contender, entry)) };
  } finally {
    await browser.close();
  }
}

function job(contender, { inputs, outputs, weights, dims }, { seconds, tolerance }) {
  const port = (port) => ({ ...port, url: port.file && `/case/${port.file}` });
  return {
    inputs: inputs.map(port),
    outputs: outputs.map(port),
    model: `/model/model${contender.model ?? ''}`,
    options: contender.options ?? {},
    weights,
    dims,
    seconds,
    tolerance,
  };
}

/** Bytes that the page fetched: code gzipped, as servers send it, and the model or the weights as they are. */
async function traffic(site, paths, contender, { weights }) {
  let [code_bytes, weight_bytes] = [0, 0];
  for (const path of paths) {
    if (path.startsWith('/case/')) continue;
    const bytes = await site.read(path);
    if (path.startsWith('/model/') || path.endsWith(`/${weights}`)) weight_bytes += bytes.length;
    else code_bytes += gzipped(path, bytes);
  }
  return { code_bytes, weight_bytes };
}

const sizes = new Map();

function gzipped(path, bytes) {
  const key = `${path} ${bytes.length}`;
  if (!sizes.has(key)) sizes.set(key, gzipSync(bytes, { level: 9 }).length);
  return sizes.get(key);
}

/** Resident bytes of the pages' and the GPU's processes of a browser, now (`VmRSS`) or at most (`VmHWM`); nothing where the system does not tell. */
async function resident(profile, field) {
  let sum = 0;
  for (const id of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(id)) continue;
    const command = await readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '');
    if (!command.includes(profile) && !(await descends(id, profile))) continue;
    if (!/--type=(renderer|gpu-process)/.test(command)) continue;
    const status = await readFile(`/proc/${id}/status`, 'utf8').catch(() => '');
    sum += 1024 * Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
  }
  return sum || undefined;
}

/** Whether a process comes from the browser with that profile. */
async function descends(id, profile) {
  for (let at = id; Number(at) > 1; ) {
    const status = await readFile(`/proc/${at}/status`, 'utf8').catch(() => '');
    at = /PPid:\s+(\d+)/.exec(status)?.[1] ?? '0';
    const command = await readFile(`/proc/${at}/cmdline`, 'utf8').catch(() => '');
    if (command.includes(profile)) return true;
  }
  return false;
}
