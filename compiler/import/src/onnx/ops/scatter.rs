//! Operators that put elements at computed positions.
//!
//! No kernel stores at a computed place, so each element of the result asks which updates meet it. Where the places are known when compiling, that is a table,
//! and the operator gathers; otherwise all places along the axis are compared.

use super::Row;
use super::gather::{check_known, resolved, scaled, strides, tuple_places};
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use crate::onnx::padded::REFUSED;
use mlp_graph::op::{BinaryOp, CompareOp, ReduceKind};
use mlp_graph::{DType, Op, Tensor, ValueId};

pub(super) const TABLE: &[Row] = &[
    ("", "Scatter", scatter_elements),
    ("", "ScatterElements", scatter_elements),
    ("", "ScatterND", scatter_nd),
    ("", "TensorScatter", tensor_scatter),
];

/// Pairs of a place and an update that may be compared while the model runs.
const MAX_PAIRS: u64 = 1 << 30;

/// How an update changes the element that it meets.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Combine {
    /// It takes its place; of several the last does.
    Replace,
    /// It is added to it, multiplied with it, or kept where it is greater or less.
    With(BinaryOp, ReduceKind),
}

impl Combine {
    fn of(node: &NodeImport<'_>) -> Result<Combine, Problem> {
        Ok(match node.attributes.string("reduction")?.unwrap_or("none") {
            "none" => Combine::Replace,
            "add" => Combine::With(BinaryOp::Add, ReduceKind::Sum),
            "mul" => Combine::With(BinaryOp::Mul, ReduceKind::Prod),
            "max" => Combine::With(BinaryOp::Max, ReduceKind::Max),
            "min" => Combine::With(BinaryOp::Min, ReduceKind::Min),
            other => return invalid(format!("reduction is `{other}`")),
        })
    }

    /// What changes nothing, where that is a number.
    fn neutral(self) -> Option<f64> {
        match self {
            Combine::With(BinaryOp::Add, _) => Some(0.0),
            Combine::With(BinaryOp::Mul, _) => Some(1.0),
            _ => None,
        }
    }
}

/// Positions that are those of the indices but for one axis.
fn scatter_elements(node: &mut NodeImport<'_>) -> Imported {
    let (x, indices, updates) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let how = Combine::of(node)?;
    let (dims, counts) = (node.dims(x), node.dims(indices));
    let axis = node.axis(node.attributes.int("axis")?.unwrap_or(0), dims.len())?;
    let fits = |(index, (size, count)): (usize, (&u64, &u64))| index == axis || count <= size;
    if counts.len() != dims.len() || counts != node.dims(updates) || !dims.iter().zip(&counts).enumerate().all(fits) {
        return invalid(format!(
            "indices of shape {counts:?} and updates of shape {:?} do not lie in data of shape {dims:?}",
            node.dims(updates)
        ));
    }
    check_known(node, indices, &[dims[axis]])?;
    if counts.contains(&0) {
        return Ok(vec![x]);
    }
    let plain = node.padded(x).is_none() && node.padded(updates).is_none();
    if node.builder.known(indices).is_some() && plain {
        let known = node.known_integers(indices, "the list of indices")?;
        let targets = element_places(&known, &dims, &counts, axis);
        let (from, total) = (known.len() as u64, dims.iter().product());
        let (flat, updates) = (node.reshape(x, &[total, 1])?, node.reshape(updates, &[from, 1])?);
        let result = at_known(node, flat, &targets, updates, how)?;
        return Ok(vec![node.reshape(result, &dims)?]);
    }
    let rows = node.padded(x);
    let places = written(node, x, indices, updates, axis)?;
    let y = match how {
        Combine::Replace => replaced_elements(node, x, places, updates, axis)?,
        Combine::With(..) => combined_elements(node, x, places, updates, axis, how)?,
    };
    node.agreeing(vec![y], &[rows])
}

