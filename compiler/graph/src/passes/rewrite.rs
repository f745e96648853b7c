//! The walk that most passes share.

use crate::infer::InferError;
use crate::ir::{Graph, OpId, ValueId};
use cranelift_entity::SecondaryMap;

/// Walks the operations in order and lets `rule` replace them.
///
/// The rule sees an operation with its operands replaced already. It returns nothing to keep the operation, or values to take the place of its results,
/// for which it may append operations.
pub(super) fn rewrite(
    graph: &mut Graph,
    mut rule: impl FnMut(&mut Graph, OpId) -> Result<Option<Vec<ValueId>>, InferError>,
) -> Result<(), InferError> {
    let order = std::mem::take(&mut graph.order);
    let mut replaced: SecondaryMap<ValueId, Option<ValueId>> = SecondaryMap::new();
    for id in order {
        for operand in &mut graph.ops[id].operands {
            *operand = replaced[*operand].unwrap_or(*operand);
        }
        match rule(graph, id)? {
            None => graph.order.push(id),
            Some(values) => {
                for (index, value) in values.into_iter().enumerate() {
                    replaced[graph.ops[id].results[index]] = Some(value);
                }
            }
        }
    }
    for port in &mut graph.outputs {
        port.value = replaced[port.value].unwrap_or(port.value);
    }
    Ok(())
}

/// How often each value is read, by operations and outputs.
pub(super) fn count_uses(graph: &Graph) -> SecondaryMap<ValueId, u32> {
    let mut uses: SecondaryMap<ValueId, u32> = SecondaryMap::new();
    for &id in &graph.order {
        graph.ops[id].operands.iter().for_each(|&operand| uses[operand] += 1);
    }
    graph.outputs.iter().for_each(|port| uses[port.value] += 1);
    uses
}
