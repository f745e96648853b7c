//! What the checker asks of the outside: texts, and the signatures of model files. The core does no I/O of its own.

use mlp_bundle::DType;
use mlp_bundle::tokenizer::{Tokenizer, TokenizerKind};
use std::fmt;

/// Files as the checker sees them. Paths use `/` and are relative to wherever the root path is relative to.
pub trait World {
    /// The text of a file, or why there is none.
    fn read(&self, path: &str) -> Result<String, String>;

    /// True where there is a file.
    fn exists(&self, path: &str) -> bool;

    /// What an ONNX file takes and gives, or why it cannot be read.
    fn signature(&self, path: &str) -> Result<ModelSignature, String>;

    /// What a safetensors file holds, or why it cannot be read.
    fn weights(&self, path: &str) -> Result<Weights, String>;

    /// Of which kind the tokenizer in a file is, or why it cannot be read or does not run everywhere.
    fn tokenizer(&self, path: &str) -> Result<TokenizerKind, String> {
        Tokenizer::read(&self.read(path)?).map(|tokenizer| tokenizer.kind()).map_err(|error| error.to_string())
    }
}

/// What a model file takes and gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSignature {
    /// Inputs without initializers, in the file's order.
    pub inputs: Vec<SignaturePort>,
    /// Outputs, in the file's order.
    pub outputs: Vec<SignaturePort>,
    /// Lower-case hexadecimal SHA-256 of the file.
    pub sha256: String,
}

/// What a file of weights holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Its tensors.
    pub tensors: Vec<WeightTensor>,
    /// Lower-case hexadecimal SHA-256 of the file.
    pub sha256: String,
}

/// A tensor of a file of weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightTensor {
    /// Its name in the file.
    pub name: String,
    /// Its element type.
    pub dtype: DType,
    /// Its sizes.
    pub shape: Vec<u64>,
}

/// An input or output of a model file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignaturePort {
    /// Its name in the file.
    pub name: String,
    /// Its element type.
    pub dtype: DType,
    /// Its dimensions.
    pub dims: Vec<SignatureDim>,
}

/// A dimension as a model file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureDim {
    /// A constant.
    Const(u64),
    /// A named size.
    Symbol(String),
    /// Nothing is said.
    Unknown,
}

impl fmt::Display for SignaturePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.dims.iter().map(ToString::to_string).collect();
        write!(f, "{}[{}]", self.dtype, dims.join(", "))
    }
}

impl fmt::Display for SignatureDim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignatureDim::Const(size) => write!(f, "{size}"),
            SignatureDim::Symbol(name) => f.write_str(name),
            SignatureDim::Unknown => f.write_str("?"),
        }
    }
}

/// `reference` as seen from the file `from`: `./` and `../` are resolved, nothing is read.
pub fn join(from: &str, reference: &str) -> String {
    if reference.starts_with('/') {
        return reference.to_owned();
    }
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = Vec::new();
    let absolute = from.starts_with('/');
    for part in folder.split('/').chain(reference.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if absolute => {}
            part => parts.push(part),
        }
    }
    format!("{}{}", if absolute { "/" } else { "" }, parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn references_are_relative_to_the_file_that_names_them() {
        assert_eq!(join("a/b/c.mlp", "./d.txt"), "a/b/d.txt");
        assert_eq!(join("a/b/c.mlp", "../d.txt"), "a/d.txt");
        assert_eq!(join("c.mlp", "../../d.txt"), "../../d.txt");
        assert_eq!(join("/c.mlp", "../d.txt"), "/d.txt");
        assert_eq!(join("a/c.mlp", "/etc/d.txt"), "/etc/d.txt");
    }
}
