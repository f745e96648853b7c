//! Lowers checked programs with their imported models to one tensor graph a pipeline.
//!
//! [`lower`] inlines everything a pipeline calls: pipelines of the package and the standard library, and the operations of its models. What it takes and
//! gives is described by a [`Signature`], whose parts name the graph's ports.

mod append;
mod body;
mod control;
mod error;
mod inline;
mod intrinsics;
mod network;
mod signature;
mod texts;

pub use body::MAX_PHOTO_SIDE;
pub use control::MAX_ROUNDS;
pub use error::LowerError;
pub use network::{Weights, network};
pub use signature::{Signature, SignatureEncoding, SignatureField, SignatureType};

use body::Lowering;
use mlp_analysis::{Checked, ModelId, PipelineId, Program};
use mlp_graph::Graph;
use std::collections::BTreeMap;

/// A pipeline as one graph.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The graph; its symbols are the sides of photos.
    pub graph: Graph,
    /// What it takes and gives.
    pub signature: Signature,
}

/// A model that a pipeline calls, at certain sizes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelRequest {
    /// The model.
    pub model: ModelId,
    /// Its name in the language.
    pub name: String,
    /// The path of its file.
    pub source: String,
    /// The file's named sizes that the call decides.
    pub sizes: BTreeMap<String, u64>,
}

/// Gives the graph of a model with the requested sizes bound, or why there is none.
pub type Models<'a> = dyn Fn(&ModelRequest) -> Result<Graph, String> + 'a;

/// Lowers one pipeline, which must be an entry of the program ([`Program::entries`]).
pub fn lower(program: &Checked<Program>, pipeline: PipelineId, models: &Models<'_>) -> Result<Lowered, LowerError> {
    lower_at(program, pipeline, &BTreeMap::new(), models)
}

/// [`lower`] where the symbols of the pipeline's signature have these sizes.
pub fn lower_at(
    program: &Checked<Program>,
    pipeline: PipelineId,
    sizes: &BTreeMap<String, u64>,
    models: &Models<'_>,
) -> Result<Lowered, LowerError> {
    Lowering::new(program, models).with_sizes(sizes).run(pipeline)
}
