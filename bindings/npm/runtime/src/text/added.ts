import type { AddedToken } from './file.js';
import type { Normalizer, Piece } from './normalizers.js';
import { SPACE, WORD, escaped } from './unicode.js';

/** A part of a text: a piece of it, or the number of a token that was found in it. */
export type Found = Piece | number;

const WORD_BEFORE = new RegExp(`[${WORD}]$`, 'u');
const WORD_AFTER = new RegExp(`^[${WORD}]`, 'u');
const SPACE_BEFORE = new RegExp(`[${SPACE}]*$`, 'u');
const SPACE_AFTER = new RegExp(`^[${SPACE}]*`, 'u');

/** Finds the tokens that are no pieces of words, first as they are written, then in what the normalizer makes of the rest. */
export function extraction(tokens: readonly AddedToken[], normalize: Normalizer): (text: string) => readonly Found[] {
  const asWritten = finder(tokens.filter((token) => !token.normalized).map((token) => [token.content, token]));
  const normalized = finder(tokens.filter((token) => token.normalized).map((token) => [normalize({ text: token.content, first: true }).text, token]));
  return (text) =>
    asWritten({ text, first: true }).flatMap((found) => (typeof found === 'number' ? [found] : normalized(normalize(found))));
}

/** Cuts a piece where tokens stand, the longest of those that begin at one place. */
function finder(tokens: readonly (readonly [string, AddedToken])[]): (piece: Piece) => readonly Found[] {
  const byText = new Map(tokens.filter(([text]) => text));
  if (!byText.size) return (piece) => (piece.text ? [piece] : []);
  const texts = [...byText.keys()].sort((a, b) => b.length - a.length);
  const expression = new RegExp(texts.map(escaped).join('|'), 'gu');
  return ({ text, first }) => {
    const found: Found[] = [];
    let done = 0;
    for (const match of text.matchAll(expression)) {
      const token = byText.get(match[0])!;
      let start = match.index;
      let end = start + match[0].length;
      if (token.single_word && (WORD_BEFORE.test(text.slice(0, start)) || WORD_AFTER.test(text.slice(end)))) continue;
      if (token.lstrip) start = Math.max(done, SPACE_BEFORE.exec(text.slice(0, start))!.index);
      if (token.rstrip) end += SPACE_AFTER.exec(text.slice(end))![0].length;
      if (start > done) found.push({ text: text.slice(done, start), first: first && done === 0 });
      found.push(token.id);
      done = end;
    }
    if (done < text.length) found.push({ text: text.slice(done), first: first && done === 0 });
    return found;
  };
}
