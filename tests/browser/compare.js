/**
 * Compares a tensor with what was recorded. Numbers agree where they differ by at most `atol + rtol * |expected|`, where both are the same infinity, or
 * where neither is a number. Returns the largest errors, and a sentence about the worst element where one does not agree.
 */
export function compare(name, actual, expected, shape, { rtol, atol }) {
  if (actual.length !== expected.length) {
    return { max_abs: Infinity, max_rel: Infinity, detail: `${name} has ${actual.length} elements instead of ${expected.length}` };
  }
  let [maxAbs, maxRel, worst, excess] = [0, 0, -1, 0];
  for (let i = 0; i < actual.length; i++) {
    const a = Number(actual[i]);
    const e = Number(expected[i]);
    if (a === e || (Number.isNaN(a) && Number.isNaN(e))) continue;
    const difference = Math.abs(a - e);
    const abs = Number.isNaN(difference) ? Infinity : difference;
    maxAbs = Math.max(maxAbs, abs);
    maxRel = Math.max(maxRel, e === 0 ? 0 : abs / Math.abs(e));
    const over = abs - (atol + rtol * Math.abs(e));
    if (!(over <= 0) && (worst < 0 || over > excess)) [worst, excess] = [i, over];
  }
  const detail = worst < 0 ? '' : `${name}[${position(worst, shape)}] is ${actual[worst]} instead of ${expected[worst]}`;
  return { max_abs: maxAbs, max_rel: maxRel, detail };
}

/** The coordinates of the element with that number. */
function position(index, shape) {
  const at = [];
  for (const size of [...shape].reverse()) {
    at.unshift(index % size);
    index = Math.floor(index / size);
  }
  return at.join(', ');
}
