//! One graph for all sizes up to a bound, out of graphs at a few sizes.
//!
//! What makes graphs (an importer, a lowering, the passes) knows constant sizes alone. It is asked for the same graph at several of them, a *family*, and what
//! differs among its members tells how each size follows from the symbols ([`fit`]): a size that is fitted by no formula, or an operation that is another one at
//! another size, is an error that names it. A formula is taken only where the sizes looked at leave no other.
//!
//! The one graph that is made of the family computes at the greatest sizes. Inputs are put at the start of tensors of those ([`Op::Extend`]), results are cut out of such
//! ([`Op::Trim`]); what lies beyond, the *rest* of a tensor, may be anything. An operation that takes each element by itself needs no change. One that mixes elements of
//! an axis that varies is given the rest of its operand as something that changes nothing ([`writer`]): zeros to a sum, the least number to a maximum. So every backend runs
//! it as any other graph, and none needs to know of sizes that vary but for the few operations that say so.

mod alike;
mod combining;
mod constants;
mod fit;
mod movement;
mod reshape;
mod rules;
#[cfg(test)]
mod tests;
mod windows;
mod writer;

use crate::ir::{Graph, ValueId};
use crate::verify::{VerifyError, verify};
use alike::{alike, unshare};
use fit::{Fit, Points};
use writer::Writer;

/// A size that varies from run to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Varying {
    /// Its name.
    pub name: String,
    /// Its greatest value, at least as much as a step.
    pub max: u64,
    /// It is a multiple of this, at least once: 1 where it can be any number from 1 on.
    pub step: u64,
}

impl Varying {
    /// A size from 1 to `max`.
    pub fn new(name: impl Into<String>, max: u64) -> Varying {
        Varying { name: name.into(), max, step: 1 }
    }

    /// How many steps there are at most.
    fn steps(&self) -> u64 {
        (self.max / self.step.max(1)).max(1)
    }
}

/// Sizes as messages tell them: `h` is 28 and `w` is 32.
pub fn told(varying: &[Varying], sizes: &[u64]) -> String {
    let told: Vec<String> = varying.iter().zip(sizes).map(|(varying, size)| format!("`{}` is {size}", varying.name)).collect();
    told.join(" and ")
}

/// Why a family has no one graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DynamicError<E> {
    /// A member cannot be made.
    #[error(transparent)]
    Member(E),
    /// Something is computed in another way at other sizes.
    #[error("{place}: {reason}")]
    Differs {
        /// Which operation or port.
        place: String,
        /// What differs, and what helps.
        reason: String,
    },
    /// A size is 1 in all members but those at its greatest value, and where it is 1 they are other programs: nothing tells how they go by it.
    #[error("{place}: {reason}")]
    Alone {
        /// Its position among those that vary.
        symbol: usize,
        /// Which size.
        place: String,
        /// What differs, and what helps.
        reason: String,
    },
    /// The graph is not valid: a fault of the compiler.
    #[error("the graph for all sizes is not valid; please report this: {0}")]
    Verify(#[from] VerifyError),
}

/// Why a rule has no graph for an operation.
pub(crate) type Refusal = String;

/// The graph that computes for every choice of sizes, from one step to the greatest, what `member` makes for that choice. Its inputs and outputs have the same names; what
/// varies of their shapes are symbols.
pub fn join<E>(varying: &[Varying], member: &mut dyn FnMut(&[u64]) -> Result<Graph, E>) -> Result<Graph, DynamicError<E>> {
    let mut points = Points::new(varying);
    let mut family = Family { members: Vec::new(), points: Vec::new() };
    loop {
        family.extend(varying, &points, member)?;
        let (place, reason) = match Writer::new(varying, &family).write() {
            Ok(graph) => {
                verify(&graph)?;
                return Ok(graph);
            }
            Err(Failure::Refused { place, reason }) => (place, reason),
            Err(Failure::Ambiguous { symbol, run, place }) => match points.lengthen(symbol, run) {
                true => continue,
                false => (place, format!("its size goes by steps of more than {} of `{}`", fit::MOST_STEPS, varying[symbol].name)),
            },
        };
        return Err(DynamicError::Differs { place, reason });
    }
}

/// Why a graph could not be written.
pub(crate) enum Failure {
    Refused {
        place: String,
        reason: Refusal,
    },
    /// Formulas that differ elsewhere agree on the members: as many values in a row of the symbol decide.
    Ambiguous {
        symbol: usize,
        run: u64,
        place: String,
    },
}

/// The graphs at some sizes, each told by how many steps its sizes have; the first is that at the greatest.
pub(crate) struct Family {
    pub(crate) members: Vec<Graph>,
    pub(crate) points: Vec<Vec<u64>>,
}

impl Family {
    /// Makes the members that are missing.
    fn extend<E>(
        &mut self,
        varying: &[Varying],
        points: &Points,
        member: &mut dyn FnMut(&[u64]) -> Result<Graph, E>,
    ) -> Result<(), DynamicError<E>> {
        for point in points.all() {
            if self.points.contains(point) {
                continue;
            }
            let sizes: Vec<u64> = point.iter().zip(varying).map(|(steps, varying)| steps * varying.step.max(1)).collect();
            let mut graph = member(&sizes).map_err(DynamicError::Member)?;
            unshare(&mut graph);
            graph.compact();
            if let Some(first) = self.members.first()
                && let Err((place, reason)) = alike(first, &graph)
            {
                // Where a size is 1 much that stretches or moves an axis does nothing, and is not there.
                if point.contains(&1) {
                    continue;
                }
                let reason =
                    format!("where {} {reason}; give it a constant size, or one that goes in greater steps", told(varying, &sizes));
                return Err(DynamicError::Differs { place, reason });
            }
            self.members.push(graph);
            self.points.push(point.clone());
        }
        let is_seen = |symbol: usize| self.points.iter().any(|point| point[symbol] != self.points[0][symbol]);
        match (0..varying.len()).find(|&symbol| varying[symbol].steps() > 1 && !is_seen(symbol)) {
            None => Ok(()),
            Some(symbol) => {
                let Varying { name, step, .. } = &varying[symbol];
                let reason = format!("all is computed otherwise where it is {step}; give it a constant size, or a greater bound");
                Err(DynamicError::Alone { symbol, place: format!("the size `{name}`"), reason })
            }
        }
    }

    /// The greatest member.
    pub(crate) fn first(&self) -> &Graph {
        &self.members[0]
    }

    /// The sizes of an axis of a value, a member each.
    pub(crate) fn sizes(&self, value: ValueId, axis: usize) -> Option<Vec<i64>> {
        self.members.iter().map(|graph| i64::try_from(graph.ty(value).shape.0[axis].constant()?).ok()).collect()
    }
}

impl Failure {
    fn of(fit: Fit, place: String) -> Failure {
        match fit {
            Fit::Ambiguous { symbol, run } => Failure::Ambiguous { symbol, run, place },
            Fit::None => Failure::Refused {
                place,
                reason: "its size follows from the others by no formula that is known; give it a constant size".into(),
            },
        }
    }
}
