//! Operations that any order of axes suits, done on what is viewed with their axes renamed.

use super::views::{Views, first_from_last};
use crate::infer::InferError;
use crate::ir::{Graph, Node, OpId, Type, ValueId};
use crate::op::Op;
use crate::passes::cleanup::moves_unit_axes;
use crate::shape::{Dim, Shape};

/// Does an operation on what its operands are views of; false where that cannot be, or does not pay.
pub(super) fn rename(graph: &mut Graph, views: &mut Views, id: OpId) -> Result<bool, InferError> {
    let node = graph.ops[id].clone();
    let Some(view) = common_view(graph, views, &node) else { return Ok(false) };
    let Some(renamed) = renamed(graph, &node, &view) else { return Ok(false) };
    let mut operands = Vec::new();
    for (index, &operand) in node.operands.iter().enumerate() {
        operands.push(match renamed.viewed > index {
            true => aligned(graph, views, operand, &view)?,
            false => views.plain(graph, operand)?,
        });
    }
    let origin = graph.origins[id].clone();
    let results = match renamed.shape {
        Some(shape) => {
            let ty = Type::new(graph.ty(node.results[0]).dtype, shape);
            graph.append_typed(renamed.op, &operands, &[ty], origin)?
        }
        None => graph.append(renamed.op, &operands, origin)?,
    };
    for (&old, new) in node.results.iter().zip(results) {
        views.set(old, new, renamed.view.clone());
    }
    Ok(true)
}

/// The view to do an operation under: that of window operations, if an operand has it and the others can be had under it.
fn common_view(graph: &Graph, views: &Views, node: &Node) -> Option<Vec<u32>> {
    let rank = node.operands.iter().map(|&operand| graph.ty(operand).shape.rank()).max()?;
    let view = node.operands.iter().find_map(|&operand| image_view(graph, views, operand, rank))?;
    // Between images an operand is worth turning, since what follows wants its channels last; elsewhere nothing tells.
    let turns = |operand: ValueId| {
        let ty = graph.ty(operand);
        ty.shape.rank() < rank || views.is_free(graph, operand, &view) || rank >= 4
    };
    node.operands.iter().all(|&operand| turns(operand)).then_some(view)
}

/// The view of channels first that a value has, or has but for axes of size 1.
fn image_view(graph: &Graph, views: &Views, operand: ValueId, rank: usize) -> Option<Vec<u32>> {
    let (base, view) = views.get(graph, operand);
    if view.len() != rank || rank < 3 {
        return None;
    }
    // `[H, W, C]` as `[C, H, W]`: one image.
    if view == first_from_last(rank) || view == [2, 0, 1] {
        return Some(view);
    }
    let channels = first_from_last(rank);
    (!moves_unit_axes(graph.ty(base), &view) && views.is_free(graph, operand, &channels)).then_some(channels)
}

/// An operand under a view, for an operation that broadcasts: lower ranks gain leading axes first.
fn aligned(graph: &mut Graph, views: &mut Views, operand: ValueId, view: &[u32]) -> Result<ValueId, InferError> {
    let shape = graph.ty(operand).shape.clone();
    if shape.rank() == view.len() {
        return views.under(graph, operand, view);
    }
    let plain = views.plain(graph, operand)?;
    if shape.0.iter().all(|&dim| dim == Dim::Const(1)) {
        return Ok(plain);
    }
    let mut dims = vec![Dim::Const(1); view.len() - shape.rank()];
    dims.extend(shape.0);
    let origin = graph.definition(plain).map(|(id, _)| graph.origins[id].clone()).unwrap_or_default();
    let wide = match graph.constant_of(plain).cloned() {
        Some(tensor) => {
            let sizes: Vec<u64> = dims.iter().filter_map(|dim| dim.constant()).collect();
            graph.constant(tensor.reshaped(&sizes).expect("axes of size 1 hold nothing more"), origin)
        }
        None => graph.reshape(plain, Shape(dims), origin)?,
    };
    views.under(graph, wide, view)
}

/// An operation with its axes renamed.
struct Renamed {
    op: Op,
    /// The view that the results have.
    view: Vec<u32>,
    /// How many operands, from the first, are taken under the view; the others are not images.
    viewed: usize,
    /// The result's shape, where the operation is free to choose it.
    shape: Option<Shape>,
}

