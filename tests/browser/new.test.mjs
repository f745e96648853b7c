/** A project that `mlpc new` makes builds with Vite and typechecks. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { compiler } from './mlpc.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

test('a new project builds', async () => {
  process.env.MLPC = compiler();
  // Inside the repository, so that packages are those of the workspace.
  const folder = join(root, 'target', 'new-project');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  execFileSync(process.env.MLPC, ['new', 'tiles'], { cwd: folder });
  const project = join(folder, 'tiles');
  await build({ root: project, configFile: join(project, 'vite.config.ts'), logLevel: 'error' });
  assert.ok(readdirSync(join(project, 'dist', 'assets')).some((name) => name.endsWith('.js')));
  assert.match(readFileSync(join(project, 'src', 'tiles.d.mlp.ts'), 'utf8'), /Mosaic: Pipeline</);
  const tsc = createRequire(import.meta.url).resolve('typescript/package.json');
  execFileSync(process.execPath, [join(dirname(tsc), 'bin', 'tsc'), '--noEmit'], { cwd: project, stdio: 'inherit' });
});
