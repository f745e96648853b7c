// What the compiler writes, as its own snapshots show it, checked by TypeScript and imported: the descriptions and the packages must fit.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../../../../../', import.meta.url));
const SNAPSHOTS = join(ROOT, 'compiler/codegen/src/typescript/snapshots');

/** Lays out a snapshot as the module `bundle` beside a program that uses it. */
function project(context: TestContext, snapshot: string, program: string): string {
  const folder = mkdtempSync(fileURLToPath(new URL('generated-', import.meta.url)));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const text = readFileSync(join(SNAPSHOTS, `mlp_codegen__typescript__tests__${snapshot}.snap`), 'utf8');
  const [, js, dts] = /===== index\.js\n([\s\S]*)\n===== index\.d\.ts\n([\s\S]*)$/.exec(text) ?? [];
  assert.ok(js && dts, `the snapshot ${snapshot} has both files`);
  writeFileSync(join(folder, 'bundle.js'), js);
  writeFileSync(join(folder, 'bundle.d.ts'), dts);
  writeFileSync(join(folder, 'program.ts'), program);
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  const compilerOptions = { strict: true, noEmit: true, target: 'ES2022', module: 'NodeNext', lib: ['ES2022', 'DOM'], types: [], noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }));
  return folder;
}

async function check(folder: string): Promise<void> {
  const tsc = fileURLToPath(new URL('bin/tsc', import.meta.resolve('typescript/package.json')));
  await promisify(execFile)(process.execPath, [tsc, '-p', folder]).catch((error: { stdout: string }) => assert.fail(error.stdout));
}

test('a photo classifier has exact types', async (context) => {
  const folder = project(
    context,
    'a_photo_classifier_with_a_hook',
    `import { Classify, useClassify, useClassifySuspense, type ClassifyInput, type ClassifyOutput, type ClassifyTopLabel } from './bundle.js';
    export async function answers(photo: File, image: HTMLImageElement): Promise<number> {
      const input: ClassifyInput = { photo };
      const output: ClassifyOutput = await Classify.run(input, { prefer: ['wasm'] });
      const label: 'espresso' | "carpenter's kit" | 'crane' | undefined = output.top[0]?.label satisfies ClassifyTopLabel | undefined;
      await Classify.run({ photo: image });
      // @ts-expect-error the photo is missing
      await Classify.run({});
      // @ts-expect-error there is no such label
      if (label === 'tea') return 0;
      return output.scores.length;
    }
    export function Component(photo: Blob): string | undefined {
      const state = useClassify({ prefer: ['webgpu'], preload: true });
      void state.run({ photo }).then((output) => output.scores);
      const { top } = useClassifySuspense({ photo });
      if (state.status === 'success') return state.data.top[0]?.label ?? state.meta.backend;
      if (state.status === 'loading') return \`\${state.progress.loaded} of \${state.progress.total}\`;
      if (state.status === 'error') return state.error.code;
      // @ts-expect-error there is no answer yet
      if (state.status === 'idle') return state.data.top;
      return top[0]?.label;
    }`,
  );
  await check(folder);
  const { Classify, useClassify } = (await import(pathToFileURL(join(folder, 'bundle.js')).href)) as { Classify: { name: string }; useClassify: unknown };
  assert.equal(Classify.name, 'Classify');
  assert.equal(typeof useClassify, 'function');
});

test('names that JavaScript does not take are usable', async (context) => {
  const folder = project(
    context,
    'a_model_with_names_that_javascript_does_not_take',
    `import { delete_, main_graph } from './bundle.js';
    export async function run(): Promise<string> {
      const { 'y</script>': truth } = await main_graph.run({});
      const bytes: Uint8Array = truth;
      return await delete_.run({ 'images:0': new Uint8Array(150528), mask: [1n], half: new Uint16Array(bytes.length) });
    }`,
  );
  await check(folder);
  await import(pathToFileURL(join(folder, 'bundle.js')).href);
});
