import type { Behavior, PreTokenizerFile } from './file.js';
import type { Piece } from './normalizers.js';
import { PUNCTUATION, SPACE, WORD, everywhere } from './unicode.js';

/** Cuts pieces into smaller ones. */
export type PreTokenizer = (pieces: readonly Piece[]) => readonly Piece[];

const SPACES = new RegExp(`[${SPACE}]`, 'gu');
const SIGNS = new RegExp(`[${PUNCTUATION}]`, 'gu');
const WORDS = new RegExp(`[${WORD}]+|[^${WORD}${SPACE}]+`, 'gu');
/** How GPT-2 cuts texts. */
const GPT2 = new RegExp(`'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^${SPACE}\\p{L}\\p{N}]+|[${SPACE}]+(?![^${SPACE}])|[${SPACE}]+`, 'gu');

/** The pre-tokenizer of a file; none leaves pieces whole. */
export function preTokenizer(file: PreTokenizerFile | null, patterns: Readonly<Record<string, string>>): PreTokenizer {
  if (!file) return (pieces) => pieces;
  switch (file.type) {
    case 'Sequence': {
      const steps = file.pretokenizers.map((step) => preTokenizer(step, patterns));
      return (pieces) => steps.reduce((before, step) => step(before), pieces);
    }
    case 'BertPreTokenizer': {
      const spaces = splitting(SPACES, 'Removed');
      const signs = splitting(SIGNS, 'Isolated');
      return (pieces) => signs(spaces(pieces));
    }
    case 'Whitespace':
      return splitting(WORDS, 'Removed', true);
    case 'WhitespaceSplit':
      return splitting(SPACES, 'Removed');
    case 'Digits':
      return splitting(/\p{N}/gu, file.individual_digits ? 'Isolated' : 'Contiguous');
    case 'Punctuation':
      return splitting(SIGNS, file.behavior);
    case 'Split':
      return splitting(everywhere(file.pattern, patterns), file.behavior, file.invert);
    case 'ByteLevel':
      return byteLevel(file.add_prefix_space, file.use_regex);
    case 'Metaspace':
      return metaspace(file);
  }
}

function splitting(found: RegExp, behavior: Behavior, invert = false): PreTokenizer {
  return (pieces) => pieces.flatMap((piece) => split(piece, found, behavior, invert));
}

interface Part {
  start: number;
  end: number;
  readonly found: boolean;
}

/** Cuts a piece where an expression finds something. What is empty is left out. */
export function split(piece: Piece, expression: RegExp, behavior: Behavior, invert = false): Piece[] {
  const parts: Part[] = [];
  let end = 0;
  for (const match of piece.text.matchAll(expression)) {
    if (match.index > end) parts.push({ start: end, end: match.index, found: invert });
    parts.push({ start: match.index, end: match.index + match[0].length, found: !invert });
    end = match.index + match[0].length;
  }
  if (end < piece.text.length) parts.push({ start: end, end: piece.text.length, found: invert });
  return joined(parts, behavior)
    .filter(({ start, end }) => start < end)
    .map(({ start, end }) => ({ text: piece.text.slice(start, end), first: piece.first && start === 0 }));
}

function joined(parts: readonly Part[], behavior: Behavior): readonly Part[] {
  if (behavior === 'Isolated') return parts;
  if (behavior === 'Removed') return parts.filter((part) => !part.found);
  const backwards = behavior === 'MergedWithNext';
  const merged: Part[] = [];
  let before = false;
  for (const part of backwards ? [...parts].reverse() : parts) {
    const last = merged.at(-1);
    if (last && (behavior === 'Contiguous' ? part.found === before : part.found && !before)) {
      if (backwards) last.start = part.start;
      else last.end = part.end;
    } else {
      merged.push({ ...part });
    }
    before = part.found;
  }
  return backwards ? merged.reverse() : merged;
}

/** The character that stands for each byte: printable ones for themselves, the others from U+0100 on. */
const BYTES = (() => {
  let next = 0x100;
  const printable = (byte: number) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
})();

function byteLevel(prefix: boolean, cuts: boolean): PreTokenizer {
  const writer = new TextEncoder();
  const spelled = (text: string) => Array.from(writer.encode(text), (byte) => BYTES[byte]!).join('');
  return (pieces) =>
    pieces
      .map(({ text, first }) => ({ text: prefix && !text.startsWith(' ') ? ` ${text}` : text, first }))
      .flatMap((piece) => (cuts ? split(piece, GPT2, 'Isolated') : [piece]))
      .map(({ text, first }) => ({ text: spelled(text), first }));
}

function metaspace(file: Extract<PreTokenizerFile, { type: 'Metaspace' }>): PreTokenizer {
  const { replacement, prepend_scheme: scheme } = file;
  const mark = everywhere({ String: replacement }, {});
  return (pieces) =>
    pieces.flatMap(({ text, first }) => {
      const marked = text.replaceAll(' ', replacement);
      const begins = (scheme === 'always' || (scheme === 'first' && first)) && !marked.startsWith(replacement);
      const piece = { text: begins ? replacement + marked : marked, first };
      return file.split ? split(piece, mark, 'MergedWithNext') : [piece];
    });
}
