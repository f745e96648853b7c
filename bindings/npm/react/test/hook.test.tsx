import { root as container } from './page.js';
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { createHook, createSuspenseHook, type Handle, type HookOptions } from '@mlp/react';
import { MlpError } from '@mlp/runtime';
import { act, Component, StrictMode, Suspense, type ReactNode } from 'react';
import { createRoot, type Root } from 'react-dom/client';
import { renderToString } from 'react-dom/server';
import { Steered } from './fake.js';

type Word = { word: object };
const input = (): Word => ({ word: {} });

let mounted: Root | undefined;
afterEach(async () => {
  await act(async () => mounted?.unmount());
  mounted = undefined;
});

/** Mounts a component in StrictMode that shows nothing and hands out what its hook gives. */
async function mount(pipeline: Steered, options?: HookOptions) {
  const useWord = createHook(pipeline);
  const seen: Handle<Word, string>[] = [];
  function Probe() {
    seen.push(useWord(options));
    return null;
  }
  mounted = createRoot(container);
  await act(async () => mounted!.render(<StrictMode><Probe /></StrictMode>));
  return { now: () => seen.at(-1)!, seen };
}

test('a run loads, computes and succeeds, and tells each step', async () => {
  const pipeline = new Steered();
  const { now } = await mount(pipeline);
  assert.equal(now().status, 'idle');
  let answer: Promise<string>;
  await act(async () => void (answer = now().run(input())));
  assert.equal(now().status, 'loading');
  await act(async () => pipeline.loads[0]!.progress({ phase: 'download', loaded: 50, total: 100 }));
  const loading = now();
  assert.ok(loading.status === 'loading' && loading.progress.loaded === 50);
  await act(async () => pipeline.loads[0]!.done());
  assert.equal(now().status, 'running');
  await act(async () => pipeline.runs[0]!.answer('hello'));
  const done = now();
  assert.ok(done.status === 'success' && done.data === 'hello' && done.meta.backend === 'wasm');
  assert.equal(await answer!, 'hello');
});

test('the latest run wins, and the one before is stopped', async () => {
  const pipeline = new Steered();
  pipeline.loaded = true;
  const { now } = await mount(pipeline);
  let first: Promise<string>;
  await act(async () => void (first = now().run(input())));
  await act(async () => void now().run(input()));
  await assert.rejects(first!, (error: unknown) => error instanceof MlpError && error.code === 'ABORTED' && /superseded/.test(error.message));
  await act(async () => pipeline.runs[0]!.answer('stale'));
  assert.equal(now().status, 'running');
  await act(async () => pipeline.runs[1]!.answer('fresh'));
  assert.equal(now().data, 'fresh');
});

test('a component has the state of a pipeline for itself, and none of its runs is left out', async () => {
  const pipeline = new Steered();
  pipeline.hasState = true;
  const { now } = await mount(pipeline);
  const own = pipeline.separated.find((one) => one.users > 0)!;
  assert.equal(pipeline.users, 0, 'the shared one is not used');
  own.loaded = true;
  let first: Promise<string>;
  await act(async () => void (first = now().run(input())));
  await act(async () => void now().run(input()));
  assert.deepEqual([own.runs.length, own.runs[0]!.options.signal?.aborted, pipeline.runs.length], [2, false, 0]);
  await act(async () => own.runs[0]!.answer('one'));
  assert.equal(await first!, 'one');
  assert.equal(now().status, 'running', 'the latest run is shown');
  await act(async () => own.runs[1]!.answer('two'));
  assert.equal(now().data, 'two');
  await act(async () => now().reset());
  assert.deepEqual([now().status, own.resets, pipeline.resets], ['idle', 1, 0]);
});

test('an error keeps the answer before, and reset forgets both', async () => {
  const pipeline = new Steered();
  pipeline.loaded = true;
  const { now } = await mount(pipeline);
  await act(async () => void now().run(input()));
  await act(async () => pipeline.runs[0]!.answer('hello'));
  await act(async () => void now().run(input()));
  await act(async () => pipeline.runs[1]!.fail(new MlpError('RUN', 'broken')));
  const failed = now();
  assert.ok(failed.status === 'error' && failed.error.code === 'RUN' && failed.data === 'hello');
  await act(async () => now().reset());
  assert.deepEqual([now().status, now().data], ['idle', undefined]);
});