/// Indices along an axis, those of rows that mean nothing outside of it: they meet no element.
fn written(node: &mut NodeImport<'_>, x: ValueId, indices: ValueId, updates: ValueId, axis: usize) -> One {
    let rows = node.agreed(&[node.padded(indices), node.padded(updates)])?;
    let outside = node.dims(x)[axis];
    let indices = node.counted_back(x, axis, indices)?;
    let Some(padded) = rows else { return Ok(indices) };
    let counts = node.dims(indices);
    let meaningful = node.meaningful(counts[padded.axis], padded.count, padded.axis, counts.len())?;
    let nowhere = node.scalar(node.dtype(indices), outside as f64);
    node.select(meaningful, indices, nowhere)
}

/// The row-major place of each index in data of shape `dims`.
fn element_places(indices: &[i64], dims: &[u64], counts: &[u64], axis: usize) -> Vec<usize> {
    let steps = strides(dims);
    let from = strides(counts);
    let place = |(position, &index): (usize, &i64)| {
        let index = if index < 0 { index + dims[axis] as i64 } else { index };
        let others = (0..dims.len()).filter(|&other| other != axis);
        let fixed: i64 = others.map(|other| (position as i64 / from[other]) % counts[other] as i64 * steps[other]).sum();
        (fixed + index * steps[axis]) as usize
    };
    indices.iter().enumerate().map(place).collect()
}

/// Whether the update at a position along `axis` meets an element along it: shape of the indices with the data's size inserted before `axis`. Also the positions
/// of the updates.
fn meetings(node: &mut NodeImport<'_>, indices: ValueId, size: u64, axis: usize) -> Result<(ValueId, ValueId), Problem> {
    let counts = node.dims(indices);
    pairs(counts.iter().product::<u64>(), size)?;
    let resolved = resolved(node, indices, size)?;
    let narrow = node.cast(DType::I32, resolved)?;
    let mut shape = counts.clone();
    shape.insert(axis, 1);
    let narrow = node.reshape(narrow, &shape)?;
    let elements = node.positions(size, axis, shape.len())?;
    let meets = node.compare(CompareOp::Eq, narrow, elements)?;
    let updates = node.positions(counts[axis], axis + 1, shape.len())?;
    Ok((meets, updates))
}

/// Refuses more pairs than may be compared.
fn pairs(updates: u64, size: u64) -> Result<(), Problem> {
    if updates.saturating_mul(size) > MAX_PAIRS {
        return unsupported(format!(
            "{updates} updates at places known only when the model runs, each compared with {size} elements, are more than {MAX_PAIRS} pairs; store the indices as a constant, or scatter less at once"
        ));
    }
    Ok(())
}

/// Grows `x`, which is smaller than `dims` along all axes but one, to `dims`.
fn grown(node: &mut NodeImport<'_>, x: ValueId, dims: &[u64], value: f64) -> One {
    let sizes = node.dims(x);
    if sizes == dims {
        return Ok(x);
    }
    let after = dims.iter().zip(&sizes).map(|(dim, size)| dim - size).collect();
    let value = node.scalar(node.dtype(x), value);
    node.emit(Op::Pad { before: vec![0; dims.len()], after }, &[x, value])
}

/// The last update that meets each element is found, and taken from where it lies.
pub(super) fn replaced_elements(node: &mut NodeImport<'_>, x: ValueId, indices: ValueId, updates: ValueId, axis: usize) -> One {
    let (dims, counts) = (node.dims(x), node.dims(indices));
    let (meets, positions) = meetings(node, indices, dims[axis], axis)?;
    let none = node.scalar(DType::I32, -1.0);
    let candidates = node.select(meets, positions, none)?;
    let last = node.reduce(ReduceKind::Max, &[axis + 1], false, candidates)?;
    let last = grown(node, last, &dims, -1.0)?;
    let zero = node.scalar(DType::I32, 0.0);
    let met = node.compare(CompareOp::Le, zero, last)?;
    let steps = strides(&counts);
    let mut place = node.binary(BinaryOp::Max, last, zero)?;
    place = node.with_number(BinaryOp::Mul, place, steps[axis] as f64)?;
    for other in (0..dims.len()).filter(|&other| other != axis && dims[other] > 1) {
        let along = node.positions(dims[other], other, dims.len())?;
        let along = node.with_number(BinaryOp::Mul, along, steps[other] as f64)?;
        place = node.binary(BinaryOp::Add, place, along)?;
    }
    let flat = node.reshape(updates, &[counts.iter().product()])?;
    let picked = node.emit(Op::Gather { axis: 0 }, &[flat, place])?;
    node.select(met, picked, x)
}

