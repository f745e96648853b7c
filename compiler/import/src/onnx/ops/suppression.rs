//! `NonMaxSuppression`: box after box, the best that is left is selected, and what overlaps it too much is dropped.

use super::Row;
use super::compact::Selected;
use crate::onnx::extent::Extent;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use crate::onnx::padded::{Padded, REFUSED};
use mlp_graph::op::{BinaryOp, CompareOp, ReduceKind, UnaryOp};
use mlp_graph::{DType, Op, ValueId};

pub(super) const TABLE: &[Row] = &[("", "NonMaxSuppression", non_max_suppression)];

/// Most boxes of one class that are selected: each is a step of its own.
const MOST_STEPS: u64 = 2048;
/// Most boxes of all images and classes that could be selected.
const MOST_ROWS: u64 = 1 << 18;

/// The boxes of all images, `[B, N]` each.
struct Boxes {
    /// Least row, least column, greatest row, greatest column.
    edges: [ValueId; 4],
    area: ValueId,
}

/// Rows `[batch, class, box]`, as many as could be selected; those that were come first.
fn non_max_suppression(node: &mut NodeImport<'_>) -> Imported {
    let (boxes, scores) = (node.input(0)?, node.input(1)?);
    let (dims, sizes) = (node.dims(boxes), node.dims(scores));
    let (&[batch, count, 4], &[_, classes, _]) = (dims.as_slice(), sizes.as_slice()) else {
        return invalid(format!("boxes of shape {dims:?} and scores of shape {sizes:?}"));
    };
    if sizes != [batch, classes, count] {
        return invalid(format!("scores of shape {sizes:?} do not fit boxes of shape {dims:?}"));
    }
    let most = match node.optional(2) {
        Some(most) => node.extent(most, "the number of boxes a class")?,
        None => Extent::exact(0),
    };
    let mut steps = (most.most.max(0) as u64).min(count);
    if let (1, Some(rows)) = (batch * classes, node.looked_at) {
        // They are in the order of the steps.
        steps = steps.min(rows);
    }
    if steps > MOST_STEPS || batch.saturating_mul(classes).saturating_mul(steps) > MOST_ROWS {
        return unsupported(format!(
            "{steps} boxes of each of {classes} classes; at most {MOST_STEPS} a class and {MOST_ROWS} of all are supported: lower max_output_boxes_per_class"
        ));
    }
    if steps == 0 || batch * classes == 0 {
        let nothing = mlp_graph::Tensor::new(DType::I64, vec![0, 3], Vec::new()).map_err(|error| error.to_string())?;
        return Ok(vec![node.constant(nothing)]);
    }
    let present = present(node, boxes, scores)?;
    let (boxes, scores) = (node.cast(DType::F32, boxes)?, node.cast(DType::F32, scores)?);
    let boxes = edges(node, boxes)?;
    let (picks, mut found) = selected(node, &boxes, scores, present, steps)?;
    if let Some(most) = most.term() {
        let within = node.meaningful(steps, most, 2, 3)?;
        let within = node.cast(DType::I32, within)?;
        found = node.binary(BinaryOp::Mul, found, within)?;
    }
    let (rows, count) = in_order(node, picks, found, [batch, classes, steps])?;
    Ok(vec![node.marked(rows, Padded { axis: 0, count })?])
}

/// Whether each box is one, where only a run knows how many there are: `[1, 1, N]`.
fn present(node: &mut NodeImport<'_>, boxes: ValueId, scores: ValueId) -> Result<Option<ValueId>, Problem> {
    let rows = [(boxes, 1), (scores, 2)].map(|(value, axis)| node.padded(value).map(|padded| (padded, axis)));
    let (mut present, count) = (None, node.dims(scores)[2]);
    for (padded, axis) in rows.into_iter().flatten() {
        if padded.axis != axis {
            return unsupported(REFUSED);
        }
        present = Some(node.meaningful(count, padded.count, 2, 3)?);
    }
    Ok(present)
}

/// Boxes as their edges: two corners in any order, or a centre and sizes.
fn edges(node: &mut NodeImport<'_>, boxes: ValueId) -> Result<Boxes, Problem> {
    let dims = node.dims(boxes);
    let centred = match node.attributes.int("center_point_box")?.unwrap_or(0) {
        0 => false,
        1 => true,
        other => return invalid(format!("center_point_box is {other}")),
    };
    let mut parts = Vec::with_capacity(4);
    for part in 0..4 {
        let column = node.slice(boxes, vec![0, 0, part], vec![1; 3], &[dims[0], dims[1], 1])?;
        parts.push(node.reshape(column, &[dims[0], dims[1]])?);
    }
    let ends = |node: &mut NodeImport<'_>, first: usize, second: usize| -> Result<(ValueId, ValueId), Problem> {
        if centred {
            let half = node.with_number(BinaryOp::Mul, parts[second], 0.5)?;
            return Ok((node.binary(BinaryOp::Sub, parts[first], half)?, node.binary(BinaryOp::Add, parts[first], half)?));
        }
        Ok((node.binary(BinaryOp::Min, parts[first], parts[second])?, node.binary(BinaryOp::Max, parts[first], parts[second])?))
    };
    // Corners are rows before columns, centres columns before rows.
    let ((top, bottom), (left, right)) =
        if centred { (ends(node, 1, 3)?, ends(node, 0, 2)?) } else { (ends(node, 0, 2)?, ends(node, 1, 3)?) };
    let (height, width) = (node.binary(BinaryOp::Sub, bottom, top)?, node.binary(BinaryOp::Sub, right, left)?);
    let area = node.binary(BinaryOp::Mul, height, width)?;
    Ok(Boxes { edges: [top, left, bottom, right], area })
}

