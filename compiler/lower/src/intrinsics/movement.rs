//! The same elements in other shapes and places.

use super::{Append, Found, Make, number, tensor, whole};
use crate::body::Lowered;
use mlp_analysis::Intrinsic;
use mlp_graph::{Dim, Op, ValueId};

pub(super) fn lower(make: &mut Make<'_>, intrinsic: Intrinsic, args: &[Lowered]) -> Found {
    let Some(Lowered::Tensor(x)) = args.first() else { return None };
    let x = *x;
    match (intrinsic, &args[1..]) {
        (Intrinsic::Unbatch, []) => tensor(unbatch(make, x)),
        (Intrinsic::Batch, []) => tensor(batch(make, x)),
        (Intrinsic::Transpose, []) => {
            let mut perm: Vec<u32> = (0..make.rank(x) as u32).collect();
            let last = perm.len().checked_sub(2)?;
            perm.swap(last, last + 1);
            tensor(make.transpose(x, &perm))
        }
        (Intrinsic::ConcatFirst, [Lowered::Tensor(y)]) => tensor(make.concat(0, &[x, *y])),
        (Intrinsic::ConcatLast, [Lowered::Tensor(y)]) => tensor(make.last(x).and_then(|axis| make.concat(axis, &[x, *y]))),
        (Intrinsic::SliceFirst, [start, count]) => tensor(slice(make, x, 0, number(start)?, number(count)?)),
        (Intrinsic::SliceLast, [start, count]) => {
            let (start, count) = (number(start)?, number(count)?);
            tensor(make.last(x).and_then(|axis| slice(make, x, axis, start, count)))
        }
        (Intrinsic::Take, [Lowered::Tensor(positions)]) => tensor(make.op(Op::Gather { axis: 0 }, &[x, *positions])),
        (Intrinsic::ReverseFirst, []) => tensor(reverse(make, x, 0)),
        (Intrinsic::ReverseLast, []) => tensor(make.last(x).and_then(|axis| reverse(make, x, axis))),
        (Intrinsic::ExpandLast, []) => tensor(expand(make, x)),
        (Intrinsic::MergeFirst, []) => tensor(merge(make, x, 0)),
        (Intrinsic::MergeLast, []) => {
            let axis = make.rank(x).checked_sub(2)?;
            tensor(merge(make, x, axis))
        }
        (Intrinsic::SplitFirst, [parts]) => tensor(split(make, x, 0, number(parts)?)),
        (Intrinsic::SplitLast, [parts]) => {
            let parts = number(parts)?;
            tensor(make.last(x).and_then(|axis| split(make, x, axis, parts)))
        }
        (Intrinsic::StretchLast, [Lowered::Tensor(like)]) => {
            let column = expand(make, x);
            tensor(column.and_then(|column| make.broadcast(column, make.shape(*like))))
        }
        (Intrinsic::WithoutLast, []) => tensor(make.size(x, 0).and_then(|size| make.slice(x, 0, 0, size.saturating_sub(1)))),
        (Intrinsic::StretchFirst | Intrinsic::StretchRow | Intrinsic::Spread, [Lowered::Tensor(like)]) => {
            tensor(make.broadcast(x, make.shape(*like)))
        }
        _ => None,
    }
}

/// A dimension of one before the others.
pub(super) fn batch(make: &mut Make<'_>, x: ValueId) -> Result<ValueId, String> {
    let shape = std::iter::once(Dim::Const(1)).chain(make.shape(x)).collect();
    make.reshape(x, shape)
}

/// Without the first dimension, which is one.
pub(super) fn unbatch(make: &mut Make<'_>, x: ValueId) -> Result<ValueId, String> {
    let shape = make.shape(x).into_iter().skip(1).collect();
    make.reshape(x, shape)
}

/// A dimension of one after the others, in which each value stands beside a row that it is compared with.
pub(super) fn expand(make: &mut Make<'_>, x: ValueId) -> Result<ValueId, String> {
    let shape = make.shape(x).into_iter().chain([Dim::Const(1)]).collect();
    make.reshape(x, shape)
}

/// An axis walked from its end.
pub(super) fn reverse(make: &mut Make<'_>, x: ValueId, axis: usize) -> Result<ValueId, String> {
    let size = make.size(x, axis)?;
    make.walk(x, axis, size as i64 - 1, -1, size)
}

fn slice(make: &mut Make<'_>, x: ValueId, axis: usize, start: f64, count: f64) -> Result<ValueId, String> {
    let (start, count) = (whole("start", start)?, whole("count", count)?);
    make.slice(x, axis, start, count)
}

/// An axis and the one after it as one.
fn merge(make: &mut Make<'_>, x: ValueId, axis: usize) -> Result<ValueId, String> {
    let mut shape = make.shape(x);
    let (a, b) = (make.size(x, axis)?, make.size(x, axis + 1)?);
    shape.splice(axis..axis + 2, [Dim::Const(a * b)]);
    make.reshape(x, shape)
}

/// An axis as `parts` equal ones.
fn split(make: &mut Make<'_>, x: ValueId, axis: usize, parts: f64) -> Result<ValueId, String> {
    let (size, parts) = (make.size(x, axis)?, whole("parts", parts)?);
    if parts == 0 || !size.is_multiple_of(parts) {
        return Err(format!("{size} elements are not {parts} equal parts; write a number that divides them"));
    }
    let mut shape = make.shape(x);
    shape.splice(axis..=axis, [Dim::Const(parts), Dim::Const(size / parts)]);
    make.reshape(x, shape)
}
