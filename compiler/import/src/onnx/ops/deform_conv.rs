//! Deformable convolution: the taps of every window are sampled where the offsets move them, and their columns multiplied with the weights.

use super::Row;
use super::sampling::{Merge, Table, beside_channels, linear_or_zero, sample};
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid};
use crate::onnx::window::window;
use mlp_graph::op::{BinaryOp, Spatial};
use mlp_graph::{DType, Op, Tensor, ValueId};

pub(super) const TABLE: &[Row] = &[("", "DeformConv", deform_conv)];

/// The sizes of a deformable convolution.
struct Sizes {
    batch: u64,
    channels: u64,
    /// Sizes of the image's axes.
    image: Vec<u64>,
    /// Sizes of the result's axes.
    output: Vec<u64>,
    /// Taps of a window.
    taps: u64,
    /// Groups of channels that share their offsets.
    offset_groups: u64,
    spatial: Spatial,
}

fn deform_conv(node: &mut NodeImport<'_>) -> Imported {
    let (x, weights, offset) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let (bias, mask) = (node.optional(3), node.optional(4));
    let (dims, kernel) = (node.dims(x), node.dims(weights));
    let groups = positive(node, "group")?;
    let offset_groups = positive(node, "offset_group")?;
    if dims.len() < 3 || kernel.len() != dims.len() || dims.contains(&0) || kernel.contains(&0) {
        return invalid(format!("weights of shape {kernel:?} do not fit an image of shape {dims:?}"));
    }
    let spatial = window(node, &dims[2..], Some(&kernel[2..]))?.spatial;
    if dims[1] % groups != 0 || dims[1] % offset_groups != 0 || kernel[0] % groups != 0 || kernel[1] * groups != dims[1] {
        return invalid(format!("{} channels and weights of shape {kernel:?} do not make up {groups} groups", dims[1]));
    }
    let extent = |axis: usize| (spatial.kernel[axis] - 1) * spatial.dilations[axis] + 1;
    let outputs =
        |axis: usize| (dims[2 + axis] + spatial.pads_begin[axis] + spatial.pads_end[axis] - extent(axis)) / spatial.strides[axis] + 1;
    let output: Vec<u64> = (0..dims.len() - 2).map(outputs).collect();
    let (image, taps) = (dims[2..].to_vec(), spatial.kernel.iter().product());
    let sizes = Sizes { batch: dims[0], channels: dims[1], image, output, taps, offset_groups, spatial };
    let (dtype, wide) = (node.dtype(x), if node.dtype(x) == DType::F64 { DType::F64 } else { DType::F32 });
    let (x, offset, weights) = (node.cast(wide, x)?, node.cast(wide, offset)?, node.cast(wide, weights)?);
    let columns = columns(node, x, offset, mask, &sizes)?;
    let places: u64 = sizes.output.iter().product();
    let inner = kernel[1] * sizes.taps;
    let columns = node.reshape(columns, &[sizes.batch, groups, inner, places])?;
    let weights = node.reshape(weights, &[groups, kernel[0] / groups, inner])?;
    let product = node.emit(Op::MatMul, &[weights, columns])?;
    let shape: Vec<u64> = [sizes.batch, kernel[0]].into_iter().chain(sizes.output.iter().copied()).collect();
    let mut y = node.reshape(product, &shape)?;
    if let Some(bias) = bias {
        let mut shape = vec![kernel[0]];
        shape.resize(sizes.output.len() + 1, 1);
        let bias = node.cast(wide, bias)?;
        let bias = node.reshape(bias, &shape)?;
        y = node.binary(BinaryOp::Add, y, bias)?;
    }
    Ok(vec![node.cast(dtype, y)?])
}

fn positive(node: &NodeImport<'_>, name: &str) -> Result<u64, Problem> {
    match node.attributes.int(name)?.map_or(Ok(1), u64::try_from) {
        Ok(value) if value > 0 => Ok(value),
        _ => invalid(format!("attribute `{name}` must be positive")),
    }
}

