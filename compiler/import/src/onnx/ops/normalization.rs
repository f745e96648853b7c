//! Normalizations. Batch normalization for inference is one operation; the others are made of reductions and maps.

use super::Row;
use crate::onnx::node::{Imported, NodeImport, Problem, invalid, unsupported};
use mlp_graph::op::{BinaryOp, ReduceKind, UnaryOp};
use mlp_graph::{DType, Op, ValueId};

pub(super) const TABLE: &[Row] = &[
    ("", "BatchNormalization", batch),
    ("", "InstanceNormalization", instance),
    ("", "LayerNormalization", layer),
    ("", "RMSNormalization", root_mean_square),
    ("", "MeanVarianceNormalization", mean_variance),
    ("", "LpNormalization", lp),
    ("", "LRN", local_response),
    ("", "GroupNormalization", group),
];

fn batch(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let epsilon = node.attributes.float("epsilon")?.unwrap_or(1e-5);
    let momentum = f64::from(node.attributes.float("momentum")?.unwrap_or(0.9));
    if node.attributes.int("spatial")?.unwrap_or(1) != 1 {
        return unsupported("spatial = 0 normalizes each position apart; export the model with a newer operator set");
    }
    if node.opset < 7 && node.attributes.int("is_test")?.unwrap_or(0) == 0 {
        return unsupported("is_test = 0 means training; export the model for inference");
    }
    let training = node.attributes.int("training_mode")?.unwrap_or(0) != 0;
    if node.opset < 14 && (1..5).any(|output| node.wants(output)) {
        return unsupported("outputs past the first belong to training; export the model for inference");
    }
    // Statistics and parameters may be wider than the data.
    let dtype = node.dtype(x);
    let mut parameters = Vec::new();
    for input in 1..5 {
        let parameter = node.input(input)?;
        parameters.push(parameter);
    }
    let wide = if dtype == DType::F16 || dtype == DType::BF16 { DType::F32 } else { dtype };
    let input = node.cast(wide, x)?;
    for parameter in &mut parameters {
        *parameter = node.cast(wide, *parameter)?;
    }
    let op = Op::BatchNorm { epsilon: epsilon.to_bits() };
    if !training {
        let y = node.emit(op, &[input, parameters[0], parameters[1], parameters[2], parameters[3]])?;
        return Ok(vec![node.cast(dtype, y)?]);
    }
    let axes: Vec<usize> = (0..node.rank(x)).filter(|&axis| axis != 1).collect();
    let mean = node.reduce(ReduceKind::Mean, &axes, true, input)?;
    let difference = node.binary(BinaryOp::Sub, input, mean)?;
    let square = node.binary(BinaryOp::Mul, difference, difference)?;
    let channels = node.dims(parameters[0]);
    let variance = node.reduce(ReduceKind::Mean, &axes, false, square)?;
    let mean = node.reshape(mean, &channels)?;
    let y = node.emit(op, &[input, parameters[0], parameters[1], mean, variance])?;
    let mut results = vec![node.cast(dtype, y)?];
    for (output, (old, new)) in [(parameters[2], mean), (parameters[3], variance)].into_iter().enumerate() {
        let kept = node.with_number(BinaryOp::Mul, old, momentum)?;
        let added = node.with_number(BinaryOp::Mul, new, 1.0 - momentum)?;
        let running = node.binary(BinaryOp::Add, kept, added)?;
        let stored = node.dtype(node.input(3 + output)?);
        results.push(node.cast(stored, running)?);
    }
    Ok(results)
}

/// What normalizing over axes yields: the normalized values, the means, and the reciprocal deviations.
pub(super) struct Normalized {
    pub(super) value: ValueId,
    pub(super) mean: ValueId,
    pub(super) reciprocal: ValueId,
}

