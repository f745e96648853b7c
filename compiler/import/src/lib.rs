//! Reads ONNX models into the tensor graph, and the recordings that models are checked against.
//!
//! Everything read here is untrusted: whatever the bytes say, the answer is a graph or an error that names the place and the remedy.

pub mod coverage;
pub mod error;
pub mod onnx;
pub mod testdata;

pub use error::ImportError;
