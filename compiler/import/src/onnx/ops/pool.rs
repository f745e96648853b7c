//! Pools over windows and over whole images.

use super::Row;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use crate::onnx::window::window;
use mlp_graph::op::{BinaryOp, Layout, PoolKind, ReduceKind, UnaryOp};
use mlp_graph::{Op, ValueId};

pub(super) const TABLE: &[Row] = &[
    ("", "MaxPool", max_pool),
    ("", "AveragePool", average_pool),
    ("", "GlobalAveragePool", |node| global(node, ReduceKind::Mean)),
    ("", "GlobalMaxPool", |node| global(node, ReduceKind::Max)),
    ("", "LpPool", lp_pool),
    ("", "GlobalLpPool", global_lp),
];

fn spatial_sizes(node: &NodeImport<'_>, x: ValueId) -> Result<Vec<u64>, String> {
    let dims = node.dims(x);
    if dims.len() < 3 {
        Err(format!("a pool needs a batch, channels and spatial axes, but the input has shape {dims:?}"))
    } else {
        Ok(dims[2..].to_vec())
    }
}

fn max_pool(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let spatial = window(node, &spatial_sizes(node, x)?, None)?.spatial;
    let column_major = node.attributes.int("storage_order")?.unwrap_or(0) != 0;
    let pool = Op::Pool { kind: PoolKind::Max, spatial: spatial.clone(), layout: Layout::ChannelsFirst };
    let mut results = vec![node.emit(pool, &[x])?];
    if node.wants(1) {
        results.push(node.emit(Op::MaxPoolIndices { spatial, column_major }, &[x])?);
    }
    Ok(results)
}

fn average_pool(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    Ok(vec![average(node, x)?])
}

/// The average of windows of `x` that the node's attributes ask for. Where padding counts, what `ceil_mode` adds still does not: then the padding is made real
/// first.
pub(super) fn average(node: &mut NodeImport<'_>, mut x: ValueId) -> One {
    let window = window(node, &spatial_sizes(node, x)?, None)?;
    let mut spatial = window.spatial;
    let counts = node.attributes.int("count_include_pad")?.unwrap_or(0) != 0;
    let kind = if counts { PoolKind::MeanWithPadding } else { PoolKind::Mean };
    if counts && window.ceil_extra.iter().any(|&extra| extra > 0) {
        let before: Vec<u64> = [0, 0].into_iter().chain(spatial.pads_begin.iter().copied()).collect();
        let real = spatial.pads_end.iter().zip(&window.ceil_extra).map(|(&end, &extra)| end - extra);
        let after: Vec<u64> = [0, 0].into_iter().chain(real).collect();
        let zero = node.scalar(node.dtype(x), 0.0);
        x = node.emit(Op::Pad { before, after }, &[x, zero])?;
        spatial.pads_begin.fill(0);
        spatial.pads_end = window.ceil_extra;
        return node.emit(Op::Pool { kind: PoolKind::Mean, spatial, layout: Layout::ChannelsFirst }, &[x]);
    }
    node.emit(Op::Pool { kind, spatial, layout: Layout::ChannelsFirst }, &[x])
}

fn global(node: &mut NodeImport<'_>, kind: ReduceKind) -> Imported {
    let x = node.input(0)?;
    let rank = node.rank(x);
    if rank < 2 {
        return invalid(format!("a pool needs a batch and channels, but the input has rank {rank}"));
    }
    if kind == ReduceKind::Mean && !node.dtype(x).is_float() {
        return unsupported(format!("an average of {} values", node.dtype(x)));
    }
    let axes: Vec<usize> = (2..rank).collect();
    Ok(vec![node.reduce(kind, &axes, true, x)?])
}

/// The exponent of a norm; a float before operator set 2.
fn exponent(node: &NodeImport<'_>) -> Result<f64, Problem> {
    let p = if node.opset < 2 { node.attributes.float("p")?.map(f64::from) } else { node.attributes.int("p")?.map(|p| p as f64) };
    match p.unwrap_or(2.0) {
        p if p > 0.0 && p.is_finite() => Ok(p),
        p => invalid(format!("p is {p}, but must be positive")),
    }
}

/// `|x|^p`.
fn raised(node: &mut NodeImport<'_>, x: ValueId, p: f64) -> One {
    if p == 2.0 {
        return node.binary(BinaryOp::Mul, x, x);
    }
    let size = node.unary(UnaryOp::Abs, x)?;
    if p == 1.0 { Ok(size) } else { node.with_number(BinaryOp::Pow, size, p) }
}

/// The root that undoes [`raised`].
fn root(node: &mut NodeImport<'_>, x: ValueId, p: f64) -> One {
    match p {
        1.0 => Ok(x),
        2.0 => node.unary(UnaryOp::Sqrt, x),
        _ => node.with_number(BinaryOp::Pow, x, 1.0 / p),
    }
}

/// `(sum of |x|^p over the window)^(1/p)`, padding being 0: the sum is a mean, times the window's size.
fn lp_pool(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let p = exponent(node)?;
    let spatial = window(node, &spatial_sizes(node, x)?, None)?.spatial;
    let count: u64 = spatial.kernel.iter().product();
    let powers = raised(node, x, p)?;
    let mean = node.emit(Op::Pool { kind: PoolKind::MeanWithPadding, spatial, layout: Layout::ChannelsFirst }, &[powers])?;
    let sum = node.with_number(BinaryOp::Mul, mean, count as f64)?;
    Ok(vec![root(node, sum, p)?])
}

fn global_lp(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let p = exponent(node)?;
    let rank = node.rank(x);
    if rank < 2 {
        return invalid(format!("a pool needs a batch and channels, but the input has rank {rank}"));
    }
    let axes: Vec<usize> = (2..rank).collect();
    let powers = raised(node, x, p)?;
    let sum = node.reduce(ReduceKind::Sum, &axes, true, powers)?;
    Ok(vec![root(node, sum, p)?])
}
