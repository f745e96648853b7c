import type { WasmThreads } from './manifest.js';

const PAGE = 65536;

/** Threads beyond which results come no sooner: kernels are cut for about as many. */
const MOST = 8;

/** What of Node is used; bundlers for browsers find nothing to resolve. */
interface NodeProcess {
  getBuiltinModule?(name: 'node:worker_threads'): { Worker: new (code: string, options: object) => NodeWorker } | undefined;
  getBuiltinModule?(name: 'node:os'): { availableParallelism(): number } | undefined;
}

interface NodeWorker {
  on(event: 'error', listener: () => void): void;
  unref(): void;
  terminate(): unknown;
}

function node(): NodeProcess['getBuiltinModule'] {
  const { process } = globalThis as { process?: NodeProcess & { versions?: { node?: string } } };
  return process?.versions?.node ? process.getBuiltinModule?.bind(process) : undefined;
}

/**
 * How many threads to compute with: 1 where pages cannot share memory. Unasked, half of the processors, as two of them often are one core, at least two where there
 * are two and at most four.
 */
export function threadCount(asked?: number): number {
  const builtin = node();
  if (typeof SharedArrayBuffer !== 'function' || !(globalThis.crossOriginIsolated || builtin)) return 1;
  if (asked !== undefined) return Math.min(Math.max(Math.floor(asked) || 1, 1), MOST);
  const processors = globalThis.navigator?.hardwareConcurrency ?? builtin?.('node:os')?.availableParallelism() ?? 1;
  return Math.min(processors, Math.max(2, Math.min(4, Math.ceil(processors / 2))));
}

/** Memory for so many threads, or nothing where there is none to be had: one thread may do with less. */
export function sharedMemory({ memory_pages, helper_pages }: WasmThreads, threads: number): WebAssembly.Memory | undefined {
  const pages = memory_pages + helper_pages * (threads - 1);
  try {
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const buffer = memory.buffer as ArrayBufferLike;
    return buffer instanceof SharedArrayBuffer && buffer.byteLength === pages * PAGE ? memory : undefined;
  } catch {
    return undefined;
  }
}

/** What a worker does with its first message. It is text, so that no bundler has to know of it, and comes without a request. */
const WORK = 'onmessage=({data:[module,memory,index]})=>new WebAssembly.Instance(module,{env:{memory}}).exports.work(index)';
const NODE_WORK =
  'const [module,memory,index]=require("node:worker_threads").workerData;new WebAssembly.Instance(module,{env:{memory}}).exports.work(index)';

let address: string | undefined;

/**
 * Starts helpers numbered from 1, and returns what ends them. They come when they come: a module computes without those that are not there, so that nobody
 * waits, and a page whose policy allows no worker is as fast as with one thread.
 */
export function startHelpers(module: WebAssembly.Module, memory: WebAssembly.Memory, count: number): () => void {
  const helpers = new Map<number, { terminate(): unknown }>();
  for (let index = 1; index <= count; index++) {
    const message = [module, memory, index];
    try {
      const workers = node()?.('node:worker_threads');
      helpers.set(index, workers ? nodeHelper(workers.Worker, message) : blobHelper(message, (worker) => helpers.set(index, worker)));
    } catch {
      // One helper less.
    }
  }
  return () => helpers.forEach((worker) => worker.terminate());
}

function nodeHelper(Worker: new (code: string, options: object) => NodeWorker, workerData: unknown): NodeWorker {
  const worker = new Worker(NODE_WORK, { eval: true, workerData });
  worker.on('error', () => {});
  // A process ends while helpers sleep.
  worker.unref();
  return worker;
}

/** A worker from text; where the page's policy refuses that, from this package's file. */
function blobHelper(message: unknown, replace: (worker: Worker) => void): Worker {
  const again = (event: Event) => {
    event.preventDefault();
    const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    worker.onerror = (event) => event.preventDefault();
    worker.postMessage(message);
    replace(worker);
  };
  address ??= URL.createObjectURL(new Blob([WORK], { type: 'text/javascript' }));
  const worker = new Worker(address);
  worker.onerror = again;
  worker.postMessage(message);
  return worker;
}
