//! `Unique` of what only a run knows: equal slices are brought together by sorting, and the first of each is selected.

use super::compact::{Selected, selected};
use super::cumulative::running;
use crate::onnx::extent::Extent;
use crate::onnx::node::{Imported, NodeImport, One, Problem, unsupported};
use crate::onnx::padded::{REFUSED, reshaped};
use mlp_graph::op::{BinaryOp, CompareOp, ReduceKind};
use mlp_graph::{DType, Op, ValueId};

/// Most slices: each is compared with each where they are sorted.
const MOST_SLICES: u64 = 1 << 14;
/// Most elements of a slice: by each one slices are sorted once.
const MOST_ELEMENTS: u64 = 64;

/// Slices, sorted.
struct Sorted {
    /// Where each was: `I32 [n]`.
    order: ValueId,
    /// Whether it differs from the one before it: `Bool [n]`.
    new: ValueId,
}

/// The different slices along an axis (elements where none is given), with where each first stands, which each slice is, and how often each stands. There are as many as
/// there could be, those that there are first.
pub(super) fn in_a_run(node: &mut NodeImport<'_>, x: ValueId, sorted: bool) -> Imported {
    let dims = node.dims(x);
    let axis = node.attributes.int("axis")?.map(|axis| node.axis(axis, dims.len())).transpose()?;
    let total: u64 = dims.iter().product();
    let (size, inner) = match axis {
        Some(axis) => (dims[axis], total / dims[axis].max(1)),
        None => (total, 1),
    };
    if size > MOST_SLICES || inner > MOST_ELEMENTS || total == 0 {
        return unsupported(format!(
            "it is to find the different ones among {size} slices of {inner} elements; from 1 to {MOST_SLICES} slices of at most {MOST_ELEMENTS} elements are supported"
        ));
    }
    let padded = match axis {
        Some(_) => node.padded(x),
        None => reshaped(node, x, &[total], Some(0))?,
    };
    if padded.zip(axis).is_some_and(|(padded, axis)| padded.axis != axis) {
        return unsupported(REFUSED);
    }
    let (source, at) = match axis {
        Some(axis) => (x, axis),
        None => (node.reshape(x, &[total])?, 0),
    };
    // One slice a row. What means nothing is sorted to the end.
    let numbers = if node.dtype(x) == DType::Bool { truths(node, x)? } else { x };
    let filled = node.filled(numbers, f64::INFINITY)?;
    let mut perm: Vec<usize> = (0..dims.len()).collect();
    if let Some(axis) = axis {
        perm.remove(axis);
        perm.insert(0, axis);
        perm.truncate(dims.len());
    }
    let rows = if axis.is_some() { node.transpose(&perm, filled)? } else { filled };
    let rows = node.reshape(rows, &[size, inner])?;
    let Sorted { order, mut new } = sort(node, rows)?;
    if let Some(padded) = padded {
        let meaningful = node.meaningful(size, padded.count, 0, 1)?;
        new = node.binary(BinaryOp::Mul, new, meaningful)?;
    }
    let number = numbered(node, order, new)?;
    let all = padded.map_or(Extent::exact(size as i64), |padded| Extent::count(size, padded.count));
    let Selected { from, count } = selected(node, new)?;
    let groups = Groups { first: take(node, order, from)?, often: distances(node, from, count, all)?, number };
    let Groups { first, often, number } = if sorted { groups } else { groups.in_order_of_appearance(node, count)? };
    let values = node.emit(Op::Gather { axis: at as u32 }, &[source, first])?;
    let found = Extent::count(size, count);
    let wide = |node: &mut NodeImport<'_>, value: ValueId, rows: Extent| {
        let value = node.cast(DType::I64, value)?;
        node.with_rows(value, 0, rows)
    };
    Ok(vec![node.with_rows(values, at, found)?, wide(node, first, found)?, wide(node, number, all)?, wide(node, often, found)?])
}

/// Truth values as numbers, which have an order.
fn truths(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let numbers = node.cast(DType::I32, x)?;
    match node.padded(x) {
        Some(padded) => node.marked(numbers, padded),
        None => Ok(numbers),
    }
}

/// Equal slices.
struct Groups {
    /// The first of each, `I32 [n]`.
    first: ValueId,
    /// How many there are of each, `I32 [n]`.
    often: ValueId,
    /// Which one each slice is in, `I32 [n]`.
    number: ValueId,
}

