//! Drops operations that no output needs, and all entities that are then dead.

use crate::infer::InferError;
use crate::ir::{Graph, ValueId};
use cranelift_entity::EntitySet;

pub(super) fn run(graph: &mut Graph) -> Result<(), InferError> {
    let mut needed: EntitySet<ValueId> = EntitySet::new();
    needed.extend(graph.outputs.iter().map(|port| port.value));
    let mut live = Vec::new();
    for &id in graph.order.iter().rev() {
        let node = &graph.ops[id];
        if node.results.iter().any(|&result| needed.contains(result)) {
            needed.extend(node.operands.iter().copied());
            live.push(id);
        }
    }
    live.reverse();
    graph.order = live;
    graph.compact();
    Ok(())
}
