//! One row as instructions: a walk for each reduction that waits for another, then one for the stores.
//!
//! Vectors go along the row where its elements are neighbours, with several accumulators and one horizontal fold at the end of a walk; else along a
//! parallel axis, where each lane is a row of its own; else there are none.
//!
//! A value that is dear to compute (the power of a softmax) and wanted by the last reduction and the store is kept where the store goes, if it is all that
//! the store wants of its element.

use super::loops::{End, LANES, LAST, Loops};
use super::shape::Shape;
use crate::wasm::code::{Code, Local};
use crate::wasm::eval::Eval;
use crate::wasm::layout::Layout;
use crate::wasm::{memory, scalar, vector};
use cranelift_entity::EntityRef;
use mlp_bundle::loops::{BinaryOp, Expr, ExprId, Fold, Rows, Store, UnaryOp};
use mlp_bundle::{DType, Scalar};
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

/// Elements (or vectors of them) in one turn of a reduction, each with accumulators of its own, so that none waits for the one before it.
const TURN: u32 = 4;

/// One pass over the elements of a row.
struct Walk {
    /// The reductions done in it.
    reductions: Vec<usize>,
    /// What their values, or the stores, need, in order.
    ids: Vec<ExprId>,
    /// Whether it stores.
    stores: bool,
    /// The value that the last walk of a reduction keeps at the place of the result, and the stores find there.
    kept: Option<ExprId>,
}

/// Emits a kernel over rows. What differs along the row is on the level [`LAST`]; what waits for the totals of `n` walks, but does not, is `n`
/// levels inside the parallel loops.
pub(super) struct Emitter<'a> {
    rows: &'a Rows,
    walks: Vec<Walk>,
    /// The walk that finds each total.
    found: Vec<usize>,
    loops: Loops<'a>,
}

impl<'a> Emitter<'a> {
    pub(super) fn new(rows: &'a Rows, layout: &'a Layout, eval: Eval<'a>, shape: Shape) -> Emitter<'a> {
        let found = walks_of(rows);
        let loops = Loops::new(layout, eval, shape);
        let mut emitter = Emitter { rows, walks: Vec::new(), found, loops };
        emitter.find_levels();
        emitter.find_walks();
        emitter
    }

    /// Emits the whole function.
    pub(super) fn run(self) -> Code {
        let (rows, walks) = (self.rows, self.walks);
        self.loops.run(&mut |loops| row(rows, &walks, loops))
    }

    fn find_walks(&mut self) {
        let (rows, found) = (self.rows, &self.found);
        for walk in 0..found.iter().map(|walk| walk + 1).max().unwrap_or(0) {
            let reductions: Vec<usize> = (0..found.len()).filter(|&total| found[total] == walk).collect();
            let ids = needed(rows, reductions.iter().map(|&total| rows.reductions[total].value), None);
            self.walks.push(Walk { reductions, ids, stores: false, kept: None });
        }
        let kept =
            self.walks.last().and_then(|last| last.reductions.iter().map(|&total| rows.reductions[total].value).find(|&id| self.keeps(id)));
        if let Some(last) = self.walks.last_mut() {
            last.kept = kept;
        }
        let ids = needed(rows, rows.stores.iter().map(|store| store.value), kept);
        self.walks.push(Walk { reductions: Vec::new(), ids, stores: true, kept });
    }

    /// Whether a value of the last reduction is better kept than computed again.
    fn keeps(&self, id: ExprId) -> bool {
        let [store] = self.rows.stores.as_slice() else { return false };
        let eval = &self.loops.eval;
        let dear = |id: &ExprId| match self.rows.exprs[*id] {
            Expr::Unary(op, _) => matches!(op, UnaryOp::Exp | UnaryOp::Log | UnaryOp::Tanh | UnaryOp::Erf | UnaryOp::Sin | UnaryOp::Cos),
            Expr::Binary(op, ..) => op == BinaryOp::Pow,
            _ => false,
        };
        let target = store.access.buffer;
        let reads_target =
            |id: &ExprId| eval.addresses[id.index()].as_ref().is_some_and(|address| eval.plan.overlap(address.buffer, target));
        let others = needed(self.rows, [store.value].into_iter(), Some(id));
        eval.dtype(target) == DType::F32
            && self.loops.levels[id.index()] == LAST
            && others.contains(&id)
            && needed(self.rows, [id].into_iter(), None).iter().any(dear)
            && !others.iter().any(reads_target)
    }

    fn find_levels(&mut self) {
        let (rows, loops, found) = (self.rows, &mut self.loops, &self.found);
        let point = loops.point_level();
        loops.axis_levels[rows.parallel.len()] = LAST;
        for id in rows.exprs.keys() {
            let total = |expr: &Expr| if let Expr::Total(total) = expr { point + 1 + found[usize::from(*total)] } else { LAST };
            loops.levels[id.index()] = loops.level_of(id, total);
        }
        loops.count_uses();
        let reduced = rows.reductions.iter().map(|reduction| reduction.value);
        reduced.chain(rows.stores.iter().map(|store| store.value)).for_each(|value| loops.count_use(value, LAST));
    }
}

/// What `roots` need, in order; nothing of what `kept` alone needs.
fn needed(rows: &Rows, roots: impl Iterator<Item = ExprId>, kept: Option<ExprId>) -> Vec<ExprId> {
    let mut wanted = vec![false; rows.exprs.len()];
    roots.for_each(|root| wanted[root.index()] = true);
    for (id, expr) in rows.exprs.iter().rev() {
        if wanted[id.index()] && kept != Some(id) {
            expr.for_each_operand(|operand| wanted[operand.index()] = true);
        }
    }
    rows.exprs.keys().filter(|id| wanted[id.index()]).collect()
}

/// The walk that each reduction can be done in: the one after those whose totals it reads.
fn walks_of(rows: &Rows) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    for reduction in &rows.reductions {
        let needed = needed(rows, [reduction.value].into_iter(), None);
        let reads = needed.iter().filter_map(|&id| match &rows.exprs[id] {
            Expr::Total(total) => found.get(usize::from(*total)).map(|walk| walk + 1),
            _ => None,
        });
        let walk = reads.max().unwrap_or(0);
        found.push(walk);
    }
    found
}

