//! The loops of a nest as instructions.

use super::pointers::Pointers;
use super::shape::Shape;
use crate::wasm::address::Check;
use crate::wasm::code::{Code, Local};
use crate::wasm::eval::{Eval, Place};
use crate::wasm::layout::Layout;
use crate::wasm::{memory, scalar, vector};
use cranelift_entity::EntityRef;
use mlp_bundle::DType;
use mlp_bundle::loops::{Expr, ExprId, Extent, Nest};
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

/// The level of what is computed after the reduction.
const AFTER: usize = usize::MAX;

/// Lanes of a vector.
const LANES: u32 = 4;

/// Emits one nest. A *level* is how many loops an expression is inside of: 0 before all loops, then one for each parallel loop, one for each
/// reduction loop, and [`AFTER`].
pub(crate) struct Emitter<'a> {
    nest: &'a Nest,
    layout: &'a Layout,
    eval: Eval<'a>,
    shape: Shape,
    pointers: Pointers,
    levels: Vec<usize>,
    uses: Vec<u32>,
    deepest_use: Vec<usize>,
    checks: Vec<(Check, usize, (Local, Option<Local>))>,
}

impl<'a> Emitter<'a> {
    pub(crate) fn new(nest: &'a Nest, layout: &'a Layout, eval: Eval<'a>, shape: Shape) -> Emitter<'a> {
        let loads = shape.wanted.iter().filter_map(|id| eval.addresses[id.index()].as_ref());
        let pointers = Pointers::group(eval.plan, loads.chain(&shape.stores));
        let count = nest.exprs.len();
        let mut emitter = Emitter {
            nest,
            layout,
            eval,
            shape,
            pointers,
            levels: vec![0; count],
            uses: vec![0; count],
            deepest_use: vec![0; count],
            checks: Vec::new(),
        };
        emitter.find_levels();
        emitter
    }

    /// Emits the whole function.
    pub(crate) fn run(mut self) -> Code {
        self.pointers.start(&mut self.eval.code, self.layout);
        self.materialize(0);
        self.parallel(0);
        self.eval.code
    }

    fn point_level(&self) -> usize {
        self.shape.parallel.len()
    }

    fn inner_level(&self) -> usize {
        self.point_level() + self.shape.reduce.len().max(1)
    }

    fn axis_level(&self, axis: u8) -> usize {
        let order = self.shape.parallel.iter().chain(&self.shape.reduce);
        order.into_iter().position(|&other| other == axis).map_or(0, |position| position + 1)
    }

    fn find_levels(&mut self) {
        let (nest, point, inner) = (self.nest, self.point_level(), self.inner_level());
        for (id, expr) in nest.exprs.iter() {
            let mut level = match expr {
                Expr::Axis(axis) => self.axis_level(*axis),
                Expr::Acc(_) => inner,
                Expr::Total(_) => AFTER,
                Expr::Load(_) => self.load_level(id),
                _ => 0,
            };
            expr.for_each_operand(|operand| level = level.max(self.levels[operand.index()]));
            let after = level == point && !nest.accs.is_empty() && !self.shape.inside[id.index()];
            self.levels[id.index()] = if after { AFTER } else { level };
        }
        let last = if nest.accs.is_empty() { point } else { AFTER };
        let wanted = self.shape.wanted.clone();
        for &id in &wanted {
            let level = self.levels[id.index()];
            nest.exprs[id].for_each_operand(|operand| self.count_use(operand, level));
        }
        nest.stores.iter().for_each(|store| self.count_use(store.value, last));
        nest.accs.iter().for_each(|acc| self.count_use(acc.next, inner));
        nest.reduce.iter().filter_map(|extent| extent.count()).for_each(|count| self.count_use(count, point));
    }

    fn count_use(&mut self, id: ExprId, level: usize) {
        self.uses[id.index()] += 1;
        self.deepest_use[id.index()] = self.deepest_use[id.index()].max(level);
    }

    fn load_level(&self, id: ExprId) -> usize {
        let address = self.eval.addresses[id.index()].as_ref().expect("every load has an address");
        let terms = address.terms.iter().map(|term| self.axis_level(term.0));
        let checks = address.checks.iter().map(|check| self.check_level(check));
        terms.chain(checks).max().unwrap_or(0)
    }

    fn check_level(&self, check: &Check) -> usize {
        let axes = check.index.terms.iter().map(|term| self.axis_level(term.0));
        axes.chain(check.index.dynamic.map(|dynamic| self.levels[dynamic.index()])).max().unwrap_or(0)
    }

    /// Computes what belongs to a level and is used further in or more than once.
    fn materialize(&mut self, level: usize) {
        for n in 0..self.shape.wanted.len() {
            let id = self.shape.wanted[n];
            let own = self.levels[id.index()];
            if own < level {
                continue;
            }
            if matches!(self.nest.exprs[id], Expr::Load(_)) {
                self.check_indices(id, level);
            }
            if own == level {
                self.place(id);
                let leaf = matches!(self.nest.exprs[id], Expr::Axis(_) | Expr::Symbol(_) | Expr::Acc(_) | Expr::Total(_));
                let kept = self.uses[id.index()] > 1 || self.deepest_use[id.index()] > level;
                if kept && (!leaf || self.eval.varies[id.index()]) {
                    self.eval.materialize(id);
                }
                if self.eval.lanes.is_some() && self.spreads(id, level) {
                    self.eval.materialize_spread(id);
                }
            }
        }
    }

    /// Whether a scalar of this level meets vectors further in.
    fn spreads(&self, id: ExprId, level: usize) -> bool {
        if self.eval.varies[id.index()] || self.deepest_use[id.index()] <= level {
            return false;
        }
        self.shape.wanted.iter().any(|&user| {
            let (mut uses, varies) = (false, self.eval.varies[user.index()]);
            if varies && !matches!(self.nest.exprs[user], Expr::Load(_)) {
                self.nest.exprs[user].for_each_operand(|operand| uses |= operand == id);
            }
            uses
        })
    }

    /// Points a load to its element.
    fn place(&mut self, id: ExprId) {
        if let Some(address) = &self.eval.addresses[id.index()] {
            let (pointer, offset) = self.pointers.place(address);
            let checked = std::mem::take(&mut self.eval.places[id.index()].checked);
            self.eval.places[id.index()] = Place { pointer, offset, checked, ..Place::default() };
        }
    }

    /// Computes the checked indices of a load that belong to a level.
    fn check_indices(&mut self, id: ExprId, level: usize) {
        let address = self.eval.addresses[id.index()].clone().expect("every load has an address");
        let size = self.eval.dtype(address.buffer).size();
        for check in &address.checks {
            if self.check_level(check) != level {
                continue;
            }
            let clamps = address.otherwise.is_none();
            let same =
                |known: &&(Check, usize, (Local, Option<Local>))| known.0 == *check && known.1 == size && known.2.1.is_none() == clamps;
            let known = self.checks.iter().find(same).map(|known| known.2);
            let variables = match known {
                Some(variables) => variables,
                None => self.eval.check(check, size, clamps),
            };
            self.checks.push((check.clone(), size, variables));
            self.eval.places[id.index()].checked.push(variables);
        }
    }

    /// Emits the parallel loops from a position on.
    fn parallel(&mut self, position: usize) {
        if position == self.shape.parallel.len() {
            return self.point();
        }
        let axis = self.shape.parallel[position];
        let extent = self.shape.extents[usize::from(axis)];
        let (variable, before) = self.enter(axis);
        if !(self.shape.lanes && position + 1 == self.shape.parallel.len()) {
            self.repeat(axis, variable, extent, 1, |emitter| {
                emitter.materialize(position + 1);
                emitter.parallel(position + 1);
            });
        } else if self.shape.in_place {
            self.lanes_then_scalars(axis, variable, extent);
        } else {
            self.lanes_overlapping(axis, variable, extent);
        }
        self.leave(axis, before);
    }

    fn enter(&mut self, axis: u8) -> (Local, Vec<Option<Local>>) {
        let before = self.pointers.enter(&mut self.eval.code, axis);
        self.eval.code.i32(0);
        let variable = self.eval.code.take(ValType::I32);
        self.eval.axes[usize::from(axis)] = Some(variable);
        (variable, before)
    }

    fn leave(&mut self, axis: u8, before: Vec<Option<Local>>) {
        self.pointers.leave(before);
        self.eval.axes[usize::from(axis)] = None;
    }

    /// A loop while the axis is below `end`, at least once.
    fn repeat(&mut self, axis: u8, variable: Local, end: u32, step: u32, body: impl FnOnce(&mut Self)) {
        self.eval.code.begin_loop();
        body(self);
        self.step(axis, variable, i64::from(step));
        self.eval.code.get(variable);
        self.eval.code.i32(end as i32);
        self.eval.code.ops([I::I32LtS, I::BrIf(0)]);
        self.eval.code.end();
    }

    fn step(&mut self, axis: u8, variable: Local, steps: i64) {
        self.pointers.step(&mut self.eval.code, axis, steps);
        self.eval.code.add_const(variable, steps as i32);
    }

    /// Vectors all the way; the last one overlaps the one before it where the extent is no multiple of the lanes.
    fn lanes_overlapping(&mut self, axis: u8, variable: Local, extent: u32) {
        let level = self.point_level();
        self.eval.code.begin_loop();
        self.materialize(level);
        self.point();
        self.step(axis, variable, LANES.into());
        self.eval.code.get(variable);
        self.eval.code.i32((extent - LANES) as i32);
        self.eval.code.ops([I::I32LeS, I::BrIf(0)]);
        if !extent.is_multiple_of(LANES) {
            self.eval.code.get(variable);
            self.eval.code.i32(extent as i32);
            self.eval.code.op(I::I32LtS);
            self.eval.code.begin_if();
            self.step(axis, variable, i64::from(extent % LANES) - i64::from(LANES));
            self.eval.code.ops([I::Br(1), I::End]);
        }
        self.eval.code.end();
    }

    /// Vectors, then single values: what is stored cannot be loaded again.
    fn lanes_then_scalars(&mut self, axis: u8, variable: Local, extent: u32) {
        let level = self.point_level();
        let body = |emitter: &mut Self| {
            emitter.materialize(level);
            emitter.point();
        };
        self.repeat(axis, variable, extent - extent % LANES, LANES, body);
        if !extent.is_multiple_of(LANES) {
            self.eval.set_lanes(None, false);
            let levels = self.levels.clone();
            self.eval.forget(|id| levels[id.index()] >= level);
            self.forget_checks(level);
            self.repeat(axis, variable, extent, 1, body);
        }
    }

    /// Forgets the checked indices of these levels: their code is written once more.
    fn forget_checks(&mut self, level: usize) {
        let inner: Vec<bool> = self.checks.iter().map(|known| self.check_level(&known.0) >= level).collect();
        let gone: Vec<Local> = self.checks.iter().zip(&inner).filter(|(_, inner)| **inner).map(|(known, _)| known.2.0).collect();
        let mut keep = inner.iter().map(|inner| !inner);
        self.checks.retain(|_| keep.next().unwrap_or(true));
        for place in &mut self.eval.places {
            place.checked.retain(|variables| !gone.contains(&variables.0));
        }
    }

    /// One point: the reduction, then the stores.
    fn point(&mut self) {
        if !self.nest.accs.is_empty() {
            self.start_sums();
            self.reduce(0);
            self.eval.totals = self.eval.accs.clone();
            self.materialize(AFTER);
        }
        let many = self.nest.stores.len() > 1;
        if many {
            self.nest.stores.iter().for_each(|store| self.eval.materialize(store.value));
        }
        for n in 0..self.nest.stores.len() {
            self.store(n);
        }
    }

    fn start_sums(&mut self) {
        self.eval.accs.clear();
        for acc in &self.nest.accs {
            let ty = acc.init.dtype();
            scalar::constant(&mut self.eval.code, acc.init);
            let wide = self.eval.lanes.is_some();
            if wide {
                vector::splat(&mut self.eval.code, ty);
            }
            let local = self.eval.code.take(if wide { ValType::V128 } else { scalar::val_type(ty) });
            self.eval.accs.push(local);
        }
    }

    fn reduce(&mut self, position: usize) {
        let point = self.point_level();
        if position == self.shape.reduce.len() {
            if position == 0 {
                self.materialize(point + 1);
            }
            return self.update();
        }
        let axis = self.shape.reduce[position];
        let count = match self.nest.reduce[usize::from(axis) - self.nest.parallel.len()] {
            Extent::Const(_) => None,
            Extent::Dynamic { count, max } => Some(self.count(count, max)),
        };
        let (variable, before) = self.enter(axis);
        if let Some(count) = count {
            self.eval.code.get(count);
            self.eval.code.begin_if();
        }
        self.eval.code.begin_loop();
        self.materialize(point + position + 1);
        self.reduce(position + 1);
        self.step(axis, variable, 1);
        self.eval.code.get(variable);
        match count {
            Some(count) => self.eval.code.get(count),
            None => self.eval.code.i32(self.shape.extents[usize::from(axis)] as i32),
        }
        self.eval.code.ops([I::I32LtS, I::BrIf(0)]);
        self.eval.code.end();
        if count.is_some() {
            self.eval.code.end();
        }
        self.leave(axis, before);
    }

    /// A dynamic count, clamped.
    fn count(&mut self, count: ExprId, max: u32) -> Local {
        self.eval.value(count);
        let code = &mut self.eval.code;
        let local = code.take(ValType::I32);
        for (limit, beyond) in [(0, I::I32LtS), (max as i32, I::I32GtS)] {
            code.i32(limit);
            code.get(local);
            code.get(local);
            code.i32(limit);
            code.ops([beyond, I::Select]);
            code.set(local);
        }
        local
    }

    /// All accumulators at once: the new values are pushed before the first is set.
    fn update(&mut self) {
        let wide = self.eval.lanes.is_some();
        for acc in &self.nest.accs {
            if wide { self.eval.vector(acc.next) } else { self.eval.value(acc.next) }
        }
        for n in (0..self.nest.accs.len()).rev() {
            let local = self.eval.accs[n];
            self.eval.code.set(local);
        }
    }

    fn store(&mut self, n: usize) {
        let address = &self.shape.stores[n];
        let value = self.nest.stores[n].value;
        let dtype: DType = self.eval.dtype(address.buffer);
        let (pointer, offset) = self.pointers.place(address);
        let pointer = pointer.expect("every store has a pointer");
        if self.eval.lanes.is_some() {
            self.eval.vector(value);
            let value = self.eval.code.take(ValType::V128);
            memory::store_lanes(&mut self.eval.code, dtype, pointer, value, offset, LANES as u8);
        } else {
            self.eval.code.get(pointer);
            self.eval.value(value);
            memory::store(&mut self.eval.code, dtype, offset);
        }
    }
}
