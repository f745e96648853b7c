//! Matrix products.

use super::Row;
use super::byte_weights::integer_product;
use crate::onnx::node::{Imported, NodeImport, One, invalid};
use mlp_graph::op::BinaryOp;
use mlp_graph::{DType, Op, ValueId};

pub(super) const TABLE: &[Row] = &[("", "MatMul", matmul), ("", "Gemm", gemm), ("", "MatMulInteger", matmul_integer)];

fn matmul(node: &mut NodeImport<'_>) -> Imported {
    let (x, y) = (node.input(0)?, node.input(1)?);
    Ok(vec![node.emit(Op::MatMul, &[x, y])?])
}

fn gemm(node: &mut NodeImport<'_>) -> Imported {
    Ok(vec![affine_product(node)?])
}

/// `alpha * A x B + beta * C`, `A` and `B` possibly transposed.
pub(super) fn affine_product(node: &mut NodeImport<'_>) -> One {
    let (a, b, c) = (node.input(0)?, node.input(1)?, node.optional(2));
    let alpha = node.attributes.float("alpha")?.unwrap_or(1.0);
    let beta = node.attributes.float("beta")?.unwrap_or(1.0);
    // Before operator set 7 it says that C stretches, which it does anyway.
    node.attributes.int("broadcast")?;
    let product = product(node, a, b)?;
    let scaled = scale(node, product, alpha)?;
    let Some(c) = c else { return Ok(scaled) };
    let c = scale(node, c, beta)?;
    node.binary(BinaryOp::Add, scaled, c)
}

/// The matrix product that `transA` and `transB` ask for.
pub(super) fn product(node: &mut NodeImport<'_>, a: ValueId, b: ValueId) -> One {
    for matrix in [a, b] {
        if node.rank(matrix) != 2 {
            return invalid(format!("an operand has shape {:?}, but must be a matrix", node.dims(matrix)));
        }
    }
    let (turn_a, turn_b) = (node.attributes.int("transA")?.unwrap_or(0) != 0, node.attributes.int("transB")?.unwrap_or(0) != 0);
    let a = if turn_a { node.transpose(&[1, 0], a)? } else { a };
    let b = if turn_b { node.transpose(&[1, 0], b)? } else { b };
    node.emit(Op::MatMul, &[a, b])
}

pub(super) fn scale(node: &mut NodeImport<'_>, x: ValueId, factor: f32) -> One {
    if factor == 1.0 {
        return Ok(x);
    }
    let dtype = node.dtype(x);
    if !dtype.is_float() && factor.fract() != 0.0 {
        return invalid(format!("integers cannot be scaled by {factor}"));
    }
    let factor = node.scalar(dtype, f64::from(factor));
    node.binary(BinaryOp::Mul, x, factor)
}

fn matmul_integer(node: &mut NodeImport<'_>) -> Imported {
    let (a, b) = (node.input(0)?, node.input(1)?);
    Ok(vec![integer_product(node, a, node.optional(2), b, node.optional(3))?])
}

/// `x` less its zero point in `I32`; of several, one a position of the axis that so many others come after.
pub(super) fn less_zero(node: &mut NodeImport<'_>, x: ValueId, zero: Option<ValueId>, after: usize) -> One {
    let x = node.cast(DType::I32, x)?;
    let Some(zero) = zero else { return Ok(x) };
    let zero = node.cast(DType::I32, zero)?;
    let dims = node.dims(zero);
    let zero = match dims.as_slice() {
        [1] => node.as_scalar(zero, "the zero point")?,
        &[count] if after > 0 => node.reshape(zero, &[&[count], vec![1; after].as_slice()].concat())?,
        _ => zero,
    };
    node.binary(BinaryOp::Sub, x, zero)
}
