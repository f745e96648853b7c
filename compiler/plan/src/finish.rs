//! The last steps: ports, liveness, offsets, the weights file.

use crate::arena::{Arena, Life, lower_bound, place};
use crate::group::Role;
use crate::location::Location;
use crate::planner::Planner;
use crate::report::{Report, buffers_of};
use crate::{PlanError, Planned};
use cranelift_entity::{PrimaryMap, SecondaryMap};
use mlp_bundle::loops::{BufferId, SymbolId};
use mlp_bundle::plan::verify::MAX_BYTES;
use mlp_bundle::plan::{Buffer, PLAN_VERSION, Place, Plan, Port, SLACK, Size, State, Symbol};
use mlp_graph::shape::SymId;
use mlp_graph::{Dim, ValueId};
use std::collections::HashSet;

/// What a plan has to do with its callers, and with the runs before and after.
pub(crate) struct Ports {
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    pub(crate) states: Vec<State>,
}

impl Ports {
    /// The buffers of all of them.
    pub(crate) fn buffers(&mut self) -> impl Iterator<Item = &mut BufferId> {
        let ports = self.inputs.iter_mut().chain(&mut self.outputs).map(|port| &mut port.buffer);
        ports.chain(self.states.iter_mut().flat_map(|state| [&mut state.buffer, &mut state.next]))
    }
}

