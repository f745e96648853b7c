//! Operators that crop, reverse or pick parts whose places follow from sizes and from small operands.

use super::Row;
use super::gather::scaled;
use crate::onnx::node::{Imported, NodeImport, invalid};
use mlp_graph::op::{BinaryOp, CompareOp};
use mlp_graph::{DType, Op};

pub(super) const TABLE: &[Row] = &[("", "ReverseSequence", reverse_sequence), ("", "CenterCropPad", center_crop_pad)];

/// The first `lengths[b]` positions of each row turned round: a gather of `length - 1 - t` there, of `t` beyond.
fn reverse_sequence(node: &mut NodeImport<'_>) -> Imported {
    let (x, lengths) = (node.input(0)?, node.input(1)?);
    let dims = node.dims(x);
    let batch = node.axis(node.attributes.int("batch_axis")?.unwrap_or(1), dims.len())?;
    let time = node.axis(node.attributes.int("time_axis")?.unwrap_or(0), dims.len())?;
    if batch + time != 1 {
        return invalid(format!("the batch and time axes are {batch} and {time}, but must be 0 and 1"));
    }
    if node.dims(lengths) != [dims[batch]] {
        return invalid(format!("the lengths have shape {:?} for a batch of {}", node.dims(lengths), dims[batch]));
    }
    let mut along_batch = vec![1, 1];
    along_batch[batch] = dims[batch];
    let lengths = node.cast(DType::I64, lengths)?;
    let lengths = node.reshape(lengths, &along_batch)?;
    let times = node.positions(dims[time], time, 2)?;
    let times = node.cast(DType::I64, times)?;
    let inside = node.compare(CompareOp::Lt, times, lengths)?;
    let last = node.with_number(BinaryOp::Sub, lengths, 1.0)?;
    let turned = node.binary(BinaryOp::Sub, last, times)?;
    let from = node.select(inside, turned, times)?;
    let rows = node.positions(dims[batch], batch, 2)?;
    let rows = node.cast(DType::I64, rows)?;
    let (time_step, batch_step) = if time == 0 { (dims[1], 1) } else { (1, dims[1]) };
    let (from, rows) = (scaled(node, from, time_step as i64)?, scaled(node, rows, batch_step as i64)?);
    let places = node.binary(BinaryOp::Add, from, rows)?;
    let flat: Vec<u64> = [dims[0] * dims[1]].into_iter().chain(dims[2..].iter().copied()).collect();
    let flat = node.reshape(x, &flat)?;
    Ok(vec![node.emit(Op::Gather { axis: 0 }, &[flat, places])?])
}

/// Each axis cut or padded with zeros to the wanted size, the middle kept in the middle.
fn center_crop_pad(node: &mut NodeImport<'_>) -> Imported {
    let (x, shape) = (node.input(0)?, node.input(1)?);
    let dims = node.dims(x);
    let rank = dims.len();
    let sizes = super::constant::sizes(&node.known_integers(shape, "the shape")?)?;
    let axes: Vec<i64> = node.attributes.ints("axes")?.map_or_else(|| (0..rank as i64).collect(), <[i64]>::to_vec);
    node.axes(&axes, rank)?;
    if axes.len() != sizes.len() {
        return invalid(format!("{} sizes are given for {} axes", sizes.len(), axes.len()));
    }
    let (mut starts, mut counts, mut before, mut after) = (vec![0; rank], dims.clone(), vec![0; rank], vec![0; rank]);
    for (&axis, &wanted) in axes.iter().zip(&sizes) {
        let axis = node.axis(axis, rank)?;
        if wanted < dims[axis] {
            starts[axis] = ((dims[axis] - wanted) / 2) as i64;
            counts[axis] = wanted;
        } else {
            before[axis] = (wanted - dims[axis]) / 2;
            after[axis] = wanted - dims[axis] - before[axis];
        }
    }
    let cut = node.slice(x, starts, vec![1; rank], &counts)?;
    if before.iter().chain(&after).all(|&count| count == 0) {
        return Ok(vec![cut]);
    }
    let zero = node.scalar(node.dtype(x), 0.0);
    Ok(vec![node.emit(Op::Pad { before, after }, &[cut, zero])?])
}
