//! A plan: buffers in one arena, constants in one weights file, and kernels in the order they run.

mod arguments;
mod formula;
mod state;
pub mod verify;

pub use formula::{Formula, Term};
pub use state::{Move, State};

use crate::dtype::DType;
use crate::loops::{Arithmetic, BufferId, Contract, Kernel, Stored, SymbolId};
use cranelift_entity::PrimaryMap;
use serde::{Deserialize, Serialize};

/// Bytes to which every buffer's offset is aligned.
pub const ALIGN: u64 = 64;

/// Bytes past a buffer's end that may be read (never used): arenas and weights end with as many.
pub const SLACK: u64 = 64;

/// The version of the plan's serialized form.
pub const PLAN_VERSION: u32 = 1;

/// One pipeline, ready to be lowered to any backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_VERSION`] of the compiler that wrote it.
    pub version: u32,
    /// The pipeline's name.
    pub name: String,
    /// Integers that a caller passes with each run.
    pub symbols: PrimaryMap<SymbolId, Symbol>,
    /// All buffers.
    pub buffers: PrimaryMap<BufferId, Buffer>,
    /// What a caller writes before a run.
    pub inputs: Vec<Port>,
    /// What a caller reads after a run.
    pub outputs: Vec<Port>,
    /// What a run reads of the run before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<State>,
    /// The kernels, in order.
    pub kernels: Vec<Kernel>,
    /// Bytes of the arena, [`SLACK`] included.
    pub arena_bytes: u64,
    /// Bytes of the weights file, [`SLACK`] included.
    pub weights_bytes: u64,
}

impl Plan {
    /// How the weights of a contraction of a verified plan are kept in fewer bits; none where they are as wide as what they are multiplied with.
    pub fn stored(&self, contract: &Contract) -> Option<Stored> {
        match (contract.arithmetic, contract.scales, self.buffers[contract.weights].dtype) {
            (Arithmetic::F32, Some(scales), _) => Some(Stored::Whole(scales)),
            (Arithmetic::F32, None, DType::F16) => Some(Stored::Half),
            (Arithmetic::F32, None, DType::BF16) => Some(Stored::Brain),
            _ => None,
        }
    }
}

/// An integer known when a run starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbol {
    /// Its name in the source, such as `photo.height`.
    pub name: String,
    /// Its least value.
    pub min: u32,
    /// Its greatest value.
    pub max: u32,
    /// How it is worked out of the symbols before it; none of one that a run is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formula: Option<Formula<SymbolId>>,
}

/// A run of elements of one type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buffer {
    /// A readable name.
    pub name: String,
    /// The element type.
    pub dtype: DType,
    /// Elements.
    pub len: u64,
    /// Where it lies.
    pub place: Place,
}

impl Buffer {
    /// Bytes of all elements.
    pub fn bytes(&self) -> u64 {
        self.len * self.dtype.size() as u64
    }
}

/// Where a buffer lies, in bytes, aligned to [`ALIGN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In the arena, where buffers whose lives do not overlap may share bytes.
    Arena {
        /// Bytes from the arena's start.
        offset: u64,
    },
    /// In the weights file, never written.
    Weights {
        /// Bytes from the file's start.
        offset: u64,
    },
}

/// An input or output of the plan: a dense row-major tensor in an arena buffer. An input's bytes are the caller's until the run starts, and are not kept by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its name: the ONNX name, or a path such as `photo`, `top.scores`.
    pub name: String,
    /// The buffer.
    pub buffer: BufferId,
    /// The size of each dimension.
    pub shape: Vec<Size>,
}

/// The size of a port's dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Size {
    /// A constant.
    Const(u64),
    /// A symbol's value in this run.
    Symbol(SymbolId),
}