impl Groups {
    /// The groups in the order of their first slices.
    fn in_order_of_appearance(self, node: &mut NodeImport<'_>, count: ValueId) -> Result<Groups, Problem> {
        let size = node.dims(self.first)[0];
        let there = node.meaningful(size, count, 0, 1)?;
        let end = node.scalar(DType::I32, size as f64);
        let keys = node.select(there, self.first, end)?;
        let (first, order) = ascending(node, keys)?;
        let places = inverse(node, order)?;
        Ok(Groups { first, often: take(node, self.often, order)?, number: take(node, places, self.number)? })
    }
}

fn take(node: &mut NodeImport<'_>, x: ValueId, places: ValueId) -> One {
    node.emit(Op::Gather { axis: 0 }, &[x, places])
}

/// Elements, the least first, and where they were, `I32`.
fn ascending(node: &mut NodeImport<'_>, x: ValueId) -> Result<(ValueId, ValueId), Problem> {
    let size = node.dims(x)[0];
    let results = node.builder.emit(Op::TopK { k: size, axis: 0, largest: false }, &[x], None)?;
    Ok((results[0], node.cast(DType::I32, results[1])?))
}

/// Where each position stands in an order.
fn inverse(node: &mut NodeImport<'_>, order: ValueId) -> One {
    Ok(ascending(node, order)?.1)
}

/// The rows of `[n, m]` in ascending order: by their last elements first, then by those before, equal ones staying as they are.
fn sort(node: &mut NodeImport<'_>, rows: ValueId) -> Result<Sorted, Problem> {
    let dims = node.dims(rows);
    let (size, inner) = (dims[0], dims[1]);
    let mut columns = Vec::with_capacity(inner as usize);
    for column in 0..inner as i64 {
        let one = node.slice(rows, vec![0, column], vec![1, 1], &[size, 1])?;
        columns.push(node.reshape(one, &[size])?);
    }
    let mut order: Option<ValueId> = None;
    for &column in columns.iter().rev() {
        let keys = match order {
            Some(order) => take(node, column, order)?,
            None => column,
        };
        let (_, places) = ascending(node, keys)?;
        order = Some(match order {
            Some(order) => take(node, order, places)?,
            None => places,
        });
    }
    let Some(order) = order else { return unsupported("slices without elements") };
    let sorted = take(node, rows, order)?;
    let before = node.slice(sorted, vec![0, 0], vec![1, 1], &[size - 1, inner])?;
    let after = node.slice(sorted, vec![1, 0], vec![1, 1], &[size - 1, inner])?;
    let differs = node.compare(CompareOp::Ne, before, after)?;
    let differs = node.cast(DType::I32, differs)?;
    let differs = node.reduce(ReduceKind::Max, &[1], false, differs)?;
    let one = node.scalar(DType::I32, 1.0);
    let differs = node.emit(Op::Pad { before: vec![1], after: vec![0] }, &[differs, one])?;
    Ok(Sorted { order, new: node.cast(DType::Bool, differs)? })
}

/// Which group each slice is in, by where it was before sorting.
fn numbered(node: &mut NodeImport<'_>, order: ValueId, new: ValueId) -> One {
    let new = node.cast(DType::I32, new)?;
    let so_far = running(node, new, 0, BinaryOp::Add, false, 0.0)?;
    let number = node.with_number(BinaryOp::Sub, so_far, 1.0)?;
    let places = inverse(node, order)?;
    take(node, number, places)
}

/// How far each of `count` positions is from the next one, and the last from the end of all.
fn distances(node: &mut NodeImport<'_>, from: ValueId, count: ValueId, all: Extent) -> One {
    let size = node.dims(from)[0];
    let Some(end) = node.builder.term(all) else { return unsupported(REFUSED) };
    let there = node.meaningful(size, count, 0, 1)?;
    let starts = node.select(there, from, end)?;
    let zero = node.scalar(DType::I32, 0.0);
    let next = node.slice(starts, vec![1], vec![1], &[size - 1])?;
    let next = node.emit(Op::Pad { before: vec![0], after: vec![1] }, &[next, zero])?;
    // The last position of all has none after it.
    let places = node.positions(size, 0, 1)?;
    let last = node.scalar(DType::I32, size as f64 - 1.0);
    let is_last = node.compare(CompareOp::Eq, places, last)?;
    let next = node.select(is_last, end, next)?;
    node.binary(BinaryOp::Sub, next, starts)
}
