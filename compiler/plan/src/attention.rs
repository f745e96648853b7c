//! Attention as one kernel over views.

use crate::group::Group;
use crate::location::Location;
use crate::planner::Planner;
use mlp_bundle::loops::{Attention, Body, Mask, Strided};
use mlp_graph::ValueId;

impl Planner<'_> {
    pub(crate) fn emit_attention(&mut self, group: &Group, scale: u32, guarded: bool) {
        let graph = self.graph;
        let node = &graph.ops[group.frame];
        let result = node.results[0];
        let (query, value) = (self.dims(node.operands[0]).to_vec(), self.dims(node.operands[2]).to_vec());
        if self.shapes.elements(result) == 0 {
            return;
        }
        let [batch, rows, heads, depth] = [0, 1, 2, 3].map(|axis| query[axis] as u32);
        let (keys, width) = (value[1] as u32, value[3] as u32);
        let [q, k, v] = [0, 1, 2].map(|index| self.attention_operand(node.operands[index]));
        let mask = node.operands.get(3).map(|&mask| self.mask(mask));
        let home = self.home(group.root);
        let stored = if has_rows(&home) { home.clone() } else { self.dense(self.value_name(result), self.dtype(result), &home.shape()) };
        let attention = Attention {
            batch,
            heads,
            rows,
            keys,
            depth,
            width,
            scale,
            guarded,
            query: strided(&q),
            key: strided(&k),
            value: strided(&v),
            mask,
            out: strided(&stored),
        };
        self.push_kernel("attention", &[group.frame], Body::Attention(attention));
        if stored != home {
            self.emit_tail(group, &stored);
        }
    }

    /// Where an operand `[batch, rows, heads, features]` lies, its features side by side; a copy where they do not.
    fn attention_operand(&mut self, value: ValueId) -> Location {
        match self.view(value).filter(has_rows) {
            Some(location) => location,
            None => self.copied(value),
        }
    }

    /// Where a mask `[batch, heads, rows, keys]` lies, sizes 1 repeated.
    fn mask(&mut self, value: ValueId) -> Mask {
        let location = self.view(value).unwrap_or_else(|| self.copied(value));
        let stride = |axis: usize| if location.dims[axis].extent == 1 { 0 } else { location.dims[axis].stride };
        Mask { buffer: location.buffer, offset: location.offset, batch: stride(0), head: stride(1), row: stride(2), key: stride(3) }
    }
}

/// Whether the elements of the last axis lie side by side.
fn has_rows(location: &Location) -> bool {
    location.dims.last().is_none_or(|features| features.extent == 1 || features.stride == 1)
}

/// A location of `[batch, rows, heads, features]`.
fn strided(location: &Location) -> Strided {
    let stride = |axis: usize| if location.dims[axis].extent == 1 { 0 } else { location.dims[axis].stride };
    Strided { buffer: location.buffer, offset: location.offset, batch: stride(0), head: stride(2), row: stride(1) }
}
