import type { WebpackPluginInstance } from 'webpack';
import { unplugin, type Options } from './index.js';

/** Imports `.mlp` files in webpack. */
const mlp = unplugin.webpack as (options?: Options) => WebpackPluginInstance;
export default mlp;
