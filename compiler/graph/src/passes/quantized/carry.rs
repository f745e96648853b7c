//! Operations that only move, compare or bound elements do the same to the integers, as long as one scale and zero point hold throughout.

use super::params::{PerTensor, activation, scalar};
use crate::infer::InferError;
use crate::ir::{Graph, Node, Type, ValueId};
use crate::op::{BinaryOp, Op, PoolKind, ReduceKind};
use crate::tensor::Tensor;

/// How many operations are carried over at most.
const BUDGET: u32 = 256;

/// The integers whose `dequantize` with these parameters is `value`, if that is computed from such integers by operations that can be carried over to them.
pub(super) fn carried(graph: &mut Graph, value: ValueId, params: &PerTensor) -> Result<Option<ValueId>, InferError> {
    // Nothing is made before it is known that all of it can be.
    if fits(graph, value, params, &mut 0) { carry(graph, value, params) } else { Ok(None) }
}

fn carry(graph: &mut Graph, value: ValueId, params: &PerTensor) -> Result<Option<ValueId>, InferError> {
    if let Some((integers, found)) = activation(graph, value) {
        return Ok((found == *params).then_some(integers));
    }
    let Some((id, index)) = graph.definition(value) else { return Ok(None) };
    let node = graph.ops[id].clone();
    let origin = graph.origins[id].clone();
    let mut operands = Vec::new();
    for &operand in moved(&node) {
        let Some(integers) = carry(graph, operand, params)? else { return Ok(None) };
        operands.push(integers);
    }
    match node.op {
        Op::Binary(_) => {
            let Some(bound) = scalar(graph, node.operands[1]) else { return Ok(None) };
            let bound = Tensor::scalar_of(params.dtype, params.quantize(bound).into());
            operands.push(graph.constant(bound, origin.clone()));
        }
        Op::Pad { .. } => {
            let Some(number) = scalar(graph, node.operands[1]) else { return Ok(None) };
            let number = Tensor::scalar_of(params.dtype, params.quantize(number).into());
            operands.push(graph.constant(number, origin.clone()));
        }
        Op::Gather { .. } => operands.push(node.operands[1]),
        _ => {}
    }
    let types: Vec<Type> = node.results.iter().map(|&result| Type::new(params.dtype, graph.ty(result).shape.clone())).collect();
    Ok(Some(graph.append_typed(node.op, &operands, &types, origin)?[index]))
}

/// The operands that hold elements.
fn moved(node: &Node) -> &[ValueId] {
    match node.op {
        Op::Concat { .. } => &node.operands,
        _ => &node.operands[..1],
    }
}

/// Whether the operation that computes `value`, and all below it, can be carried over.
fn fits(graph: &Graph, value: ValueId, params: &PerTensor, visited: &mut u32) -> bool {
    if let Some((_, found)) = activation(graph, value) {
        return found == *params;
    }
    *visited += 1;
    let Some(node) = graph.defining(value).filter(|_| *visited <= BUDGET) else { return false };
    let carries = match node.op {
        Op::Reshape | Op::Transpose { .. } | Op::Broadcast | Op::Slice { .. } | Op::Concat { .. } | Op::Gather { .. } => true,
        Op::Pool { kind: PoolKind::Max, .. } => true,
        Op::Reduce { kind: ReduceKind::Max | ReduceKind::Min, .. } => true,
        Op::Binary(BinaryOp::Max | BinaryOp::Min) => {
            graph.ty(node.operands[0]) == graph.ty(value) && scalar(graph, node.operands[1]).is_some()
        }
        // What is padded with must be a multiple of the scale, or it would not come back.
        Op::Pad { .. } => scalar(graph, node.operands[1]) == Some(0.0),
        _ => false,
    };
    carries && moved(node).iter().all(|&operand| fits(graph, operand, params, visited))
}
