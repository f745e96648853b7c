import type { Downloads } from './download.js';
import type { Engine, Left } from './engine.js';
import { MlpError, typed } from './errors.js';
import { entryOf } from './manifest.js';
import type { Arguments } from './values.js';
import { allWays, Clock, Compiler, MAP_READ, repeat, uploadParams, USAGE, type Way } from './kernels.js';
import { PARAMS_STRIDE, parseProgram, wayOf, type Binding, type GpuProgram, type Transfer } from './program.js';
import { guess, remember, remembered, tune, type Choice } from './tune.js';

/** Limits that a program may need more of than WebGPU guarantees: as much as the adapter has is asked for. */
const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
] as const;

/** True where the browser has WebGPU at all; whether there is an adapter shows when the pipeline is loaded. */
export function hasWebGpu(): boolean {
  return typeof navigator === 'object' && 'gpu' in navigator && navigator.gpu !== undefined;
}

/** Makes everything that a replay needs: pipelines in parallel, buffers, bind groups; weights stream straight into their buffer. */
export async function openWebGpu(downloads: Downloads): Promise<Engine> {
  const { pipeline } = downloads.source;
  const [adapter, text] = await Promise.all([requestAdapter(), downloads.text(pipeline.gpu!)]);
  const program = parseProgram(text);
  const device = await requestDevice(adapter, program);
  try {
    const language = (feature: string) => navigator.gpu.wgslLanguageFeatures.has(feature);
    const has = (feature: string) => language(feature) || device.features.has(feature);
    // The name of the program's file is its digest's; so is the choice.
    const key = `mlp ${pipeline.gpu} ${entryOf(downloads.source, pipeline.gpu!).sha256} ${identity(adapter)}`;
    const known = remembered(key, program, has);
    // How well a device does with a feature of its own is to be measured.
    const choice = known ?? guess(program, isSoftware(adapter), language);
    const compiler = new Compiler(device, program);
    const ways = program.dispatches.map((dispatch, i) => wayOf(dispatch, choice[i]!));
    const [weightsBuffer] = await Promise.all([
      uploadWeights(device, downloads),
      ...ways.map((way) => compiler.pipeline(way)),
    ]);
    downloads.compiling();
    const engine = new GpuEngine(device, describe(adapter), program, compiler, weightsBuffer, { choice, has, key, later: !known && !isSoftware(adapter) });
    await engine.ready;
    return engine;
  } catch (error) {
    device.destroy();
    throw typed(error, 'NO_BACKEND', 'the pipeline cannot be set up on this GPU');
  }
}

async function requestAdapter(): Promise<GPUAdapter> {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new MlpError('NO_BACKEND', 'the browser has WebGPU and offers no adapter on this device');
  return adapter;
}

async function requestDevice(adapter: GPUAdapter, program: GpuProgram): Promise<GPUDevice> {
  const language = navigator.gpu.wgslLanguageFeatures;
  const features = program.features.filter((feature) => !language.has(feature));
  const missing = features.filter((feature) => !adapter.features.has(feature));
  if (missing.length) throw new MlpError('NO_BACKEND', `the GPU lacks ${missing.join(', ')}`);
  const requiredLimits = Object.fromEntries(LIMITS.map((limit) => [limit, adapter.limits[limit]]));
  try {
    // Where they are there: a clock to measure variants, and what some of them need.
    const others = ['timestamp-query', 'subgroups'].filter((feature) => adapter.features.has(feature));
    return await adapter.requestDevice({ requiredFeatures: [...features, ...others] as GPUFeatureName[], requiredLimits });
  } catch (error) {
    throw typed(error, 'NO_BACKEND', 'the GPU was refused');
  }
}

function describe({ info }: GPUAdapter): string {
  return [info?.vendor, info?.architecture].filter(Boolean).join(' ') || 'gpu';
}

/** What tells adapters apart. */
function identity({ info }: GPUAdapter): string {
  return [info?.vendor, info?.architecture, info?.device, info?.description].join('/');
}

/** True where a processor stands in for a GPU. */
function isSoftware(adapter: GPUAdapter): boolean {
  return Boolean(adapter.info?.isFallbackAdapter) || /swiftshader|llvmpipe|lavapipe|basic render|warp/i.test(identity(adapter));
}

/** A mapped buffer is filled in place, so weights are in memory once while they load. */
async function uploadWeights(device: GPUDevice, downloads: Downloads): Promise<GPUBuffer> {
  const { weights } = downloads.source.pipeline;
  const { bytes } = entryOf(downloads.source, weights);
  const buffer = device.createBuffer({ size: Math.max(16, align4(bytes)), usage: USAGE.storage, mappedAtCreation: true });
  await downloads.into(weights, new Uint8Array(buffer.getMappedRange(), 0, bytes));
  buffer.unmap();
  return buffer;
}

