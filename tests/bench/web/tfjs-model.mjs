// Turns an ONNX network of convolutions into what TensorFlow.js runs best: channels last, batch normalizations folded, bias and clamp fused.
import { readFile } from 'node:fs/promises';
import protobuf from 'protobufjs';

/** The fields of ONNX's messages that are read. */
const PROTO = `syntax = "proto3"; package onnx;
message AttributeProto { string name = 1; float f = 2; int64 i = 3; bytes s = 4; TensorProto t = 5; repeated float floats = 7; repeated int64 ints = 8; }
message NodeProto { repeated string input = 1; repeated string output = 2; string op_type = 4; repeated AttributeProto attribute = 5; }
message TensorProto { repeated int64 dims = 1; int32 data_type = 2; repeated float float_data = 4; repeated int64 int64_data = 7; string name = 8; bytes raw_data = 9; }
message ValueInfoProto { string name = 1; }
message GraphProto { repeated NodeProto node = 1; repeated TensorProto initializer = 5; repeated ValueInfoProto input = 11; repeated ValueInfoProto output = 12; }
message ModelProto { GraphProto graph = 7; }`;

const ACTIVATIONS = { Relu: () => 'relu', Clip: ({ min, max }) => (min === 0 && max === 6 ? 'relu6' : undefined) };

/** Steps (`op`, `inputs`, `output`, what the operator needs) and their weights, floats one after another; an error where an operator has no counterpart here. */
export async function convert(file) {
  const type = protobuf.parse(PROTO, { keepCase: true }).root.lookupType('onnx.ModelProto');
  const { graph } = type.toObject(type.decode(await readFile(file)), { longs: Number, arrays: true, defaults: true });
  return new Converter(graph).model();
}

class Converter {
  constructor(graph) {
    this.graph = graph;
    this.constants = new Map(graph.initializer.map((tensor) => [tensor.name, { shape: tensor.dims, data: floats(tensor) }]));
    this.uses = new Map();
    for (const name of graph.node.flatMap(({ input }) => input)) this.uses.set(name, (this.uses.get(name) ?? 0) + 1);
    this.names = new Map();
    this.steps = [];
    this.weights = [];
    this.length = 0;
  }

  model() {
    for (const node of this.graph.node) this.add(node);
    const input = this.graph.input.find(({ name }) => !this.constants.has(name)).name;
    const steps = this.steps.map((step) => this.finished(step));
    const weights = new Float32Array(this.length);
    for (const { at, data } of this.weights) weights.set(data, at);
    return { model: { input, outputs: this.graph.output.map(({ name }) => this.named(name)), steps }, weights };
  }

  named(name) {
    return this.names.get(name) ?? name;
  }

  /** The step that makes a value which nothing else uses: the next operator can go into it. */
  only(name) {
    return this.uses.get(name) === 1 ? this.steps.find(({ output }) => output === this.named(name)) : undefined;
  }

