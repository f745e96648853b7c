//! Recorded inputs and outputs that models are checked against: ONNX's `.pb` files, and NumPy's `.npy` and `.npz`.
//!
//! They are untrusted as models are: sizes are checked against the data before anything is allocated.

mod case;
mod npy;
mod npz;

use crate::onnx::proto::TensorProto;
use crate::onnx::tensor;
use mlp_graph::Tensor;
use prost::Message;

pub use case::{ImportedCase, import_case};
pub use npy::read_npy;
pub use npz::read_npz;

/// Why a recording cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be read: {detail}")]
pub struct TestDataError {
    /// Which file or array.
    pub what: String,
    /// What is wrong, and what to do about it.
    pub detail: String,
}

impl TestDataError {
    fn new(what: impl Into<String>, detail: impl Into<String>) -> TestDataError {
        TestDataError { what: what.into(), detail: detail.into() }
    }
}

/// Reads a `TensorProto`: what ONNX's test folders call `input_0.pb`. Returns the tensor's name, empty where it has none, and the tensor.
pub fn read_tensor_pb(bytes: &[u8]) -> Result<(String, Tensor), TestDataError> {
    let proto = TensorProto::decode(bytes)
        .map_err(|error| TestDataError::new("the tensor", format!("{error}; the file is damaged or not a TensorProto")))?;
    let what = if proto.name.is_empty() { "the tensor".to_owned() } else { format!("tensor `{}`", proto.name) };
    let tensor = tensor::read(&proto).map_err(|detail| TestDataError::new(what, detail))?;
    Ok((proto.name, tensor))
}