/// `(x - mean) / sqrt(variance + epsilon)` over axes.
pub(super) fn normalize(node: &mut NodeImport<'_>, x: ValueId, axes: &[usize], epsilon: f64) -> Result<Normalized, Problem> {
    let mean = node.reduce(ReduceKind::Mean, axes, true, x)?;
    let difference = node.binary(BinaryOp::Sub, x, mean)?;
    let square = node.binary(BinaryOp::Mul, difference, difference)?;
    let variance = node.reduce(ReduceKind::Mean, axes, true, square)?;
    let safe = node.with_number(BinaryOp::Add, variance, epsilon)?;
    let deviation = node.unary(UnaryOp::Sqrt, safe)?;
    let one = node.scalar(node.dtype(x), 1.0);
    let reciprocal = node.binary(BinaryOp::Div, one, deviation)?;
    let value = node.binary(BinaryOp::Mul, difference, reciprocal)?;
    Ok(Normalized { value, mean, reciprocal })
}

fn instance(node: &mut NodeImport<'_>) -> Imported {
    let (x, scale, bias) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let epsilon = f64::from(node.attributes.float("epsilon")?.unwrap_or(1e-5));
    let rank = node.rank(x);
    if rank < 3 {
        return invalid(format!("the input must have spatial axes, but has rank {rank}"));
    }
    let axes: Vec<usize> = (2..rank).collect();
    let normalized = normalize(node, x, &axes, epsilon)?.value;
    let mut shape = node.dims(scale);
    shape.resize(rank - 1, 1);
    let (scale, bias) = (node.reshape(scale, &shape)?, node.reshape(bias, &shape)?);
    let scaled = node.binary(BinaryOp::Mul, normalized, scale)?;
    Ok(vec![node.binary(BinaryOp::Add, scaled, bias)?])
}

/// `F32` for narrower floats, and any other element type itself.
pub(super) fn widened(dtype: DType) -> DType {
    if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype }
}

/// The element type that sums over axes are computed in: `stash_type` 1 asks for `F32` at least.
fn stash(node: &NodeImport<'_>, dtype: DType) -> Result<DType, Problem> {
    match node.attributes.int("stash_type")?.unwrap_or(1) {
        1 => Ok(widened(dtype)),
        other => unsupported(format!("stash_type {other}; only 1 (FLOAT) is supported")),
    }
}

fn layer(node: &mut NodeImport<'_>) -> Imported {
    let (x, scale, bias) = (node.input(0)?, node.input(1)?, node.optional(2));
    let epsilon = f64::from(node.attributes.float("epsilon")?.unwrap_or(1e-5));
    let rank = node.rank(x);
    let first = node.axis(node.attributes.int("axis")?.unwrap_or(-1), rank)?;
    let dtype = node.dtype(x);
    let wide = stash(node, dtype)?;
    let input = node.cast(wide, x)?;
    let axes: Vec<usize> = (first..rank).collect();
    let Normalized { value, mean, reciprocal } = normalize(node, input, &axes, epsilon)?;
    let value = node.cast(dtype, value)?;
    let mut y = node.binary(BinaryOp::Mul, value, scale)?;
    if let Some(bias) = bias {
        y = node.binary(BinaryOp::Add, y, bias)?;
    }
    Ok(vec![y, mean, reciprocal])
}

fn root_mean_square(node: &mut NodeImport<'_>) -> Imported {
    let (x, scale) = (node.input(0)?, node.input(1)?);
    let dtype = node.dtype(x);
    let (value, _) = by_root(node, x)?;
    let value = node.cast(dtype, value)?;
    Ok(vec![node.binary(BinaryOp::Mul, value, scale)?])
}

/// The same before ONNX had it; the result has the scale's element type. Results: the normalized values, and reciprocal roots of the mean squares.
pub(super) fn simplified(node: &mut NodeImport<'_>) -> Imported {
    let (x, scale) = (node.input(0)?, node.input(1)?);
    let dtype = node.dtype(scale);
    let (value, reciprocal) = by_root(node, x)?;
    let value = node.cast(dtype, value)?;
    Ok(vec![node.binary(BinaryOp::Mul, value, scale)?, reciprocal])
}

