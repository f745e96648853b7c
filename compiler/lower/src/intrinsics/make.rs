//! A graph that is appended to at one place of the source, with errors as text.

use mlp_graph::op::{BinaryOp, CompareOp, ReduceKind, UnaryOp};
use mlp_graph::{DType, Dim, Graph, InferError, Op, Origin, Shape, Tensor, ValueId};

/// A graph, and where what is appended to it stands.
pub(super) struct Make<'g> {
    pub(super) graph: &'g mut Graph,
    pub(super) origin: &'g Origin,
}

fn text(result: Result<ValueId, InferError>) -> Result<ValueId, String> {
    result.map_err(|error| error.to_string())
}

impl Make<'_> {
    pub(super) fn op(&mut self, op: Op, operands: &[ValueId]) -> Result<ValueId, String> {
        text(self.graph.append_one(op, operands, self.origin.clone()))
    }

    /// The results of an operation that has several.
    pub(super) fn ops(&mut self, op: Op, operands: &[ValueId]) -> Result<Vec<ValueId>, String> {
        self.graph.append(op, operands, self.origin.clone()).map_err(|error| error.to_string())
    }

    pub(super) fn unary(&mut self, op: UnaryOp, x: ValueId) -> Result<ValueId, String> {
        text(self.graph.unary(op, x, self.origin.clone()))
    }

    pub(super) fn binary(&mut self, op: BinaryOp, x: ValueId, y: ValueId) -> Result<ValueId, String> {
        text(self.graph.binary(op, x, y, self.origin.clone()))
    }

    /// A map of a value and a number of its element type.
    pub(super) fn with_number(&mut self, op: BinaryOp, x: ValueId, number: f64) -> Result<ValueId, String> {
        let number = self.scalar_like(x, number);
        self.binary(op, x, number)
    }

    pub(super) fn compare(&mut self, op: CompareOp, x: ValueId, y: ValueId) -> Result<ValueId, String> {
        text(self.graph.compare(op, x, y, self.origin.clone()))
    }

    pub(super) fn cast(&mut self, dtype: DType, x: ValueId) -> Result<ValueId, String> {
        text(self.graph.cast(dtype, x, self.origin.clone()))
    }

    /// A number of a value's element type.
    pub(super) fn scalar_like(&mut self, x: ValueId, number: f64) -> ValueId {
        self.graph.scalar(self.graph.ty(x).dtype, number, self.origin.clone())
    }

    /// A constant of `F32`.
    pub(super) fn floats(&mut self, shape: &[u64], values: &[f32]) -> Result<ValueId, String> {
        let tensor = Tensor::from_f32(shape, values).map_err(|error| error.to_string())?;
        Ok(self.graph.constant(tensor, self.origin.clone()))
    }

    /// The numbers from 0 on, `I32 [count]`.
    pub(super) fn positions(&mut self, count: u64) -> Result<ValueId, String> {
        let positions: Vec<i32> = (0..count as i32).collect();
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

    pub(super) fn transpose(&mut self, x: ValueId, perm: &[u32]) -> Result<ValueId, String> {
        text(self.graph.transpose(x, perm, self.origin.clone()))
    }

    /// `count` elements from `start` on along one axis.
    pub(super) fn slice(&mut self, x: ValueId, axis: usize, start: u64, count: u64) -> Result<ValueId, String> {
        let mut counts = self.shape(x);
        let size = self.size(x, axis)?;
        if start.checked_add(count).is_none_or(|end| end > size) {
            return Err(format!("there are {size} elements, and {count} from {start} on are asked for; write less"));
        }
        counts[axis] = Dim::Const(count);
        let starts = (0..counts.len()).map(|at| if at == axis { start as i64 } else { 0 }).collect();
        let steps = vec![1; counts.len()];
        text(self.graph.slice(x, starts, steps, Shape(counts), self.origin.clone()))
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
