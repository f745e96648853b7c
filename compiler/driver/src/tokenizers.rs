//! The tokenizers of a pipeline, read as they are packed.

use crate::host::{Host, normalize};
use crate::package::PackageError;
use mlp_bundle::manifest::{Encoding, Truncate};
use mlp_bundle::tokenizer::Tokenizer;
use mlp_lower::SignatureEncoding;
use std::collections::BTreeMap;
use std::path::Path;

/// The tokenizers that were met, by the paths of their files.
#[derive(Default)]
pub(crate) struct Tokenizers(BTreeMap<String, Tokenizer>);

impl Tokenizers {
    /// An encoding as the manifest has it; its tokenizer is named by its path.
    pub(crate) fn encoding(&mut self, host: &dyn Host, encoding: SignatureEncoding) -> Result<Encoding, PackageError> {
        let SignatureEncoding { place, texts, file, special, length, truncate, pad, pad_side, ports: [ids, mask, types] } = encoding;
        let refuse = |reason: String| PackageError::Tokenizer { place: place.clone(), path: file.clone(), reason };
        if !self.0.contains_key(&file) {
            let path = normalize(Path::new(&file));
            let bytes = host.read(&path).map_err(|source| PackageError::Read { path: path.clone(), source })?;
            let text = std::str::from_utf8(&bytes).map_err(|_| refuse("it is not UTF-8 text".to_owned()))?;
            let tokenizer = Tokenizer::read(text).map_err(|error| refuse(error.to_string()))?;
            self.0.insert(file.clone(), tokenizer);
        }
        let tokenizer = &self.0[&file];
        let added = if special { tokenizer.added(texts.len()) } else { 0 };
        if let Some(Truncate { most, .. }) = truncate
            && most as usize <= added
        {
            return Err(refuse(format!("it adds {added} tokens, which leave no room for others in {most}; write more in `truncate`")));
        }
        let pad = match &pad {
            Some(token) => tokenizer.id_of(token).ok_or_else(|| refuse(format!("it has no token `{token}` to fill up with"))),
            None => tokenizer.pad().ok_or_else(|| refuse("it names no token to fill up with; write `token = \"...\"` in `pad`".to_owned())),
        }?;
        Ok(Encoding { texts, tokenizer: file, special, length, truncate, pad, pad_side, ids, mask, types })
    }

    /// Each of them, as a bundle has it.
    pub(crate) fn packed(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.iter().map(|(path, tokenizer)| (path.clone(), tokenizer.packed())).collect()
    }
}
