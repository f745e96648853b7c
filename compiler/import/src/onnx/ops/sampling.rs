//! Reading an image between its elements: taps along each axis, their products gathered and summed. What grid sampling, regions of interest and deformable
//! convolution share.

use crate::onnx::node::{NodeImport, One, Problem, unsupported};
use mlp_graph::op::{BinaryOp, CompareOp, UnaryOp};
use mlp_graph::{DType, Op, ValueId};

/// Taps of all axes together that one sample may read: each is a gather of its own.
const MAX_TAPS: usize = 64;

/// What one sample reads along one axis. All values stretch to the shape of the samples.
#[derive(Clone, Copy)]
pub(super) struct Tap {
    /// The `I32` position, inside of the axis.
    pub(super) index: ValueId,
    /// Whether what is there counts; always where there is none.
    pub(super) inside: Option<ValueId>,
    /// The factor; 1 where there is none.
    pub(super) weight: Option<ValueId>,
}

/// An image whose elements one index finds: `[rows, channels]`.
pub(super) struct Table {
    pub(super) rows: ValueId,
    /// The sizes of the axes that taps go along; the last lies densest.
    pub(super) sizes: Vec<u64>,
    /// The first row of each sample's image, `I32`.
    pub(super) first: ValueId,
}

/// How taps of a sample become one number.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Merge {
    Sum,
    Greatest,
}

/// The samples `[..., channels]`, `...` being what the taps stretch to.
pub(super) fn sample(node: &mut NodeImport<'_>, table: &Table, axes: &[Vec<Tap>], merge: Merge) -> One {
    let count: usize = axes.iter().map(Vec::len).product();
    if count > MAX_TAPS {
        return unsupported(format!("samples that read {count} elements each; at most {MAX_TAPS} are supported"));
    }
    let mut result = None;
    for number in 0..count {
        let mut rest = number;
        let taps: Vec<Tap> = axes
            .iter()
            .map(|taps| {
                let tap = taps[rest % taps.len()];
                rest /= taps.len();
                tap
            })
            .collect();
        let value = read(node, table, &taps)?;
        result = Some(match (result, merge) {
            (None, _) => value,
            (Some(before), Merge::Sum) => node.binary(BinaryOp::Add, before, value)?,
            (Some(before), Merge::Greatest) => node.binary(BinaryOp::Max, before, value)?,
        });
    }
    result.ok_or_else(|| Problem::Invalid("an image without spatial axes".into()))
}

/// One element of each sample, weighted; 0 where it does not count.
fn read(node: &mut NodeImport<'_>, table: &Table, taps: &[Tap]) -> One {
    let mut place = None;
    let (mut inside, mut weight): (Option<ValueId>, Option<ValueId>) = (None, None);
    for (tap, &size) in taps.iter().zip(&table.sizes) {
        place = Some(match place {
            None => tap.index,
            Some(outer) => {
                let rows = node.with_number(BinaryOp::Mul, outer, size as f64)?;
                node.binary(BinaryOp::Add, rows, tap.index)?
            }
        });
        inside = both(node, inside, tap.inside)?;
        weight = both(node, weight, tap.weight)?;
    }
    let place = place.ok_or_else(|| Problem::Invalid("an image without spatial axes".into()))?;
    let place = node.binary(BinaryOp::Add, table.first, place)?;
    let mut value = node.emit(Op::Gather { axis: 0 }, &[table.rows, place])?;
    if let Some(inside) = inside {
        let inside = beside_channels(node, inside)?;
        let zero = node.scalar(node.dtype(value), 0.0);
        value = node.select(inside, value, zero)?;
    }
    if let Some(weight) = weight {
        let weight = beside_channels(node, weight)?;
        value = node.binary(BinaryOp::Mul, value, weight)?;
    }
    Ok(value)
}

/// The product of what there is: of truth values their and.
fn both(node: &mut NodeImport<'_>, x: Option<ValueId>, y: Option<ValueId>) -> Result<Option<ValueId>, Problem> {
    Ok(match (x, y) {
        (Some(x), Some(y)) => Some(node.binary(BinaryOp::Mul, x, y)?),
        (one, other) => one.or(other),
    })
}

/// A value of the samples' shape with an axis of size 1 for the channels.
pub(super) fn beside_channels(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let mut dims = node.dims(x);
    dims.push(1);
    node.reshape(x, &dims)
}

/// A position moved into `0 ..= size - 1`, and as `I32`.
pub(super) fn bounded(node: &mut NodeImport<'_>, position: ValueId, size: u64) -> One {
    let position = node.with_number(BinaryOp::Max, position, 0.0)?;
    let position = node.with_number(BinaryOp::Min, position, size as f64 - 1.0)?;
    node.cast(DType::I32, position)
}

/// Whether `0 <= position <= size - 1`.
pub(super) fn is_inside(node: &mut NodeImport<'_>, position: ValueId, size: u64) -> One {
    let dtype = node.dtype(position);
    let (low, high) = (node.scalar(dtype, 0.0), node.scalar(dtype, size as f64 - 1.0));
    let (above, below) = (node.compare(CompareOp::Le, low, position)?, node.compare(CompareOp::Le, position, high)?);
    node.binary(BinaryOp::Mul, above, below)
}

/// The two neighbours of a position, weighted by their nearness; those outside count as 0.
pub(super) fn linear_or_zero(node: &mut NodeImport<'_>, position: ValueId, size: u64) -> Result<Vec<Tap>, Problem> {
    let low = node.unary(UnaryOp::Floor, position)?;
    let part = node.binary(BinaryOp::Sub, position, low)?;
    let one = node.scalar(node.dtype(position), 1.0);
    let rest = node.binary(BinaryOp::Sub, one, part)?;
    let high = node.binary(BinaryOp::Add, low, one)?;
    let mut taps = Vec::with_capacity(2);
    for (place, weight) in [(low, rest), (high, part)] {
        let inside = is_inside(node, place, size)?;
        taps.push(Tap { index: bounded(node, place, size)?, inside: Some(inside), weight: Some(weight) });
    }
    Ok(taps)
}

/// An image `[N, C, spatial...]` as rows `[N * spatial, C]`.
pub(super) fn rows_of(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let dims = node.dims(x);
    let perm: Vec<usize> = [0].into_iter().chain(2..dims.len()).chain([1]).collect();
    let moved = node.transpose(&perm, x)?;
    let rows = dims[0] * dims[2..].iter().product::<u64>();
    node.reshape(moved, &[rows, dims[1]])
}
