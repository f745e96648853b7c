//! Drops operations that do nothing, and says in one way what can be said in several.
//!
//! - A movement or cast that changes nothing is its operand; two reshapes or transposes in a row are one.
//! - A transpose that only moves axes of size 1 is a reshape, and so is a reduction over such axes (of floats a sum or mean, of anything a maximum or minimum).
//! - `x + 0`, `x - 0`, `x * 1`, `x / 1` are `x` where that has the result's shape. (`-0 + 0` is `0`, and becomes `-0`.)
//! - A power with the constant exponent 1, 2, 3 or 4 is a product.
//! - A map does its own broadcasting: an operand that is a broadcast is replaced by what it stretches.
//! - An operand of a map that is a constant with one value everywhere becomes a scalar.
//! - A gather at constant positions one step apart is a slice.
//! - Uniform constants at an end of a concatenation are padding.
//! - Padding with what a convolution or maximum pool pads with anyway becomes its padding.

use super::rewrite::{count_uses, rewrite};
use crate::infer::{InferError, result_types};
use crate::ir::{Graph, Node, OpId, Type, ValueId};
use crate::op::{BinaryOp, Layout, Op, PoolKind, ReduceKind, Spatial};
use crate::shape::Dim;
use crate::tensor::Tensor;
use mlp_bundle::Scalar;

type Replacement = Result<Option<ValueId>, InferError>;

pub(super) fn run(graph: &mut Graph) -> Result<(), InferError> {
    let uses = count_uses(graph);
    rewrite(graph, |graph, id| {
        simplify_operands(graph, id);
        let node = graph.ops[id].clone();
        let replacement = match node.op {
            Op::Reshape | Op::Broadcast | Op::Cast(_) | Op::Slice { .. } | Op::Transpose { .. } | Op::Reduce { .. } => {
                movement(graph, id, &node)?
            }
            Op::Binary(BinaryOp::Pow) => power(graph, id, &node)?,
            Op::Binary(op) => identity(graph, op, &node),
            Op::Gather { axis } => range(graph, id, &node, axis as usize)?,
            Op::Concat { axis } => concat(graph, id, &node, axis as usize)?,
            Op::Pad { ref before, ref after } => before.iter().chain(after).all(|&count| count == 0).then(|| node.operands[0]),
            Op::Conv { .. } | Op::QuantizedConv { .. } | Op::Pool { kind: PoolKind::Max, .. } => {
                // Where others read the padded tensor too, padding it twice would be no gain.
                if uses[node.operands[0]] == 1 { padded_window(graph, id, &node)? } else { None }
            }
            _ => None,
        };
        Ok(replacement.map(|value| vec![value]))
    })
}

/// Movements, casts and reductions that are their operand or a reshape of it.
fn movement(graph: &mut Graph, id: OpId, node: &Node) -> Replacement {
    let x = node.operands[0];
    let (from, to) = (graph.ty(x).clone(), graph.ty(node.results[0]).clone());
    let unit_axes = |axes: &[u32]| axes.iter().all(|&axis| from.shape.0[axis as usize] == Dim::Const(1));
    let reshapes = match &node.op {
        Op::Reshape | Op::Broadcast | Op::Cast(_) if from == to => return Ok(Some(x)),
        Op::Slice { starts, steps } if from == to && starts.iter().all(|&start| start == 0) && steps.iter().all(|&step| step == 1) => {
            return Ok(Some(x));
        }
        Op::Reshape => match graph.defining(x) {
            Some(Node { op: Op::Reshape, operands, .. }) => {
                let first = operands[0];
                return graph.reshape(first, to.shape, graph.origins[id].clone()).map(Some);
            }
            _ => false,
        },
        Op::Broadcast => from.shape.0.iter().chain(&to.shape.0).filter(|&&dim| dim != Dim::Const(1)).count() == 0,
        Op::Transpose { perm } => match graph.defining(x) {
            Some(Node { op: Op::Transpose { perm: inner }, operands, .. }) => {
                let (first, perm) = (operands[0], perm.iter().map(|&axis| inner[axis as usize]).collect::<Vec<u32>>());
                return graph.transpose(first, &perm, graph.origins[id].clone()).map(Some);
            }
            _ => moves_unit_axes(&from, perm),
        },
        Op::Reduce { kind: ReduceKind::Max | ReduceKind::Min | ReduceKind::Sum | ReduceKind::Prod | ReduceKind::Mean, axes, .. } => {
            unit_axes(axes)
        }
        _ => false,
    };
    if reshapes { graph.reshape(x, to.shape, graph.origins[id].clone()).map(Some) } else { Ok(None) }
}