/// What each tap of each window reads, `[N, C, taps, places]`.
fn columns(node: &mut NodeImport<'_>, x: ValueId, offset: ValueId, mask: Option<ValueId>, sizes: &Sizes) -> One {
    let (axes, groups) = (sizes.image.len(), sizes.offset_groups);
    let places: u64 = sizes.output.iter().product();
    let shape =
        |inner: u64| -> Vec<u64> { [sizes.batch, groups * sizes.taps * inner].into_iter().chain(sizes.output.iter().copied()).collect() };
    if node.dims(offset) != shape(axes as u64) {
        return invalid(format!("the offsets have shape {:?}, but {:?} is needed", node.dims(offset), shape(axes as u64)));
    }
    let all = [sizes.batch, groups, sizes.taps, axes as u64, places];
    let offset = node.reshape(offset, &all)?;
    let mut taps = Vec::with_capacity(axes);
    for axis in 0..axes {
        let mut part = all;
        part[3] = 1;
        let moved = node.slice(offset, vec![0, 0, 0, axis as i64, 0], vec![1; 5], &part)?;
        let moved = node.reshape(moved, &[sizes.batch, groups, sizes.taps, places])?;
        let regular = regular(node, sizes, axis)?;
        let regular = node.cast(node.dtype(moved), regular)?;
        let position = node.binary(BinaryOp::Add, moved, regular)?;
        taps.push(linear_or_zero(node, position, sizes.image[axis])?);
    }
    let (each, area) = (sizes.channels / groups, sizes.image.iter().product::<u64>());
    let rows = node.reshape(x, &[sizes.batch, groups, each, area])?;
    let rows = node.transpose(&[0, 1, 3, 2], rows)?;
    let rows = node.reshape(rows, &[sizes.batch * groups * area, each])?;
    let images = node.positions(sizes.batch * groups, 0, 1)?;
    let images = node.reshape(images, &[sizes.batch, groups, 1, 1])?;
    let first = node.with_number(BinaryOp::Mul, images, area as f64)?;
    let mut sampled = sample(node, &Table { rows, sizes: sizes.image.clone(), first }, &taps, Merge::Sum)?;
    if let Some(mask) = mask {
        if node.dims(mask) != shape(1) {
            return invalid(format!("the mask has shape {:?}, but {:?} is needed", node.dims(mask), shape(1)));
        }
        let mask = node.cast(node.dtype(sampled), mask)?;
        let mask = node.reshape(mask, &[sizes.batch, groups, sizes.taps, places])?;
        let mask = beside_channels(node, mask)?;
        sampled = node.binary(BinaryOp::Mul, sampled, mask)?;
    }
    // [N, groups, taps, places, C / groups]
    let turned = node.transpose(&[0, 1, 4, 2, 3], sampled)?;
    node.reshape(turned, &[sizes.batch, sizes.channels, sizes.taps, places])
}

/// Where the taps of the windows lie along an axis without offsets, `[1, 1, taps, places]`.
fn regular(node: &mut NodeImport<'_>, sizes: &Sizes, axis: usize) -> One {
    let places: u64 = sizes.output.iter().product();
    let along = |flat: u64, of: &[u64]| flat / of[axis + 1..].iter().product::<u64>() % of[axis];
    let of_tap = |tap: u64| (along(tap, &sizes.spatial.kernel) * sizes.spatial.dilations[axis]) as f32;
    let of_place = |place: u64| (along(place, &sizes.output) * sizes.spatial.strides[axis]) as f32 - sizes.spatial.pads_begin[axis] as f32;
    if !node.builder.may_create((sizes.taps + places) * 4) {
        return invalid("the windows of the model are too many");
    }
    let taps: Vec<f32> = (0..sizes.taps).map(of_tap).collect();
    let starts: Vec<f32> = (0..places).map(of_place).collect();
    let taps = Tensor::from_f32(&[sizes.taps, 1], &taps).map_err(|error| error.to_string())?;
    let starts = Tensor::from_f32(&[1, places], &starts).map_err(|error| error.to_string())?;
    let (taps, starts) = (node.constant(taps), node.constant(starts));
    node.binary(BinaryOp::Add, taps, starts)
}
