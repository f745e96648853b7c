//! Turns convolutions and pools to channels last, and moves transposes to where they cancel.
//!
//! One walk in order. No transpose is emitted where it stands: the value becomes a *view*, a permutation of another value, and only what cannot take a
//! view makes it a value again. A window operation over `[N, C, ...]` is done over `[N, ..., C]` and yields a view. Operations that do not care for the
//! order of axes (maps, concatenation, padding, slices, reductions, quantization) are done on what is viewed, with their axes renamed,
//! and yield views in turn. So in a network of convolutions the transposes that remain are those at inputs and outputs that really have their channels
//! first.

mod axes;
mod views;

use super::cleanup::{moves_unit_axes, with_spatial};
use super::reshape_groups::groups;
use crate::infer::InferError;
use crate::ir::{Graph, OpId, ValueId};
use crate::op::{Layout, Op, Spatial};
use crate::ops::movement::inverse;
use crate::shape::Shape;
use views::{Views, first_from_last};

pub(super) fn run(graph: &mut Graph) -> Result<(), InferError> {
    let order = std::mem::take(&mut graph.order);
    let mut views = Views::default();
    for id in order {
        let done = windows(graph, &mut views, id)? || movement(graph, &mut views, id)? || axes::rename(graph, &mut views, id)?;
        if !done {
            keep(graph, &mut views, id)?;
        }
    }
    for index in 0..graph.outputs.len() {
        let value = graph.outputs[index].value;
        graph.outputs[index].value = views.plain(graph, value)?;
    }
    Ok(())
}

/// Keeps an operation as it is, on operands in their own order of axes.
fn keep(graph: &mut Graph, views: &mut Views, id: OpId) -> Result<(), InferError> {
    for index in 0..graph.ops[id].operands.len() {
        let operand = graph.ops[id].operands[index];
        graph.ops[id].operands[index] = views.plain(graph, operand)?;
    }
    graph.order.push(id);
    Ok(())
}

/// Convolutions and pools with their channels first.
fn windows(graph: &mut Graph, views: &mut Views, id: OpId) -> Result<bool, InferError> {
    let node = graph.ops[id].clone();
    let spatial: Spatial = match &node.op {
        Op::Conv { spatial, layout: Layout::ChannelsFirst, .. }
        | Op::QuantizedConv { spatial, layout: Layout::ChannelsFirst, .. }
        | Op::Pool { spatial, layout: Layout::ChannelsFirst, .. } => spatial.clone(),
        _ => return Ok(false),
    };
    let rank = graph.ty(node.results[0]).shape.rank();
    let view = first_from_last(rank);
    let mut operands = vec![views.under(graph, node.operands[0], &view)?];
    for &operand in &node.operands[1..] {
        operands.push(views.plain(graph, operand)?);
    }
    let op = with_spatial(&node.op, spatial, Layout::ChannelsLast);
    let result = graph.append_one(op, &operands, graph.origins[id].clone())?;
    views.set(node.results[0], result, view);
    Ok(true)
}

/// Transposes, which become views, and reshapes of views.
fn movement(graph: &mut Graph, views: &mut Views, id: OpId) -> Result<bool, InferError> {
    let node = graph.ops[id].clone();
    match &node.op {
        Op::Transpose { perm } => {
            let (base, view) = views.get(graph, node.operands[0]);
            let view = perm.iter().map(|&axis| view[axis as usize]).collect();
            views.note_origin(node.results[0], graph.origins[id].clone());
            views.set(node.results[0], base, view);
            Ok(true)
        }
        Op::Reshape => reshape(graph, views, id, node.operands[0], node.results[0]),
        _ => Ok(false),
    }
}

/// A reshape of a view is done on what is viewed where its groups of axes allow: either for nothing, or for a transpose that would be needed anyway.
fn reshape(graph: &mut Graph, views: &mut Views, id: OpId, x: ValueId, result: ValueId) -> Result<bool, InferError> {
    let (base, view) = views.get(graph, x);
    if view.is_sorted() {
        return Ok(false);
    }
    let to = graph.ty(result).shape.clone();
    let origin = graph.origins[id].clone();
    if moves_unit_axes(graph.ty(base), &view) {
        let value = graph.reshape(base, to, origin)?;
        let view = (0..graph.ty(value).shape.rank() as u32).collect();
        views.set(result, value, view);
        return Ok(true);
    }
    let Some(mut groups) = groups(&graph.ty(x).shape, &to) else { return Ok(false) };
    // In the order in which the groups lie in what is viewed.
    groups.sort_by_key(|group| group.from.iter().map(|&axis| view[axis as usize]).min());
    let gathered: Vec<u32> = groups.iter().flat_map(|group| group.from.iter().map(|&axis| view[axis as usize])).collect();
    let ordered: Vec<u32> = groups.iter().flat_map(|group| group.to.iter().copied()).collect();
    let free = gathered.is_sorted();
    let result_view = inverse(&ordered);
    let image = result_view.len() >= 4 && result_view == first_from_last(result_view.len());
    if !free && !result_view.is_sorted() && !image {
        return Ok(false);
    }
    let moved = views.transposed(graph, base, &gathered, &origin)?;
    let shape = Shape(ordered.iter().map(|&axis| to.0[axis as usize]).collect());
    let value = graph.reshape(moved, shape, origin)?;
    views.set(result, value, result_view);
    Ok(true)
}
