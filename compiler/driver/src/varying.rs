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
    /// A graph of some sizes could not be made, where that at the greatest could.
    #[error("where {sizes}, as the range allows: {error}")]
    Smaller {
        /// The sizes.
        sizes: String,
        /// Why.
        error: E,
    },
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
    let joined = timed(host, "join sizes", || widened(&once, varying, member));
    if !matches!(joined, Err(DynamicError::Differs { .. } | DynamicError::Alone { .. })) {
        return joined.map_err(refusal);
    }
    // Constants hide how they go by the sizes; where they are computed, the optimizer sees less, so that is the second choice.
    let once = once.computed();
    match timed(host, "join sizes", || widened(&once, varying, member)) {
        // What went wrong only there says less.
        Err(DynamicError::Member(_) | DynamicError::Verify(_)) => joined.map_err(refusal),
        computed => computed.map_err(refusal),
    }
}

/// [`join`], with a greater bound than asked for where a size of 1 or 2 tells too little: what runs up to 3 runs up to 2.
fn widened<E>(host: &Once<'_>, varying: &[Varying], member: &mut Member<'_, E>) -> Joined<E> {
    let mut varying = varying.to_vec();
    let mut alone = None;
    loop {
        match (join(host, &varying, member), alone) {
            (Err(DynamicError::Alone { symbol, place, reason }), _) if varying[symbol].max == 2 * varying[symbol].step => {
                varying[symbol].max += varying[symbol].step;
                host.forget_families();
                alone = Some(DynamicError::Alone { symbol, place, reason });
            }
            // At a size that nobody asked for.
            (Err(DynamicError::Member(_)), Some(alone)) => return Err(alone),
            (joined, _) => return joined,
        }
    }
}

type Joined<E> = Result<Graph, DynamicError<VaryingError<E>>>;

fn join<E>(host: &dyn Host, varying: &[Varying], member: &mut Member<'_, E>) -> Joined<E> {
    let mut optimized = |sizes: &[u64]| -> Result<Graph, VaryingError<E>> {
        let is_greatest = varying.iter().zip(sizes).all(|(varying, &size)| varying.max == size);
        let mut graph = member(host, sizes).map_err(|error| match is_greatest {
            true => VaryingError::Member(error),
            false => VaryingError::Smaller { sizes: dynamic::told(varying, sizes), error },
        })?;
        compile::optimize(&mut graph)?;
        Ok(graph)
    };
    dynamic::join(varying, &mut optimized)
}

fn refusal<E>(error: DynamicError<VaryingError<E>>) -> VaryingError<E> {
    match error {
        DynamicError::Member(error) => error,
        DynamicError::Differs { place, reason } | DynamicError::Alone { place, reason, .. } => {
            VaryingError::Differs(format!("{place}: {reason}"))
        }
        DynamicError::Verify(error) => VaryingError::Compile(CompileError::Optimize(error.to_string())),
    }
}
