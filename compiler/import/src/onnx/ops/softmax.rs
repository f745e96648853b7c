//! Softmax, its logarithm, and the greatest element alone. Up to operator set 12 the axes from `axis` on count as one.

use super::Row;
use crate::onnx::node::{Imported, NodeImport, One, invalid};
use mlp_graph::op::{BinaryOp, ReduceKind, UnaryOp};
use mlp_graph::{Op, ValueId};

pub(super) const TABLE: &[Row] = &[
    ("", "Softmax", |node| over(node, softmax)),
    ("", "LogSoftmax", |node| over(node, log_softmax)),
    ("", "Hardmax", |node| over(node, hardmax)),
];

type AlongAxis = fn(&mut NodeImport<'_>, ValueId, usize) -> One;

fn over(node: &mut NodeImport<'_>, along: AlongAxis) -> Imported {
    let x = node.input(0)?;
    let dims = node.dims(x);
    let axis = node.attributes.int("axis")?;
    if node.opset >= 13 {
        let axis = node.axis(axis.unwrap_or(-1), dims.len())?;
        return Ok(vec![along(node, x, axis)?]);
    }
    if dims.is_empty() {
        return invalid("the input is a scalar");
    }
    let first = node.axis(axis.unwrap_or(1).min(dims.len() as i64 - 1), dims.len())?;
    let long: Vec<usize> = (first..dims.len()).filter(|&axis| dims[axis] != 1).collect();
    match long.as_slice() {
        [] => Ok(vec![along(node, x, first)?]),
        &[axis] => Ok(vec![along(node, x, axis)?]),
        _ => {
            let (rows, columns) = dims.split_at(first);
            let flat = node.reshape(x, &[rows.iter().product(), columns.iter().product()])?;
            let result = along(node, flat, 1)?;
            Ok(vec![node.reshape(result, &dims)?])
        }
    }
}

fn softmax(node: &mut NodeImport<'_>, x: ValueId, axis: usize) -> One {
    node.emit(Op::Softmax { axis: axis as u32 }, &[x])
}

/// 1 at the first of the greatest elements, 0 elsewhere.
fn hardmax(node: &mut NodeImport<'_>, x: ValueId, axis: usize) -> One {
    let best = node.emit(Op::ArgReduce { max: true, axis: axis as u32, keep: false, last: false }, &[x])?;
    let size = node.dims(x)[axis];
    let is_best = super::piecewise::is_class(node, best, size, axis)?;
    node.cast(node.dtype(x), is_best)
}

/// `x - max - ln(sum(e^(x - max)))`.
pub(super) fn log_softmax(node: &mut NodeImport<'_>, x: ValueId, axis: usize) -> One {
    let greatest = node.reduce(ReduceKind::Max, &[axis], true, x)?;
    let less = node.binary(BinaryOp::Sub, x, greatest)?;
    let exp = node.unary(UnaryOp::Exp, less)?;
    let sum = node.reduce(ReduceKind::Sum, &[axis], true, exp)?;
    let log = node.unary(UnaryOp::Log, sum)?;
    node.binary(BinaryOp::Sub, less, log)
}
