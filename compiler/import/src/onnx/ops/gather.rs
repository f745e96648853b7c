//! Operators that pick elements at computed positions.

use super::Row;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use crate::onnx::padded::{Padded, REFUSED};
use mlp_graph::op::{BinaryOp, CompareOp, ReduceKind};
use mlp_graph::{DType, Op, Tensor, ValueId};

pub(super) const TABLE: &[Row] = &[("", "Gather", gather), ("", "GatherElements", gather_elements), ("", "GatherND", gather_nd)];

fn gather(node: &mut NodeImport<'_>) -> Imported {
    let (x, indices) = (node.input(0)?, node.input(1)?);
    let axis = node.axis(node.attributes.int("axis")?.unwrap_or(0), node.rank(x))?;
    check_known(node, indices, &[node.dims(x)[axis]])?;
    let picked = node.padded(indices).map(|padded| Padded { axis: axis + padded.axis, ..padded });
    // Rows along the axis itself are picked from, whichever mean something.
    let added = node.rank(indices);
    let beside = node
        .padded(x)
        .filter(|padded| padded.axis != axis)
        .map(|padded| Padded { axis: if axis < padded.axis { padded.axis + added - 1 } else { padded.axis }, ..padded });
    let places = node.counted_back(x, axis, indices)?;
    let result = node.emit(Op::Gather { axis: axis as u32 }, &[x, places])?;
    node.agreeing(vec![result], &[picked, beside])
}

/// `x` at positions that are those of the indices but for one axis: a gather from all elements of `x`.
fn gather_elements(node: &mut NodeImport<'_>) -> Imported {
    let (x, indices) = (node.input(0)?, node.input(1)?);
    let (dims, counts) = (node.dims(x), node.dims(indices));
    let axis = node.axis(node.attributes.int("axis")?.unwrap_or(0), dims.len())?;
    let fits = |(index, (size, count)): (usize, (&u64, &u64))| index == axis || count <= size;
    if counts.len() != dims.len() || !dims.iter().zip(&counts).enumerate().all(fits) {
        return invalid(format!("indices of shape {counts:?} do not lie in data of shape {dims:?}"));
    }
    check_known(node, indices, &[dims[axis]])?;
    let strides = strides(&dims);
    let picked = node.padded(indices);
    let indices = node.counted_back(x, axis, indices)?;
    let mut place = resolved(node, indices, dims[axis])?;
    place = scaled(node, place, strides[axis])?;
    for other in (0..dims.len()).filter(|&other| other != axis && counts[other] > 1) {
        let mut shape = vec![1; dims.len()];
        shape[other] = counts[other];
        let positions = multiples(node, &shape, strides[other])?;
        place = node.binary(BinaryOp::Add, place, positions)?;
    }
    let flat = node.reshape(x, &[dims.iter().product()])?;
    let result = node.emit(Op::Gather { axis: 0 }, &[flat, place])?;
    node.agreeing(vec![result], &[picked])
}

/// `x` at tuples of indices along its first axes, after `batch_dims` axes that both share: the axes of the tuple become one.
fn gather_nd(node: &mut NodeImport<'_>) -> Imported {
    let (x, indices) = (node.input(0)?, node.input(1)?);
    let (dims, counts) = (node.dims(x), node.dims(indices));
    let batch = node.attributes.int("batch_dims")?.unwrap_or(0);
    let Some((&depth, outer)) = counts.split_last() else { return invalid("the indices are a scalar") };
    let shared = usize::try_from(batch).ok().filter(|&shared| shared < dims.len().min(counts.len()));
    let Some(shared) = shared else {
        return invalid(format!("batch_dims {batch} does not fit data of shape {dims:?} and indices of shape {counts:?}"));
    };
    let end = shared.saturating_add(usize::try_from(depth).unwrap_or(usize::MAX));
    if depth == 0 || end > dims.len() || dims[..shared] != outer[..shared] {
        return invalid(format!("indices of shape {counts:?} do not fit data of shape {dims:?}"));
    }
    check_known(node, indices, &dims[shared..end])?;
    let rows = tuple_rows(node, x, indices, shared, end)?;
    // One index into all of the leading axes: the place in the batch, then each index of the tuple.
    let mut place = tuple_places(node, indices, &dims[shared..end])?;
    if shared > 0 {
        let images: u64 = dims[..shared].iter().product();
        let step: u64 = dims[shared..end].iter().product();
        if !node.builder.may_create(images.saturating_mul(8)) {
            return invalid(format!("{images} batches are too many"));
        }
        let starts = multiples(node, &[images], step as i64)?;
        let mut shape = dims[..shared].to_vec();
        shape.resize(outer.len(), 1);
        let starts = node.reshape(starts, &shape)?;
        place = node.binary(BinaryOp::Add, place, starts)?;
    }
    let mut shape = vec![dims[..end].iter().product()];
    shape.extend(&dims[end..]);
    let flat = node.reshape(x, &shape)?;
    let result = node.emit(Op::Gather { axis: 0 }, &[flat, place])?;
    node.agreeing(vec![result], &rows)
}

