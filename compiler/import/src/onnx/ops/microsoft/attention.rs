//! What the attention operators of ONNX Runtime share: heads, scores, masks. They are written out in products and a softmax, which a pass over the graph
//! finds and makes one operation of.

use crate::onnx::node::{NodeImport, One, Problem, invalid, unsupported};
use crate::onnx::ops::normalization::widened;
use mlp_graph::op::{BinaryOp, CompareOp, UnaryOp};
use mlp_graph::{DType, Op, Tensor, ValueId};

/// How scores become weights.
#[derive(Default)]
pub(super) struct Scores {
    /// The factor of products of queries and keys.
    pub(super) scale: f64,
    /// Scores are `cap * tanh(score / cap)` where this is not 0.
    pub(super) cap: f64,
    /// What is added to scores; each stretches to `[batch, heads, rows, keys]`.
    pub(super) added: Vec<ValueId>,
    /// A further score of every head whose key has no value, `[1, heads, 1, 1]`.
    pub(super) sink: Option<ValueId>,
}

/// `softmax(query key^T * scale + added) value` of `query [batch, heads, rows, head]`, `key [batch, heads, keys, head]` and `value [batch, heads, keys, width]`, as
/// `[batch, heads, rows, width]`; narrow floats are widened.
pub(super) fn attend(node: &mut NodeImport<'_>, [query, key, value]: [ValueId; 3], scores: &Scores) -> One {
    let dtype = node.dtype(query);
    let wide = widened(dtype);
    let (query, key, value) = (node.cast(wide, query)?, node.cast(wide, key)?, node.cast(wide, value)?);
    let turned = node.transpose(&[0, 1, 3, 2], key)?;
    let product = node.emit(Op::MatMul, &[query, turned])?;
    let mut score = node.with_number(BinaryOp::Mul, product, scores.scale)?;
    if scores.cap != 0.0 {
        let part = node.with_number(BinaryOp::Div, score, scores.cap)?;
        let bounded = node.unary(UnaryOp::Tanh, part)?;
        score = node.with_number(BinaryOp::Mul, bounded, scores.cap)?;
    }
    for &added in &scores.added {
        let added = node.cast(wide, added)?;
        score = node.binary(BinaryOp::Add, score, added)?;
    }
    let weights = weights(node, score, scores.sink)?;
    let result = node.emit(Op::MatMul, &[weights, value])?;
    node.cast(dtype, result)
}

/// The softmax of scores over keys; a sink takes part and is dropped.
fn weights(node: &mut NodeImport<'_>, score: ValueId, sink: Option<ValueId>) -> One {
    let Some(sink) = sink else { return node.emit(Op::Softmax { axis: 3 }, &[score]) };
    let dims = node.dims(score);
    let sink = node.cast(node.dtype(score), sink)?;
    let column = node.broadcast(sink, &[dims[0], dims[1], dims[2], 1])?;
    let with_sink = node.emit(Op::Concat { axis: 3 }, &[score, column])?;
    let weights = node.emit(Op::Softmax { axis: 3 }, &[with_sink])?;
    node.slice(weights, vec![0; 4], vec![1; 4], &dims)
}

/// An attribute that counts.
pub(super) fn count(node: &NodeImport<'_>, name: &str) -> Result<u64, Problem> {
    match node.attributes.int(name)? {
        Some(count @ 1..) => Ok(count as u64),
        other => invalid(format!("attribute `{name}` must be a positive number, not {other:?}")),
    }
}

/// The factor of scores: the attribute `scale`, or where that is missing or 0, `1 / sqrt(size)`.
pub(super) fn score_scale(node: &NodeImport<'_>, size: u64) -> Result<f64, Problem> {
    Ok(match node.attributes.float("scale")? {
        Some(scale) if scale != 0.0 => f64::from(scale),
        _ => 1.0 / (size as f64).sqrt(),
    })
}

/// The sizes of scores.
pub(super) struct Extent {
    pub(super) batch: u64,
    pub(super) rows: u64,
    pub(super) keys: u64,
    /// The keys before the first row's own.
    pub(super) past: u64,
}

