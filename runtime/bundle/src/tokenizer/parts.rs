//! The parts of a tokenizer that every runtime has.

use super::{TokenizerError, TokenizerKind, charsmap, id, pattern};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const NORMALIZERS: &[&str] = &[
    "BertNormalizer",
    "Lowercase",
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Precompiled",
    "Prepend",
    "Replace",
    "Sequence",
    "Strip",
    "StripAccents",
];
const PRE_TOKENIZERS: &[&str] =
    &["BertPreTokenizer", "ByteLevel", "Digits", "Metaspace", "Punctuation", "Sequence", "Split", "Whitespace", "WhitespaceSplit"];
const POST_PROCESSORS: &[&str] = &["BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing"];
const BEHAVIORS: &[&str] = &["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"];

/// How deep sequences may lie in one another.
const MAX_DEPTH: usize = 4;
/// The most pieces of a vocabulary.
const MAX_PIECES: usize = 1 << 21;
/// The most bytes of a token.
const MAX_TOKEN: usize = 1 << 12;

type Checked<T = ()> = Result<T, TokenizerError>;
type Patterns = BTreeMap<String, String>;

fn refuse<T>(reason: impl Into<String>) -> Checked<T> {
    Err(TokenizerError(reason.into()))
}

/// Looks at every part; regular expressions that it meets are put into `patterns` as JavaScript writes them.
pub(super) fn check(file: &mut Map<String, Value>, patterns: &mut Patterns) -> Checked<TokenizerKind> {
    let Some(Value::Object(model)) = file.get_mut("model") else {
        return refuse("it is no `tokenizer.json`: it has no `model`");
    };
    let kind = check_model(model)?;
    added_tokens(file.entry("added_tokens").or_insert_with(|| Value::Array(Vec::new())))?;
    if let Some(part) = present(file, "normalizer") {
        normalizer(part, patterns, 0)?;
    }
    if let Some(part) = present(file, "pre_tokenizer") {
        pre_tokenizer(part, patterns, 0)?;
    }
    if let Some(part) = present(file, "post_processor") {
        post_processor(part, 0)?;
    }
    Ok(kind)
}

fn present<'f>(file: &'f mut Map<String, Value>, part: &str) -> Option<&'f mut Value> {
    file.get_mut(part).filter(|value| !value.is_null())
}

fn check_model(model: &mut Map<String, Value>) -> Checked<TokenizerKind> {
    let (vocab, merges) = (model.get("vocab"), model.get("merges"));
    // Files of old versions do not say of which kind they are.
    let named = model.get("type").and_then(Value::as_str).map(str::to_owned);
    let named = named.unwrap_or_else(|| match (vocab, merges) {
        (Some(Value::Array(_)), _) => "Unigram".to_owned(),
        (_, Some(_)) => "BPE".to_owned(),
        _ => "WordPiece".to_owned(),
    });
    model.insert("type".to_owned(), named.clone().into());
    match named.as_str() {
        "WordPiece" => {
            vocabulary(model)?;
            let unknown = text(model, "unk_token", "[UNK]")?;
            text(model, "continuing_subword_prefix", "##")?;
            number(model, "max_input_chars_per_word", 100)?;
            if !model["vocab"].as_object().is_some_and(|vocab| vocab.contains_key(&unknown)) {
                return refuse(format!("its vocabulary has no `{unknown}`, which stands for words that are not in it"));
            }
            Ok(TokenizerKind::WordPiece)
        }
        "BPE" => {
            vocabulary(model)?;
            merges_of(model)?;
            for key in ["continuing_subword_prefix", "end_of_word_suffix", "unk_token"] {
                if !matches!(model.get(key), None | Some(Value::Null | Value::String(_))) {
                    return refuse(format!("`{key}` of its model is no text"));
                }
            }
            if let Some(unknown) = model.get("unk_token").and_then(Value::as_str)
                && !model["vocab"].as_object().is_some_and(|vocab| vocab.contains_key(unknown))
            {
                return refuse(format!("its vocabulary has no `{}`, which stands for letters that are not in it", clipped(unknown)));
            }
            for key in ["fuse_unk", "byte_fallback", "ignore_merges"] {
                flag(model, key, false)?;
            }
            // A dropout is for training.
            model.insert("dropout".to_owned(), Value::Null);
            Ok(TokenizerKind::Bpe)
        }
        "Unigram" => {
            pieces(model)?;
            flag(model, "byte_fallback", false)?;
            Ok(TokenizerKind::Unigram)
        }
        other => refuse(format!("its model is `{other}`; WordPiece, BPE and Unigram are understood")),
    }
}

