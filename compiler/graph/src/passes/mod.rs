//! The passes, in the order they run. One file a pass; each takes any valid graph and leaves a valid graph that computes the same, where half precision is rounded aside (`widen`).

use crate::infer::InferError;
use crate::ir::Graph;
use crate::op::Op;
use crate::verify::{VerifyError, verify};

mod activations;
mod attention;
mod batch_norm_fold;
mod cleanup;
mod constant_fold;
mod cse;
mod dead_code;
mod gathers;
mod layout;
mod merge_products;
mod normalize;
mod pattern;
mod quantized;
mod reshape_groups;
mod rewrite;
mod shuffles;
mod widen;

/// What a pass is: its name and what it does.
pub type Pass = (&'static str, fn(&mut Graph) -> Result<(), InferError>);

/// All passes, in order.
pub const PASSES: &[Pass] = &[
    // What is of half precision is computed in binary32: all that follows sees one kind of floats.
    ("widen", widen::run),
    // Tables of bytes are gathered from before folding would make them tables of floats.
    ("gathers", gathers::run),
    // Shape arithmetic and reshaped weights become constants, so that all later passes see them as such.
    ("constant_fold", constant_fold::run),
    // What stands between dequantize and quantize becomes integer arithmetic, before anything moves into or out of it.
    ("quantized", quantized::run),
    // Normalization goes into weights while convolutions still stand as imported.
    ("batch_norm_fold", batch_norm_fold::run),
    // Operations that do nothing go, and what can be said in several ways is said in one.
    ("cleanup", cleanup::run),
    ("activations", activations::run),
    // Weights that no quantized operation took over are what they stand for; those that one did are not worth folding.
    ("dead_code", dead_code::run),
    ("weights_fold", constant_fold::run_all),
    // What exporters write out in many operations becomes the one that a kernel computes: duplicates go first, since patterns compare values.
    ("cse", cse::run),
    ("normalize", normalize::run),
    ("attention", attention::run),
    ("dead_code", dead_code::run),
    // Query, key and value are one product.
    ("merge_products", merge_products::run),
    // Convolutions and pools take their channels last; transposes move to where they cancel.
    ("layout", layout::run),
    // Moving transposes leaves reshapes of reshapes behind, and constants to move.
    ("constant_fold", constant_fold::run),
    ("cleanup", cleanup::run),
    // Shuffled channels are read as they lie.
    ("shuffles", shuffles::run),
    // What is computed twice is computed once; then nothing refers to what no output needs.
    ("cse", cse::run),
    ("dead_code", dead_code::run),
];

/// Why a pass failed: a fault of the compiler, not of the model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// A pass made an operation that does not fit its operands.
    #[error("the pass `{pass}` failed: {error}")]
    Infer {
        /// The pass.
        pass: &'static str,
        /// What it made.
        error: InferError,
    },
    /// A graph is not valid after a pass.
    #[error("the graph is not valid after `{pass}`: {error}")]
    Verify {
        /// The pass, or `import` before the first.
        pass: &'static str,
        /// What does not hold.
        error: VerifyError,
    },
}

/// Runs all passes, with the verifier between them.
pub fn optimize(graph: &mut Graph) -> Result<(), PassError> {
    verify(graph).map_err(|error| PassError::Verify { pass: "import", error })?;
    PASSES.iter().try_for_each(|pass| run(pass, graph))
}

/// The last pass of those that are run on a model alone, the first of its name: those after it move and merge what may reach across its edges. It is in here because
/// constants that a pass made again of others are told from them no more once these are gone.
const LAST_PREPARING: &str = "cse";

/// Runs the passes that take longest, those up to the folding of weights and the merging of duplicates, on a model by itself. [`optimize`] makes of a graph with a prepared model what it makes of one
/// with the model as it was imported; what is prepared once serves every pipeline that the model is in.
pub fn prepare(graph: &mut Graph) -> Result<(), PassError> {
    verify(graph).map_err(|error| PassError::Verify { pass: "import", error })?;
    let end = PASSES.iter().position(|(name, _)| *name == LAST_PREPARING).map_or(0, |last| last + 1);
    PASSES[..end].iter().chain(by_name("dead_code")).try_for_each(|pass| run(pass, graph))?;
    graph.compact();
    Ok(())
}

/// Runs one pass and the verifier after it.
pub fn run(&(pass, transform): &Pass, graph: &mut Graph) -> Result<(), PassError> {
    transform(graph).map_err(|error| PassError::Infer { pass, error })?;
    verify(graph).map_err(|error| PassError::Verify { pass, error })
}

/// Replaces the composites that `expands` picks by their decompositions, and tidies what that leaves.
pub fn expand(graph: &mut Graph, expands: impl Fn(&Op) -> bool) -> Result<(), PassError> {
    let decomposed = rewrite::rewrite(graph, |graph, id| if expands(&graph.ops[id].op) { graph.decompose(id) } else { Ok(None) });
    decomposed.map_err(|error| PassError::Infer { pass: "expand", error })?;
    verify(graph).map_err(|error| PassError::Verify { pass: "expand", error })?;
    ["cleanup", "cse", "dead_code"].into_iter().filter_map(by_name).try_for_each(|pass| run(pass, graph))
}

/// The pass of that name.
pub fn by_name(name: &str) -> Option<&'static Pass> {
    PASSES.iter().find(|(known, _)| *known == name)
}
