import { charsmap } from './charsmap.js';
import type { NormalizerFile } from './file.js';
import { SPACE, everywhere } from './unicode.js';

/** A piece of a text; `first` is true where its first character is the text's own first. */
export interface Piece {
  readonly text: string;
  readonly first: boolean;
}

/** What is done to a piece. */
export type Normalizer = (piece: Piece) => Piece;

const CHINESE = /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;
const SPACES = new RegExp(`[${SPACE}]`, 'gu');
const LEADING = new RegExp(`^[${SPACE}]+`, 'u');
const TRAILING = new RegExp(`[${SPACE}]+$`, 'u');
/** Characters that stand for nothing: control, format, private and the replacement of what could not be read. */
const CONTROL = /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\p{Cs}\ufffd]/gu;

/** The normalizer of a file; none leaves everything as it is. */
export function normalizer(file: NormalizerFile | null, patterns: Readonly<Record<string, string>>): Normalizer {
  if (!file) return (piece) => piece;
  switch (file.type) {
    case 'Sequence': {
      const steps = file.normalizers.map((step) => normalizer(step, patterns));
      return (piece) => steps.reduce((before, step) => step(before), piece);
    }
    case 'BertNormalizer':
      return bert(file);
    case 'Lowercase':
      return mapped(lowercase);
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return mapped((text) => text.normalize(file.type));
    case 'StripAccents':
      return without(/\p{M}/gu);
    case 'Strip': {
      const left = file.strip_left ? without(LEADING) : same;
      const right = file.strip_right ? without(TRAILING) : same;
      return (piece) => right(left(piece));
    }
    case 'Prepend':
      return mapped((text) => (text ? file.prepend + text : text));
    case 'Replace':
      return file.content ? mapped((text) => text.replace(everywhere(file.pattern, patterns), () => file.content)) : without(everywhere(file.pattern, patterns));
    case 'Precompiled': {
      const replace = charsmap(file.precompiled_charsmap);
      return ({ text, first }) => {
        const replaced = replace(text);
        return { text: replaced.text, first: first && !replaced.cut };
      };
    }
  }
}

const same: Normalizer = (piece) => piece;

/** Every character in lower case by itself: none looks at its neighbours, as a final sigma would. */
function lowercase(text: string): string {
  return Array.from(text, (letter) => letter.toLowerCase()).join('');
}

function mapped(change: (text: string) => string): Normalizer {
  return ({ text, first }) => ({ text: change(text), first });
}

/** Takes out what is found. Where that is the beginning, the first character is another. */
function without(found: RegExp): Normalizer {
  return ({ text, first }) => ({ text: text.replace(found, ''), first: first && text.search(found) !== 0 });
}

function bert(file: Extract<NormalizerFile, { type: 'BertNormalizer' }>): Normalizer {
  const steps: Normalizer[] = [];
  if (file.clean_text) steps.push(without(CONTROL), mapped((text) => text.replace(SPACES, ' ')));
  if (file.handle_chinese_chars) steps.push(mapped((text) => text.replace(CHINESE, ' $& ')));
  if (file.strip_accents ?? file.lowercase) steps.push(mapped((text) => text.normalize('NFD')), without(/\p{Mn}/gu));
  if (file.lowercase) steps.push(mapped(lowercase));
  return (piece) => steps.reduce((before, step) => step(before), piece);
}
