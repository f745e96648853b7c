import type { MlpError, Progress, RunMeta } from '@mlp/runtime';

/** What a hook knows about its runs. `status` tells which of the fields are there. */
export type RunState<Output> =
  /** Nothing was asked for yet. */
  | { readonly status: 'idle'; readonly data?: undefined; readonly error?: undefined }
  /** The pipeline is being downloaded and compiled. `data` is the answer before, where there is one. */
  | { readonly status: 'loading'; readonly progress: Progress; readonly data?: Output | undefined; readonly error?: undefined }
  /** The answer is being computed. `data` is the answer before, where there is one. */
  | { readonly status: 'running'; readonly data?: Output | undefined; readonly error?: undefined }
  /** The answer is there. */
  | { readonly status: 'success'; readonly data: Output; readonly meta: RunMeta; readonly error?: undefined }
  /** The last run failed. `data` is the answer before, where there is one. */
  | { readonly status: 'error'; readonly error: MlpError; readonly data?: Output | undefined };

/** The state before anything happens, and the one that a server renders. One object, so that React sees no change. */
export const IDLE: RunState<never> = { status: 'idle' };
