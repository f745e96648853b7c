//! Kernels over whole rows as functions: the reductions of a row, then its elements.

use super::emit::{Emitter, LANES, Val};
use super::{Calls, fits_lanes, infer};
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use cranelift_frontend::{FunctionBuilder, Variable};
use mlp_bundle::DType;
use mlp_bundle::loops::{Fold, Rows};

/// Vectors that a reduction keeps apart, so that one addition need not wait for the last.
const CHAINS: i64 = 4;

/// Fills a function `(bases, symbols, begin, end)` over the rows `begin..end`, counted over all parallel loops.
pub(crate) fn emit(b: &mut FunctionBuilder<'_>, calls: &mut Calls<'_>, rows: &Rows, kinds: &[DType], symbols: usize) {
    let axes = rows.parallel.len() + 1;
    let dtypes = infer(&rows.exprs, kinds, axes, &[], &vec![DType::F32; rows.reductions.len()], symbols);
    let vector = kinds.iter().chain(&dtypes).all(|&dtype| fits_lanes(dtype));
    let extents = rows.parallel.iter().copied().chain([rows.length]).collect();
    let (mut emitter, params) = Emitter::enter(b, calls, &rows.exprs, dtypes, kinds, &rows.stores, extents);
    emitter.for_range(params[2], params[3], 1, |e, row| {
        e.point_at(rows, row);
        e.row(rows, vector);
    });
    emitter.b.ins().return_(&[]);
}

impl Emitter<'_, '_, '_> {
    /// Sets the parallel axes to those of a row's number.
    fn point_at(&mut self, rows: &Rows, row: Value) {
        let mut rest = row;
        for (axis, &extent) in rows.parallel.iter().enumerate().rev() {
            if axis == 0 {
                self.axes[0] = rest;
                break;
            }
            let extent = self.int(i64::from(extent));
            self.axes[axis] = self.b.ins().urem(rest, extent);
            rest = self.b.ins().udiv(rest, extent);
        }
    }

    fn row(&mut self, rows: &Rows, vector: bool) {
        self.totals.clear();
        for reduction in &rows.reductions {
            let value = |e: &mut Self| e.value(reduction.value);
            let total = if vector { self.fold_lanes(rows, reduction.fold, value) } else { self.fold_points(rows, reduction.fold, value) };
            self.totals.push(Val::One(total));
        }
        let axis = rows.parallel.len() as u8;
        let (from, to) = (self.int(0), self.int(i64::from(rows.length)));
        let point = |e: &mut Self| {
            e.memo.fill(None);
            rows.stores.iter().for_each(|store| e.store(store));
        };
        if vector {
            self.for_lanes(axis, from, to, point);
        } else {
            self.for_range(from, to, 1, |e, i| {
                e.axes[usize::from(axis)] = i;
                point(e);
            });
        }
        self.memo.fill(None);
    }

    /// A reduction one element at a time.
    fn fold_points(&mut self, rows: &Rows, fold: Fold, value: impl Fn(&mut Self) -> Val) -> Value {
        let sum = self.declare(types::F32, fold);
        let (from, to) = (self.int(0), self.int(i64::from(rows.length)));
        self.fold_range(rows, fold, &[sum], (from, to), 1, &value);
        self.b.use_var(sum)
    }

    /// A reduction four elements at a time in several chains, then what is left of the row.
    fn fold_lanes(&mut self, rows: &Rows, fold: Fold, value: impl Fn(&mut Self) -> Val) -> Value {
        let length = i64::from(rows.length);
        let axis = rows.parallel.len() as u8;
        let chains = (length / LANES).clamp(1, CHAINS);
        let sums: Vec<Variable> = (0..chains).map(|_| self.declare(types::F32X4, fold)).collect();
        let (many, whole) = (length / (LANES * chains) * LANES * chains, length / LANES * LANES);
        let [first, second, third, last] = [0, many, whole, length].map(|at| self.int(at));
        self.vector = Some(axis);
        self.fold_range(rows, fold, &sums, (first, second), LANES, &value);
        self.fold_range(rows, fold, &sums[..1], (second, third), LANES, &value);
        self.vector = None;
        let mut lanes = self.b.use_var(sums[0]);
        for &other in &sums[1..] {
            let other = self.b.use_var(other);
            lanes = self.fold(fold, lanes, other);
        }
        let [a, b, c, d] = [0, 1, 2, 3].map(|lane| self.b.ins().extractlane(lanes, lane));
        let (low, high) = (self.fold(fold, a, b), self.fold(fold, c, d));
        let total = self.fold(fold, low, high);
        let sum = self.b.declare_var(types::F32);
        self.b.def_var(sum, total);
        self.fold_range(rows, fold, &[sum], (third, last), 1, &value);
        self.b.use_var(sum)
    }

    /// Folds `value` over a range of the row into `sums`, which take turns of `step` elements; the range is whole turns of all of them.
    fn fold_range(
        &mut self,
        rows: &Rows,
        fold: Fold,
        sums: &[Variable],
        (from, to): (Value, Value),
        step: i64,
        value: &impl Fn(&mut Self) -> Val,
    ) {
        self.for_range(from, to, step * sums.len() as i64, |e, i| {
            for (turn, &sum) in sums.iter().enumerate() {
                e.axes[rows.parallel.len()] = e.b.ins().iadd_imm_s(i, turn as i64 * step);
                e.memo.fill(None);
                let next = value(e);
                let next = if e.vector.is_some() { e.lanes(next, DType::F32) } else { e.scalar(next, DType::F32, 0) };
                let before = e.b.use_var(sum);
                let after = e.fold(fold, before, next);
                e.b.def_var(sum, after);
            }
        });
        self.memo.fill(None);
    }

    /// A variable that holds what the fold starts from.
    fn declare(&mut self, ty: cranelift_codegen::ir::Type, fold: Fold) -> Variable {
        let variable = self.b.declare_var(ty);
        let start = self.b.ins().f32const(fold.start());
        let start = if ty == types::F32X4 { self.b.ins().splat(ty, start) } else { start };
        self.b.def_var(variable, start);
        variable
    }

    /// Two values, or four lanes of them, as one.
    fn fold(&mut self, fold: Fold, x: Value, y: Value) -> Value {
        let (ty, order) = match fold {
            Fold::Sum => return self.b.ins().fadd(x, y),
            Fold::Max => (self.b.func.dfg.value_type(x), FloatCC::GreaterThan),
            Fold::Min => (self.b.func.dfg.value_type(x), FloatCC::LessThan),
        };
        let better = self.b.ins().fcmp(order, x, y);
        if ty == types::F32 {
            return self.b.ins().select(better, x, y);
        }
        let mask = self.b.ins().bitcast(ty, super::math::little(), better);
        self.b.ins().bitselect(mask, x, y)
    }
}