/// The updates that meet each element are reduced along the axis, and the element with them.
fn combined_elements(node: &mut NodeImport<'_>, x: ValueId, indices: ValueId, updates: ValueId, axis: usize, how: Combine) -> One {
    let Combine::With(op, kind) = how else { return invalid("no reduction is given") };
    let (dims, counts) = (node.dims(x), node.dims(indices));
    let (meets, _) = meetings(node, indices, dims[axis], axis)?;
    let mut shape = counts.clone();
    shape.insert(axis, 1);
    let updates = node.reshape(updates, &shape)?;
    let mut region = counts.clone();
    region[axis] = dims[axis];
    let part = node.slice(x, vec![0; dims.len()], vec![1; dims.len()], &region)?;
    let other = match how.neutral() {
        Some(number) => node.scalar(node.dtype(x), number),
        // An element met by nothing stays the greatest (or least) of itself.
        None => {
            let mut shape = region.clone();
            shape.insert(axis + 1, 1);
            node.reshape(part, &shape)?
        }
    };
    let candidates = node.select(meets, updates, other)?;
    let total = node.reduce(kind, &[axis + 1], false, candidates)?;
    let Some(neutral) = how.neutral() else {
        return beside(node, x, part, total, op);
    };
    let total = grown(node, total, &dims, neutral)?;
    node.binary(op, x, total)
}

/// `op(part, total)` where `part`, the start of `x` along every axis, lies, and `x` elsewhere.
fn beside(node: &mut NodeImport<'_>, x: ValueId, part: ValueId, total: ValueId, op: BinaryOp) -> One {
    let (dims, region) = (node.dims(x), node.dims(part));
    let combined = node.binary(op, part, total)?;
    if dims == region {
        return Ok(combined);
    }
    let yes = node.scalar(DType::Bool, 1.0);
    let inside = node.broadcast(yes, &region)?;
    let inside = grown(node, inside, &dims, 0.0)?;
    let combined = grown(node, combined, &dims, 0.0)?;
    node.select(inside, combined, x)
}

/// Whole slices at tuples of indices.
fn scatter_nd(node: &mut NodeImport<'_>) -> Imported {
    let (x, indices, updates) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let how = Combine::of(node)?;
    let (dims, counts) = (node.dims(x), node.dims(indices));
    let Some((&depth, outer)) = counts.split_last() else { return invalid("the indices are a scalar") };
    let depth = usize::try_from(depth).ok().filter(|&depth| depth <= dims.len());
    let Some(depth) = depth else { return invalid(format!("indices of shape {counts:?} do not fit data of shape {dims:?}")) };
    let wanted: Vec<u64> = outer.iter().chain(&dims[depth..]).copied().collect();
    if node.dims(updates) != wanted {
        return invalid(format!("the updates have shape {:?}, but {wanted:?} is needed", node.dims(updates)));
    }
    check_known(node, indices, &dims[..depth])?;
    let rows = node.padded(x);
    let written = node.agreed(&[node.padded(indices), node.padded(updates)])?;
    if written.is_some_and(|padded| padded.axis >= outer.len())
        || rows.is_some_and(|padded| padded.axis < depth && node.builder.known(indices).is_some())
    {
        return unsupported(REFUSED);
    }
    let count: u64 = outer.iter().product();
    let (elements, inner): (u64, u64) = (dims[..depth].iter().product(), dims[depth..].iter().product());
    if count == 0 || elements == 0 || inner == 0 {
        return Ok(vec![x]);
    }
    let (flat, updates) = (node.reshape(x, &[elements, inner])?, node.reshape(updates, &[count, inner])?);
    let result = if depth == 0 {
        at_known(node, flat, &vec![0; count as usize], updates, how)?
    } else if node.builder.known(indices).is_some() && written.is_none() {
        let known = node.known_integers(indices, "the list of indices")?;
        let steps = strides(&dims[..depth]);
        let wrapped = |(index, size): (&i64, &u64)| if *index < 0 { index + *size as i64 } else { *index };
        let place = |tuple: &[i64]| tuple.iter().zip(&dims).map(wrapped).zip(&steps).map(|(index, step)| index * step).sum::<i64>();
        let targets: Vec<usize> = known.chunks(depth).map(|tuple| place(tuple) as usize).collect();
        at_known(node, flat, &targets, updates, how)?
    } else {
        let mut places = tuple_places(node, indices, &dims[..depth])?;
        if let Some(padded) = written {
            let meaningful = node.meaningful(outer[padded.axis], padded.count, padded.axis, outer.len())?;
            let nowhere = node.scalar(node.dtype(places), elements as f64);
            places = node.select(meaningful, places, nowhere)?;
        }
        let places = node.reshape(places, &[count])?;
        at_places(node, flat, places, updates, how)?
    };
    let result = node.reshape(result, &dims)?;
    node.agreeing(vec![result], &[rows])
}

