/** What went wrong, for a program to branch on. */
export type MlpErrorCode =
  /** The bundle is malformed, or of a format that this runtime does not read. */
  | 'FORMAT'
  /** A file of the bundle could not be downloaded. */
  | 'NETWORK'
  /** A file of the bundle is not the one that was compiled: its size or its digest differs. */
  | 'INTEGRITY'
  /** None of the preferred backends works on this device. */
  | 'NO_BACKEND'
  /** The input does not have the type that the pipeline takes. */
  | 'INPUT'
  /** The browser took the GPU away, and no other backend is allowed. */
  | 'DEVICE_LOST'
  /** The computation failed. */
  | 'RUN'
  /** The caller's signal was aborted, or a later run superseded this one. `cause` is the signal's reason. */
  | 'ABORTED'
  /** The pipeline was disposed of while it was at work. */
  | 'DISPOSED';

/** Every error that this package throws. */
export class MlpError extends Error {
  override readonly name = 'MlpError';

  constructor(
    readonly code: MlpErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/** `error` itself where it is a typed one, else wrapped as `code`. */
export function typed(error: unknown, code: MlpErrorCode, what: string): MlpError {
  if (error instanceof MlpError) return error;
  return new MlpError(code, `${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}

/** Throws `ABORTED` where `signal` is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted(signal);
}

/** The error of an aborted `signal`. */
export function aborted(signal: AbortSignal): MlpError {
  return signal.reason instanceof MlpError ? signal.reason : new MlpError('ABORTED', 'the run was aborted', { cause: signal.reason });
}

/** `promise`, or `ABORTED` as soon as `signal` is: the work itself goes on for whoever else waits for it. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  throwIfAborted(signal);
  return new Promise((resolve, reject) => {
    const stop = () => reject(aborted(signal));
    signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
