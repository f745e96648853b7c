import { layoutKey, PARAMS_STRIDE, wayOf, type Binding, type Dispatch, type GpuProgram } from './program.js';

/** The numbers of WebGPU's specification: the globals that name them are missing where this module may be imported, on a server. */
export const USAGE = { mapRead: 0x1, copySrc: 0x4, copyDst: 0x8, uniform: 0x40, storage: 0x80, queryResolve: 0x200 } as const;
export const MAP_READ = 0x1;
const COMPUTE_STAGE = 0x4;

/** Makes modules and pipelines as they are asked for: a pipeline for each entry point and layout, all compiled at the same time. */
export class Compiler {
  readonly #modules = new Map<number, GPUShaderModule>();
  readonly #layouts = new Map<string, GPUPipelineLayout>();
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();

  constructor(
    private readonly device: GPUDevice,
    private readonly program: GpuProgram,
  ) {}

  pipeline({ kernel, module, entry, bindings }: Dispatch): Promise<GPUComputePipeline> {
    const shape = layoutKey(bindings);
    const key = `${module} ${entry} ${shape}`;
    return once(this.#pipelines, key, () => {
      const layout = once(this.#layouts, shape, () => createLayout(this.device, bindings));
      const code = once(this.#modules, module, () => {
        const { label, wgsl } = this.program.modules[module]!;
        return this.device.createShaderModule({ label, code: wgsl });
      });
      return this.device.createComputePipelineAsync({ label: kernel, layout, compute: { module: code, entryPoint: entry } });
    });
  }
}

function once<Key, Value>(made: Map<Key, Value>, key: Key, make: () => Value): Value {
  const known = made.get(key);
  if (known !== undefined) return known;
  const value = make();
  made.set(key, value);
  return value;
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

/** The ways to compute all dispatches, in order; with them goes where the first of each dispatch is. */
export function allWays({ dispatches }: GpuProgram): { ways: Dispatch[]; first: number[] } {
  const ways: Dispatch[] = [];
  const first = dispatches.map((dispatch) => {
    const place = ways.length;
    for (let number = 0; number <= (dispatch.variants?.length ?? 0); number++) ways.push(wayOf(dispatch, number));
    return place;
  });
  return { ways, first };
}

/** The parameters of all ways in one buffer. */
export function uploadParams(device: GPUDevice, ways: readonly Dispatch[]): GPUBuffer {
  const buffer = device.createBuffer({ size: Math.max(16, PARAMS_STRIDE * ways.length), usage: USAGE.uniform, mappedAtCreation: true });
  const words = new Int32Array(buffer.getMappedRange());
  ways.forEach(({ params }, i) => params && words.set(params, (i * PARAMS_STRIDE) / 4));
  buffer.unmap();
  return buffer;
}

/** One way to compute a dispatch, ready to be encoded. */
export interface Way {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
}

/** Encodes one way, several times in a row. */
export function repeat(pass: GPUComputePassEncoder, { pipeline, group, workgroups }: Way, times: number): void {
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  for (let i = 0; i < times; i++) pass.dispatchWorkgroups(...workgroups);
}

/** Measures on the device: by its own clock where it has one, else by when it is done. */
export class Clock {
  readonly #queries: GPUQuerySet | undefined;
  readonly #buffers: GPUBuffer[] = [];

  constructor(private readonly device: GPUDevice) {
    if (!device.features.has('timestamp-query')) return;
    this.#queries = device.createQuerySet({ type: 'timestamp', count: 2 });
    const sides = [USAGE.queryResolve | USAGE.copySrc, USAGE.mapRead | USAGE.copyDst];
    this.#buffers = sides.map((usage) => device.createBuffer({ size: 16, usage }));
  }

  /** Milliseconds of each of `times` that `encode` encodes. */
  async time(encode: (pass: GPUComputePassEncoder) => void, times: number): Promise<number> {
    const encoder = this.device.createCommandEncoder();
    const [resolved, mapped] = this.#buffers;
    const timestampWrites = this.#queries && { querySet: this.#queries, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 };
    const pass = encoder.beginComputePass(timestampWrites && { timestampWrites });
    encode(pass);
    pass.end();
    if (this.#queries) {
      encoder.resolveQuerySet(this.#queries, 0, 2, resolved!, 0);
      encoder.copyBufferToBuffer(resolved!, 0, mapped!, 0, 16);
    }
    const start = performance.now();
    this.device.queue.submit([encoder.finish()]);
    if (!this.#queries) {
      await this.device.queue.onSubmittedWorkDone();
      return (performance.now() - start) / times;
    }
    await mapped!.mapAsync(MAP_READ);
    const [from, to] = new BigUint64Array(mapped!.getMappedRange()) as unknown as [bigint, bigint];
    const milliseconds = Number(to - from) / 1e6;
    mapped!.unmap();
    // Clocks may jump back where a device sleeps.
    return Math.max(0, milliseconds) / times;
  }

  free(): void {
    this.#queries?.destroy();
    for (const buffer of this.#buffers) buffer.destroy();
  }
}
