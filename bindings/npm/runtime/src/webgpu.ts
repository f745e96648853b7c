import type { Downloads } from './download.js';
import type { Engine, Left } from './engine.js';
import { MlpError, typed } from './errors.js';
import { entryOf } from './manifest.js';
import type { Arguments } from './values.js';
import { layoutKey, PARAMS_STRIDE, parseProgram, type Binding, type Dispatch, type GpuProgram, type Transfer } from './program.js';

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

/** The numbers of WebGPU's specification: the globals that name them are missing where this module may be imported, on a server. */
const USAGE = { mapRead: 0x1, copySrc: 0x4, copyDst: 0x8, uniform: 0x40, storage: 0x80 } as const;
const COMPUTE_STAGE = 0x4;
const MAP_READ = 0x1;

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
    const [pipelines, weightsBuffer] = await Promise.all([
      createPipelines(device, program),
      uploadWeights(device, downloads),
    ]);
    downloads.compiling();
    return new GpuEngine(device, describe(adapter), program, pipelines, weightsBuffer);
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
    return await adapter.requestDevice({ requiredFeatures: features as GPUFeatureName[], requiredLimits });
  } catch (error) {
    throw typed(error, 'NO_BACKEND', 'the GPU was refused');
  }
}

function describe({ info }: GPUAdapter): string {
  return [info?.vendor, info?.architecture].filter(Boolean).join(' ') || 'gpu';
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

/** One compute pipeline for each entry point and layout, all compiled at the same time, in the order of the dispatches. */
async function createPipelines(device: GPUDevice, program: GpuProgram): Promise<GPUComputePipeline[]> {
  const modules = program.modules.map(({ label, wgsl }) => device.createShaderModule({ label, code: wgsl }));
  const layouts = new Map<string, GPUPipelineLayout>();
  const made = new Map<string, Promise<GPUComputePipeline>>();
  return Promise.all(
    program.dispatches.map(({ kernel, module, entry, bindings }) => {
      const shape = layoutKey(bindings);
      const layout = layouts.get(shape) ?? createLayout(device, bindings);
      layouts.set(shape, layout);
      const key = `${module} ${entry} ${shape}`;
      const pipeline = made.get(key) ?? device.createComputePipelineAsync({ label: kernel, layout, compute: { module: modules[module]!, entryPoint: entry } });
      made.set(key, pipeline);
      return pipeline;
    }),
  );
}

/** Layouts are explicit, since `auto` leaves out what a shader happens not to use. */
function createLayout(device: GPUDevice, bindings: readonly Binding[]): GPUPipelineLayout {
  const type = (binding: Binding): GPUBufferBindingType => {
    if (typeof binding === 'string') return 'uniform';
    return 'write' in binding ? 'storage' : 'read-only-storage';
  };
  const entries = bindings.map((b, binding) => ({ binding, visibility: COMPUTE_STAGE, buffer: { type: type(b) } }));
  return device.createPipelineLayout({ bindGroupLayouts: [device.createBindGroupLayout({ entries })] });
}

/** The parameters of all dispatches in one buffer. */
function uploadParams(device: GPUDevice, { dispatches }: GpuProgram): GPUBuffer {
  const buffer = device.createBuffer({ size: Math.max(16, PARAMS_STRIDE * dispatches.length), usage: USAGE.uniform, mappedAtCreation: true });
  const words = new Int32Array(buffer.getMappedRange());
  dispatches.forEach(({ params }, i) => params && words.set(params, (i * PARAMS_STRIDE) / 4));
  buffer.unmap();
  return buffer;
}

/** Replays a GPU program: one command buffer, one submission and one readback a run. */
class GpuEngine implements Engine {
  readonly backend = 'webgpu';
  readonly #slots: GPUBuffer[];
  readonly #symbols: GPUBuffer;
  readonly #readback: GPUBuffer;
  readonly #groups: GPUBindGroup[];
  readonly #staging: Uint8Array<ArrayBuffer>[] = [];
  #mapped = false;
  #lost: string | undefined;

  constructor(
    private readonly device: GPUDevice,
    readonly variant: string,
    private readonly program: GpuProgram,
    private readonly pipelines: readonly GPUComputePipeline[],
    weights: GPUBuffer,
  ) {
    void device.lost.then((info) => (this.#lost = info.message || info.reason));
    const usage = USAGE.storage | USAGE.copySrc | USAGE.copyDst;
    this.#slots = program.slots.map((size) => device.createBuffer({ size: Math.max(16, size), usage }));
    this.#symbols = device.createBuffer({ size: Math.max(16, align16(4 * program.uniforms.length)), usage: USAGE.uniform | USAGE.copyDst });
    const bytes = program.outputs.reduce((sum, output) => sum + align8(output.bytes), 0);
    this.#readback = device.createBuffer({ size: Math.max(16, bytes), usage: USAGE.mapRead | USAGE.copyDst });
    const params = uploadParams(device, program);
    const resource = (binding: Binding, { params: own = [] }: Dispatch, number: number): GPUBufferBinding => {
      if (binding === 'symbols') return { buffer: this.#symbols };
      if (binding === 'params') return { buffer: params, offset: number * PARAMS_STRIDE, size: 4 * own.length };
      if ('weights' in binding) return { buffer: weights, offset: binding.weights.offset, size: align4(binding.weights.bytes) };
      return { buffer: this.#slots['read' in binding ? binding.read : binding.write]! };
    };
    this.#groups = program.dispatches.map((dispatch, i) =>
      device.createBindGroup({
        label: dispatch.kernel,
        layout: pipelines[i]!.getBindGroupLayout(0),
        entries: dispatch.bindings.map((b, binding) => ({ binding, resource: resource(b, dispatch, i) })),
      }),
    );
  }

  run(args: Arguments, sizes: readonly number[], kind: 'copy' | 'view'): Promise<Uint8Array<ArrayBuffer>[]> {
    return this.#guarded(async () => {
      this.#release();
      const valid = this.#submit(args, true);
      this.#mapped = true;
      const [invalid] = await Promise.all([valid, this.#readback.mapAsync(MAP_READ)]);
      if (invalid) {
        this.#release();
        throw invalid;
      }
      const outputs = this.#read(sizes);
      if (kind === 'view') return outputs;
      const copies = outputs.map((bytes) => bytes.slice());
      this.#release();
      return copies;
    });
  }

  leave(args: Arguments): Promise<readonly Left[]> {
    return this.#guarded(async () => {
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

  dispose(): void {
    this.device.destroy();
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
    this.program.dispatches.forEach(({ workgroups }: Dispatch, i) => {
      pass.setPipeline(this.pipelines[i]!);
      pass.setBindGroup(0, this.#groups[i]!);
      pass.dispatchWorkgroups(...workgroups);
    });
    pass.end();
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
