//! Convolutions and matrix products with what ONNX Runtime fuses into them.

use super::DOMAIN;
use super::activation::fused;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid};
use crate::onnx::ops::Row;
use crate::onnx::ops::byte_weights::integer_product;
use crate::onnx::ops::conv::convolution;
use crate::onnx::ops::matmul::{affine_product, scale};
use crate::onnx::ops::quantization::dynamically_quantized;
use mlp_graph::op::BinaryOp;
use mlp_graph::{DType, Op, ValueId};

pub(super) const TABLE: &[Row] = &[
    (DOMAIN, "DynamicQuantizeMatMul", dynamic_quantize_matmul),
    (DOMAIN, "FusedConv", fused_conv),
    (DOMAIN, "FusedGemm", fused_gemm),
    (DOMAIN, "FusedMatMul", fused_matmul),
    (DOMAIN, "MatMulIntegerToFloat", matmul_integer_to_float),
    (DOMAIN, "TransposeMatMul", fused_matmul),
];

/// `activation(conv(X, W) + B + Z)`.
fn fused_conv(node: &mut NodeImport<'_>) -> Imported {
    let (x, weights) = (node.input(0)?, node.input(1)?);
    let op = convolution(node, x, weights)?;
    let operands: Vec<ValueId> = [x, weights].into_iter().chain(node.optional(2)).collect();
    let mut y = node.emit(op, &operands)?;
    if let Some(residual) = node.optional(3) {
        y = node.binary(BinaryOp::Add, y, residual)?;
    }
    let name = node.attributes.string("activation")?.unwrap_or("").to_owned();
    let numbers = node.attributes.floats("activation_params")?.unwrap_or(&[]);
    let numbers = [0, 1].map(|index| numbers.get(index).copied());
    Ok(vec![fused(node, &name, numbers, y)?])
}

fn fused_gemm(node: &mut NodeImport<'_>) -> Imported {
    let y = affine_product(node)?;
    let name = node.attributes.string("activation")?.unwrap_or("").to_owned();
    let numbers = [node.attributes.float("activation_alpha")?, node.attributes.float("activation_beta")?];
    // No activation that can be fused has three numbers.
    node.attributes.float("activation_gamma")?;
    Ok(vec![fused(node, &name, numbers, y)?])
}

/// `alpha * A x B`, each operand first with its batch axes moved behind its first matrix axis (`transBatch`), then with its matrix axes swapped (`trans`).
fn fused_matmul(node: &mut NodeImport<'_>) -> Imported {
    let a = turned(node, 0, "transA", "transBatchA")?;
    let b = turned(node, 1, "transB", "transBatchB")?;
    let alpha = node.attributes.float("alpha")?.unwrap_or(1.0);
    let y = node.emit(Op::MatMul, &[a, b])?;
    Ok(vec![scale(node, y, alpha)?])
}

/// `transBatch` says that axis 0 stands where the row axis should: `[M, batch.., K]` is `[batch.., M, K]`.
fn turned(node: &mut NodeImport<'_>, input: usize, swap: &str, batch: &str) -> One {
    let x = node.input(input)?;
    let rank = node.rank(x);
    let (swap, batch) = (node.attributes.int(swap)?.unwrap_or(0) != 0, node.attributes.int(batch)?.unwrap_or(0) != 0);
    if rank < 2 {
        return Ok(x);
    }
    let mut perm: Vec<usize> = (0..rank).collect();
    if batch {
        perm[..rank - 1].rotate_left(1);
    }
    if swap {
        perm.swap(rank - 2, rank - 1);
    }
    node.transpose(&perm, x)
}

/// What is known of an eight-bit matrix.
struct Quantized {
    value: ValueId,
    scale: ValueId,
    zero: Option<ValueId>,
}

/// `(A - a_zero) x (B - b_zero) * a_scale * b_scale + bias`, the sums exact in `I32`.
fn scaled_product(node: &mut NodeImport<'_>, a: &Quantized, b: &Quantized, bias: Option<ValueId>) -> One {
    let dtype = node.dtype(b.scale);
    let sum = integer_product(node, a.value, a.zero, b.value, b.zero)?;
    let sum = node.cast(DType::F32, sum)?;
    let (x, y) = (column_scale(node, a.scale)?, column_scale(node, b.scale)?);
    let scale = node.binary(BinaryOp::Mul, x, y)?;
    let mut result = node.binary(BinaryOp::Mul, sum, scale)?;
    if let Some(bias) = bias {
        let bias = node.cast(DType::F32, bias)?;
        result = node.binary(BinaryOp::Add, result, bias)?;
    }
    node.cast(dtype, result)
}

/// A scale in `F32`: one number, or one a column.
fn column_scale(node: &mut NodeImport<'_>, scale: ValueId) -> Result<ValueId, Problem> {
    let dims = node.dims(scale);
    if dims.len() > 1 {
        return invalid(format!("a scale has shape {dims:?}; one number, or one a column is possible"));
    }
    let scale = node.cast(DType::F32, scale)?;
    if dims == [1] { node.reshape(scale, &[]) } else { Ok(scale) }
}

/// Inputs: `A, B, b_scale, b_zero, bias`; `A` is quantized by its own range.
fn dynamic_quantize_matmul(node: &mut NodeImport<'_>) -> Imported {
    let (a, value, scale) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let [quantized, a_scale, a_zero] = dynamically_quantized(node, a)?;
    let a = Quantized { value: quantized, scale: a_scale, zero: Some(a_zero) };
    let b = Quantized { value, scale, zero: node.optional(3) };
    Ok(vec![scaled_product(node, &a, &b, node.optional(4))?])
}

/// Inputs: `A, B, a_scale, b_scale, a_zero, b_zero, bias`.
fn matmul_integer_to_float(node: &mut NodeImport<'_>) -> Imported {
    let a = Quantized { value: node.input(0)?, scale: node.input(2)?, zero: node.optional(4) };
    let b = Quantized { value: node.input(1)?, scale: node.input(3)?, zero: node.optional(5) };
    if node.dims(a.scale).iter().product::<u64>() != 1 {
        return invalid("the scale of A must be one number");
    }
    Ok(vec![scaled_product(node, &a, &b, node.optional(6))?])
}
