//! Operators that select: `NonZero` and `Compress`, where which rows are selected is known only when the model runs.
//!
//! The result has as many rows as could be selected, those that were before all others.

use super::Row;
use super::cumulative::running;
use crate::onnx::extent::Extent;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use crate::onnx::padded::REFUSED;
use mlp_graph::op::{BinaryOp, CompareOp};
use mlp_graph::{DType, Op, ValueId};

pub(super) const TABLE: &[Row] = &[("", "Compress", compress), ("", "NonZero", non_zero)];

/// The positions of what is set.
pub(super) struct Selected {
    /// `I32`, as many as there are elements: those that are set first, in order; behind them any position.
    pub(super) from: ValueId,
    /// How many are set: an `I32` scalar.
    pub(super) count: ValueId,
}

/// Which elements of `set` `Bool [n]` are set.
///
/// What is set is counted along the way; row `r` is the first position up to which more than `r` were counted, which is looked for by halves.
pub(super) fn selected(node: &mut NodeImport<'_>, set: ValueId) -> Result<Selected, Problem> {
    let size = node.dims(set)[0];
    if size == 0 {
        let (from, count) = (node.positions(0, 0, 1)?, node.scalar(DType::I32, 0.0));
        return Ok(Selected { from, count });
    }
    let numbers = node.cast(DType::I32, set)?;
    let so_far = running(node, numbers, 0, BinaryOp::Add, false, 0.0)?;
    let last = node.slice(so_far, vec![size as i64 - 1], vec![1], &[1])?;
    let count = node.reshape(last, &[])?;
    let rows = node.positions(size, 0, 1)?;
    // Graphs of several sizes take the same steps.
    let greatest = node.builder.family_size(size)?.map_or(size, |(greatest, _)| greatest);
    let mut from = node.with_number(BinaryOp::Mul, rows, 0.0)?;
    let mut step = 1u64 << greatest.ilog2();
    while step > 0 {
        // A position behind the end reads the last count, which is more than any row that was selected.
        let place = node.with_number(BinaryOp::Add, from, step as f64 - 1.0)?;
        let counted = node.emit(Op::Gather { axis: 0 }, &[so_far, place])?;
        let further = node.compare(CompareOp::Le, counted, rows)?;
        let next = node.with_number(BinaryOp::Add, from, step as f64)?;
        from = node.select(further, next, from)?;
        step /= 2;
    }
    let from = node.with_number(BinaryOp::Min, from, size as f64 - 1.0)?;
    Ok(Selected { from, count })
}

/// Whether each element is anything but 0.
fn is_set(node: &mut NodeImport<'_>, x: ValueId) -> One {
    if node.dtype(x) == DType::Bool {
        return Ok(x);
    }
    let zero = node.scalar(node.dtype(x), 0.0);
    node.compare(CompareOp::Ne, x, zero)
}

/// The positions of what is not 0, `[rank, count]`.
fn non_zero(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    if node.builder.known(x).is_some() {
        return super::data_dependent::non_zero(node);
    }
    let x = node.filled(x, 0.0)?;
    let dims = node.dims(x);
    let size: u64 = dims.iter().product();
    if i32::try_from(size).is_err() {
        return unsupported(format!("{size} elements are more than can be numbered; use smaller sizes"));
    }
    if dims.is_empty() {
        // ONNX Runtime takes a scalar as one element, whose position has one index.
        let one = node.reshape(x, &[1])?;
        return positions(node, one, &[1]);
    }
    positions(node, x, &dims)
}

fn positions(node: &mut NodeImport<'_>, x: ValueId, dims: &[u64]) -> Imported {
    let size: u64 = dims.iter().product();
    let flat = node.reshape(x, &[size])?;
    let set = is_set(node, flat)?;
    let Selected { from, count } = selected(node, set)?;
    let mut columns = Vec::with_capacity(dims.len());
    for (axis, &step) in super::gather::strides(dims).iter().enumerate() {
        let mut column = from;
        if step > 1 {
            column = node.with_number(BinaryOp::Div, column, step as f64)?;
        }
        if axis > 0 {
            column = node.with_number(BinaryOp::Rem, column, dims[axis] as f64)?;
        }
        columns.push(node.reshape(column, &[1, size])?);
    }
    let rows = if columns.len() == 1 { columns[0] } else { node.emit(Op::Concat { axis: 0 }, &columns)? };
    let rows = node.cast(DType::I64, rows)?;
    Ok(vec![node.with_rows(rows, 1, Extent::count(size, count))?])
}

/// The positions along an axis, or of all elements, whose condition holds.
fn compress(node: &mut NodeImport<'_>) -> Imported {
    let (mut x, condition) = (node.input(0)?, node.input(1)?);
    let axis = match node.attributes.int("axis")? {
        Some(axis) => node.axis(axis, node.rank(x))?,
        None => {
            let count = node.dims(x).iter().product();
            let flat = node.shaped(Op::Reshape, x, &[count])?;
            if let Some(padded) = crate::onnx::padded::reshaped(node, x, &[count], Some(0))? {
                node.builder.set_padded(flat, padded);
            }
            x = flat;
            0
        }
    };
    let (size, given) = (node.dims(x)[axis], node.dims(condition));
    let &[given] = given.as_slice() else { return invalid(format!("the condition has shape {given:?}, and should have one axis")) };
    if given > size {
        return invalid(format!("the condition has {given} values for an axis of size {size}"));
    }
    let own = node.padded(x);
    if own.is_none() && node.builder.known(condition).is_some() {
        let condition = node.known_integers(condition, "the condition")?;
        let kept: Vec<i64> = (0..condition.len() as i64).filter(|&position| condition[position as usize] != 0).collect();
        let kept = node.integers(&kept)?;
        return Ok(vec![node.emit(Op::Gather { axis: axis as u32 }, &[x, kept])?]);
    }
    let mut condition = node.filled(condition, 0.0)?;
    match own {
        Some(own) if own.axis == axis => {
            let meaningful = node.meaningful(given, own.count, 0, 1)?;
            condition = node.binary(BinaryOp::Mul, condition, meaningful)?;
        }
        Some(_) => return unsupported(REFUSED),
        None => {}
    }
    let Selected { from, count } = selected(node, condition)?;
    let kept = node.emit(Op::Gather { axis: axis as u32 }, &[x, from])?;
    Ok(vec![node.with_rows(kept, axis, Extent::count(given, count))?])
}