/// Whether a permutation leaves all axes longer than 1 in their order, so that no element moves.
pub(super) fn moves_unit_axes(x: &Type, perm: &[u32]) -> bool {
    let long: Vec<u32> = perm.iter().copied().filter(|&axis| x.shape.0[axis as usize] != Dim::Const(1)).collect();
    long.is_sorted()
}

/// A gather whose positions are constant and as far apart as each other, as a slice under the gather's shape.
fn range(graph: &mut Graph, id: OpId, node: &Node, axis: usize) -> Replacement {
    let x = node.operands[0];
    let (from, to) = (graph.ty(x).shape.clone(), graph.ty(node.results[0]).shape.clone());
    let indices = graph.constant_of(node.operands[1]).and_then(Tensor::to_i64);
    let (Some(indices), Some(size)) = (indices, from.0[axis].constant().filter(|&size| size > 0)) else { return Ok(None) };
    let size = size as i64;
    let places: Vec<i64> =
        indices.iter().map(|&index| if index < 0 { index.saturating_add(size) } else { index }.clamp(0, size - 1)).collect();
    let (Some(&first), step) = (places.first(), places.get(1).map_or(1, |second| second - places[0])) else { return Ok(None) };
    if step == 0 || places.iter().zip(0..).any(|(&place, index)| place != first + index * step) {
        return Ok(None);
    }
    let origin = graph.origins[id].clone();
    let (mut starts, mut steps, mut counts) = (vec![0; from.rank()], vec![1; from.rank()], from.clone());
    (starts[axis], steps[axis], counts.0[axis]) = (first, step, Dim::Const(places.len() as u64));
    let whole = counts == from && step == 1;
    let part = if whole { x } else { graph.slice(x, starts, steps, counts, origin.clone())? };
    graph.reshape(part, to, origin).map(Some)
}

/// `x + 0` and the like.
fn identity(graph: &Graph, op: BinaryOp, node: &Node) -> Option<ValueId> {
    let (x, y) = (node.operands[0], node.operands[1]);
    let is = |value: ValueId, number: f64| graph.constant_of(value).and_then(Tensor::uniform).is_some_and(|scalar| equals(scalar, number));
    let kept = match op {
        BinaryOp::Add if is(y, 0.0) => x,
        BinaryOp::Add if is(x, 0.0) => y,
        BinaryOp::Mul if is(y, 1.0) => x,
        BinaryOp::Mul if is(x, 1.0) => y,
        BinaryOp::Sub if is(y, 0.0) => x,
        BinaryOp::Div if is(y, 1.0) => x,
        _ => return None,
    };
    (graph.ty(kept) == graph.ty(node.results[0])).then_some(kept)
}

/// A small whole power as products.
fn power(graph: &mut Graph, id: OpId, node: &Node) -> Replacement {
    let (x, exponent) = (node.operands[0], graph.constant_of(node.operands[1]).and_then(Tensor::uniform));
    let is = |number: f64| exponent.is_some_and(|exponent| equals(exponent, number));
    if graph.ty(x) != graph.ty(node.results[0]) {
        return Ok(None);
    }
    let mut product = |a: ValueId, b: ValueId| graph.append_one(Op::Binary(BinaryOp::Mul), &[a, b], graph.origins[id].clone());
    if is(1.0) {
        return Ok(Some(x));
    }
    if !(is(2.0) || is(3.0) || is(4.0)) {
        return Ok(None);
    }
    let square = product(x, x)?;
    if is(2.0) {
        return Ok(Some(square));
    }
    product(square, if is(3.0) { x } else { square }).map(Some)
}

/// Whether a number is `value`; truth values are no numbers.
fn equals(scalar: Scalar, value: f64) -> bool {
    match scalar {
        Scalar::Bool(_) => false,
        Scalar::I32(number) => f64::from(number) == value,
        Scalar::U32(number) => f64::from(number) == value,
        Scalar::I64(number) => number as f64 == value,
        Scalar::U64(number) => number as f64 == value,
        Scalar::F32(bits) => f64::from(f32::from_bits(bits)) == value,
        Scalar::F64(bits) => f64::from_bits(bits) == value,
    }
}

