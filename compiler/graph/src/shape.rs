//! Shapes whose dimensions are constants or named symbols with an upper bound.

use cranelift_entity::entity_impl;
use mlp_bundle::plan::Formula;
use serde::{Deserialize, Serialize};

/// A symbol of a graph, printed as `sym0`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SymId(u32);
entity_impl!(SymId, "sym");

/// A named size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbol {
    /// Its name in the source or the ONNX file.
    pub name: String,
    /// Its greatest value, where one is declared.
    pub max: Option<u64>,
    /// How it is worked out of the symbols before it; none of one that inputs decide.
    #[serde(default)]
    pub formula: Option<Formula<SymId>>,
}

/// The size of one dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Dim {
    /// A constant.
    Const(u64),
    /// A symbol's value.
    Symbol(SymId),
}

impl Dim {
    /// The constant, if it is one.
    pub fn constant(self) -> Option<u64> {
        match self {
            Dim::Const(n) => Some(n),
            Dim::Symbol(_) => None,
        }
    }
}

/// The sizes of all dimensions, outermost first. Empty for a scalar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape(pub Vec<Dim>);

impl Shape {
    /// A shape of constants.
    pub fn fixed(dims: &[u64]) -> Shape {
        Shape(dims.iter().copied().map(Dim::Const).collect())
    }

    /// How many dimensions there are.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// All sizes, if all are constant.
    pub fn constants(&self) -> Option<Vec<u64>> {
        self.0.iter().map(|dim| dim.constant()).collect()
    }
}
