//! Graphs for all sizes up to a bound.

use crate::compile::{self, CompileError, Compiled};
use crate::host::{Host, timed};
use crate::once::Once;
use mlp_graph::Graph;
use mlp_graph::dynamic::{self, DynamicError};

pub use mlp_graph::dynamic::Varying;

/// Makes a graph of a host's files for given sizes.
pub type Member<'m, E> = dyn FnMut(&dyn Host, &[u64]) -> Result<Graph, E> + 'm;

/// Why a family of graphs could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum VaryingError<E> {
    /// A graph of some sizes could not be made.
    #[error(transparent)]
    Member(E),
    /// The graphs are not one.
    #[error("it cannot be compiled for sizes that vary: {0}")]
    Differs(String),
    /// The graph could not be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

/// Compiles what `member` makes of a host's files for given sizes: for all of them up to the greatest, or, where none varies, for the one graph that there is.
pub fn compile<E>(host: &dyn Host, varying: &[Varying], member: &mut Member<'_, E>) -> Result<Compiled, VaryingError<E>> {
    let graph = optimized(host, varying, member)?;
    Ok(timed(host, "plan", || compile::plan(&graph))?)
}

/// [`graph`], or the one graph that there is where nothing varies; optimized.
pub fn optimized<E>(host: &dyn Host, varying: &[Varying], member: &mut Member<'_, E>) -> Result<Graph, VaryingError<E>> {
    let mut graph = if varying.is_empty() { member(host, &[]).map_err(VaryingError::Member)? } else { graph(host, varying, member)? };
    timed(host, "optimize", || compile::optimize(&mut graph))?;
    Ok(graph)
}

/// The graph for all sizes; it is worth optimizing once more.
pub fn graph<E>(host: &dyn Host, varying: &[Varying], member: &mut Member<'_, E>) -> Result<Graph, VaryingError<E>> {
    let once = Once::new(host);
    let mut optimized = |sizes: &[u64]| -> Result<Graph, VaryingError<E>> {
        let mut graph = member(&once, sizes).map_err(VaryingError::Member)?;
        compile::optimize(&mut graph)?;
        Ok(graph)
    };
    timed(host, "join sizes", || dynamic::join(varying, &mut optimized)).map_err(|error| match error {
        DynamicError::Member(error) => error,
        DynamicError::Differs { place, reason } => VaryingError::Differs(format!("{place}: {reason}")),
        DynamicError::Verify(error) => VaryingError::Compile(CompileError::Optimize(error.to_string())),
    })
}
