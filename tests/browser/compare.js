/**
 * Judges a tensor as `mlpc verify` does. Floats agree within `atol + rtol * |expected|`, integers exactly, and an output of a quantized model within one
 * `step` of its quantization or with the same five greatest in every row (ties aside). Returns the largest differences and a sentence about the worst element.
 */
export function compare({ name, dtype, shape, step }, actual, expected, { rtol, atol }) {
  if (actual.length !== expected.length) {
    return { max_abs: 0, max_rel: 0, fault: `\`${name}\` has ${actual.length} elements, expected ${expected.length}` };
  }
  const [x, y] = [Array.from(actual, Number), Array.from(expected, Number)];
  const float = ['f16', 'bf16', 'f32', 'f64'].includes(dtype);
  const allowed = (e) => (step != null ? step * 1.0005 + rtol * Math.abs(e) * 1e-3 : float ? atol + rtol * Math.abs(e) : 0);
  let [max_abs, max_rel, worst, most] = [0, 0, -1, 0];
  x.forEach((a, i) => {
    const e = y[i];
    if (a === e || (Number.isNaN(a) && Number.isNaN(e))) return;
    const difference = Math.abs(a - e);
    max_abs = Math.max(max_abs, Number.isNaN(difference) ? Infinity : difference);
    max_rel = Math.max(max_rel, Number.isNaN(difference) ? Infinity : difference / Math.max(Math.abs(e), 1e-12));
    const excess = Number.isNaN(difference) ? Infinity : difference - allowed(e);
    if (!(excess <= 0) && (worst < 0 || excess > most)) [worst, most] = [i, excess];
  });
  const excused = worst < 0 || (step != null && sameTop5(x, y, shape, step));
  return { max_abs, max_rel, fault: excused ? '' : `\`${name}\`[${position(worst, shape)}] is ${x[worst]}, expected ${y[worst]}` };
}

/** Where the bits of two answers differ; nothing where they are equal. */
export function bitDifference({ name, shape }, actual, first) {
  const [x, y] = [actual, first].map((array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  const size = actual.BYTES_PER_ELEMENT;
  const differing = new Set();
  for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) differing.add(Math.floor(i / size));
  if (!differing.size) return '';
  const [index] = differing;
  return `\`${name}\` differs in ${differing.size} of ${actual.length} elements, first at [${position(index, shape)}]`;
}

/** The indices of an element, outermost first. */
function position(index, shape) {
  const at = [];
  for (const size of [...shape].reverse()) {
    at.unshift(index % size);
    index = Math.floor(index / size);
  }
  return at.join(', ');
}

/** Whether the five greatest of every row are the same classes, where scores that a step separates count as tied. */
function sameTop5(x, y, shape, step) {
  const classes = shape.at(-1) ?? 0;
  if (classes < 10) return false;
  const top = (row) => [...row.keys()].sort((a, b) => row[b] - row[a] || a - b).slice(0, 5);
  // Each of one row's best is among the other row's best, or as good as the last of them.
  const among = (a, b) => {
    const last = b[top(b)[4]];
    return top(a).every((index) => b[index] >= last - step * 1.0005);
  };
  for (let start = 0; start < x.length; start += classes) {
    const [a, b] = [x.slice(start, start + classes), y.slice(start, start + classes)];
    if (!among(a, b) || !among(b, a)) return false;
  }
  return true;
}
