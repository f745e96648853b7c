//! The loops over parallel axes, and when each expression is computed in them: what nests and kernels over rows have in common.

use super::pointers::Pointers;
use super::shape::Shape;
use crate::wasm::address::Check;
use crate::wasm::code::{Code, Local, Range};
use crate::wasm::eval::{Eval, Place};
use crate::wasm::layout::Layout;
use crate::wasm::memory;
use cranelift_entity::EntityRef;
use mlp_bundle::loops::{Expr, ExprId, Store};
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

/// Lanes of a vector.
pub(super) const LANES: u32 = 4;

/// Elements that threads share a row of vectors by, a multiple of the lanes: no two write to one cache line where elements have four bytes.
const LINE: u32 = 16;

/// The level of what is computed last: after the reduction of a nest, and for each element of a row.
pub(super) const LAST: usize = usize::MAX;

/// A checked index, the size of the elements it counts, and the variables that [`Eval::check`] has put it in.
type Checked = (Check, usize, (Local, Option<Local>));

/// Where a loop ends.
#[derive(Clone, Copy)]
pub(super) enum End {
    Const(u32),
    Variable(Local),
}

impl End {
    /// Pushes it, less so many.
    fn push(self, code: &mut Code, less: u32) {
        match self {
            End::Const(end) => code.i32((end - less) as i32),
            End::Variable(end) => {
                code.get(end);
                if less > 0 {
                    code.ops([I::I32Const(less as i32), I::I32Sub]);
                }
            }
        }
    }
}

/// Loops under construction. A *level* is how many loops an expression is inside of: 0 before all loops, then one for each parallel loop; what comes
/// further in is up to the kind of kernel.
pub(super) struct Loops<'a> {
    layout: &'a Layout,
    pub(super) eval: Eval<'a>,
    pub(super) shape: Shape,
    pub(super) pointers: Pointers,
    /// The level of each expression.
    pub(super) levels: Vec<usize>,
    /// The level inside the loop of each axis.
    pub(super) axis_levels: Vec<usize>,
    uses: Vec<u32>,
    deepest_use: Vec<usize>,
    checks: Vec<Checked>,
}

