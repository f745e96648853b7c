import { defineConfig } from 'vite';

export default defineConfig({
  // The page works from any folder of a static server.
  base: './',
  // Examples are files of the repository, models among them.
  assetsInclude: ['**/*.onnx', '**/*.safetensors'],
  build: { assetsInlineLimit: 0, target: 'es2022' },
  worker: { format: 'es' },
  server: {
    fs: { allow: ['../../..'] },
    // WebAssembly may then use several threads.
    headers: { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' },
  },
});