/// Rows of `updates [U, inner]` put at known rows of `x [E, inner]`.
pub(super) fn at_known(node: &mut NodeImport<'_>, x: ValueId, targets: &[usize], updates: ValueId, how: Combine) -> One {
    let (elements, count) = (node.dims(x)[0] as usize, targets.len());
    // The updates of each row, in rounds: the first of each row, the second, ...
    let mut rounds: Vec<Vec<Option<usize>>> = Vec::new();
    let mut met = vec![0usize; elements];
    for (update, &target) in targets.iter().enumerate() {
        let round = if how == Combine::Replace { 0 } else { met[target] };
        met[target] += 1;
        if round == rounds.len() {
            if !node.builder.may_create(elements as u64 * 16) {
                return unsupported(format!("{count} updates that meet the same of {elements} elements very often; scatter less at once"));
            }
            rounds.push(vec![None; elements]);
        }
        rounds[round][target] = Some(update);
    }
    let (table, neutral) = match how.neutral() {
        Some(number) => {
            let neutral = node.scalar(node.dtype(x), number);
            (node.emit(Op::Pad { before: vec![0, 0], after: vec![1, 0] }, &[updates, neutral])?, true)
        }
        None => (node.emit(Op::Concat { axis: 0 }, &[updates, x])?, false),
    };
    let mut result = x;
    for round in rounds {
        let unmet = |row: usize| if neutral { count } else { count + row };
        let rows: Vec<i64> = round.iter().enumerate().map(|(row, update)| update.unwrap_or(unmet(row)) as i64).collect();
        let rows = node.integers(&rows)?;
        let picked = node.emit(Op::Gather { axis: 0 }, &[table, rows])?;
        result = match how {
            Combine::Replace => picked,
            Combine::With(op, _) => node.binary(op, result, picked)?,
        };
    }
    Ok(result)
}

/// Rows of `updates [U, inner]` put at the rows `places [U]` of `x [E, inner]`; places outside meet nothing.
pub(super) fn at_places(node: &mut NodeImport<'_>, x: ValueId, places: ValueId, updates: ValueId, how: Combine) -> One {
    let (sizes, count) = (node.dims(x), node.dims(places)[0]);
    let (elements, inner) = (sizes[0], sizes[1]);
    pairs(count.saturating_mul(if how == Combine::Replace { 1 } else { inner }), elements)?;
    let places = node.with_number(BinaryOp::Max, places, -1.0)?;
    let places = node.with_number(BinaryOp::Min, places, elements as f64)?;
    let places = node.cast(DType::I32, places)?;
    let rows = node.positions(elements, 0, 2)?;
    let row_of_updates = node.reshape(places, &[1, count])?;
    let meets = node.compare(CompareOp::Eq, row_of_updates, rows)?;
    if let Combine::With(op, kind) = how {
        let meets = node.reshape(meets, &[elements, count, 1])?;
        let updates = node.reshape(updates, &[1, count, inner])?;
        let other = match how.neutral() {
            Some(number) => node.scalar(node.dtype(x), number),
            None => node.reshape(x, &[elements, 1, inner])?,
        };
        let candidates = node.select(meets, updates, other)?;
        let total = node.reduce(kind, &[1], false, candidates)?;
        return node.binary(op, x, total);
    }
    let (positions, none) = (node.positions(count, 1, 2)?, node.scalar(DType::I32, -1.0));
    let candidates = node.select(meets, positions, none)?;
    let last = node.reduce(ReduceKind::Max, &[1], false, candidates)?;
    let zero = node.scalar(DType::I32, 0.0);
    let met = node.compare(CompareOp::Le, zero, last)?;
    let met = node.reshape(met, &[elements, 1])?;
    let last = node.binary(BinaryOp::Max, last, zero)?;
    let picked = node.emit(Op::Gather { axis: 0 }, &[updates, last])?;
    node.select(met, picked, x)
}

