//! Recognises scaled dot-product attention as exporters write it out: `softmax(q k^T * scale + mask) v`.
//!
//! The scale may stand at the query, the key or the scores, as a product or a quotient; the mask may be added, or chosen between the scores and `-inf` (or a
//! number so low that scores vanish beside it); a guard may replace the NaNs of rows that are masked altogether by 0. Query, key and value have the axes
//! `[batch, heads, rows, features]` or `[heads, rows, features]`; the transposes to what [`Op::Attention`] takes cancel those that exporters
//! write, in a later pass.

use super::pattern::{binary, scaled, uniform_float};
use super::rewrite::{count_uses, rewrite};
use crate::infer::InferError;
use crate::ir::{Graph, Node, OpId, Origin, ValueId};
use crate::op::{BinaryOp, CompareOp, Op};
use crate::shape::{Dim, Shape};
use cranelift_entity::SecondaryMap;
use mlp_bundle::DType;

/// Numbers up to this one hide a score as `-inf` does: a score added to it changes no bit of it.
const HIDES: f32 = -1e30;

pub(super) fn run(graph: &mut Graph) -> Result<(), InferError> {
    let uses = count_uses(graph);
    rewrite(graph, |graph, id| {
        let Some(found) = Found::at(graph, &uses, id) else { return Ok(None) };
        found.replace(graph, graph.ops[id].results[0], graph.origins[id].clone()).map(|value| Some(vec![value]))
    })
}

/// The mask of scores.
enum Masking {
    /// Added.
    Added(ValueId),
    /// Scores where the condition holds (or, the last, does not hold), the number elsewhere.
    Chosen(ValueId, f32, bool),
}

/// The parts of attention, with the axes of a matrix product.
struct Found {
    query: ValueId,
    /// `[.., features, keys]`.
    key: ValueId,
    value: ValueId,
    scale: f32,
    mask: Option<Masking>,
    guarded: bool,
}

impl Found {
    /// The attention whose last product an operation is.
    fn at(graph: &Graph, uses: &SecondaryMap<ValueId, u32>, id: OpId) -> Option<Found> {
        let node = graph.ops.get(id).filter(|node| node.op == Op::MatMul)?;
        let (weights, value) = (node.operands[0], node.operands[1]);
        let (softmax, guarded) = match guarded(graph, weights) {
            Some(softmax) => (softmax, true),
            None => (weights, false),
        };
        let readers = if guarded { 3 } else { 1 };
        let Node { op: Op::Softmax { axis }, operands, .. } = graph.defining(softmax)? else { return None };
        let rank = graph.ty(softmax).shape.rank();
        if uses[softmax] != readers || *axis as usize + 1 != rank || !(3..=4).contains(&rank) || graph.ty(softmax).dtype != DType::F32 {
            return None;
        }
        let (scores, mask) = masked(graph, operands[0]);
        let (product, outer) = scaled(graph, scores).unwrap_or((scores, 1.0));
        let node = graph.defining(product).filter(|node| node.op == Op::MatMul)?;
        let found = Found { query: node.operands[0], key: node.operands[1], value, scale: outer, mask, guarded };
        found.fits(graph, product, rank).then_some(found)
    }

    /// Whether no operand is stretched: all have the same axes but the last two.
    fn fits(&self, graph: &Graph, product: ValueId, rank: usize) -> bool {
        let batch = &graph.ty(product).shape.0[..rank - 2];
        let same = |value: ValueId| {
            let shape = &graph.ty(value).shape;
            shape.constants().is_some_and(|dims| !dims.contains(&0)) && shape.rank() == rank && &shape.0[..rank - 2] == batch
        };
        let mask = match &self.mask {
            Some(Masking::Added(mask) | Masking::Chosen(mask, ..)) => graph.ty(*mask).shape.rank() <= rank,
            None => true,
        };
        mask && [self.query, self.key, self.value].into_iter().all(same)
    }

