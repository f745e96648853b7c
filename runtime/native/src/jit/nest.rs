//! Loop nests as functions.

use super::emit::{Emitter, LANES, Val};
use super::packed::Packed;
use super::{Calls, fits_lanes, infer, scalar_type};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, Type, Value, types};
use cranelift_frontend::FunctionBuilder;
use mlp_bundle::DType;
use mlp_bundle::Scalar;
use mlp_bundle::loops::{Accumulator, Expr, ExprId, Extent, Nest};

/// Fills a function `(bases, symbols, begin, end)`, and answers the iterations of its outermost loop.
pub(crate) fn emit(b: &mut FunctionBuilder<'_>, calls: &mut Calls<'_>, nest: &Nest, kinds: &[DType], symbols: usize) -> u64 {
    let axes = nest.parallel.len() + nest.reduce.len();
    let inits: Vec<_> = nest.accs.iter().map(|acc| acc.init).collect();
    let totals: Vec<DType> = inits.iter().map(|init| init.dtype()).collect();
    let dtypes = infer(&nest.exprs, kinds, axes, &inits, &totals, symbols);
    let extents = nest.parallel.iter().copied().chain(nest.reduce.iter().map(Extent::max)).collect();
    let (mut emitter, params) = Emitter::enter(b, calls, &nest.exprs, dtypes, kinds, &nest.stores, extents);
    let order = LoopOrder::of(nest, kinds, &emitter.dtypes);
    let outer = order.axes.first().map_or(1, |&axis| u64::from(nest.parallel[usize::from(axis)]));
    emitter.parallel(nest, &order, 0, (params[2], params[3]));
    emitter.b.ins().return_(&[]);
    outer
}

/// The order of the parallel loops: they are independent, so any order computes the same.
struct LoopOrder {
    axes: Vec<u8>,
    /// Whether the last one's iterations run four at a time.
    vector: bool,
}

impl LoopOrder {
    fn of(nest: &Nest, kinds: &[DType], dtypes: &[DType]) -> LoopOrder {
        let mut axes: Vec<u8> = (0..nest.parallel.len() as u8).collect();
        // The longest loops that is worth spreading comes first: not one of a single iteration.
        axes.sort_by_key(|&axis| nest.parallel[usize::from(axis)] == 1);
        let narrow = kinds.iter().chain(dtypes).all(|&dtype| fits_lanes(dtype));
        let long = |axis: &u8| nest.parallel[usize::from(*axis)] >= LANES as u32 && !steers_reduction(nest, *axis);
        let best = axes.iter().copied().filter(long).max_by_key(|&axis| {
            let step = |access: &mlp_bundle::loops::Access| {
                access.dims.iter().map(|dim| dim.index.coefficient(axis).wrapping_mul(dim.stride as i64)).sum::<i64>()
            };
            let stores = nest.stores.iter().filter(|store| step(&store.access) == 1).count();
            let loads = nest.exprs.values().filter(|expr| matches!(expr, Expr::Load(access) if step(access) == 1)).count();
            (stores, loads, axis)
        });
        match best {
            Some(axis) if narrow => {
                axes.retain(|&other| other != axis);
                // Loops of one iteration stand inside nothing that matters.
                let ones = axes.iter().filter(|&&axis| nest.parallel[usize::from(axis)] == 1).count();
                if ones == axes.len() {
                    axes.insert(0, axis);
                    axes.truncate(1);
                    return LoopOrder { axes, vector: true };
                }
                axes.push(axis);
                LoopOrder { axes, vector: true }
            }
            _ => LoopOrder { axes, vector: false },
        }
    }
}

/// Whether some reduction's count depends on the axis: its lanes would need loops of their own.
fn steers_reduction(nest: &Nest, axis: u8) -> bool {
    let mut varies = vec![false; nest.exprs.len()];
    for (id, expr) in nest.exprs.iter() {
        let mut any = match expr {
            Expr::Axis(other) => *other == axis,
            Expr::Load(access) => access.dims.iter().any(|dim| dim.index.coefficient(axis) != 0),
            _ => false,
        };
        expr.for_each_operand(|operand| any |= varies[operand.as_u32() as usize]);
        varies[id.as_u32() as usize] = any;
    }
    nest.reduce.iter().filter_map(Extent::count).any(|count| varies[count.as_u32() as usize])
}

