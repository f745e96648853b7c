//! The checks of attention: sizes, element types, and that every element lies inside its buffer.

use super::{Check, ensure, steps_over};
use crate::dtype::DType;
use crate::loops::{Attention, BufferId};
use crate::plan::{Place, Plan};

/// Checks attention and counts its iterations.
pub(super) fn check(plan: &Plan, attention: &Attention) -> Result<u64, String> {
    let Attention { batch, heads, rows, keys, depth, width, query, key, value, out, .. } = *attention;
    let sizes = [batch, heads, rows, keys, depth, width];
    ensure(sizes.iter().all(|&size| size > 0 && size < 1 << 24), || "a size of it is 0 or over 2^24".into())?;
    ensure(attention.factor().is_finite(), || "its scale is no finite number".into())?;
    let views = [("query", query, rows, depth), ("key", key, keys, depth), ("value", value, keys, width), ("result", out, rows, width)];
    for (name, view, rows, features) in views {
        let dims = [(batch, view.batch), (heads, view.head), (rows, view.row), (features, 1)];
        inside(plan, name, view.buffer, view.offset, &dims)?;
    }
    if let Some(mask) = attention.mask {
        let dims = [(batch, mask.batch), (heads, mask.head), (rows, mask.row), (keys, mask.key)];
        inside(plan, "mask", mask.buffer, mask.offset, &dims)?;
    }
    ensure(matches!(plan.buffers[out.buffer].place, Place::Arena { .. }), || "it stores to the weights".into())?;
    ensure(attention.reads().all(|read| !plan.overlap(read, out.buffer)), || "it stores over what it reads".into())?;
    steps_over([(batch, out.batch), (heads, out.head), (rows, out.row), (width, 1)].map(|(extent, stride)| (i128::from(stride), extent)))?;
    Ok(attention.macs())
}

/// That an `F32` buffer holds all elements of these extents and strides, at places of at most 30 bits.
fn inside(plan: &Plan, name: &str, buffer: BufferId, offset: u64, dims: &[(u32, u64)]) -> Check {
    let data = plan.buffers.get(buffer).ok_or_else(|| format!("its {name} has no buffer"))?;
    ensure(data.dtype == DType::F32, || format!("its {name} is {}", data.dtype))?;
    let last = dims.iter().try_fold(offset, |last, &(extent, stride)| last.checked_add(u64::from(extent - 1).checked_mul(stride)?));
    ensure(last.is_some_and(|last| last < data.len), || format!("its {name} reaches past the {} elements of {buffer}", data.len))?;
    ensure(last.is_some_and(|last| last < 1 << 30), || format!("a place in its {name} exceeds 30 bits"))
}