  add({ op_type, input, output: [output], attribute }) {
    const at = Object.fromEntries(attribute.map((a) => [a.name, a.ints.length ? a.ints : a.floats.length ? a.floats : (a.t?.dims ? a.t : a.i || a.f || 0)]));
    const value = (i) => this.constants.get(input[i]);
    const simple = { GlobalAveragePool: 'mean', Add: 'add', Softmax: 'softmax', Concat: 'concat', Flatten: 'flatten' };
    if (op_type === 'ConstantOfShape') return this.constant(output, value(0), at.value);
    if (op_type === 'Dropout' || op_type === 'Identity') return this.names.set(output, this.named(input[0]));
    const into = this.only(input[0]);
    if (op_type === 'BatchNormalization' && into?.op === 'conv') return this.fold(into, input.slice(1).map((name) => this.constants.get(name).data), at.epsilon ?? 1e-5, output);
    if (op_type === 'Relu' || op_type === 'Clip') {
      const activation = ACTIVATIONS[op_type]({ min: value(1)?.data[0] ?? at.min, max: value(2)?.data[0] ?? at.max });
      if (!activation) throw new Error(`no counterpart of ${op_type} with these bounds`);
      if (into?.op === 'conv' && !into.activation) return Object.assign(into, { activation, output });
      return this.steps.push({ op: activation, inputs: [this.named(input[0])], output });
    }
    if (op_type === 'Conv') return this.steps.push({ op: 'conv', inputs: [this.named(input[0])], output, filter: value(1), bias: value(2)?.data ?? new Float32Array(value(1).shape[0]), ...this.window(at), groups: at.group || 1 });
    if (op_type === 'MaxPool') return this.steps.push({ op: 'maxPool', inputs: [this.named(input[0])], output, size: at.kernel_shape, ...this.window(at) });
    if (op_type === 'Gemm') return this.gemm(this.named(input[0]), value(1), value(2).data, at, output);
    if (!simple[op_type]) throw new Error(`no counterpart of ${op_type}`);
    this.steps.push({ op: simple[op_type], inputs: input.map((name) => this.named(name)), output });
  }

  constant(output, shape, value) {
    const dims = [...shape.data];
    this.constants.set(output, { shape: dims, data: new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(value ? floats(value)[0] : 0) });
  }

  window({ strides = [1, 1], pads = [0, 0, 0, 0] }) {
    return { strides, pad: [[0, 0], [pads[0], pads[2]], [pads[1], pads[3]], [0, 0]] };
  }

  fold(step, [scale, shift, mean, variance], epsilon, output) {
    const factors = scale.map((s, i) => s / Math.sqrt(variance[i] + epsilon));
    const size = step.filter.data.length / factors.length;
    step.filter = { shape: step.filter.shape, data: step.filter.data.map((w, i) => w * factors[Math.floor(i / size)]) };
    step.bias = step.bias.map((b, i) => (b - mean[i]) * factors[i] + shift[i]);
    step.output = output;
  }

  gemm(input, { shape, data }, bias, { transB }, output) {
    if (!transB) throw new Error('no counterpart of Gemm without transB');
    const [outputs, inputs] = shape;
    const columns = Float32Array.from(data, (_, i) => data[(i % outputs) * inputs + Math.floor(i / outputs)]);
    this.steps.push({ op: 'dense', inputs: [input], output, columns: { shape: [inputs, outputs], at: this.keep(columns) }, bias: { shape: [bias.length], at: this.keep(bias) } });
  }

  keep(data) {
    const at = this.length;
    this.weights.push({ at, data });
    this.length += data.length;
    return at;
  }

  /** Filters become height, width, input, output; of depthwise ones height, width, channel, 1. */
  finished(step) {
    if (step.op !== 'conv') return step;
    const { filter: { shape: [outputs, inputs, height, width], data }, bias, groups, ...rest } = step;
    const depthwise = groups > 1;
    if (depthwise && (groups !== outputs || inputs !== 1)) throw new Error('no counterpart of grouped convolutions');
    const moved = new Float32Array(data.length);
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) {
        for (let k = 0; k < height * width; k++) moved[(k * inputs + i) * outputs + o] = data[(o * inputs + i) * height * width + k];
      }
    }
    const shape = depthwise ? [height, width, outputs, 1] : [height, width, inputs, outputs];
    return { ...rest, op: depthwise ? 'depthwise' : 'conv', filter: { shape, at: this.keep(moved) }, bias: { shape: [bias.length], at: this.keep(bias) } };
  }
}

function floats({ float_data, int64_data, raw_data, data_type }) {
  if (float_data.length) return Float32Array.from(float_data);
  if (int64_data.length) return Float32Array.from(int64_data);
  const { buffer } = Uint8Array.from(raw_data);
  return data_type === 7 ? Float32Array.from(new BigInt64Array(buffer), Number) : new Float32Array(buffer);
}
