import { loadAndCompile, loadLiteRt, Tensor } from '@litertjs/core';
import { start } from './page.js';

start(async ({ model, options: { accelerator, threads = 1 }, outputs }) => {
  await loadLiteRt('/litert/', { threads: threads > 1 });
  const compiled = await loadAndCompile(model, { accelerator, gpuOptions: { precision: 'fp32' }, cpuOptions: { numThreads: threads } });
  const details = compiled.getInputDetails();
  return (inputs) => {
    const arrays = inputs.map((input, i) => ({ data: layout(input, details[i].shape), shape: [...details[i].shape] }));
    return async () => {
      const tensors = arrays.map(({ data, shape }) => new Tensor(data, shape));
      const results = await compiled.run(tensors);
      const answer = await Promise.all(outputs.map(async (_, i) => new Float32Array(await results[i].data())));
      for (const tensor of [...tensors, ...results]) tensor.delete();
      return answer;
    };
  };
});

/** A converted model has the channels last where the original has them second; the numbers are moved before any clock runs. */
function layout({ shape, data }, wanted) {
  if (shape.length !== 4 || shape.every((size, i) => size === wanted[i])) return data;
  const [n, c, h, w] = shape;
  const moved = new data.constructor(data.length);
  for (let i = 0; i < n * c; i++) for (let j = 0; j < h * w; j++) moved[(Math.floor(i / c) * h * w + j) * c + (i % c)] = data[i * h * w + j];
  return moved;
}
