//! Operators that put what pools and windows took apart back in place: `Col2Im` and `MaxUnpool`.

use super::Row;
use super::scatter::{Combine, at_known, replaced_elements};
use crate::onnx::node::{Imported, NodeImport, Problem, invalid, unsupported};
use mlp_graph::op::{BinaryOp, ReduceKind};
use mlp_graph::{DType, Op};

pub(super) const TABLE: &[Row] = &[("", "Col2Im", col2im), ("", "MaxUnpool", max_unpool)];

/// No size, stride, dilation or padding may be greater.
const LIMIT: i64 = 1 << 24;

/// An attribute of `count` numbers, all `default` where it is left out.
fn list(node: &NodeImport<'_>, name: &str, count: usize, default: i64) -> Result<Vec<i64>, Problem> {
    let values = node.attributes.ints(name)?.map_or_else(|| vec![default; count], <[i64]>::to_vec);
    if values.len() != count || values.iter().any(|value| !(default..=LIMIT).contains(value)) {
        return invalid(format!("attribute `{name}` is {values:?}"));
    }
    Ok(values)
}

/// `[N, C * block, L]` as `[N, C, image...]`: every element of the image is the sum of the column elements that lie there. Where they lie is known.
fn col2im(node: &mut NodeImport<'_>) -> Imported {
    let (x, image, block) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let image = super::constant::sizes(&node.known_integers(image, "the shape of the image")?)?;
    let block = super::constant::sizes(&node.known_integers(block, "the shape of the block")?)?;
    let rank = image.len();
    let (strides, dilations) = (list(node, "strides", rank, 1)?, list(node, "dilations", rank, 1)?);
    let pads = list(node, "pads", 2 * rank, 0)?;
    let dims = node.dims(x);
    if rank == 0 || block.len() != rank || image.iter().chain(&block).any(|&size| size == 0 || size > LIMIT as u64) {
        return invalid(format!("an image of {image:?} and a block of {block:?} are out of range"));
    }
    let windows = |axis: usize| {
        let extent = dilations[axis] * (block[axis] as i64 - 1) + 1;
        (image[axis] as i64 + pads[axis] + pads[rank + axis] - extent).div_euclid(strides[axis]) + 1
    };
    let windows: Vec<i64> = (0..rank).map(windows).collect();
    let taps: u64 = block.iter().try_fold(1u64, |product, &size| product.checked_mul(size)).unwrap_or(u64::MAX);
    let &[batch, planes, length] = dims.as_slice() else { return invalid(format!("the input has shape {dims:?}, but must have rank 3")) };
    let count = windows.iter().try_fold(1i64, |product, &size| product.checked_mul(size.max(0))).unwrap_or(0);
    if count as u64 != length || planes % taps != 0 {
        return invalid(format!("an input of shape {dims:?} does not hold {windows:?} blocks of {block:?}"));
    }
    let total = image.iter().try_fold(1u64, |product, &size| product.checked_mul(size)).unwrap_or(u64::MAX);
    if !node.builder.may_create(taps.saturating_mul(length).saturating_add(total).saturating_mul(8)) {
        return unsupported(format!("{taps} taps at {length} places are too many to be told apart when compiling"));
    }
    let channels = planes / taps;
    // Rows are [taps, places], columns [N, C]; what falls into the padding goes to one more element.
    let mut targets = Vec::with_capacity((taps * length) as usize);
    for tap in 0..taps {
        for place in 0..length {
            targets.push(element(tap, place, &image, &block, &windows, |axis, tap, place| {
                place * strides[axis] + tap * dilations[axis] - pads[axis]
            }));
        }
    }
    let split = node.reshape(x, &[batch, channels, taps, length])?;
    let turned = node.transpose(&[2, 3, 0, 1], split)?;
    let columns = batch * channels;
    let updates = node.reshape(turned, &[taps * length, columns])?;
    let zero = node.scalar(node.dtype(x), 0.0);
    let empty = node.broadcast(zero, &[total + 1, columns])?;
    let sums = at_known(node, empty, &targets, updates, Combine::With(BinaryOp::Add, ReduceKind::Sum))?;
    let sums = node.slice(sums, vec![0, 0], vec![1, 1], &[total, columns])?;
    let y = node.transpose(&[1, 0], sums)?;
    let shape: Vec<u64> = [batch, channels].into_iter().chain(image).collect();
    Ok(vec![node.reshape(y, &shape)?])
}

