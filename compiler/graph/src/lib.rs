//! The tensor graph: what a pipeline computes, before anything is decided about how.
//!
//! [`ir`] holds the entities and the graph itself, [`op`] the operations with their exact semantics, `build` the methods that make and edit graphs, and
//! [`infer`] what types results have. [`eval`] is the reference interpreter.

mod build;
pub mod eval;
pub mod infer;
pub mod ir;
mod numbers;
pub mod op;
mod ops;
pub mod shape;
pub mod tensor;

pub use infer::InferError;
pub use ir::{Graph, OpId, Origin, Type, ValueId};
pub use mlp_bundle::{DType, Scalar};
pub use op::Op;
pub use shape::{Dim, Shape};
pub use tensor::Tensor;
