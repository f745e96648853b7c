import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { IGrammar } from 'vscode-textmate';

const require = createRequire(import.meta.url);
const textmate = require('vscode-textmate') as typeof import('vscode-textmate');
const oniguruma = require('vscode-oniguruma') as typeof import('vscode-oniguruma');

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

let grammar: IGrammar;

before(async () => {
  const wasm = readFileSync(join(dirname(require.resolve('vscode-oniguruma')), 'onig.wasm'));
  await oniguruma.loadWASM(wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.byteLength) as ArrayBuffer);
  const registry = new textmate.Registry({
    onigLib: Promise.resolve({
      createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
      createOnigString: (text) => new oniguruma.OnigString(text),
    }),
    loadGrammar: async (scope) => {
      const file = join(root, 'syntaxes', scope === 'source.mlp' ? 'mlp.tmLanguage.json' : 'codeblock.tmLanguage.json');
      return textmate.parseRawGrammar(readFileSync(file, 'utf8'), file);
    },
  });
  const loaded = await registry.loadGrammar('source.mlp');
  assert.ok(loaded);
  grammar = loaded;
});

/** Each piece of text with its innermost scope, without the language's name. */
function scopes(text: string): Map<string, string> {
  const found = new Map<string, string>();
  let state = textmate.INITIAL;
  for (const line of text.split('\n')) {
    const { tokens, ruleStack } = grammar.tokenizeLine(line, state);
    state = ruleStack;
    for (const token of tokens) {
      const piece = line.slice(token.startIndex, token.endIndex).trim();
      const scope = token.scopes.at(-1) ?? '';
      if (piece && !found.has(piece)) found.set(piece, scope.replace(/\.mlp$/, ''));
    }
  }
  return found;
}

test('tokens have the scopes that themes know', () => {
  const found = scopes(`edition 2026
use std.vision.{ resize }
/// Doc
// why
model Objects {
  source = onnx("a\\n.onnx")
  input image: f32[N, 3]
}
pipeline Classify(photo: image<rgb>, k: number = 2) -> f32[1] {
  scores = photo |> resize(224x224) @timeout(8ms)
  return scores
}
outlet Usage from Classify.top { at_most = 48 }`);
  const expected: Record<string, string> = {
    edition: 'keyword.other',
    'std.vision': 'entity.name.namespace',
    '/// Doc': 'comment.line.documentation',
    '// why': 'comment.line.double-slash',
    model: 'storage.type',
    Objects: 'entity.name.class',
    onnx: 'entity.name.function',
    '\\n': 'constant.character.escape',
    f32: 'support.type.primitive',
    pipeline: 'storage.type',
    Classify: 'entity.name.function',
    number: 'support.type',
    '|>': 'keyword.operator.pipe',
    '224x224': 'constant.numeric.size',
    timeout: 'entity.name.function.decorator',
    '8': 'constant.numeric',
    ms: 'keyword.other.unit',
    return: 'keyword.control',
    Usage: 'entity.name.class',
    at_most: 'variable.other.assignment',
  };
  for (const [text, scope] of Object.entries(expected)) assert.equal(found.get(text), scope, text);
});

test('a string that is not closed ends with its line', () => {
  const found = scopes('const a = "open\npipeline P(x: f32[1]) -> f32[1] {');
  assert.equal(found.get('pipeline'), 'storage.type');
});
