//! A graph that is appended to at one place of the source, with errors as text.

use crate::append::{Append, text};
use mlp_graph::op::ReduceKind;
use mlp_graph::{Dim, Graph, Op, Origin, Shape, Tensor, ValueId};

/// A graph, and where what is appended to it stands.
pub(super) struct Make<'g> {
    pub(super) graph: &'g mut Graph,
    pub(super) origin: &'g Origin,
}

impl Append for Make<'_> {
    fn graph(&mut self) -> &mut Graph {
        self.graph
    }

    fn origin(&self) -> Origin {
        self.origin.clone()
    }
}

impl Make<'_> {
    /// The results of an operation that has several.
    pub(super) fn ops(&mut self, op: Op, operands: &[ValueId]) -> Result<Vec<ValueId>, String> {
        text(self.graph.append(op, operands, self.origin.clone()))
    }

    /// The numbers from 0 on, `I32 [count]`.
    pub(super) fn positions(&mut self, count: u64) -> Result<ValueId, String> {
        let end = i32::try_from(count).map_err(|_| format!("{count} elements are too many to be numbered; write smaller sizes"))?;
        let positions: Vec<i32> = (0..end).collect();
        let positions = Tensor::from_values(&[count], &positions).map_err(|error| error.to_string())?;
        Ok(self.graph.constant(positions, self.origin.clone()))
    }

    pub(super) fn reduce(&mut self, kind: ReduceKind, axes: Vec<u32>, x: ValueId) -> Result<ValueId, String> {
        self.op(Op::Reduce { kind, axes, keep: false }, &[x])
    }

    pub(super) fn reshape(&mut self, x: ValueId, shape: Vec<Dim>) -> Result<ValueId, String> {
        text(self.graph.reshape(x, Shape(shape), self.origin.clone()))
    }

    pub(super) fn broadcast(&mut self, x: ValueId, shape: Vec<Dim>) -> Result<ValueId, String> {
        text(self.graph.broadcast(x, Shape(shape), self.origin.clone()))
    }

    /// `count` elements from `start` on along one axis.
    pub(super) fn slice(&mut self, x: ValueId, axis: usize, start: u64, count: u64) -> Result<ValueId, String> {
        let size = self.size(x, axis)?;
        if start.checked_add(count).is_none_or(|end| end > size) {
            return Err(format!("there are {size} elements, and {count} from {start} on are asked for; write less"));
        }
        self.walk(x, axis, start as i64, 1, count)
    }

    /// A graph's elements in another order along one axis: `count` of them from `start` on, `step` apart, which may be negative.
    pub(super) fn walk(&mut self, x: ValueId, axis: usize, start: i64, step: i64, count: u64) -> Result<ValueId, String> {
        let mut counts = self.shape(x);
        counts[axis] = Dim::Const(count);
        let rank = counts.len();
        let at_axis = |value: i64, other: i64| (0..rank).map(|at| if at == axis { value } else { other }).collect::<Vec<i64>>();
        text(self.graph.slice(x, at_axis(start, 0), at_axis(step, 1), Shape(counts), self.origin.clone()))
    }

    pub(super) fn concat(&mut self, axis: usize, parts: &[ValueId]) -> Result<ValueId, String> {
        self.op(Op::Concat { axis: axis as u32 }, parts)
    }

    pub(super) fn shape(&self, x: ValueId) -> Vec<Dim> {
        self.graph.ty(x).shape.0.clone()
    }

    pub(super) fn rank(&self, x: ValueId) -> usize {
        self.graph.ty(x).shape.rank()
    }

    /// The last axis of a value that has one.
    pub(super) fn last(&self, x: ValueId) -> Result<usize, String> {
        self.rank(x).checked_sub(1).ok_or_else(|| "it needs at least one dimension".to_owned())
    }

    /// The size of an axis, which must be known.
    pub(super) fn size(&self, x: ValueId, axis: usize) -> Result<u64, String> {
        match self.graph.ty(x).shape.0.get(axis) {
            Some(Dim::Const(size)) => Ok(*size),
            Some(Dim::Symbol(_)) => Err("the size of a dimension is not known".to_owned()),
            None => Err("it has too few dimensions".to_owned()),
        }
    }
}
