//! Placement of the plan's arena buffers in GPU buffers.
//!
//! Each buffer gets a *slot* for the time from its first write to its last use, a state one that it keeps. Buffers that one dispatch touches together never share a slot, because
//! WebGPU forbids one buffer to be bound for reading and for writing at once.

use mlp_bundle::loops::BufferId;
use mlp_bundle::plan::{Place, Plan};
use std::collections::BTreeMap;

/// WebGPU's portable limit of one storage binding.
pub(super) const MAX_BYTES: u64 = 128 << 20;

/// Slots by buffer.
pub(super) struct Slots {
    /// Bytes of each slot.
    pub(super) sizes: Vec<u64>,
    of: BTreeMap<BufferId, u32>,
}

/// From which to which dispatch a buffer's contents matter.
struct Life {
    buffer: BufferId,
    first: usize,
    last: usize,
}

impl Slots {
    /// Assigns slots; `touched[d]` are the buffers of dispatch `d`.
    pub(super) fn assign(plan: &Plan, touched: &[Vec<(BufferId, bool)>]) -> Result<Slots, String> {
        let mut slots = Slots { sizes: Vec::new(), of: BTreeMap::new() };
        let mut free_after: Vec<usize> = Vec::new();
        for life in lives(plan, touched) {
            let declared = &plan.buffers[life.buffer];
            let bytes = declared.bytes().max(1).next_multiple_of(16);
            if bytes > MAX_BYTES {
                return Err(format!("buffer `{}` has {bytes} bytes; WebGPU binds at most {MAX_BYTES}", declared.name));
            }
            // The smallest free slot that holds it, else the largest one, which grows.
            let free = (0..slots.sizes.len()).filter(|&slot| free_after[slot] < life.first);
            let chosen = free.min_by_key(|&slot| match slots.sizes[slot] {
                size if size >= bytes => (0, size),
                size => (1, u64::MAX - size),
            });
            let slot = chosen.unwrap_or_else(|| {
                slots.sizes.push(0);
                free_after.push(0);
                slots.sizes.len() - 1
            });
            slots.sizes[slot] = slots.sizes[slot].max(bytes);
            free_after[slot] = life.last;
            slots.of.insert(life.buffer, slot as u32);
        }
        Ok(slots)
    }

    /// The slot of an arena buffer that some dispatch or port touches.
    pub(super) fn of(&self, buffer: BufferId) -> u32 {
        self.of[&buffer]
    }
}

/// Lives in the order they begin. Dispatches count from 1: inputs begin at 0, and outputs end after the last.
fn lives(plan: &Plan, touched: &[Vec<(BufferId, bool)>]) -> Vec<Life> {
    let mut spans: BTreeMap<BufferId, (usize, usize)> = BTreeMap::new();
    let mut touch = |buffer: BufferId, time: usize| {
        if matches!(plan.buffers[buffer].place, Place::Arena { .. }) {
            let span = spans.entry(buffer).or_insert((time, time));
            *span = (span.0.min(time), span.1.max(time));
        }
    };
    for port in &plan.inputs {
        touch(port.buffer, 0);
    }
    for (number, buffers) in touched.iter().enumerate() {
        for &(buffer, _) in buffers {
            touch(buffer, number + 1);
        }
    }
    for port in &plan.outputs {
        touch(port.buffer, touched.len() + 1);
    }
    for state in &plan.states {
        touch(state.buffer, 0);
        touch(state.buffer, touched.len() + 1);
        touch(state.next, touched.len() + 1);
    }
    let mut lives: Vec<Life> = spans.into_iter().map(|(buffer, (first, last))| Life { buffer, first, last }).collect();
    lives.sort_by_key(|life| (life.first, std::cmp::Reverse(plan.buffers[life.buffer].bytes())));
    lives
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlp_bundle::dtype::DType;
    use mlp_bundle::plan::{Buffer, PLAN_VERSION, Port};

    fn plan(lens: &[u64], input: usize, output: usize) -> Plan {
        let mut plan = Plan {
            version: PLAN_VERSION,
            name: "p".into(),
            symbols: Default::default(),
            buffers: Default::default(),
            inputs: vec![],
            outputs: vec![],
            states: vec![],
            kernels: vec![],
            arena_bytes: 0,
            weights_bytes: 0,
        };
        let ids: Vec<BufferId> = lens
            .iter()
            .map(|&len| plan.buffers.push(Buffer { name: "b".into(), dtype: DType::F32, len, place: Place::Arena { offset: 0 } }))
            .collect();
        plan.inputs.push(Port { name: "in".into(), buffer: ids[input], shape: vec![] });
        plan.outputs.push(Port { name: "out".into(), buffer: ids[output], shape: vec![] });
        plan
    }

    #[test]
    fn a_chain_needs_two_slots_and_never_reads_what_it_writes() {
        let plan = plan(&[4, 400, 8, 12, 16], 0, 4);
        let ids: Vec<BufferId> = plan.buffers.keys().collect();
        let touched: Vec<Vec<(BufferId, bool)>> = (0..4).map(|n| vec![(ids[n], false), (ids[n + 1], true)]).collect();
        let slots = Slots::assign(&plan, &touched).expect("small buffers fit");
        assert_eq!(slots.sizes.len(), 2);
        for pair in &touched {
            assert_ne!(slots.of(pair[0].0), slots.of(pair[1].0));
        }
        assert!(slots.sizes.contains(&1600));
    }

    #[test]
    fn an_output_keeps_its_slot_to_the_end() {
        let plan = plan(&[4, 4, 4, 4], 0, 1);
        let ids: Vec<BufferId> = plan.buffers.keys().collect();
        let touched =
            vec![vec![(ids[0], false), (ids[1], true)], vec![(ids[0], false), (ids[2], true)], vec![(ids[2], false), (ids[3], true)]];
        let slots = Slots::assign(&plan, &touched).expect("small buffers fit");
        assert!(ids.iter().filter(|&&id| id != ids[1]).all(|&id| slots.of(id) != slots.of(ids[1])));
    }
}
