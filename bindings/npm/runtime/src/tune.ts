import { waysOf, type Dispatch, type GpuProgram } from './program.js';

/** The number of the way that each dispatch runs. */
export type Choice = readonly number[];

/** How ways are made and measured; a unit test brings its own. */
export interface Probe<Way> {
  make(dispatch: number, way: number): Promise<Way>;
  /** Milliseconds of one, on average over `times` in a row. */
  time(way: Way, times: number): Promise<number>;
}

/** Milliseconds that may be measured for, and on a device so slow that this is less, runs; compiling, which the browser does aside, is not in it. */
const BUDGET = 200;
const LEAST_RUNS = 4;
/** A variant replaces what runs where it takes less than this part of its time: less is noise. */
const BETTER = 0.9;
/** Kernels that together take less than this part of a run are left as they are. */
const NEGLIGIBLE = 0.01;
/** Milliseconds for which something is repeated to be measured, since browsers make the clock coarse, and how often at most. */
const SPAN = 2;
const MOST_TIMES = 64;

/** What suits the kind of adapter: a processor that stands in for a GPU has no use for workgroup memory, others run the first variant of each kernel. */
export function guess(program: GpuProgram, software: boolean, has: (feature: string) => boolean): Choice {
  return program.dispatches.map((dispatch) => (software ? 0 : (waysOf(program, dispatch, has)[1] ?? 0)));
}

/** Measures the ways of the kernels that take most of a run, and answers the fastest of each. */
export async function tune<Way>(program: GpuProgram, choice: Choice, has: (feature: string) => boolean, probe: Probe<Way>): Promise<Choice> {
  const chosen = [...choice];
  const made = new Map<string, Promise<Way | undefined>>();
  // A device may refuse what it says to have; then it runs something else.
  const way = (dispatch: number, number: number) => {
    const key = `${dispatch} ${number}`;
    if (!made.has(key)) made.set(key, probe.make(dispatch, number).catch(() => undefined));
    return made.get(key)!;
  };
  let left = 0;
  const least = async (measured: Way, times: number) => {
    const runs = [await probe.time(measured, times), await probe.time(measured, times)];
    left -= times * (runs[0]! + runs[1]!);
    return Math.min(...runs);
  };
  const classes = [];
  for (const members of classesOf(program)) {
    const [first] = members as [number];
    const now = await way(first, chosen[first]!);
    if (now !== undefined) classes.push({ members, first, once: await probe.time(now, 1) });
  }
  const share = ({ members, once }: { members: number[]; once: number }) => members.length * once;
  const total = classes.reduce((sum, one) => sum + share(one), 0);
  left = Math.max(BUDGET, LEAST_RUNS * total);
  const heavy = classes.filter((one) => share(one) >= NEGLIGIBLE * total).sort((a, b) => share(b) - share(a));
  const others = ({ first }: { first: number }) => waysOf(program, program.dispatches[first]!, has).filter((number) => number !== choice[first]);
  // All at once: pipelines are compiled in parallel.
  await Promise.all(heavy.flatMap((one) => others(one).map((number) => way(one.first, number))));
  for (const one of heavy) {
    const { members, first, once } = one;
    const candidates = others(one);
    if (left <= 0 || !candidates.length) continue;
    const times = Math.min(MOST_TIMES, Math.max(1, Math.floor(SPAN / Math.max(once, 1e-3))));
    let best = BETTER * (await least((await way(first, choice[first]!))!, times));
    for (const number of candidates) {
      const other = await way(first, number);
      if (other === undefined || left <= 0) continue;
      // Where a single one takes far too long, it need not be repeated.
      const single = await probe.time(other, 1);
      left -= single;
      const time = single < 4 * best ? await least(other, times) : Infinity;
      if (time >= best) continue;
      best = time;
      for (const member of members) chosen[member] = number;
    }
  }
  return chosen;
}

/** The dispatches that differ in nothing but what they are bound to. */
function classesOf({ dispatches }: GpuProgram): number[][] {
  const classes = new Map<string, number[]>();
  dispatches.forEach(({ module, params, workgroups, variants }: Dispatch, i) => {
    const key = JSON.stringify([module, params, workgroups, variants]);
    classes.set(key, [...(classes.get(key) ?? []), i]);
  });
  return [...classes.values()];
}

/** What was found is kept by program and adapter: for this page, and where the page has storage for the next ones. */
const found = new Map<string, Choice>();

/** The choice that was kept under `key`, if it is one of this program and this device. */
export function remembered(key: string, program: GpuProgram, has: (feature: string) => boolean): Choice | undefined {
  let choice: unknown = found.get(key);
  try {
    choice ??= JSON.parse(globalThis.localStorage?.getItem(key) ?? 'null');
  } catch {
    // A page may be refused storage, and others may have written there.
  }
  if (!Array.isArray(choice) || choice.length !== program.dispatches.length) return undefined;
  return program.dispatches.every((dispatch, i) => waysOf(program, dispatch, has).includes(choice[i])) ? choice : undefined;
}

export function remember(key: string, choice: Choice): void {
  found.set(key, choice);
  try {
    globalThis.localStorage?.setItem(key, JSON.stringify(choice));
  } catch {
    // It is found again on the next page.
  }
}
