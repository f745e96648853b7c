//! Boxes and key points: how much they share, which are the same thing twice, where they are in the photo.

use super::vision::sides;
use super::{Append, Found, Make, number, tensor, whole, word};
use crate::body::Lowered;
use mlp_analysis::Intrinsic;
use mlp_graph::op::{BinaryOp, CompareOp, ReduceKind};
use mlp_graph::{DType, Dim, Op, ValueId};

/// The most boxes that are taken: each takes a pass over all of them.
const MAX_TAKEN: u64 = 256;

/// What stands for a score that is out: no device computes with it but to compare.
const OUT: f64 = -3e38;

pub(super) fn lower(make: &mut Make<'_>, intrinsic: Intrinsic, args: &[Lowered]) -> Found {
    match (intrinsic, args) {
        (Intrinsic::Iou, [Lowered::Tensor(a), Lowered::Tensor(b)]) => tensor(iou(make, *a, *b)),
        (Intrinsic::Nms, [Lowered::Tensor(boxes), Lowered::Tensor(scores), count, overlap, least]) => {
            let [count, overlap, least] = [number(count)?, number(overlap)?, number(least)?];
            let taken = whole("count", count).and_then(|count| nms(make, [*boxes, *scores], count, overlap, least));
            Some(taken.map(record))
        }
        (Intrinsic::BoxesToPhoto, [Lowered::Tensor(boxes), Lowered::Image(photo), size, crop]) => {
            let (size, crop) = (sides(size)?, word(crop)?);
            tensor(boxes_to_photo(make, *boxes, *photo, size, crop))
        }
        (Intrinsic::Peaks, [Lowered::Tensor(maps)]) => Some(peaks(make, *maps).map(record)),
        _ => None,
    }
}

fn record<const N: usize>(fields: [(&str, ValueId); N]) -> Lowered {
    Lowered::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), Lowered::Tensor(value))).collect())
}

/// The sides of boxes `[N, 4]`, each of shape `shape`.
fn edges(make: &mut Make<'_>, boxes: ValueId, shape: &[Dim]) -> Result<[ValueId; 4], String> {
    let mut edge = |at: u64| {
        let column = make.slice(boxes, 1, at, 1)?;
        make.reshape(column, shape.to_vec())
    };
    Ok([edge(0)?, edge(1)?, edge(2)?, edge(3)?])
}

/// `width * height`, of the boxes that have an area.
fn area(make: &mut Make<'_>, [left, top, right, bottom]: [ValueId; 4]) -> Result<ValueId, String> {
    let width = make.binary(BinaryOp::Sub, right, left)?;
    let width = make.with_number(BinaryOp::Max, width, 0.0)?;
    let height = make.binary(BinaryOp::Sub, bottom, top)?;
    let height = make.with_number(BinaryOp::Max, height, 0.0)?;
    make.binary(BinaryOp::Mul, width, height)
}

/// What boxes share over what they cover together, broadcast; 0 where neither has an area.
fn shared(make: &mut Make<'_>, a: [ValueId; 4], b: [ValueId; 4]) -> Result<ValueId, String> {
    let left = make.binary(BinaryOp::Max, a[0], b[0])?;
    let top = make.binary(BinaryOp::Max, a[1], b[1])?;
    let right = make.binary(BinaryOp::Min, a[2], b[2])?;
    let bottom = make.binary(BinaryOp::Min, a[3], b[3])?;
    let both = area(make, [left, top, right, bottom])?;
    let (first, second) = (area(make, a)?, area(make, b)?);
    let sum = make.binary(BinaryOp::Add, first, second)?;
    let either = make.binary(BinaryOp::Sub, sum, both)?;
    let either = make.with_number(BinaryOp::Max, either, 1e-30)?;
    make.binary(BinaryOp::Div, both, either)
}

fn iou(make: &mut Make<'_>, a: ValueId, b: ValueId) -> Result<ValueId, String> {
    let (rows, columns) = (make.size(a, 0)?, make.size(b, 0)?);
    let a = edges(make, a, &[Dim::Const(rows), Dim::Const(1)])?;
    let b = edges(make, b, &[Dim::Const(1), Dim::Const(columns)])?;
    shared(make, a, b)
}

