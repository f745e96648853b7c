//! `If`: one arm where the condition is a constant, else both with a choice between their results. An arm that breaks the rules of its operators at the sizes of the inputs
//! can never run to its end, and is left out.

use super::choose;
use crate::onnx::body::Body;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use crate::onnx::padded::{Padded, REFUSED};
use mlp_graph::Op;
use mlp_graph::ValueId;
use mlp_graph::ir::Type;

const ARMS: [&str; 2] = ["then_branch", "else_branch"];

pub(super) fn branch(node: &mut NodeImport<'_>) -> Imported {
    let condition = node.input(0)?;
    // The arm that is not taken may be wrong for what is constant here, and is not looked into.
    for arm in ARMS {
        node.attributes.graph(arm)?;
    }
    if let Some(known) = node.known_condition(condition)? {
        let arm = Body::ready(node, if known { ARMS[0] } else { ARMS[1] }, 0)?;
        return arm.run_once(node, &[]);
    }
    let mut arm = |name| Body::ready(node, name, 0).and_then(|body| body.run_once(node, &[]));
    let (yes, no) = match (arm(ARMS[0]), arm(ARMS[1])) {
        (Err(error), Ok(other)) if error.is_invalid_inside() => (never(node, condition, &other)?, other),
        (Ok(other), Err(error)) if error.is_invalid_inside() => {
            let never = never(node, condition, &other)?;
            (other, never)
        }
        (yes, no) => (yes?, no?),
    };
    if yes.len() != no.len() {
        return invalid(format!("`{}` gives {} results, and `{}` {}", ARMS[0], yes.len(), ARMS[1], no.len()));
    }
    let condition = node.as_scalar(condition, "the condition")?;
    let mut results = Vec::with_capacity(yes.len());
    for (output, (yes, no)) in yes.into_iter().zip(no).enumerate() {
        if node.padded(yes).is_some() || node.padded(no).is_some() {
            results.push(either(node, condition, yes, no)?);
            continue;
        }
        let problem = |yes: &Type, no: &Type| format!("a condition between arms of different shapes (output {output} is {yes} or {no})");
        results.push(choose(node, condition, yes, no, problem)?);
    }
    Ok(results)
}

/// One of two values along one axis of which a run decides how many rows there are.
fn either(node: &mut NodeImport<'_>, condition: ValueId, yes: ValueId, no: ValueId) -> One {
    let (mut dims, other) = (node.dims(yes), node.dims(no));
    let padded = node.padded(yes).or(node.padded(no));
    let axis = padded.map_or(0, |padded| padded.axis);
    let apart = |value: ValueId| node.padded(value).is_some_and(|padded| padded.axis != axis);
    let alike = dims.len() == other.len() && (0..dims.len()).all(|place| place == axis || dims[place] == other[place]);
    if !alike || apart(yes) || apart(no) || node.dtype(yes) != node.dtype(no) {
        return unsupported(REFUSED);
    }
    dims[axis] = dims[axis].max(other[axis]);
    let mut arms = Vec::with_capacity(2);
    for value in [yes, no] {
        let rows = node.rows_along(value, axis);
        let Some(count) = node.builder.term(rows) else { return unsupported(REFUSED) };
        let mut after = vec![0; dims.len()];
        after[axis] = dims[axis] - node.dims(value)[axis];
        let nothing = node.scalar(node.dtype(value), 0.0);
        let grown = node.emit(Op::Pad { before: vec![0; dims.len()], after }, &[value, nothing])?;
        arms.push((grown, count));
    }
    let value = node.select(condition, arms[0].0, arms[1].0)?;
    let count = node.select(condition, arms[0].1, arms[1].1)?;
    node.marked(value, Padded { axis, count })
}

/// What an arm gives that cannot be computed at these sizes, beside the results of the other: not a number. Models for several rates of a sound are exported so, and a
/// run with the wrong rate would be an error where one arm alone is computed.
fn never(node: &mut NodeImport<'_>, condition: ValueId, other: &[ValueId]) -> Result<Vec<ValueId>, Problem> {
    let of = |&value: &ValueId| {
        let Type { dtype, shape } = node.builder.graph.ty(value).clone();
        let dims = shape.constants().filter(|_| dtype.is_float());
        let Some(dims) = dims else {
            return Err(node.unknown(
                condition,
                "a condition of which one arm breaks its operators' rules at these sizes".into(),
                "make it a constant",
            ));
        };
        let nothing = node.scalar(dtype, f64::NAN);
        node.broadcast(nothing, &dims)
    };
    other.iter().map(of).collect()
}
