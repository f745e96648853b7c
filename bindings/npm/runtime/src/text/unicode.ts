import type { Pattern } from './file.js';

/** White space as Unicode has it, inside a class: JavaScript's own `\s` has U+FEFF on top and lacks U+0085. */
export const SPACE = '\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';

/** Characters of words, inside a class. */
export const WORD = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200c\\u200d';

/** Signs of ASCII that Unicode does not count as punctuation are punctuation here. */
export const PUNCTUATION = '\\p{P}$+<=>^`|~';

/** An expression that finds a pattern everywhere. */
export function everywhere(pattern: Pattern, patterns: Readonly<Record<string, string>>): RegExp {
  return new RegExp('Regex' in pattern ? patterns[pattern.Regex]! : escaped(pattern.String), 'gu');
}

/** A text as an expression that finds it. */
export function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/gu, '\\$&');
}
