//! One point of a nest as instructions: its reduction, then its stores.

use super::loops::{LANES, LAST, Loops};
use super::shape::Shape;
use crate::wasm::code::{Code, Local};
use crate::wasm::eval::Eval;
use crate::wasm::layout::Layout;
use crate::wasm::{scalar, vector};
use cranelift_entity::EntityRef;
use mlp_bundle::loops::{Expr, ExprId, Extent, Nest};
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

/// Emits one nest. Each reduction loop is a level, and what needs the totals is on the level [`LAST`].
pub(super) struct Emitter<'a> {
    nest: &'a Nest,
    loops: Loops<'a>,
}

impl<'a> Emitter<'a> {
    pub(super) fn new(nest: &'a Nest, layout: &'a Layout, eval: Eval<'a>, shape: Shape) -> Emitter<'a> {
        let mut emitter = Emitter { nest, loops: Loops::new(layout, eval, shape) };
        emitter.find_levels();
        emitter
    }

    /// Emits the whole function.
    pub(super) fn run(self) -> Code {
        let nest = self.nest;
        self.loops.run(&mut |loops| point(nest, loops))
    }

    fn find_levels(&mut self) {
        let (nest, loops) = (self.nest, &mut self.loops);
        let (point, inner) = (loops.point_level(), inner_level(loops));
        for id in nest.exprs.keys() {
            let level = loops.level_of(id, |expr| if matches!(expr, Expr::Acc(_)) { inner } else { LAST });
            let after = level == point && !nest.accs.is_empty() && !loops.shape.inside[id.index()];
            loops.levels[id.index()] = if after { LAST } else { level };
        }
        loops.count_uses();
        let last = if nest.accs.is_empty() { point } else { LAST };
        nest.stores.iter().for_each(|store| loops.count_use(store.value, last));
        nest.accs.iter().for_each(|acc| loops.count_use(acc.next, inner));
        nest.reduce.iter().filter_map(|extent| extent.count()).for_each(|count| loops.count_use(count, point));
    }
}

/// The level inside all reduction loops.
fn inner_level(loops: &Loops<'_>) -> usize {
    loops.point_level() + loops.shape.reduce.len().max(1)
}

/// One point: the reduction, then the stores.
fn point(nest: &Nest, loops: &mut Loops<'_>) {
    if !nest.accs.is_empty() {
        start_sums(nest, loops);
        reduce(nest, loops, 0);
        loops.eval.totals = loops.eval.accs.clone();
        loops.materialize(LAST);
    }
    loops.store(&nest.stores, LANES);
}

fn start_sums(nest: &Nest, loops: &mut Loops<'_>) {
    loops.eval.accs.clear();
    for acc in &nest.accs {
        let ty = acc.init.dtype();
        scalar::constant(&mut loops.eval.code, acc.init);
        let wide = loops.eval.lanes.is_some();
        if wide {
            vector::splat(&mut loops.eval.code, ty);
        }
        let local = loops.eval.code.take(if wide { ValType::V128 } else { scalar::val_type(ty) });
        loops.eval.accs.push(local);
    }
}

fn reduce(nest: &Nest, loops: &mut Loops<'_>, position: usize) {
    let point = loops.point_level();
    if position == loops.shape.reduce.len() {
        if position == 0 {
            loops.materialize(point + 1);
        }
        return update(nest, loops);
    }
    let axis = loops.shape.reduce[position];
    let count = match nest.reduce[usize::from(axis) - nest.parallel.len()] {
        Extent::Const(_) => None,
        Extent::Dynamic { count, max } => Some(clamped(loops, count, max)),
    };
    let (variable, before) = loops.enter(axis);
    if let Some(count) = count {
        loops.eval.code.get(count);
        loops.eval.code.begin_if();
    }
    loops.eval.code.begin_loop();
    loops.materialize(point + position + 1);
    reduce(nest, loops, position + 1);
    loops.step(axis, variable, 1);
    loops.eval.code.get(variable);
    match count {
        Some(count) => loops.eval.code.get(count),
        None => loops.eval.code.i32(loops.shape.extents[usize::from(axis)] as i32),
    }
    loops.eval.code.ops([I::I32LtS, I::BrIf(0)]);
    loops.eval.code.end();
    if count.is_some() {
        loops.eval.code.end();
    }
    loops.leave(axis, before);
}

/// A dynamic count, clamped.
fn clamped(loops: &mut Loops<'_>, count: ExprId, max: u32) -> Local {
    loops.eval.value(count);
    let code = &mut loops.eval.code;
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
fn update(nest: &Nest, loops: &mut Loops<'_>) {
    let wide = loops.eval.lanes.is_some();
    for acc in &nest.accs {
        if wide { loops.eval.vector(acc.next) } else { loops.eval.value(acc.next) }
    }
    for n in (0..nest.accs.len()).rev() {
        let local = loops.eval.accs[n];
        loops.eval.code.set(local);
    }
}