impl Emitter<'_, '_, '_> {
    /// `for i in from..to step by step { body(i) }`.
    pub(crate) fn for_range(&mut self, from: Value, to: Value, step: i64, body: impl FnOnce(&mut Self, Value)) {
        let (header, inside, exit) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let i = self.b.append_block_param(header, types::I64);
        self.b.ins().jump(header, &[BlockArg::Value(from)]);
        self.b.switch_to_block(header);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, i, to);
        self.b.ins().brif(more, inside, &[], exit, &[]);
        self.b.switch_to_block(inside);
        self.b.seal_block(inside);
        body(self, i);
        let next = self.b.ins().iadd_imm_s(i, step);
        self.b.ins().jump(header, &[BlockArg::Value(next)]);
        self.b.seal_block(header);
        self.b.switch_to_block(exit);
        self.b.seal_block(exit);
    }

    /// Four at a time while they last, then one by one; `point` is asked for code in both modes.
    pub(crate) fn for_lanes(&mut self, axis: u8, from: Value, to: Value, mut point: impl FnMut(&mut Self)) {
        let count = self.b.ins().isub(to, from);
        let whole = self.b.ins().band_imm_s(count, -LANES);
        let middle = self.b.ins().iadd(from, whole);
        for (vector, from, to, step) in [(Some(axis), from, middle, LANES), (None, middle, to, 1)] {
            self.for_range(from, to, step, |e, i| {
                e.axes[usize::from(axis)] = i;
                e.vector = vector;
                point(e);
            });
        }
        self.vector = None;
    }

    /// Opens the parallel loops from `depth` on; the outermost runs over `range`.
    fn parallel(&mut self, nest: &Nest, order: &LoopOrder, depth: usize, range: (Value, Value)) {
        if order.axes.is_empty() {
            // One point, which is in the range or not.
            self.for_range(range.0, range.1, 1, |e, _| e.point(nest));
            return;
        }
        let axis = order.axes[depth];
        let (from, to) = if depth == 0 { range } else { (self.int(0), self.int(i64::from(nest.parallel[usize::from(axis)]))) };
        if depth + 1 < order.axes.len() {
            self.for_range(from, to, 1, |e, i| {
                e.axes[usize::from(axis)] = i;
                e.parallel(nest, order, depth + 1, range);
            });
        } else if order.vector {
            self.for_lanes(axis, from, to, |e| e.point(nest));
        } else {
            self.for_range(from, to, 1, |e, i| {
                e.axes[usize::from(axis)] = i;
                e.point(nest);
            });
        }
    }

    /// One point (or four): the reduction, then the stores.
    fn point(&mut self, nest: &Nest) {
        self.memo.fill(None);
        self.totals.clear();
        if !nest.accs.is_empty() {
            self.reduction(nest);
        }
        for store in &nest.stores {
            self.store(store);
        }
    }

    fn reduction(&mut self, nest: &Nest) {
        let inside = self.inside_reduction(nest);
        // What the reduction only reads is made before its loops: their blocks do not dominate what follows.
        let mut counts = Vec::new();
        for extent in &nest.reduce {
            counts.push(match extent {
                Extent::Const(n) => self.int(i64::from(*n)),
                Extent::Dynamic { count, max } => self.dynamic_count(*count, *max),
            });
        }
        for (id, expr) in nest.exprs.iter() {
            let used = inside.used[id.as_u32() as usize] && !inside.varies[id.as_u32() as usize];
            if used && !matches!(expr, Expr::Total(_)) {
                self.value(id);
            }
        }
        let packed = if self.vector.is_none() { Packed::of(nest, self.kinds) } else { None };
        let inits: Vec<(Type, Value)> = match &packed {
            Some(packed) => vec![(types::F32X4, self.gather(DType::F32, |e, lane| e.packed_init(nest, packed, lane)))],
            None => nest.accs.iter().map(|acc| self.carried(acc.init)).collect(),
        };
        self.accs.clear();
        for (ty, init) in inits {
            let variable = self.b.declare_var(ty);
            self.b.def_var(variable, init);
            self.accs.push(variable);
        }
        let before = self.memo.clone();
        self.reduce(nest, packed.as_ref(), 0, &counts);
        self.memo = before;
        let sums: Vec<Value> = self.accs.clone().into_iter().map(|variable| self.b.use_var(variable)).collect();
        self.totals = match &packed {
            Some(packed) => (0..packed.len() as u8).map(|lane| Val::One(self.b.ins().extractlane(sums[0], lane))).collect(),
            None if self.vector.is_some() => sums.into_iter().map(Val::Lanes).collect(),
            None => sums.into_iter().map(Val::One).collect(),
        };
    }

    /// What lane `lane` of packed accumulators begins with.
    fn packed_init(&mut self, nest: &Nest, packed: &Packed<'_>, lane: i64) -> Value {
        let init = if (lane as usize) < packed.len() { nest.accs[lane as usize].init } else { Scalar::f32(0.0) };
        self.constant(init)
    }

    /// The count of a reduction loop: one value, since lanes never differ in it ([`steers_reduction`]).
    fn dynamic_count(&mut self, count: ExprId, max: u32) -> Value {
        let value = self.value(count);
        let value = self.scalar(value, DType::I32, 0);
        let value = self.b.ins().sextend(types::I64, value);
        let (zero, max) = (self.int(0), self.int(i64::from(max)));
        let value = self.b.ins().smax(value, zero);
        self.b.ins().smin(value, max)
    }

    fn carried(&mut self, init: Scalar) -> (Type, Value) {
        let dtype = init.dtype();
        let value = self.constant(init);
        if self.vector.is_some() { (Self::lanes_type(dtype), self.lanes(Val::One(value), dtype)) } else { (scalar_type(dtype), value) }
    }

    /// Opens the reduction loops from `depth` on.
    fn reduce(&mut self, nest: &Nest, packed: Option<&Packed<'_>>, depth: usize, counts: &[Value]) {
        if depth < counts.len() {
            if let Some(n) = unrolled(nest, depth) {
                for i in 0..n {
                    self.axes[nest.parallel.len() + depth] = self.int(i64::from(i));
                    self.reduce(nest, packed, depth + 1, counts);
                }
                return;
            }
            let zero = self.int(0);
            self.for_range(zero, counts[depth], 1, |e, i| {
                e.axes[nest.parallel.len() + depth] = i;
                e.reduce(nest, packed, depth + 1, counts);
            });
            return;
        }
        let before = self.memo.clone();
        if let Some(packed) = packed {
            let sum = self.b.use_var(self.accs[0]);
            let next = self.packed_next(packed, sum);
            self.b.def_var(self.accs[0], next);
        } else {
            let next: Vec<Value> = nest.accs.iter().map(|acc| self.next_value(acc)).collect();
            for (variable, value) in self.accs.clone().into_iter().zip(next) {
                self.b.def_var(variable, value);
            }
        }
        self.memo = before;
    }

    fn next_value(&mut self, acc: &Accumulator) -> Value {
        let value = self.value(acc.next);
        let dtype = acc.init.dtype();
        if self.vector.is_some() { self.lanes(value, dtype) } else { self.scalar(value, dtype, 0) }
    }

    fn inside_reduction(&self, nest: &Nest) -> Inside {
        let mut varies = vec![false; nest.exprs.len()];
        let first = nest.parallel.len();
        for (id, expr) in nest.exprs.iter() {
            let own = match expr {
                Expr::Acc(_) | Expr::Total(_) => true,
                Expr::Axis(axis) => usize::from(*axis) >= first,
                Expr::Load(access) => access.dims.iter().any(|dim| dim.index.terms.iter().any(|term| usize::from(term.0) >= first)),
                _ => false,
            };
            let mut any = own;
            expr.for_each_operand(|operand| any |= varies[operand.as_u32() as usize]);
            varies[id.as_u32() as usize] = any;
        }
        let mut used = vec![false; nest.exprs.len()];
        nest.accs.iter().for_each(|acc| used[acc.next.as_u32() as usize] = true);
        for (id, expr) in nest.exprs.iter().rev() {
            if used[id.as_u32() as usize] {
                expr.for_each_operand(|operand| used[operand.as_u32() as usize] = true);
            }
        }
        Inside { used, varies }
    }
}

/// Reduction points times expressions up to which loops are written out.
const UNROLL: u64 = 64;

/// The count of the reduction loop at `depth`, where it and those inside it are so short that they are written out.
fn unrolled(nest: &Nest, depth: usize) -> Option<u32> {
    let mut points = nest.exprs.values().filter(|expr| !matches!(expr, Expr::Const(_) | Expr::Axis(_))).count() as u64;
    for extent in &nest.reduce[depth..] {
        let Extent::Const(n) = extent else { return None };
        points = points.saturating_mul(u64::from(*n));
    }
    let Extent::Const(n) = nest.reduce[depth] else { return None };
    (points <= UNROLL).then_some(n)
}

/// What the reduction of a nest computes.
struct Inside {
    /// Read below an accumulator's next value.
    used: Vec<bool>,
    /// Different from one reduction point to the next.
    varies: Vec<bool>,
}