/// The element of the image at a tap of a window, or one past the last where that is outside.
fn element(tap: u64, place: u64, image: &[u64], block: &[u64], windows: &[i64], at: impl Fn(usize, i64, i64) -> i64) -> usize {
    let (mut tap, mut place, mut step, mut element) = (tap as i64, place as i64, 1i64, 0i64);
    let mut inside = true;
    for axis in (0..image.len()).rev() {
        let position = at(axis, tap % block[axis] as i64, place % windows[axis]);
        inside &= (0..image[axis] as i64).contains(&position);
        tap /= block[axis] as i64;
        place /= windows[axis];
        element += position * step;
        step *= image[axis] as i64;
    }
    if inside { element as usize } else { step as usize }
}

/// Each element put at its index in a larger image of zeros. Indices count through the whole input of the pool; those of one channel stay in it.
fn max_unpool(node: &mut NodeImport<'_>) -> Imported {
    let (x, indices) = (node.input(0)?, node.input(1)?);
    let dims = node.dims(x);
    if dims.len() < 3 || node.dims(indices) != dims {
        return invalid(format!("indices of shape {:?} do not fit an input of shape {dims:?}", node.dims(indices)));
    }
    let rank = dims.len() - 2;
    let Some(kernel) = node.attributes.ints("kernel_shape")? else { return invalid("attribute `kernel_shape` is missing") };
    let kernel = kernel.to_vec();
    if kernel.len() != rank || kernel.iter().any(|size| !(1..=LIMIT).contains(size)) {
        return invalid(format!("attribute `kernel_shape` is {kernel:?}"));
    }
    let (strides, pads) = (list(node, "strides", rank, 1)?, list(node, "pads", 2 * rank, 0)?);
    let size = |axis: usize| (dims[2 + axis] as i64 - 1) * strides[axis] - pads[axis] - pads[rank + axis] + kernel[axis];
    let inferred: Vec<u64> = (0..rank)
        .map(|axis| u64::try_from(size(axis)).map_err(|_| format!("spatial axis {axis} would have {} elements", size(axis))))
        .collect::<Result<_, _>>()?;
    let wanted = match node.optional(2) {
        Some(shape) => {
            let shape = super::constant::sizes(&node.known_integers(shape, "the output shape")?)?;
            let fits =
                shape.len() == dims.len() && shape[..2] == dims[..2] && shape[2..].iter().zip(&inferred).all(|(have, need)| have >= need);
            if !fits {
                return unsupported(format!("the output shape {shape:?} is smaller than the inferred {inferred:?}"));
            }
            shape[2..].to_vec()
        }
        None => inferred.clone(),
    };
    let (planes, places) = (dims[0] * dims[1], dims[2..].iter().product::<u64>());
    let area = inferred.iter().try_fold(1u64, |product, &size| product.checked_mul(size)).ok_or("the result's size overflows")?;
    let indices = node.cast(DType::I64, indices)?;
    let indices = node.reshape(indices, &[planes, places])?;
    let starts = node.positions(planes, 0, 2)?;
    let starts = node.cast(DType::I64, starts)?;
    let starts = node.with_number(BinaryOp::Mul, starts, area as f64)?;
    let local = node.binary(BinaryOp::Sub, indices, starts)?;
    // What is outside of its channel meets nothing: it is not counted from the end.
    let local = node.with_number(BinaryOp::Max, local, -1.0)?;
    let past = node.scalar(DType::I64, area as f64);
    let zero = node.scalar(DType::I64, 0.0);
    let outside = node.compare(mlp_graph::op::CompareOp::Lt, local, zero)?;
    let local = node.select(outside, past, local)?;
    let updates = node.reshape(x, &[planes, places])?;
    let nothing = node.scalar(node.dtype(x), 0.0);
    let empty = node.broadcast(nothing, &[planes, area])?;
    let filled = replaced_elements(node, empty, local, updates, 1)?;
    let shape: Vec<u64> = dims[..2].iter().chain(&inferred).copied().collect();
    let filled = node.reshape(filled, &shape)?;
    if wanted == inferred {
        return Ok(vec![filled]);
    }
    let after = [0, 0].into_iter().chain(wanted.iter().zip(&inferred).map(|(wanted, have)| wanted - have)).collect();
    Ok(vec![node.emit(Op::Pad { before: vec![0; dims.len()], after }, &[filled, nothing])?])
}
