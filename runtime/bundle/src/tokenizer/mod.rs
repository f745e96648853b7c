//! Tokenizers: how texts become numbers, as a `tokenizer.json` of the `tokenizers` library says it.
//!
//! A compiler reads such a file and refuses what not every runtime does. What is left goes into the bundle in its own words, with the regular expressions as
//! JavaScript has them beside it, so that a native runtime gives it to the library and a browser need not understand another dialect.

mod charsmap;
mod parts;
mod pattern;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// The largest file of a tokenizer: vocabularies of a million pieces fit.
pub const MAX_TOKENIZER: usize = 64 << 20;

/// How a tokenizer cuts words into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenizerKind {
    /// The longest pieces from the left, as BERT has them.
    WordPiece,
    /// Pairs that are merged in the order of a list, as GPT-2 and RoBERTa have them.
    Bpe,
    /// The likeliest pieces, as SentencePiece has them.
    Unigram,
}

impl TokenizerKind {
    /// Every kind.
    pub const ALL: [TokenizerKind; 3] = [TokenizerKind::WordPiece, TokenizerKind::Bpe, TokenizerKind::Unigram];

    /// Its name in types: `tokens<WordPiece>`.
    pub fn name(self) -> &'static str {
        match self {
            TokenizerKind::WordPiece => "WordPiece",
            TokenizerKind::Bpe => "Bpe",
            TokenizerKind::Unigram => "Unigram",
        }
    }
}

/// A tokenizer whose every part is known to all runtimes.
#[derive(Clone, Debug, PartialEq)]
pub struct Tokenizer {
    kind: TokenizerKind,
    file: Packed,
    pad: Option<u32>,
}

/// What a bundle has of a tokenizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Packed {
    /// The file as the `tokenizers` library reads it, without what the language says in its place: padding, truncation, decoding.
    pub tokenizer: Value,
    /// The regular expressions in it, as they are written in JavaScript.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub patterns: BTreeMap<String, String>,
}

/// Why a file is no tokenizer that every runtime has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenizerError(pub(crate) String);

impl fmt::Display for TokenizerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TokenizerError {}

impl Tokenizer {
    /// Reads a `tokenizer.json`; the error says what in it no runtime, or not every one, has.
    pub fn read(text: &str) -> Result<Tokenizer, TokenizerError> {
        if text.len() > MAX_TOKENIZER {
            return Err(TokenizerError(format!("it has {} bytes, and a tokenizer has at most {MAX_TOKENIZER}", text.len())));
        }
        let no_json = |error: serde_json::Error| TokenizerError(format!("it is no JSON: {error}"));
        let Value::Object(mut file) = serde_json::from_str(text).map_err(no_json)? else {
            return Err(TokenizerError("it is no `tokenizer.json`: no JSON object".into()));
        };
        let padding = file.remove("padding");
        let mut patterns = BTreeMap::new();
        let kind = parts::check(&mut file, &mut patterns)?;
        let tokenizer = Map::from_iter([
            ("version".to_owned(), Value::from("1.0")),
            ("truncation".to_owned(), Value::Null),
            ("padding".to_owned(), Value::Null),
            ("decoder".to_owned(), Value::Null),
        ]);
        let parts = ["added_tokens", "normalizer", "pre_tokenizer", "post_processor", "model"];
        let kept = parts.iter().map(|part| ((*part).to_owned(), file.remove(*part).unwrap_or_default()));
        let tokenizer = Value::Object(tokenizer.into_iter().chain(kept).collect());
        let mut read = Tokenizer { kind, file: Packed { tokenizer, patterns }, pad: None };
        read.pad = padding.as_ref().and_then(|padding| padding.get("pad_id")).and_then(id).or_else(|| read.usual_pad());
        Ok(read)
    }

    /// How it cuts words into pieces.
    pub fn kind(&self) -> TokenizerKind {
        self.kind
    }

    /// The number that fills up what is shorter, where the file says it or has a token with one of the usual names.
    pub fn pad(&self) -> Option<u32> {
        self.pad
    }

    fn usual_pad(&self) -> Option<u32> {
        ["[PAD]", "<pad>", "<|pad|>", "<|endoftext|>"].iter().find_map(|name| self.id_of(name))
    }

    /// The number of a token.
    pub fn id_of(&self, token: &str) -> Option<u32> {
        let tokenizer = &self.file.tokenizer;
        let added = tokenizer["added_tokens"].as_array()?.iter().find(|added| added["content"] == *token);
        if let Some(added) = added {
            return id(&added["id"]);
        }
        match &tokenizer["model"]["vocab"] {
            Value::Object(vocabulary) => id(vocabulary.get(token)?),
            Value::Array(pieces) => pieces.iter().position(|piece| piece[0] == *token).map(|index| index as u32),
            _ => None,
        }
    }

    /// How many tokens are added to one text, or to two.
    pub fn added(&self, texts: usize) -> usize {
        self.file.added(texts)
    }

    /// What a bundle has of it.
    pub fn packed(&self) -> Vec<u8> {
        serde_json::to_vec(&self.file).expect("it was read from JSON")
    }
}

impl Packed {
    /// Reads the file of a bundle, which is untrusted as the one that it was made from.
    pub fn read(bytes: &[u8]) -> Result<Packed, TokenizerError> {
        if bytes.len() > MAX_TOKENIZER {
            return Err(TokenizerError(format!("it has {} bytes, and a tokenizer has at most {MAX_TOKENIZER}", bytes.len())));
        }
        let mut packed: Packed = serde_json::from_slice(bytes).map_err(|error| TokenizerError(error.to_string()))?;
        let Value::Object(file) = &mut packed.tokenizer else { return Err(TokenizerError("it is no JSON object".into())) };
        parts::check(file, &mut BTreeMap::new())?;
        Ok(packed)
    }

    /// How many tokens are added to one text, or to two.
    pub fn added(&self, texts: usize) -> usize {
        parts::added(&self.tokenizer["post_processor"], texts)
    }
}

/// A token's number: one of 24 bits, so that a browser has room for two of them in one of its numbers.
fn id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok()).filter(|id| *id < 1 << 24)
}

#[cfg(test)]
mod tests;
