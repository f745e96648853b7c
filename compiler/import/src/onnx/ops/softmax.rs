//! Softmax, its logarithm, and the greatest element alone. Up to operator set 12 the axes from `axis` on count as one.

use super::Row;
use crate::onnx::node::{Imported, NodeImport, One, invalid};
use crate::onnx::padded::Padded;
use mlp_graph::op::{BinaryOp, ReduceKind, UnaryOp};
use mlp_graph::{Op, ValueId};

pub(super) const TABLE: &[Row] = &[
    ("", "Softmax", |node| over(node, softmax)),
    ("", "LogSoftmax", |node| over(node, log_softmax)),
    ("", "Hardmax", |node| over(node, hardmax)),
];

type AlongAxis = fn(&mut NodeImport<'_>, ValueId, usize) -> One;

/// Rows that mean nothing weigh nothing where they lie along the axis.
fn over(node: &mut NodeImport<'_>, along: AlongAxis) -> Imported {
    let given = node.input(0)?;
    let padded = node.padded(given);
    let first = node.attributes.int("axis")?.unwrap_or(if node.opset >= 13 { -1 } else { 1 });
    let along_rows = |padded: Padded| {
        let (rank, at) = (node.rank(given), padded.axis);
        node.axis(first, rank).is_ok_and(|first| first == at || node.opset < 13 && first < at)
    };
    let x = if padded.is_some_and(along_rows) { node.filled(given, f64::NEG_INFINITY)? } else { given };
    let results = of_axes(node, along, x)?;
    node.agreeing(results, &[padded])
}

fn of_axes(node: &mut NodeImport<'_>, along: AlongAxis, x: ValueId) -> Imported {
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
