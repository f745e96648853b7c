//! Reductions along axes.

use crate::draft::Draft;
use crate::group::Group;
use crate::map::{requantized, result_range};
use crate::planner::Planner;
use crate::scope::Scope;
use mlp_bundle::loops::{Affine, BinaryOp, CompareOp, ExprId};
use mlp_bundle::{DType, Scalar};
use mlp_graph::Op;
use mlp_graph::ValueId;
use mlp_graph::op::ReduceKind;

/// A nest over the kept axes of a value that reduces the others.
pub(crate) struct Rows {
    pub(crate) draft: Draft,
    /// Where the reduced value is read.
    pub(crate) from: Vec<Affine>,
    /// Where the result is: axes kept with size 1 are at 0.
    pub(crate) to: Vec<Affine>,
}

impl Planner<'_> {
    /// The loops of a reduction of `value` over `axes`, whose result has rank `rank`.
    pub(crate) fn rows(&self, value: ValueId, axes: &[u32], rank: usize) -> Rows {
        let dims = self.dims(value);
        let is_reduced = |axis: &usize| axes.contains(&(*axis as u32));
        let kept: Vec<usize> = (0..dims.len()).filter(|axis| !is_reduced(axis)).collect();
        let parallel: Vec<u64> = kept.iter().map(|&axis| dims[axis]).collect();
        let reduce: Vec<u64> = axes.iter().map(|&axis| dims[axis as usize]).collect();
        let draft = Draft::reducing(&parallel, &reduce);
        let mut from = vec![Affine::default(); dims.len()];
        for (index, &axis) in kept.iter().enumerate() {
            from[axis] = Affine::axis(index as u8);
        }
        for (index, &axis) in axes.iter().enumerate() {
            from[axis as usize] = draft.reduction(index);
        }
        let to = if rank == kept.len() {
            draft.coords()
        } else {
            (0..dims.len()).map(|axis| if is_reduced(&axis) { Affine::default() } else { from[axis].clone() }).collect()
        };
        Rows { draft, from, to }
    }

    pub(crate) fn emit_reduce(&mut self, group: &Group, kind: ReduceKind, axes: &[u32]) {
        let graph = self.graph;
        let node = &graph.ops[group.frame];
        let (x, result) = (node.operands[0], node.results[0]);
        let dtype = self.dtype(x);
        let Rows { mut draft, from, to } = self.rows(x, axes, self.dims(result).len());
        let element = self.read(&mut draft.scope, x, &from);
        let init = match kind {
            ReduceKind::Sum | ReduceKind::Mean => Scalar::of(dtype, 0),
            ReduceKind::Prod => Scalar::of(dtype, 1),
            ReduceKind::Max => Scalar::lowest(dtype),
            ReduceKind::Min => Scalar::highest(dtype),
        };
        let scope = &mut draft.scope;
        let acc = scope.acc(0, dtype.compute());
        let next = match kind {
            ReduceKind::Sum | ReduceKind::Mean => scope.add(acc, element),
            ReduceKind::Prod => scope.mul(acc, element),
            ReduceKind::Max => extreme(scope, BinaryOp::Max, acc, element),
            ReduceKind::Min => extreme(scope, BinaryOp::Min, acc, element),
        };
        let total = draft.accumulate(init, next);
        let value = match kind {
            ReduceKind::Mean => {
                let count: u64 = axes.iter().map(|&axis| self.dims(x)[axis as usize]).product();
                let count = float(&mut draft.scope, dtype, count as f64);
                draft.scope.div(total, count)
            }
            _ => self.wrapped(&mut draft.scope, dtype, total),
        };
        self.finish_tail(&mut draft, group, value, to);
        self.push_nest("reduce", draft);
    }

    pub(crate) fn emit_arg_reduce(&mut self, group: &Group, max: bool, axis: usize, last: bool) {
        let graph = self.graph;
        let node = &graph.ops[group.frame];
        let x = node.operands[0];
        let Rows { mut draft, from, to } = self.rows(x, &[axis as u32], self.dims(node.results[0]).len());
        let element = self.read(&mut draft.scope, x, &from);
        let scope = &mut draft.scope;
        let element = ordered(scope, element);
        let ty = scope.ty(element);
        let (best, place) = (scope.acc(0, ty), scope.acc(1, DType::I32));
        let nil = scope.i32(0);
        let none = scope.compare(CompareOp::Lt, place, nil);
        let op = if last { CompareOp::Le } else { CompareOp::Lt };
        let better = if max { scope.compare(op, best, element) } else { scope.compare(op, element, best) };
        let take = scope.either(none, better);
        let here = scope.index(&from[axis]);
        let next_best = scope.select(take, element, best);
        let next_place = scope.select(take, here, place);
        draft.accumulate(Scalar::of(ty, 0), next_best);
        let place = draft.accumulate(Scalar::I32(-1), next_place);
        let value = draft.scope.cast(DType::I64, place);
        self.finish_tail(&mut draft, group, value, to);
        self.push_nest("arg_reduce", draft);
    }

    pub(crate) fn emit_quantized_mean(&mut self, group: &Group) {
        let graph = self.graph;
        let node = &graph.ops[group.frame];
        let Op::QuantizedMean { axes, in_zero, multiplier, shift, out_zero, dtype, lo, hi } = &node.op else {
            unreachable!("called for an integer mean");
        };
        let x = node.operands[0];
        let Rows { mut draft, from, to } = self.rows(x, axes, self.dims(node.results[0]).len());
        let element = self.read(&mut draft.scope, x, &from);
        let scope = &mut draft.scope;
        let acc = scope.acc(0, DType::I32);
        let next = scope.add(acc, element);
        let sum = draft.accumulate(Scalar::I32(0), next);
        // Sums wrap, so that the zero points can be taken off all at once.
        let count: u64 = axes.iter().map(|&axis| self.dims(x)[axis as usize]).product();
        let scope = &mut draft.scope;
        let sum = scope.add_i32(sum, (count as i32).wrapping_mul(*in_zero).wrapping_neg());
        let multiplier = scope.i32(*multiplier);
        let value = requantized(scope, sum, multiplier, *shift, *out_zero, result_range(*dtype, *lo, *hi));
        self.finish_tail(&mut draft, group, value, to);
        self.push_nest("mean", draft);
    }
}

/// The greater or lesser of two, a NaN in `element` or `acc` winning.
fn extreme(scope: &mut Scope, op: BinaryOp, acc: ExprId, element: ExprId) -> ExprId {
    let best = scope.binary(op, acc, element);
    if !scope.ty(acc).is_float() {
        return best;
    }
    let is_nan = scope.compare(CompareOp::Ne, element, element);
    scope.select(is_nan, element, best)
}

/// A value in a type that has an order: truth values become numbers.
pub(crate) fn ordered(scope: &mut Scope, x: ExprId) -> ExprId {
    if scope.ty(x) == DType::Bool { scope.cast(DType::I32, x) } else { x }
}

/// A float constant of the compute type of `dtype`.
pub(crate) fn float(scope: &mut Scope, dtype: DType, value: f64) -> ExprId {
    scope.constant(if dtype.compute() == DType::F64 { Scalar::f64(value) } else { Scalar::f32(value as f32) })
}
