import { openBundle } from '@mlp/runtime';
import { start } from './page.js';

start(async ({ bundle, options, outputs }) => {
  const pipeline = (await openBundle(bundle)).pipeline();
  await pipeline.load(options);
  return (inputs) => {
    const input = Object.fromEntries(inputs.map(({ name, data }) => [name, data]));
    return async () => {
      const answer = await pipeline.run(input, options);
      // A single output is given without a record.
      return outputs.map(({ name }) => (ArrayBuffer.isView(answer) ? answer : answer[name]));
    };
  };
});
