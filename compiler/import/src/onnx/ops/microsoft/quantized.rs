//! The quantized operators of ONNX Runtime's own domain, in the form of [`quantization`](crate::onnx::ops::quantization).

use super::DOMAIN;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use crate::onnx::ops::Row;
use crate::onnx::ops::activation::{sigmoid, where_positive};
use crate::onnx::ops::matmul::{product, scale};
use crate::onnx::ops::pool::average;
use crate::onnx::ops::quantization::{dequantize, dequantize_bias, params, quantize};
use mlp_graph::op::{BinaryOp, ReduceKind};
use mlp_graph::{DType, Op, ValueId};

pub(super) const TABLE: &[Row] = &[
    (DOMAIN, "QLinearAdd", |node| binary(node, BinaryOp::Add)),
    (DOMAIN, "QLinearMul", |node| binary(node, BinaryOp::Mul)),
    (DOMAIN, "QLinearAveragePool", |node| pooled(node, average)),
    (DOMAIN, "QLinearConcat", concat),
    (DOMAIN, "QLinearGlobalAveragePool", global_average_pool),
    (DOMAIN, "QLinearLeakyRelu", |node| mapped(node, leaky_relu)),
    (DOMAIN, "QLinearSigmoid", |node| mapped(node, sigmoid)),
    (DOMAIN, "QLinearSoftmax", |node| mapped(node, softmax)),
    (DOMAIN, "QLinearWhere", select),
    (DOMAIN, "QGemm", gemm),
];

/// Inputs: `A, A_scale, A_zero, B, B_scale, B_zero, C_scale, C_zero`.
fn binary(node: &mut NodeImport<'_>, op: BinaryOp) -> Imported {
    let (a, b) = (node.input(0)?, node.input(3)?);
    let (a_dims, b_dims) = (node.dims(a), node.dims(b));
    let dtype = node.dtype(a);
    let a_params = params(node, 1, 2, &a_dims, 0, dtype)?;
    let b_params = params(node, 4, 5, &b_dims, 0, dtype)?;
    let (a, b) = (dequantize(node, a, &a_params)?, dequantize(node, b, &b_params)?);
    let y = node.binary(op, a, b)?;
    let dims = node.dims(y);
    let params = params(node, 6, 7, &dims, 0, dtype)?;
    Ok(vec![quantize(node, y, &params)?])
}

/// Inputs: `X, x_scale, x_zero, y_scale, y_zero`.
fn global_average_pool(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dims = node.dims(x);
    let dtype = node.dtype(x);
    let channels_last = node.attributes.int("channels_last")?.unwrap_or(0) != 0;
    if dims.len() < 3 {
        return unsupported(format!("an input of shape {dims:?}; a batch, channels and spatial axes are needed"));
    }
    let axes: Vec<usize> = if channels_last { (1..dims.len() - 1).collect() } else { (2..dims.len()).collect() };
    let x_params = params(node, 1, 2, &dims, 0, dtype)?;
    let x = dequantize(node, x, &x_params)?;
    let y = node.reduce(ReduceKind::Mean, &axes, true, x)?;
    let dims = node.dims(y);
    let params = params(node, 3, 4, &dims, 0, dtype)?;
    Ok(vec![quantize(node, y, &params)?])
}

/// Inputs: `A, a_scale, a_zero, B, b_scale, b_zero, C, y_scale, y_zero`; without `y_scale` the result is float.
fn gemm(node: &mut NodeImport<'_>) -> Imported {
    let (a, b) = (node.input(0)?, node.input(3)?);
    let alpha = node.attributes.float("alpha")?.unwrap_or(1.0);
    let (a_dims, b_dims) = (node.dims(a), node.dims(b));
    let columns = if node.attributes.int("transB")?.unwrap_or(0) != 0 { 0 } else { 1 };
    let a_params = params(node, 1, 2, &a_dims, 0, node.dtype(a))?;
    let b_params = params(node, 4, 5, &b_dims, columns, node.dtype(b))?;
    let bias = node.optional(6);
    if alpha != 1.0 && bias.is_some() {
        return unsupported("a bias together with alpha other than 1");
    }
    let (a, b) = (dequantize(node, a, &a_params)?, dequantize(node, b, &b_params)?);
    let y = product(node, a, b)?;
    let mut y = scale(node, y, alpha)?;
    if let Some(bias) = bias {
        let bias = dequantize_bias(node, bias, &a_params, &b_params)?;
        y = node.binary(BinaryOp::Add, y, bias)?;
    }
    if node.optional(7).is_none() {
        return Ok(vec![y]);
    }
    let dims = node.dims(y);
    let params = params(node, 7, 8, &dims, 0, DType::U8)?;
    Ok(vec![quantize(node, y, &params)?])
}

