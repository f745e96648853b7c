//! Activations, as the maps they are made of.

use super::Row;
use super::normalization::widened;
use crate::onnx::node::{Imported, NodeImport, One, invalid};
use mlp_graph::ValueId;
use mlp_graph::op::{BinaryOp, CompareOp, UnaryOp};

pub(super) const TABLE: &[Row] = &[
    ("", "Relu", relu),
    ("", "LeakyRelu", leaky_relu),
    ("", "PRelu", prelu),
    ("", "ThresholdedRelu", thresholded_relu),
    ("", "Sigmoid", |node| in_single(node, sigmoid)),
    ("", "HardSigmoid", hard_sigmoid),
    ("", "HardSwish", hard_swish),
    ("", "Swish", |node| in_single(node, |node, x| swish(node, x, 1.0))),
    ("", "Elu", |node| in_single(node, elu)),
    ("", "Celu", |node| in_single(node, celu)),
    ("", "Selu", |node| in_single(node, selu)),
    ("", "Softplus", |node| in_single(node, softplus)),
    ("", "Softsign", softsign),
    ("", "Mish", |node| in_single(node, mish)),
    ("", "Gelu", |node| in_single(node, gelu)),
    ("", "SwiGLU", swiglu),
];

/// A function of the input that takes several steps: for narrow floats in `F32`, so that it is rounded once.
pub(super) fn in_single(node: &mut NodeImport<'_>, map: fn(&mut NodeImport<'_>, ValueId) -> One) -> Imported {
    let x = node.input(0)?;
    let dtype = node.dtype(x);
    let wide = widened(dtype);
    let x = node.cast(wide, x)?;
    let y = map(node, x)?;
    Ok(vec![node.cast(dtype, y)?])
}

/// `x > 0 ? x : otherwise`, a NaN taking `otherwise`.
pub(super) fn where_positive(node: &mut NodeImport<'_>, x: ValueId, yes: ValueId, no: ValueId) -> One {
    let zero = node.scalar(node.dtype(x), 0.0);
    let positive = node.compare(CompareOp::Lt, zero, x)?;
    node.select(positive, yes, no)
}

fn relu(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    Ok(vec![node.with_number(BinaryOp::Max, x, 0.0)?])
}

fn leaky_relu(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let alpha = node.attributes.float("alpha")?.unwrap_or(0.01);
    let scaled = node.with_number(BinaryOp::Mul, x, f64::from(alpha))?;
    Ok(vec![where_positive(node, x, x, scaled)?])
}

fn prelu(node: &mut NodeImport<'_>) -> Imported {
    let (x, mut slope) = (node.input(0)?, node.input(1)?);
    // Before operator set 7 slopes go along the channels, and not along the last axis.
    if node.opset < 7 && node.rank(slope) == 1 {
        let mut dims = node.dims(slope);
        dims.resize((node.rank(x).max(2)) - 1, 1);
        slope = node.reshape(slope, &dims)?;
    }
    let scaled = node.binary(BinaryOp::Mul, x, slope)?;
    Ok(vec![where_positive(node, x, x, scaled)?])
}

fn thresholded_relu(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let alpha = node.attributes.float("alpha")?.unwrap_or(1.0);
    let alpha = node.scalar(node.dtype(x), f64::from(alpha));
    let zero = node.scalar(node.dtype(x), 0.0);
    let above = node.compare(CompareOp::Lt, alpha, x)?;
    Ok(vec![node.select(above, x, zero)?])
}

/// `1 / (1 + e^-x)`.
pub(super) fn sigmoid(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let negated = node.unary(UnaryOp::Neg, x)?;
    let exp = node.unary(UnaryOp::Exp, negated)?;
    let sum = node.with_number(BinaryOp::Add, exp, 1.0)?;
    let one = node.scalar(node.dtype(x), 1.0);
    node.binary(BinaryOp::Div, one, sum)
}

/// `x * slope + offset` in `0..=1`.
pub(super) fn ramp(node: &mut NodeImport<'_>, x: ValueId, slope: f64, offset: f64) -> One {
    let scaled = node.with_number(BinaryOp::Mul, x, slope)?;
    let moved = node.with_number(BinaryOp::Add, scaled, offset)?;
    let bounded = node.with_number(BinaryOp::Max, moved, 0.0)?;
    node.with_number(BinaryOp::Min, bounded, 1.0)
}

fn hard_sigmoid(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let alpha = node.attributes.float("alpha")?.unwrap_or(0.2);
    let beta = node.attributes.float("beta")?.unwrap_or(0.5);
    Ok(vec![ramp(node, x, f64::from(alpha), f64::from(beta))?])
}

fn hard_swish(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let gate = ramp(node, x, 1.0 / 6.0, 0.5)?;
    Ok(vec![node.binary(BinaryOp::Mul, x, gate)?])
}

/// `x * sigmoid(alpha * x)` with the attribute `alpha`.
pub(super) fn swish(node: &mut NodeImport<'_>, x: ValueId, default: f32) -> One {
    let alpha = f64::from(node.attributes.float("alpha")?.unwrap_or(default));
    swish_of(node, x, alpha)
}