impl<'a> Loops<'a> {
    /// Loops of this shape, the reduction axes one level further in each than the one before.
    pub(super) fn new(layout: &'a Layout, eval: Eval<'a>, shape: Shape) -> Loops<'a> {
        let loads = shape.wanted.iter().filter_map(|id| eval.addresses[id.index()].as_ref());
        let pointers = Pointers::group(eval.plan, loads.chain(&shape.stores));
        let count = eval.exprs.len();
        let mut axis_levels = vec![0; shape.extents.len()];
        for (position, &axis) in shape.parallel.iter().chain(&shape.reduce).enumerate() {
            axis_levels[usize::from(axis)] = position + 1;
        }
        Loops {
            layout,
            eval,
            shape,
            pointers,
            levels: vec![0; count],
            axis_levels,
            uses: vec![0; count],
            deepest_use: vec![0; count],
            checks: Vec::new(),
        }
    }

    /// Emits the whole function, `point` once for each way to compute points: four at a time, or one.
    pub(super) fn run(mut self, point: &mut dyn FnMut(&mut Self)) -> Code {
        self.pointers.start(&mut self.eval.code, self.layout);
        self.materialize(0);
        self.parallel(0, point);
        self.eval.code
    }

    /// The level inside all parallel loops.
    pub(super) fn point_level(&self) -> usize {
        self.shape.parallel.len()
    }

    /// The level of an expression by itself and its operands; `leaf` says that of accumulators and totals.
    pub(super) fn level_of(&self, id: ExprId, leaf: impl Fn(&Expr) -> usize) -> usize {
        let expr = &self.eval.exprs[id];
        let mut level = match expr {
            Expr::Axis(axis) => self.axis_levels[usize::from(*axis)],
            Expr::Acc(_) | Expr::Total(_) => leaf(expr),
            Expr::Load(_) => self.load_level(id),
            _ => 0,
        };
        expr.for_each_operand(|operand| level = level.max(self.levels[operand.index()]));
        level
    }

    /// Counts the uses by other expressions, once all levels are known.
    pub(super) fn count_uses(&mut self) {
        for id in self.shape.wanted.clone() {
            let level = self.levels[id.index()];
            self.eval.exprs[id].for_each_operand(|operand| self.count_use(operand, level));
        }
    }

    /// Counts a use on a level.
    pub(super) fn count_use(&mut self, id: ExprId, level: usize) {
        self.uses[id.index()] += 1;
        self.deepest_use[id.index()] = self.deepest_use[id.index()].max(level);
    }

    fn load_level(&self, id: ExprId) -> usize {
        let address = self.eval.addresses[id.index()].as_ref().expect("every load has an address");
        let terms = address.terms.iter().map(|term| self.axis_levels[usize::from(term.0)]);
        let checks = address.checks.iter().map(|check| self.check_level(check));
        terms.chain(checks).max().unwrap_or(0)
    }

    fn check_level(&self, check: &Check) -> usize {
        let axes = check.index.terms.iter().map(|term| self.axis_levels[usize::from(term.0)]);
        axes.chain(check.index.dynamic.map(|dynamic| self.levels[dynamic.index()])).max().unwrap_or(0)
    }

    /// Computes what belongs to a level and is used further in or more than once.
    pub(super) fn materialize(&mut self, level: usize) {
        self.materialize_of(level, &self.shape.wanted.clone());
    }

    /// [`Loops::materialize`] of some expressions.
    pub(super) fn materialize_of(&mut self, level: usize, ids: &[ExprId]) {
        for &id in ids {
            let own = self.levels[id.index()];
            if own < level {
                continue;
            }
            if matches!(self.eval.exprs[id], Expr::Load(_)) {
                self.check_indices(id, level);
            }
            if own == level {
                self.place(id);
                let leaf = matches!(self.eval.exprs[id], Expr::Axis(_) | Expr::Symbol(_) | Expr::Acc(_) | Expr::Total(_));
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
            if varies && !matches!(self.eval.exprs[user], Expr::Load(_)) {
                self.eval.exprs[user].for_each_operand(|operand| uses |= operand == id);
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
            let same = |known: &&Checked| known.0 == *check && known.1 == size && known.2.1.is_none() == clamps;
            let known = self.checks.iter().find(same).map(|known| known.2);
            let variables = match known {
                Some(variables) => variables,
                None => self.eval.check(check, size, clamps),
            };
            self.checks.push((check.clone(), size, variables));
            self.eval.places[id.index()].checked.push(variables);
        }
    }

    /// Emits the parallel loops from a position on. Threads may share the outermost one.
    fn parallel(&mut self, position: usize, point: &mut dyn FnMut(&mut Self)) {
        if position == self.shape.parallel.len() {
            return point(self);
        }
        let axis = self.shape.parallel[position];
        let extent = self.shape.extents[usize::from(axis)];
        let lanes = self.shape.lanes && position + 1 == self.shape.parallel.len();
        let (variable, before) = self.enter(axis);
        let mut end = End::Const(extent);
        if position == 0 && self.eval.library.shared {
            let range = Range { bounds: (0, extent), unit: if lanes { LINE } else { 1 }, ragged: false };
            let (first, last) = self.eval.code.range(range);
            self.eval.code.get(first);
            self.eval.code.set(variable);
            self.pointers.advance(&mut self.eval.code, axis, first);
            end = End::Variable(last);
        }
        if !lanes {
            self.repeat(axis, variable, end, 1, |loops| {
                loops.materialize(position + 1);
                loops.parallel(position + 1, point);
            });
        } else if self.shape.in_place {
            self.lanes_then_scalars(axis, variable, extent, end, point);
        } else {
            self.lanes_overlapping(axis, variable, extent, end, point);
        }
        self.leave(axis, before);
    }

    /// Starts an axis at 0.
    pub(super) fn enter(&mut self, axis: u8) -> (Local, Vec<Option<Local>>) {
        let before = self.pointers.enter(&mut self.eval.code, axis);
        self.eval.code.i32(0);
        let variable = self.eval.code.take(ValType::I32);
        self.eval.axes[usize::from(axis)] = Some(variable);
        (variable, before)
    }

    /// Leaves the loop of an axis.
    pub(super) fn leave(&mut self, axis: u8, before: Vec<Option<Local>>) {
        self.pointers.leave(before);
        self.eval.axes[usize::from(axis)] = None;
    }

    /// A loop while the axis is below `end`, at least once.
    pub(super) fn repeat(&mut self, axis: u8, variable: Local, end: End, step: u32, body: impl FnOnce(&mut Self)) {
        self.eval.code.begin_loop();
        body(self);
        self.step(axis, variable, i64::from(step));
        self.eval.code.get(variable);
        end.push(&mut self.eval.code, 0);
        self.eval.code.ops([I::I32LtS, I::BrIf(0)]);
        self.eval.code.end();
    }

    /// Moves an axis by some steps.
    pub(super) fn step(&mut self, axis: u8, variable: Local, steps: i64) {
        self.pointers.step(&mut self.eval.code, axis, steps);
        self.eval.code.add_const(variable, steps as i32);
    }

    /// Vectors all the way; the last one overlaps the one before it where the extent is no multiple of the lanes. Of loops that are shared only the last
    /// part ends there, and it is no shorter than a vector.
    fn lanes_overlapping(&mut self, axis: u8, variable: Local, extent: u32, end: End, point: &mut dyn FnMut(&mut Self)) {
        let level = self.point_level();
        self.eval.code.begin_loop();
        self.materialize(level);
        point(self);
        self.step(axis, variable, LANES.into());
        self.eval.code.get(variable);
        end.push(&mut self.eval.code, LANES);
        self.eval.code.ops([I::I32LeS, I::BrIf(0)]);
        if !extent.is_multiple_of(LANES) {
            self.eval.code.get(variable);
            end.push(&mut self.eval.code, 0);
            self.eval.code.op(I::I32LtS);
            self.eval.code.begin_if();
            self.step(axis, variable, i64::from(extent % LANES) - i64::from(LANES));
            self.eval.code.ops([I::Br(1), I::End]);
        }
        self.eval.code.end();
    }

    /// Vectors, then single values: what is stored cannot be loaded again.
    fn lanes_then_scalars(&mut self, axis: u8, variable: Local, extent: u32, end: End, point: &mut dyn FnMut(&mut Self)) {
        let level = self.point_level();
        let mut body = |loops: &mut Self| {
            loops.materialize(level);
            point(loops);
        };
        let rest = extent % LANES;
        match end {
            End::Const(extent) => self.repeat(axis, variable, End::Const(extent - rest), LANES, &mut body),
            End::Variable(last) => {
                // Parts begin at multiples of the lanes, and all but the last one end there.
                self.eval.code.get(last);
                self.eval.code.ops([I::I32Const(-(LANES as i32)), I::I32And]);
                let whole = self.eval.code.take(ValType::I32);
                self.repeat(axis, variable, End::Variable(whole), LANES, &mut body);
            }
        }
        if rest == 0 {
            return;
        }
        self.eval.set_lanes(None, false);
        self.forget(level);
        if let End::Variable(last) = end {
            self.eval.code.get(variable);
            self.eval.code.get(last);
            self.eval.code.op(I::I32LtS);
            self.eval.code.begin_if();
        }
        self.repeat(axis, variable, end, 1, body);
        if let End::Variable(_) = end {
            self.eval.code.end();
        }
    }

    /// Forgets what belongs to a level or further in: its code is written once more.
    pub(super) fn forget(&mut self, level: usize) {
        let levels = &self.levels;
        self.eval.forget(|id| levels[id.index()] >= level);
        let inner: Vec<bool> = self.checks.iter().map(|known| self.check_level(&known.0) >= level).collect();
        let gone: Vec<Local> = self.checks.iter().zip(&inner).filter(|(_, inner)| **inner).map(|(known, _)| known.2.0).collect();
        let mut keep = inner.iter().map(|inner| !inner);
        self.checks.retain(|_| keep.next().unwrap_or(true));
        for place in &mut self.eval.places {
            place.checked.retain(|variables| !gone.contains(&variables.0));
        }
    }

    /// Stores each value at its place, the first `lanes` lanes where values are vectors. What is loaded is loaded before the first store.
    pub(super) fn store(&mut self, stores: &[Store], lanes: u32) {
        if stores.len() > 1 {
            stores.iter().for_each(|store| self.eval.materialize(store.value));
        }
        for (n, store) in stores.iter().enumerate() {
            let address = &self.shape.stores[n];
            let dtype = self.eval.dtype(address.buffer);
            let (pointer, offset) = self.pointers.place(address);
            let pointer = pointer.expect("every store has a pointer");
            if self.eval.lanes.is_some() {
                self.eval.vector(store.value);
                let value = self.eval.code.take(ValType::V128);
                memory::store_lanes(&mut self.eval.code, dtype, pointer, value, offset, lanes as u8);
            } else {
                self.eval.code.get(pointer);
                self.eval.value(store.value);
                memory::store(&mut self.eval.code, dtype, offset);
            }
        }
    }
}
