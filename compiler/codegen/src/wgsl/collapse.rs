//! Merging of parallel loops that every access crosses as one: fewer divisions, and quads that need not end with a row.

use super::expr::reachable;
use super::place::Axes;
use mlp_bundle::loops::{Access, AccessDim, Affine, Bounds, Expr, Extent, Nest};

/// The same nest with as few parallel loops as its accesses allow.
pub(super) fn collapse(nest: &Nest) -> Nest {
    let mut nest = nest.clone();
    let axes =
        Axes { extents: nest.parallel.iter().copied().chain(nest.reduce.iter().map(Extent::max)).collect(), lane: None, ragged: false };
    each_access(&mut nest, &mut |access| linearize(access, &axes));
    drop_single(&mut nest);
    let mut axis = 0;
    while axis + 1 < nest.parallel.len() {
        if merges(&nest, axis as u8) {
            merge(&mut nest, axis as u8);
        } else {
            axis += 1;
        }
    }
    nest
}

fn each_access(nest: &mut Nest, change: &mut dyn FnMut(&mut Access)) {
    for expr in nest.exprs.values_mut() {
        if let Expr::Load(access) = expr {
            change(access);
        }
    }
    for store in &mut nest.stores {
        change(&mut store.access);
    }
}

/// Makes one dimension of all those whose indices stay inside.
fn linearize(access: &mut Access, axes: &Axes) {
    let inside = |dim: &AccessDim| dim.index.dynamic.is_none() && (access.bounds == Bounds::Inside || !axes.leaves(dim));
    let (flat, mut kept): (Vec<AccessDim>, Vec<AccessDim>) = access.dims.iter().cloned().partition(inside);
    let mut index = Affine::default();
    for dim in &flat {
        index.constant += dim.index.constant * dim.stride as i64;
        for &(axis, coefficient) in &dim.index.terms {
            add(&mut index, axis, coefficient * dim.stride as i64);
        }
    }
    if index.constant >= 0 {
        access.offset += index.constant as u64;
        index.constant = 0;
    }
    if !flat.is_empty() {
        // The extent is only a promise that holds already.
        kept.push(AccessDim { index, extent: u32::MAX, stride: 1 });
    }
    access.dims = kept;
}

fn add(index: &mut Affine, axis: u8, coefficient: i64) {
    match index.terms.iter_mut().find(|term| term.0 == axis) {
        Some(term) => term.1 += coefficient,
        None => index.terms.push((axis, coefficient)),
    }
    index.terms.retain(|term| term.1 != 0);
    index.terms.sort_unstable();
}

/// True if nothing but the offsets of accesses knows the axis.
fn only_addresses(nest: &Nest, axis: u8) -> bool {
    let roots = nest
        .accs
        .iter()
        .map(|acc| acc.next)
        .chain(nest.stores.iter().map(|store| store.value))
        .chain(nest.reduce.iter().filter_map(Extent::count));
    let live = reachable(&nest.exprs, roots);
    nest.exprs.iter().all(|(id, expr)| !live[id.as_u32() as usize] || *expr != Expr::Axis(axis))
}

/// Removes parallel axes of one point.
fn drop_single(nest: &mut Nest) {
    for axis in (0..nest.parallel.len()).rev() {
        if nest.parallel[axis] == 1 && only_addresses(nest, axis as u8) {
            remove(nest, axis as u8);
        }
    }
}

fn merges(nest: &Nest, axis: u8) -> bool {
    let inner = i64::from(nest.parallel[usize::from(axis) + 1]);
    let fits = |access: &Access| access.dims.iter().all(|dim| dim.index.coefficient(axis) == dim.index.coefficient(axis + 1) * inner);
    let merged = u64::from(nest.parallel[usize::from(axis)]) * inner as u64;
    merged <= u64::from(u32::MAX / 2)
        && only_addresses(nest, axis)
        && only_addresses(nest, axis + 1)
        && nest.stores.iter().all(|store| fits(&store.access))
        && nest.exprs.values().all(|expr| !matches!(expr, Expr::Load(access) if !fits(access)))
}

/// Makes one loop of `axis` and the next.
fn merge(nest: &mut Nest, axis: u8) {
    nest.parallel[usize::from(axis) + 1] *= nest.parallel[usize::from(axis)];
    remove(nest, axis);
}

/// Removes an axis whose terms other axes have taken over, or which is always 0.
fn remove(nest: &mut Nest, gone: u8) {
    nest.parallel.remove(usize::from(gone));
    each_access(nest, &mut |access| {
        for dim in &mut access.dims {
            dim.index.terms.retain(|term| term.0 != gone);
            for term in &mut dim.index.terms {
                term.0 -= u8::from(term.0 > gone);
            }
        }
    });
    for expr in nest.exprs.values_mut() {
        if let Expr::Axis(axis) = expr {
            *axis -= u8::from(*axis > gone);
        }
    }
}
