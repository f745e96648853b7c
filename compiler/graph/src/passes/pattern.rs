//! Small questions that passes ask of the operations around a value.

use crate::ir::{Graph, Node, ValueId};
use crate::op::{BinaryOp, Op, ReduceKind};
use crate::tensor::Tensor;
use mlp_bundle::Scalar;

/// The operands of a binary operation that defines a value.
pub(super) fn binary(graph: &Graph, value: ValueId, op: BinaryOp) -> Option<(ValueId, ValueId)> {
    let node = graph.defining(value)?;
    (node.op == Op::Binary(op)).then(|| (node.operands[0], node.operands[1]))
}

/// The number that every element of a constant is, of floats.
pub(super) fn uniform_float(graph: &Graph, value: ValueId) -> Option<f32> {
    match graph.constant_of(value).and_then(Tensor::uniform)? {
        Scalar::F32(bits) => Some(f32::from_bits(bits)),
        _ => None,
    }
}

/// `x` and `c` of `x * c`, `c * x` or `x / (1 / c)`, where `c` is one finite number and the result has the shape of `x`.
pub(super) fn scaled(graph: &Graph, value: ValueId) -> Option<(ValueId, f32)> {
    let like = |x: ValueId| graph.ty(x) == graph.ty(value);
    if let Some((x, y)) = binary(graph, value, BinaryOp::Mul) {
        let either = [(x, y), (y, x)].into_iter().find_map(|(x, c)| Some((x, uniform_float(graph, c)?)).filter(|_| like(x)));
        return either.filter(|(_, c)| c.is_finite());
    }
    let (x, c) = binary(graph, value, BinaryOp::Div)?;
    let factor = 1.0 / uniform_float(graph, c)?;
    (like(x) && factor.is_finite()).then_some((x, factor))
}

/// The operand and the axis of a mean over one axis that stays.
pub(super) fn mean(graph: &Graph, value: ValueId) -> Option<(ValueId, u32)> {
    match graph.defining(value)? {
        Node { op: Op::Reduce { kind: ReduceKind::Mean, axes, keep: true }, operands, .. } if axes.len() == 1 => {
            Some((operands[0], axes[0]))
        }
        _ => None,
    }
}