/// Where the result of picking tuples, whose indices are those of the axes from `shared` up to `end`, has rows that mean nothing.
fn tuple_rows(node: &NodeImport<'_>, x: ValueId, indices: ValueId, shared: usize, end: usize) -> Result<[Option<Padded>; 2], Problem> {
    let last = node.rank(indices) - 1;
    let picked = node.padded(indices);
    if picked.is_some_and(|padded| padded.axis == last) {
        return unsupported(REFUSED);
    }
    let beside = node.padded(x).filter(|padded| padded.axis < shared || padded.axis >= end);
    let beside = beside.map(|padded| Padded { axis: if padded.axis < shared { padded.axis } else { padded.axis + last - end }, ..padded });
    // Which place an index below 0 is would go by how many rows there are.
    match node.padded(x) {
        Some(padded) if (shared..end).contains(&padded.axis) && node.builder.known(indices).is_some() => unsupported(REFUSED),
        _ => Ok([picked, beside]),
    }
}

/// The row-major place that each tuple, the last axis of `indices`, has in axes of these sizes; indices below 0 count from the end.
pub(super) fn tuple_places(node: &mut NodeImport<'_>, indices: ValueId, sizes: &[u64]) -> One {
    let last = node.rank(indices) - 1;
    let steps = node.integers(&strides(sizes))?;
    let sizes: Vec<i64> = sizes.iter().map(|&size| size as i64).collect();
    let sizes = node.integers(&sizes)?;
    let indices = node.cast(DType::I64, indices)?;
    let zero = node.scalar(DType::I64, 0.0);
    let negative = node.compare(CompareOp::Lt, indices, zero)?;
    let from_end = node.binary(BinaryOp::Add, indices, sizes)?;
    let indices = node.select(negative, from_end, indices)?;
    let products = node.binary(BinaryOp::Mul, indices, steps)?;
    node.reduce(ReduceKind::Sum, &[last], false, products)
}

/// Refuses indices that are known and outside. `sizes` is cyclic over them.
pub(super) fn check_known(node: &NodeImport<'_>, indices: ValueId, sizes: &[u64]) -> Result<(), Problem> {
    if node.builder.known(indices).is_some() {
        let known = node.known_integers(indices, "the list of indices")?;
        let outside = |(index, size): &(&i64, &u64)| **index < -(**size as i64) || **index >= **size as i64;
        if let Some((index, size)) = known.iter().zip(sizes.iter().cycle()).find(outside) {
            return invalid(format!("index {index} is outside an axis of size {size}"));
        }
    }
    Ok(())
}

/// Indices in `I64`, those below 0 counted from the end.
pub(super) fn resolved(node: &mut NodeImport<'_>, indices: ValueId, size: u64) -> One {
    let indices = node.cast(DType::I64, indices)?;
    let (zero, size) = (node.scalar(DType::I64, 0.0), node.scalar(DType::I64, size as f64));
    let negative = node.compare(CompareOp::Lt, indices, zero)?;
    let from_end = node.binary(BinaryOp::Add, indices, size)?;
    node.select(negative, from_end, indices)
}

pub(super) fn scaled(node: &mut NodeImport<'_>, x: ValueId, factor: i64) -> One {
    let factor = node.scalar(DType::I64, factor as f64);
    node.binary(BinaryOp::Mul, x, factor)
}

/// `0, step, 2 step, ...` in a shape of one axis beside those of size 1. In a graph of several sizes the step goes by them, and is a factor of its own.
fn multiples(node: &mut NodeImport<'_>, shape: &[u64], step: i64) -> One {
    let size = match u64::try_from(step) {
        Ok(step) => node.builder.family_size(step)?,
        Err(_) => None,
    };
    let factor = if size.is_some() { 1 } else { step };
    let count: u64 = shape.iter().product();
    let numbers: Vec<i64> = (0..count as i64).map(|position| position * factor).collect();
    let tensor = Tensor::from_i64(shape, &numbers).map_err(|error| error.to_string())?;
    let numbers = node.constant(tensor);
    match size {
        Some((_, step)) => {
            let step = node.cast(DType::I64, step)?;
            node.binary(BinaryOp::Mul, numbers, step)
        }
        None => Ok(numbers),
    }
}

/// Row-major strides of a shape.
pub(super) fn strides(dims: &[u64]) -> Vec<i64> {
    let mut strides = vec![1i64; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(dims[axis] as i64);
    }
    strides
}
