//! Operations that mix the elements of an axis: reductions, softmax, products, attention.

use super::rules::Call;
use super::writer::{Axis, RuleError, Ruled, Writer, refuse};
use crate::ir::{OpId, ValueId};
use crate::op::{BinaryOp, Op, ReduceKind, UnaryOp};
use mlp_bundle::{DType, Scalar};

/// A reduction over axes whose rest is filled with what changes nothing. A mean is a sum over how many elements there are.
pub(super) fn reduce(writer: &mut Writer<'_>, call: &Call, kind: ReduceKind, axes: &[u32], keep: bool) -> Ruled {
    let along = call.varying(0, axes.iter().map(|&axis| axis as usize));
    let dtype = writer.graph.ty(call.operands[0]).dtype;
    let op = |kind| Op::Reduce { kind, axes: axes.to_vec(), keep };
    if along.is_empty() {
        return writer.append(op(kind), &call.operands);
    }
    let fill = match kind {
        ReduceKind::Sum | ReduceKind::Mean => Scalar::of(dtype, 0),
        ReduceKind::Prod => Scalar::of(dtype, 1),
        ReduceKind::Max => Scalar::lowest(dtype),
        ReduceKind::Min => Scalar::highest(dtype),
    };
    let x = writer.filled(call.operands[0], &call.axes[0], &along, fill)?;
    if kind != ReduceKind::Mean {
        return writer.append(op(kind), &[x]);
    }
    // A narrow sum would overflow where the mean does not.
    let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let x = writer.cast(wide, x)?;
    let sum = writer.append(op(ReduceKind::Sum), &[x])?;
    let mut count = None;
    for &axis in axes {
        let size = writer.length(call.axes[0][axis as usize], wide)?;
        count = Some(match count {
            None => size,
            Some(count) => writer.binary(BinaryOp::Mul, count, size)?,
        });
    }
    let count = count.ok_or_else(|| RuleError::Refused("it reduces no axis".into()))?;
    let mean = writer.binary(BinaryOp::Div, sum, count)?;
    writer.cast(dtype, mean)
}

/// `d / sqrt(mean(d * d) + epsilon)` over an axis: both means are over what there is.
pub(super) fn normalize(writer: &mut Writer<'_>, call: &Call, op: &Op) -> Ruled {
    let &Op::Normalize { axis, epsilon, centred } = op else { return refuse("it is no normalization") };
    let along = call.varying(0, [axis as usize]);
    if along.is_empty() {
        return writer.append(op.clone(), &call.operands);
    }
    let axes = &call.axes[0];
    let count = writer.length(axes[axis as usize], DType::F32)?;
    let mean = |writer: &mut Writer<'_>, x: ValueId| {
        let x = writer.filled(x, axes, &along, Scalar::f32(0.0))?;
        let sum = writer.append(Op::Reduce { kind: ReduceKind::Sum, axes: vec![axis], keep: true }, &[x])?;
        writer.binary(BinaryOp::Div, sum, count)
    };
    let mut distance = call.operands[0];
    if centred {
        let mean = mean(writer, distance)?;
        distance = writer.binary(BinaryOp::Sub, distance, mean)?;
    }
    let square = writer.binary(BinaryOp::Mul, distance, distance)?;
    let variance = mean(writer, square)?;
    let epsilon = writer.number(DType::F32, f64::from(f32::from_bits(epsilon)));
    let sum = writer.binary(BinaryOp::Add, variance, epsilon)?;
    let deviation = writer.append(Op::Unary(UnaryOp::Sqrt), &[sum])?;
    writer.binary(BinaryOp::Div, distance, deviation)
}

/// The position of an extreme: the rest is least, and where all is least the last position is that of this run.
pub(super) fn arg_reduce(writer: &mut Writer<'_>, call: &Call, op: &Op, max: bool, axis: usize) -> Ruled {
    let Some(symbol) = call.axes[0][axis].size else { return writer.append(op.clone(), &call.operands) };
    let dtype = writer.graph.ty(call.operands[0]).dtype;
    let x = writer.filled(call.operands[0], &call.axes[0], &[axis], if max { Scalar::lowest(dtype) } else { Scalar::highest(dtype) })?;
    let found = writer.append(op.clone(), &[x])?;
    let (size, one) = (writer.scalar(symbol), writer.number(DType::I64, 1.0));
    let size = writer.cast(DType::I64, size)?;
    let last = writer.binary(BinaryOp::Sub, size, one)?;
    writer.binary(BinaryOp::Min, found, last)
}

/// The best elements: the rest comes last, since of equal elements the earlier comes first.
pub(super) fn top_k(writer: &mut Writer<'_>, id: OpId, x: ValueId, axes: &[Axis]) -> Result<Vec<ValueId>, RuleError> {
    let op = writer.node(id).op.clone();
    let Op::TopK { axis, largest, .. } = op else { return refuse("it is no selection of the best") };
    let dtype = writer.graph.ty(x).dtype;
    let x = writer.filled(x, axes, &[axis as usize], if largest { Scalar::lowest(dtype) } else { Scalar::highest(dtype) })?;
    let types = writer.result_types(id);
    Ok(writer.push_all(op, &[x], types))
}

/// Softmax: the rest weighs nothing.
pub(super) fn softmax(writer: &mut Writer<'_>, call: &Call, op: &Op, axis: usize) -> Ruled {
    let dtype = writer.graph.ty(call.operands[0]).dtype;
    let x = writer.filled(call.operands[0], &call.axes[0], &call.varying(0, [axis]), Scalar::lowest(dtype))?;
    writer.append(op.clone(), &[x])
}

/// A product: where the axis that is summed over varies, both rests are zeros, so that no rest meets a number that is not finite.
pub(super) fn matmul(writer: &mut Writer<'_>, call: &Call) -> Ruled {
    let mut operands = call.operands.clone();
    for (index, operand) in operands.iter_mut().enumerate() {
        let axes = &call.axes[index];
        let summed = if index == 0 || axes.len() == 1 { axes.len() - 1 } else { axes.len() - 2 };
        let zero = Scalar::of(writer.graph.ty(*operand).dtype, 0);
        *operand = writer.filled(*operand, axes, &call.varying(index, [summed]), zero)?;
    }
    writer.append(Op::MatMul, &operands)
}

/// Attention over as many keys as there are: the mask takes the rest out, and keys and values of the rest are zeros, which no weight of 0 turns into what is not finite.
pub(super) fn attention(writer: &mut Writer<'_>, call: &Call, op: &Op) -> Ruled {
    // Heads are apart from each other, so that their number may vary.
    if call.varies(0, 3) || call.varies(2, 3) {
        return refuse("attention is not compiled with heads whose size varies; give it a constant size");
    }
    let Some(symbol) = call.axes[1][1].size else { return writer.append(op.clone(), &call.operands) };
    let zero = Scalar::f32(0.0);
    let key = writer.filled(call.operands[1], &call.axes[1], &[1], zero)?;
    let value = writer.filled(call.operands[2], &call.axes[2], &[1], zero)?;
    let live = writer.is_live(4, 3, Axis { max: call.axes[1][1].max, size: Some(symbol) })?;
    let live = live.ok_or_else(|| RuleError::Refused("its keys do not vary".into()))?;
    let mask = match call.operands.get(3) {
        Some(&mask) => mask,
        None => writer.number(DType::F32, 0.0),
    };
    let out = writer.constant(crate::tensor::Tensor::scalar(f32::NEG_INFINITY));
    let mask = writer.select(live, mask, out)?;
    writer.append(op.clone(), &[call.operands[0], key, value, mask])
}
