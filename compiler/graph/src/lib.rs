//! The tensor graph: what a pipeline computes, before anything is decided about how.
//!
//! [`ir`] holds the entities and the graph itself, [`op`] the operations with their exact semantics.

pub mod ir;
pub mod op;
pub mod shape;
pub mod tensor;

pub use ir::{Graph, OpId, Origin, ValueId};
pub use mlp_bundle::{DType, Scalar};
pub use op::Op;
pub use shape::{Dim, Shape};
pub use tensor::Tensor;
