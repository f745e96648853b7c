//! The quantized operators of ONNX Runtime's own domain, in the form of [`super::quantization`].

use super::Row;
use super::matmul::{product, scale};
use super::quantization::{dequantize, dequantize_bias, params, quantize};
use crate::onnx::node::{Imported, NodeImport, unsupported};
use mlp_graph::DType;
use mlp_graph::op::{BinaryOp, ReduceKind};

const DOMAIN: &str = "com.microsoft";

pub(super) const TABLE: &[Row] = &[
    (DOMAIN, "QLinearAdd", |node| binary(node, BinaryOp::Add)),
    (DOMAIN, "QLinearMul", |node| binary(node, BinaryOp::Mul)),
    (DOMAIN, "QLinearGlobalAveragePool", global_average_pool),
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
