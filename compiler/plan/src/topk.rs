//! The `k` best elements of each row.

use crate::draft::Draft;
use crate::group::Group;
use crate::location::Location;
use crate::planner::Planner;
use crate::reduce::{Rows, ordered};
use crate::scope::{Guard, Scope};
use mlp_bundle::loops::{Affine, CompareOp, ExprId};
use mlp_bundle::{DType, Scalar};
use mlp_graph::ValueId;

/// Up to how many elements one pass keeps in accumulators.
pub(crate) const MAX_KEPT: u64 = 16;

/// What a selection works on.
struct Selection {
    x: ValueId,
    axis: usize,
    largest: bool,
}

impl Planner<'_> {
    pub(crate) fn emit_top_k(&mut self, group: &Group, k: u64, axis: usize, largest: bool) {
        let graph = self.graph;
        let node = &graph.ops[group.frame];
        let selection = Selection { x: node.operands[0], axis, largest };
        let places = [self.home(node.results[0]), self.home(node.results[1])];
        if k <= MAX_KEPT {
            self.emit_kept(group, k, &selection, &places);
        } else {
            self.emit_ranked(group, k, &selection, &places);
        }
    }

    /// One pass over a row that keeps the best so far in order: an element moves all that it beats down by one.
    fn emit_kept(&mut self, group: &Group, k: u64, selection: &Selection, places: &[Location; 2]) {
        let axis = selection.axis;
        let rank = self.dims(selection.x).len();
        let dtype = self.dtype(selection.x);
        let Rows { mut draft, from, to } = self.rows(selection.x, &[axis as u32], rank);
        draft.scope.note(group.frame);
        let element = self.read(&mut draft.scope, selection.x, &from);
        let scope = &mut draft.scope;
        let element = ordered(scope, element);
        let (ty, here) = (scope.ty(element), scope.index(&from[axis]));
        let mut above: Option<(ExprId, ExprId, ExprId)> = None;
        let mut next = Vec::new();
        for index in 0..k as u8 {
            let (value, place) = (scope.acc(2 * index, ty), scope.acc(2 * index + 1, DType::I32));
            let nil = scope.i32(0);
            let none = scope.compare(CompareOp::Lt, place, nil);
            let better = beats(scope, element, value, selection.largest);
            let beats = scope.either(none, better);
            let (mut new_value, mut new_place) = (element, here);
            if let Some((beats_above, value_above, place_above)) = above {
                new_value = scope.select(beats_above, value_above, element);
                new_place = scope.select(beats_above, place_above, here);
            }
            next.push((scope.select(beats, new_value, value), scope.select(beats, new_place, place)));
            above = Some((beats, value, place));
        }
        for (index, (value, place)) in next.into_iter().enumerate() {
            let value = draft.accumulate(Scalar::of(ty, 0), value);
            let place = draft.accumulate(Scalar::I32(-1), place);
            let value = if dtype == DType::Bool { draft.scope.cast(DType::Bool, value) } else { value };
            let place = draft.scope.cast(DType::I64, place);
            let mut at = to.clone();
            at[axis] = Affine::constant(index as i64);
            self.store(&mut draft, &places[0], &at, value);
            self.store(&mut draft, &places[1], &at, place);
        }
        self.push_nest("top_k", draft);
    }

    /// The rank of every element, counted; then for each rank the element that has it.
    fn emit_ranked(&mut self, group: &Group, k: u64, selection: &Selection, places: &[Location; 2]) {
        let (axis, dims) = (selection.axis, self.dims(selection.x).to_vec());
        let ranks = self.dense(format!("{} (ranks)", self.graph.origin_name(group.frame)), DType::I32, &dims);
        let mut draft = Draft::reducing(&dims, &dims[axis..=axis]);
        draft.scope.note(group.frame);
        let coords = draft.coords();
        let mut others = coords.clone();
        others[axis] = draft.reduction(0);
        let mine = self.read(&mut draft.scope, selection.x, &coords);
        let other = self.read(&mut draft.scope, selection.x, &others);
        let scope = &mut draft.scope;
        let (mine, other) = (ordered(scope, mine), ordered(scope, other));
        let wins = beats(scope, other, mine, selection.largest);
        let loses = beats(scope, mine, other, selection.largest);
        let (here, there) = (scope.index(&coords[axis]), scope.index(&others[axis]));
        let earlier = scope.compare(CompareOp::Lt, there, here);
        let ties = scope.unary(mlp_bundle::loops::UnaryOp::Not, loses);
        let first = scope.both(earlier, ties);
        let before = scope.either(wins, first);
        let count = scope.cast(DType::I32, before);
        let acc = scope.acc(0, DType::I32);
        let next = scope.add(acc, count);
        let rank = draft.accumulate(Scalar::I32(0), next);
        self.store(&mut draft, &ranks, &coords, rank);
        self.push_nest("rank", draft);
        self.emit_by_rank(group, k, selection, &ranks, places);
    }

    fn emit_by_rank(&mut self, group: &Group, k: u64, selection: &Selection, ranks: &Location, places: &[Location; 2]) {
        let (axis, dims) = (selection.axis, self.dims(selection.x).to_vec());
        let mut parallel = dims.clone();
        parallel[axis] = k;
        let mut draft = Draft::reducing(&parallel, &dims[axis..=axis]);
        draft.scope.note(group.frame);
        let coords = draft.coords();
        let mut from = coords.clone();
        from[axis] = draft.reduction(0);
        let element = self.read(&mut draft.scope, selection.x, &from);
        let scope = &mut draft.scope;
        let rank = scope.load(ranks, &from, Guard::Clamp);
        let (wanted, here) = (scope.index(&coords[axis]), scope.index(&from[axis]));
        let found = scope.compare(CompareOp::Eq, rank, wanted);
        let (value, place) = (scope.acc(0, self.dtype(selection.x).compute()), scope.acc(1, DType::I32));
        let next_value = scope.select(found, element, value);
        let next_place = scope.select(found, here, place);
        let value = draft.accumulate(Scalar::of(self.dtype(selection.x), 0), next_value);
        let place = draft.accumulate(Scalar::I32(0), next_place);
        let place = draft.scope.cast(DType::I64, place);
        self.store(&mut draft, &places[0], &coords, value);
        self.store(&mut draft, &places[1], &coords, place);
        self.push_nest("top_k", draft);
    }
}

/// Whether `x` stands before `y` whatever their positions: it is greater (or less), or `y` alone is NaN.
fn beats(scope: &mut Scope, x: ExprId, y: ExprId, largest: bool) -> ExprId {
    let better = if largest { scope.compare(CompareOp::Lt, y, x) } else { scope.compare(CompareOp::Lt, x, y) };
    if !scope.ty(x).is_float() {
        return better;
    }
    let nan = scope.compare(CompareOp::Ne, y, y);
    let number = scope.compare(CompareOp::Eq, x, x);
    let alone = scope.both(nan, number);
    scope.either(better, alone)
}
