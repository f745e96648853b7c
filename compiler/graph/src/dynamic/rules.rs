//! Which rule an operation has.

use super::writer::{Axis, RuleError, Ruled, Writer, refuse};
use super::{combining, constants, movement, reshape, windows};
use crate::ir::{OpId, Type, ValueId};
use crate::op::Op;

/// What stands for the results of an operation of the greatest member.
pub(super) fn operation(writer: &mut Writer<'_>, id: OpId) -> Result<Vec<ValueId>, RuleError> {
    let node = writer.node(id);
    let operands: Vec<ValueId> = node.operands.iter().map(|&operand| writer.value(operand)).collect();
    let mut axes: Vec<Vec<Axis>> = Vec::new();
    for &operand in &node.operands {
        axes.push(writer.axes(operand)?);
    }
    if let Op::TopK { .. } = node.op {
        return combining::top_k(writer, id, operands[0], &axes[0]);
    }
    let call = Call { id, operands, axes };
    let ty = writer.result_types(id).swap_remove(0);
    one(writer, &node.op, &call, ty).map(|value| vec![value])
}

/// An operation whose operands are written.
pub(super) struct Call {
    pub(super) id: OpId,
    pub(super) operands: Vec<ValueId>,
    /// The axes of each operand.
    pub(super) axes: Vec<Vec<Axis>>,
}

impl Call {
    /// Whether an axis of an operand varies; false where it has no such axis.
    pub(super) fn varies(&self, operand: usize, axis: usize) -> bool {
        self.axes.get(operand).and_then(|axes| axes.get(axis)).is_some_and(|axis| axis.size.is_some())
    }

    /// The axes of an operand that vary, of those given.
    pub(super) fn varying(&self, operand: usize, axes: impl IntoIterator<Item = usize>) -> Vec<usize> {
        axes.into_iter().filter(|&axis| self.varies(operand, axis)).collect()
    }
}

/// What an operation with one result becomes.
fn one(writer: &mut Writer<'_>, op: &Op, call: &Call, ty: Type) -> Ruled {
    match op {
        Op::Constant(_) => constants::constant(writer, call.id),
        Op::Size { .. } => constants::size(writer, call.id),
        Op::Reshape => reshape::reshape(writer, call),
        Op::Slice { steps, .. } => movement::slice(writer, call, steps, ty),
        Op::Pad { before, after } => movement::pad(writer, call, before, after),
        Op::Concat { axis } => movement::concat(writer, call, *axis as usize, ty),
        Op::Gather { axis } => movement::gather(writer, call, *axis as usize, ty),
        Op::Reduce { kind, axes, keep } => combining::reduce(writer, call, *kind, axes, *keep),
        Op::ArgReduce { max, axis, .. } => combining::arg_reduce(writer, call, op, *max, *axis as usize),
        Op::Softmax { axis } => combining::softmax(writer, call, op, *axis as usize),
        Op::MatMul => combining::matmul(writer, call),
        Op::Attention { .. } => combining::attention(writer, call, op),
        Op::Conv { .. } | Op::QuantizedConv { .. } | Op::Pool { .. } | Op::MaxPoolIndices { .. } => windows::window(writer, call, op),
        Op::Normalize { .. } => combining::normalize(writer, call, op),
        Op::QuantizedMean { axes, .. } => {
            let axes: Vec<(usize, usize)> = axes.iter().map(|&axis| (0, axis as usize)).collect();
            whole(writer, call, op, &axes, ty)
        }
        Op::QuantizedMatMul { .. } => whole(writer, call, op, &[(0, 1), (1, 0), (1, 1)], ty),
        // The rest of a scale or of a mean is never used but for the rest of the result.
        _ => Ok(writer.push(op.clone(), &call.operands, ty)),
    }
}

/// An operation that needs these axes, each of an operand, as they are.
fn whole(writer: &mut Writer<'_>, call: &Call, op: &Op, axes: &[(usize, usize)], ty: Type) -> Ruled {
    match axes.iter().find(|&&(operand, axis)| call.varies(operand, axis)) {
        Some((operand, axis)) => refuse(format!(
            "`{}` is not compiled over axis {axis} of operand {operand} where its size varies; give it a constant size",
            op.name()
        )),
        None => Ok(writer.push(op.clone(), &call.operands, ty)),
    }
}
