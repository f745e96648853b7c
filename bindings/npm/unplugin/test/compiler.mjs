#!/usr/bin/env node
// A compiler for sources of one line, with the command line and the report of mlpc: it writes a bundle of one large file, or refuses the source.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const [command, file, flag, out, json, more] = process.argv.slice(2);
if (command !== 'build' || flag !== '-o' || json !== '--json') process.exit(2);
const text = readFileSync(file, 'utf8').trim();
const dependencies = [file, join(dirname(file), 'model.onnx')];
const report = (more) => process.stdout.write(`${JSON.stringify({ dependencies, diagnostics: [], ...more })}\n`);

if (text === 'broken') {
  report({ diagnostics: [{ code: 'E0203', severity: 'error', message: 'unknown name `Objetcs`', labels: [{ file, line: 3, column: 9, text: 'no such model' }], help: 'did you mean `Objects`?' }] });
  process.exit(1);
}
if (text === 'crash') {
  process.stderr.write('out of memory\n');
  process.exit(101);
}
const weights = readFileSync(dependencies[1]);
mkdirSync(process.env.MLP_CACHE_DIR, { recursive: true });
writeFileSync(join(process.env.MLP_CACHE_DIR, 'prepared'), text);
mkdirSync(out, { recursive: true });
writeFileSync(join(out, 'weights-1f.bin'), weights);
writeFileSync(join(out, 'manifest.json'), JSON.stringify({ text, bytes: weights.length }));
writeFileSync(join(out, 'index.js'), `export const text = ${JSON.stringify(more ? `${text} ${more}` : text)};\nexport const weights = () => new URL('./weights-1f.bin', import.meta.url);\n`);
writeFileSync(join(out, 'index.d.ts'), `export declare const text: ${JSON.stringify(text)};\nexport declare const weights: () => URL;\n`);
const diagnostics = text === 'doubtful' ? [{ code: 'W0101', severity: 'warning', message: 'the model is never used' }] : [];
report({ bundle: out, files: ['weights-1f.bin'], diagnostics });