/// The numbers of pieces by name.
fn vocabulary(model: &Map<String, Value>) -> Checked {
    let Some(Value::Object(vocab)) = model.get("vocab") else { return refuse("its model has no `vocab`") };
    if vocab.len() > MAX_PIECES {
        return refuse(format!("its vocabulary has {} pieces, at most {MAX_PIECES} are taken", vocab.len()));
    }
    match vocab.iter().find(|(piece, number)| id(number).is_none() || piece.len() > MAX_TOKEN) {
        Some((piece, number)) => refuse(format!("`{}` of its vocabulary has the number {number}", clipped(piece))),
        None => Ok(()),
    }
}

fn merges_of(model: &Map<String, Value>) -> Checked {
    let Some(Value::Array(merges)) = model.get("merges") else { return refuse("its model has no `merges`") };
    let vocab = model["vocab"].as_object();
    let has = |piece: &str| vocab.is_some_and(|vocab| vocab.contains_key(piece));
    let prefix = model.get("continuing_subword_prefix").and_then(Value::as_str).unwrap_or("");
    for merge in merges {
        let pair = match merge {
            Value::String(text) => text.split_once(' ').filter(|(_, second)| !second.contains(' ')),
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(first), Value::String(second)] => Some((first.as_str(), second.as_str())),
                _ => None,
            },
            _ => None,
        };
        let Some((first, second)) = pair else { return refuse(format!("the merge {} is no pair", clipped(&merge.to_string()))) };
        let joined = format!("{first}{}", second.strip_prefix(prefix).unwrap_or(second));
        if let Some(missing) = [first, second, joined.as_str()].into_iter().find(|piece| !has(piece)) {
            return refuse(format!("a merge speaks of `{}`, which is not in its vocabulary", clipped(missing)));
        }
    }
    Ok(())
}

/// Pieces with the logarithms of their probabilities, in the order of their numbers.
fn pieces(model: &Map<String, Value>) -> Checked {
    let Some(Value::Array(vocab)) = model.get("vocab") else { return refuse("its model has no `vocab`") };
    if vocab.is_empty() || vocab.len() > MAX_PIECES {
        return refuse(format!("its vocabulary has {} pieces, 1 to {MAX_PIECES} are taken", vocab.len()));
    }
    for piece in vocab {
        let fits = match piece.as_array().map(Vec::as_slice) {
            Some([Value::String(text), score]) => text.len() <= MAX_TOKEN && score.as_f64().is_some_and(f64::is_finite),
            _ => false,
        };
        if !fits {
            return refuse(format!("{} of its vocabulary is no piece with a score", clipped(&piece.to_string())));
        }
    }
    match model.get("unk_id").and_then(id) {
        Some(unknown) if (unknown as usize) < vocab.len() => Ok(()),
        _ => refuse("its model has no `unk_id`, which stands for letters that are not in it"),
    }
}

fn added_tokens(tokens: &mut Value) -> Checked {
    let Value::Array(tokens) = tokens else { return refuse("`added_tokens` is no list") };
    for token in tokens {
        let Value::Object(token) = token else { return refuse("an added token is no object") };
        if token.get("id").and_then(id).is_none() {
            return refuse("an added token has no number");
        }
        if !token.get("content").and_then(Value::as_str).is_some_and(|content| !content.is_empty() && content.len() <= MAX_TOKEN) {
            return refuse("an added token has no text");
        }
        for key in ["single_word", "lstrip", "rstrip", "normalized", "special"] {
            flag(token, key, false)?;
        }
    }
    Ok(())
}

/// The name of a part, which is one of those known.
fn kind_of<'p>(part: &'p mut Value, what: &str, known: &[&str]) -> Checked<(String, &'p mut Map<String, Value>)> {
    let Value::Object(part) = part else { return refuse(format!("its {what} is no object")) };
    let Some(name) = part.get("type").and_then(Value::as_str).map(str::to_owned) else {
        return refuse(format!("its {what} does not say of which type it is"));
    };
    if !known.contains(&name.as_str()) {
        return refuse(format!("its {what} `{}` is not known to browsers; those known are {}", clipped(&name), known.join(", ")));
    }
    Ok((name, part))
}

