//! Operators that pick, join and reorder elements.

use super::Row;
use crate::onnx::extent::Extent;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use crate::onnx::padded::{Padded, REFUSED};
use mlp_graph::op::BinaryOp;
use mlp_graph::{Op, Tensor, ValueId};

pub(super) const TABLE: &[Row] =
    &[("", "Transpose", transpose), ("", "Concat", concat), ("", "Slice", slice), ("", "Split", split), ("", "Pad", pad)];

fn transpose(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let rank = node.rank(x);
    let perm = match node.attributes.ints("perm")? {
        Some(perm) => perm.iter().map(|&axis| node.axis(axis, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).rev().collect(),
    };
    if perm.len() != rank {
        return invalid(format!("perm has {} axes, but the input {rank}", perm.len()));
    }
    Ok(vec![node.transpose(&perm, x)?])
}

fn concat(node: &mut NodeImport<'_>) -> Imported {
    let inputs = node.all_inputs()?;
    let rank = node.rank(inputs[0]);
    let default = if node.opset < 4 { Some(1) } else { None };
    let Some(axis) = node.attributes.int("axis")?.or(default) else { return invalid("attribute `axis` is missing") };
    let axis = node.axis(axis, rank)?;
    let rows: Vec<Option<Padded>> = inputs.iter().map(|&input| node.padded(input)).collect();
    if rows.iter().flatten().any(|padded| padded.axis == axis) {
        return super::rows::joined(node, &inputs, axis).map(|value| vec![value]);
    }
    let joined = node.emit(Op::Concat { axis: axis as u32 }, &inputs)?;
    node.agreeing(vec![joined], &rows)
}

/// Bounds are attributes up to operator set 9, and inputs from then on.
fn slice(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dims = node.dims(x);
    let list = |input: usize, name: &str| -> Result<Option<Vec<Extent>>, Problem> {
        if node.opset < 10 {
            let known = if input < 4 { node.attributes.ints(name)? } else { None };
            return Ok(known.map(|known| known.iter().map(|&number| Extent::exact(number)).collect()));
        }
        node.optional(input).map(|value| node.extents(value, name)).transpose()
    };
    let known = |input: usize, name: &str| -> Result<Option<Vec<i64>>, Problem> {
        if node.opset < 10 {
            return Ok(if input < 4 { node.attributes.ints(name)?.map(<[i64]>::to_vec) } else { None });
        }
        node.optional(input).map(|value| node.known_integers(value, name)).transpose()
    };
    let (starts, ends) = (list(1, "starts")?.ok_or("starts are missing")?, list(2, "ends")?.ok_or("ends are missing")?);
    let axes = known(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = known(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return invalid("starts, ends, axes and steps have different lengths");
    }
    node.axes(&axes, dims.len())?;
    let (mut firsts, mut strides, mut counts) = (vec![0; dims.len()], vec![1; dims.len()], dims.clone());
    let mut open = None;
    for (index, &axis) in axes.iter().enumerate() {
        let axis = node.axis(axis, dims.len())?;
        if steps[index] == 0 {
            return invalid("a step is 0");
        }
        let Some(((start, end), _)) = starts[index].known().zip(ends[index].known()).zip(node.rows_along(x, axis).known()) else {
            if open.replace((axis, [starts[index], ends[index]], steps[index])).is_some() {
                return unsupported(REFUSED);
            }
            continue;
        };
        (firsts[axis], counts[axis]) = range(start, end, steps[index], dims[axis]);
        strides[axis] = steps[index];
    }
    let rows = node.padded(x);
    let cut = node.slice(x, firsts, strides, &counts)?;
    match open {
        Some((axis, bounds, step)) if rows.is_none_or(|rows| rows.axis == axis) => {
            let size = node.rows_along(x, axis);
            Ok(vec![super::rows::part(node, cut, axis, size, bounds, step)?])
        }
        Some(_) => unsupported(REFUSED),
        None => node.agreeing(vec![cut], &[rows]),
    }
}

/// The first index and the number of indices of `start..end` in steps, over an axis of `size`: negative bounds count from the end, and bounds
/// outside are moved to the nearest end.
fn range(start: i64, end: i64, step: i64, size: u64) -> (i64, u64) {
    let size = size as i64;
    let from_end = |bound: i64| if bound < 0 { bound.saturating_add(size) } else { bound };
    let (start, end) = (from_end(start), from_end(end));
    if size == 0 {
        return (0, 0);
    }
    let (start, end) =
        if step > 0 { (start.clamp(0, size), end.clamp(0, size)) } else { (start.clamp(0, size - 1), end.clamp(-1, size - 1)) };
    let distance = if step > 0 { end - start } else { start - end };
    let count = if distance > 0 { (distance as u64).div_ceil(step.unsigned_abs()) } else { 0 };
    (start.max(0), count)
}

/// Parts of given sizes (an attribute up to operator set 12, then an input), or of equal size, the last possibly smaller.
fn split(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dims = node.dims(x);
    let axis = node.axis(node.attributes.int("axis")?.unwrap_or(0), dims.len())?;
    let outputs = node.wanted.len();
    let given = if node.opset < 13 {
        node.attributes.ints("split")?.map(<[i64]>::to_vec)
    } else {
        node.optional(1).map(|sizes| node.known_integers(sizes, "the list of sizes")).transpose()?
    };
    if let Some(count) = node.attributes.int("num_outputs")?
        && usize::try_from(count) != Ok(outputs)
    {
        return invalid(format!("num_outputs is {count}, but there are {outputs} outputs"));
    }
    let parts = match given {
        Some(parts) => super::constant::sizes(&parts)?,
        None => {
            let each = dims[axis].div_ceil(outputs.max(1) as u64);
            (0..outputs as u64).map(|part| dims[axis].saturating_sub(part * each).min(each)).collect()
        }
    };
    if parts.len() != outputs || parts.iter().try_fold(0u64, |sum, &part| sum.checked_add(part)) != Some(dims[axis]) {
        return invalid(format!("parts of {parts:?} for {outputs} outputs do not make up the {} positions of axis {axis}", dims[axis]));
    }
    let mut results = Vec::with_capacity(outputs);
    let mut first = 0;
    for part in parts {
        let (mut starts, mut counts) = (vec![0; dims.len()], dims.clone());
        starts[axis] = first as i64;
        counts[axis] = part;
        results.push(node.slice(x, starts, vec![1; dims.len()], &counts)?);
        first += part;
    }
    Ok(results)
}

/// Padding is an attribute up to operator set 10, and inputs from then on. Negative padding cuts.
fn pad(node: &mut NodeImport<'_>) -> Imported {
    let mut x = node.input(0)?;
    let rank = node.rank(x);
    let mode = node.attributes.string("mode")?.unwrap_or("constant");
    let (pads, axes) = if node.opset < 11 {
        (node.attributes.ints("pads")?.ok_or("attribute `pads` is missing")?.to_vec(), None)
    } else {
        let pads = node.known_integers(node.input(1)?, "the padding")?;
        (pads, node.optional(3).map(|axes| node.known_integers(axes, "the list of axes")).transpose()?)
    };
    let axes = axes.unwrap_or_else(|| (0..rank as i64).collect());
    node.axes(&axes, rank)?;
    if pads.len() != 2 * axes.len() {
        return invalid(format!("{} paddings are given for {} axes", pads.len(), axes.len()));
    }
    let (mut before, mut after) = (vec![0i64; rank], vec![0i64; rank]);
    for (index, &axis) in axes.iter().enumerate() {
        let axis = node.axis(axis, rank)?;
        (before[axis], after[axis]) = (pads[index], pads[index + axes.len()]);
    }
    x = cut(node, x, &before, &after)?;
    let grown = |pads: &[i64]| -> Vec<u64> { pads.iter().map(|&pad| pad.max(0) as u64).collect() };
    let (before, after) = (grown(&before), grown(&after));
    if mode == "constant" {
        let value = padding_value(node, x)?;
        return Ok(vec![node.emit(Op::Pad { before, after }, &[x, value])?]);
    }
    for axis in 0..rank {
        if before[axis] > 0 || after[axis] > 0 {
            x = pad_by_index(node, x, axis, before[axis], after[axis], mode)?;
        }
    }
    Ok(vec![x])
}

/// Takes off what negative padding takes off.
fn cut(node: &mut NodeImport<'_>, x: ValueId, before: &[i64], after: &[i64]) -> One {
    let mut counts = node.dims(x);
    let starts: Vec<i64> = before.iter().map(|&pad| pad.min(0).saturating_neg()).collect();
    for (axis, count) in counts.iter_mut().enumerate() {
        let lost = (starts[axis] as u64).saturating_add(after[axis].min(0).unsigned_abs());
        *count = count.checked_sub(lost).ok_or_else(|| format!("the padding of axis {axis} cuts more than its {count} elements"))?;
    }
    let steps = vec![1; counts.len()];
    node.slice(x, starts, steps, &counts)
}

fn padding_value(node: &mut NodeImport<'_>, x: ValueId) -> One {
    if node.opset < 11 {
        let value = node.attributes.float("value")?.unwrap_or(0.0);
        return Ok(node.scalar(node.dtype(x), f64::from(value)));
    }
    match node.optional(2) {
        Some(value) => node.as_scalar(value, "the padding value"),
        None => Ok(node.scalar(node.dtype(x), 0.0)),
    }
}

/// Padding that repeats elements of the axis, as a gather of their positions.
fn pad_by_index(node: &mut NodeImport<'_>, x: ValueId, axis: usize, before: u64, after: u64, mode: &str) -> One {
    let size = node.dims(x)[axis] as i64;
    let total = before.saturating_add(after).saturating_add(size as u64);
    if size == 0 || !node.builder.may_create(total.saturating_mul(8)) {
        return invalid(format!("axis {axis} of size {size} cannot be padded by {before} and {after}"));
    }
    if let Some((_, here)) = node.builder.family_size(size as u64)? {
        let indices = computed_positions(node, here, before, total, mode)?;
        return node.emit(Op::Gather { axis: axis as u32 }, &[x, indices]);
    }
    let position = |index: i64| -> Result<i64, Problem> {
        Ok(match mode {
            "edge" => index.clamp(0, size - 1),
            "wrap" => index.rem_euclid(size),
            "reflect" if size == 1 => 0,
            "reflect" => {
                let period = 2 * (size - 1);
                let folded = index.rem_euclid(period);
                folded.min(period - folded)
            }
            other => return unsupported(format!("mode `{other}`; constant, reflect, edge and wrap are supported")),
        })
    };
    let indices = (-(before as i64)..size + after as i64).map(position).collect::<Result<Vec<i64>, _>>()?;
    let indices = node.integers(&indices)?;
    node.emit(Op::Gather { axis: axis as u32 }, &[x, indices])
}

/// The same positions out of the size of the axis, for graphs of several sizes: `total` of them, the first `before` before the axis.
fn computed_positions(node: &mut NodeImport<'_>, size: ValueId, before: u64, total: u64, mode: &str) -> One {
    let numbers = (0..total as i64).map(|index| i32::try_from(index - before as i64)).collect::<Result<Vec<i32>, _>>();
    let numbers = numbers.map_err(|_| format!("an axis of {total} elements is too long"))?;
    let index = node.constant(Tensor::from_i32(&[total], &numbers).map_err(|error| error.to_string())?);
    let last = node.with_number(BinaryOp::Sub, size, 1.0)?;
    match mode {
        "edge" => {
            let index = node.with_number(BinaryOp::Max, index, 0.0)?;
            node.binary(BinaryOp::Min, index, last)
        }
        "wrap" => {
            let rest = node.binary(BinaryOp::Rem, index, size)?;
            let positive = node.binary(BinaryOp::Add, rest, size)?;
            node.binary(BinaryOp::Rem, positive, size)
        }
        "reflect" => {
            // The two sides of the first element are alike, and so is everything a period further on.
            let distances: Vec<i32> = numbers.iter().map(|number| number.abs()).collect();
            let distance = node.constant(Tensor::from_i32(&[total], &distances).map_err(|error| error.to_string())?);
            let period = node.with_number(BinaryOp::Mul, last, 2.0)?;
            let divisor = node.with_number(BinaryOp::Max, period, 1.0)?;
            let rest = node.binary(BinaryOp::Rem, distance, divisor)?;
            let back = node.binary(BinaryOp::Sub, period, rest)?;
            node.binary(BinaryOp::Min, rest, back)
        }
        other => unsupported(format!("mode `{other}`; constant, reflect, edge and wrap are supported")),
    }
}
