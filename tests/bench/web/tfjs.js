import * as tf from '@tensorflow/tfjs-core';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { start } from './page.js';

start(async ({ model: address }) => {
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  setWasmPaths('/tfjs-backend-wasm/');
  const [response] = await Promise.all([fetch(address), tf.setBackend('wasm')]);
  const bytes = await response.arrayBuffer();
  // A header's length, the header, and the weights on the next multiple of four.
  const length = new DataView(bytes).getUint32(0, true);
  const { input, outputs, steps } = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  const weights = new Float32Array(bytes, 4 + Math.ceil(length / 4) * 4);
  const tensor = ({ shape, at }) => tf.tensor(weights.subarray(at, at + shape.reduce((a, b) => a * b, 1)), shape, 'float32');
  for (const step of steps) for (const name of ['filter', 'bias', 'columns']) if (step[name]) step[name] = tensor(step[name]);
  return ([{ data, shape }]) => {
    const moved = tf.tidy(() => tf.transpose(tf.tensor(data, shape), [0, 2, 3, 1]).dataSync());
    const [n, c, h, w] = shape;
    return async () => {
      const found = tf.tidy(() => {
        const values = new Map([[input, tf.tensor(moved, [n, h, w, c])]]);
        for (const step of steps) values.set(step.output, OPERATORS[step.op](step, step.inputs.map((name) => values.get(name))));
        return outputs.map((name) => values.get(name));
      });
      const answer = await Promise.all(found.map((value) => value.data()));
      tf.dispose(found);
      return answer;
    };
  };
});

const conv = (fused) => ({ filter, strides, pad, bias, activation }, [x]) => fused({ x, filter, strides, pad, bias, activation, dataFormat: 'NHWC' });

const OPERATORS = {
  conv: conv(tf.fused.conv2d),
  depthwise: conv(tf.fused.depthwiseConv2d),
  dense: ({ columns, bias }, [a]) => tf.fused.matMul({ a, b: columns, bias }),
  maxPool: ({ size, strides, pad }, [x]) => tf.maxPool(x, size, strides, pad),
  mean: (_, [x]) => tf.mean(x, [1, 2], true),
  flatten: (_, [x]) => tf.reshape(x, [x.shape[0], -1]),
  add: (_, [a, b]) => tf.add(a, b),
  concat: (_, inputs) => tf.concat(inputs, 3),
  softmax: (_, [x]) => tf.softmax(x),
  relu: (_, [x]) => tf.relu(x),
  relu6: (_, [x]) => tf.relu6(x),
};