    fn replace(self, graph: &mut Graph, result: ValueId, origin: Origin) -> Result<ValueId, InferError> {
        let (query, first) = unscaled(graph, self.query)?;
        let (key, second) = unscaled(graph, self.key)?;
        let query = rows_before_heads(graph, query, &[0, 2, 1, 3], &origin)?;
        let key = rows_before_heads(graph, key, &[0, 3, 1, 2], &origin)?;
        let value = rows_before_heads(graph, self.value, &[0, 2, 1, 3], &origin)?;
        let mut operands = vec![query, key, value];
        match self.mask {
            Some(Masking::Added(mask)) => {
                let mask = unstretched(graph, mask);
                operands.push(with_four_axes(graph, mask, &origin)?);
            }
            Some(Masking::Chosen(condition, hidden, keeps)) => {
                let condition = unstretched(graph, condition);
                let condition = with_four_axes(graph, condition, &origin)?;
                let hidden = graph.scalar(DType::F32, hidden.into(), origin.clone());
                let zero = graph.scalar(DType::F32, 0.0, origin.clone());
                let choice = if keeps { [condition, zero, hidden] } else { [condition, hidden, zero] };
                operands.push(graph.append_one(Op::Select, &choice, origin.clone())?);
            }
            None => {}
        }
        let op = Op::Attention { scale: (self.scale * first * second).to_bits(), guarded: self.guarded };
        let attention = graph.append_one(op, &operands, origin.clone())?;
        let heads_first = graph.transpose(attention, &[0, 2, 1, 3], origin.clone())?;
        let shape = graph.ty(result).shape.clone();
        graph.reshape(heads_first, shape, origin)
    }
}

/// The softmax below `isnan(softmax) ? 0 : softmax`.
fn guarded(graph: &Graph, value: ValueId) -> Option<ValueId> {
    let node = graph.defining(value).filter(|node| node.op == Op::Select)?;
    let [condition, zero, softmax] = node.operands[..] else { return None };
    let compare = graph.defining(condition).filter(|node| node.op == Op::Compare(CompareOp::Ne))?;
    (compare.operands == [softmax, softmax] && uniform_float(graph, zero) == Some(0.0)).then_some(softmax)
}

/// Scores and their mask. Of a sum, the scores are what a matrix product makes.
fn masked(graph: &Graph, scores: ValueId) -> (ValueId, Option<Masking>) {
    let is_product = |value: ValueId| {
        let inner = scaled(graph, value).map_or(value, |(inner, _)| inner);
        graph.ty(value) == graph.ty(scores) && graph.defining(inner).is_some_and(|node| node.op == Op::MatMul)
    };
    if let Some((x, y)) = binary(graph, scores, BinaryOp::Add) {
        if is_product(x) {
            return (x, Some(Masking::Added(y)));
        }
        if is_product(y) {
            return (y, Some(Masking::Added(x)));
        }
    }
    let chosen =
        graph.defining(scores).filter(|node| node.op == Op::Select).map(|node| (node.operands[0], node.operands[1], node.operands[2]));
    let hides = |value: ValueId| uniform_float(graph, value).filter(|&number| number <= HIDES);
    match chosen {
        Some((condition, x, y)) if is_product(x) && hides(y).is_some() => {
            (x, hides(y).map(|number| Masking::Chosen(condition, number, true)))
        }
        Some((condition, x, y)) if is_product(y) && hides(x).is_some() => {
            (y, hides(x).map(|number| Masking::Chosen(condition, number, false)))
        }
        _ => (scores, None),
    }
}

/// A value without a scale that stands at it, possibly below transposes and reshapes, and that scale.
fn unscaled(graph: &mut Graph, value: ValueId) -> Result<(ValueId, f32), InferError> {
    if let Some((x, factor)) = scaled(graph, value) {
        return Ok((x, factor));
    }
    let Some((id, _)) = graph.definition(value) else { return Ok((value, 1.0)) };
    let node = graph.ops[id].clone();
    let (Op::Transpose { .. } | Op::Reshape) = node.op else { return Ok((value, 1.0)) };
    let (inner, factor) = unscaled(graph, node.operands[0])?;
    if factor == 1.0 {
        return Ok((value, 1.0));
    }
    let (ty, origin) = (graph.ty(value).clone(), graph.origins[id].clone());
    Ok((graph.append_typed(node.op, &[inner], &[ty], origin)?[0], factor))
}

/// An operand of a batched product as an operand of attention.
fn rows_before_heads(graph: &mut Graph, value: ValueId, perm: &[u32], origin: &Origin) -> Result<ValueId, InferError> {
    let value = with_four_axes(graph, value, origin)?;
    graph.transpose(value, perm, origin.clone())
}

/// What a broadcast stretches: attention does so itself.
fn unstretched(graph: &Graph, value: ValueId) -> ValueId {
    graph.defining(value).filter(|node| node.op == Op::Broadcast).map_or(value, |node| node.operands[0])
}

fn with_four_axes(graph: &mut Graph, value: ValueId, origin: &Origin) -> Result<ValueId, InferError> {
    let mut shape = graph.ty(value).shape.0.clone();
    while shape.len() < 4 {
        shape.insert(0, Dim::Const(1));
    }
    graph.reshape(value, Shape(shape), origin.clone())
}
