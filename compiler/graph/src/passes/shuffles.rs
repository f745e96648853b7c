//! Channel shuffles go into the convolutions that read them.
//!
//! A shuffle is `[.., G * n] -> [.., G, n] -> [.., n, G] -> [.., n * G]`: channel `c * G + t` of the result is channel `t * n + c` of `x`. Between it and the convolution
//! there may be maps and depthwise convolutions, whose channels then keep the order of `x`. A convolution over all channels takes them in that order
//! with its weights reordered. One with a single tap over a range of channels, be it of a group or of a slice, takes `G` taps instead, one a run of `n`: its input becomes
//! `[.., W * G, n]`, which are the same bytes. So the shuffle costs nothing.

use super::rewrite::{count_uses, rewrite};
use crate::infer::InferError;
use crate::ir::{Graph, Node, OpId, ValueId};
use crate::op::{Layout, Op, Spatial};
use crate::shape::{Dim, Shape};
use crate::tensor::Tensor;
use cranelift_entity::SecondaryMap;

/// Channels of a shuffle.
struct Shuffle {
    /// What is shuffled.
    x: ValueId,
    /// `G`: how many runs of `x` are interleaved.
    runs: u64,
    /// The result's channels that are read: the first, and how many.
    first: u64,
    count: u64,
    /// Maps and depthwise convolutions between the shuffle and its reader, the last one first.
    between: Vec<OpId>,
}

pub(super) fn run(graph: &mut Graph) -> Result<(), InferError> {
    let uses = count_uses(graph);
    rewrite(graph, |graph, id| {
        let Node { op: Op::Conv { spatial, groups, layout: Layout::ChannelsLast }, operands, .. } = &graph.ops[id] else { return Ok(None) };
        let (spatial, groups, operands) = (spatial.clone(), *groups, operands.clone());
        let Some(weights) = graph.constant_of(operands[1]).filter(|weights| weights.shape()[1] > 1).cloned() else { return Ok(None) };
        let Some(shuffle) = behind(graph, &uses, operands[0]) else { return Ok(None) };
        let channels = last(graph, shuffle.x);
        let whole = groups == 1 && channels == Some(shuffle.count);
        let apart = is_plain(&spatial) && shuffle.count.is_multiple_of(shuffle.runs * groups) && fixed_row(graph, &shuffle);
        if !whole && !apart {
            return Ok(None);
        }
        let origin = graph.origins[id].clone();
        let x = unshuffled(graph, &shuffle)?;
        let (x, weights, spatial) = if whole {
            let order = order(shuffle.count, shuffle.runs);
            (x, reordered(&weights, 1, &order), spatial)
        } else {
            runs_apart(graph, &shuffle, x, &weights, spatial, &origin)?
        };
        let mut operands = operands;
        operands[0] = x;
        operands[1] = graph.constant(weights, origin.clone());
        Ok(Some(vec![graph.append_one(Op::Conv { spatial, groups, layout: Layout::ChannelsLast }, &operands, origin)?]))
    })
}

/// Channel `c` of a shuffle's operand is channel `order[c]` of its result.
fn order(channels: u64, runs: u64) -> Vec<u64> {
    let n = channels / runs;
    (0..channels).map(|channel| channel % n * runs + channel / n).collect()
}

fn last(graph: &Graph, value: ValueId) -> Option<u64> {
    graph.ty(value).shape.0.last()?.constant()
}

/// One tap, no steps and no padding.
fn is_plain(spatial: &Spatial) -> bool {
    let all = |values: &[u64], value: u64| values.iter().all(|&v| v == value);
    all(&spatial.kernel, 1) && all(&spatial.strides, 1) && all(&spatial.pads_begin, 0) && all(&spatial.pads_end, 0)
}

/// Whether the rows of what is shuffled have a constant length.
fn fixed_row(graph: &Graph, shuffle: &Shuffle) -> bool {
    let dims = &graph.ty(shuffle.x).shape.0;
    dims.len() > 2 && dims[dims.len() - 2].constant().is_some()
}

/// The shuffle that a value is read from, with what alone reads it in between.
fn behind(graph: &Graph, uses: &SecondaryMap<ValueId, u32>, mut value: ValueId) -> Option<Shuffle> {
    let mut between = Vec::new();
    let mut taken = None;
    loop {
        if let Some((x, runs)) = shuffled(graph, value) {
            let (first, count) = match taken {
                Some(range) => range,
                None => (0, last(graph, x)?),
            };
            return (first % runs == 0).then_some(Shuffle { x, runs, first, count, between });
        }
        let (id, _) = graph.definition(value).filter(|_| uses[value] <= 1 || taken.is_none() && between.is_empty())?;
        let node = &graph.ops[id];
        match &node.op {
            Op::Slice { starts, steps } if taken.is_none() && between.is_empty() => {
                let (first, others) = starts.split_last()?;
                let same = graph.ty(node.operands[0]).shape.0.iter().zip(&graph.ty(value).shape.0).rev().skip(1).all(|(x, y)| x == y);
                if !same || steps.iter().any(|&step| step != 1) || others.iter().any(|&start| start != 0) {
                    return None;
                }
                taken = Some((u64::try_from(*first).ok()?, last(graph, value)?));
            }
            Op::Unary(_) if uses[value] == 1 => between.push(id),
            Op::Binary(_) if uses[value] == 1 && is_uniform(graph, node.operands[1]) => between.push(id),
            Op::Conv { groups, layout: Layout::ChannelsLast, .. } if uses[value] == 1 && is_depthwise(graph, node, *groups) => {
                between.push(id)
            }
            _ => return None,
        }
        value = node.operands[0];
    }
}

