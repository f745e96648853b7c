'use client';

/**
 * React hooks for pipelines that mlpc compiled.
 *
 * @packageDocumentation
 */
export { createHook, type Handle, type Hook, type HookOptions } from './hook.js';
export type { RunState } from './state.js';
export { createSuspenseHook, type SuspenseHook } from './suspense.js';
