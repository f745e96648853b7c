/** How `.mlp` files are compiled. */
export interface Options {
  /** The compiler; the environment variable `MLPC`, then `mlpc` on the path, where it is left out. */
  readonly mlpc?: string;
  /** Where bundles and prepared models are kept; `node_modules/.cache/mlp` of the package that the bundler runs in, where it is left out. */
  readonly cacheDir?: string;
  /** True ships a compressed form of weights that it makes a tenth smaller, which pays on connections of less than about 100 Mbit/s. */
  readonly compressWeights?: boolean;
  /**
   * True has Vite's servers isolate pages from other origins (`Cross-Origin-Opener-Policy` and `Cross-Origin-Embedder-Policy`), as pages must be for
   * WebAssembly with several threads. Your own server has to send the same headers. What pages then load from other origins needs these origins' consent.
   */
  readonly crossOriginIsolated?: boolean;
  /** False writes no `NAME.d.mlp.ts` beside each `NAME.mlp`. TypeScript reads those with `allowArbitraryExtensions`. */
  readonly types?: boolean;
}