/// `x` and `G`, where a value is the shuffle of `x`.
fn shuffled(graph: &Graph, value: ValueId) -> Option<(ValueId, u64)> {
    let joined = graph.defining(value).filter(|node| node.op == Op::Reshape)?;
    let turned = graph.defining(joined.operands[0])?;
    let split = graph.defining(turned.operands[0]).filter(|node| node.op == Op::Reshape)?;
    let x = split.operands[0];
    let Op::Transpose { perm } = &turned.op else { return None };
    let rank = perm.len();
    let swaps =
        rank > 2 && perm[rank - 2..] == [rank as u32 - 1, rank as u32 - 2] && perm[..rank - 2].iter().copied().eq(0..rank as u32 - 2);
    let dims = &graph.ty(turned.operands[0]).shape.0;
    let outer = &graph.ty(x).shape;
    let alike = *outer == graph.ty(value).shape && outer.rank() + 1 == rank && outer.0[..rank - 2] == dims[..rank - 2];
    (swaps && alike).then_some((x, dims[rank - 2].constant()?))
}

/// A number, the same for all elements of what it is combined with.
fn is_uniform(graph: &Graph, value: ValueId) -> bool {
    graph.constant_of(value).is_some_and(|tensor| tensor.len() == 1)
}

/// A depthwise convolution with constant operands.
fn is_depthwise(graph: &Graph, node: &Node, groups: u64) -> bool {
    let constant = |value: &ValueId| graph.constant_of(*value).is_some();
    let own = graph.constant_of(node.operands[1]).is_some_and(|weights| weights.shape()[..2] == [groups, 1]);
    own && node.operands[1..].iter().all(constant)
}

/// What the reader would see without the shuffle: the operations in between, over channels in the order of `x`.
fn unshuffled(graph: &mut Graph, shuffle: &Shuffle) -> Result<ValueId, InferError> {
    let mut value = shuffle.x;
    for &id in shuffle.between.iter().rev() {
        let (Node { op, mut operands, .. }, origin) = (graph.ops[id].clone(), graph.origins[id].clone());
        operands[0] = value;
        if matches!(op, Op::Conv { .. }) {
            for operand in &mut operands[1..] {
                let tensor = graph.constant_of(*operand).expect("asked before");
                let tensor = reordered(tensor, 0, &order(tensor.shape()[0], shuffle.runs));
                *operand = graph.constant(tensor, origin.clone());
            }
        }
        value = graph.append_one(op, &operands, origin)?;
    }
    Ok(value)
}

/// Input, weights and windows of a convolution with a tap a run.
fn runs_apart(
    graph: &mut Graph,
    shuffle: &Shuffle,
    x: ValueId,
    weights: &Tensor,
    mut spatial: Spatial,
    origin: &crate::ir::Origin,
) -> Result<(ValueId, Tensor, Spatial), InferError> {
    let runs = shuffle.runs;
    let mut dims = graph.ty(x).shape.0.clone();
    let rank = dims.len();
    let constant = |dim: Dim| dim.constant().expect("asked before");
    dims[rank - 2] = Dim::Const(constant(dims[rank - 2]) * runs);
    dims[rank - 1] = Dim::Const(constant(dims[rank - 1]) / runs);
    let mut value = graph.reshape(x, Shape(dims.clone()), origin.clone())?;
    let (first, count) = (shuffle.first / runs, shuffle.count / runs);
    if Dim::Const(count) != dims[rank - 1] {
        let mut starts = vec![0; rank];
        starts[rank - 1] = first as i64;
        dims[rank - 1] = Dim::Const(count);
        value = graph.slice(value, starts, vec![1; rank], Shape(dims), origin.clone())?;
    }
    // Input `c * G + t` of a group is channel `c` of run `t`.
    let mut shape = vec![weights.shape()[0], weights.shape()[1] / runs];
    shape.resize(1 + spatial.kernel.len(), 1);
    shape.push(runs);
    let weights = weights.reshaped(&shape).expect("as many weights");
    *spatial.kernel.last_mut().expect("asked before") = runs;
    *spatial.strides.last_mut().expect("asked before") = runs;
    *spatial.dilations.last_mut().expect("asked before") = 1;
    Ok((value, weights, spatial))
}

/// A tensor whose index `i` along an axis is its index `order[i]`.
fn reordered(tensor: &Tensor, axis: usize, order: &[u64]) -> Tensor {
    let shape = tensor.shape();
    let inner = shape[axis + 1..].iter().product::<u64>() as usize * tensor.dtype().size();
    let outer = shape[..axis].iter().product::<u64>() as usize;
    let row = inner * order.len();
    let piece = |outer: usize, index: u64| &tensor.bytes()[outer * row + index as usize * inner..][..inner];
    let bytes = (0..outer).flat_map(|outer| order.iter().flat_map(move |&index| piece(outer, index))).copied().collect();
    Tensor::new(tensor.dtype(), shape.to_vec(), bytes).expect("as many bytes")
}