/// `x` over the root of its mean square from the attribute `axis` on, and the reciprocal of that root.
fn by_root(node: &mut NodeImport<'_>, x: ValueId) -> Result<(ValueId, ValueId), Problem> {
    let epsilon = f64::from(node.attributes.float("epsilon")?.unwrap_or(1e-5));
    let rank = node.rank(x);
    let first = node.axis(node.attributes.int("axis")?.unwrap_or(-1), rank)?;
    let wide = stash(node, node.dtype(x))?;
    let input = node.cast(wide, x)?;
    let axes: Vec<usize> = (first..rank).collect();
    normalize_by_root(node, input, &axes, epsilon)
}

/// `x / sqrt(mean(x * x) + epsilon)` over axes, and the reciprocal of that root.
pub(super) fn normalize_by_root(
    node: &mut NodeImport<'_>,
    x: ValueId,
    axes: &[usize],
    epsilon: f64,
) -> Result<(ValueId, ValueId), Problem> {
    let square = node.binary(BinaryOp::Mul, x, x)?;
    let mean = node.reduce(ReduceKind::Mean, axes, true, square)?;
    let safe = node.with_number(BinaryOp::Add, mean, epsilon)?;
    let root = node.unary(UnaryOp::Sqrt, safe)?;
    let one = node.scalar(node.dtype(x), 1.0);
    let reciprocal = node.binary(BinaryOp::Div, one, root)?;
    Ok((node.binary(BinaryOp::Div, x, root)?, reciprocal))
}

/// Normalization over the channels of a group and all positions. Scale and bias are one a group before operator set 21, and one a channel from then on.
fn group(node: &mut NodeImport<'_>) -> Imported {
    let (x, scale, bias) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let epsilon = f64::from(node.attributes.float("epsilon")?.unwrap_or(1e-5));
    let dims = node.dims(x);
    let groups = node.attributes.int("num_groups")?.and_then(|groups| u64::try_from(groups).ok()).unwrap_or(0);
    if dims.len() < 2 || groups == 0 || !dims[1].is_multiple_of(groups) {
        return invalid(format!("an input of shape {dims:?} does not have channels that make up {groups} groups"));
    }
    let dtype = node.dtype(x);
    let wide = if node.opset < 21 { widened(dtype) } else { stash(node, dtype)? };
    let members: u64 = dims[1..].iter().product::<u64>() / groups;
    let split = node.cast(wide, x)?;
    let split = node.reshape(split, &[dims[0], groups, members])?;
    let mut y = normalize(node, split, &[2], epsilon)?.value;
    let (parameters, axes) = if node.opset < 21 { (groups, 2) } else { (dims[1], dims.len() - 1) };
    if node.dims(scale) != [parameters] || node.dims(bias) != [parameters] {
        return invalid(format!("scale and bias have shapes {:?} and {:?} for {parameters}", node.dims(scale), node.dims(bias)));
    }
    if node.opset >= 21 {
        y = node.reshape(y, &dims)?;
        y = node.cast(dtype, y)?;
    }
    let mut shape = vec![parameters];
    shape.resize(axes, 1);
    let (scale, bias) = (node.cast(node.dtype(y), scale)?, node.cast(node.dtype(y), bias)?);
    let (scale, bias) = (node.reshape(scale, &shape)?, node.reshape(bias, &shape)?);
    let y = node.binary(BinaryOp::Mul, y, scale)?;
    let y = node.binary(BinaryOp::Add, y, bias)?;
    let y = node.reshape(y, &dims)?;
    Ok(vec![node.cast(dtype, y)?])
}

