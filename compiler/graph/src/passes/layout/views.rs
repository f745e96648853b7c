//! Values as permutations of other values.

use crate::infer::InferError;
use crate::ir::{Graph, Origin, ValueId};
use crate::ops::movement::{inverse, transposed};
use crate::passes::cleanup::moves_unit_axes;
use crate::shape::Shape;
use cranelift_entity::SecondaryMap;
use std::collections::HashMap;

/// The view of `[N, ..., C]` as `[N, C, ...]`.
pub(super) fn first_from_last(rank: usize) -> Vec<u32> {
    let last = rank as u32 - 1;
    [0, last].into_iter().chain(1..last).collect()
}

/// What each value of the old graph is in the new one.
#[derive(Default)]
pub(super) struct Views {
    /// A value of the new graph and the permutation that makes the old value of it; where there is none, the old value stands for itself.
    views: SecondaryMap<ValueId, Option<(ValueId, Vec<u32>)>>,
    /// Transposes made so far: each is made once.
    made: HashMap<(ValueId, Vec<u32>), ValueId>,
    /// What to name as the origin of a transpose that becomes a value again.
    origins: SecondaryMap<ValueId, Origin>,
}

impl Views {
    /// The value of the new graph and the permutation that makes `value` of it.
    pub(super) fn get(&self, graph: &Graph, value: ValueId) -> (ValueId, Vec<u32>) {
        match &self.views[value] {
            Some((base, view)) => (*base, view.clone()),
            None => (value, (0..graph.ty(value).shape.rank() as u32).collect()),
        }
    }

    /// Says that axis `i` of `value` is axis `view[i]` of `base`.
    pub(super) fn set(&mut self, value: ValueId, base: ValueId, view: Vec<u32>) {
        self.views[value] = Some((base, view));
    }

    /// Names what a value came from.
    pub(super) fn note_origin(&mut self, value: ValueId, origin: Origin) {
        self.origins[value] = origin;
    }

    /// The value with its axes in their own order.
    pub(super) fn plain(&mut self, graph: &mut Graph, value: ValueId) -> Result<ValueId, InferError> {
        let (base, view) = self.get(graph, value);
        let origin = self.origin(graph, value);
        self.transposed(graph, base, &view, &origin)
    }

    /// The value of which `value` is this view.
    pub(super) fn under(&mut self, graph: &mut Graph, value: ValueId, view: &[u32]) -> Result<ValueId, InferError> {
        let (base, actual) = self.get(graph, value);
        let perm: Vec<u32> = inverse(view).into_iter().map(|axis| actual[axis as usize]).collect();
        let origin = self.origin(graph, value);
        self.transposed(graph, base, &perm, &origin)
    }

    /// Whether `value` under a view costs nothing at run time: it has that view already, is constant, or only axes of size 1 move.
    pub(super) fn is_free(&self, graph: &Graph, value: ValueId, view: &[u32]) -> bool {
        let (base, actual) = self.get(graph, value);
        let perm: Vec<u32> = inverse(view).into_iter().map(|axis| actual[axis as usize]).collect();
        graph.constant_of(base).is_some() || moves_unit_axes(graph.ty(base), &perm)
    }

    fn origin(&self, graph: &Graph, value: ValueId) -> Origin {
        match graph.definition(value) {
            _ if !self.origins[value].name.is_empty() => self.origins[value].clone(),
            Some((id, _)) => graph.origins[id].clone(),
            None => {
                let input = graph.inputs.iter().find(|port| port.value == value);
                Origin::new(input.map_or(String::new(), |port| format!("input `{}`", port.name)))
            }
        }
    }

    /// `base` transposed: a constant at once, a reshape where only axes of size 1 move, and each but once.
    pub(super) fn transposed(&mut self, graph: &mut Graph, base: ValueId, perm: &[u32], origin: &Origin) -> Result<ValueId, InferError> {
        if perm.is_sorted() {
            return Ok(base);
        }
        if let Some(&value) = self.made.get(&(base, perm.to_vec())) {
            return Ok(value);
        }
        let value = if let Some(tensor) = graph.constant_of(base) {
            let tensor = transposed(tensor, perm);
            graph.constant(tensor, origin.clone())
        } else if moves_unit_axes(graph.ty(base), perm) {
            let shape = Shape(perm.iter().map(|&axis| graph.ty(base).shape.0[axis as usize]).collect());
            graph.reshape(base, shape, origin.clone())?
        } else {
            graph.transpose(base, perm, origin.clone())?
        };
        self.made.insert((base, perm.to_vec()), value);
        Ok(value)
    }
}
