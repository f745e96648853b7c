//! Softmax and normalization of rows as one kernel each.

use crate::draft::Draft;
use crate::group::Group;
use crate::planner::Planner;
use crate::reduce::Rows;
use mlp_bundle::loops::{Body, ExprId, Fold, UnaryOp};
use mlp_bundle::{DType, Scalar};

impl Planner<'_> {
    /// `exp(x - max) / sum`.
    pub(crate) fn emit_row_softmax(&mut self, group: &Group, axis: usize) {
        self.emit_rows(group, axis, "softmax", |draft, x| {
            let greatest = reduce(draft, Fold::Max, x);
            let shifted = draft.scope.sub(x, greatest);
            let power = draft.scope.unary(UnaryOp::Exp, shifted);
            let sum = reduce(draft, Fold::Sum, power);
            let one = draft.scope.f32(1.0);
            let factor = draft.scope.div(one, sum);
            (vec![Fold::Max, Fold::Sum], draft.scope.mul(power, factor))
        });
    }

    /// `d / sqrt(mean(d^2) + epsilon)`, where `d` is `x` or `x - mean(x)`.
    pub(crate) fn emit_normalize(&mut self, group: &Group, axis: usize, epsilon: f32, centred: bool) {
        let operand = self.graph.ops[group.frame].operands[0];
        let part = 1.0 / self.dims(operand)[axis] as f32;
        self.emit_rows(group, axis, "normalize", |draft, x| {
            let part = draft.scope.f32(part);
            let (mut folds, mut d) = (vec![Fold::Sum], x);
            if centred {
                let sum = reduce(draft, Fold::Sum, x);
                let mean = draft.scope.mul(sum, part);
                d = draft.scope.sub(x, mean);
                folds.push(Fold::Sum);
            }
            let square = draft.scope.mul(d, d);
            let sum = reduce(draft, Fold::Sum, square);
            let variance = draft.scope.mul(sum, part);
            let epsilon = draft.scope.f32(epsilon);
            let positive = draft.scope.add(variance, epsilon);
            let deviation = draft.scope.unary(UnaryOp::Sqrt, positive);
            let one = draft.scope.f32(1.0);
            let factor = draft.scope.div(one, deviation);
            (folds, draft.scope.mul(d, factor))
        });
    }

    /// A kernel over the rows along an axis: `make` gets one element, adds reductions, and yields their kinds and the element's result.
    fn emit_rows(&mut self, group: &Group, axis: usize, what: &str, make: impl Fn(&mut Draft, ExprId) -> (Vec<Fold>, ExprId)) {
        let x = self.graph.ops[group.frame].operands[0];
        let rank = self.dims(x).len();
        let Rows { mut draft, from, .. } = self.rows(x, &[axis as u32], rank);
        let element = self.read(&mut draft.scope, x, &from);
        let (folds, value) = make(&mut draft, element);
        self.finish_tail(&mut draft, group, value, from);
        let origins = draft.scope.origins.clone();
        if let Some(rows) = draft.finish_rows(&folds) {
            self.push_kernel(what, &origins, Body::Rows(rows));
        }
    }
}

/// A reduction of a row, as an accumulator whose next value is what it takes in.
fn reduce(draft: &mut Draft, fold: Fold, value: ExprId) -> ExprId {
    debug_assert_eq!(draft.scope.ty(value), DType::F32);
    draft.accumulate(Scalar::f32(fold.start()), value)
}