/// As ONNX defines it: the deviation, not the variance, gets 1e-9 added.
fn mean_variance(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let rank = node.rank(x);
    let axes = node.axes(node.attributes.ints("axes")?.unwrap_or(&[0, 2, 3]), rank)?;
    let mean = node.reduce(ReduceKind::Mean, &axes, true, x)?;
    let difference = node.binary(BinaryOp::Sub, x, mean)?;
    let square = node.binary(BinaryOp::Mul, difference, difference)?;
    let variance = node.reduce(ReduceKind::Mean, &axes, true, square)?;
    let deviation = node.unary(UnaryOp::Sqrt, variance)?;
    let safe = node.with_number(BinaryOp::Add, deviation, 1e-9)?;
    Ok(vec![node.binary(BinaryOp::Div, difference, safe)?])
}

/// Most neighbours that a local response normalization sums over: each is an addition.
const MOST_NEIGHBOURS: i64 = 64;

/// `x / (bias + alpha / size * sum of the squares of size neighbours along the channels) ^ beta`, zeros beyond the channels.
fn local_response(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let number = |value: Option<f32>, default: f32| f64::from(value.unwrap_or(default));
    let (alpha, beta) = (number(node.attributes.float("alpha")?, 1e-4), number(node.attributes.float("beta")?, 0.75));
    let bias = number(node.attributes.float("bias")?, 1.0);
    let dims = node.dims(x);
    if dims.len() < 2 {
        return invalid(format!("the input must have a batch and channels, but has shape {dims:?}"));
    }
    let size = match node.attributes.int("size")? {
        Some(size) if (1..=MOST_NEIGHBOURS).contains(&size) => size as u64,
        Some(size) if size > MOST_NEIGHBOURS => {
            return unsupported(format!("size = {size}; at most {MOST_NEIGHBOURS} neighbours are summed"));
        }
        other => return invalid(format!("the attribute `size` must be a positive number, not {other:?}")),
    };
    let square = node.binary(BinaryOp::Mul, x, x)?;
    let pads = |count: u64| (0..dims.len()).map(|axis| if axis == 1 { count } else { 0 }).collect::<Vec<u64>>();
    let zero = node.scalar(node.dtype(x), 0.0);
    let before = (size - 1) / 2;
    let padded = node.emit(Op::Pad { before: pads(before), after: pads(size - 1 - before) }, &[square, zero])?;
    let neighbour = |node: &mut NodeImport<'_>, first: u64| {
        let starts = pads(first).into_iter().map(|start| start as i64).collect();
        node.slice(padded, starts, vec![1; dims.len()], &dims)
    };
    let mut sum = neighbour(node, 0)?;
    for first in 1..size {
        let next = neighbour(node, first)?;
        sum = node.binary(BinaryOp::Add, sum, next)?;
    }
    let scaled = node.with_number(BinaryOp::Mul, sum, alpha / size as f64)?;
    let base = node.with_number(BinaryOp::Add, scaled, bias)?;
    let divisor = node.with_number(BinaryOp::Pow, base, beta)?;
    Ok(vec![node.binary(BinaryOp::Div, x, divisor)?])
}

/// Division by the norm along an axis; where that is 0 the result is 0.
fn lp(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let axis = node.axis(node.attributes.int("axis")?.unwrap_or(-1), node.rank(x))?;
    let norm = match node.attributes.int("p")?.unwrap_or(2) {
        1 => {
            let size = node.unary(UnaryOp::Abs, x)?;
            node.reduce(ReduceKind::Sum, &[axis], true, size)?
        }
        2 => {
            let square = node.binary(BinaryOp::Mul, x, x)?;
            let sum = node.reduce(ReduceKind::Sum, &[axis], true, square)?;
            node.unary(UnaryOp::Sqrt, sum)?
        }
        other => return unsupported(format!("p = {other}; 1 and 2 are supported")),
    };
    let zero = node.scalar(node.dtype(x), 0.0);
    let one = node.scalar(node.dtype(x), 1.0);
    let nothing = node.compare(mlp_graph::op::CompareOp::Eq, norm, zero)?;
    let divisor = node.select(nothing, one, norm)?;
    Ok(vec![node.binary(BinaryOp::Div, x, divisor)?])
}
