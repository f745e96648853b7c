/** Text to replace or to split at: itself, or a regular expression, which the bundle has in JavaScript's words beside it. */
export type Pattern = { readonly String: string } | { readonly Regex: string };

/** How what was found is cut. */
export type Behavior = 'Removed' | 'Isolated' | 'MergedWithPrevious' | 'MergedWithNext' | 'Contiguous';

/** What is done to a text before it is cut. */
export type NormalizerFile =
  | { readonly type: 'Sequence'; readonly normalizers: readonly NormalizerFile[] }
  | { readonly type: 'BertNormalizer'; readonly clean_text: boolean; readonly handle_chinese_chars: boolean; readonly strip_accents?: boolean | null; readonly lowercase: boolean }
  | { readonly type: 'Lowercase' | 'NFC' | 'NFD' | 'NFKC' | 'NFKD' | 'StripAccents' }
  | { readonly type: 'Strip'; readonly strip_left: boolean; readonly strip_right: boolean }
  | { readonly type: 'Prepend'; readonly prepend: string }
  | { readonly type: 'Replace'; readonly pattern: Pattern; readonly content: string }
  | { readonly type: 'Precompiled'; readonly precompiled_charsmap: string };

/** How a text is cut into words. */
export type PreTokenizerFile =
  | { readonly type: 'Sequence'; readonly pretokenizers: readonly PreTokenizerFile[] }
  | { readonly type: 'BertPreTokenizer' | 'Whitespace' | 'WhitespaceSplit' }
  | { readonly type: 'ByteLevel'; readonly add_prefix_space: boolean; readonly use_regex: boolean }
  | { readonly type: 'Digits'; readonly individual_digits: boolean }
  | { readonly type: 'Punctuation'; readonly behavior: Behavior }
  | { readonly type: 'Metaspace'; readonly replacement: string; readonly prepend_scheme: 'always' | 'first' | 'never'; readonly split: boolean }
  | { readonly type: 'Split'; readonly pattern: Pattern; readonly behavior: Behavior; readonly invert: boolean };

type TemplatePiece = { readonly Sequence: { readonly id: 'A' | 'B'; readonly type_id: number } } | { readonly SpecialToken: { readonly id: string; readonly type_id: number } };

/** What is added around the tokens of a text. */
export type PostProcessorFile =
  | { readonly type: 'Sequence'; readonly processors: readonly PostProcessorFile[] }
  | { readonly type: 'ByteLevel' }
  | { readonly type: 'BertProcessing' | 'RobertaProcessing'; readonly sep: readonly [string, number]; readonly cls: readonly [string, number] }
  | {
      readonly type: 'TemplateProcessing';
      readonly single: readonly TemplatePiece[];
      readonly pair: readonly TemplatePiece[];
      readonly special_tokens: Readonly<Record<string, { readonly ids: readonly number[] }>>;
    };

/** How words are cut into pieces. */
export type ModelFile =
  | {
      readonly type: 'WordPiece';
      readonly vocab: Readonly<Record<string, number>>;
      readonly unk_token: string;
      readonly continuing_subword_prefix: string;
      readonly max_input_chars_per_word: number;
    }
  | {
      readonly type: 'BPE';
      readonly vocab: Readonly<Record<string, number>>;
      readonly merges: readonly (string | readonly [string, string])[];
      readonly unk_token?: string | null;
      readonly continuing_subword_prefix?: string | null;
      readonly end_of_word_suffix?: string | null;
      readonly fuse_unk: boolean;
      readonly byte_fallback: boolean;
      readonly ignore_merges: boolean;
    }
  | { readonly type: 'Unigram'; readonly vocab: readonly (readonly [string, number])[]; readonly unk_id: number; readonly byte_fallback: boolean };

/** A token that is found in a text before it is cut. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
  readonly special: boolean;
}

/** A tokenizer as a bundle has it. The compiler has checked that every part of it is one of these, with all that is needed. */
export interface TokenizerFile {
  readonly tokenizer: {
    readonly added_tokens: readonly AddedToken[];
    readonly normalizer: NormalizerFile | null;
    readonly pre_tokenizer: PreTokenizerFile | null;
    readonly post_processor: PostProcessorFile | null;
    readonly model: ModelFile;
  };
  readonly patterns?: Readonly<Record<string, string>>;
}
