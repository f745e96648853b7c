import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

test('the extension is packaged without a network, with all it needs', () => {
  const offline = { ...process.env, HTTP_PROXY: 'http://127.0.0.1:9', HTTPS_PROXY: 'http://127.0.0.1:9', npm_config_offline: 'true' };
  execFileSync('npm', ['run', 'package'], { cwd: root, env: offline, shell: process.platform === 'win32', stdio: 'pipe' });
  // Names in a zip archive stand in it as they are.
  const archive = readFileSync(join(root, 'dist', 'mlp.vsix')).toString('latin1');
  for (const name of ['extension/package.json', 'extension/dist/bundle/extension.cjs', 'extension/syntaxes/mlp.tmLanguage.json', 'extension/language-configuration.json']) {
    assert.ok(archive.includes(name), name);
  }
  assert.ok(!archive.includes('node_modules'));
  const bundle = readFileSync(join(root, 'dist', 'bundle', 'extension.cjs'), 'utf8');
  const outside = [...bundle.matchAll(/require\(["'`]([^"'`]+)["'`]\)/g)].map((found) => found[1]);
  const builtin = /^(node:)?(child_process|crypto|fs|net|os|path|url|util|events|assert|process|buffer|stream|worker_threads|async_hooks|readline)(\/.*)?$/;
  assert.deepEqual(outside.filter((name) => name !== 'vscode' && !builtin.test(name ?? '')), []);
});
