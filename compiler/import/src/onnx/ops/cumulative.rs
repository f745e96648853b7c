//! Running sums and products along an axis, in as many steps as the axis' size has binary digits.

use super::Row;
use crate::onnx::node::{Imported, NodeImport, One};
use mlp_graph::op::BinaryOp;
use mlp_graph::{Op, ValueId};

pub(super) const TABLE: &[Row] =
    &[("", "CumSum", |node| cumulative(node, BinaryOp::Add, 0.0)), ("", "CumProd", |node| cumulative(node, BinaryOp::Mul, 1.0))];

fn cumulative(node: &mut NodeImport<'_>, op: BinaryOp, neutral: f64) -> Imported {
    let (x, axis) = (node.input(0)?, node.input(1)?);
    let rank = node.rank(x);
    let axis = node.axis(node.known_integer(axis, "the axis")?, rank)?;
    let reverse = node.attributes.int("reverse")?.unwrap_or(0) != 0;
    let exclusive = node.attributes.int("exclusive")?.unwrap_or(0) != 0;
    let size = node.dims(x)[axis];
    let padded = node.padded(x);
    let mut y = if padded.is_some_and(|padded| padded.axis == axis) { node.filled(x, neutral)? } else { x };
    if exclusive && size > 0 {
        y = shifted(node, y, axis, 1, reverse, neutral)?;
    }
    let sums = running(node, y, axis, op, reverse, neutral)?;
    node.agreeing(vec![sums], &[padded])
}

/// Running sums or products of all elements up to each (or from each on, where `reverse`).
///
/// Each step combines every element with the one `distance` before it (or after it, where `reverse`), the distances doubling: after all of them an
/// element holds all that come before it (Hillis and Steele, "Data parallel algorithms").
pub(super) fn running(node: &mut NodeImport<'_>, x: ValueId, axis: usize, op: BinaryOp, reverse: bool, neutral: f64) -> One {
    let size = node.dims(x)[axis];
    // Graphs of several sizes take the same steps.
    let size = node.builder.family_size(size)?.map_or(size, |(greatest, _)| greatest);
    let (mut y, mut distance) = (x, 1);
    while distance < size {
        let before = shifted(node, y, axis, distance, reverse, neutral)?;
        y = node.binary(op, before, y)?;
        distance *= 2;
    }
    Ok(y)
}

/// Elements moved by `distance` towards the end (or the start, where `back`), neutral ones moving in.
fn shifted(node: &mut NodeImport<'_>, x: ValueId, axis: usize, distance: u64, back: bool, neutral: f64) -> One {
    let counts = node.dims(x);
    let rank = counts.len();
    let (mut starts, mut near, far) = (vec![0; rank], vec![0; rank], vec![0; rank]);
    near[axis] = distance;
    if back {
        starts[axis] = distance as i64;
    }
    // Put on one side and taken off the other, which is the same at every size, be it less than the distance.
    let (before, after) = if back { (far, near) } else { (near, far) };
    let neutral = node.scalar(node.dtype(x), neutral);
    let longer = node.emit(Op::Pad { before, after }, &[x, neutral])?;
    node.slice(longer, starts, vec![1; rank], &counts)
}
