//! The files that a bundle is made from: their digests, and the signatures of models. A large file that is as it was when a build saw it last is not read again: its
//! [`Stamp`](crate::cache::Stamp) finds what was learned of it then.

use crate::cache::Key;
use crate::external;
use crate::host::Host;
use mlp_bundle::bundle::digest;
use mlp_bundle::contents::Bytes;
use mlp_import::ImportError;
use mlp_import::onnx::ModelSignature;
use mlp_import::safetensors::{Entry, Safetensors, SafetensorsError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// What a build wants to know of a model before it imports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// The digest of the file.
    pub sha256: String,
    /// What it takes and gives.
    pub signature: ModelSignature,
    /// The files beside it that hold its weights, from its folder.
    pub files: Vec<String>,
}

impl Model {
    fn learn(bytes: Bytes) -> Result<Model, ModelError> {
        let message = mlp_import::onnx::Model::read(bytes.clone())?;
        Ok(Model { sha256: digest(&bytes), signature: message.signature()?, files: message.files() })
    }
}

/// Why nothing can be said of a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Its file cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It is no model, or one that is not supported.
    #[error(transparent)]
    Import(#[from] ImportError),
}

/// Files of this size have what is known of them kept: smaller ones are read sooner than found.
const LARGE: u64 = 1 << 20;

/// The model at a path with its weights, whether they lie in its file or beside it.
pub fn read_model(host: &dyn Host, path: &Path) -> Result<mlp_import::onnx::Model, ModelError> {
    let mut model = mlp_import::onnx::Model::read(host.read(path)?)?;
    external::attach(host, path, &mut model)?;
    Ok(model)
}

/// The SHA-256 of a file.
pub fn sha256(host: &dyn Host, path: &Path) -> io::Result<String> {
    known(host, path, "file digest", |bytes| Ok(digest(&bytes)))
}

/// What a build wants to know of a file of weights before it reads them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightFile {
    /// The digest of the file.
    pub sha256: String,
    /// Its tensors.
    pub entries: Vec<Entry>,
}

/// Why nothing can be said of a file of weights.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It is no safetensors file, or a damaged one.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
}

/// The digest and the tensors of a safetensors file.
pub fn weights(host: &dyn Host, path: &Path) -> Result<WeightFile, WeightsError> {
    known(host, path, "weights", |bytes| {
        let sha256 = digest(&bytes);
        Ok(WeightFile { sha256, entries: Safetensors::read(bytes)?.entries().collect() })
    })
}

/// The digest and signature of an ONNX model.
pub fn model(host: &dyn Host, path: &Path) -> Result<Model, ModelError> {
    known(host, path, "model", Model::learn)
}

/// What `learn` makes of a file's bytes, kept where the host can tell the file's versions apart.
fn known<T: Serialize + DeserializeOwned, E: From<io::Error>>(
    host: &dyn Host,
    path: &Path,
    what: &str,
    learn: impl Fn(Bytes) -> Result<T, E>,
) -> Result<T, E> {
    let stamp = || host.stamp(path).filter(|stamp| stamp.length() >= LARGE);
    let Some((cache, before)) = host.cache().and_then(|cache| Some((cache, stamp()?))) else { return learn(host.read(path)?) };
    let key = Key::new(what, &[before.bytes()]);
    if let Some(facts) = cache.get(&key).and_then(|entry| serde_json::from_slice(&entry).ok()) {
        return Ok(facts);
    }
    let facts = learn(host.read(path)?)?;
    // Of a file that changed while it was read, nothing is known.
    if stamp().as_ref() == Some(&before) {
        cache.put(&key, &[&serde_json::to_vec(&facts).expect("facts are plain data")]);
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Cache, InMemory, Stamp};
    use std::cell::{Cell, RefCell};
    use std::time::Duration;

    /// One file, its version, and how often it was read.
    #[derive(Default)]
    struct OneFile {
        contents: RefCell<Vec<u8>>,
        version: Cell<u64>,
        reads: Cell<usize>,
        /// The file changes while it is read.
        restless: Cell<bool>,
        entries: InMemory,
    }

    impl Host for OneFile {
        fn read(&self, _path: &Path) -> io::Result<Bytes> {
            self.reads.set(self.reads.get() + 1);
            if self.restless.get() {
                self.version.set(self.version.get() + 1);
            }
            Ok(self.contents.borrow().clone().into())
        }

        fn stamp(&self, _path: &Path) -> Option<Stamp> {
            let length = self.contents.borrow().len() as u64;
            Some(Stamp::new(Path::new("model"), length, Duration::from_secs(self.version.get()), ""))
        }

        fn cache(&self) -> Option<&dyn Cache> {
            Some(&self.entries)
        }
    }

    impl OneFile {
        fn of(contents: Vec<u8>) -> OneFile {
            let file = OneFile::default();
            file.contents.replace(contents);
            file
        }

        fn sha256(&self) -> String {
            sha256(self, Path::new("model")).unwrap()
        }

        fn reads(&self) -> usize {
            self.reads.replace(0)
        }
    }

    #[test]
    fn a_file_that_did_not_change_is_not_read_again() {
        let file = OneFile::of(vec![1; LARGE as usize]);
        assert_eq!((file.sha256(), file.reads()), (digest(&file.contents.borrow()), 1));
        assert_eq!((file.sha256(), file.reads()), (digest(&file.contents.borrow()), 0));
        file.contents.borrow_mut()[7] = 2;
        file.version.set(1);
        assert_eq!((file.sha256(), file.reads()), (digest(&file.contents.borrow()), 1));
    }

    #[test]
    fn nothing_is_kept_of_a_file_that_changed_while_it_was_read() {
        let file = OneFile::of(vec![1; LARGE as usize]);
        file.restless.set(true);
        file.sha256();
        assert!(file.entries.0.lock().unwrap().is_empty());
    }

    #[test]
    fn small_files_are_read_and_what_is_no_model_is_an_error_each_time() {
        let file = OneFile::of(vec![1; 100]);
        file.sha256();
        assert_eq!((file.sha256(), file.reads()), (digest(&[1; 100]), 2));
        let file = OneFile::of(vec![1; LARGE as usize]);
        for _ in 0..2 {
            assert!(matches!(model(&file, Path::new("model")), Err(ModelError::Import(_))));
        }
        assert_eq!(file.reads(), 2);
        assert!(file.entries.0.lock().unwrap().is_empty());
    }

    #[test]
    fn an_entry_that_cannot_be_understood_is_learned_anew() {
        let file = OneFile::of(vec![1; LARGE as usize]);
        file.sha256();
        for entry in file.entries.0.lock().unwrap().values_mut() {
            *entry = b"{".to_vec();
        }
        assert_eq!((file.sha256(), file.reads()), (digest(&file.contents.borrow()), 2));
    }
}
