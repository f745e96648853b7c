//! What a nest looks like once loops that go together are merged and the axis of the lanes is chosen.

use crate::wasm::address::Address;
use crate::wasm::eval::Eval;
use crate::wasm::{memory, vector};
use cranelift_entity::EntityRef;
use mlp_bundle::loops::{Expr, ExprId, Extent, Nest};

/// The loops of a nest and what is done in them.
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
    pub(crate) fn of(nest: &Nest, eval: &mut Eval<'_>, extents: Vec<u32>) -> Shape {
        let roots = nest.stores.iter().map(|store| store.value);
        let inner = nest.accs.iter().map(|acc| acc.next).chain(nest.reduce.iter().filter_map(|extent| extent.count()));
        let inside = below(nest, inner.clone());
        let all = below(nest, inner.chain(roots));
        let stores = nest.stores.iter().map(|store| Address::of(&store.access, &extents)).collect();
        let mut shape = Shape {
            extents,
            parallel: Vec::new(),
            reduce: Vec::new(),
            lanes: false,
            in_place: false,
            stores,
            wanted: nest.exprs.keys().filter(|id| all[id.index()]).collect(),
            inside,
        };
        shape.in_place = shape.touches_its_loads(eval);
        shape.merge(nest, eval);
        let count = nest.parallel.len();
        shape.parallel = (0..count as u8).filter(|&axis| shape.extents[usize::from(axis)] > 1).collect();
        let runs = |axis: &usize| shape.extents[count + axis] > 1 || nest.reduce[*axis].count().is_some();
        shape.reduce = (0..nest.reduce.len()).filter(runs).map(|axis| (count + axis) as u8).collect();
        shape.choose_lanes(nest, eval);
        shape
    }

    fn touches_its_loads(&self, eval: &Eval<'_>) -> bool {
        let loads = || self.wanted.iter().filter_map(|id| eval.addresses[id.index()].as_ref());
        self.stores.iter().any(|store| loads().any(|load| eval.plan.overlap(load.buffer, store.buffer)))
    }

    /// Merges each axis with the next where every access steps over both as over one.
    fn merge(&mut self, nest: &Nest, eval: &mut Eval<'_>) {
        let constant: Vec<bool> =
            nest.parallel.iter().map(|_| true).chain(nest.reduce.iter().map(|extent| matches!(extent, Extent::Const(_)))).collect();
        for inner in (1..self.extents.len()).rev() {
            let outer = inner - 1;
            if inner == nest.parallel.len() || !constant[inner] || !constant[outer] {
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

    fn choose_lanes(&mut self, nest: &Nest, eval: &mut Eval<'_>) {
        for place in (0..self.parallel.len()).rev() {
            let axis = self.parallel[place];
            if self.extents[usize::from(axis)] >= 4 && self.fits_lanes(nest, eval, axis) {
                self.parallel.remove(place);
                self.parallel.push(axis);
                self.lanes = true;
                return;
            }
        }
        eval.set_lanes(None, false);
    }

    fn fits_lanes(&self, nest: &Nest, eval: &mut Eval<'_>, axis: u8) -> bool {
        eval.set_lanes(Some(axis), true);
        let eval = &*eval;
        let varies = |id: &ExprId| eval.varies[id.index()];
        let stores = self.stores.iter().all(|store| store.distance(axis) == 1 && memory::has_lanes(eval.dtype(store.buffer)));
        let counts = nest.reduce.iter().filter_map(|extent| extent.count()).all(|count| !varies(&count));
        let sums = nest.accs.iter().all(|acc| vector::holds(acc.init.dtype()));
        stores && counts && sums && self.wanted.iter().filter(|id| varies(id)).all(|&id| eval.fits_lanes(id, axis, false))
    }
}

fn below(nest: &Nest, roots: impl Iterator<Item = ExprId>) -> Vec<bool> {
    let mut wanted = vec![false; nest.exprs.len()];
    roots.for_each(|root| wanted[root.index()] = true);
    for (id, expr) in nest.exprs.iter().rev() {
        if wanted[id.index()] {
            expr.for_each_operand(|operand| wanted[operand.index()] = true);
        }
    }
    wanted
}
