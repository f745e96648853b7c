//! Writes bounds on activations in one way: `min(max(x, lo), hi)` with scalars, so that later passes and the planner look for nothing else.
//!
//! - `max(max(x, a), b)` is `max(x, max(a, b))`; likewise for minima.
//! - `max(min(x, hi), lo)` is `min(max(x, lo), hi)` where `lo <= hi`.
//!
//! Both keep NaN, which stands first: `max(NaN, a)` is NaN. A bound that stands first, as in `max(a, x)`, would turn NaN into the bound, and stays.

use super::rewrite::{count_uses, rewrite};
use crate::infer::InferError;
use crate::ir::{Graph, Node, ValueId};
use crate::op::{BinaryOp, Op};
use mlp_bundle::{DType, Scalar};

pub(super) fn run(graph: &mut Graph) -> Result<(), InferError> {
    let uses = count_uses(graph);
    rewrite(graph, |graph, id| {
        let Some((outer, inner, outer_bound)) = bounded(graph, &graph.ops[id]) else { return Ok(None) };
        let Some((inner, x, inner_bound)) = graph.defining(inner).and_then(|node| bounded(graph, node)) else {
            return Ok(None);
        };
        let origin = graph.origins[id].clone();
        let (a, b) = (number(graph, inner_bound), number(graph, outer_bound));
        let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
        if inner == outer {
            let tighter = if outer == BinaryOp::Max { b > a } else { b < a };
            let bound = if tighter { outer_bound } else { inner_bound };
            return graph.binary(outer, x, bound, origin).map(|value| Some(vec![value]));
        }
        // Another reader of the inner bound would keep it alive, and nothing would be gained.
        let alone = uses[graph.ops[id].operands[0]] == 1;
        if outer == BinaryOp::Max && inner == BinaryOp::Min && b <= a && alone {
            let low = graph.binary(BinaryOp::Max, x, outer_bound, origin.clone())?;
            return graph.binary(BinaryOp::Min, low, inner_bound, origin).map(|value| Some(vec![value]));
        }
        Ok(None)
    })
}

/// The parts of `op(x, bound)`, a maximum or minimum whose second operand is a scalar constant.
fn bounded(graph: &Graph, node: &Node) -> Option<(BinaryOp, ValueId, ValueId)> {
    match node.op {
        Op::Binary(op @ (BinaryOp::Max | BinaryOp::Min)) => {
            let (x, bound) = (node.operands[0], node.operands[1]);
            graph.constant_of(bound).filter(|tensor| tensor.shape().is_empty())?;
            Some((op, x, bound))
        }
        _ => None,
    }
}

/// A bound that `f64` holds exactly and that is not NaN.
fn number(graph: &Graph, bound: ValueId) -> Option<f64> {
    let tensor = graph.constant_of(bound)?;
    let exact = !matches!(tensor.dtype(), DType::I64 | DType::U64);
    let value = tensor.as_scalar().and_then(|scalar| match scalar {
        Scalar::Bool(_) => None,
        _ => tensor.to_f64().first().copied(),
    })?;
    (exact && !value.is_nan()).then_some(value)
}
