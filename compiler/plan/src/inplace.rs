//! Maps that may overwrite what they read: the result takes the operand's buffer.
//!
//! A nest stores in place where each point loads the very element that it stores, nobody reads the operand afterwards, and the buffers are alike. Only nests and
//! kernels over rows do so: a backend's tiles of a contraction may compute an edge twice.

use crate::finish::Ports;
use crate::planner::Planner;
use crate::report::buffers_of;
use cranelift_entity::{PrimaryMap, SecondaryMap};
use mlp_bundle::loops::{Access, Body, BufferId, Expr, Exprs, Kernel, Nest, Rows, Store};
use std::collections::HashSet;

/// The first and last kernel that touch a buffer, and how many store to it.
#[derive(Clone, Copy, Default)]
struct Use {
    last: usize,
    writers: usize,
}

impl Planner<'_> {
    /// Merges buffers of in-place maps, and drops the buffers that nobody uses any more.
    pub(crate) fn store_in_place(&mut self, ports: &mut Ports) {
        let mut uses: SecondaryMap<BufferId, Use> = SecondaryMap::new();
        for (time, kernel) in self.kernels.iter().enumerate() {
            let (read, written) = buffers_of(kernel);
            read.iter().chain(&written).for_each(|&id| uses[id].last = time);
            written.iter().for_each(|&id| uses[id].writers += 1);
        }
        let mut fixed: HashSet<BufferId> = ports.buffers().map(|buffer| *buffer).collect();
        let mut renamed: SecondaryMap<BufferId, Option<BufferId>> = SecondaryMap::new();
        for time in 0..self.kernels.len() {
            rename(&mut self.kernels[time], &renamed);
            let Some((result, operand)) = self.in_place(time, &uses, &fixed) else { continue };
            renamed[result] = Some(operand);
            uses[operand].last = uses[result].last;
            if fixed.contains(&result) {
                fixed.insert(operand);
            }
            rename(&mut self.kernels[time], &renamed);
        }
        let outputs = ports.outputs.iter_mut().map(|port| (&port.name, &mut port.buffer));
        for (name, buffer) in outputs.chain(ports.states.iter_mut().map(|state| (&state.name, &mut state.next))) {
            if let Some(kept) = renamed[*buffer] {
                self.buffers[kept].name.clone_from(name);
                *buffer = kept;
            }
        }
        self.drop_unused(ports);
    }

    /// The buffer that a kernel stores to and the one that could take its place.
    fn in_place(&self, time: usize, uses: &SecondaryMap<BufferId, Use>, fixed: &HashSet<BufferId>) -> Option<(BufferId, BufferId)> {
        let (exprs, stores) = match &self.kernels[time].body {
            Body::Nest(Nest { exprs, stores, .. }) | Body::Rows(Rows { exprs, stores, .. }) => (exprs, stores),
            _ => return None,
        };
        let [store] = stores.as_slice() else { return None };
        let result = store.access.buffer;
        let alike = |id: BufferId| {
            let (a, b) = (&self.buffers[result], &self.buffers[id]);
            b.constant.is_none() && a.dtype == b.dtype && a.len == b.len
        };
        let loads = || exprs.values().filter_map(|expr| if let Expr::Load(access) = expr { Some(access) } else { None });
        let same = |load: &Access| Access { buffer: result, ..load.clone() } == store.access;
        let free = |id: BufferId| {
            id != result && alike(id) && uses[id].last == time && !fixed.contains(&id) && loads().filter(|load| load.buffer == id).all(same)
        };
        let operand = loads().map(|load| load.buffer).find(|&id| free(id))?;
        (uses[result].writers == 1 && !loads().any(|load| load.buffer == result)).then_some((result, operand))
    }

    fn drop_unused(&mut self, ports: &mut Ports) {
        let mut used: HashSet<BufferId> = ports.buffers().map(|buffer| *buffer).collect();
        for kernel in &self.kernels {
            let (read, written) = buffers_of(kernel);
            used.extend(read.into_iter().chain(written));
        }
        let mut renamed: SecondaryMap<BufferId, Option<BufferId>> = SecondaryMap::new();
        let mut kept = PrimaryMap::new();
        for (id, pending) in std::mem::take(&mut self.buffers) {
            if used.contains(&id) {
                renamed[id] = Some(kept.push(pending));
            }
        }
        self.buffers = kept;
        self.kernels.iter_mut().for_each(|kernel| rename(kernel, &renamed));
        for buffer in ports.buffers() {
            *buffer = renamed[*buffer].expect("a port's buffer is used");
        }
    }
}

fn rename(kernel: &mut Kernel, renamed: &SecondaryMap<BufferId, Option<BufferId>>) {
    let one = |id: &mut BufferId| *id = renamed[*id].unwrap_or(*id);
    let all = |exprs: &mut Exprs, stores: &mut [Store]| {
        for expr in exprs.values_mut() {
            if let Expr::Load(access) = expr {
                one(&mut access.buffer);
            }
        }
        stores.iter_mut().for_each(|store| one(&mut store.access.buffer));
    };
    match &mut kernel.body {
        Body::Nest(nest) => all(&mut nest.exprs, &mut nest.stores),
        Body::Rows(rows) => all(&mut rows.exprs, &mut rows.stores),
        Body::Attention(attention) => attention.for_each_buffer(one),
        Body::Contract(contract) => {
            one(&mut contract.input);
            one(&mut contract.weights);
            if let Some(scales) = &mut contract.scales {
                one(&mut scales.buffer);
            }
            all(&mut contract.epilogue.exprs, &mut contract.epilogue.stores);
        }
        Body::Depthwise(depthwise) => {
            one(&mut depthwise.input);
            one(&mut depthwise.weights);
            all(&mut depthwise.epilogue.exprs, &mut depthwise.epilogue.stores);
        }
    }
}
