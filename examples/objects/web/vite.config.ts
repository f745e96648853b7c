import mlp from '@mlp/unplugin/vite';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [mlp(), react()],
  // The example works from any folder of a static server.
  base: './',
  build: { assetsInlineLimit: 0 },
});
