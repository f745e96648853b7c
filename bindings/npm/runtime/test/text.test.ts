import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Encoding } from '../src/manifest.js';

// No part of what the package exports.
const { encoder } = (await import(new URL('../text/encoder.js', import.meta.url).href)) as typeof import('../src/text/encoder.js');

/** What the `tokenizers` library makes of many texts, with small tokenizers that have everything that large ones have. */
const folder = new URL('../../../../../tests/library/text/', import.meta.url);
const read = (name: string): unknown => JSON.parse(readFileSync(new URL(name, folder), 'utf8'));

interface Case {
  readonly tokenizer: string;
  readonly texts: readonly number[];
  readonly special: boolean;
  readonly truncate: Encoding['truncate'] | null;
  readonly ids: readonly number[];
  readonly types: readonly number[];
}

const { texts, cases } = read('cases.json') as { texts: readonly string[]; cases: readonly Case[] };
const patterns = read('patterns.json');

const packed = new Map<string, string>();
for (const { tokenizer } of cases) {
  if (!packed.has(tokenizer)) packed.set(tokenizer, JSON.stringify({ tokenizer: read(`${tokenizer}.json`), patterns }));
}

const encoding = (length: number, parts: Partial<Encoding> = {}): Encoding => ({
  texts: ['sentence'],
  tokenizer: 'tokenizer.json',
  special: true,
  length,
  pad: 7,
  pad_side: 'right',
  ...parts,
});

for (const [name, file] of packed) {
  test(`${name}: every text becomes the tokens that the library makes of it`, () => {
    for (const one of cases.filter(({ tokenizer }) => tokenizer === name)) {
      const given = one.texts.map((text) => texts[text]!);
      const parts: Partial<Encoding> = { texts: given.map((_, index) => `text${index}`), special: one.special };
      const encode = encoder(encoding(one.ids.length, one.truncate ? { ...parts, truncate: one.truncate } : parts), file);
      const { ids, types } = encode(given);
      const place = `${JSON.stringify(given)} ${JSON.stringify(one.truncate)} special=${one.special}`;
      assert.deepEqual([...ids].map(Number), one.ids, place);
      assert.deepEqual([...types].map(Number), one.types, place);
    }
  });
}

test('what is shorter is filled up, and what is longer is refused', () => {
  const file = packed.get('wordpiece')!;
  const [cls, sep] = [2n, 3n];
  const right = encoder(encoding(4), file)(['']);
  assert.deepEqual([...right.ids], [cls, sep, 7n, 7n]);
  assert.deepEqual([...right.mask], [1n, 1n, 0n, 0n]);
  const left = encoder(encoding(4, { pad_side: 'left' }), file)(['']);
  assert.deepEqual([...left.ids], [7n, 7n, cls, sep]);
  assert.deepEqual([...left.mask], [0n, 0n, 1n, 1n]);
  assert.throws(() => encoder(encoding(4), file)(['one two three four five']), /sentence has \d+ tokens, and the pipeline takes 4/);
  assert.throws(() => encoder(encoding(4), file)(['x'.repeat((1 << 20) + 1)]), /more than 1048576 bytes/);
});

test('halves of characters are read as characters that are not known', () => {
  const file = packed.get('bpe')!;
  assert.deepEqual(encoder(encoding(16), file)(['a\ud800b']).ids, encoder(encoding(16), file)(['a\ufffdb']).ids);
});

test('a tokenizer that is no JSON is refused', () => {
  assert.throws(() => encoder(encoding(4), '{'), /tokenizer.json is not JSON/);
});
