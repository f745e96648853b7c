//! Loop nests: four lanes along one parallel axis where every access allows it, one value at a time elsewhere.

mod emit;
mod pointers;
mod shape;

use super::code::Code;
use super::eval::Eval;
use super::layout::Layout;
use super::math::Library;
use mlp_bundle::loops::Nest;
use mlp_bundle::plan::Plan;

/// The function of a nest.
pub(crate) fn emit(plan: &Plan, layout: &Layout, library: &mut Library, nest: &Nest) -> Result<Code, String> {
    let extents: Vec<u32> = nest.parallel.iter().copied().chain(nest.reduce.iter().map(|extent| extent.max())).collect();
    let inits: Vec<_> = nest.accs.iter().map(|acc| acc.init).collect();
    let totals: Vec<_> = inits.iter().map(|init| init.dtype()).collect();
    let mut eval = Eval::new(plan, library, &nest.exprs, &extents, &inits, &totals)?;
    let shape = shape::Shape::of(nest, &mut eval, extents);
    Ok(emit::Emitter::new(nest, layout, eval, shape).run())
}
