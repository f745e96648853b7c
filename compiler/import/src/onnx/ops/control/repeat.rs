//! `Loop`, unrolled: up to its trip count while its condition holds. Where the condition depends on data, all steps are computed, and from the end on
//! each keeps the state that there was.

use super::{choose, none_of, stacked};
use crate::onnx::body::{Body, too_long};
use crate::onnx::node::{Imported, NodeImport, Problem, invalid};
use mlp_graph::ir::Type;
use mlp_graph::op::BinaryOp;
use mlp_graph::{DType, Tensor, ValueId};

/// Whether a step takes place.
#[derive(Clone, Copy)]
enum Runs {
    /// As is known when compiling.
    Known(bool),
    /// By a bool that is known when the model runs.
    Computed(ValueId),
}

/// The state between two steps.
struct State {
    runs: Runs,
    carried: Vec<ValueId>,
    /// The values of each scan output so far.
    stacks: Vec<Vec<ValueId>>,
}

pub(super) fn repeat(node: &mut NodeImport<'_>) -> Imported {
    let limit = node.optional(0).map(|count| node.known_integer(count, "the trip count")).transpose()?;
    let condition = node.optional(1);
    let carried: Vec<ValueId> = node.inputs.iter().skip(2).copied().collect::<Option<_>>().ok_or("an initial value is missing")?;
    let body = Body::ready(node, "body", 2 + carried.len())?;
    let Some(scans) = body.outputs().checked_sub(1 + carried.len()) else {
        return invalid(format!("`body` gives {} results, too few for a condition and {} carried values", body.outputs(), carried.len()));
    };
    let runs = condition.map_or(Ok(Runs::Known(true)), |condition| runs(node, condition))?;
    let mut state = State { runs, carried, stacks: vec![Vec::new(); scans] };
    let limit = limit.map_or(u64::MAX, |limit| limit.max(0) as u64);
    let mut step = 0;
    while step < limit && !matches!(state.runs, Runs::Known(false)) {
        take_step(node, &body, &mut state, step, limit, condition.is_some())?;
        step += 1;
    }
    finish(node, &body, state)
}

fn runs(node: &mut NodeImport<'_>, condition: ValueId) -> Result<Runs, Problem> {
    match node.known_condition(condition)? {
        Some(known) => Ok(Runs::Known(known)),
        None => Ok(Runs::Computed(node.as_scalar(condition, "the condition")?)),
    }
}

/// Imports the body for one step. The condition that it returns counts only where the node has a condition.
fn take_step(
    node: &mut NodeImport<'_>,
    body: &Body<'_>,
    state: &mut State,
    step: u64,
    limit: u64,
    conditional: bool,
) -> Result<(), Problem> {
    if let Runs::Computed(condition) = state.runs {
        check_bound(node, body, state, condition, limit - step, limit)?;
    } else if !conditional && limit - step > 1 && !node.builder.may_unroll_now(body.cost().saturating_mul(limit - step)) {
        return Err(too_long(node, body));
    }
    let inputs = inputs(node, body, state, step)?;
    let mut results = body.run(node, &inputs)?;
    let stacked = results.split_off(1 + state.carried.len());
    state.stacks.iter_mut().zip(stacked).for_each(|(stack, value)| stack.push(value));
    let next = if conditional { runs(node, results[0])? } else { Runs::Known(true) };
    let new = results.split_off(1);
    let Runs::Computed(condition) = state.runs else {
        (state.runs, state.carried) = (next, new);
        return Ok(());
    };
    for (index, new) in new.into_iter().enumerate() {
        let problem =
            |new: &Type, old: &Type| format!("the end of a loop that changes the shape of carried value {index} from {old} to {new}");
        state.carried[index] = choose(node, condition, new, state.carried[index], problem)?;
    }
    state.runs = match next {
        Runs::Known(false) => next,
        Runs::Known(true) => state.runs,
        Runs::Computed(next) => Runs::Computed(node.binary(BinaryOp::And, condition, next)?),
    };
    Ok(())
}

/// A loop whose end depends on data takes all its steps, so that there must not be too many, and gives as many results as it takes steps.
fn check_bound(
    node: &mut NodeImport<'_>,
    body: &Body<'_>,
    state: &State,
    condition: ValueId,
    left: u64,
    limit: u64,
) -> Result<(), Problem> {
    if !state.stacks.is_empty() {
        let what = "a condition of a loop with scan outputs, which decides their length,";
        return Err(node.unknown(condition, what.into(), "make the condition a constant, or carry a value of constant size instead"));
    }
    if !node.builder.may_unroll_now(body.cost().saturating_mul(left)) {
        let what = format!("a condition that ends a loop of up to {limit} steps, too many to compute all of them,");
        let remedy =
            format!("give the loop a trip count (its first input) that is a constant and small: its body has {} nodes", body.cost());
        return Err(node.unknown(condition, what, &remedy));
    }
    Ok(())
}

/// What the body takes: the step's number, the condition, and the carried values.
fn inputs(node: &mut NodeImport<'_>, body: &Body<'_>, state: &State, step: u64) -> Result<Vec<ValueId>, Problem> {
    let number = node.constant(Tensor::scalar(step as i64));
    let condition = match state.runs {
        Runs::Known(known) => node.scalar(DType::Bool, f64::from(u8::from(known))),
        Runs::Computed(condition) => condition,
    };
    let mut inputs = Vec::with_capacity(2 + state.carried.len());
    for (input, value) in [number, condition].into_iter().enumerate() {
        // Some exporters declare them with one axis.
        inputs.push(if body.input_rank(input) == Some(1) { node.reshape(value, &[1])? } else { value });
    }
    inputs.extend(&state.carried);
    Ok(inputs)
}

/// The carried values, and the scan outputs of all steps.
fn finish(node: &mut NodeImport<'_>, body: &Body<'_>, state: State) -> Imported {
    let mut results = state.carried.clone();
    if state.stacks.iter().all(|stack| !stack.is_empty()) {
        for (index, stack) in state.stacks.iter().enumerate() {
            results.push(stacked(node, stack, 0, &format!("scan output {index}"))?);
        }
        return Ok(results);
    }
    // No step was taken: what one would give says the type of what there is none of.
    let inputs = inputs(node, body, &state, 0)?;
    let trial = body.run(node, &inputs)?;
    for &value in &trial[1 + state.carried.len()..] {
        let ty = node.builder.graph.ty(value).clone();
        results.push(none_of(node, &ty, 0)?);
    }
    Ok(results)
}