/// Replaces operands of a map by what they stretch, and uniform constants by scalars, where the result's type does not need their shape.
fn simplify_operands(graph: &mut Graph, id: OpId) {
    if !matches!(graph.ops[id].op, Op::Binary(_) | Op::Compare(_) | Op::Select) {
        return;
    }
    for index in 0..graph.ops[id].operands.len() {
        let operand = graph.ops[id].operands[index];
        let simpler = match graph.defining(operand) {
            Some(Node { op: Op::Broadcast, operands, .. }) => Some(Simpler::Value(operands[0])),
            Some(Node { op: Op::Constant(tensor), .. }) if !graph.tensors[*tensor].shape().is_empty() => {
                let tensor = &graph.tensors[*tensor];
                let size = tensor.dtype().size();
                // Where all elements have the same bytes, the first is the scalar.
                tensor
                    .uniform()
                    .map(|_| Simpler::Scalar(Tensor::new(tensor.dtype(), vec![], tensor.bytes()[..size].to_vec()).expect("one element")))
            }
            _ => None,
        };
        let ty = match &simpler {
            Some(Simpler::Value(value)) => graph.ty(*value).clone(),
            Some(Simpler::Scalar(tensor)) => Type::of(tensor),
            None => continue,
        };
        let node = &graph.ops[id];
        let mut types = graph.operand_types(&node.operands);
        types[index] = ty;
        if result_types(&node.op, &types, Some(&graph.operand_types(&node.results))).is_ok() {
            let value = match simpler {
                Some(Simpler::Scalar(tensor)) => graph.constant(tensor, graph.origins[id].clone()),
                Some(Simpler::Value(value)) => value,
                None => continue,
            };
            graph.ops[id].operands[index] = value;
        }
    }
}

enum Simpler {
    Value(ValueId),
    Scalar(Tensor),
}

/// A concatenation of one operand, or of one operand and uniform constants around it.
fn concat(graph: &mut Graph, id: OpId, node: &Node, axis: usize) -> Replacement {
    let constants: Vec<Option<Scalar>> =
        node.operands.iter().map(|&operand| graph.constant_of(operand).and_then(Tensor::uniform)).collect();
    let mut variable = (0..node.operands.len()).filter(|&index| constants[index].is_none());
    let (Some(only), None) = (variable.next(), variable.next()) else { return Ok(None) };
    let x = node.operands[only];
    let mut values = constants.iter().flatten();
    let Some(&value) = values.next() else { return Ok(Some(x)) };
    if values.any(|other| *other != value) {
        return Ok(None);
    }
    let size = |operands: &[ValueId]| operands.iter().map(|&operand| graph.dims(operand).map(|dims| dims[axis])).sum::<Option<u64>>();
    let (Some(lead), Some(tail)) = (size(&node.operands[..only]), size(&node.operands[only + 1..])) else { return Ok(None) };
    let rank = graph.ty(x).shape.rank();
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    (before[axis], after[axis]) = (lead, tail);
    let first = node.operands.iter().find_map(|&operand| graph.constant_of(operand)).expect("a constant was found");
    let scalar = Tensor::new(first.dtype(), vec![], first.bytes()[..first.dtype().size()].to_vec()).expect("one element");
    let origin = graph.origins[id].clone();
    let value = graph.constant(scalar, origin.clone());
    graph.append_one(Op::Pad { before, after }, &[x, value], origin).map(Some)
}

/// A window operation over a padded tensor, with the padding of the spatial axes in its own.
fn padded_window(graph: &mut Graph, id: OpId, node: &Node) -> Replacement {
    let Some(Node { op: Op::Pad { before, after }, operands, .. }) = graph.defining(node.operands[0]) else { return Ok(None) };
    let (x, value) = (operands[0], operands[1]);
    let Some(value) = graph.constant_of(value).and_then(Tensor::as_scalar) else { return Ok(None) };
    let (spatial, layout, neutral) = match &node.op {
        Op::Conv { spatial, layout, .. } => (spatial, *layout, equals(value, 0.0)),
        Op::QuantizedConv { spatial, layout, in_zero, .. } => (spatial, *layout, equals(value, f64::from(*in_zero))),
        Op::Pool { spatial, layout, .. } => (spatial, *layout, equals(value, f64::NEG_INFINITY)),
        _ => return Ok(None),
    };
    let first = layout.spatial_axis();
    let inside = first..first + spatial.kernel.len();
    if !neutral || (0..before.len()).any(|axis| !inside.contains(&axis) && before[axis] + after[axis] > 0) {
        return Ok(None);
    }
    let add = |pads: &[u64], more: &[u64]| pads.iter().zip(&more[inside.clone()]).map(|(a, b)| a + b).collect();
    let spatial = Spatial { pads_begin: add(&spatial.pads_begin, before), pads_end: add(&spatial.pads_end, after), ..spatial.clone() };
    let mut operands = node.operands.clone();
    operands[0] = x;
    let origin = graph.origins[id].clone();
    graph.append_one(with_spatial(&node.op, spatial, layout), &operands, origin).map(Some)
}

/// A window operation with other windows and another layout.
pub(super) fn with_spatial(op: &Op, windows: Spatial, to: Layout) -> Op {
    let mut op = op.clone();
    if let Op::Conv { spatial, layout, .. } | Op::QuantizedConv { spatial, layout, .. } | Op::Pool { spatial, layout, .. } = &mut op {
        (*spatial, *layout) = (windows, to);
    }
    op
}
