//! Names, types, shapes and units of a package of mlp files.
//!
//! [`check`] reads a root file with all that it uses through a [`World`], and gives an [`Analysis`]: a [`Program`] in which every name is resolved and every
//! expression typed, and the diagnostics. It is total: whatever the files hold, it neither panics nor gives up after the first error.
//! The phases after it take a [`Checked`] program, which only an analysis without errors gives.

mod aliases;
mod attributes;
mod blocks;
mod calls;
mod checker;
mod constants;
mod control;
mod cycles;
mod declared;
mod dims;
mod edits;
mod expectations;
mod expressions;
mod hooks;
mod intrinsic;
mod kept;
mod labels;
mod layers;
mod left_out;
mod load;
mod models;
mod moved;
mod network;
mod operators;
mod pipelines;
mod pixels;
pub mod privacy;
mod program;
mod reuse;
mod scope;
mod shapes;
mod signature;
mod sizes;
mod states;
mod stdlib;
mod texts;
mod types;
mod unify;
mod world;

pub use attributes::{AttributeForm, STATEMENT_ATTRIBUTES};
pub use blocks::{
    BUDGET_KEYS, DEVICE_KEYS, DRIFT_KEYS, DRIFT_TESTS, EXPERIMENT_KEYS, EXPLAIN_KEYS, EXPLANATIONS, HOOK_KEYS, Key, MEASURES, MECHANISMS,
    MONITOR_KEYS, Measure, Method, OUTLET_KEYS, Parameter, QUANTIZE_KEYS, Takes, VARIANT_KEYS, keys,
};
pub use checker::{Analysis, Checked, check, recheck};
pub use declared::*;
pub use dims::{Atom, Formula};
pub use intrinsic::Intrinsic;
pub use mlp_syntax::ast::Operator;
pub use mlp_syntax::{Diagnostic, FileId, Location, Span};
pub use network::*;
pub use privacy::Released;
pub use program::*;
pub use stdlib::{STD_MODULES, StdModule};
pub use types::{Dim, Labels, LabelsId, TensorType, Type, Vocabulary};
pub use world::{ModelSignature, SignatureDim, SignaturePort, WeightTensor, Weights, World, join};

/// The newest edition of the language that this compiler knows.
pub const EDITION: u32 = 2026;
