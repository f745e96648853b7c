import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import mlp from '@mlp/unplugin/vite';
import mlpWebpack from '@mlp/unplugin/webpack';
import { build, createLogger, createServer, type InlineConfig } from 'vite';
import webpack from 'webpack';

/** Stands in the sources, since it is no TypeScript. */
const mlpc = fileURLToPath(new URL('../../test/compiler.mjs', import.meta.url));
const folders: string[] = [];
after(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

/** A project whose page imports a source of one line. */
function project(text: string): string {
  const root = mkdtempSync(join(tmpdir(), 'mlp-plugin-'));
  folders.push(root);
  mkdirSync(join(root, 'src'));
  writeFileSync(join(root, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(root, 'index.html'), '<!doctype html><script type="module" src="/src/main.js"></script>');
  writeFileSync(join(root, 'src/main.js'), "import { text, weights } from './words.mlp';\nconsole.log(text, weights().href);\n");
  writeFileSync(join(root, 'src/words.mlp'), text);
  writeFileSync(join(root, 'src/model.onnx'), new Uint8Array(10_000));
  return root;
}

function vite(root: string, warnings: string[] = []): InlineConfig {
  const customLogger = createLogger('warn');
  customLogger.warn = (message) => void warnings.push(message);
  customLogger.error = () => {};
  return { root, configFile: false, customLogger, plugins: [mlp({ mlpc })] };
}

test('compressed weights are asked for where the option says so', async () => {
  const root = project('hello');
  await build({ ...vite(root), plugins: [mlp({ mlpc, compressWeights: true })] });
  const assets = readdirSync(join(root, 'dist/assets'));
  assert.ok(readFileSync(join(root, 'dist/assets', assets.find((name) => name.endsWith('.js'))!), 'utf8').includes('hello --compress-weights'));
});

test('Vite ships the files of a bundle and types stand beside the source', async () => {
  const root = project('hello');
  await build(vite(root));
  const assets = readdirSync(join(root, 'dist/assets'));
  const weights = assets.find((name) => name.endsWith('.bin'))!;
  assert.equal(readFileSync(join(root, 'dist/assets', weights)).length, 10_000);
  const code = readFileSync(join(root, 'dist/assets', assets.find((name) => name.endsWith('.js'))!), 'utf8');
  assert.ok(code.includes('hello') && code.includes(weights), code);
  assert.match(readFileSync(join(root, 'src/words.d.mlp.ts'), 'utf8'), /export declare const text: "hello"/);
});

test('webpack ships them too', async () => {
  const root = project('hello');
  const stats = await new Promise<webpack.Stats>((resolve, reject) => {
    const plugins = [mlpWebpack({ mlpc, cacheDir: join(root, 'cache'), types: false })];
    webpack({ mode: 'production', context: root, entry: './src/main.js', output: { path: join(root, 'dist') }, plugins }, (error, result) =>
      error ? reject(error) : resolve(result!),
    );
  });
  assert.ok(!stats.hasErrors(), stats.toString());
  const names = readdirSync(join(root, 'dist'));
  assert.equal(readFileSync(join(root, 'dist', names.find((name) => name.endsWith('.bin'))!)).length, 10_000);
  assert.ok(!existsSync(join(root, 'src/words.d.mlp.ts')), 'types were declined');
});

test('prepared models are kept beside the bundles, or where the environment says', async () => {
  const root = project('hello');
  await build(vite(root));
  assert.equal(readFileSync(join(root, 'node_modules/.cache/mlp/.models/prepared'), 'utf8'), 'hello');
  const shared = join(root, 'shared');
  process.env['MLP_CACHE_DIR'] = shared;
  try {
    writeFileSync(join(root, 'src/words.mlp'), 'goodbye');
    await build(vite(root));
  } finally {
    delete process.env['MLP_CACHE_DIR'];
  }
  assert.equal(readFileSync(join(shared, 'prepared'), 'utf8'), 'goodbye');
  assert.equal(readFileSync(join(root, 'node_modules/.cache/mlp/.models/prepared'), 'utf8'), 'hello');
});

test('a refused source is an error at its place', async () => {
  await assert.rejects(build(vite(project('broken'))), (error: Error) => {
    assert.match(error.message, /E0203: unknown name `Objetcs`\s+3:9 no such model\s+help: did you mean `Objects`\?/);
    assert.match(error.message + JSON.stringify(error), /words\.mlp:3|"line":3/);
    return true;
  });
});

test('a crash and a missing compiler say so', async () => {
  await assert.rejects(build(vite(project('crash'))), /out of memory/);
  const missing = { ...vite(project('hello')), plugins: [mlp({ mlpc: '/nowhere/mlpc' })] };
  await assert.rejects(build(missing), /the compiler \/nowhere\/mlpc was not found: install it with/);
});

test('warnings are shown and stop nothing', async () => {
  const warnings: string[] = [];
  await build(vite(project('doubtful'), warnings));
  assert.ok(warnings.some((warning) => warning.includes('W0101: the model is never used')), warnings.join('\n'));
});

test('the development server isolates pages where the option says so', async () => {
  for (const crossOriginIsolated of [true, false]) {
    const server = await createServer({ ...vite(project('hello')), plugins: [mlp({ mlpc, crossOriginIsolated })], server: { port: 0 } });
    try {
      await server.listen();
      const { headers } = await fetch(server.resolvedUrls!.local[0]!);
      assert.equal(headers.get('cross-origin-opener-policy'), crossOriginIsolated ? 'same-origin' : null);
      assert.equal(headers.get('cross-origin-embedder-policy'), crossOriginIsolated ? 'require-corp' : null);
    } finally {
      await server.close();
    }
  }
});

test('the development server serves a bundle, and a changed dependency makes another', async () => {
  const root = project('hello');
  const server = await createServer({ ...vite(root), server: { middlewareMode: true, ws: false }, appType: 'custom' });
  try {
    const index = async () => /from\s*"([^"]+index\.js[^"]*)"/.exec((await server.transformRequest('/src/words.mlp'))!.code)![1]!;
    const first = await index();
    assert.match((await server.transformRequest(first))!.code, /hello/);
    const model = join(root, 'src/model.onnx');
    writeFileSync(model, new Uint8Array(20_000));
    server.watcher.emit('change', model);
    let second = await index();
    for (let i = 0; second === first && i < 100; i++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      second = await index();
    }
    assert.notEqual(second, first);
  } finally {
    await server.close();
  }
});
