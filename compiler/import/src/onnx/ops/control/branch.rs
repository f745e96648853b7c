//! `If`: one arm where the condition is a constant, else both with a choice between their results.

use super::choose;
use crate::onnx::body::Body;
use crate::onnx::node::{Imported, NodeImport, invalid};
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
        return arm.run(node, &[]);
    }
    let yes = Body::ready(node, ARMS[0], 0)?.run(node, &[])?;
    let no = Body::ready(node, ARMS[1], 0)?.run(node, &[])?;
    if yes.len() != no.len() {
        return invalid(format!("`{}` gives {} results, and `{}` {}", ARMS[0], yes.len(), ARMS[1], no.len()));
    }
    let condition = node.as_scalar(condition, "the condition")?;
    let mut results = Vec::with_capacity(yes.len());
    for (output, (yes, no)) in yes.into_iter().zip(no).enumerate() {
        let problem = |yes: &Type, no: &Type| format!("a condition between arms of different shapes (output {output} is {yes} or {no})");
        results.push(choose(node, condition, yes, no, problem)?);
    }
    Ok(results)
}
