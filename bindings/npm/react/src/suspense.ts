import { MlpError, type LoadOptions, type Pipeline } from '@mlp/runtime';
import * as React from 'react';

/** A hook for answers that are a function of what is rendered: it suspends until the answer is there and throws to an error boundary. */
export type SuspenseHook<Input, Output> = (input: Input, options?: Pick<LoadOptions, 'prefer' | 'relaxedSimd' | 'threads'>) => Output;

/**
 * Makes the suspending hook of a pipeline. Generated modules call it. Answers are kept for as long as the values of the input are: give the same
 * `File` or array again, and the same answer comes back at once.
 */
export function createSuspenseHook<Input, Output>(
  pipeline: Pipeline<Input, Output>,
  defaults: Pick<LoadOptions, 'prefer' | 'relaxedSimd' | 'threads'> = {},
): SuspenseHook<Input, Output> {
  const answers = new Answers<Output>();
  return function useAnswer(input, options) {
    React.useEffect(() => pipeline.retain(), []);
    const { prefer, relaxedSimd, threads } = { ...defaults, ...options };
    const values = Object.values(input as Record<string, unknown>);
    return read(answers.get(values, `${prefer?.join()} ${relaxedSimd} ${threads}`, () => pipeline.run(input, { prefer, relaxedSimd, threads })));
  };
}

/** A promise whose outcome can be read in render, in the way that React marks promises too. */
type Tracked<T> = Promise<T> & { status?: 'pending' | 'fulfilled' | 'rejected'; value?: T; reason?: unknown };

/** React 19 has `use`; before it, a component suspends by throwing the promise. */
function read<T>(promise: Tracked<T>): T {
  const { use } = React as { use?: <V>(promise: Promise<V>) => V };
  if (use) return use(promise);
  if (promise.status === 'fulfilled') return promise.value as T;
  throw promise.status === 'rejected' ? promise.reason : promise;
}

/** Milliseconds for which a failure is remembered: long enough for React to render it. */
const RETRY_AFTER = 1000;

/** Promises by the identity of all values of an input, held weakly. */
class Answers<Output> {
  readonly #root: Node<Output> = { next: new WeakMap(), answers: new Map() };

  get(values: readonly unknown[], choice: string, compute: () => Promise<Output>): Tracked<Output> {
    let node = this.#root;
    for (const value of values) {
      if (typeof value !== 'object' || value === null) throw new MlpError('INPUT', `an input is an image or an array, not ${String(value)}`);
      let next = node.next.get(value);
      if (!next) node.next.set(value, (next = { next: new WeakMap(), answers: new Map() }));
      node = next;
    }
    let answer = node.answers.get(choice);
    if (!answer) {
      node.answers.set(choice, (answer = tracked(compute())));
      // An error boundary that tries again, a while later, gets another attempt and not the same error.
      const { answers } = node;
      answer.catch(() => setTimeout(() => answers.delete(choice), RETRY_AFTER));
    }
    return answer;
  }
}

interface Node<Output> {
  readonly next: WeakMap<object, Node<Output>>;
  readonly answers: Map<string, Tracked<Output>>;
}

function tracked<T>(promise: Tracked<T>): Tracked<T> {
  promise.status = 'pending';
  promise.then(
    (value) => void Object.assign(promise, { status: 'fulfilled', value }),
    (reason: unknown) => void Object.assign(promise, { status: 'rejected', reason }),
  );
  return promise;
}
