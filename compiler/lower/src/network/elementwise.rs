//! Arithmetic, products with weights, and joins.

use super::{Append, Builder, Call, Made};
use mlp_analysis::{LayerIntrinsic, Operand, Operator};
use mlp_graph::Op;
use mlp_graph::op::BinaryOp;

pub(super) fn arithmetic(call: &Call<'_>, op: Operator, to: &mut Builder<'_>) -> Made {
    let op = match op {
        Operator::Add => BinaryOp::Add,
        Operator::Sub => BinaryOp::Sub,
        Operator::Mul => BinaryOp::Mul,
        Operator::Div => BinaryOp::Div,
        _ => return Err(format!("`{}` is no arithmetic", op.symbol())),
    };
    let side = |name: &str, to: &mut Builder<'_>| match call.node.operand(name) {
        Some(Operand::Constant(_)) => call.number(name).map(|number| to.scalar(number)),
        _ => call.value(name),
    };
    let (left, right) = (side("left", to)?, side("right", to)?);
    to.binary(op, left, right)
}

/// `x W^T + b`; the transposed weights are a constant once passes have run.
pub(super) fn dense(call: &Call<'_>, to: &mut Builder<'_>) -> Made {
    let (x, weight) = (call.value("x")?, call.weight("weight", to)?);
    let turned = to.transpose(weight, &[1, 0])?;
    // A vector is a matrix of one row.
    let dims = to.dims(x);
    let rows = if dims.len() == 1 { to.reshape(x, &[1, dims[0]])? } else { x };
    let mut y = to.op(Op::MatMul, &[rows, turned])?;
    if let Some(bias) = call.optional_weight("bias", to)? {
        y = to.binary(BinaryOp::Add, y, bias)?;
    }
    if dims.len() > 1 {
        return Ok(y);
    }
    let out = to.dims(y)[1];
    to.reshape(y, &[out])
}

pub(super) fn concat(call: &Call<'_>, layer: LayerIntrinsic, to: &mut Builder<'_>) -> Made {
    let (a, b) = (call.value("a")?, call.value("b")?);
    let axis = if layer == LayerIntrinsic::Concat { 1 } else { to.dims(a).len().saturating_sub(1) as u32 };
    to.op(Op::Concat { axis }, &[a, b])
}
