//! Softmax in three passes: the greatest element of each row, the sum of powers, the quotients.

use crate::draft::Draft;
use crate::group::Group;
use crate::location::Location;
use crate::planner::Planner;
use crate::reduce::Rows;
use crate::scope::{Guard, Scope};
use mlp_bundle::Scalar;
use mlp_bundle::loops::{Affine, ExprId, UnaryOp};
use mlp_graph::ValueId;

impl Planner<'_> {
    pub(crate) fn emit_softmax(&mut self, group: &Group, axis: usize) {
        let graph = self.graph;
        let node = &graph.ops[group.frame];
        let x = node.operands[0];
        let name = graph.origin_name(group.frame);
        let dtype = self.dtype(x).compute();
        let rank = self.dims(x).len();
        let mut row_dims = self.dims(x).to_vec();
        row_dims[axis] = 1;

        let greatest = self.dense(format!("{name} (max)"), dtype, &row_dims);
        let Rows { mut draft, from, to } = self.rows(x, &[axis as u32], rank);
        draft.scope.note(group.frame);
        let element = self.read(&mut draft.scope, x, &from);
        let acc = draft.scope.acc(0, dtype);
        // A NaN need not win here: it makes the sum NaN, and with it the whole row.
        let next = draft.scope.max(acc, element);
        let total = draft.accumulate(Scalar::lowest(dtype), next);
        self.store(&mut draft, &greatest, &to, total);
        self.push_nest("softmax_max", draft);

        let sums = self.dense(format!("{name} (sum)"), dtype, &row_dims);
        let Rows { mut draft, from, to } = self.rows(x, &[axis as u32], rank);
        draft.scope.note(group.frame);
        let power = self.power(&mut draft.scope, x, &from, &greatest, &to);
        let acc = draft.scope.acc(0, dtype);
        let next = draft.scope.add(acc, power);
        let total = draft.accumulate(Scalar::of(dtype, 0), next);
        self.store(&mut draft, &sums, &to, total);
        self.push_nest("softmax_sum", draft);

        let mut draft = Draft::new(self.dims(x));
        let coords = draft.coords();
        let mut row = coords.clone();
        row[axis] = Affine::default();
        let power = self.power(&mut draft.scope, x, &coords, &greatest, &row);
        let sum = draft.scope.load(&sums, &row, Guard::Clamp);
        let value = draft.scope.div(power, sum);
        self.finish_tail(&mut draft, group, value, coords);
        self.push_nest("softmax", draft);
    }

    /// `exp(x - max)`.
    fn power(&mut self, scope: &mut Scope, x: ValueId, at: &[Affine], greatest: &Location, row: &[Affine]) -> ExprId {
        let element = self.read(scope, x, at);
        let greatest = scope.load(greatest, row, Guard::Clamp);
        let difference = scope.sub(element, greatest);
        scope.unary(UnaryOp::Exp, difference)
    }
}
