//! Whether graphs of several sizes are the same program.

use crate::ir::{Graph, Node, Type, ValueId};
use crate::op::Op;

/// Gives every use of a constant a constant of its own: at sizes that happen to be equal two constants are one, which they are not elsewhere.
/// Operations that are one by such a chance stay one, and the family is refused.
pub(super) fn unshare(graph: &mut Graph) {
    for id in std::mem::take(&mut graph.order) {
        if matches!(graph.ops[id].op, Op::Constant(_)) {
            continue;
        }
        for slot in 0..graph.ops[id].operands.len() {
            if let Some(own) = copied(graph, graph.ops[id].operands[slot]) {
                graph.ops[id].operands[slot] = own;
            }
        }
        graph.order.push(id);
    }
    for port in 0..graph.outputs.len() {
        if let Some(own) = copied(graph, graph.outputs[port].value) {
            graph.outputs[port].value = own;
        }
    }
}

/// Another constant of the same data, at the end of the order; none for what is no constant.
fn copied(graph: &mut Graph, value: ValueId) -> Option<ValueId> {
    let (op, _) = graph.definition(value)?;
    let Op::Constant(data) = graph.ops[op].op else { return None };
    let (ty, origin) = (graph.ty(value).clone(), graph.origins[op].clone());
    Some(graph.push(Op::Constant(data), Vec::new(), vec![ty], origin)[0])
}

/// Whether two graphs are the same but for numbers; the error says where not, and what is otherwise.
pub(super) fn alike(a: &Graph, b: &Graph) -> Result<(), (String, String)> {
    let other = |what: &str, place: String| Err((place, format!("{what} another than at the greatest")));
    let same_type = |a: &Type, b: &Type| a.dtype == b.dtype && a.shape.rank() == b.shape.rank();
    let ports = |graph: &Graph| graph.inputs.iter().chain(&graph.outputs).map(|port| (port.name.clone(), port.value)).collect::<Vec<_>>();
    for (&left, &right) in a.order.iter().zip(&b.order) {
        let (x, y) = (&a.ops[left], &b.ops[right]);
        if !same_operation(x, y) || x.results.iter().zip(&y.results).any(|(&x, &y)| !same_type(a.ty(x), b.ty(y))) {
            return other("the operation is", a.origin_name(left));
        }
    }
    if a.order.len() != b.order.len() {
        let (longer, at) = if a.order.len() > b.order.len() { (a, b.order.len()) } else { (b, a.order.len()) };
        return other("the operation is", longer.origin_name(longer.order[at]));
    }
    if ports(a) != ports(b) || a.inputs.iter().any(|port| !same_type(a.ty(port.value), b.ty(port.value))) {
        return other("the signature is", "the graph".into());
    }
    Ok(())
}

/// Whether two operations are the same on the same operands, but for numbers that rules look at.
fn same_operation(a: &Node, b: &Node) -> bool {
    let same = match (&a.op, &b.op) {
        (Op::Constant(_), Op::Constant(_)) => true,
        (Op::Size { id: a, .. }, Op::Size { id: b, .. }) => a == b,
        (Op::Slice { steps: a, .. }, Op::Slice { steps: b, .. }) => a == b,
        (Op::Pad { before: a, .. }, Op::Pad { before: b, .. }) => a == b,
        (Op::TopK { axis: a, largest: x, .. }, Op::TopK { axis: b, largest: y, .. }) => (a, x) == (b, y),
        (a, b) => a == b,
    };
    same && a.operands == b.operands && a.results.len() == b.results.len()
}
