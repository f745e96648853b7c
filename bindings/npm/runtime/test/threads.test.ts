import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { definePipeline, MlpError, type Pipeline } from '@mlp/runtime';
import { files, photo, PIPELINE, server, sourceOf, THREADED, threadedFiles, type Input, type Output } from './fixture.js';

const input = { photo: photo(100), offsets: [30, 10] };

async function open(change: (contents: Record<string, Uint8Array>) => void = () => {}) {
  const contents = await threadedFiles();
  const source = sourceOf(contents, THREADED);
  change(contents);
  const asked: string[] = [];
  return { pipeline: definePipeline<Input, Output>(source, { fetch: server(contents, asked) }), asked };
}

/** The number of threads once it is `count`, or what it is after a while. */
async function threads(pipeline: Pipeline<Input, Output>, options: { threads?: number }, count: number): Promise<number> {
  for (let turn = 0; ; turn++) {
    const { output, meta } = await pipeline.runWithMeta(input, { prefer: ['wasm'], ...options });
    assert.equal(output.mean[0], 140);
    if (meta.threads === count || turn === 500) return meta.threads;
    await setTimeout(10);
  }
}

test('helpers come to the module for threads, which is the only one that is downloaded', async () => {
  const { pipeline, asked } = await open();
  assert.equal(await threads(pipeline, { threads: 3 }, 3), 3);
  const modules = asked.filter((name) => name.endsWith('.wasm'));
  assert.equal(modules.length, 1);
  assert.match(modules[0]!, /threads\.wasm$/);
  pipeline.dispose();
});

test('one thread runs the module for one', async () => {
  const { pipeline, asked } = await open();
  assert.equal(await threads(pipeline, { threads: 1 }, 1), 1);
  assert.equal(await threads(pipeline, { threads: Number.NaN }, 1), 1);
  assert.ok(!asked.some((name) => /threads/.test(name)));
});

test('a pipeline without modules for threads has one', async () => {
  const contents = await files();
  const pipeline = definePipeline<Input, Output>(sourceOf(contents, PIPELINE), { fetch: server(contents) });
  assert.equal(await threads(pipeline, { threads: 4 }, 1), 1);
});

test('memory that is not to be had is done without', async () => {
  const { pipeline, asked } = await open();
  const { Memory } = WebAssembly;
  WebAssembly.Memory = new Proxy(Memory, {
    construct: (target, [descriptor]: [WebAssembly.MemoryDescriptor]) => {
      if (descriptor.shared) throw new RangeError('out of memory');
      return new target(descriptor);
    },
  });
  try {
    assert.equal(await threads(pipeline, { threads: 2 }, 1), 1);
    assert.ok(!asked.some((name) => /threads/.test(name)));
  } finally {
    WebAssembly.Memory = Memory;
  }
});

test('views lie in the shared memory, and copies do not', async () => {
  const { pipeline } = await open();
  const options = { prefer: ['wasm'], threads: 2 } as const;
  const { offsets } = await pipeline.inputViews(options);
  assert.ok(offsets instanceof Float32Array && (offsets.buffer as ArrayBufferLike) instanceof SharedArrayBuffer);
  offsets.set([1, 2]);
  const { mean } = await pipeline.run({ photo: photo(10), offsets }, { ...options, outputs: 'view' });
  assert.ok(mean[0] === 13 && mean.buffer === offsets.buffer);
  assert.ok((await pipeline.run({ photo: photo(10), offsets }, options)).mean.buffer instanceof ArrayBuffer);
  pipeline.dispose();
});

test('a module for threads is verified as any other file is', async () => {
  const wrong = await open((contents) => {
    for (const name of ['threads.wasm', 'relaxed-threads.wasm']) contents[name]!.set([1], contents[name]!.length - 1);
  });
  const fails = (code: string) => (error: unknown) => error instanceof MlpError && error.code === code;
  await assert.rejects(wrong.pipeline.run(input, { prefer: ['wasm'], threads: 2 }), fails('INTEGRITY'));
  // A module for one thread under the name of one for several.
  const contents = await threadedFiles();
  const { threads, ...single } = THREADED.wasm;
  const source = sourceOf(contents, { ...THREADED, wasm: { ...single, threads: { ...threads!, simd128: single.simd128, relaxed: single.relaxed } } });
  const pipeline = definePipeline<Input, Output>(source, { fetch: server(contents) });
  await assert.rejects(pipeline.run(input, { prefer: ['wasm'], threads: 2 }), fails('FORMAT'));
});
