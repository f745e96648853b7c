//! The tensor graph: what a pipeline computes, before anything is decided about how.
//!
//! [`ir`] holds the entities and the graph itself, [`op`] the operations with their exact semantics, `build` the methods that make and edit graphs, and
//! [`infer`] what types results have. [`eval`] is the reference interpreter,
//! [`text`] prints and parses, [`verify`] lists and checks the invariants, [`specialize`] binds symbolic sizes, [`dynamic`] makes one graph for all,
//! [`passes`] make graphs better.

pub mod archive;
mod build;
pub mod dynamic;
pub mod eval;
pub mod infer;
pub mod ir;
mod numbers;
pub mod op;
mod ops;
pub mod passes;
pub mod shape;
pub mod specialize;
pub mod tensor;
pub mod text;
pub mod verify;

pub use infer::InferError;
pub use ir::{Graph, OpId, Origin, Port, Type, ValueId};
pub use mlp_bundle::{DType, Scalar};
pub use op::Op;
pub use ops::image::resampling;
pub use shape::{Dim, Shape};
pub use tensor::Tensor;
