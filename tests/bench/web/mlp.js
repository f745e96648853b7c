import { definePipeline } from '@mlp/runtime';
import { start } from './page.js';

// What the generated module of a bundle has in it: the harness writes it before this script, as a bundler would.
const { format, pipeline: manifest, files } = globalThis.bundled;
const urls = () => Object.fromEntries(Object.keys(files).map((name) => [name, `/bundle/${name}`]));

start(async ({ options, outputs }) => {
  const pipeline = definePipeline({ format, pipeline: manifest, files, urls });
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
