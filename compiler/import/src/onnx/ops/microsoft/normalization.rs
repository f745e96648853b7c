//! Layer normalizations with the sum before them.

use super::DOMAIN;
use crate::onnx::node::{Imported, NodeImport, One, Problem};
use crate::onnx::ops::Row;
use crate::onnx::ops::normalization::{Normalized, normalize, normalize_by_root, simplified, widened};
use mlp_graph::op::BinaryOp;
use mlp_graph::{DType, ValueId};

pub(super) const TABLE: &[Row] = &[
    // ONNX Runtime writes it in ONNX's own domain, where no specification has it; older tools in its own.
    ("", "SimplifiedLayerNormalization", simplified),
    (DOMAIN, "SimplifiedLayerNormalization", simplified),
    (DOMAIN, "SkipLayerNormalization", skip_layer),
    (DOMAIN, "SkipSimplifiedLayerNormalization", skip_simplified),
];

/// Inputs: `input, skip, gamma, beta, bias`; results: the normalized sum, means, reciprocal deviations, the sum.
fn skip_layer(node: &mut NodeImport<'_>) -> Imported {
    let dtype = node.dtype(node.input(0)?);
    let sum = summed(node, 4)?;
    let (gamma, beta) = (node.input(2)?, node.optional(3));
    let Affine { y, mean, reciprocal } = affine(node, sum, gamma, beta, 1e-12)?;
    Ok(vec![node.cast(dtype, y)?, mean, reciprocal, node.cast(dtype, sum)?])
}

/// Inputs: `input, skip, gamma, bias`; results as above, though there is no mean.
fn skip_simplified(node: &mut NodeImport<'_>) -> Imported {
    let dtype = node.dtype(node.input(0)?);
    let sum = summed(node, 3)?;
    let epsilon = f64::from(node.attributes.float("epsilon")?.unwrap_or(1e-12));
    let axes = [node.rank(sum).saturating_sub(1)];
    let (value, reciprocal) = normalize_by_root(node, sum, &axes, epsilon)?;
    let gamma = node.input(2)?;
    let gamma = node.cast(node.dtype(value), gamma)?;
    let y = node.binary(BinaryOp::Mul, value, gamma)?;
    let y = node.cast(dtype, y)?;
    let mut dims = node.dims(reciprocal);
    dims.fill(1);
    let none = node.scalar(DType::F32, 0.0);
    let mean = node.reshape(none, &dims)?;
    Ok(vec![y, mean, reciprocal, node.cast(dtype, sum)?])
}

/// The first input, the second, and the bias where there is one; narrow floats are widened.
fn summed(node: &mut NodeImport<'_>, bias: usize) -> One {
    let wide = widened(node.dtype(node.input(0)?));
    let (x, skip) = (node.input(0)?, node.input(1)?);
    let (x, skip) = (node.cast(wide, x)?, node.cast(wide, skip)?);
    let sum = node.binary(BinaryOp::Add, x, skip)?;
    let Some(bias) = node.optional(bias) else { return Ok(sum) };
    let bias = node.cast(wide, bias)?;
    node.binary(BinaryOp::Add, sum, bias)
}

/// A layer normalization over the last axis.
pub(super) struct Affine {
    pub(super) y: ValueId,
    mean: ValueId,
    reciprocal: ValueId,
}

/// `(x - mean) / sqrt(variance + epsilon) * gamma + beta` over the last axis, rounded once; the attribute `epsilon` has this default.
pub(super) fn affine(
    node: &mut NodeImport<'_>,
    x: ValueId,
    gamma: ValueId,
    beta: Option<ValueId>,
    epsilon: f32,
) -> Result<Affine, Problem> {
    let epsilon = f64::from(node.attributes.float("epsilon")?.unwrap_or(epsilon));
    let dtype = node.dtype(x);
    let wide = widened(dtype);
    let x = node.cast(wide, x)?;
    let axes = [node.rank(x).saturating_sub(1)];
    let Normalized { value, mean, reciprocal } = normalize(node, x, &axes, epsilon)?;
    let gamma = node.cast(wide, gamma)?;
    let mut y = node.binary(BinaryOp::Mul, value, gamma)?;
    if let Some(beta) = beta {
        let beta = node.cast(wide, beta)?;
        y = node.binary(BinaryOp::Add, y, beta)?;
    }
    Ok(Affine { y: node.cast(dtype, y)?, mean, reciprocal })
}