fn row(rows: &Rows, walks: &[Walk], loops: &mut Loops<'_>) {
    let wide = loops.eval.vector_sums;
    loops.eval.totals = rows.reductions.iter().map(|_| loops.eval.code.local(if wide { ValType::V128 } else { ValType::F32 })).collect();
    for (n, one) in walks.iter().enumerate() {
        walk(rows, one, loops);
        if !one.stores {
            loops.materialize(loops.point_level() + 1 + n);
        }
    }
}

fn walk(rows: &Rows, walk: &Walk, loops: &mut Loops<'_>) {
    let axis = rows.parallel.len() as u8;
    let step = if along_row(rows, loops) { LANES } else { 1 };
    let (whole, rest) = (rows.length / step, rows.length % step);
    let turn = if walk.stores { 1 } else { TURN.min(whole).max(1) };
    let turns = whole / turn;
    let accumulators: Vec<Vec<Local>> = (0..turn).map(|_| start(rows, walk, loops)).collect();
    let (variable, before) = loops.enter(axis);
    if turns > 0 {
        loops.repeat(axis, variable, End::Const(turns * turn * step), step, |loops| {
            for (n, sums) in accumulators.iter().enumerate() {
                if n > 0 {
                    loops.step(axis, variable, step.into());
                }
                elements(rows, walk, loops, sums, LANES);
            }
        });
    }
    for sums in accumulators.iter().take((whole % turn) as usize) {
        elements(rows, walk, loops, sums, LANES);
        loops.step(axis, variable, step.into());
    }
    if rest > 0 {
        elements(rows, walk, loops, accumulators.last().expect("a turn has accumulators"), rest);
    }
    loops.leave(axis, before);
    for (n, &total) in walk.reductions.iter().enumerate() {
        let parts: Vec<Local> = accumulators.iter().map(|sums| sums[n]).collect();
        finish(rows, total, &parts, loops);
    }
}

/// Whether lanes are elements of one row.
fn along_row(rows: &Rows, loops: &Loops<'_>) -> bool {
    loops.eval.lanes == Some(rows.parallel.len() as u8)
}

