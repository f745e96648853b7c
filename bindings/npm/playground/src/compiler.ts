import address from '@mlp/web-compiler/module.wasm?url';
import { message } from './dom.ts';
import type { Questions, Request, Response } from './protocol.ts';

/** A question that waits for its answer. */
interface Waiting {
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

/** The module, which all workers share. */
let module: Promise<WebAssembly.Module> | undefined;

function download(): Promise<WebAssembly.Module> {
  return (module ??= compile());
}

async function compile(): Promise<WebAssembly.Module> {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`the server answered ${response.status} for it`);
  // Whatever type a simple server gives it, it is compiled as it arrives.
  return WebAssembly.compileStreaming(new Response(response.body, { headers: { 'content-type': 'application/wasm' } }));
}

/** A compiler in a worker: questions are answered in their order. Where it fails, another one takes over with the same files. */
export class Compiler {
  #worker: Worker;
  #next = 0;
  readonly #waiting = new Map<number, Waiting>();
  /** What the compiler knows of each file, to tell another one: texts were opened, bytes were written. */
  readonly #files = new Map<string, Uint8Array | string>();

  constructor(private readonly name: string) {
    this.#worker = this.#start();
  }

  /** Asks one question. */
  ask<Name extends keyof Questions>(name: Name, ...args: Parameters<Questions[Name]>): Promise<ReturnType<Questions[Name]>> {
    const id = this.#next++;
    const [path, contents] = args;
    if (path !== undefined && (name === 'write' || name === 'edit')) this.#files.set(path, contents as Uint8Array | string);
    if (path !== undefined && name === 'remove') this.#files.delete(path);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as Waiting['resolve'], reject });
      this.#worker.postMessage({ id, name, args } as Request);
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: this.name });
    worker.onmessage = ({ data }: MessageEvent<Response>) => this.#answered(data);
    worker.onerror = (event) => this.#failed(event.message || 'the compiler could not be started');
    download().then(
      (module) => worker.postMessage(module),
      (error: unknown) => this.#failed(`the compiler could not be loaded: ${message(error)}`),
    );
    return worker;
  }

  #answered(response: Response): void {
    const waiting = this.#waiting.get(response.id);
    this.#waiting.delete(response.id);
    if ('answer' in response) return waiting?.resolve(response.answer);
    waiting?.reject(new Error(response.error));
    if (response.fatal) this.#again();
  }

  /** Nothing that waits gets an answer any more. */
  #failed(why: string): void {
    for (const { reject } of this.#waiting.values()) reject(new Error(why));
    this.#waiting.clear();
  }

  /** Another worker with the same files. */
  #again(): void {
    this.#worker.terminate();
    this.#failed('the compiler failed and was started again');
    this.#worker = this.#start();
    for (const [path, contents] of this.#files) {
      const told = typeof contents === 'string' ? this.ask('edit', path, contents) : this.ask('write', path, contents);
      told.catch(() => {});
    }
  }
}
