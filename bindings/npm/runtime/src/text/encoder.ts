import { MlpError } from '../errors.js';
import type { Encoding } from '../manifest.js';
import { extraction } from './added.js';
import type { PostProcessorFile, TokenizerFile } from './file.js';
import { model } from './models.js';
import { normalizer } from './normalizers.js';
import { preTokenizer } from './words.js';

/** The longest text that is looked at, in bytes. */
const MAX_TEXT = 1 << 20;

/** The tokens of a run, as many in each list. */
export interface Tokens {
  readonly ids: BigInt64Array;
  /** 1 where there is a token, 0 where it is filled up. */
  readonly mask: BigInt64Array;
  /** 0 in the first text, 1 in the second. */
  readonly types: BigInt64Array;
}

/** Makes tokens of the texts of an encoding, in its order. */
export type Encoder = (texts: readonly string[]) => Tokens;

interface Marked {
  readonly id: number;
  readonly type: number;
}

/** What one encoding of a pipeline says, with the tokenizer that its file has. */
export function encoder(encoding: Encoding, text: string): Encoder {
  let file: TokenizerFile;
  try {
    file = JSON.parse(text) as TokenizerFile;
  } catch (error) {
    throw new MlpError('FORMAT', `the tokenizer ${encoding.tokenizer} is not JSON`, { cause: error });
  }
  const { tokenizer, patterns = {} } = file;
  const extract = extraction(tokenizer.added_tokens, normalizer(tokenizer.normalizer, patterns));
  const words = preTokenizer(tokenizer.pre_tokenizer, patterns);
  const pieces = model(tokenizer.model);
  const cut = (given: string) => extract(given).flatMap((found) => (typeof found === 'number' ? found : words([found]).flatMap((word) => pieces(word.text))));
  const frame = framing(tokenizer.post_processor);
  return (texts) => {
    const named = encoding.texts.join(' and ');
    for (const given of texts) {
      if (given.length > MAX_TEXT || new TextEncoder().encode(given).length > MAX_TEXT) {
        throw new MlpError('INPUT', `${named} has more than ${MAX_TEXT} bytes: give a part of it`);
      }
    }
    // What is no Unicode is replaced, as everywhere where texts become bytes.
    const sequences = truncated(texts.map((given) => cut(wellFormed(given))), encoding, frame);
    const tokens = frame(sequences, encoding.special);
    if (tokens.length > encoding.length) {
      throw new MlpError('INPUT', `${named} has ${tokens.length} tokens, and the pipeline takes ${encoding.length}: give less, or truncate the tokens in the pipeline`);
    }
    return padded(tokens, encoding);
  };
}

/** A text without halves of characters, which have no place in Unicode. */
function wellFormed(text: string): string {
  return text.replace(/\p{Cs}/gu, '\ufffd');
}

type Framing = (sequences: readonly (readonly number[])[], special: boolean) => readonly Marked[];

/** What a post-processor adds around the tokens of one text or two. */
function framing(file: PostProcessorFile | null): Framing {
  const plain = (ids: readonly number[], type: number): Marked[] => ids.map((id) => ({ id, type }));
  switch (file?.type) {
    case 'Sequence':
      // One of them at most adds something.
      return framing(file.processors.find((step) => step.type !== 'ByteLevel') ?? null);
    case 'BertProcessing':
    case 'RobertaProcessing': {
      const roberta = file.type === 'RobertaProcessing';
      const [cls, sep] = [file.cls[1], file.sep[1]];
      return (sequences, special) =>
        sequences.flatMap((ids, index) => {
          const before = index === 0 ? [cls] : roberta ? [sep] : [];
          return plain(special ? [...before, ...ids, sep] : ids, roberta ? 0 : index);
        });
    }
    case 'TemplateProcessing':
      return (sequences, special) =>
        (sequences.length > 1 ? file.pair : file.single).flatMap((piece) => {
          if ('Sequence' in piece) return plain(sequences[piece.Sequence.id === 'A' ? 0 : 1]!, piece.Sequence.type_id);
          return special ? plain(file.special_tokens[piece.SpecialToken.id]!.ids, piece.SpecialToken.type_id) : [];
        });
    default:
      return (sequences) => sequences.flatMap(plain);
  }
}

/** Cuts off what is too much: of two texts first what the longer one has on top, then both alike. */
function truncated(sequences: readonly (readonly number[])[], { truncate, special }: Encoding, frame: Framing): readonly (readonly number[])[] {
  if (!truncate) return sequences;
  const added = special ? frame(sequences.map(() => []), true).length : 0;
  const most = truncate.most - added;
  const total = sequences.reduce((sum, ids) => sum + ids.length, 0);
  if (total <= most) return sequences;
  const keep = (ids: readonly number[], count: number) => (truncate.side === 'left' ? ids.slice(ids.length - count) : ids.slice(0, count));
  const [first, second] = sequences;
  if (!second) return [keep(first!, most)];
  let short = Math.min(first!.length, second.length);
  let long = short > most ? short : Math.max(short, most - short);
  if (short + long > most) {
    short = most >> 1;
    long = short + (most % 2);
  }
  const counts = first!.length > second.length ? [long, short] : [short, long];
  return sequences.map((ids, index) => keep(ids, Math.min(ids.length, counts[index]!)));
}

function padded(tokens: readonly Marked[], { length, pad, pad_side }: Encoding): Tokens {
  const ids = new BigInt64Array(length).fill(BigInt(pad));
  const mask = new BigInt64Array(length);
  const types = new BigInt64Array(length);
  const start = pad_side === 'left' ? length - tokens.length : 0;
  tokens.forEach(({ id, type }, index) => {
    ids[start + index] = BigInt(id);
    mask[start + index] = 1n;
    types[start + index] = BigInt(type);
  });
  return { ids, mask, types };
}
