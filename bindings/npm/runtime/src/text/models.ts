import type { ModelFile } from './file.js';

/** Cuts a word into pieces and gives their numbers. */
export type Model = (word: string) => readonly number[];

/** The model of a file. */
export function model(file: ModelFile): Model {
  switch (file.type) {
    case 'WordPiece':
      return wordPiece(file);
    case 'BPE':
      return bytePairs(file);
    case 'Unigram':
      return unigram(file);
  }
}

/** The longest piece that is known, from the left; a word with a part that is not known is unknown as a whole. */
function wordPiece(file: Extract<ModelFile, { type: 'WordPiece' }>): Model {
  const { unk_token, continuing_subword_prefix: prefix, max_input_chars_per_word: most } = file;
  const vocabulary = new Map(Object.entries(file.vocab));
  const unknown = [vocabulary.get(unk_token)!];
  return (word) => {
    const letters = Array.from(word);
    if (letters.length > most) return unknown;
    const ids: number[] = [];
    for (let start = 0; start < letters.length; ) {
      let end = letters.length;
      let id: number | undefined;
      while (end > start) {
        id = vocabulary.get((start ? prefix : '') + letters.slice(start, end).join(''));
        if (id !== undefined) break;
        end--;
      }
      if (id === undefined) return unknown;
      ids.push(id);
      start = end;
    }
    return ids;
  };
}

/** A merge that may be made: of the symbol at `at` with the one after it. */
interface Merge {
  readonly rank: number;
  readonly at: number;
  readonly id: number;
}

function bytePairs(file: Extract<ModelFile, { type: 'BPE' }>): Model {
  const vocabulary = new Map(Object.entries(file.vocab));
  const prefix = file.continuing_subword_prefix ?? '';
  const merges = new Map<number, Omit<Merge, 'at'>>();
  file.merges.forEach((merge, rank) => {
    const [first, second] = typeof merge === 'string' ? merge.split(' ') : merge;
    const id = vocabulary.get(first! + second!.slice(prefix.length))!;
    merges.set(pairOf(vocabulary.get(first!)!, vocabulary.get(second!)!), { rank, id });
  });
  return (word) => {
    const whole = file.ignore_merges ? vocabulary.get(word) : undefined;
    return whole === undefined ? merged(symbols(file, vocabulary, word), merges) : [whole];
  };
}

/** One number for two: the compiler takes numbers below 2^24 alone. */
function pairOf(first: number, second: number): number {
  return first * 2 ** 24 + second;
}

/** The letters of a word as numbers, before anything is merged. */
function symbols(file: Extract<ModelFile, { type: 'BPE' }>, vocabulary: ReadonlyMap<string, number>, word: string): number[] {
  const letters = Array.from(word);
  const ids: number[] = [];
  const missing = file.unk_token == null ? undefined : vocabulary.get(file.unk_token);
  // Letters that are not known, of which nothing stands in `ids` yet.
  let unknown = false;
  letters.forEach((letter, index) => {
    const last = index === letters.length - 1;
    const text = (index ? (file.continuing_subword_prefix ?? '') : '') + letter + (last ? (file.end_of_word_suffix ?? '') : '');
    const id = vocabulary.get(text);
    if (id !== undefined) {
      if (unknown) ids.push(missing!);
      unknown = false;
      ids.push(id);
      return;
    }
    const bytes = file.byte_fallback ? bytesOf(text, vocabulary) : undefined;
    if (bytes) {
      ids.push(...bytes);
    } else if (missing !== undefined) {
      if (unknown && !file.fuse_unk) ids.push(missing);
      unknown = true;
    }
  });
  if (unknown) ids.push(missing!);
  return ids;
}

/** The numbers of a text's bytes, where each has one. */
function bytesOf(text: string, vocabulary: ReadonlyMap<string, number>): number[] | undefined {
  const ids: number[] = [];
  for (const byte of new TextEncoder().encode(text)) {
    const id = vocabulary.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
    if (id === undefined) return undefined;
    ids.push(id);
  }
  return ids;
}