/// What a mask and `unidirectional` add to scores: `filter` for hidden keys, the least number for later ones.
pub(super) fn added_mask(
    node: &mut NodeImport<'_>,
    mask: Option<ValueId>,
    extent: &Extent,
    filter: f64,
    causal: bool,
) -> Result<Option<ValueId>, Problem> {
    let mask = match mask {
        Some(mask) => {
            let kept = kept_keys(node, mask, extent)?;
            let (zero, filter) = (node.scalar(DType::F32, 0.0), node.scalar(DType::F32, filter));
            Some(node.select(kept, zero, filter)?)
        }
        None => None,
    };
    if !causal || extent.rows <= 1 {
        return Ok(mask);
    }
    let earlier = band(node, extent, None)?;
    let least = node.scalar(DType::F32, f64::from(f32::MIN));
    let other = match mask {
        Some(mask) => mask,
        None => node.scalar(DType::F32, 0.0),
    };
    Ok(Some(node.select(earlier, other, least)?))
}

/// Which keys a mask keeps, as `Bool` that stretches to the scores. A mask is `[batch, keys]` or `[batch, rows, keys]`, positive where a key is kept; or `[batch]`, where
/// each says where keys end, or `[2 * batch]`, where the second half says where they start.
fn kept_keys(node: &mut NodeImport<'_>, mask: ValueId, extent: &Extent) -> One {
    let &Extent { batch, rows, keys, .. } = extent;
    let dims = node.dims(mask);
    let shape = match *dims.as_slice() {
        [count] if count == batch || count == 2 * batch => return kept_by_length(node, mask, count == 2 * batch, extent),
        [images, width] if (images == batch || images == 1) && width == keys => [images, 1, 1, keys],
        [images, height, width] if (images == batch || images == 1) && height == rows && width == keys => [images, 1, rows, keys],
        [images, 1, height, width] if (images == batch || images == 1) && (height == rows || height == 1) && width == keys => {
            [images, 1, height, keys]
        }
        _ => {
            return unsupported(format!(
                "a mask of shape {dims:?}; [{batch}], [{}], [{batch}, {keys}] and [{batch}, {rows}, {keys}] are supported",
                2 * batch
            ));
        }
    };
    let kept = if node.dtype(mask) == DType::Bool {
        mask
    } else {
        let zero = node.scalar(node.dtype(mask), 0.0);
        node.compare(CompareOp::Lt, zero, mask)?
    };
    node.reshape(kept, &shape)
}

fn kept_by_length(node: &mut NodeImport<'_>, mask: ValueId, starts: bool, extent: &Extent) -> One {
    let &Extent { batch, keys, .. } = extent;
    let positions = positions(node, keys, 3)?;
    let mask = node.cast(DType::I64, mask)?;
    let part = |node: &mut NodeImport<'_>, first: u64| -> One {
        let part = node.slice(mask, vec![first as i64], vec![1], &[batch])?;
        node.reshape(part, &[batch, 1, 1, 1])
    };
    let ends = part(node, 0)?;
    let before_end = node.compare(CompareOp::Lt, positions, ends)?;
    if !starts {
        return Ok(before_end);
    }
    let starts = part(node, batch)?;
    let from_start = node.compare(CompareOp::Le, starts, positions)?;
    let no = node.constant(Tensor::scalar(false));
    node.select(before_end, from_start, no)
}

/// Whether a row may see a key, `[1, 1, rows, keys]`: none after its own, and of those before it only the last `window`, where one is given.
pub(super) fn band(node: &mut NodeImport<'_>, extent: &Extent, window: Option<u64>) -> One {
    let &Extent { rows, keys, past, .. } = extent;
    let key = positions(node, keys, 3)?;
    let row = positions(node, rows, 2)?;
    let past = node.scalar(DType::I64, past as f64);
    let own = node.binary(BinaryOp::Add, row, past)?;
    let earlier = node.compare(CompareOp::Le, key, own)?;
    let Some(window) = window else { return Ok(earlier) };
    let window = node.scalar(DType::I64, window as f64);
    let first = node.binary(BinaryOp::Sub, own, window)?;
    let near = node.compare(CompareOp::Lt, first, key)?;
    let no = node.constant(Tensor::scalar(false));
    node.select(earlier, near, no)
}

/// `0, 1, ..` along one axis of the scores.
fn positions(node: &mut NodeImport<'_>, count: u64, axis: usize) -> One {
    let steps = node.positions(count, axis, 4)?;
    node.cast(DType::I64, steps)
}
