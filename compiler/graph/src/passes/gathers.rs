//! A gather from what maps make of constants gathers the constants and maps what it has picked.
//!
//! Embeddings are often kept as bytes with a scale a row: folding would make the whole table floats, of which a run reads a few rows.

use super::rewrite::rewrite;
use crate::infer::InferError;
use crate::ir::{Graph, Node, OpId, Origin, ValueId};
use crate::op::Op;
use crate::shape::{Dim, Shape};

pub(super) fn run(graph: &mut Graph) -> Result<(), InferError> {
    rewrite(graph, |graph, id| {
        let Op::Gather { axis } = graph.ops[id].op else { return Ok(None) };
        let (table, indices) = (graph.ops[id].operands[0], graph.ops[id].operands[1]);
        let elements = |value: ValueId| graph.dims(value).map(|dims| dims.iter().product::<u64>());
        let shrinks = elements(graph.ops[id].results[0]).zip(elements(table)).is_some_and(|(picked, all)| picked < all);
        let shrinks = shrinks && graph.ty(table).shape.0[axis as usize] != Dim::Const(1);
        let constant = |value: ValueId| graph.constant_of(value).is_some();
        if !shrinks || constant(table) || constant(indices) || !is_mapped(graph, table) {
            return Ok(None);
        }
        let gather = Gathering { axis: axis as usize, indices, origin: graph.origins[id].clone() };
        gather.value(graph, table).map(|value| Some(vec![value]))
    })
}

/// Whether a value is maps of constants alone, each of which has the value's rank or none.
fn is_mapped(graph: &Graph, value: ValueId) -> bool {
    let rank = graph.ty(value).shape.rank();
    let Some(node) = graph.defining(value) else { return false };
    match node.op {
        Op::Constant(_) => true,
        Op::Cast(_) | Op::Unary(_) | Op::Binary(_) => {
            let fits = |&operand: &ValueId| [0, rank].contains(&graph.ty(operand).shape.rank()) && is_mapped(graph, operand);
            node.operands.iter().all(fits)
        }
        // Scales and zero points of one number.
        Op::Dequantize { .. } => {
            let [x, scale, zero] = node.operands[..] else { return false };
            is_mapped(graph, x)
                && [scale, zero].into_iter().all(|value| graph.constant_of(value).is_some_and(|tensor| tensor.shape().is_empty()))
        }
        _ => false,
    }
}

struct Gathering {
    axis: usize,
    indices: ValueId,
    origin: Origin,
}

impl Gathering {
    /// What is gathered from a value.
    fn value(&self, graph: &mut Graph, value: ValueId) -> Result<ValueId, InferError> {
        let (id, _) = graph.definition(value).expect("maps of constants have no inputs");
        let shape = graph.ty(value).shape.clone();
        if shape.rank() == 0 {
            return Ok(value);
        }
        match graph.ops[id].op {
            Op::Constant(_) if shape.0[self.axis] == Dim::Const(1) => self.stretched(graph, value, &shape),
            Op::Constant(_) => graph.append_one(Op::Gather { axis: self.axis as u32 }, &[value, self.indices], self.origin.clone()),
            _ => self.map(graph, id),
        }
    }

    /// A constant that says the same for every index: its axis makes way for those of the indices, all of size 1.
    fn stretched(&self, graph: &mut Graph, value: ValueId, shape: &Shape) -> Result<ValueId, InferError> {
        let rank = graph.ty(self.indices).shape.rank();
        let mut dims = shape.0[..self.axis].to_vec();
        dims.extend(std::iter::repeat_n(Dim::Const(1), rank));
        dims.extend_from_slice(&shape.0[self.axis + 1..]);
        graph.reshape(value, Shape(dims), self.origin.clone())
    }

    fn map(&self, graph: &mut Graph, id: OpId) -> Result<ValueId, InferError> {
        let Node { op, operands, .. } = graph.ops[id].clone();
        let count = if matches!(op, Op::Dequantize { .. }) { 1 } else { operands.len() };
        let mut gathered = operands.clone();
        for operand in &mut gathered[..count] {
            *operand = self.value(graph, *operand)?;
        }
        let origin = graph.origins[id].clone();
        graph.append_one(op, &gathered, origin)
    }
}
