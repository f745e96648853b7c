//! Reshapes of tensors whose sizes vary.
//!
//! The sizes of both shapes are divided into the finest groups whose products are the same in every member. In a group in which only the outermost axis varies, on either
//! side, the elements of a run are the first of the group in both shapes, as they are at the greatest sizes. Elsewhere they move: each element of the result is read from where
//! the sizes of the run say that it comes from.

use super::rules::Call;
use super::writer::{Axis, RuleError, Ruled, Writer, refuse};
use crate::ir::ValueId;
use crate::op::{BinaryOp, Op};
use mlp_bundle::DType;

/// Axes `from.0..from.1` of the operand and `to.0..to.1` of the result that hold the same elements.
struct Group {
    from: (usize, usize),
    to: (usize, usize),
}

pub(super) fn reshape(writer: &mut Writer<'_>, call: &Call) -> Ruled {
    let node = writer.node(call.id);
    let (operand, result) = (node.operands[0], node.results[0]);
    let (from, to) = (call.axes[0].clone(), writer.axes(result)?);
    let Some(groups) = groups(writer, operand, result) else {
        return refuse("its shapes have no elements in common at all sizes; give it a constant size");
    };
    // Groups that move, each as one axis; the others as they become.
    let mut x = call.operands[0];
    for (index, group) in groups.iter().enumerate().rev() {
        let (from_group, to_group) = (&from[group.from.0..group.from.1], &to[group.to.0..group.to.1]);
        if is_prefix(from_group) && is_prefix(to_group) {
            continue;
        }
        // Groups after this one have their final axes, those before it the operand's.
        let outer: Vec<u64> = from[..group.from.0].iter().map(|axis| axis.max).collect();
        let inner: Vec<u64> = groups[index + 1..].iter().flat_map(|group| &to[group.to.0..group.to.1]).map(|axis| axis.max).collect();
        let flat: u64 = from_group.iter().map(|axis| axis.max).product();
        let dims = [&outer[..], &[flat], &inner[..]].concat();
        let made = writer.reshape(x, &dims);
        let places = places(writer, from_group, to_group)?;
        x = writer.append(Op::Gather { axis: outer.len() as u32 }, &[made, places])?;
    }
    let dims: Vec<u64> = to.iter().map(|axis| axis.max).collect();
    Ok(writer.reshape(x, &dims))
}

/// Whether a group's elements of a run are its first ones: only its outermost axis of more than one element varies.
fn is_prefix(group: &[Axis]) -> bool {
    let first = group.iter().position(|axis| axis.max != 1).unwrap_or(0);
    group.iter().skip(first + 1).all(|axis| axis.size.is_none())
}

/// The finest groups; none where products differ at the end.
fn groups(writer: &Writer<'_>, operand: ValueId, result: ValueId) -> Option<Vec<Group>> {
    let family = writer.family;
    let rank = |value: ValueId| family.first().ty(value).shape.rank();
    let times = |product: &mut Vec<i64>, value: ValueId, axis: usize| {
        let sizes = family.sizes(value, axis)?;
        product.iter_mut().zip(sizes).try_for_each(|(product, size)| {
            *product = product.checked_mul(size)?;
            Some(())
        })
    };
    let ones = vec![1i64; family.members.len()];
    let (from_rank, to_rank) = (rank(operand), rank(result));
    let (mut groups, mut i, mut j) = (Vec::new(), 0, 0);
    while i < from_rank || j < to_rank {
        let start = (i, j);
        let (mut a, mut b) = (ones.clone(), ones.clone());
        loop {
            // The side that is behind at the greatest sizes takes its next axis.
            if i < from_rank && (a[0] <= b[0] || j == to_rank) {
                times(&mut a, operand, i)?;
                i += 1;
            } else if j < to_rank {
                times(&mut b, result, j)?;
                j += 1;
            } else {
                return None;
            }
            if a == b {
                break;
            }
        }
        groups.push(Group { from: (start.0, i), to: (start.1, j) });
    }
    Some(groups)
}

/// For each element of a group of the result, where it lies among the elements of the operand's group at the greatest sizes: `I32` of the group's shape.
fn places(writer: &mut Writer<'_>, from: &[Axis], to: &[Axis]) -> Ruled {
    let elements = |axes: &[Axis]| axes.iter().try_fold(1u64, |product, axis| product.checked_mul(axis.max));
    if elements(from).is_none_or(|count| count > i32::MAX as u64) {
        return refuse("it moves more elements than can be counted");
    }
    // The number of the element in this run.
    let mut number: Option<ValueId> = None;
    for (index, axis) in to.iter().enumerate() {
        let at = writer.positions(to.len(), index, axis.max)?;
        number = Some(match number {
            None => at,
            Some(before) => {
                let size = size(writer, *axis)?;
                let before = writer.binary(BinaryOp::Mul, before, size)?;
                writer.binary(BinaryOp::Add, before, at)?
            }
        });
    }
    let Some(mut rest) = number else { return refuse("it has no axis") };
    let (mut place, mut stride) = (None, 1u64);
    for (index, axis) in from.iter().enumerate().rev() {
        let size = size(writer, *axis)?;
        let at = if index == 0 { rest } else { writer.binary(BinaryOp::Rem, rest, size)? };
        let factor = writer.number(DType::I32, stride as f64);
        let part = writer.binary(BinaryOp::Mul, at, factor)?;
        place = Some(match place {
            None => part,
            Some(place) => writer.binary(BinaryOp::Add, place, part)?,
        });
        rest = writer.binary(BinaryOp::Div, rest, size)?;
        stride *= axis.max;
    }
    let place = place.ok_or_else(|| RuleError::Refused("it has no axis".into()))?;
    // Numbers of the rest may lie anywhere; a gather clamps those that are too great, and takes negative ones from the end.
    Ok(place)
}

fn size(writer: &mut Writer<'_>, axis: Axis) -> Ruled {
    Ok(match axis.size {
        Some(symbol) => writer.scalar(symbol),
        None => writer.number(DType::I32, axis.max as f64),
    })
}
