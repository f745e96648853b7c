// What every contender's page does: load, answer once, answer again and again, and judge the answer.
import { compare } from '../../browser/compare.js';

export const ARRAYS = {
  bool: Uint8Array, u8: Uint8Array, i8: Int8Array, u16: Uint16Array, i16: Int16Array, u32: Uint32Array, i32: Int32Array,
  u64: BigUint64Array, i64: BigInt64Array, f16: Uint16Array, bf16: Uint16Array, f32: Float32Array, f64: Float64Array,
};

/** Runs before the clock counts: caches and speculative code settle. A slow contender is spared them. */
const WARM_UP = 3;
const SLOW_MS = 1000;

/**
 * Measures a contender and hands the figures to the harness. `open(job)` loads the model and gives a function that takes the inputs
 * (`name`, `dtype`, `shape`, `data`) and gives a function that runs once and resolves to an array of arrays, in the order of the outputs.
 */
export async function start(open) {
  const job = JSON.parse(document.getElementById('job').textContent);
  try {
    await window.report(await measure(open, job));
  } catch (error) {
    await window.report({ failed: String(error?.message ?? error) });
  }
}

async function measure(open, job) {
  const began = performance.now();
  const loading = open(job).then((feed) => ({ feed, load_ms: performance.now() - began }));
  const [{ feed, load_ms }, inputs] = await Promise.all([loading, Promise.all(job.inputs.map(read))]);
  const run = feed(inputs);
  const first_ms = await clock(run);
  // The clock of a page starts when its navigation does.
  const page_ms = performance.now();
  const before = { ...window.counts };
  const answer = await run();
  const counts = Object.fromEntries(Object.entries(window.counts).map(([name, value]) => [name, value - before[name]]));
  const times = await repeat(run, first_ms, job.seconds);
  return { load_ms, first_ms, page_ms, times, counts, wasm_bytes: window.wasmBytes(), ...(await judge(job, answer)) };
}

async function repeat(run, first_ms, seconds) {
  if (first_ms < SLOW_MS) for (let i = 0; i < WARM_UP; i++) await run();
  const times = [];
  const end = performance.now() + 1000 * seconds;
  do times.push(await clock(run));
  while (performance.now() < end);
  return times;
}

async function clock(run) {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

async function read(port) {
  return { ...port, data: new ARRAYS[port.dtype](await (await fetch(port.url)).arrayBuffer()) };
}

/** Compares with the expected outputs; where there are none yet, gives the answer, to be what the others are compared with. */
async function judge(job, answer) {
  let max_abs = 0;
  for (const [i, port] of job.outputs.entries()) {
    if (!port.url) return { answer: answer.map(base64) };
    const result = compare(port, answer[i], (await read(port)).data, job.tolerance);
    if (result.fault) return { failed: `wrong answer: ${result.fault}` };
    max_abs = Math.max(max_abs, result.max_abs);
  }
  return { max_abs };
}

function base64(array) {
  let text = '';
  for (const byte of new Uint8Array(array.buffer, array.byteOffset, array.byteLength)) text += String.fromCharCode(byte);
  return btoa(text);
}
