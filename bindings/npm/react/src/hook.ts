import type { Backend, LoadOptions, Pipeline, RunOptions } from '@mlp/runtime';
import { useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import { IDLE, type RunState } from './state.js';
import { RunStore } from './store.js';

/** How a hook loads its pipeline. */
export interface HookOptions {
  /** Backends in order of preference; what the `.mlp` file says where it is left out. */
  readonly prefer?: readonly Backend[] | undefined;
  /** See `LoadOptions` of `@mlp/runtime`. */
  readonly relaxedSimd?: boolean | undefined;
  /** See `LoadOptions` of `@mlp/runtime`. */
  readonly threads?: number | undefined;
  /** True loads when the component mounts; else the first run does. */
  readonly preload?: boolean | undefined;
}

/** What a hook gives: the state of the latest run, and what changes it. The functions keep their identity. */
export type Handle<Input, Output> = RunState<Output> & {
  /** Computes an answer and supersedes the run before; of a pipeline with state, after the runs before, whose answers are shown no more. */
  readonly run: (input: Input, options?: RunOptions) => Promise<Output>;
  /** Loads the pipeline ahead of the first run. */
  readonly preload: (options?: LoadOptions) => Promise<void>;
  /** Forgets the answer, and the state of a pipeline that has one, and stops the run. */
  readonly reset: () => void;
};

/** A hook for answers to events: a photo is dropped, a button is pressed. Runs, and the state of a pipeline that has one, belong to the component; runs stop when it unmounts. */
export type Hook<Input, Output> = (options?: HookOptions) => Handle<Input, Output>;

/** Makes the hook of a pipeline. Generated modules call it. */
export function createHook<Input, Output>(pipeline: Pipeline<Input, Output>, defaults: HookOptions = {}): Hook<Input, Output> {
  return function useRuns(options) {
    const { prefer, relaxedSimd, threads, preload } = { ...defaults, ...options };
    // What a pipeline remembers belongs to the component.
    const [own] = useState(() => (pipeline.hasState ? pipeline.separate() : pipeline));
    const [store] = useState(() => new RunStore(own));
    const state = useSyncExternalStore(store.subscribe, store.snapshot, serverSnapshot);
    const preference = prefer?.join();

    useEffect(() => {
      const release = own.retain();
      return () => {
        store.leave();
        release();
      };
    }, [own, store]);

    useEffect(() => {
      store.options = { prefer: preference?.split(',') as Backend[] | undefined, relaxedSimd, threads };
      if (preload) void store.preload();
    }, [store, preference, relaxedSimd, threads, preload]);

    return useMemo(() => ({ ...state, run: store.run, preload: store.preload, reset: store.reset }), [state, store]);
  };
}

function serverSnapshot(): RunState<never> {
  return IDLE;
}
