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
  postMessage(message: unknown): void;
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
  'require("node:worker_threads").parentPort.on("message",([module,memory,index])=>new WebAssembly.Instance(module,{env:{memory}}).exports.work(index))';

let address: string | undefined;

/** Helpers that have been started, and may not have come yet. */
export interface Helpers {
  /** Tells them what to help with. */
  begin(module: WebAssembly.Module, memory: WebAssembly.Memory): void;
  end(): void;
}

/**
 * Starts helpers, numbered from 1, as early as can be: they need no module to get ready. They come when they come: a module computes without those
 * that are not there, so that nobody waits, and a page whose policy allows no worker is as fast as with one thread.
 */
export function startHelpers(count: number): Helpers {
  const workers = node()?.('node:worker_threads');
  const helpers = Array.from({ length: count }, () => (workers ? new NodeHelper(workers.Worker) : new PageHelper()));
  return {
    begin: (module, memory) => helpers.forEach((helper, i) => helper.begin([module, memory, i + 1])),
    end: () => helpers.forEach((helper) => helper.end()),
  };
}

class NodeHelper {
  readonly #worker: NodeWorker | undefined;

  constructor(Worker: new (code: string, options: object) => NodeWorker) {
    try {
      this.#worker = new Worker(NODE_WORK, { eval: true });
    } catch {
      // One helper less.
      return;
    }
    this.#worker.on('error', () => {});
    // A process ends while helpers sleep.
    this.#worker.unref();
  }

  begin(message: unknown): void {
    this.#worker?.postMessage(message);
  }

  end(): void {
    void this.#worker?.terminate();
  }
}

/** A worker from text; where the page's policy refuses that, from this package's file. */
class PageHelper {
  #worker: Worker | undefined;
  #message: unknown;

  constructor() {
    address ??= URL.createObjectURL(new Blob([WORK], { type: 'text/javascript' }));
    const text = () => new Worker(address!);
    const file = () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    this.#start(text, () => this.#start(file, () => {}));
  }

  #start(make: () => Worker, otherwise: () => void): void {
    try {
      const worker = (this.#worker = make());
      worker.onerror = (event) => {
        event.preventDefault();
        // A helper that was ended needs no other.
        if (this.#worker === worker) otherwise();
      };
      if (this.#message) worker.postMessage(this.#message);
    } catch {
      otherwise();
    }
  }

  begin(message: unknown): void {
    this.#message = message;
    this.#worker?.postMessage(message);
  }

  end(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
  }
}
