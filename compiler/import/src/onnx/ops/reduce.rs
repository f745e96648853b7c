//! Reductions over axes.

use super::{Importer, Row};
use crate::onnx::extent::Extent;
use crate::onnx::node::{Imported, NodeImport, Problem, invalid, unsupported};
use crate::onnx::padded::{Padded, REFUSED};
use mlp_graph::op::{BinaryOp, ReduceKind, UnaryOp};
use mlp_graph::{DType, Op, Tensor, ValueId};

pub(super) const TABLE: &[Row] = &[
    ("", "ReduceSum", |node| apart(node, 13, 0.0, |node| plain(node, ReduceKind::Sum, 13))),
    ("", "ReduceMean", mean),
    ("", "ReduceProd", |node| apart(node, 18, 1.0, |node| plain(node, ReduceKind::Prod, 18))),
    ("", "ReduceMax", |node| apart(node, 18, f64::NEG_INFINITY, |node| plain(node, ReduceKind::Max, 18))),
    ("", "ReduceMin", |node| apart(node, 18, f64::INFINITY, |node| plain(node, ReduceKind::Min, 18))),
    ("", "ReduceL1", |node| apart(node, 18, 0.0, l1)),
    ("", "ReduceL2", |node| apart(node, 18, 0.0, l2)),
    ("", "ReduceSumSquare", |node| apart(node, 18, 0.0, sum_square)),
    ("", "ReduceLogSum", |node| apart(node, 18, 0.0, log_sum)),
    ("", "ReduceLogSumExp", |node| apart(node, 18, f64::NEG_INFINITY, log_sum_exp)),
    ("", "ArgMax", |node| arg(node, true)),
    ("", "ArgMin", |node| arg(node, false)),
    ("", "TopK", top_k),
];

/// A reduction of a value some of whose rows may mean nothing: `nothing` stands in those that are reduced, which changes no result.
fn apart(node: &mut NodeImport<'_>, input_since: i64, nothing: f64, reduction: Importer) -> Imported {
    let x = node.input(0)?;
    let Some(padded) = node.padded(x) else { return reduction(node) };
    let over = over(node, input_since)?;
    if !over.axes.contains(&padded.axis) {
        let results = reduction(node)?;
        return kept(node, results, padded, &over);
    }
    let filled = node.filled(x, nothing)?;
    node.replace_input(0, filled);
    reduction(node)
}

/// Results of a reduction over other axes than that of the rows.
fn kept(node: &mut NodeImport<'_>, results: Vec<ValueId>, padded: Padded, over: &Over) -> Imported {
    let lost = if over.keep { 0 } else { over.axes.iter().filter(|&&axis| axis < padded.axis).count() };
    let padded = Padded { axis: padded.axis - lost, ..padded };
    results.into_iter().map(|result| node.marked(result, padded)).collect()
}

/// Over which axes a node reduces, and whether they stay.
struct Over {
    axes: Vec<usize>,
    keep: bool,
}

/// Axes are an attribute before operator set `input_since`, and input 1 from then on. None means all, unless the node says that none means none.
fn over(node: &NodeImport<'_>, input_since: i64) -> Result<Over, Problem> {
    let rank = node.rank(node.input(0)?);
    let keep = node.attributes.int("keepdims")?.unwrap_or(1) != 0;
    let (axes, none_means_none) = if node.opset < input_since {
        (node.attributes.ints("axes")?.map(<[i64]>::to_vec), false)
    } else {
        let axes = node.optional(1).map(|axes| node.known_integers(axes, "the list of axes")).transpose()?;
        (axes, node.attributes.int("noop_with_empty_axes")?.unwrap_or(0) != 0)
    };
    let axes = match axes {
        Some(axes) if !axes.is_empty() => node.axes(&axes, rank)?,
        _ if none_means_none => Vec::new(),
        _ => (0..rank).collect(),
    };
    Ok(Over { axes, keep })
}

fn plain(node: &mut NodeImport<'_>, kind: ReduceKind, input_since: i64) -> Imported {
    let over = over(node, input_since)?;
    let x = node.input(0)?;
    if let Some(nothing) = of_nothing(node, kind, &over)? {
        return Ok(vec![nothing]);
    }
    if node.dtype(x) == DType::Bool {
        // Of truth values the greatest is their or, the least their and: those of the numbers 0 and 1.
        let numbers = node.cast(DType::I32, x)?;
        let reduced = node.reduce(kind, &over.axes, over.keep, numbers)?;
        return Ok(vec![node.cast(DType::Bool, reduced)?]);
    }
    Ok(vec![node.reduce(kind, &over.axes, over.keep, x)?])
}