/// A cache `[batch, ...]` into which the update is written along an axis from an index a batch on: each element asks how far it lies after that index.
fn tensor_scatter(node: &mut NodeImport<'_>) -> Imported {
    let (cache, update, starts) = (node.input(0)?, node.input(1)?, node.optional(2));
    let (dims, counts) = (node.dims(cache), node.dims(update));
    let rank = dims.len();
    let axis = node.axis(node.attributes.int("axis")?.unwrap_or(-2), rank)?;
    let circular = match node.attributes.string("mode")?.unwrap_or("linear") {
        "linear" => false,
        "circular" => true,
        other => return invalid(format!("mode is `{other}`")),
    };
    let alike = counts.len() == rank && (0..rank).all(|other| other == axis || counts[other] == dims[other]);
    if axis == 0 || !alike || counts[axis] > dims[axis] {
        return invalid(format!("an update of shape {counts:?} does not fit a cache of shape {dims:?} along axis {axis}"));
    }
    if dims.contains(&0) || counts[axis] == 0 {
        return Ok(vec![cache]);
    }
    let (batch, size, length) = (dims[0], dims[axis], counts[axis]);
    let starts = match starts {
        Some(starts) if node.dims(starts) == [batch] => node.cast(DType::I64, starts)?,
        Some(starts) => return invalid(format!("the write indices have shape {:?} for a batch of {batch}", node.dims(starts))),
        None => node.constant(Tensor::splat(DType::I64, &[batch], 0.0).map_err(|error| error.to_string())?),
    };
    let starts = node.reshape(starts, &[batch, 1])?;
    let positions = node.positions(size, 1, 2)?;
    let positions = node.cast(DType::I64, positions)?;
    let mut after = node.binary(BinaryOp::Sub, positions, starts)?;
    if circular {
        after = node.with_number(BinaryOp::Rem, after, size as f64)?;
        let zero = node.scalar(DType::I64, 0.0);
        let negative = node.compare(CompareOp::Lt, after, zero)?;
        let wrapped = node.with_number(BinaryOp::Add, after, size as f64)?;
        after = node.select(negative, wrapped, after)?;
    }
    let (zero, end) = (node.scalar(DType::I64, 0.0), node.scalar(DType::I64, length as f64));
    let (begun, unfinished) = (node.compare(CompareOp::Le, zero, after)?, node.compare(CompareOp::Lt, after, end)?);
    let met = node.binary(BinaryOp::Mul, begun, unfinished)?;
    let bounded = node.binary(BinaryOp::Max, after, zero)?;
    let bounded = node.with_number(BinaryOp::Min, bounded, (length - 1) as f64)?;
    let images = node.positions(batch, 0, 2)?;
    let images = node.cast(DType::I64, images)?;
    let first = scaled(node, images, length as i64)?;
    let places = node.binary(BinaryOp::Add, bounded, first)?;
    // The axis beside the batch, and both as one, so that one index finds a slice.
    let mut perm: Vec<usize> = vec![0, axis];
    perm.extend((1..rank).filter(|&other| other != axis));
    let rest: Vec<u64> = perm[2..].iter().map(|&other| dims[other]).collect();
    let moved = node.transpose(&perm, update)?;
    let flat: Vec<u64> = [batch * length].into_iter().chain(rest).collect();
    let flat = node.reshape(moved, &flat)?;
    let picked = node.emit(Op::Gather { axis: 0 }, &[flat, places])?;
    let mut back = vec![0; rank];
    perm.iter().enumerate().for_each(|(position, &axis)| back[axis] = position);
    let picked = node.transpose(&back, picked)?;
    let mut shape = vec![1; rank];
    (shape[0], shape[axis]) = (batch, size);
    let met = node.reshape(met, &shape)?;
    Ok(vec![node.select(met, picked, cache)?])
}
