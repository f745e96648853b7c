import { defineConfig } from 'rolldown';

// One file with all it needs but the editor's own module, so that the package carries no node_modules.
export default defineConfig({
  input: 'dist/extension.js',
  platform: 'node',
  external: ['vscode'],
  output: { file: 'dist/bundle/extension.cjs', format: 'cjs', minify: true, codeSplitting: false },
});
