//! Loop nests and kernels over rows: four lanes along one axis where every access allows it, one value at a time elsewhere.

mod emit;
mod loops;
mod pointers;
mod rows;
mod shape;

use super::code::Code;
use super::eval::Eval;
use super::layout::Layout;
use super::math::Library;
use mlp_bundle::DType;
use mlp_bundle::loops::{Nest, Rows};
use mlp_bundle::plan::Plan;
use shape::{Outline, Shape};

/// The function of a nest.
pub(crate) fn emit(plan: &Plan, layout: &Layout, library: &mut Library, nest: &Nest) -> Result<Code, String> {
    let extents: Vec<u32> = nest.parallel.iter().copied().chain(nest.reduce.iter().map(|extent| extent.max())).collect();
    let inits: Vec<_> = nest.accs.iter().map(|acc| acc.init).collect();
    let totals: Vec<_> = inits.iter().map(|init| init.dtype()).collect();
    let mut eval = Eval::new(plan, library, &nest.exprs, &extents, &inits, &totals)?;
    let outline = Outline {
        parallel: nest.parallel.len(),
        counts: nest.reduce.iter().map(|extent| extent.count()).collect(),
        sums: totals,
        summed: nest.accs.iter().map(|acc| acc.next).collect(),
        stores: &nest.stores,
        row: None,
    };
    let shape = Shape::of(&outline, &mut eval, extents);
    Ok(emit::Emitter::new(nest, layout, eval, shape).run())
}

/// The function of a kernel over rows.
pub(crate) fn emit_rows(plan: &Plan, layout: &Layout, library: &mut Library, rows: &Rows) -> Result<Code, String> {
    let extents: Vec<u32> = rows.parallel.iter().copied().chain([rows.length]).collect();
    let totals = vec![DType::F32; rows.reductions.len()];
    let mut eval = Eval::new(plan, library, &rows.exprs, &extents, &[], &totals)?;
    let outline = Outline {
        parallel: rows.parallel.len(),
        counts: vec![None],
        sums: totals,
        summed: rows.reductions.iter().map(|reduction| reduction.value).collect(),
        stores: &rows.stores,
        row: Some(rows.parallel.len() as u8),
    };
    let shape = Shape::of(&outline, &mut eval, extents);
    Ok(rows::Emitter::new(rows, layout, eval, shape).run())
}
