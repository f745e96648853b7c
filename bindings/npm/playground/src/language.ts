import { HighlightStyle, StreamLanguage, syntaxHighlighting, type StreamParser } from '@codemirror/language';
import { tags } from '@lezer/highlight';

const ITEMS = 'edition use const type labels model pipeline layer intrinsic hook for from test budget outlet monitor explain experiment device variant quantize layers input output state';
const CONTROL = 'return expect when else each parallel loop at_most until counting in over public none true false';
const TYPES = 'f16 bf16 f32 f64 i4 i8 i16 i32 i64 u4 u8 u16 u32 u64 bool image audio label ranking tokens list stream number size string time bytes rate ratio text rgb';

interface Words {
  readonly keywords: ReadonlySet<string>;
  readonly types: ReadonlySet<string>;
}

const words = (text: string) => new Set(text.split(' '));

/** One token at a time: the languages shown here differ in their words alone. */
function parser(name: string, { keywords, types }: Words): StreamParser<unknown> {
  return {
    name,
    token(stream) {
      if (stream.eatSpace()) return null;
      if (stream.match(/^\/\/\/.*/)) return 'docComment';
      if (stream.match(/^(\/\/|;).*/)) return 'comment';
      if (stream.match(/^"(\\.|[^"\\])*"?/) || stream.match(/^'(\\.|[^'\\])*'/)) return 'string';
      if (stream.match(/^[0-9]+x[0-9]+\b/)) return 'number';
      if (stream.match(/^(0x[0-9a-fA-F]+|[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?)[A-Za-z%]*/)) return 'number';
      if (stream.match(/^@[A-Za-z_]\w*/)) return 'meta';
      if (stream.match(/^%[A-Za-z0-9_]+/)) return 'variableName.special';
      if (stream.match(/^(\|>|->|=>|==|!=|<=|>=|&&|\|\||[=+*/<>|?!&-])/)) return 'operator';
      const word = stream.match(/^[A-Za-z_]\w*/) as RegExpMatchArray | null;
      if (!word) {
        stream.next();
        return null;
      }
      if (keywords.has(word[0])) return 'keyword';
      if (types.has(word[0])) return 'typeName';
      if (stream.match(/^\s*\(/, false)) return 'function';
      if (stream.match(/^\s*:/, false)) return 'propertyName';
      return /^[A-Z]/.test(word[0]) ? 'className' : 'variableName';
    },
    tokenTable: {
      docComment: tags.docComment,
      function: tags.function(tags.variableName),
    },
    languageData: { commentTokens: { line: '//' }, closeBrackets: { brackets: ['(', '[', '{', '"'] } },
  };
}

/** The language. */
export const mlp = StreamLanguage.define(parser('mlp', { keywords: words(`${ITEMS} ${CONTROL}`), types: words(TYPES) }));

/** What the compiler writes: graphs, plans, WGSL, TypeScript. */
export const output = StreamLanguage.define(
  parser('output', {
    keywords: words(
      `${ITEMS} ${CONTROL} graph symbol constant fn var let struct if while break continue switch case default export import interface readonly extends function new async await private override kernel buffer arena weights parallel reduce store load`,
    ),
    types: words(`${TYPES} vec2 vec3 vec4 array atomic ptr string number boolean unknown void Promise Uint8Array Float32Array`),
  }),
);

/** Colours that work in both themes; they are variables of the page. */
export const colours = syntaxHighlighting(
  HighlightStyle.define([
    { tag: tags.keyword, color: 'var(--code-keyword)', fontWeight: '600' },
    { tag: tags.typeName, color: 'var(--code-type)' },
    { tag: tags.className, color: 'var(--code-class)' },
    { tag: tags.string, color: 'var(--code-string)' },
    { tag: tags.number, color: 'var(--code-number)' },
    { tag: tags.docComment, color: 'var(--code-doc)', fontStyle: 'italic' },
    { tag: tags.comment, color: 'var(--code-comment)', fontStyle: 'italic' },
    { tag: tags.function(tags.variableName), color: 'var(--code-function)' },
    { tag: tags.special(tags.variableName), color: 'var(--code-number)' },
    { tag: tags.meta, color: 'var(--code-class)' },
    { tag: tags.operator, color: 'var(--code-operator)' },
    { tag: tags.propertyName, color: 'var(--code-property)' },
  ]),
);