impl Planner<'_> {
    /// Buffers and symbols of the graph's inputs, those of states among them.
    pub(crate) fn inputs(&mut self) -> Result<Vec<Port>, PlanError> {
        let graph = self.graph;
        let mut ports = Vec::new();
        for port in &graph.inputs {
            let value = port.value;
            let dims = self.dims(value).to_vec();
            let location = self.dense(port.name.clone(), self.dtype(value), &dims);
            let shape = graph.ty(value).shape.0.iter().map(|&dim| self.size(dim)).collect();
            ports.push(Port { name: port.name.clone(), buffer: location.buffer, shape });
            self.place(value, location);
        }
        Ok(ports)
    }

    fn size(&mut self, dim: Dim) -> Size {
        match dim {
            Dim::Const(size) => Size::Const(size),
            Dim::Symbol(id) => Size::Symbol(self.symbol(id)),
        }
    }

    /// The plan's symbol for one of the graph, and those that it is worked out of before it.
    pub(crate) fn symbol(&mut self, id: SymId) -> SymbolId {
        if let Some(known) = self.symbol_of[id] {
            return known;
        }
        let symbol = &self.graph.symbols[id];
        let formula = symbol.formula.as_ref().map(|formula| formula.map(|factor| self.symbol(factor)));
        let min = u32::from(formula.is_none());
        let max = symbol.max.expect("sizes that vary are bounded") as u32;
        let known = self.symbols.push(Symbol { name: symbol.name.clone(), min, max, formula });
        self.symbol_of[id] = Some(known);
        known
    }

    /// Buffers of the graph's outputs: a value's own where it is dense and nobody else's, a copy otherwise. What becomes a state may be an output's too, since both are
    /// only read.
    pub(crate) fn outputs(&mut self, mut inputs: Vec<Port>) -> Ports {
        let (mut taken, mut outputs, mut states) = (HashSet::new(), Vec::new(), Vec::new());
        let graph = self.graph;
        for port in graph.outputs.iter().filter(|port| !graph.states.contains(&port.name)) {
            let own = self.own_buffer(port.value).filter(|&buffer| taken.insert(buffer));
            let buffer = own.unwrap_or_else(|| self.port_copy(port));
            taken.insert(buffer);
            self.buffers[buffer].name.clone_from(&port.name);
            let shape = graph.ty(port.value).shape.0.iter().map(|&dim| self.size(dim)).collect();
            outputs.push(Port { name: port.name.clone(), buffer, shape });
        }
        for name in &graph.states {
            let (Some(input), Some((_, output))) = (inputs.iter().position(|port| port.name == *name), graph.state(name)) else { continue };
            let next = self.own_buffer(output.value).unwrap_or_else(|| self.port_copy(output));
            states.push(State { name: name.clone(), buffer: inputs.remove(input).buffer, next });
        }
        Ports { inputs, outputs, states }
    }

    /// A copy of an output's value.
    fn port_copy(&mut self, port: &mlp_graph::Port) -> BufferId {
        let shape = self.dims(port.value).to_vec();
        let copy = self.dense(port.name.clone(), self.dtype(port.value), &shape);
        self.emit_copy(port.value, &copy, None);
        copy.buffer
    }

    /// The buffer that holds a computed value and nothing else.
    fn own_buffer(&mut self, value: ValueId) -> Option<BufferId> {
        let mut base = value;
        while self.role(base) == Role::Inline {
            base = self.graph.defining(base)?.operands[0];
        }
        if !matches!(self.role(base), Role::Root | Role::Assembled) {
            return None;
        }
        let location: Location = self.view(value)?;
        let whole = location.offset == 0 && location.is_dense() && self.buffers[location.buffer].len == self.shapes.elements(value);
        whole.then_some(location.buffer)
    }

    /// Places everything.
    pub(crate) fn finish(self, ports: Ports) -> Result<Planned, PlanError> {
        let lives = self.lives(&ports);
        let arena_ids: Vec<BufferId> = self.buffers.keys().filter(|&id| lives[id].is_some()).collect();
        let list: Vec<Life> = arena_ids.iter().map(|&id| lives[id].expect("filtered")).collect();
        let Arena { offsets, bytes } = place(&list);
        let mut offset_of: SecondaryMap<BufferId, u64> = SecondaryMap::new();
        arena_ids.iter().zip(offsets).for_each(|(&id, offset)| offset_of[id] = offset);

        let mut buffers = PrimaryMap::new();
        for (id, pending) in self.buffers {
            let place = match pending.constant {
                Some(offset) => Place::Weights { offset },
                None => Place::Arena { offset: offset_of[id] },
            };
            buffers.push(Buffer { name: pending.name, dtype: pending.dtype, len: pending.len, place });
        }
        let weights = self.constants.into_file();
        let arena_bytes = bytes + SLACK;
        for (what, bytes) in [("arena", arena_bytes), ("weights", weights.len() as u64)] {
            if bytes > MAX_BYTES {
                return Err(PlanError::Memory { what, bytes, max: MAX_BYTES });
            }
        }
        let plan = Plan {
            version: PLAN_VERSION,
            name: self.graph.name.clone(),
            symbols: self.symbols,
            buffers,
            inputs: ports.inputs,
            outputs: ports.outputs,
            states: ports.states,
            kernels: self.kernels,
            arena_bytes,
            weights_bytes: weights.len() as u64,
        };
        let report = Report::new(&plan, lower_bound(&list));
        Ok(Planned { plan, weights, report })
    }

    /// From when to when each arena buffer is needed: inputs from the start, outputs to the end, states all the time.
    fn lives(&self, ports: &Ports) -> SecondaryMap<BufferId, Option<Life>> {
        let mut lives: SecondaryMap<BufferId, Option<Life>> = SecondaryMap::new();
        let mut touch = |id: BufferId, time: usize| {
            let pending = &self.buffers[id];
            if pending.constant.is_none() {
                let bytes = pending.len * pending.dtype.size() as u64;
                let life = lives[id].get_or_insert(Life { bytes, first: time, last: time });
                life.first = life.first.min(time);
                life.last = life.last.max(time);
            }
        };
        ports.inputs.iter().for_each(|port| touch(port.buffer, 0));
        for (time, kernel) in self.kernels.iter().enumerate() {
            let (read, written) = buffers_of(kernel);
            read.into_iter().chain(written).for_each(|id| touch(id, time));
        }
        let end = self.kernels.len();
        ports.outputs.iter().for_each(|port| touch(port.buffer, end));
        for state in &ports.states {
            touch(state.buffer, 0);
            touch(state.buffer, end);
            touch(state.next, end);
        }
        // A buffer that no kernel touches (an empty tensor) still needs an offset.
        for id in self.buffers.keys() {
            if lives[id].is_none() && self.buffers[id].constant.is_none() {
                lives[id] = Some(Life { bytes: 0, first: 0, last: 0 });
            }
        }
        lives
    }
}
