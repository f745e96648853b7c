//! Functions of single elements.

use super::{Append, Builder, Call, Made};
use mlp_analysis::LayerIntrinsic;
use mlp_graph::op::{BinaryOp, CompareOp, UnaryOp};
use mlp_graph::{Op, ValueId};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

pub(super) fn activation(call: &Call<'_>, layer: LayerIntrinsic, to: &mut Builder<'_>) -> Made {
    let x = call.value("x")?;
    match layer {
        LayerIntrinsic::Relu6 => clamped(x, to),
        LayerIntrinsic::LeakyRelu => {
            let scaled = to.with_number(BinaryOp::Mul, x, call.number("slope")?)?;
            let zero = to.scalar(0.0);
            let positive = to.compare(CompareOp::Lt, zero, x)?;
            to.op(Op::Select, &[positive, x, scaled])
        }
        LayerIntrinsic::Gelu if call.is("approximate", "tanh") => gelu_by_tanh(x, to),
        LayerIntrinsic::Gelu => {
            let scaled = to.with_number(BinaryOp::Mul, x, FRAC_1_SQRT_2)?;
            let gate = to.unary(UnaryOp::Erf, scaled)?;
            gated(x, gate, to)
        }
        LayerIntrinsic::Silu => {
            let gate = sigmoid(x, to)?;
            to.binary(BinaryOp::Mul, x, gate)
        }
        LayerIntrinsic::HardSigmoid => hard_sigmoid(x, to),
        LayerIntrinsic::HardSwish => {
            let gate = hard_sigmoid(x, to)?;
            to.binary(BinaryOp::Mul, x, gate)
        }
        LayerIntrinsic::Sigmoid => sigmoid(x, to),
        LayerIntrinsic::Tanh => to.unary(UnaryOp::Tanh, x),
        _ => Err("it is no activation".to_owned()),
    }
}

/// `min(max(x, 0), 6)`
fn clamped(x: ValueId, to: &mut Builder<'_>) -> Made {
    let raised = to.with_number(BinaryOp::Max, x, 0.0)?;
    to.with_number(BinaryOp::Min, raised, 6.0)
}

/// `1 / (1 + e^-x)`
pub(super) fn sigmoid(x: ValueId, to: &mut Builder<'_>) -> Made {
    let negated = to.unary(UnaryOp::Neg, x)?;
    let power = to.unary(UnaryOp::Exp, negated)?;
    let sum = to.with_number(BinaryOp::Add, power, 1.0)?;
    let one = to.scalar(1.0);
    to.binary(BinaryOp::Div, one, sum)
}

/// `min(max(x + 3, 0), 6) / 6`
fn hard_sigmoid(x: ValueId, to: &mut Builder<'_>) -> Made {
    let moved = to.with_number(BinaryOp::Add, x, 3.0)?;
    let clamped = clamped(moved, to)?;
    to.with_number(BinaryOp::Div, clamped, 6.0)
}

/// `x / 2 * (1 + gate)`
fn gated(x: ValueId, gate: ValueId, to: &mut Builder<'_>) -> Made {
    let sum = to.with_number(BinaryOp::Add, gate, 1.0)?;
    let half = to.with_number(BinaryOp::Mul, x, 0.5)?;
    to.binary(BinaryOp::Mul, half, sum)
}

/// The gate is `tanh(sqrt(2 / pi) * (x + 0.044715 x^3))`.
fn gelu_by_tanh(x: ValueId, to: &mut Builder<'_>) -> Made {
    let square = to.binary(BinaryOp::Mul, x, x)?;
    let scaled = to.with_number(BinaryOp::Mul, square, 0.044715)?;
    let factor = to.with_number(BinaryOp::Add, scaled, 1.0)?;
    let product = to.binary(BinaryOp::Mul, x, factor)?;
    let inner = to.with_number(BinaryOp::Mul, product, FRAC_2_SQRT_PI * FRAC_1_SQRT_2)?;
    let gate = to.unary(UnaryOp::Tanh, inner)?;
    gated(x, gate, to)
}
