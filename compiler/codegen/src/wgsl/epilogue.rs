//! The epilogue of a contraction as the WGSL function `E`: four channels of one pixel from their sums to the stores.

use super::binding::Bindings;
use super::expr::{Emitter, Facts, note_accesses, reachable};
use super::literal::type_name;
use super::module::Module;
use super::place::{Axes, is_long};
use mlp_bundle::dtype::DType;
use mlp_bundle::loops::{Epilogue, Window};
use mlp_bundle::plan::Plan;

/// An epilogue with what was found out about it before code is made.
pub(super) struct Prepared<'a> {
    epilogue: &'a Epilogue,
    axes: Axes,
    facts: Facts,
    total: DType,
}

/// Notes the accesses of an epilogue for so many groups.
pub(super) fn prepare<'a>(
    plan: &Plan,
    epilogue: &'a Epilogue,
    (window, groups): (&Window, u32),
    total: DType,
    bindings: &mut Bindings,
) -> Result<Prepared<'a>, String> {
    let ends_buffer = |store: &mlp_bundle::loops::Store| {
        let constant: u64 = store.access.dims.iter().map(|dim| dim.index.constant.max(0) as u64 * dim.stride).sum();
        store.access.offset + constant + u64::from(window.out_c) == plan.buffers[store.access.buffer].len
    };
    let whole = window.out_c.is_multiple_of(4) || (window.pixels() == 1 && groups == 1 && epilogue.stores.iter().all(ends_buffer));
    let ragged = !whole;
    let mut extents = vec![window.pixels(), window.out_c];
    extents.extend((groups > 1).then_some(groups));
    let axes = Axes { extents, lane: Some(1), ragged };
    let facts = Facts::of(plan, &epilogue.exprs, &[total], Some(1));
    let live = reachable(&epilogue.exprs, epilogue.stores.iter().map(|store| store.value));
    if epilogue.exprs.keys().any(|id| live[id.as_u32() as usize] && facts.is_wide(id) && is_long(facts.ty(id))) {
        return Err("it computes in 64-bit integers after a contraction; cast in a kernel of its own".to_owned());
    }
    note_accesses(plan, &epilogue.exprs, &epilogue.stores, &live, &axes, &facts, bindings)?;
    Ok(Prepared { epilogue, axes, facts, total })
}

impl Prepared<'_> {
    /// The function `E(a0, q1, c0)`: the pixel, the quad of channels, their sums; with several groups `E(a0, a2, q1, c0)`, where `a2` is the group.
    /// It returns at once where `guard`, a condition on these, holds.
    pub(super) fn function(&self, bindings: &Bindings, module: &mut Module, guard: Option<&str>) -> Result<String, String> {
        let axes = self.axes.clone();
        let mut emitter = Emitter::new(&self.epilogue.exprs, &self.facts, axes, bindings, &mut module.helpers, &mut module.symbols);
        let group = if self.axes.extents.len() > 2 { "a2:i32," } else { "" };
        let block = emitter.open(&format!("fn E(a0:i32,{group}q1:i32,c0:{})", type_name(self.total, true)));
        if let Some(guard) = guard {
            emitter.out.push_str(&format!("if({guard}){{return;}}\n"));
        }
        emitter.out.push_str("let a1=q1*4;\n");
        emitter.stores(&self.epilogue.stores)?;
        emitter.close(block);
        Ok(emitter.out)
    }
}
