//! Normalizations.

use super::{Append, Builder, Call, Made};
use mlp_analysis::LayerIntrinsic;
use mlp_graph::Op;
use mlp_graph::op::{BinaryOp, ReduceKind, UnaryOp};

pub(super) fn batch_norm(call: &Call<'_>, to: &mut Builder<'_>) -> Made {
    let mut operands = vec![call.value("x")?];
    for name in ["weight", "bias", "running_mean", "running_var"] {
        operands.push(call.weight(name, to)?);
    }
    to.op(Op::BatchNorm { epsilon: (call.number("epsilon")? as f32).to_bits() }, &operands)
}

/// Layer normalization and that by the root mean square, along the last axis.
pub(super) fn rows(call: &Call<'_>, layer: LayerIntrinsic, to: &mut Builder<'_>) -> Made {
    let x = call.value("x")?;
    let axis = to.dims(x).len().saturating_sub(1) as u32;
    let epsilon = (call.number("epsilon")? as f32).to_bits();
    let normal = to.op(Op::Normalize { axis, epsilon, centred: layer == LayerIntrinsic::LayerNorm }, &[x])?;
    let weight = call.weight("weight", to)?;
    let scaled = to.binary(BinaryOp::Mul, normal, weight)?;
    match call.optional_weight("bias", to)? {
        Some(bias) => to.binary(BinaryOp::Add, scaled, bias),
        None => Ok(scaled),
    }
}

/// `x / max(sqrt(sum(x * x)), 1e-12)`, as `torch.nn.functional.normalize`.
pub(super) fn unit_length(call: &Call<'_>, to: &mut Builder<'_>) -> Made {
    let x = call.value("x")?;
    let axis = to.dims(x).len().saturating_sub(1) as u32;
    let square = to.binary(BinaryOp::Mul, x, x)?;
    let sum = to.op(Op::Reduce { kind: ReduceKind::Sum, axes: vec![axis], keep: true }, &[square])?;
    let length = to.unary(UnaryOp::Sqrt, sum)?;
    let safe = to.with_number(BinaryOp::Max, length, 1e-12)?;
    to.binary(BinaryOp::Div, x, safe)
}