/// The greatest or least of no elements: the least or greatest value there is.
fn of_nothing(node: &mut NodeImport<'_>, kind: ReduceKind, over: &Over) -> Result<Option<ValueId>, Problem> {
    let x = node.input(0)?;
    let dims = node.dims(x);
    if !over.axes.iter().any(|&axis| dims[axis] == 0) {
        return Ok(None);
    }
    let value = match kind {
        ReduceKind::Max => f64::NEG_INFINITY,
        ReduceKind::Min => f64::INFINITY,
        _ => return Ok(None),
    };
    let scalar = match node.dtype(x) {
        DType::Bool => Tensor::scalar(kind == ReduceKind::Min),
        dtype => Tensor::scalar_of(dtype, value),
    };
    let sizes = dims.iter().enumerate().filter_map(|(axis, &dim)| match over.axes.contains(&axis) {
        false => Some(dim),
        true => over.keep.then_some(1),
    });
    let sizes: Vec<u64> = sizes.collect();
    let scalar = node.constant(scalar);
    node.broadcast(scalar, &sizes).map(Some)
}

/// Integers are averaged in `F64` and truncated. Of rows that mean nothing there is a zero each, and the sum is divided by how many the others are.
fn mean(node: &mut NodeImport<'_>) -> Imported {
    let over = over(node, 18)?;
    let x = node.input(0)?;
    let (dtype, dims) = (node.dtype(x), node.dims(x));
    let padded = node.padded(x);
    let filled = if padded.is_some_and(|padded| over.axes.contains(&padded.axis)) { node.filled(x, 0.0)? } else { x };
    let numbers = if dtype.is_float() { filled } else { node.cast(DType::F64, filled)? };
    let Some(padded) = padded else {
        let mean = node.reduce(ReduceKind::Mean, &over.axes, over.keep, numbers)?;
        return Ok(vec![node.cast(dtype, mean)?]);
    };
    if !over.axes.contains(&padded.axis) {
        let mean = node.reduce(ReduceKind::Mean, &over.axes, over.keep, numbers)?;
        let mean = node.cast(dtype, mean)?;
        return kept(node, vec![mean], padded, &over);
    }
    let sum = node.reduce(ReduceKind::Sum, &over.axes, over.keep, numbers)?;
    let others: u64 = over.axes.iter().filter(|&&axis| axis != padded.axis).map(|&axis| dims[axis]).product();
    let count = node.cast(node.dtype(sum), padded.count)?;
    let count = node.with_number(BinaryOp::Mul, count, others as f64)?;
    let mean = node.binary(BinaryOp::Div, sum, count)?;
    Ok(vec![node.cast(dtype, mean)?])
}

fn l1(node: &mut NodeImport<'_>) -> Imported {
    let over = over(node, 18)?;
    let x = node.input(0)?;
    let dtype = node.dtype(x);
    let sizes = if dtype.is_float() || dtype.is_signed_int() { node.unary(UnaryOp::Abs, x)? } else { x };
    Ok(vec![node.reduce(ReduceKind::Sum, &over.axes, over.keep, sizes)?])
}

fn squares(node: &mut NodeImport<'_>) -> Result<ValueId, Problem> {
    let over = over(node, 18)?;
    let x = node.input(0)?;
    let square = node.binary(BinaryOp::Mul, x, x)?;
    node.reduce(ReduceKind::Sum, &over.axes, over.keep, square)
}

/// A float function of a sum, for integers by way of `F64`.
fn in_floats(node: &mut NodeImport<'_>, op: UnaryOp, x: ValueId) -> Result<ValueId, Problem> {
    let dtype = node.dtype(x);
    let number = if dtype.is_float() { x } else { node.cast(DType::F64, x)? };
    let result = node.unary(op, number)?;
    node.cast(dtype, result)
}

fn l2(node: &mut NodeImport<'_>) -> Imported {
    let sum = squares(node)?;
    Ok(vec![in_floats(node, UnaryOp::Sqrt, sum)?])
}

fn sum_square(node: &mut NodeImport<'_>) -> Imported {
    Ok(vec![squares(node)?])
}