/// A function of the dequantized input, quantized. Inputs: `X, x_scale, x_zero, y_scale, y_zero`.
fn mapped(node: &mut NodeImport<'_>, map: fn(&mut NodeImport<'_>, ValueId) -> One) -> Imported {
    let x = node.input(0)?;
    let dims = node.dims(x);
    let dtype = node.dtype(x);
    let x_params = params(node, 1, 2, &dims, 0, dtype)?;
    let x = dequantize(node, x, &x_params)?;
    let y = map(node, x)?;
    let dims = node.dims(y);
    let params = params(node, 3, 4, &dims, 0, dtype)?;
    Ok(vec![quantize(node, y, &params)?])
}

fn leaky_relu(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let alpha = f64::from(node.attributes.float("alpha")?.unwrap_or(0.01));
    let scaled = node.with_number(BinaryOp::Mul, x, alpha)?;
    where_positive(node, x, x, scaled)
}

/// Along one axis; before operator set 13, which an attribute tells, along all axes from it on.
fn softmax(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let rank = node.rank(x);
    let flattens = node.attributes.int("opset")?.unwrap_or(13) < 13;
    let axis = node.axis(node.attributes.int("axis")?.unwrap_or(if flattens { 1 } else { -1 }), rank)?;
    if !flattens || axis + 1 == rank {
        return node.emit(Op::Softmax { axis: axis as u32 }, &[x]);
    }
    let dims = node.dims(x);
    let (rows, columns) = dims.split_at(axis);
    let flat = node.reshape(x, &[rows.iter().product(), columns.iter().product()])?;
    let y = node.emit(Op::Softmax { axis: 1 }, &[flat])?;
    node.reshape(y, &dims)
}

/// A pool whose attribute `channels_last` says where channels lie.
fn pooled(node: &mut NodeImport<'_>, pool: fn(&mut NodeImport<'_>, ValueId) -> One) -> Imported {
    let x = node.input(0)?;
    let rank = node.rank(x);
    let channels_last = node.attributes.int("channels_last")?.unwrap_or(0) != 0;
    if rank < 3 {
        return unsupported(format!("an input of shape {:?}; a batch, channels and spatial axes are needed", node.dims(x)));
    }
    let dtype = node.dtype(x);
    let dims = node.dims(x);
    let x_params = params(node, 1, 2, &dims, 0, dtype)?;
    let mut y = dequantize(node, x, &x_params)?;
    if channels_last {
        let first: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
        y = node.transpose(&first, y)?;
    }
    y = pool(node, y)?;
    if channels_last {
        let last: Vec<usize> = [0].into_iter().chain(2..rank).chain([1]).collect();
        y = node.transpose(&last, y)?;
    }
    let dims = node.dims(y);
    let params = params(node, 3, 4, &dims, 0, dtype)?;
    Ok(vec![quantize(node, y, &params)?])
}

/// A value at an input with its scale and zero point behind it, dequantized.
fn dequantized(node: &mut NodeImport<'_>, input: usize) -> Result<ValueId, Problem> {
    let x = node.input(input)?;
    let dims = node.dims(x);
    let params = params(node, input + 1, input + 2, &dims, 0, node.dtype(x))?;
    dequantize(node, x, &params)
}

/// Inputs: `y_scale, y_zero`, then a tensor, its scale and its zero point, again and again.
fn concat(node: &mut NodeImport<'_>) -> Imported {
    let count = node.inputs.len();
    if count < 5 || !(count - 2).is_multiple_of(3) {
        return invalid(format!("there are {count} inputs; a scale and a zero point, then three for each tensor are needed"));
    }
    let parts = (2..count).step_by(3).map(|input| dequantized(node, input)).collect::<Result<Vec<ValueId>, Problem>>()?;
    let dtype = node.dtype(node.input(2)?);
    let Some(axis) = node.attributes.int("axis")? else { return invalid("attribute `axis` is missing") };
    let axis = node.axis(axis, node.rank(parts[0]))? as u32;
    let y = node.emit(Op::Concat { axis }, &parts)?;
    let dims = node.dims(y);
    let params = params(node, 0, 1, &dims, 0, dtype)?;
    Ok(vec![quantize(node, y, &params)?])
}

/// Inputs: `condition`, then `X` and `Y`, each with scale and zero point, then those of the result.
fn select(node: &mut NodeImport<'_>) -> Imported {
    let condition = node.input(0)?;
    let (x, y) = (dequantized(node, 1)?, dequantized(node, 4)?);
    let z = node.select(condition, x, y)?;
    let dims = node.dims(z);
    let params = params(node, 7, 8, &dims, 0, node.dtype(node.input(1)?))?;
    Ok(vec![quantize(node, z, &params)?])
}
