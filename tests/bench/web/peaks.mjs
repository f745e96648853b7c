// What this browser's WebAssembly reaches from registers, to hold the medians against.
import wabt from 'wabt';

const CHAINS = 12;
const ROUNDS = 4_000_000;

/** Multiply-accumulates of one instruction, and its text for the accumulator `a`. */
const STEPS = {
  f32_gmacs: [4, (a) => `(f32x4.relaxed_madd (local.get $x) (local.get $y) (local.get ${a}))`],
  int8_gmacs: [16, (a) => `(i32x4.relaxed_dot_i8x16_i7x16_add_s (local.get $x) (local.get $y) (local.get ${a}))`],
};

/** A loop of independent chains of one instruction, as many as hide its latency. */
function probe(step) {
  const names = Array.from({ length: CHAINS }, (_, i) => `$a${i}`);
  const sum = names.reduce((total, name) => `(i32x4.add ${total} (local.get ${name}))`, '(v128.const i32x4 0 0 0 0)');
  return `(module (func (export "run") (param $rounds i32) (result i32)
    (local $x v128) (local $y v128) ${names.map((name) => `(local ${name} v128)`).join(' ')}
    (local.set $x (i8x16.splat (i32.const 1))) (local.set $y (i8x16.splat (i32.const 2)))
    (loop $next ${names.map((name) => `(local.set ${name} ${step(name)})`).join(' ')}
      (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
      (br_if $next (local.get $rounds)))
    (i32x4.extract_lane 0 ${sum})))`;
}

/** Multiply-accumulates a second in a page, in units of 10^9: the best of several turns, so that what else the machine does counts little. */
export async function peaks(page) {
  const { parseWat } = await wabt();
  const found = {};
  for (const [name, [width, step]] of Object.entries(STEPS)) {
    const module = parseWat(`${name}.wat`, probe(step), { simd: true, relaxed_simd: true });
    const { buffer } = module.toBinary({});
    const milliseconds = await page.evaluate(inPage, { bytes: [...buffer], rounds: ROUNDS });
    found[name] = (width * CHAINS * ROUNDS) / milliseconds / 1e6;
  }
  return found;
}

async function inPage({ bytes, rounds }) {
  const { instance } = await WebAssembly.instantiate(Uint8Array.from(bytes), {});
  const times = Array.from({ length: 12 }, () => {
    const start = performance.now();
    instance.exports.run(rounds);
    return performance.now() - start;
  });
  return Math.min(...times);
}
