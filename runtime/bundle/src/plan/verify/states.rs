//! That states outlive a run: nothing else lies where they lie, and no kernel stores to them.

use super::{Check, ensure};
use crate::loops::{Body, BufferId, Kernel, Store};
use crate::plan::{Place, Plan, State};
use std::collections::HashSet;

/// Checks the names of all states and that no kernel stores to one of them.
pub(super) fn check_all(plan: &Plan) -> Check {
    let mut names = HashSet::new();
    for state in &plan.states {
        let fail = |reason: String| format!("state `{}`: {reason}", state.name);
        ensure(names.insert(&state.name), || fail("another state has the same name".into()))?;
        check(plan, state).map_err(fail)?;
    }
    let kept: HashSet<BufferId> = plan.states.iter().map(|state| state.buffer).collect();
    let broken = |kernel: &&Kernel| stored(kernel).iter().any(|id| kept.contains(id));
    match plan.kernels.iter().find(broken).filter(|_| !kept.is_empty()) {
        Some(kernel) => Err(format!("kernel `{}` stores to a state, which is the next run's to read", kernel.name)),
        None => Ok(()),
    }
}

fn check(plan: &Plan, state: &State) -> Check {
    let (buffer, next) =
        (plan.buffers.get(state.buffer).ok_or("it has no buffer")?, plan.buffers.get(state.next).ok_or("nothing becomes it")?);
    let in_arena = |place: Place| matches!(place, Place::Arena { .. });
    ensure(in_arena(buffer.place) && in_arena(next.place), || "it does not lie in the arena".into())?;
    ensure((buffer.dtype, buffer.len) == (next.dtype, next.len), || {
        format!("it is {} x {}, and {} x {} becomes it", buffer.dtype, buffer.len, next.dtype, next.len)
    })?;
    ensure(state.buffer != state.next, || "it becomes itself".into())?;
    let other = plan.buffers.keys().find(|&id| id != state.buffer && plan.overlap(id, state.buffer));
    ensure(other.is_none(), || format!("it shares bytes with buffer {}", other.unwrap_or(state.buffer)))?;
    let is_port = plan.inputs.iter().chain(&plan.outputs).any(|port| port.buffer == state.buffer);
    ensure(!is_port, || "an input or output lies where it lies".into())?;
    let twice = plan.states.iter().filter(|other| other.buffer == state.buffer || other.buffer == state.next).count() > 1;
    ensure(!twice, || "another state lies where it or what becomes it lies".into())
}

/// The buffers that a kernel stores to.
fn stored(kernel: &Kernel) -> Vec<BufferId> {
    let of = |stores: &[Store]| stores.iter().map(|store| store.access.buffer).collect();
    match &kernel.body {
        Body::Nest(nest) => of(&nest.stores),
        Body::Rows(rows) => of(&rows.stores),
        Body::Contract(contract) => of(&contract.epilogue.stores),
        Body::Depthwise(depthwise) => of(&depthwise.epilogue.stores),
        Body::Attention(attention) => vec![attention.out.buffer],
    }
}
