//! Parts and joins along an axis of which a run decides how much means something.

use crate::onnx::extent::Extent;
use crate::onnx::node::{NodeImport, One, Problem, unsupported};
use crate::onnx::padded::REFUSED;
use mlp_graph::op::{BinaryOp, CompareOp};
use mlp_graph::{DType, Op, Tensor, ValueId};

/// The values one after another along an axis: the rows of each that mean something, then all others.
pub(super) fn joined(node: &mut NodeImport<'_>, inputs: &[ValueId], axis: usize) -> One {
    if inputs.iter().any(|&input| node.padded(input).is_some_and(|padded| padded.axis != axis)) {
        return unsupported(REFUSED);
    }
    let all = node.emit(Op::Concat { axis: axis as u32 }, inputs)?;
    let total = node.dims(all)[axis];
    let mut place = node.positions(total, 0, 1)?;
    let rows = place;
    let mut count = Extent::exact(0);
    for &input in inputs {
        let own = node.rows_along(input, axis);
        count = node.combined(BinaryOp::Add, count, own)?;
        let behind = node.combined(BinaryOp::Sub, Extent::exact(own.most), own)?;
        let (Some(end), Some(behind)) = (node.builder.term(count), node.builder.term(behind)) else { return unsupported(REFUSED) };
        // Rows after those of this input pass over what lies behind them.
        let after = node.compare(CompareOp::Le, end, rows)?;
        let zero = node.scalar(DType::I32, 0.0);
        let passed = node.select(after, behind, zero)?;
        place = node.binary(BinaryOp::Add, place, passed)?;
    }
    let result = node.emit(Op::Gather { axis: axis as u32 }, &[all, place])?;
    node.with_rows(result, axis, count)
}

/// The rows of `x` from one place up to another in steps, of `size` that mean something.
pub(super) fn part(node: &mut NodeImport<'_>, x: ValueId, axis: usize, size: Extent, bounds: [Extent; 2], step: i64) -> One {
    let last = node.combined(BinaryOp::Sub, size, Extent::exact(1))?;
    // Steps back begin inside, and may end before the first.
    let ((first, most), (least, end)) = match step > 0 {
        true => ((Extent::exact(0), size), (Extent::exact(0), size)),
        false => ((Extent::exact(0), last), (Extent::exact(-1), last)),
    };
    let [start, end] = [within(node, bounds[0], size, [first, most])?, within(node, bounds[1], size, [least, end])?];
    let distance = if step > 0 { node.combined(BinaryOp::Sub, end, start)? } else { node.combined(BinaryOp::Sub, start, end)? };
    let mut count = node.combined(BinaryOp::Max, distance, Extent::exact(0))?;
    let stride = step.unsigned_abs() as i64;
    if stride > 1 {
        let up = node.combined(BinaryOp::Add, count, Extent::exact(stride - 1))?;
        count = node.combined(BinaryOp::Div, up, Extent::exact(stride))?;
    }
    let mut sizes = node.dims(x);
    let most = u64::try_from(count.most).unwrap_or(0).min(sizes[axis]);
    sizes[axis] = most;
    let rank = sizes.len();
    if let (Some(first), true) = (start.known(), step > 0) {
        let (mut starts, mut steps) = (vec![0; rank], vec![1; rank]);
        (starts[axis], steps[axis]) = (first, step);
        let result = node.slice(x, starts, steps, &sizes)?;
        return node.with_rows(result, axis, count);
    }
    let Some(first) = node.builder.term(start) else { return unsupported(REFUSED) };
    let positions = node.positions(most, 0, 1)?;
    let steps = node.with_number(BinaryOp::Mul, positions, step as f64)?;
    let place = node.binary(BinaryOp::Add, steps, first)?;
    let zero = node.scalar(DType::I32, 0.0);
    let place = node.binary(BinaryOp::Max, place, zero)?;
    let result = node.emit(Op::Gather { axis: axis as u32 }, &[x, place])?;
    node.with_rows(result, axis, count)
}

/// A bound of a slice: counted from the end where it is below 0, and moved to the nearest end where it is outside.
fn within(node: &mut NodeImport<'_>, bound: Extent, size: Extent, [least, most]: [Extent; 2]) -> Result<Extent, Problem> {
    if bound.least >= 0 {
        return node.combined(BinaryOp::Min, bound, most);
    }
    if bound.most >= 0 {
        return unsupported("a bound is computed while the model runs, and may be counted from the start or from the end");
    }
    // Some bounds are the least integer there is.
    let bound = if bound.most < -size.most { Extent::exact(-size.most - 1) } else { bound };
    let from_end = node.combined(BinaryOp::Add, size, bound)?;
    let inside = node.combined(BinaryOp::Max, from_end, least)?;
    node.combined(BinaryOp::Min, inside, most)
}

/// The numbers `start, start + step, ...`, of which only a run knows where they begin or end.
pub(super) fn numbers(node: &mut NodeImport<'_>, start: Extent, limit: Extent, step: i64, dtype: DType) -> One {
    if step == 0 {
        return unsupported("the step of a range is 0");
    }
    let distance = if step > 0 { node.combined(BinaryOp::Sub, limit, start)? } else { node.combined(BinaryOp::Sub, start, limit)? };
    let mut count = node.combined(BinaryOp::Max, distance, Extent::exact(0))?;
    let stride = step.unsigned_abs() as i64;
    if stride > 1 {
        let up = node.combined(BinaryOp::Add, count, Extent::exact(stride - 1))?;
        count = node.combined(BinaryOp::Div, up, Extent::exact(stride))?;
    }
    let most = u64::try_from(count.most).unwrap_or(0);
    let positions = node.positions(most, 0, 1)?;
    let steps = node.with_number(BinaryOp::Mul, positions, step as f64)?;
    let Some(first) = node.builder.term(start) else { return unsupported("the start of a range is too large") };
    let numbers = node.binary(BinaryOp::Add, steps, first)?;
    let numbers = node.cast(dtype, numbers)?;
    node.with_rows(numbers, 0, count)
}

/// A value stretched to sizes of which a run decides one at most.
pub(super) fn stretched(node: &mut NodeImport<'_>, x: ValueId, sizes: &[Extent]) -> One {
    let dims = sizes.iter().map(|size| u64::try_from(size.most).map_err(|_| format!("a size is {}", size.most)));
    let dims = dims.collect::<Result<Vec<u64>, String>>()?;
    let value = node.broadcast(x, &dims)?;
    let mut open = sizes.iter().enumerate().filter(|(_, size)| size.term().is_some());
    match (open.next(), open.next()) {
        (Some((axis, &size)), None) => node.with_rows(value, axis, size),
        (None, _) => Ok(value),
        _ => unsupported(REFUSED),
    }
}

/// A value of one number, of sizes of which a run decides one.
pub(super) fn filled(node: &mut NodeImport<'_>, sizes: &[Extent], number: Tensor) -> One {
    let scalar = node.constant(number);
    stretched(node, scalar, sizes)
}
