//! ONNX: protobuf in, tensor graph out.
//!
//! [`import()`] walks the nodes of a model in an order of execution and hands each to its operator's importer (a row of the table in `ops`). Importers work on
//! values whose shapes are known: all symbolic dimensions of inputs are bound by [`ImportOptions::dims`], and what a node computes
//! from constants alone is folded on the way where it is small, so that shapes, axes and the like are at hand when an operator needs them.
//! The graph has no control flow: loops and recurrences are unrolled, and of two arms that a running model chooses between both are computed.

mod ahead;
mod attributes;
mod body;
mod builder;
mod extent;
mod external;
mod functions;
mod graph;
mod message;
mod narrow;
mod node;
pub(crate) mod ops;
mod order;
mod padded;
pub mod proto;
mod scope;
mod signature;
mod sized;
mod sparse;
pub(crate) mod tensor;
mod window;

pub use external::{Part, ReadPart};
pub(crate) use graph::import_message;
pub use graph::{FamilySizes, ImportOptions, import, import_shared, import_with_values};
pub use message::Model;
pub use ops::supported_operators;
pub use signature::{DimSignature, ModelSignature, PortSignature, signature, signature_shared};
