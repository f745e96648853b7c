//! The checks of kernels over rows.

use super::{Check, Checker, MAX_AXES, ensure};
use crate::dtype::DType;
use crate::loops::{Expr, ExprId, Rows};
use crate::plan::Plan;
use cranelift_entity::EntityRef;

/// The greatest number of reductions of a row.
pub const MAX_REDUCTIONS: usize = 16;

/// Checks a kernel over rows and counts its iterations.
pub(super) fn check(plan: &Plan, rows: &Rows) -> Result<u64, String> {
    let extents: Vec<u32> = rows.parallel.iter().copied().chain([rows.length]).collect();
    ensure(extents.len() <= MAX_AXES, || format!("it has {} loops, more than {MAX_AXES}", extents.len()))?;
    ensure(extents.iter().all(|&extent| extent > 0 && extent < 1 << 31), || "a loop is empty or has over 2^31 iterations".into())?;
    let count = rows.reductions.len();
    ensure(count <= MAX_REDUCTIONS, || format!("it has {count} reductions, more than {MAX_REDUCTIONS}"))?;
    let body = Checker { plan, exprs: &rows.exprs, extents: &extents, parallel: extents.len() };
    let types = body.types(&[], &vec![DType::F32; count])?;
    let defined = |id: ExprId| types.get(id).copied().flatten().filter(|_| id.index() < rows.exprs.len());
    for (index, reduction) in rows.reductions.iter().enumerate() {
        ensure(defined(reduction.value) == Some(DType::F32), || format!("the value {} of a reduction is not f32", reduction.value))?;
        earlier(&body, index, reduction.value)?;
    }
    body.stores(&rows.stores, &defined)?;
    let points = extents.iter().fold(1u64, |product, &extent| product.saturating_mul(u64::from(extent)));
    Ok(points.saturating_mul(count as u64 + 1))
}

/// That a reduction reads the totals of earlier ones alone.
fn earlier(body: &Checker<'_>, index: usize, value: ExprId) -> Check {
    let late = |expr: &&Expr| matches!(expr, Expr::Total(total) if usize::from(*total) >= index);
    ensure(!body.below([value].into_iter()).iter().any(late), || format!("reduction {index} reads the total of itself or a later one"))
}
