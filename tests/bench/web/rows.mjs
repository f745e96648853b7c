// From the figures of turns to rows of the results.

const FEATURES = ['avx2', 'fma', 'avx512f', 'avx512_vnni', 'avx_vnni', 'asimd', 'asimddp', 'i8mm'];

export function median(list) {
  const sorted = [...list].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function quantile(list, part) {
  return [...list].sort((a, b) => a - b)[Math.floor(part * (list.length - 1))];
}

function head(entry, { name, ours = false, group, threads }) {
  return { model: entry.name, contender: name, ours, group, threads };
}

export function failed(entry, contender, reason) {
  return { ...head(entry, contender), status: 'failed', reason };
}

/** The median over the turns of what each turn found. */
export function summary(entry, contender, turns) {
  const of = (figure) => median(turns.map(figure));
  const last = turns.at(-1);
  const row = {
    ...head(entry, contender),
    status: 'ok',
    min_ms: Math.min(...turns.flatMap(({ times }) => times)),
    median_ms: of(({ times }) => median(times)),
    p95_ms: of(({ times }) => quantile(times, 0.95)),
    runs: turns.reduce((sum, { times }) => sum + times.length, 0),
    load_ms: of(({ load_ms }) => load_ms),
    first_ms: of(({ first_ms }) => first_ms),
    page_ms: of(({ page_ms }) => page_ms),
    memory_bytes: of(({ wasm_bytes }) => wasm_bytes),
    resident_bytes: last.resident_bytes && of(({ resident_bytes }) => resident_bytes),
    code_bytes: last.code_bytes,
    weight_bytes: last.weight_bytes,
    max_abs: last.max_abs,
    macs: entry.macs,
  };
  return last.counts.submits ? { ...row, ...last.counts } : row;
}

/** Adds each row's ratio to the first of ours. */
export function ratios(rows) {
  const ours = rows.find((row) => row.ours && row.status === 'ok');
  for (const row of rows) if (ours && row.status === 'ok') row.ratio = row.median_ms / ours.median_ms;
  return rows;
}

/** The part of the median that the multiply-accumulates would take at the peak. */
export function roofline({ status, macs, median_ms }, { f32_gmacs, int8_gmacs }) {
  return status === 'ok' && macs ? (macs.f32 / f32_gmacs + macs.int8 / int8_gmacs) / 1e6 / median_ms : undefined;
}

/** The processor, from what the system tells. */
export function header(cores, cpuinfo) {
  const flags = (/^(?:flags|Features)\s*:(.*)$/m.exec(cpuinfo)?.[1] ?? '').trim().split(/\s+/);
  const cpu = /^model name\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? cores[0]?.model ?? process.arch;
  const system = { linux: 'Linux', darwin: 'macOS', win32: 'Windows' }[process.platform] ?? process.platform;
  return { cpu: cpu.trim(), cores: cores.length, features: FEATURES.filter((feature) => flags.includes(feature)), system: `${system} ${process.arch === 'x64' ? 'x86_64' : process.arch}` };
}
