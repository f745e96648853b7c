import type { Plugin } from 'vite';
import { unplugin, type Options } from './index.js';

/** Imports `.mlp` files in Vite. */
const mlp = unplugin.vite as (options?: Options) => Plugin;
export default mlp;
