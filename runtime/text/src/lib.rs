//! Texts as the tokens that a pipeline takes.
//!
//! An [`Encoder`] does what one [`Encoding`] of a manifest says, with the tokenizer that lies in the bundle. The `tokenizers` library cuts the text; what a run's fixed
//! number of tokens asks for, filling up and refusing, is done here, as browsers do it.

use mlp_bundle::manifest::{Encoding, Side};
use mlp_bundle::tokenizer::Packed;
use tokenizers::utils::truncation::truncate_encodings;
use tokenizers::{PostProcessor, PostProcessorWrapper, Tokenizer, TruncationDirection, TruncationParams, TruncationStrategy};

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
    /// Without a limit, and without a processor.
    tokenizer: Tokenizer,
    /// What adds tokens around the texts.
    processor: Option<PostProcessorWrapper>,
    /// How many tokens of the texts are left.
    truncation: Option<TruncationParams>,
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
        // Taken out of the library's tokenizer, which reads no more of a text than is left of it where it cuts off itself: which of two texts is the longer is not known then.
        let processor = tokenizer.get_post_processor().cloned();
        tokenizer.with_post_processor(None::<PostProcessorWrapper>);
        let truncation = encoding.truncate.map(|truncate| TruncationParams {
            direction: match truncate.side {
                Side::Left => TruncationDirection::Left,
                Side::Right => TruncationDirection::Right,
            },
            max_length: truncate.most as usize - added,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        });
        Ok(Encoder { encoding: encoding.clone(), tokenizer, processor, truncation })
    }

    /// A text as the library's tokens, all of them.
    fn text(&self, text: &str, number: u32) -> tokenizers::Result<tokenizers::Encoding> {
        let mut tokens = self.tokenizer.encode_fast(text, false)?;
        tokens.set_type_ids(vec![number; tokens.len()]);
        Ok(tokens)
    }

    /// One or two texts as tokens, cut off and with those that are added.
    fn tokens(&self, first: &str, second: Option<&str>) -> tokenizers::Result<tokenizers::Encoding> {
        let (first, second) = (self.text(first, 0)?, second.map(|second| self.text(second, 1)).transpose()?);
        let (first, second) = match &self.truncation {
            Some(truncation) => truncate_encodings(first, second, truncation)?,
            None => (first, second),
        };
        match &self.processor {
            Some(processor) => processor.process(first, second, self.encoding.special),
            None => Ok(tokenizers::Encoding::merge(std::iter::once(first).chain(second), false)),
        }
    }

    /// What it does.
    pub fn encoding(&self) -> &Encoding {
        &self.encoding
    }

    /// The tokens of the encoding's texts, in its order.
    pub fn encode(&self, texts: &[&str]) -> Result<Tokens, TextError> {
        let Encoding { texts: names, length, pad, pad_side, .. } = &self.encoding;
        if let Some((name, text)) = names.iter().zip(texts).find(|(_, text)| text.len() > MAX_TEXT) {
            return Err(TextError::Long { text: name.clone(), bytes: text.len() });
        }
        let joined = || names.join("` and `");
        let failed = |reason: String| TextError::Encode { text: joined(), reason };
        let (first, second) = match texts {
            [first] if names.len() == 1 => (first, None),
            [first, second] if names.len() == 2 => (first, Some(*second)),
            _ => return Err(failed(format!("{} texts are given for it", texts.len()))),
        };
        let found = self.tokens(first, second).map_err(|error| failed(error.to_string()))?;
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
