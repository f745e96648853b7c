import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Dispatch, GpuProgram } from '../src/program.js';

// No part of what the package exports.
const { guess, remember, remembered, tune } = (await import(new URL('../tune.js', import.meta.url).href)) as typeof import('../src/tune.js');

const dispatch = (module: number, others: number[], size = 1): Dispatch => ({
  kernel: `k${module}`,
  module,
  entry: 'm',
  bindings: [{ read: 0 }, { write: 1 }],
  workgroups: [size, 1, 1],
  variants: others.map((variant) => ({ module: variant, workgroups: [size, 1, 1] })),
});

/** Module 1 needs a feature; the second dispatch is like the first. */
const PROGRAM: GpuProgram = {
  modules: [{ label: 'a', wgsl: '' }, { label: 'b', wgsl: '', features: ['packed'] }, { label: 'c', wgsl: '' }, { label: 'd', wgsl: '' }],
  slots: [16, 16],
  uniforms: [],
  inputs: [],
  outputs: [],
  dispatches: [dispatch(0, [1, 2]), dispatch(0, [1, 2]), dispatch(3, [2]), dispatch(3, [])],
  features: [],
};
const everything = () => true;
const nothing = () => false;

/** A device on which module `i` takes `times[i]` milliseconds; it refuses modules without a time. */
function device(times: (number | undefined)[]) {
  const measured: string[] = [];
  const probe = {
    make: async (at: number, way: number) => {
      const { module, variants } = PROGRAM.dispatches[at]!;
      const chosen = way ? variants![way - 1]!.module : module;
      if (times[chosen] === undefined) throw new Error('refused');
      return chosen;
    },
    time: async (module: number, repeated: number) => {
      measured.push(`${module}x${repeated}`);
      return times[module]!;
    },
  };
  return { measured, probe };
}

test('a processor runs what every device runs, a GPU the first variant that it has', () => {
  assert.deepEqual(guess(PROGRAM, true, everything), [0, 0, 0, 0]);
  assert.deepEqual(guess(PROGRAM, false, everything), [1, 1, 1, 0]);
  assert.deepEqual(guess(PROGRAM, false, nothing), [2, 2, 1, 0]);
});

test('the fastest way of each kernel is taken, for all dispatches of its kind', async () => {
  assert.deepEqual(await tune(PROGRAM, [0, 0, 0, 0], everything, device([1, 0.5, 0.7, 1]).probe), [1, 1, 1, 0]);
  assert.deepEqual(await tune(PROGRAM, [0, 0, 0, 0], nothing, device([1, 0.5, 0.7, 1]).probe), [2, 2, 1, 0]);
});

test('a variant that is hardly faster, slower, or refused changes nothing', async () => {
  assert.deepEqual(await tune(PROGRAM, [0, 0, 0, 0], everything, device([1, undefined, 0.95, 1]).probe), [0, 0, 0, 0]);
  assert.deepEqual(await tune(PROGRAM, [1, 1, 1, 0], everything, device([0.2, 1, 1, 0.95]).probe), [0, 0, 1, 0]);
});

test('what takes far too long is measured once, and nothing once the time is spent', async () => {
  const slow = device([0.5, 100, 100, 0.5]);
  await tune(PROGRAM, [0, 0, 0, 0], everything, slow.probe);
  assert.deepEqual(slow.measured.filter((one) => one.startsWith('1') || one.startsWith('2')), ['1x1', '2x1']);
  const short = device([0.01, 0.01, 0.001, 0.01]);
  await tune(PROGRAM, [0, 0, 0, 0], everything, short.probe);
  assert.ok(short.measured.includes('2x64'), short.measured.join());
});

test('a choice is kept, and one that does not fit is not taken', () => {
  remember('key', [1, 1, 0, 0]);
  assert.deepEqual(remembered('key', PROGRAM, everything), [1, 1, 0, 0]);
  assert.equal(remembered('key', PROGRAM, nothing), undefined);
  assert.equal(remembered('other', PROGRAM, everything), undefined);
  for (const wrong of [[1, 1, 0], [3, 1, 0, 0], [0, 0, 0, 1], ['1', 0, 0, 0]]) {
    remember('wrong', wrong as number[]);
    assert.equal(remembered('wrong', PROGRAM, everything), undefined, JSON.stringify(wrong));
  }
});
