//! Determinants of small matrices, by elimination with pivots.

use super::Row;
use crate::onnx::node::{Imported, NodeImport, invalid, unsupported};
use mlp_graph::op::{BinaryOp, CompareOp, ReduceKind, UnaryOp};
use mlp_graph::{DType, Op};

pub(super) const TABLE: &[Row] = &[("", "Det", determinant)];

/// Largest matrices: each column is a step of its own.
const MOST: u64 = 32;

/// Column by column: the row with the greatest element becomes the first, its multiples are taken off the others, and the element is a factor of the result, whose
/// sign turns where rows changed places.
fn determinant(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dims = node.dims(x);
    let &[ref outer @ .., rows, columns] = dims.as_slice() else {
        return invalid(format!("the input has shape {dims:?}, but must be square matrices"));
    };
    if rows != columns {
        return invalid(format!("the input has shape {dims:?}, but must be square matrices"));
    }
    if rows > MOST {
        return unsupported(format!("determinants of {rows} x {rows} matrices; at most {MOST} x {MOST} are supported"));
    }
    let (dtype, wide) = (node.dtype(x), if node.dtype(x) == DType::F64 { DType::F64 } else { DType::F32 });
    let batch: u64 = outer.iter().product();
    let x = node.cast(wide, x)?;
    let mut left = node.reshape(x, &[batch, rows, rows])?;
    let one = node.scalar(wide, 1.0);
    let mut product = node.broadcast(one, &[batch])?;
    for size in (1..=rows).rev() {
        let column = node.slice(left, vec![0, 0, 0], vec![1; 3], &[batch, size, 1])?;
        let column = node.reshape(column, &[batch, size])?;
        let magnitude = node.unary(UnaryOp::Abs, column)?;
        let pivot = node.emit(Op::ArgReduce { max: true, axis: 1, keep: true, last: false }, &[magnitude])?;
        let pivot = node.cast(DType::I32, pivot)?;
        let positions = node.positions(size, 1, 2)?;
        let is_pivot = node.compare(CompareOp::Eq, positions, pivot)?;
        let is_pivot = node.reshape(is_pivot, &[batch, size, 1])?;
        let zero = node.scalar(wide, 0.0);
        let chosen = node.select(is_pivot, left, zero)?;
        let pivot_row = node.reduce(ReduceKind::Sum, &[1], true, chosen)?;
        let first_row = node.slice(left, vec![0, 0, 0], vec![1; 3], &[batch, 1, size])?;
        let factor = node.slice(pivot_row, vec![0, 0, 0], vec![1; 3], &[batch, 1, 1])?;
        let flat = node.reshape(factor, &[batch])?;
        let turned = node.unary(UnaryOp::Neg, flat)?;
        let nil = node.scalar(DType::I32, 0.0);
        let stays = node.compare(CompareOp::Eq, pivot, nil)?;
        let stays = node.reshape(stays, &[batch])?;
        let signed = node.select(stays, flat, turned)?;
        product = node.binary(BinaryOp::Mul, product, signed)?;
        if size == 1 {
            break;
        }
        let swapped = node.select(is_pivot, first_row, left)?;
        let inner = size - 1;
        let others = node.slice(swapped, vec![0, 1, 1], vec![1; 3], &[batch, inner, inner])?;
        let heads = node.slice(swapped, vec![0, 1, 0], vec![1; 3], &[batch, inner, 1])?;
        let tail = node.slice(pivot_row, vec![0, 0, 1], vec![1; 3], &[batch, 1, inner])?;
        // Of a column of zeros nothing is taken off: the product is 0 already.
        let nothing = node.compare(CompareOp::Eq, factor, zero)?;
        let divisor = node.select(nothing, one, factor)?;
        let multiples = node.binary(BinaryOp::Div, heads, divisor)?;
        let taken = node.binary(BinaryOp::Mul, multiples, tail)?;
        left = node.binary(BinaryOp::Sub, others, taken)?;
    }
    let y = node.reshape(product, outer)?;
    Ok(vec![node.cast(dtype, y)?])
}
