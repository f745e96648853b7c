import type { Downloads } from './download.js';
import { MlpError, typed } from './errors.js';
import type { Engine } from './engine.js';
import { entryOf, type PipelineManifest } from './manifest.js';
import { sharedMemory, startHelpers, threadCount, type Helpers } from './threads.js';

const PAGE = 65536;

/** A function that takes and gives a vector through `i8x16.relaxed_swizzle`: it validates where relaxed SIMD is there. */
const RELAXED_PROBE = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 6, 1, 96, 1, 123, 1, 123, 3, 2, 1, 0, 10, 11, 1, 9, 0, 32, 0, 32, 0, 253, 128, 2, 11,
]);

/** True where this WebAssembly engine knows relaxed SIMD. */
export function hasRelaxedSimd(): boolean {
  return typeof WebAssembly === 'object' && WebAssembly.validate(RELAXED_PROBE);
}

/** The module to run, and the memory and number of its helpers where several threads share it. */
export interface WasmChoice {
  readonly file: string;
  readonly variant: 'simd128' | 'relaxed';
  readonly memory?: WebAssembly.Memory | undefined;
  readonly helpers: number;
}

/** The module that this device runs best: one for several threads where there is one, and memory to share. */
export function chooseWasm({ wasm }: PipelineManifest, relaxedSimd: boolean, threads: number | undefined): WasmChoice {
  const variant = relaxedSimd && hasRelaxedSimd() ? 'relaxed' : 'simd128';
  const count = wasm.threads ? threadCount(threads) : 1;
  const memory = wasm.threads && count > 1 ? sharedMemory(wasm.threads, count) : undefined;
  return memory ? { file: wasm.threads![variant], variant, memory, helpers: count - 1 } : { file: wasm[variant], variant, helpers: 0 };
}

/** Compiles the pipeline's own module as it arrives, and streams its weights to where the module expects them; helpers get ready meanwhile. */
export async function openWasm(downloads: Downloads, choice: WasmChoice): Promise<Engine> {
  const team = choice.memory && startHelpers(choice.helpers);
  try {
    return await open(downloads, choice, team);
  } catch (error) {
    team?.end();
    throw error;
  }
}

async function open(downloads: Downloads, choice: WasmChoice, team: Helpers | undefined): Promise<Engine> {
  const { pipeline } = downloads.source;
  const { wasm } = pipeline;
  let instance: WebAssembly.Instance;
  const module = await downloads.module(choice.file);
  try {
    // The module imports nothing, or the memory that it shares with its helpers: it can compute, and reach nothing else.
    instance = await WebAssembly.instantiate(module, choice.memory ? { env: { memory: choice.memory } } : {});
  } catch (error) {
    throw typed(error, 'NO_BACKEND', 'this browser cannot run the WebAssembly module (it needs SIMD)');
  }
  const { run, helpers, stop } = instance.exports as Record<string, (...symbols: number[]) => number | undefined>;
  const memory = choice.memory ?? (instance.exports['memory'] as WebAssembly.Memory);
  const fits = choice.memory ? [helpers, stop].every(isFunction) : memory instanceof WebAssembly.Memory && memory.buffer.byteLength === wasm.memory_pages * PAGE;
  if (!isFunction(run) || !fits) {
    throw new MlpError('FORMAT', 'the WebAssembly module does not export the memory and the function that the manifest promises');
  }
  // Helpers wait in the module from now on, and nothing runs before the weights are there.
  team?.begin(module, memory);
  await downloads.into(pipeline.weights, view(memory, wasm.weights_offset, entryOf(downloads.source, pipeline.weights).bytes));
  downloads.compiling();
  const place = (port: string) => {
    const offset = wasm.ports[port];
    if (offset === undefined) throw new MlpError('FORMAT', `the manifest does not say where ${port} lies in the arena`);
    return wasm.arena_offset + offset;
  };
  const inputs = pipeline.input_ports.map(place);
  const outputs = pipeline.output_ports.map(place);
  const at = (offset: number, bytes: number) => view(memory, wasm.arena_offset + offset, bytes);
  const states = (wasm.states ?? []).map(({ from, to, bytes }) => ({ from: at(from, bytes), to: at(to, bytes) }));
  const end = () => {
    if (team) stop!();
    team?.end();
  };
  const engine: Engine = {
    backend: 'wasm',
    variant: choice.variant,
    threads: () => 1 + (team ? helpers!()! : 0),
    input: (port, bytes) => view(memory, inputs[port]!, bytes),
    run: async (args, sizes, kind) => {
      // What was written to the view of an input is there; a view of something else would be overwritten by the inputs before it.
      const here = (bytes: Uint8Array, i: number) => bytes.byteOffset === inputs[i]!;
      const given = args.inputs.map((bytes, i) => (bytes.buffer === memory.buffer && !here(bytes, i) ? bytes.slice() : bytes));
      given.forEach((bytes, i) => {
        if (bytes.buffer !== memory.buffer) view(memory, inputs[i]!, bytes.length).set(bytes);
      });
      try {
        run(...args.symbols);
      } catch (error) {
        throw typed(error, 'RUN', 'the WebAssembly module stopped');
      }
      // Only a run that is done changes what the next one reads.
      for (const { from, to } of states) to.set(from);
      const found = outputs.map((offset, i) => view(memory, offset, sizes[i]!));
      return kind === 'view' ? found : found.map((bytes) => bytes.slice());
    },
    reset: () => states.forEach(({ to }) => to.fill(0)),
    // Memory goes when nothing holds the instance any more, and helpers hold it.
    dispose: end,
  };
  if (team) (forgotten ??= new FinalizationRegistry((end) => end())).register(engine, end);
  return engine;
}

/** Ends the helpers of engines that nobody disposed of. */
let forgotten: FinalizationRegistry<() => void> | undefined;

function isFunction(value: unknown): value is (...symbols: number[]) => number | undefined {
  return typeof value === 'function';
}

function view(memory: WebAssembly.Memory, offset: number, bytes: number): Uint8Array<ArrayBuffer> {
  if (offset < 0 || offset + bytes > memory.buffer.byteLength) throw new MlpError('FORMAT', 'the manifest places a buffer outside of the memory');
  return new Uint8Array(memory.buffer as ArrayBuffer, offset, bytes);
}
