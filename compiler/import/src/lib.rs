//! Reads ONNX models into the tensor graph, files of named tensors, and the recordings that models are checked against.
//!
//! Everything read here is untrusted: whatever the bytes say, the answer is a graph or an error that names the place and the remedy.

pub mod coverage;
pub mod error;
pub mod onnx;
pub mod safetensors;
pub mod testdata;

pub use error::ImportError;