fn renamed(graph: &Graph, node: &Node, view: &[u32]) -> Option<Renamed> {
    let axis = |axis: u32| view[axis as usize];
    let same = |op: Op, viewed: usize| Some(Renamed { op, view: view.to_vec(), viewed, shape: None });
    let shaped =
        |op: Op| Some(Renamed { op, view: view.to_vec(), viewed: 1, shape: Some(permuted(&graph.ty(node.results[0]).shape, view)) });
    let dropping = |op: Op, axes: &[u32], keep: bool| {
        let view = if keep { view.to_vec() } else { without(view, axes) };
        Some(Renamed { op, view, viewed: 1, shape: None })
    };
    let all = node.operands.len();
    match &node.op {
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast(_) | Op::Bitcast(_) | Op::QuantizedAdd { .. } => {
            same(node.op.clone(), all)
        }
        Op::Concat { axis: along } => same(Op::Concat { axis: axis(*along) }, all),
        Op::Softmax { axis: along } => same(Op::Softmax { axis: axis(*along) }, 1),
        Op::TopK { k, axis: along, largest } => same(Op::TopK { k: *k, axis: axis(*along), largest: *largest }, 1),
        Op::Pad { before, after } => same(Op::Pad { before: unpermuted(before, view), after: unpermuted(after, view) }, 1),
        Op::Slice { starts, steps } => shaped(Op::Slice { starts: unpermuted(starts, view), steps: unpermuted(steps, view) }),
        Op::Broadcast if graph.ty(node.results[0]).shape.rank() == view.len() => shaped(Op::Broadcast),
        Op::Reduce { kind, axes, keep } => dropping(Op::Reduce { kind: *kind, axes: sorted(axes, view), keep: *keep }, axes, *keep),
        Op::ArgReduce { max, axis: along, keep, last } => {
            dropping(Op::ArgReduce { max: *max, axis: axis(*along), keep: *keep, last: *last }, &[*along], *keep)
        }
        Op::QuantizedMean { axes, .. } => {
            let mut op = node.op.clone();
            if let Op::QuantizedMean { axes: renamed, .. } = &mut op {
                *renamed = sorted(axes, view);
            }
            same(op, 1)
        }
        Op::Gather { axis: along } => match graph.ty(node.operands[1]).shape.rank() {
            0 => dropping(Op::Gather { axis: axis(*along) }, &[*along], false),
            1 => same(Op::Gather { axis: axis(*along) }, 1),
            _ => None,
        },
        Op::Quantize { axis: along } | Op::Dequantize { axis: along } => {
            // Blocks along several axes would have to be turned as well.
            let scale = graph.ty(node.operands[1]).shape.rank();
            let along = if scale == 1 { axis(*along) } else { 0 };
            let op = if matches!(node.op, Op::Quantize { .. }) { Op::Quantize { axis: along } } else { Op::Dequantize { axis: along } };
            if scale <= 1 { same(op, 1) } else { None }
        }
        _ => None,
    }
}

/// A list with an entry for each axis of the view, as one for each axis of what is viewed.
fn unpermuted<T: Copy>(list: &[T], view: &[u32]) -> Vec<T> {
    crate::ops::movement::inverse(view).iter().map(|&axis| list[axis as usize]).collect()
}

/// The shape of what is viewed, from the shape of the view.
fn permuted(shape: &Shape, view: &[u32]) -> Shape {
    Shape(unpermuted(&shape.0, view))
}

fn sorted(axes: &[u32], view: &[u32]) -> Vec<u32> {
    let mut axes: Vec<u32> = axes.iter().map(|&axis| view[axis as usize]).collect();
    axes.sort_unstable();
    axes
}

/// The view that remains when `axes` are dropped.
fn without(view: &[u32], axes: &[u32]) -> Vec<u32> {
    let dropped: Vec<u32> = axes.iter().map(|&axis| view[axis as usize]).collect();
    let left = view.iter().filter(|axis| !dropped.contains(axis));
    left.map(|&axis| axis - dropped.iter().filter(|&&gone| gone < axis).count() as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_axes_close_the_gap() {
        // [N, C, H, W] over [N, H, W, C]: without H and W it is [N, C] over [N, C].
        assert_eq!(without(&[0, 3, 1, 2], &[2, 3]), [0, 1]);
        assert_eq!(without(&[0, 3, 1, 2], &[1]), [0, 1, 2]);
        assert_eq!(without(&[0, 3, 1, 2], &[0]), [2, 0, 1]);
    }
}
