//! The graph: arenas of operations and values, addressed by typed ids.
//!
//! Values are single-assignment: each is a graph input or one result of one operation. `order` lists live operations so that every operand is defined before its use.
//! Analyses live beside the graph in `SecondaryMap`s, never in it. Passes build a new order and new entities; entities no longer in `order` are dead and
//! dropped by `compact`.

use crate::op::Op;
use crate::shape::{Shape, SymId, Symbol};
use crate::tensor::Tensor;
use cranelift_entity::{PrimaryMap, SecondaryMap, entity_impl};
use mlp_bundle::DType;
use mlp_bundle::manifest::Rows;
use serde::{Deserialize, Serialize};

/// An operation, printed as `op3`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OpId(u32);
entity_impl!(OpId, "op");

/// A value, printed as `%3`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ValueId(u32);
entity_impl!(ValueId, "%");

/// A constant's data, printed as `t3`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TensorId(u32);
entity_impl!(TensorId, "t");

/// Where an operation came from, for every later message about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// An ONNX node name (or `op_type#index` where it has none), or `file.mlp:line:column`.
    pub name: String,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// Its operands, in the order its [`Op`] documents.
    pub operands: Vec<ValueId>,
    /// Its results.
    pub results: Vec<ValueId>,
}

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Type {
    /// The element type.
    pub dtype: DType,
    /// The shape.
    pub shape: Shape,
}

/// What defines a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Definition {
    /// The graph input with that index.
    Input(u32),
    /// A result of an operation.
    Result(OpId, u32),
}

/// A value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// Its type.
    pub ty: Type,
    /// What defines it.
    pub definition: Definition,
}

/// A named input or output of a graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The value.
    pub value: ValueId,
}

/// An output that has as many rows as there can be, of which a run says how many are the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The output.
    pub output: String,
    /// The axis of its rows, and the output that says how many they are.
    pub rows: Rows,
}

/// A tensor program.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Graph {
    /// Its name.
    pub name: String,
    /// Named sizes.
    pub symbols: PrimaryMap<SymId, Symbol>,
    /// Operations.
    pub ops: PrimaryMap<OpId, Node>,
    /// Values.
    pub values: PrimaryMap<ValueId, Value>,
    /// Data of `Op::Constant`; [`crate::archive`] has it apart.
    #[serde(skip)]
    pub tensors: PrimaryMap<TensorId, Tensor>,
    /// Live operations, in an order of execution.
    pub order: Vec<OpId>,
    /// Inputs.
    pub inputs: Vec<Port>,
    /// Outputs.
    pub outputs: Vec<Port>,
    /// Names that are both an input's and an output's: what the output gives is what the input takes in the next run, and zeros in the first. Callers see neither.
    pub states: Vec<String>,
    /// Outputs of which a run decides how many rows they have.
    pub counted: Vec<Counted>,
    /// Where operations came from.
    pub origins: SecondaryMap<OpId, Origin>,
}
