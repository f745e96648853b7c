/** How `.mlp` files are compiled. */
export interface Options {
  /** The compiler; the environment variable `MLPC`, then `mlpc` on the path, where it is left out. */
  readonly mlpc?: string;
  /** Where bundles are kept; `node_modules/.cache/mlp` of the package that the bundler runs in, where it is left out. */
  readonly cacheDir?: string;
  /** False writes no `NAME.d.mlp.ts` beside each `NAME.mlp`. TypeScript reads those with `allowArbitraryExtensions`. */
  readonly types?: boolean;
}