/// The parts of a sequence.
fn sequence<'p>(part: &'p mut Map<String, Value>, key: &str, what: &str, depth: usize) -> Checked<&'p mut Vec<Value>> {
    if depth >= MAX_DEPTH {
        return refuse(format!("its {what} has sequences inside sequences"));
    }
    match part.get_mut(key) {
        Some(Value::Array(parts)) => Ok(parts),
        _ => refuse(format!("a sequence of its {what} has no `{key}`")),
    }
}

fn normalizer(part: &mut Value, patterns: &mut Patterns, depth: usize) -> Checked {
    let (name, part) = kind_of(part, "normalizer", NORMALIZERS)?;
    match name.as_str() {
        "Sequence" => {
            sequence(part, "normalizers", "normalizer", depth)?.iter_mut().try_for_each(|part| normalizer(part, patterns, depth + 1))
        }
        "BertNormalizer" => {
            ["clean_text", "handle_chinese_chars", "lowercase"].iter().try_for_each(|key| flag(part, key, true))?;
            match part.get("strip_accents") {
                None | Some(Value::Null | Value::Bool(_)) => Ok(()),
                Some(_) => refuse("`strip_accents` of its normalizer is no truth value"),
            }
        }
        "Strip" => ["strip_left", "strip_right"].iter().try_for_each(|key| flag(part, key, true)),
        "Prepend" => text(part, "prepend", "").map(|_| ()),
        "Replace" => {
            text(part, "content", "")?;
            pattern_of(part, patterns)
        }
        "Precompiled" => match part.get("precompiled_charsmap") {
            Some(Value::String(table)) => charsmap::check(table),
            _ => refuse("`precompiled_charsmap` of its normalizer is no text"),
        },
        _ => Ok(()),
    }
}

fn pre_tokenizer(part: &mut Value, patterns: &mut Patterns, depth: usize) -> Checked {
    let (name, part) = kind_of(part, "pre-tokenizer", PRE_TOKENIZERS)?;
    match name.as_str() {
        "Sequence" => sequence(part, "pretokenizers", "pre-tokenizer", depth)?
            .iter_mut()
            .try_for_each(|part| pre_tokenizer(part, patterns, depth + 1)),
        "ByteLevel" => ["add_prefix_space", "trim_offsets", "use_regex"].iter().try_for_each(|key| flag(part, key, true)),
        "Digits" => flag(part, "individual_digits", false),
        "Punctuation" => word(part, "behavior", "Isolated", BEHAVIORS),
        "Metaspace" => metaspace(part),
        "Split" => {
            pattern_of(part, patterns)?;
            flag(part, "invert", false)?;
            word(part, "behavior", "Isolated", BEHAVIORS)
        }
        _ => Ok(()),
    }
}

fn metaspace(part: &mut Map<String, Value>) -> Checked {
    if text(part, "replacement", "\u{2581}")?.chars().count() != 1 {
        return refuse("`replacement` of its pre-tokenizer is no single character");
    }
    // Files of old versions say it in another way.
    let scheme = if part.remove("add_prefix_space") == Some(Value::Bool(false)) { "never" } else { "always" };
    part.remove("str_rep");
    flag(part, "split", true)?;
    word(part, "prepend_scheme", scheme, &["always", "first", "never"])
}

fn pattern_of(part: &Map<String, Value>, patterns: &mut Patterns) -> Checked {
    let pattern = part.get("pattern").and_then(Value::as_object);
    let only = pattern.filter(|pattern| pattern.len() == 1).and_then(|pattern| pattern.iter().next());
    match only.map(|(key, value)| (key.as_str(), value)) {
        Some(("String", Value::String(text))) if !text.is_empty() => Ok(()),
        Some(("Regex", Value::String(regex))) => {
            let written = pattern::javascript(regex).map_err(|reason| {
                TokenizerError(format!("its regular expression `{}` is not known to browsers: {reason}", clipped(regex)))
            })?;
            patterns.insert(regex.clone(), written);
            Ok(())
        }
        _ => refuse("a `pattern` in it is neither a text nor a regular expression"),
    }
}

