/** What a table made of a text, and whether nothing is left of its first character. */
export interface Replaced {
  readonly text: string;
  readonly cut: boolean;
}

/**
 * The replacements of a model of SentencePiece: a trie of bytes in a double array, whose values say where in a list of texts a replacement begins.
 * The compiler has checked that no step leaves the table.
 */
export function charsmap(base64: string): (text: string) => Replaced {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const size = new DataView(bytes.buffer).getUint32(0, true);
  const view = new DataView(bytes.buffer, 4, size);
  const units = Uint32Array.from({ length: size >> 2 }, (_, i) => view.getUint32(4 * i, true));
  const texts = bytes.subarray(4 + size);
  const writer = new TextEncoder();
  const reader = new TextDecoder();
  const offset = (unit: number) => (unit >>> 10) << ((unit & 0x200) >>> 6);

  /** What the shortest beginning of a text that is in the table becomes. */
  const replacement = (text: string): string | undefined => {
    let place = offset(units[0]!);
    for (const byte of writer.encode(text)) {
      if (byte === 0) return undefined;
      place ^= byte;
      const unit = units[place]!;
      if ((unit & 0x800000ff) >>> 0 !== byte) return undefined;
      place ^= offset(unit);
      if ((unit >>> 8) & 1) {
        const start = units[place]! & 0x7fffffff;
        const end = texts.indexOf(0, start);
        return reader.decode(texts.subarray(start, end < 0 ? texts.length : end));
      }
    }
    return undefined;
  };

  const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
  return (text) => {
    let out = '';
    let cut = false;
    const put = (part: string, at: number) => {
      if (at === 0) cut = !part;
      out += part;
    };
    for (const { segment, index } of graphemes.segment(text)) {
      const whole = writer.encode(segment).length < 6 ? replacement(segment) : undefined;
      if (whole !== undefined) {
        put(whole, index);
        continue;
      }
      let at = index;
      for (const letter of segment) {
        put(replacement(letter) ?? letter, at);
        at += letter.length;
      }
    }
    return { text: out, cut };
  };
}