fn log_sum(node: &mut NodeImport<'_>) -> Imported {
    let over = over(node, 18)?;
    let x = node.input(0)?;
    let sum = node.reduce(ReduceKind::Sum, &over.axes, over.keep, x)?;
    Ok(vec![in_floats(node, UnaryOp::Log, sum)?])
}

/// `max + ln(sum(e^(x - max)))`, the maximum counting as 0 where it is not finite.
fn log_sum_exp(node: &mut NodeImport<'_>) -> Imported {
    let over = over(node, 18)?;
    let x = node.input(0)?;
    if !node.dtype(x).is_float() {
        return invalid("integers have no ReduceLogSumExp");
    }
    let dims = node.dims(x);
    if over.axes.iter().any(|&axis| dims[axis] == 0) {
        let sum = node.reduce(ReduceKind::Sum, &over.axes, over.keep, x)?;
        return Ok(vec![node.unary(UnaryOp::Log, sum)?]);
    }
    let greatest = node.reduce(ReduceKind::Max, &over.axes, true, x)?;
    let zero = node.scalar(node.dtype(x), 0.0);
    let nothing = node.binary(BinaryOp::Sub, greatest, greatest)?;
    let finite = node.compare(mlp_graph::op::CompareOp::Eq, nothing, zero)?;
    let base = node.select(finite, greatest, zero)?;
    let less = node.binary(BinaryOp::Sub, x, base)?;
    let exp = node.unary(UnaryOp::Exp, less)?;
    let sum = node.reduce(ReduceKind::Sum, &over.axes, true, exp)?;
    let log = node.unary(UnaryOp::Log, sum)?;
    let result = node.binary(BinaryOp::Add, log, base)?;
    if over.keep {
        return Ok(vec![result]);
    }
    let kept: Vec<u64> = dims.iter().enumerate().filter(|(axis, _)| !over.axes.contains(axis)).map(|(_, &dim)| dim).collect();
    Ok(vec![node.reshape(result, &kept)?])
}

fn arg(node: &mut NodeImport<'_>, max: bool) -> Imported {
    let x = node.input(0)?;
    let along = node.axis(node.attributes.int("axis")?.unwrap_or(0), node.rank(x))?;
    let axis = along as u32;
    let keep = node.attributes.int("keepdims")?.unwrap_or(1) != 0;
    let last = node.attributes.int("select_last_index")?.unwrap_or(0) != 0;
    let op = Op::ArgReduce { max, axis, keep, last };
    let Some(padded) = node.padded(x) else { return Ok(vec![node.emit(op, &[x])?]) };
    if padded.axis != along {
        let found = node.emit(op, &[x])?;
        return kept(node, vec![found], padded, &Over { axes: vec![along], keep });
    }
    let filled = node.filled(x, if max { f64::NEG_INFINITY } else { f64::INFINITY })?;
    let found = node.emit(op, &[filled])?;
    // Behind the last row lie elements that none is less (or greater) than.
    let count = node.cast(DType::I64, padded.count)?;
    let end = node.with_number(BinaryOp::Sub, count, 1.0)?;
    Ok(vec![node.binary(BinaryOp::Min, found, end)?])
}

/// `k` is an attribute up to operator set 9. What need not be sorted may be.
fn top_k(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let axis = node.axis(node.attributes.int("axis")?.unwrap_or(-1), node.rank(x))?;
    let largest = node.attributes.int("largest")?.unwrap_or(1) != 0;
    node.attributes.int("sorted")?;
    let k = match node.optional(1) {
        Some(k) => node.extent(k, "k")?,
        None => Extent::exact(node.attributes.int("k")?.ok_or("k is missing")?),
    };
    let rows = node.rows_along(x, axis);
    let beside = node.padded(x).filter(|padded| padded.axis != axis);
    // Of fewer rows all are taken.
    let taken = node.combined(BinaryOp::Min, k, rows)?;
    let most = if taken.term().is_some() { taken.most } else { k.most };
    let most = u64::try_from(most).map_err(|_| format!("k is {most}"))?;
    let source = match rows.term() {
        Some(_) => node.filled(x, if largest { f64::NEG_INFINITY } else { f64::INFINITY })?,
        None => x,
    };
    let results = node.builder.emit(Op::TopK { k: most, axis: axis as u32, largest }, &[source], None)?;
    let results = results.into_iter().map(|result| node.with_rows(result, axis, taken)).collect::<Result<Vec<_>, _>>()?;
    match beside {
        Some(_) if taken.term().is_some() => unsupported(REFUSED),
        beside => node.agreeing(results, &[beside]),
    }
}