fn post_processor(part: &mut Value, depth: usize) -> Checked {
    let (name, part) = kind_of(part, "post-processor", POST_PROCESSORS)?;
    match name.as_str() {
        "Sequence" => {
            let parts = sequence(part, "processors", "post-processor", depth)?;
            // One after the other they would add to what the one before added.
            if parts.iter().filter(|part| part["type"] != "ByteLevel").count() > 1 {
                return refuse("its post-processor adds tokens more than once");
            }
            parts.iter_mut().try_for_each(|part| post_processor(part, depth + 1))
        }
        "BertProcessing" | "RobertaProcessing" => {
            for key in ["sep", "cls"] {
                let fits = matches!(part.get(key).and_then(Value::as_array).map(Vec::as_slice), Some([Value::String(_), number]) if id(number).is_some());
                if !fits {
                    return refuse(format!("`{key}` of its post-processor is no token with its number"));
                }
            }
            Ok(())
        }
        "TemplateProcessing" => template(part),
        _ => Ok(()),
    }
}

fn template(part: &Map<String, Value>) -> Checked {
    let special = part.get("special_tokens").and_then(Value::as_object);
    for (key, sequences) in [("single", &["A"][..]), ("pair", &["A", "B"])] {
        let Some(Value::Array(pieces)) = part.get(key) else { return refuse(format!("its post-processor has no `{key}`")) };
        for piece in pieces {
            let only = piece.as_object().filter(|piece| piece.len() == 1).and_then(|piece| piece.iter().next());
            let known = only.is_some_and(|(kind, value)| {
                let name = value["id"].as_str().unwrap_or_default();
                let tokens = || special?.get(name)?.get("ids")?.as_array();
                id(&value["type_id"]).is_some()
                    && match kind.as_str() {
                        "Sequence" => sequences.contains(&name),
                        "SpecialToken" => tokens().is_some_and(|ids| ids.iter().all(|number| id(number).is_some())),
                        _ => false,
                    }
            });
            if !known {
                return refuse(format!("`{key}` of its post-processor has an unknown part {}", clipped(&piece.to_string())));
            }
        }
    }
    Ok(())
}

/// How many tokens a checked post-processor adds to one text, or to two.
pub(super) fn added(part: &Value, texts: usize) -> usize {
    match part["type"].as_str().unwrap_or_default() {
        "Sequence" => part["processors"].as_array().map_or(0, |parts| parts.iter().map(|part| added(part, texts)).sum()),
        "BertProcessing" => texts + 1,
        "RobertaProcessing" => 2 * texts,
        "TemplateProcessing" => {
            let pieces = part[if texts == 1 { "single" } else { "pair" }].as_array().map_or(&[][..], Vec::as_slice);
            let tokens = pieces.iter().filter_map(|piece| part["special_tokens"][piece["SpecialToken"]["id"].as_str()?]["ids"].as_array());
            tokens.map(Vec::len).sum()
        }
        _ => 0,
    }
}

/// A truth value of a part, which is written out where the file leaves it to the default.
fn flag(part: &mut Map<String, Value>, key: &str, default: bool) -> Checked {
    match part.entry(key).or_insert(Value::Bool(default)) {
        Value::Bool(_) => Ok(()),
        other => refuse(format!("`{key}` is {}, no truth value", clipped(&other.to_string()))),
    }
}

fn text(part: &mut Map<String, Value>, key: &str, default: &str) -> Checked<String> {
    match part.entry(key).or_insert_with(|| default.into()) {
        Value::String(text) => Ok(text.clone()),
        other => refuse(format!("`{key}` is {}, no text", clipped(&other.to_string()))),
    }
}

fn word(part: &mut Map<String, Value>, key: &str, default: &str, known: &[&str]) -> Checked {
    let found = text(part, key, default)?;
    if known.contains(&found.as_str()) {
        Ok(())
    } else {
        refuse(format!("`{key}` is `{}`, not one of {}", clipped(&found), known.join(", ")))
    }
}

fn number(part: &mut Map<String, Value>, key: &str, default: u32) -> Checked {
    let value = part.entry(key).or_insert_with(|| default.into());
    if id(value).is_some() { Ok(()) } else { refuse(format!("`{key}` is {}, no whole number", clipped(&value.to_string()))) }
}

/// The beginning of something that may be long.
fn clipped(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
