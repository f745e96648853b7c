//! Texts as the tokens that a pipeline takes.
//!
//! An [`Encoder`] does what one [`Encoding`] of a manifest says, with the tokenizer that lies in the bundle. The `tokenizers` library cuts the text; what a run's fixed
//! number of tokens asks for, filling up and refusing, is done here, as browsers do it.

use mlp_bundle::manifest::{Encoding, Side};
use mlp_bundle::tokenizer::Packed;
use tokenizers::{EncodeInput, Tokenizer, TruncationDirection, TruncationParams, TruncationStrategy};

/// The longest text, in bytes.
pub const MAX_TEXT: usize = 1 << 20;

/// Why a text does not become tokens.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The bundle's tokenizer is none.
    #[error("the bundle's tokenizer `{file}` cannot be used: {reason}")]
    Tokenizer {
        /// Its name in the bundle.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A text is too long to be looked at.
    #[error("`{text}` has {bytes} bytes, and a text has at most {MAX_TEXT}; give a part of it")]
    Long {
        /// The input's name.
        text: String,
        /// Its size.
        bytes: usize,
    },
    /// There are more tokens than a run takes.
    #[error("`{text}` has {tokens} tokens, and the pipeline takes {length}; give less, or `truncate` the tokens in the pipeline")]
    Tokens {
        /// The inputs' names.
        text: String,
        /// How many there are.
        tokens: usize,
        /// How many are taken.
        length: u32,
    },
    /// The library gave up.
    #[error("`{text}` cannot be cut into tokens: {reason}")]
    Encode {
        /// The inputs' names.
        text: String,
        /// What it says.
        reason: String,
    },
}

/// One encoding of a pipeline, ready to be used.
pub struct Encoder {
    encoding: Encoding,
    tokenizer: Tokenizer,
}

/// The tokens of a run, as many in each list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Their numbers.
    pub ids: Vec<i64>,
    /// 1 where there is a token, 0 where it is filled up.
    pub mask: Vec<i64>,
    /// 0 in the first text, 1 in the second.
    pub types: Vec<i64>,
}

impl Encoder {
    /// Makes the tokenizer of an encoding from its file in the bundle.
    pub fn new(encoding: &Encoding, file: &[u8]) -> Result<Encoder, TextError> {
        let refuse = |reason: String| TextError::Tokenizer { file: encoding.tokenizer.clone(), reason };
        if encoding.texts.is_empty() || encoding.texts.len() > 2 {
            return Err(refuse(format!("it is for {} texts, and there are one or two", encoding.texts.len())));
        }
        let packed = Packed::read(file).map_err(|error| refuse(error.to_string()))?;
        let added = if encoding.special { packed.added(encoding.texts.len()) } else { 0 };
        if let Some(truncate) = encoding.truncate
            && (truncate.most as usize) < added
        {
            return Err(refuse(format!("it adds {added} tokens, and {} are left", truncate.most)));
        }
        let text = packed.tokenizer.to_string();
        let mut tokenizer = Tokenizer::from_bytes(text).map_err(|error| refuse(error.to_string()))?;
        if let Some(truncate) = encoding.truncate {
            let direction = match truncate.side {
                Side::Left => TruncationDirection::Left,
                Side::Right => TruncationDirection::Right,
            };
            let params = TruncationParams { direction, max_length: usize::MAX, strategy: TruncationStrategy::LongestFirst, stride: 0 };
            tokenizer.with_truncation(Some(params)).map_err(|error| refuse(error.to_string()))?;
            // Set afterwards: tokens that are not added would be taken off otherwise.
            if let Some(params) = tokenizer.get_truncation_mut() {
                params.max_length = truncate.most as usize;
            }
        }
        Ok(Encoder { encoding: encoding.clone(), tokenizer })
    }

    /// What it does.
    pub fn encoding(&self) -> &Encoding {
        &self.encoding
    }

    /// The tokens of the encoding's texts, in its order.
    pub fn encode(&self, texts: &[&str]) -> Result<Tokens, TextError> {
        let Encoding { texts: names, special, length, pad, pad_side, .. } = &self.encoding;
        if let Some((name, text)) = names.iter().zip(texts).find(|(_, text)| text.len() > MAX_TEXT) {
            return Err(TextError::Long { text: name.clone(), bytes: text.len() });
        }
        let joined = || names.join("` and `");
        let failed = |reason: String| TextError::Encode { text: joined(), reason };
        let input: EncodeInput<'_> = match (names.len(), texts) {
            (1, [text]) => (*text).into(),
            (2, [first, second]) => (*first, *second).into(),
            _ => return Err(failed(format!("{} texts are given for it", texts.len()))),
        };
        let found = self.tokenizer.encode_fast(input, *special).map_err(|error| failed(error.to_string()))?;
        let (tokens, count) = (found.get_ids().len(), *length as usize);
        if tokens > count {
            return Err(TextError::Tokens { text: joined(), tokens, length: *length });
        }
        let filled = |known: &[u32], fill: u32| -> Vec<i64> {
            let known = known.iter().map(|&number| i64::from(number));
            let rest = std::iter::repeat_n(i64::from(fill), count - tokens);
            match pad_side {
                Side::Right => known.chain(rest).collect(),
                Side::Left => rest.chain(known).collect(),
            }
        };
        let ids = filled(found.get_ids(), *pad);
        let mask = filled(&vec![1; tokens], 0);
        Ok(Tokens { ids, mask, types: filled(found.get_type_ids(), 0) })
    }
}

#[cfg(test)]
mod tests;
