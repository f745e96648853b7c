//! Slices, padding, concatenation and gathers along axes that vary.

use super::rules::Call;
use super::writer::{Axis, RuleError, Ruled, Writer, refuse};
use crate::ir::{Type, ValueId};
use crate::op::{BinaryOp, CompareOp, Op};
use mlp_bundle::DType;

/// The elements of `x` at `index` along an axis, whose result has that many positions.
fn taken(writer: &mut Writer<'_>, x: ValueId, axis: usize, index: ValueId) -> Ruled {
    writer.append(Op::Gather { axis: axis as u32 }, &[x, index])
}

/// A slice: along an axis whose start is the same at all sizes as it is, along others by a gather from where it starts.
pub(super) fn slice(writer: &mut Writer<'_>, call: &Call, steps: &[i64], ty: Type) -> Ruled {
    let starts: Vec<Vec<i64>> = writer.family.members.iter().map(|graph| starts_of(&graph.ops[call.id].op)).collect();
    let along = |axis: usize| starts.iter().map(|starts| starts[axis]).collect::<Vec<i64>>();
    let rank = steps.len();
    let counts: Vec<u64> = ty.shape.constants().unwrap_or_default();
    let mut moving = Vec::new();
    let (mut first, mut taken_first, mut kept) = (starts[0].clone(), steps.to_vec(), counts.clone());
    for axis in 0..rank {
        let same = along(axis).iter().all(|&start| start == starts[0][axis]);
        // Of an axis that varies a walk downwards begins elsewhere in every run, though it may be at one place here.
        if !same || (call.varies(0, axis) && steps[axis] < 0) {
            moving.push(axis);
            (first[axis], taken_first[axis], kept[axis]) = (0, 1, call.axes[0][axis].max);
        }
    }
    let mut x = writer.push(Op::Slice { starts: first, steps: taken_first }, &call.operands, Type::fixed(ty.dtype, &kept));
    for axis in moving {
        let start = writer.counted(along(axis))?;
        let (at, step) = (writer.positions(1, 0, counts[axis])?, writer.number(DType::I32, steps[axis] as f64));
        let at = writer.binary(BinaryOp::Mul, at, step)?;
        let at = writer.binary(BinaryOp::Add, at, start)?;
        // The rest may be anything, but negative places would count from the end of the greatest size.
        let zero = writer.number(DType::I32, 0.0);
        let at = writer.binary(BinaryOp::Max, at, zero)?;
        x = taken(writer, x, axis, at)?;
    }
    Ok(x)
}

fn starts_of(op: &Op) -> Vec<i64> {
    match op {
        Op::Slice { starts, .. } => starts.clone(),
        _ => unreachable!("members have the same operations"),
    }
}

/// Padding: what comes after an axis that varies begins at its rest.
pub(super) fn pad(writer: &mut Writer<'_>, call: &Call, before: &[u64], after: &[u64]) -> Ruled {
    let mut x = call.operands[0];
    for axis in call.varying(0, 0..before.len()) {
        let afters: Vec<u64> = writer.family.members.iter().map(|graph| afters_of(&graph.ops[call.id].op)[axis]).collect();
        if afters.iter().all(|&after| after == 0) {
            continue;
        }
        if let Some(live) = writer.is_live(before.len(), axis, call.axes[0][axis])? {
            x = writer.select(live, x, call.operands[1])?;
        }
    }
    writer.append(Op::Pad { before: before.to_vec(), after: after.to_vec() }, &[x, call.operands[1]])
}

fn afters_of(op: &Op) -> Vec<u64> {
    match op {
        Op::Pad { after, .. } => after.clone(),
        _ => unreachable!("members have the same operations"),
    }
}

/// Parts one after another: where only the last one varies they lie as they do at the greatest sizes, otherwise each is read from where it begins.
pub(super) fn concat(writer: &mut Writer<'_>, call: &Call, axis: usize, ty: Type) -> Ruled {
    let count = call.operands.len();
    if !(0..count - 1).any(|part| call.varies(part, axis)) {
        return writer.append(Op::Concat { axis: axis as u32 }, &call.operands);
    }
    let total = ty.shape.0[axis].constant().unwrap_or_default();
    let rank = ty.shape.rank();
    let mut ends = Vec::new();
    let mut end: Option<ValueId> = None;
    for part in 0..count {
        let Axis { max, size } = call.axes[part][axis];
        let size = match size {
            Some(symbol) => writer.scalar(symbol),
            None => writer.number(DType::I32, max as f64),
        };
        let sum = match end {
            Some(end) => writer.binary(BinaryOp::Add, end, size)?,
            None => size,
        };
        ends.push(sum);
        end = Some(sum);
    }
    let mut result: Option<ValueId> = None;
    for part in (0..count).filter(|&part| call.axes[part][axis].max > 0).collect::<Vec<_>>().into_iter().rev() {
        let mut at = writer.positions(1, 0, total)?;
        if part > 0 {
            at = writer.binary(BinaryOp::Sub, at, ends[part - 1])?;
        }
        let zero = writer.number(DType::I32, 0.0);
        let at = writer.binary(BinaryOp::Max, at, zero)?;
        let read = taken(writer, call.operands[part], axis, at)?;
        result = Some(match result {
            None => read,
            Some(after) => {
                let (at, end) = (writer.positions(rank, axis, total)?, ends[part]);
                let before = writer.compare(CompareOp::Lt, at, end)?;
                writer.select(before, read, after)?
            }
        });
    }
    result.map_or_else(|| refuse("it joins nothing"), Ok)
}

/// A gather: along an axis that varies, negative indices count from its end in this run, and others are clamped to it.
pub(super) fn gather(writer: &mut Writer<'_>, call: &Call, axis: usize, ty: Type) -> Ruled {
    let mut index = call.operands[1];
    if let Some(symbol) = call.axes[0][axis].size {
        let size = writer.scalar(symbol);
        index = within(writer, index, size)?;
    }
    Ok(writer.push(Op::Gather { axis: axis as u32 }, &[call.operands[0], index], ty))
}

/// Indices as they count in an axis of that size.
fn within(writer: &mut Writer<'_>, index: ValueId, size: ValueId) -> Result<ValueId, RuleError> {
    let dtype = writer.graph.ty(index).dtype;
    if matches!(dtype, DType::U64 | DType::U32) {
        let size = writer.cast(dtype, size)?;
        let one = writer.number(dtype, 1.0);
        let last = writer.binary(BinaryOp::Sub, size, one)?;
        return writer.binary(BinaryOp::Min, index, last);
    }
    let wide = if dtype == DType::I64 { DType::I64 } else { DType::I32 };
    let (index, size) = (writer.cast(wide, index)?, writer.cast(wide, size)?);
    let (zero, one) = (writer.number(wide, 0.0), writer.number(wide, 1.0));
    let negative = writer.compare(CompareOp::Lt, index, zero)?;
    let wrapped = writer.binary(BinaryOp::Add, index, size)?;
    let index = writer.select(negative, wrapped, index)?;
    let last = writer.binary(BinaryOp::Sub, size, one)?;
    let index = writer.binary(BinaryOp::Min, index, last)?;
    writer.binary(BinaryOp::Max, index, zero)
}
