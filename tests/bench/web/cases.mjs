// Models made ready: a bundle, inputs, and the outputs that are expected.
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { mlpc } from '../../browser/mlpc.mjs';

const SIZES = { bool: 1, u8: 1, i8: 1, u16: 2, i16: 2, u32: 4, i32: 4, u64: 8, i64: 8, f16: 2, bf16: 2, f32: 4, f64: 8 };

/**
 * A model's case in `folder`: `name`, `bundle` (its folder), `source` (what a generated module says), `weights` (that file of the bundle), `inputs` and `outputs` (ports with the file that has
 * their numbers), `macs`, `dims`. Recorded numbers are taken from the `.npz` beside the model unless sizes are given; then the first contender's answer is what
 * the others are compared with, and the outputs have no file yet.
 */
export async function prepare(model, { folder, dims, compiler }) {
  const name = basename(model, '.onnx') + Object.values(dims).map((size) => `_${size}`).join('');
  const recorded = model.replace(/\.onnx$/, '.npz');
  const home = join(folder, name);
  await mkdir(home, { recursive: true });
  const entry = existsSync(recorded) && !Object.keys(dims).length ? await emitted(model, recorded, home, compiler) : await synthetic(model, dims, home, compiler);
  const manifest = JSON.parse(await readFile(join(home, entry.bundle, 'manifest.json'), 'utf8'));
  const bundle = join(home, entry.bundle);
  const { stdout } = await mlpc(['bench', bundle, '--seconds', '0.01', '--json'], { path: compiler });
  const { macs } = JSON.parse(stdout.trim().split('\n').at(-1));
  const [pipeline] = manifest.pipelines;
  return { ...entry, name, model, home, bundle, source: source(manifest, pipeline), weights: pipeline.weights, macs };
}

/** The part of a manifest that a generated module has. */
function source({ format, files }, { plan, ...pipeline }) {
  return { format, pipeline, files: Object.fromEntries(Object.entries(files).filter(([name]) => name !== plan)) };
}

async function emitted(model, recorded, home, compiler) {
  await mlpc(['verify', model, '--data', recorded, '--emit', home], { path: compiler });
  const [entry] = JSON.parse(await readFile(join(home, 'index.json'), 'utf8'));
  if (entry.bundle === null) throw new Error(entry.detail);
  return { ...entry, dims: {} };
}

async function synthetic(model, dims, home, compiler) {
  await mlpc(['build', model, '-o', join(home, 'bundle'), ...Object.entries(dims).flatMap(([symbol, size]) => ['--dim', `${symbol}=${size}`])], { path: compiler });
  const [pipeline] = JSON.parse(await readFile(join(home, 'bundle', 'manifest.json'), 'utf8')).pipelines;
  const port = ({ name, type: { dtype, shape } }) => ({ name, dtype, shape });
  const inputs = await Promise.all(
    pipeline.inputs.map(async (field, i) => {
      const file = `input_${i}.bin`;
      await writeFile(join(home, file), numbers(field.type));
      return { ...port(field), file };
    }),
  );
  return { bundle: 'bundle', inputs, outputs: pipeline.outputs.map(port), dims };
}

/** Waves for floats; ones for integers, which are valid as tokens and as masks. */
function numbers({ dtype, shape }) {
  const count = shape.reduce((a, b) => a * b, 1);
  if (dtype === 'f32') return Buffer.from(Float32Array.from({ length: count }, (_, i) => Math.sin(i)).buffer);
  const bytes = Buffer.alloc(count * SIZES[dtype]);
  for (let i = 0; i < count; i++) bytes[i * SIZES[dtype]] = 1;
  return bytes;
}
