import mlp from '@mlp/unplugin/vite';
import { defineConfig } from 'vite';

// `mlpc` compiles what is imported from .mlp files.
export default defineConfig({ plugins: [mlp()] });
