//! Matrix products.

use super::Row;
use super::byte_weights::integer_product;
use crate::onnx::node::{Imported, NodeImport, One, invalid, unsupported};
use crate::onnx::padded::{Padded, REFUSED};
use mlp_graph::op::BinaryOp;
use mlp_graph::{DType, Op, ValueId};

pub(super) const TABLE: &[Row] = &[("", "MatMul", matmul), ("", "Gemm", gemm), ("", "MatMulInteger", matmul_integer)];

fn matmul(node: &mut NodeImport<'_>) -> Imported {
    let (x, y) = (node.input(0)?, node.input(1)?);
    let (left, right) = (node.rank(x), node.rank(y));
    let (first, second) = (place(node, x, left.saturating_sub(1)), place(node, y, right.saturating_sub(2)));
    let (a, b) = (summed(node, x, first)?, summed(node, y, second)?);
    let result = node.emit(Op::MatMul, &[a, b])?;
    let beside = |place: Place| match place {
        Place::Beside(padded) if left > 1 && right > 1 => Ok(Some(padded)),
        Place::Beside(_) => unsupported(REFUSED),
        _ => Ok(None),
    };
    let (first, second) = (beside(first)?, beside(second)?);
    let rank = node.rank(result);
    let at_end = |padded: Option<Padded>, own: usize| padded.map(|padded| Padded { axis: padded.axis + rank - own, ..padded });
    node.agreeing(vec![result], &[at_end(first, left), at_end(second, right)])
}

/// Where rows that mean nothing lie in an operand of a product.
#[derive(Clone, Copy)]
enum Place {
    Nowhere,
    /// Along the axis that is summed over.
    Summed,
    /// Along another one.
    Beside(Padded),
}

fn place(node: &NodeImport<'_>, x: ValueId, summed: usize) -> Place {
    match node.padded(x) {
        None => Place::Nowhere,
        Some(padded) if padded.axis == summed => Place::Summed,
        Some(padded) => Place::Beside(padded),
    }
}

/// Zeros in rows that are summed over and mean nothing.
fn summed(node: &mut NodeImport<'_>, x: ValueId, place: Place) -> One {
    if matches!(place, Place::Summed) { node.filled(x, 0.0) } else { Ok(x) }
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
    let mut rows = vec![node.padded(product)];
    let scaled = scale(node, product, alpha)?;
    let mut result = scaled;
    if let Some(c) = c {
        let added = node.rank(product).saturating_sub(node.rank(c));
        rows.push(node.padded(c).map(|padded| Padded { axis: padded.axis + added, ..padded }));
        let c = scale(node, c, beta)?;
        result = node.binary(BinaryOp::Add, scaled, c)?;
    }
    match node.agreed(&rows)? {
        Some(padded) if node.padded(result).is_none() => node.marked(result, padded),
        _ => Ok(result),
    }
}

/// The matrix product that `transA` and `transB` ask for.
pub(super) fn product(node: &mut NodeImport<'_>, a: ValueId, b: ValueId) -> One {
    for matrix in [a, b] {
        if node.rank(matrix) != 2 {
            return invalid(format!("an operand has shape {:?}, but must be a matrix", node.dims(matrix)));
        }
    }
    let (turn_a, turn_b) = (node.attributes.int("transA")?.unwrap_or(0) != 0, node.attributes.int("transB")?.unwrap_or(0) != 0);
    let (first, second) = (place(node, a, usize::from(!turn_a)), place(node, b, usize::from(turn_b)));
    let (a, b) = (summed(node, a, first)?, summed(node, b, second)?);
    let a = if turn_a { node.transpose(&[1, 0], a)? } else { a };
    let b = if turn_b { node.transpose(&[1, 0], b)? } else { b };
    let result = node.emit(Op::MatMul, &[a, b])?;
    let at = |place: Place, axis: usize| match place {
        Place::Beside(padded) => Some(Padded { axis, ..padded }),
        _ => None,
    };
    match node.agreed(&[at(first, 0), at(second, 1)])? {
        Some(padded) => node.marked(result, padded),
        None => Ok(result),
    }
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
