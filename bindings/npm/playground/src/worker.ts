/** The compiler, away from the page's thread, so that typing never waits for it. */
import init, { Compiler } from '@mlp/web-compiler';
import type { Built, Checked, Questions, Request, Response } from './protocol.ts';

function checked(check: () => string): Checked {
  const start = performance.now();
  const found = JSON.parse(check()) as Checked['found'];
  return { found, milliseconds: performance.now() - start };
}

function built(compiler: Compiler, path: string): Built {
  const built = compiler.build(path);
  try {
    return {
      manifest: built.manifest(),
      files: Object.fromEntries(built.names().map((name) => [name, built.file(name) as Uint8Array<ArrayBuffer>])),
      javascript: built.javascript(),
      types: built.types(),
      wgsl: built.wgsl(),
      kernels: built.kernels(),
      report: built.report(),
    };
  } finally {
    built.free();
  }
}

/** What answers each question. */
function answers(compiler: Compiler): Questions {
  return {
    version: () => Compiler.version(),
    write: (path, bytes) => checked(() => compiler.write(path, bytes)),
    remove: (path) => checked(() => compiler.remove(path)),
    edit: (path, text) => checked(() => compiler.edit(path, text)),
    completion: (path, line, character) => JSON.parse(compiler.completion(path, line, character)),
    hover: (path, line, character) => JSON.parse(compiler.hover(path, line, character)),
    definition: (path, line, character) => JSON.parse(compiler.definition(path, line, character)),
    actions: (path) => JSON.parse(compiler.actions(path)),
    formatting: (path) => JSON.parse(compiler.formatting(path)),
    view: (view, path) => compiler[view](path),
    build: (path) => built(compiler, path),
  };
}

/** The memory of what is sent once and not needed here any more. */
function transfers(answer: unknown): Transferable[] {
  const { files } = (typeof answer === 'object' && answer !== null ? answer : {}) as Partial<Built>;
  return files ? Object.values(files).map((bytes) => bytes.buffer) : [];
}

let begin: (module: WebAssembly.Module) => void;
/** Questions wait until the module has come. */
const compiler = new Promise<WebAssembly.Module>((resolve) => (begin = resolve)).then(async (module) => {
  await init({ module_or_path: module });
  return new Compiler();
});

onmessage = async ({ data }: MessageEvent<Request | WebAssembly.Module>) => {
  if (data instanceof WebAssembly.Module) return begin(data);
  const { id, name, args } = data;
  try {
    const answer: unknown = (answers(await compiler)[name] as (...args: unknown[]) => unknown)(...args);
    postMessage({ id, answer } satisfies Response, { transfer: transfers(answer) });
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    // A trap leaves the module in no known state.
    postMessage({ id, error: text, fatal: error instanceof WebAssembly.RuntimeError } satisfies Response);
  }
};