/** What is known of the ways that fit the device. */
interface Tuning {
  choice: Choice;
  readonly has: (feature: string) => boolean;
  /** What the choice is kept by. */
  readonly key: string;
  /** Whether they are still to be measured, once the first answer is there. */
  later: boolean;
}

/** Replays a GPU program: one command buffer, one submission and one readback a run. */
class GpuEngine implements Engine {
  readonly backend = 'webgpu';
  readonly #slots: GPUBuffer[];
  readonly #symbols: GPUBuffer;
  readonly #readback: GPUBuffer;
  readonly #params: GPUBuffer;
  readonly #all: ReturnType<typeof allWays>;
  /** The ways that were chosen are made. */
  readonly ready: Promise<void>;
  #ways: readonly Way[] = [];
  #measuring: Promise<void> | undefined;
  /** Whether somebody may still read outputs where they lie. */
  #left = false;
  readonly #staging: Uint8Array<ArrayBuffer>[] = [];
  #mapped = false;
  #lost: string | undefined;

  constructor(
    private readonly device: GPUDevice,
    readonly variant: string,
    private readonly program: GpuProgram,
    private readonly compiler: Compiler,
    private readonly weights: GPUBuffer,
    private readonly tuning: Tuning,
  ) {
    void device.lost.then((info) => (this.#lost = info.message || info.reason));
    const usage = USAGE.storage | USAGE.copySrc | USAGE.copyDst;
    this.#slots = program.slots.map((size) => device.createBuffer({ size: Math.max(16, size), usage }));
    this.#symbols = device.createBuffer({ size: Math.max(16, align16(4 * program.uniforms.length)), usage: USAGE.uniform | USAGE.copyDst });
    const bytes = program.outputs.reduce((sum, output) => sum + align8(output.bytes), 0);
    this.#readback = device.createBuffer({ size: Math.max(16, bytes), usage: USAGE.mapRead | USAGE.copyDst });
    this.#all = allWays(program);
    this.#params = uploadParams(device, this.#all.ways);
    this.ready = this.#choose(tuning.choice);
  }

  /** Makes the ways of a choice, and runs those from then on. */
  async #choose(choice: Choice): Promise<void> {
    this.#ways = await Promise.all(choice.map((number, dispatch) => this.#make(dispatch, number)));
    this.tuning.choice = choice;
  }

  async #make(dispatch: number, number: number): Promise<Way> {
    const place = this.#all.first[dispatch]! + number;
    const way = this.#all.ways[place]!;
    const pipeline = await this.compiler.pipeline(way);
    const resource = (binding: Binding): GPUBufferBinding => {
      if (binding === 'symbols') return { buffer: this.#symbols };
      if (binding === 'params') return { buffer: this.#params, offset: place * PARAMS_STRIDE, size: 4 * way.params!.length };
      if ('weights' in binding) return { buffer: this.weights, offset: binding.weights.offset, size: align4(binding.weights.bytes) };
      return { buffer: this.#slots['read' in binding ? binding.read : binding.write]! };
    };
    const entries = way.bindings.map((b, binding) => ({ binding, resource: resource(b) }));
    return { pipeline, group: this.device.createBindGroup({ label: way.kernel, layout: pipeline.getBindGroupLayout(0), entries }), workgroups: way.workgroups };
  }

  /** What was left on the device is gone, as after a run. */
  tune(): Promise<void> {
    this.#left = false;
    return (this.#measuring ??= this.#tune().finally(() => (this.#measuring = undefined)));
  }

  async #tune(): Promise<void> {
    this.tuning.later = false;
    const { program, tuning } = this;
    const clock = new Clock(this.device);
    try {
      const time = async (way: Way, times: number) => {
        if (this.#left) throw new MlpError('RUN', 'measuring would write over what was left on the GPU');
        return clock.time((pass) => repeat(pass, way, times), times);
      };
      const probe = { make: (dispatch: number, number: number) => this.#make(dispatch, number), time };
      await this.#choose(await tune(program, tuning.choice, tuning.has, probe));
      remember(tuning.key, tuning.choice);
    } finally {
      clock.free();
    }
  }

  run(args: Arguments, sizes: readonly number[], kind: 'copy' | 'view'): Promise<Uint8Array<ArrayBuffer>[]> {
    return this.#guarded(async () => {
      this.#release();
      this.#left = false;
      const valid = this.#submit(args, true);
      this.#mapped = true;
      const [invalid] = await Promise.all([valid, this.#readback.mapAsync(MAP_READ)]);
      if (invalid) {
        this.#release();
        throw invalid;
      }
      if (this.tuning.later) this.#tuneLater();
      const outputs = this.#read(sizes);
      if (kind === 'view') return outputs;
      const copies = outputs.map((bytes) => bytes.slice());
      this.#release();
      return copies;
    });
  }

  leave(args: Arguments): Promise<readonly Left[]> {
    return this.#guarded(async () => {
      this.#left = true;
      const invalid = await this.#submit(args, false);
      if (invalid) throw invalid;
      return this.program.outputs.map(({ slot, offset }) => ({ device: this.device, buffer: this.#slots[slot]!, offset }));
    });
  }

  /** A GPU's memory is not the page's: an input waits in an array, from which it is written. */
  input(port: number, bytes: number): Uint8Array<ArrayBuffer> {
    return (this.#staging[port] ??= new Uint8Array(bytes));
  }

  /** Writes the inputs and submits the program, with the copy for the readback or without. Resolves to the error where WebGPU refuses any of it. */
  #submit({ inputs, symbols }: Arguments, readback: boolean): Promise<MlpError | undefined> {
    const { device, program } = this;
    device.pushErrorScope('validation');
    if (program.uniforms.length) device.queue.writeBuffer(this.#symbols, 0, Uint32Array.from(program.uniforms, (symbol) => symbols[symbol]!));
    inputs.forEach((bytes, i) => this.#write(program.inputs[i]!, bytes));
    device.queue.submit([this.#encode(readback)]);
    return device.popErrorScope().then((error) => (error ? new MlpError('RUN', `the GPU refused the run: ${error.message}`) : undefined));
  }

  /** Ends the mapping of the last answer, whose views go with it. */
  #release(): void {
    if (this.#mapped) this.#readback.unmap();
    this.#mapped = false;
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      if (this.#lost !== undefined) throw new Error(this.#lost);
      return await work();
    } catch (error) {
      if (error instanceof MlpError) throw error;
      // A lost device rejects the mapping first and tells so a moment later.
      await new Promise((resolve) => setTimeout(resolve));
      if (this.#lost === undefined) throw typed(error, 'RUN', 'the GPU failed');
      throw new MlpError('DEVICE_LOST', `the browser took the GPU away (${this.#lost})`, { cause: error });
    }
  }

  reset(): void {
    for (const { to } of this.program.states ?? []) this.#write(to, new Uint8Array(to.bytes));
  }

  dispose(): void {
    this.device.destroy();
  }

  /** Measures when the page has nothing else to do. A page that goes on meanwhile gets its answers as before; where measuring fails nothing changes. */
  #tuneLater(): void {
    this.tuning.later = false;
    const start = () => {
      if (this.#lost !== undefined) return;
      if (this.#left) this.tuning.later = true;
      else this.tune().catch(() => (this.tuning.later = this.#left));
    };
    if (typeof requestIdleCallback === 'function') requestIdleCallback(start, { timeout: 2000 });
    else setTimeout(start, 200);
  }

  #write({ slot, offset }: Transfer, bytes: Uint8Array): void {
    const buffer = this.#slots[slot]!;
    const whole = bytes.length - (bytes.length % 4);
    this.device.queue.writeBuffer(buffer, offset, bytes as Uint8Array<ArrayBuffer>, 0, whole);
    if (whole === bytes.length) return;
    const rest = new Uint8Array(4);
    rest.set(bytes.subarray(whole));
    this.device.queue.writeBuffer(buffer, offset + whole, rest);
  }

  #encode(readback: boolean): GPUCommandBuffer {
    const encoder = this.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const way of this.#ways) repeat(pass, way, 1);
    pass.end();
    // No dispatch writes to a state: a run that fails, and dispatches that are measured, leave it as it was.
    for (const { from, to } of this.program.states ?? []) {
      encoder.copyBufferToBuffer(this.#slots[from.slot]!, from.offset, this.#slots[to.slot]!, to.offset, align4(to.bytes));
    }
    let at = 0;
    for (const { slot, offset, bytes } of readback ? this.program.outputs : []) {
      encoder.copyBufferToBuffer(this.#slots[slot]!, offset, this.#readback, at, align4(bytes));
      at += align8(bytes);
    }
    return encoder.finish();
  }

  #read(sizes: readonly number[]): Uint8Array<ArrayBuffer>[] {
    const range = this.#readback.getMappedRange();
    let at = 0;
    return this.program.outputs.map(({ bytes }, i) => {
      const output = new Uint8Array(range, at, Math.min(bytes, sizes[i]!));
      at += align8(bytes);
      return output;
    });
  }
}

const align4 = (bytes: number) => Math.ceil(bytes / 4) * 4;
/** Readings start where any typed array may. */
const align8 = (bytes: number) => Math.ceil(bytes / 8) * 8;
const align16 = (bytes: number) => Math.ceil(bytes / 16) * 16;
