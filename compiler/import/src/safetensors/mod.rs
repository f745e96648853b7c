//! Files of named tensors without a graph: `safetensors`.
//!
//! The format (<https://github.com/huggingface/safetensors>): eight bytes with the length of a header, little-endian; the header, a JSON object that gives each tensor its
//! element type, its sizes and where its bytes lie, and under `__metadata__` texts about the file; then the bytes of all tensors, little-endian and row-major, without gaps.
//! Everything a file says is checked when it is read, so that afterwards every tensor is a slice of it.

mod header;

use header::Header;
use mlp_bundle::DType;
use mlp_bundle::contents::Bytes;
use mlp_graph::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest header that is read, in bytes: that of a hundred thousand tensors.
const MAX_HEADER: u64 = 1 << 24;

/// Why a file of weights cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SafetensorsError {
    /// The bytes are no safetensors file, or a damaged one.
    #[error("not a readable safetensors file: {detail}")]
    Malformed {
        /// What is wrong, and what to do about it.
        detail: String,
    },
    /// A tensor's entry is wrong.
    #[error("tensor `{name}` of the safetensors file cannot be read: {detail}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong, and what to do about it.
        detail: String,
    },
}

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub dtype: DType,
    /// Its sizes.
    pub shape: Vec<u64>,
}

/// A file of named tensors. Its tensors share the file's bytes.
#[derive(Clone, Debug)]
pub struct Safetensors {
    tensors: BTreeMap<String, Stored>,
    data: Bytes,
}

/// A tensor with the place of its bytes in the data.
#[derive(Clone, Debug)]
struct Stored {
    dtype: DType,
    shape: Vec<u64>,
    start: usize,
    end: usize,
}

impl Safetensors {
    /// Reads a file. Nothing is copied but names and sizes.
    pub fn read(bytes: Bytes) -> Result<Safetensors, SafetensorsError> {
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| malformed("it is shorter than 8 bytes"))?;
        let length = u64::from_le_bytes(*length);
        if length > MAX_HEADER {
            return Err(malformed(format!(
                "its header has {length} bytes; at most {MAX_HEADER} are read; is it a safetensors file at all?"
            )));
        }
        let header = rest.get(..length as usize).ok_or_else(|| {
            malformed(format!(
                "its header has {length} bytes, but only {} follow; the file is cut short or no safetensors file",
                rest.len()
            ))
        })?;
        let header = Header::parse(header)?;
        let data = bytes.slice(8 + length as usize..);
        let tensors = header.place(data.len() as u64)?;
        Ok(Safetensors { tensors, data })
    }

    /// Its tensors, by name.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.tensors.iter().map(|(name, stored)| Entry { name: name.clone(), dtype: stored.dtype, shape: stored.shape.clone() })
    }

    /// A tensor as it is stored.
    pub fn tensor(&self, name: &str) -> Result<Tensor, SafetensorsError> {
        let refuse = |detail: String| SafetensorsError::Tensor { name: name.to_owned(), detail };
        let stored = self.tensors.get(name).ok_or_else(|| refuse("the file has no such tensor".to_owned()))?;
        let mut bytes = self.data.slice(stored.start..stored.end);
        if stored.dtype == DType::Bool {
            bytes = bytes.iter().map(|&byte| u8::from(byte != 0)).collect();
        }
        Tensor::of_shared(stored.dtype, stored.shape.clone(), bytes).map_err(|error| refuse(error.to_string()))
    }

    /// A tensor of floats as `F32`, each rounded to the nearest.
    pub fn floats(&self, name: &str) -> Result<Tensor, SafetensorsError> {
        let tensor = self.tensor(name)?;
        let refuse = |detail: String| SafetensorsError::Tensor { name: name.to_owned(), detail };
        match tensor.dtype() {
            DType::F32 => Ok(tensor),
            dtype if dtype.is_float() => {
                let values: Vec<f32> = tensor.to_f64().into_iter().map(|value| value as f32).collect();
                Tensor::from_f32(tensor.shape(), &values).map_err(|error| refuse(error.to_string()))
            }
            dtype => Err(refuse(format!("its elements are {dtype}, and floats are needed; save the weights as F32, F16 or BF16"))),
        }
    }
}

fn malformed(detail: impl Into<String>) -> SafetensorsError {
    SafetensorsError::Malformed { detail: detail.into() }
}

/// The bytes of a file with these `F32` tensors, for tests and tools.
pub fn write(tensors: &[(&str, &Tensor)]) -> Vec<u8> {
    header::write(tensors)
}
