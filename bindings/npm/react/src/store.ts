import { MlpError, type LoadOptions, type Pipeline, type Progress, type RunOptions } from '@mlp/runtime';
import { IDLE, type RunState } from './state.js';

/** The runs of one component. It lives outside of React, which reads it through `useSyncExternalStore`. */
export class RunStore<Input, Output> {
  /** What a run or load uses where its caller says nothing else; the hook keeps it up to date. */
  options: LoadOptions = {};
  #state: RunState<Output> = IDLE;
  /** The state to go back to when a run is given up: the last that a finished run left. */
  #settled: RunState<Output> = IDLE;
  #current: AbortController | undefined;
  readonly #listeners = new Set<() => void>();

  constructor(private readonly pipeline: Pipeline<Input, Output>) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly snapshot = (): RunState<Output> => this.#state;

  /** Computes an answer and supersedes the run before, whose promise rejects. The state shows the latest run alone. */
  readonly run = (input: Input, options?: RunOptions): Promise<Output> => {
    const answer = this.#begin(options, async (choice) => {
      const { output, meta } = await this.pipeline.runWithMeta(input, choice);
      return { output, state: { status: 'success', data: output, meta } };
    });
    return quiet(answer);
  };

  /** Loads the pipeline ahead of the first run and shows the progress. While a run is on its way it does nothing. */
  readonly preload = (options?: LoadOptions): Promise<void> => {
    if (this.#current || this.pipeline.isLoaded({ ...this.options, ...options })) return Promise.resolve();
    return quiet(this.#begin(options, async () => ({ output: undefined, state: this.#settled })));
  };

  /** Forgets the answer, and the state of a pipeline that has one, and stops the run. */
  readonly reset = (): void => {
    this.#giveUp('the hook was reset', IDLE);
    // One that could not be loaded has no state.
    if (this.pipeline.hasState) void quiet(this.pipeline.reset());
  };

  /** Stops the run: nobody watches any more. */
  readonly leave = (): void => this.#giveUp('the component was unmounted', this.#settled);

  async #begin<T>(options: LoadOptions | undefined, work: (choice: LoadOptions) => Promise<{ output: T; state: RunState<Output> }>): Promise<T> {
    // What a run leaves is read by the next one, so that none may be left out.
    if (!this.pipeline.hasState) this.#current?.abort(new MlpError('ABORTED', 'a later run superseded this one'));
    const current = (this.#current = new AbortController());
    const { signal, onProgress, ...choice } = { ...this.options, ...options };
    const follow = () => current.abort(signal?.reason);
    if (signal?.aborted) follow();
    signal?.addEventListener('abort', follow, { once: true });
    const show = (state: RunState<Output>) => this.#current === current && this.#show(state);
    const progress = (step: Progress) => {
      onProgress?.(step);
      show({ status: 'loading', progress: step, data: this.#state.data });
    };
    try {
      if (!this.pipeline.isLoaded(choice)) {
        show({ status: 'loading', progress: NOTHING_YET, data: this.#state.data });
        await this.pipeline.load({ ...choice, signal: current.signal, onProgress: progress });
      }
      show({ status: 'running', data: this.#state.data });
      const { output, state } = await work({ ...choice, signal: current.signal });
      if (this.#current === current) this.#settle(state);
      return output;
    } catch (error) {
      if (this.#current === current) this.#settle(current.signal.aborted ? this.#settled : { status: 'error', error: asMlpError(error), data: this.#state.data });
      throw error;
    } finally {
      signal?.removeEventListener('abort', follow);
    }
  }

  #giveUp(why: string, state: RunState<Output>): void {
    const current = this.#current;
    this.#settle(state);
    current?.abort(new MlpError('ABORTED', why));
  }

  #settle(state: RunState<Output>): void {
    this.#current = undefined;
    this.#settled = state;
    this.#show(state);
  }

  #show(state: RunState<Output>): void {
    if (state === this.#state || sameStep(state, this.#state)) return;
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}

const NOTHING_YET: Progress = { phase: 'download', loaded: 0, total: 0 };

/** Bytes arrive in hundreds of pieces: a component is told of whole percents. */
function sameStep(a: RunState<unknown>, b: RunState<unknown>): boolean {
  if (a.status === 'running') return b.status === 'running';
  return a.status === 'loading' && b.status === 'loading' && a.progress.phase === b.progress.phase && percent(a.progress) === percent(b.progress);
}

function percent({ loaded, total }: Progress): number {
  return total ? Math.floor((100 * loaded) / total) : -1;
}

function asMlpError(error: unknown): MlpError {
  return error instanceof MlpError ? error : new MlpError('RUN', String(error), { cause: error });
}

/** A caller may ignore the promise and read the state, so a rejection that nobody handles is no accident. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