test("a caller's signal stops the run and the state goes back", async () => {
  const pipeline = new Steered();
  pipeline.loaded = true;
  const { now } = await mount(pipeline);
  const stop = new AbortController();
  let answer: Promise<string>;
  await act(async () => void (answer = now().run(input(), { signal: stop.signal })));
  await act(async () => stop.abort(new MlpError('ABORTED', 'enough')));
  await assert.rejects(answer!, /enough/);
  assert.equal(now().status, 'idle');
});

test('unmounting stops the run and lets the pipeline go', async () => {
  const pipeline = new Steered();
  pipeline.loaded = true;
  const { now } = await mount(pipeline);
  assert.equal(pipeline.users, 1, 'StrictMode mounts twice and counts once');
  let answer: Promise<string>;
  await act(async () => void (answer = now().run(input())));
  await act(async () => mounted!.unmount());
  await assert.rejects(answer!, /unmounted/);
  assert.equal(pipeline.users, 0);
});

test('preloading shows progress and ends idle; its failure is an error', async () => {
  const pipeline = new Steered();
  const { now } = await mount(pipeline, { preload: true });
  assert.equal(now().status, 'loading');
  await act(async () => pipeline.loads.at(-1)!.done());
  assert.equal(now().status, 'idle');
  await act(async () => mounted!.unmount());
  const broken = new Steered();
  const second = await mount(broken, { preload: true });
  await act(async () => broken.loads.at(-1)!.fail(new MlpError('NETWORK', 'offline')));
  assert.equal(second.now().error?.code, 'NETWORK');
});

test('the functions keep their identity, and equal states draw nothing', async () => {
  const pipeline = new Steered();
  const { now, seen } = await mount(pipeline);
  const { run, reset } = now();
  await act(async () => void now().run(input()));
  const before = seen.length;
  for (const loaded of [500, 501, 502]) await act(async () => pipeline.loads[0]!.progress({ phase: 'download', loaded, total: 1000 }));
  // StrictMode draws everything twice.
  assert.equal(seen.length - before, 2, 'three steps within one percent are one update');
  assert.deepEqual([now().run, now().reset], [run, reset]);
});

test('a server renders the idle state', () => {
  const useWord = createHook(new Steered());
  const Probe = () => <p>{useWord({ preload: true }).status}</p>;
  assert.equal(renderToString(<Probe />), '<p>idle</p>');
});

class Boundary extends Component<{ children: ReactNode }, { message?: string }> {
  override state: { message?: string } = {};
  static getDerivedStateFromError(error: Error) {
    return { message: error.message };
  }
  override render() {
    return this.state.message ?? this.props.children;
  }
}

test('the suspending hook waits, answers the same input once, and throws to a boundary', async () => {
  const pipeline = new Steered();
  const useWord = createSuspenseHook(pipeline);
  const Probe = ({ value }: { value: Word }) => <b>{useWord({ ...value })}</b>;
  const draw = (value: Word) => (
    <Boundary>
      <Suspense fallback="wait">
        <Probe value={value} />
      </Suspense>
    </Boundary>
  );
  const [good, bad] = [input(), input()];
  mounted = createRoot(container);
  await act(async () => mounted!.render(draw(good)));
  assert.equal(container.innerHTML, 'wait');
  await act(async () => pipeline.runs[0]!.answer('hello'));
  assert.equal(container.innerHTML, '<b>hello</b>');
  await act(async () => mounted!.render(draw({ ...good })));
  assert.equal(pipeline.runs.length, 1);
  const log = console.error;
  console.error = () => {};
  await act(async () => mounted!.render(draw(bad)));
  await act(async () => pipeline.runs[1]!.fail(new MlpError('RUN', 'broken')));
  console.error = log;
  assert.equal(container.textContent, 'broken');
});
