//! What loops look like once loops that go together are merged and the axis of the lanes is chosen.

use crate::wasm::address::Address;
use crate::wasm::eval::Eval;
use crate::wasm::{memory, vector};
use cranelift_entity::EntityRef;
use mlp_bundle::DType;
use mlp_bundle::loops::{Expr, ExprId, Exprs, Store};

/// What is to be shaped.
pub(super) struct Outline<'a> {
    /// How many of the axes are parallel.
    pub(super) parallel: usize,
    /// The other axes: each with the expression of its count where that is dynamic.
    pub(super) counts: Vec<Option<ExprId>>,
    /// The types of the sums.
    pub(super) sums: Vec<DType>,
    /// The values that sums take in.
    pub(super) summed: Vec<ExprId>,
    /// What is stored.
    pub(super) stores: &'a [Store],
    /// The axis along a row, where stores are done for each of its elements.
    pub(super) row: Option<u8>,
}

/// The loops of a kernel and what is done in them.
pub(crate) struct Shape {
    /// The greatest extent of each axis; merged axes have 1.
    pub(crate) extents: Vec<u32>,
    /// The parallel axes with more than one iteration, outermost first; the axis of the lanes is last.
    pub(crate) parallel: Vec<u8>,
    /// The reduction axes with more than one iteration, or a dynamic number of them, outermost first.
    pub(crate) reduce: Vec<u8>,
    /// Whether there are lanes along the last parallel axis.
    pub(crate) lanes: bool,
    /// Whether an element is loaded and stored by the same point.
    pub(crate) in_place: bool,
    /// What the stores address.
    pub(crate) stores: Vec<Address>,
    /// The expressions that matter, in order.
    pub(crate) wanted: Vec<ExprId>,
    /// Those below accumulators and counts.
    pub(crate) inside: Vec<bool>,
}

impl Shape {
    /// Merges loops and chooses the lanes; `eval` gets the merged addresses.
    pub(super) fn of(outline: &Outline<'_>, eval: &mut Eval<'_>, extents: Vec<u32>) -> Shape {
        let roots = outline.stores.iter().map(|store| store.value);
        let inner = outline.summed.iter().copied().chain(outline.counts.iter().copied().flatten());
        let inside = below(eval.exprs, inner.clone());
        let all = below(eval.exprs, inner.chain(roots));
        let stores = outline.stores.iter().map(|store| Address::of(&store.access, &extents)).collect();
        let mut shape = Shape {
            extents,
            parallel: Vec::new(),
            reduce: Vec::new(),
            lanes: false,
            in_place: false,
            stores,
            wanted: eval.exprs.keys().filter(|id| all[id.index()]).collect(),
            inside,
        };
        shape.in_place = shape.touches_its_loads(eval);
        shape.merge(outline, eval);
        let count = outline.parallel;
        shape.parallel = (0..count as u8).filter(|&axis| shape.extents[usize::from(axis)] > 1).collect();
        let runs = |axis: &usize| shape.extents[count + axis] > 1 || outline.counts[*axis].is_some();
        shape.reduce = (0..outline.counts.len()).filter(runs).map(|axis| (count + axis) as u8).collect();
        shape.choose_lanes(outline, eval);
        shape
    }

    fn touches_its_loads(&self, eval: &Eval<'_>) -> bool {
        let loads = || self.wanted.iter().filter_map(|id| eval.addresses[id.index()].as_ref());
        self.stores.iter().any(|store| loads().any(|load| eval.plan.overlap(load.buffer, store.buffer)))
    }

    /// Merges each axis with the next where every access steps over both as over one.
    fn merge(&mut self, outline: &Outline<'_>, eval: &mut Eval<'_>) {
        let constant: Vec<bool> = vec![true; outline.parallel].into_iter().chain(outline.counts.iter().map(Option::is_none)).collect();
        for inner in (1..self.extents.len()).rev() {
            let outer = inner - 1;
            if inner == outline.parallel || !constant[inner] || !constant[outer] {
                continue;
            }
            if self.extents[inner] == 1 {
                self.swap_axes(eval, outer as u8, inner as u8);
            }
            let merged = self.extents[inner].checked_mul(self.extents[outer]).filter(|&n| n < 1 << 30);
            let Some(merged) = merged.filter(|_| self.extents[outer] > 1 && self.merges(eval, outer as u8, inner as u8)) else {
                continue;
            };
            self.extents[inner] = merged;
            self.extents[outer] = 1;
            self.for_each_address(eval, |address| address.terms.retain(|term| usize::from(term.0) != outer));
        }
    }