/** Merges neighbours, what stands first in the list of merges first, and of equal ones the leftmost. */
function merged(ids: readonly number[], merges: ReadonlyMap<number, Omit<Merge, 'at'>>): readonly number[] {
  const symbols = [...ids];
  const next = symbols.map((_, at) => at + 1);
  const previous = symbols.map((_, at) => at - 1);
  const gone = symbols.map(() => false);
  const queue = new Queue();
  const offer = (at: number) => {
    const after = next[at];
    if (at < 0 || after === undefined || after >= symbols.length) return;
    const found = merges.get(pairOf(symbols[at]!, symbols[after]!));
    if (found) queue.push({ ...found, at });
  };
  symbols.forEach((_, at) => offer(at));
  for (let top = queue.pop(); top; top = queue.pop()) {
    const { at, id } = top;
    const after = next[at]!;
    if (gone[at] || after >= symbols.length) continue;
    // What was offered may have been merged with something else meanwhile.
    if (merges.get(pairOf(symbols[at]!, symbols[after]!))?.id !== id) continue;
    symbols[at] = id;
    gone[after] = true;
    next[at] = next[after]!;
    if (next[at]! < symbols.length) previous[next[at]!] = at;
    offer(previous[at]!);
    offer(at);
  }
  return symbols.filter((_, at) => !gone[at]);
}

/** Merges by their rank, then by their place: a binary heap. */
class Queue {
  readonly #heap: Merge[] = [];

  push(merge: Merge): void {
    const heap = this.#heap;
    let at = heap.push(merge) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(merge, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = merge;
  }

  pop(): Merge | undefined {
    const heap = this.#heap;
    const [top] = heap;
    const last = heap.pop();
    if (!last || !heap.length) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}

function before(a: Merge, b: Merge): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.at < b.at);
}

/** What a letter that is not known is less likely than the least likely piece. */
const PENALTY = 10;

/** The pieces that are likeliest together: the best way to each place in the word, from those before it. */
function unigram(file: Extract<ModelFile, { type: 'Unigram' }>): Model {
  const ids = new Map(file.vocab.map(([piece], id) => [piece, id]));
  const scores = Float64Array.from(file.vocab, ([, score]) => score);
  const longest = file.vocab.reduce((most, [piece]) => Math.max(most, piece.length), 1);
  const unknownScore = scores.reduce((least, score) => Math.min(least, score), Infinity) - PENALTY;
  return (word) => {
    const best = new Float64Array(word.length + 1);
    const from = new Int32Array(word.length + 1).fill(-1);
    const by = new Int32Array(word.length + 1);
    const reach = (start: number, end: number, id: number, score: number) => {
      const sum = score + best[start]!;
      if (from[end]! >= 0 && sum <= best[end]!) return;
      best[end] = sum;
      from[end] = start;
      by[end] = id;
    };
    for (let start = 0; start < word.length; ) {
      const letter = word.codePointAt(start)! > 0xffff ? 2 : 1;
      let alone = false;
      for (let end = start + 1; end <= Math.min(word.length, start + longest); end++) {
        const id = ids.get(word.slice(start, end));
        if (id === undefined) continue;
        reach(start, end, id, scores[id]!);
        alone ||= end === start + letter;
      }
      if (!alone) reach(start, start + letter, file.unk_id, unknownScore);
      start += letter;
    }
    return pieces(word, from, by).flatMap((piece) => ids.get(piece) ?? (file.byte_fallback ? bytesOf(piece, ids) : undefined) ?? file.unk_id);
  };

  /** The pieces on the best way; letters that are not known and stand together are one. */
  function pieces(word: string, from: Int32Array, by: Int32Array): string[] {
    const found: string[] = [];
    let unknown = '';
    for (let end = word.length; end > 0; end = from[end]!) {
      const piece = word.slice(from[end], end);
      if (by[end] === file.unk_id) {
        unknown = piece + unknown;
        continue;
      }
      if (unknown) found.push(unknown);
      unknown = '';
      found.push(piece);
    }
    if (unknown) found.push(unknown);
    return found.reverse();
  }
}
