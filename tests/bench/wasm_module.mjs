// Times a pipeline's WebAssembly modules in this JavaScript engine, one thread.
//   node --experimental-wasm-relaxed-simd tests/bench/wasm_module.mjs FOLDER [RUNS]
// FOLDER is what `cargo run --release -p mlp-codegen --example wasm_model -- model.onnx FOLDER` writes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const [folder, runs = '30'] = process.argv.slice(2);
const lines = readFileSync(join(folder, 'description'), 'utf8').trim().split('\n').map((line) => line.split(' '));
const weights = readFileSync(join(folder, 'weights'));
const inputs = readFileSync(join(folder, 'inputs'));

for (const [name, weightsOffset, arenaOffset] of lines.filter(([kind]) => kind !== 'input' && kind !== 'step')) {
  const bytes = readFileSync(join(folder, `${name}.wasm`));
  const started = performance.now();
  let instance;
  try {
    instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), {});
  } catch (error) {
    console.log(`${name}: ${error.message}`);
    continue;
  }
  const compiled = performance.now() - started;
  const memory = new Uint8Array(instance.exports.memory.buffer);
  memory.set(weights, Number(weightsOffset));
  const write = () => {
    let at = 0;
    for (const [, offset, length] of lines.filter(([kind]) => kind === 'input')) {
      memory.set(inputs.subarray(at, at + Number(length)), Number(arenaOffset) + Number(offset));
      at += Number(length);
    }
  };
  const times = [];
  for (let n = 0; n < Number(runs) + 10; n += 1) {
    write();
    const from = performance.now();
    instance.exports.run();
    times.push(performance.now() - from);
  }
  const [first] = times;
  const warm = times.slice(10).sort((a, b) => a - b);
  const show = (value) => value.toFixed(2);
  console.log(
    `${name}: ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzipped; compiled in ${show(compiled)} ms, first run ${show(first)} ms, ` +
      `least ${show(warm[0])}, median ${show(warm[warm.length >> 1])} ms`,
  );
}