    /// An inner axis of one iteration takes the outer one's place, so that the outer one can merge further in.
    fn swap_axes(&mut self, eval: &mut Eval<'_>, outer: u8, inner: u8) {
        if self.named(eval, outer) || self.named(eval, inner) {
            return;
        }
        self.extents.swap(usize::from(outer), usize::from(inner));
        self.for_each_address(eval, |address| {
            for term in address.terms.iter_mut().filter(|term| term.0 == outer) {
                term.0 = inner;
            }
        });
    }

    fn for_each_address(&mut self, eval: &mut Eval<'_>, mut change: impl FnMut(&mut Address)) {
        eval.addresses.iter_mut().flatten().chain(&mut self.stores).for_each(&mut change);
    }

    /// Whether an axis is used for more than steps through memory.
    fn named(&self, eval: &Eval<'_>, axis: u8) -> bool {
        self.wanted.iter().any(|&id| match &eval.exprs[id] {
            Expr::Axis(named) => *named == axis,
            Expr::Load(_) => eval.addresses[id.index()].as_ref().is_some_and(|address| address.checks_axis(axis)),
            _ => false,
        })
    }

    fn merges(&self, eval: &Eval<'_>, outer: u8, inner: u8) -> bool {
        let extent = i64::from(self.extents[usize::from(inner)]);
        let together = |address: &Address| address.distance(outer) == address.distance(inner) * extent;
        !self.named(eval, outer)
            && !self.named(eval, inner)
            && self.wanted.iter().filter_map(|id| eval.addresses[id.index()].as_ref()).chain(&self.stores).all(together)
    }

    /// Along the row where that can be, else along a parallel axis, and along a row of less than a vector rather than nowhere.
    fn choose_lanes(&mut self, outline: &Outline<'_>, eval: &mut Eval<'_>) {
        let fits_row = |least: u32, shape: &Shape, eval: &mut Eval<'_>| {
            outline.row.is_some_and(|row| shape.extents[usize::from(row)] >= least && shape.fits_lanes(outline, eval, row))
        };
        if fits_row(4, self, eval) {
            return;
        }
        for place in (0..self.parallel.len()).rev() {
            let axis = self.parallel[place];
            if self.extents[usize::from(axis)] >= 4 && self.fits_lanes(outline, eval, axis) {
                self.parallel.remove(place);
                self.parallel.push(axis);
                self.lanes = true;
                return;
            }
        }
        if !fits_row(1, self, eval) {
            eval.set_lanes(None, false);
        }
    }

    fn fits_lanes(&self, outline: &Outline<'_>, eval: &mut Eval<'_>, axis: u8) -> bool {
        eval.set_lanes(Some(axis), outline.row != Some(axis));
        let eval = &*eval;
        let varies = |id: &ExprId| eval.varies[id.index()];
        let stores = self.stores.iter().all(|store| store.distance(axis) == 1 && memory::has_lanes(eval.dtype(store.buffer)));
        let counts = outline.counts.iter().flatten().all(|count| !varies(count));
        let sums = outline.sums.iter().all(|&sum| vector::holds(sum));
        stores && counts && sums && self.wanted.iter().filter(|id| varies(id)).all(|&id| eval.fits_lanes(id, axis, false))
    }
}

fn below(exprs: &Exprs, roots: impl Iterator<Item = ExprId>) -> Vec<bool> {
    let mut wanted = vec![false; exprs.len()];
    roots.for_each(|root| wanted[root.index()] = true);
    for (id, expr) in exprs.iter().rev() {
        if wanted[id.index()] {
            expr.for_each_operand(|operand| wanted[operand.index()] = true);
        }
    }
    wanted
}
