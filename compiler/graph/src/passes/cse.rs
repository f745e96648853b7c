//! Computes once what is computed twice: operations with the same attributes, operands and result types, and constants with the same data.

use super::rewrite::rewrite;
use crate::infer::InferError;
use crate::ir::{Graph, Type, ValueId};
use crate::op::Op;
use crate::tensor::Tensor;
use std::collections::HashMap;

pub(super) fn run(graph: &mut Graph) -> Result<(), InferError> {
    let mut known: HashMap<(Op, Vec<ValueId>, Vec<Type>), Vec<ValueId>> = HashMap::new();
    // Data is compared by its bytes; `Op::Constant` alone would compare ids.
    let mut data: HashMap<Tensor, ValueId> = HashMap::new();
    rewrite(graph, |graph, id| {
        let node = &graph.ops[id];
        if let Op::Constant(tensor) = node.op {
            let first = *data.entry(graph.tensors[tensor].clone()).or_insert(node.results[0]);
            return Ok((first != node.results[0]).then(|| vec![first]));
        }
        let key = (node.op.clone(), node.operands.clone(), graph.operand_types(&node.results));
        let first = known.entry(key).or_insert_with(|| node.results.clone());
        Ok((*first != node.results).then(|| first.clone()))
    })
}