/// New accumulators, one for each reduction.
fn start(rows: &Rows, walk: &Walk, loops: &mut Loops<'_>) -> Vec<Local> {
    let wide = loops.eval.lanes.is_some();
    let code = &mut loops.eval.code;
    let starts = walk.reductions.iter().map(|&total| rows.reductions[total].fold.start());
    starts
        .map(|value| {
            if wide {
                code.splat_bits(value.to_bits());
                code.take(ValType::V128)
            } else {
                scalar::constant(code, Scalar::f32(value));
                code.take(ValType::F32)
            }
        })
        .collect()
}

/// One element or vector of them: its part of the reductions, or its stores. Of the vector at the end of a row only the first `lanes` count; what is
/// read past them are the bytes that every buffer ends with.
fn elements(rows: &Rows, walk: &Walk, loops: &mut Loops<'_>, sums: &[Local], lanes: u32) {
    let kept = walk.kept.map(|value| Store { value, access: rows.stores[0].access.clone() });
    if let (Some(kept), true) = (&kept, walk.stores) {
        find_kept(kept.value, loops);
    }
    loops.materialize_of(LAST, &walk.ids);
    let wide = loops.eval.lanes.is_some();
    for (&total, &sum) in walk.reductions.iter().zip(sums) {
        let reduction = rows.reductions[total];
        loops.eval.code.get(sum);
        if wide {
            loops.eval.vector(reduction.value);
        } else {
            loops.eval.value(reduction.value);
        }
        if lanes < LANES {
            let code = &mut loops.eval.code;
            code.splat_bits(reduction.fold.start().to_bits());
            code.ops([I::V128Const(((1u128 << (32 * lanes)) - 1) as i128), I::V128Bitselect]);
        }
        fold(loops, reduction.fold, wide);
        loops.eval.code.set(sum);
    }
    if walk.stores {
        loops.store(&rows.stores, lanes);
    } else if let Some(kept) = kept {
        loops.store(&[kept], lanes);
    }
    loops.forget(LAST);
}

/// Loads the value that was kept at the place of the result.
fn find_kept(value: ExprId, loops: &mut Loops<'_>) {
    let (pointer, offset) = loops.pointers.place(&loops.shape.stores[0]);
    let (wide, held) = (loops.eval.varies[value.index()], loops.eval.held(value));
    let code = &mut loops.eval.code;
    code.get(pointer.expect("every store has a pointer"));
    if wide {
        memory::load_lanes(code, DType::F32, offset)
    } else {
        memory::load(code, DType::F32, offset)
    }
    let local = code.take(held);
    loops.eval.hold(value, local);
}

/// Folds two popped values. The first wins over a NaN.
fn fold(loops: &mut Loops<'_>, fold: Fold, wide: bool) {
    let op = match fold {
        Fold::Sum => BinaryOp::Add,
        Fold::Max => BinaryOp::Max,
        Fold::Min => BinaryOp::Min,
    };
    let eval = &mut loops.eval;
    if wide {
        vector::binary(&mut eval.code, eval.library, op, DType::F32)
    } else {
        scalar::binary(&mut eval.code, eval.library, op, DType::F32)
    }
}

/// Folds the accumulators of a reduction into its total.
fn finish(rows: &Rows, total: usize, parts: &[Local], loops: &mut Loops<'_>) {
    let how = rows.reductions[total].fold;
    let wide = loops.eval.lanes.is_some();
    for (n, &part) in parts.iter().enumerate() {
        loops.eval.code.get(part);
        if n > 0 {
            fold(loops, how, wide);
        }
    }
    if along_row(rows, loops) {
        for distance in [8, 4] {
            let code = &mut loops.eval.code;
            let folded = code.take(ValType::V128);
            code.get(folded);
            code.get(folded);
            code.get(folded);
            code.op(I::I8x16Shuffle(std::array::from_fn(|byte| (byte as u8 + distance) % 16)));
            fold(loops, how, true);
        }
        loops.eval.code.op(I::F32x4ExtractLane(0));
    }
    let local = loops.eval.totals[total];
    loops.eval.code.set(local);
}