/// One box after another: the best that is left, which rules out itself and all that share too much with it.
fn nms(
    make: &mut Make<'_>,
    [boxes, scores]: [ValueId; 2],
    count: u64,
    overlap: f64,
    least: f64,
) -> Result<[(&'static str, ValueId); 4], String> {
    if count == 0 || count > MAX_TAKEN {
        return Err(format!("`count` is {count}; write a number from 1 to {MAX_TAKEN}"));
    }
    if !(0.0..=1.0).contains(&overlap) {
        return Err(format!("`overlap` is {overlap}; write a number from 0 to 1"));
    }
    let number = make.size(boxes, 0)?;
    let all = edges(make, boxes, &[Dim::Const(number)])?;
    let positions = make.positions(number)?;
    let out = make.scalar_like(scores, OUT);
    let (nothing, nowhere) = (make.scalar_like(scores, 0.0), make.graph.scalar(DType::I32, -1.0, make.origin.clone()));
    let limit = make.scalar_like(scores, least);
    let is_in = make.compare(CompareOp::Lt, limit, scores)?;
    let mut left = make.op(Op::Select, &[is_in, scores, out])?;
    let mut taken: [Vec<ValueId>; 4] = Default::default();
    for _ in 0..count {
        let best = make.op(Op::ArgReduce { max: true, axis: 0, keep: true, last: false }, &[left])?;
        let best = make.cast(DType::I32, best)?;
        let score = make.op(Op::Gather { axis: 0 }, &[left, best])?;
        let place = make.op(Op::Gather { axis: 0 }, &[boxes, best])?;
        let is_there = make.compare(CompareOp::Lt, out, score)?;

        let one = edges(make, place, &[Dim::Const(1)])?;
        let shares = shared(make, one, all)?;
        let overlap = make.scalar_like(shares, overlap);
        let is_same = make.compare(CompareOp::Lt, overlap, shares)?;
        let is_best = make.compare(CompareOp::Eq, positions, best)?;
        let is_out = make.binary(BinaryOp::Or, is_same, is_best)?;
        left = make.op(Op::Select, &[is_out, out, left])?;

        let row = make.reshape(is_there, vec![Dim::Const(1); 2])?;
        taken[0].push(make.op(Op::Select, &[row, place, nothing])?);
        taken[1].push(make.op(Op::Select, &[is_there, score, nothing])?);
        taken[2].push(make.op(Op::Select, &[is_there, best, nowhere])?);
        taken[3].push(make.cast(DType::I32, is_there)?);
    }
    let [boxes, scores, positions, found] = [0, 1, 2, 3].map(|part| make.concat(0, &taken[part]));
    let found = make.reduce(ReduceKind::Sum, vec![0], found?)?;
    Ok([("boxes", boxes?), ("scores", scores?), ("positions", positions?), ("found", found)])
}

/// Pixels of the result are `count / made` pixels of the photo each, from `start` on; see `mlp_graph::op::Fit`.
fn boxes_to_photo(make: &mut Make<'_>, boxes: ValueId, photo: ValueId, [width, height]: [u64; 2], crop: &str) -> Result<ValueId, String> {
    let size = make.op(Op::ImageSize, &[photo])?;
    let (rows, columns) = (make.slice(size, 0, 0, 1)?, make.slice(size, 0, 1, 1)?);
    let mut along = |mine: ValueId, other: ValueId, made: u64, other_made: u64| -> Result<[ValueId; 2], String> {
        let shaped = make.with_number(BinaryOp::Mul, other, made as f64)?;
        let shaped = make.with_number(BinaryOp::Div, shaped, other_made as f64)?;
        let count = match crop {
            "center" => {
                let count = make.binary(BinaryOp::Min, mine, shaped)?;
                make.with_number(BinaryOp::Max, count, 1.0)?
            }
            "letterbox" => make.binary(BinaryOp::Max, mine, shaped)?,
            _ => mine,
        };
        // Divided towards zero, as the photo is.
        let rest = make.binary(BinaryOp::Sub, mine, count)?;
        let start = make.with_number(BinaryOp::Div, rest, 2.0)?;
        let count = make.cast(DType::F32, count)?;
        Ok([make.with_number(BinaryOp::Div, count, made as f64)?, make.cast(DType::F32, start)?])
    };
    let [across, left] = along(columns, rows, width, height)?;
    let [down, top] = along(rows, columns, height, width)?;
    let scale = make.concat(0, &[across, down, across, down])?;
    let start = make.concat(0, &[left, top, left, top])?;
    let scaled = make.binary(BinaryOp::Mul, boxes, scale)?;
    make.binary(BinaryOp::Add, scaled, start)
}

fn peaks(make: &mut Make<'_>, maps: ValueId) -> Result<[(&'static str, ValueId); 3], String> {
    let [number, rows, columns] = [make.size(maps, 0)?, make.size(maps, 1)?, make.size(maps, 2)?];
    let flat = make.reshape(maps, vec![Dim::Const(number), Dim::Const(rows * columns)])?;
    let at = make.op(Op::ArgReduce { max: true, axis: 1, keep: false, last: false }, &[flat])?;
    let at = make.cast(DType::I32, at)?;
    let y = make.with_number(BinaryOp::Div, at, columns as f64)?;
    let x = make.with_number(BinaryOp::Rem, at, columns as f64)?;
    let (x, y) = (make.cast(DType::F32, x)?, make.cast(DType::F32, y)?);
    let scores = make.reduce(ReduceKind::Max, vec![1], flat)?;
    Ok([("x", x), ("y", y), ("scores", scores)])
}