/// `scale * (e^(x / divisor) - 1)`. The exponent is bounded at 0, so that the branch not taken is finite.
pub(super) fn exponential_tail(node: &mut NodeImport<'_>, x: ValueId, scale: f64, divisor: f64) -> One {
    let bounded = node.with_number(BinaryOp::Min, x, 0.0)?;
    let divided = if divisor == 1.0 { bounded } else { node.with_number(BinaryOp::Div, bounded, divisor)? };
    let exp = node.unary(UnaryOp::Exp, divided)?;
    let less = node.with_number(BinaryOp::Sub, exp, 1.0)?;
    node.with_number(BinaryOp::Mul, less, scale)
}

/// `x * sigmoid(alpha * x)`.
pub(super) fn swish_of(node: &mut NodeImport<'_>, x: ValueId, alpha: f64) -> One {
    let scaled = if alpha == 1.0 { x } else { node.with_number(BinaryOp::Mul, x, alpha)? };
    let gate = sigmoid(node, scaled)?;
    node.binary(BinaryOp::Mul, x, gate)
}

fn elu(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let alpha = f64::from(node.attributes.float("alpha")?.unwrap_or(1.0));
    let tail = exponential_tail(node, x, alpha, 1.0)?;
    where_positive(node, x, x, tail)
}

fn celu(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let alpha = f64::from(node.attributes.float("alpha")?.unwrap_or(1.0));
    if alpha == 0.0 {
        return invalid("alpha is 0");
    }
    let tail = exponential_tail(node, x, alpha, alpha)?;
    where_positive(node, x, x, tail)
}

fn selu(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let alpha = f64::from(node.attributes.float("alpha")?.unwrap_or(1.673_263_2));
    let gamma = f64::from(node.attributes.float("gamma")?.unwrap_or(1.050_701));
    let tail = exponential_tail(node, x, alpha * gamma, 1.0)?;
    let scaled = node.with_number(BinaryOp::Mul, x, gamma)?;
    where_positive(node, x, scaled, tail)
}

/// `ln(1 + e^x)`, as `max(x, 0) + ln(1 + e^-|x|)`, which does not overflow.
pub(super) fn softplus(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let size = node.unary(UnaryOp::Abs, x)?;
    let negated = node.unary(UnaryOp::Neg, size)?;
    let exp = node.unary(UnaryOp::Exp, negated)?;
    let sum = node.with_number(BinaryOp::Add, exp, 1.0)?;
    let log = node.unary(UnaryOp::Log, sum)?;
    let positive = node.with_number(BinaryOp::Max, x, 0.0)?;
    node.binary(BinaryOp::Add, positive, log)
}

fn softsign(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let size = node.unary(UnaryOp::Abs, x)?;
    let sum = node.with_number(BinaryOp::Add, size, 1.0)?;
    Ok(vec![node.binary(BinaryOp::Div, x, sum)?])
}

fn mish(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let soft = softplus(node, x)?;
    let gate = node.unary(UnaryOp::Tanh, soft)?;
    node.binary(BinaryOp::Mul, x, gate)
}

/// `swish(gate) * value`.
fn swiglu(node: &mut NodeImport<'_>) -> Imported {
    let (gate, value) = (node.input(0)?, node.input(1)?);
    if node.dims(gate) != node.dims(value) {
        return invalid(format!("the gate has shape {:?} and the value {:?}, but they must be alike", node.dims(gate), node.dims(value)));
    }
    let dtype = node.dtype(gate);
    let wide = widened(dtype);
    let (gate, value) = (node.cast(wide, gate)?, node.cast(wide, value)?);
    let gate = swish(node, gate, 1.0)?;
    let y = node.binary(BinaryOp::Mul, gate, value)?;
    Ok(vec![node.cast(dtype, y)?])
}

/// `x / 2 * (1 + erf(x / sqrt 2))`, or its approximation by `tanh`.
fn gelu(node: &mut NodeImport<'_>, x: ValueId) -> One {
    match node.attributes.string("approximate")?.unwrap_or("none") {
        "none" => gelu_erf(node, x),
        "tanh" => gelu_tanh(node, x),
        other => invalid(format!("approximate is `{other}`")),
    }
}

/// `x / 2 * (1 + erf(x / sqrt 2))`.
pub(super) fn gelu_erf(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let scaled = node.with_number(BinaryOp::Mul, x, std::f64::consts::FRAC_1_SQRT_2)?;
    let gate = node.unary(UnaryOp::Erf, scaled)?;
    half_gated(node, x, gate)
}

/// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`.
pub(super) fn gelu_tanh(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let square = node.binary(BinaryOp::Mul, x, x)?;
    let scaled = node.with_number(BinaryOp::Mul, square, 0.044715)?;
    let factor = node.with_number(BinaryOp::Add, scaled, 1.0)?;
    let product = node.binary(BinaryOp::Mul, x, factor)?;
    let inner = node.with_number(BinaryOp::Mul, product, std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2)?;
    let gate = node.unary(UnaryOp::Tanh, inner)?;
    half_gated(node, x, gate)
}

/// `x / 2 * (1 + gate)`.
fn half_gated(node: &mut NodeImport<'_>, x: ValueId, gate: ValueId) -> One {
    let sum = node.with_number(BinaryOp::Add, gate, 1.0)?;
    let half = node.with_number(BinaryOp::Mul, x, 0.5)?;
    node.binary(BinaryOp::Mul, half, sum)
}
