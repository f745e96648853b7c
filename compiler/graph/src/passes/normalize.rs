//! Recognises normalization of rows: `d / sqrt(mean(d^2) + epsilon)`, or `d * (1 / sqrt(..))`, where `d` is `x - mean(x)` or `x` itself.
//!
//! Importers and exporters write it out in seven operations, which take two passes over memory more than the one kernel that it becomes.

use super::pattern::{binary, mean, uniform_float};
use super::rewrite::rewrite;
use crate::infer::InferError;
use crate::ir::{Graph, ValueId};
use crate::op::{BinaryOp, Op, UnaryOp};
use mlp_bundle::DType;

pub(super) fn run(graph: &mut Graph) -> Result<(), InferError> {
    rewrite(graph, |graph, id| {
        let result = graph.ops[id].results[0];
        if graph.ty(result).dtype != DType::F32 {
            return Ok(None);
        }
        let Some((x, op)) = normalization(graph, result) else { return Ok(None) };
        let origin = graph.origins[id].clone();
        Ok(Some(vec![graph.append_one(op, &[x], origin)?]))
    })
}

/// What is normalized, and how.
fn normalization(graph: &Graph, result: ValueId) -> Option<(ValueId, Op)> {
    let (d, deviation) = quotient(graph, result)?;
    if graph.ty(d) != graph.ty(result) {
        return None;
    }
    let node = graph.defining(deviation).filter(|node| node.op == Op::Unary(UnaryOp::Sqrt))?;
    let (variance, epsilon) = binary(graph, node.operands[0], BinaryOp::Add)?;
    let (variance, epsilon) = match uniform_float(graph, epsilon) {
        Some(epsilon) => (variance, epsilon),
        None => (epsilon, uniform_float(graph, variance)?),
    };
    let (square, axis) = mean(graph, variance)?;
    if !is_square_of(graph, square, d) {
        return None;
    }
    let centre = binary(graph, d, BinaryOp::Sub).filter(|&(x, middle)| mean(graph, middle) == Some((x, axis)));
    let (x, centred) = centre.map_or((d, false), |(x, _)| (x, true));
    Some((x, Op::Normalize { axis, epsilon: epsilon.to_bits(), centred }))
}

/// Numerator and denominator of `d / s`, `d * (1 / s)` or `(1 / s) * d`.
fn quotient(graph: &Graph, result: ValueId) -> Option<(ValueId, ValueId)> {
    if let Some(parts) = binary(graph, result, BinaryOp::Div) {
        return Some(parts);
    }
    let (x, y) = binary(graph, result, BinaryOp::Mul)?;
    let reciprocal = |value| binary(graph, value, BinaryOp::Div).filter(|&(one, _)| uniform_float(graph, one) == Some(1.0));
    match (reciprocal(y), reciprocal(x)) {
        (Some((_, s)), _) => Some((x, s)),
        (None, Some((_, s))) => Some((y, s)),
        (None, None) => None,
    }
}

/// Whether a value is `d * d` or `d ^ 2`.
fn is_square_of(graph: &Graph, square: ValueId, d: ValueId) -> bool {
    let power = |(x, two): (ValueId, ValueId)| x == d && uniform_float(graph, two) == Some(2.0);
    binary(graph, square, BinaryOp::Mul) == Some((d, d)) || binary(graph, square, BinaryOp::Pow).is_some_and(power)
}