/// The positions of the selected boxes `[B, C, steps]`, best first, and whether there was one.
fn selected(
    node: &mut NodeImport<'_>,
    boxes: &Boxes,
    scores: ValueId,
    present: Option<ValueId>,
    steps: u64,
) -> Result<(ValueId, ValueId), Problem> {
    let sizes = node.dims(scores);
    let (batch, classes, count) = (sizes[0], sizes[1], sizes[2]);
    let mut live = match node.optional(4) {
        Some(threshold) => {
            let threshold = node.as_scalar(threshold, "the score threshold")?;
            let threshold = node.cast(DType::F32, threshold)?;
            node.compare(CompareOp::Lt, threshold, scores)?
        }
        None => {
            let yes = node.scalar(DType::Bool, 1.0);
            node.broadcast(yes, &sizes)?
        }
    };
    if let Some(present) = present {
        live = node.binary(BinaryOp::Mul, live, present)?;
    }
    let threshold = match node.optional(3) {
        Some(threshold) => {
            let threshold = node.as_scalar(threshold, "the IoU threshold")?;
            node.cast(DType::F32, threshold)?
        }
        None => node.scalar(DType::F32, 0.0),
    };
    let lowest = node.scalar(DType::F32, f64::from(f32::MIN));
    let positions = node.positions(count, 2, 3)?;
    let (mut picks, mut found) = (Vec::new(), Vec::new());
    for _ in 0..steps {
        let candidates = node.select(live, scores, lowest)?;
        let best = node.emit(Op::ArgReduce { max: true, axis: 2, keep: true, last: false }, &[candidates])?;
        let best = node.cast(DType::I32, best)?;
        let is_best = node.compare(CompareOp::Eq, positions, best)?;
        let chosen = node.binary(BinaryOp::Mul, is_best, live)?;
        let numbers = node.cast(DType::I32, chosen)?;
        found.push(node.reduce(ReduceKind::Max, &[2], true, numbers)?);
        picks.push(best);
        let dropped = overlaps(node, boxes, best, threshold, [batch, classes, count])?;
        let dropped = node.binary(BinaryOp::Add, dropped, is_best)?;
        let kept = node.unary(UnaryOp::Not, dropped)?;
        live = node.binary(BinaryOp::Mul, live, kept)?;
    }
    let picks = node.emit(Op::Concat { axis: 2 }, &picks)?;
    let found = node.emit(Op::Concat { axis: 2 }, &found)?;
    Ok((picks, found))
}

/// Whether each box overlaps the best one `[B, C, 1]` by more than the threshold: the common area over the area of both. Boxes without area overlap nothing.
fn overlaps(node: &mut NodeImport<'_>, boxes: &Boxes, best: ValueId, threshold: ValueId, sizes: [u64; 3]) -> One {
    let [batch, _, count] = sizes;
    let images = node.positions(batch, 0, 3)?;
    let first = node.with_number(BinaryOp::Mul, images, count as f64)?;
    let place = node.binary(BinaryOp::Add, first, best)?;
    let pair = |node: &mut NodeImport<'_>, values: ValueId| -> Result<(ValueId, ValueId), Problem> {
        let flat = node.reshape(values, &[batch * count])?;
        let own = node.emit(Op::Gather { axis: 0 }, &[flat, place])?;
        Ok((own, node.reshape(values, &[batch, 1, count])?))
    };
    let mut sides = Vec::with_capacity(2);
    for axis in 0..2 {
        let ((low, lows), (high, highs)) = (pair(node, boxes.edges[axis])?, pair(node, boxes.edges[axis + 2])?);
        let (start, end) = (node.binary(BinaryOp::Max, low, lows)?, node.binary(BinaryOp::Min, high, highs)?);
        let side = node.binary(BinaryOp::Sub, end, start)?;
        sides.push(node.with_number(BinaryOp::Max, side, 0.0)?);
    }
    let common = node.binary(BinaryOp::Mul, sides[0], sides[1])?;
    let (area, areas) = pair(node, boxes.area)?;
    let both = node.binary(BinaryOp::Add, area, areas)?;
    let union = node.binary(BinaryOp::Sub, both, common)?;
    let ratio = node.binary(BinaryOp::Div, common, union)?;
    let zero = node.scalar(DType::F32, 0.0);
    let mut over = node.compare(CompareOp::Lt, threshold, ratio)?;
    for size in [common, area, areas, union] {
        let positive = node.compare(CompareOp::Lt, zero, size)?;
        over = node.binary(BinaryOp::Mul, over, positive)?;
    }
    Ok(over)
}

/// Rows `[batch, class, box]` of what was selected, before all others; and how many they are.
fn in_order(node: &mut NodeImport<'_>, picks: ValueId, found: ValueId, sizes: [u64; 3]) -> Result<(ValueId, ValueId), Problem> {
    let count: u64 = sizes.iter().product();
    let mut columns = Vec::with_capacity(3);
    for axis in 0..3 {
        let column = if axis == 2 { picks } else { node.positions(sizes[axis], axis, 3)? };
        let column = node.broadcast(column, &sizes)?;
        columns.push(node.reshape(column, &[count, 1])?);
    }
    let rows = node.emit(Op::Concat { axis: 1 }, &columns)?;
    let found = node.reshape(found, &[count])?;
    let found = node.cast(DType::Bool, found)?;
    let Selected { from, count: total } = super::compact::selected(node, found)?;
    let rows = node.emit(Op::Gather { axis: 0 }, &[rows, from])?;
    Ok((node.cast(DType::I64, rows)?, total))
}
