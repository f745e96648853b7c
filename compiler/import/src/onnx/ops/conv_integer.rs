//! `ConvInteger`: what dynamic quantization makes of convolutions.

use super::Row;
use super::byte_weights::{ByteWeights, Zero, integers, less_columns};
use super::conv::convolution;
use super::matmul::less_zero;
use crate::onnx::node::{Imported, NodeImport, One, invalid};
use mlp_graph::op::{Layout, Spatial};
use mlp_graph::{DType, Op, Tensor, ValueId};

pub(super) const TABLE: &[Row] = &[("", "ConvInteger", conv_integer)];

/// Sums of products of integers less their zero points, in `I32`.
fn conv_integer(node: &mut NodeImport<'_>) -> Imported {
    let (x, weights) = (node.input(0)?, node.input(1)?);
    let op = convolution(node, x, weights)?;
    if let (Op::Conv { spatial, groups, .. }, Some(weights)) = (&op, ByteWeights::of(node, weights, node.optional(3), 0)?) {
        return Ok(vec![of_bytes(node, x, &weights, spatial, *groups)?]);
    }
    let x = centred(node, x, 2)?;
    let weights = centred(node, weights, 3)?;
    Ok(vec![node.emit(op, &[x, weights])?])
}

/// `x` less the zero point at input `zero`, which is one number or one a position of its first axis, in `I32`.
fn centred(node: &mut NodeImport<'_>, x: ValueId, zero: usize) -> One {
    let zero = node.optional(zero);
    let dims = zero.map(|zero| node.dims(zero)).unwrap_or_default();
    if dims.len() > 1 {
        return invalid(format!("a zero point has shape {dims:?}"));
    }
    less_zero(node, x, zero, node.rank(x) - 1)
}

/// The convolution of bytes as they stand. What zero points add comes off the sums: that of the input as often as the weights of each filter add up to, those of filters
/// as often as the elements of a window do.
fn of_bytes(node: &mut NodeImport<'_>, x: ValueId, weights: &ByteWeights, spatial: &Spatial, groups: u64) -> One {
    let shape = weights.tensor.shape().to_vec();
    let filters = shape[0];
    let zero = Zero::of(node, node.optional(2))?;
    let mut spatial = spatial.clone();
    let mut x = x;
    let in_zero = match zero {
        Zero::Known(zero) => zero,
        Zero::Computed(_) => {
            x = padded(node, x, &mut spatial)?;
            0
        }
    };
    let op = |spatial: &Spatial| Op::QuantizedConv {
        spatial: spatial.clone(),
        groups,
        layout: Layout::ChannelsFirst,
        in_zero,
        out_zero: 0,
        shift: 1,
        dtype: DType::I32,
        lo: i32::MIN,
        hi: i32::MAX,
    };
    let bias = node.constant(integers(&[filters], &zero.bias(&weights.sums))?);
    let bytes = node.constant(weights.tensor.clone());
    let result = node.emit(op(&spatial), &[x, bytes, bias])?;
    let mut channels = vec![1; node.rank(result)];
    channels[1] = filters;
    let result = zero.taken_off(node, result, integers(&channels, &weights.sums)?)?;
    if weights.zeros.is_empty() {
        return Ok(result);
    }
    // What the elements of each window of a group add up to, as a convolution with weights of 1.
    let window: u64 = shape[1..].iter().product();
    let ones = Tensor::from_values(&[&[groups], &shape[1..]].concat(), &vec![1_i8; (groups * window) as usize]);
    let ones = node.constant(ones.map_err(|error| error.to_string())?);
    let none = node.constant(integers(&[groups], &vec![0; groups as usize])?);
    let mut sums = node.emit(op(&spatial), &[x, ones, none])?;
    if groups > 1 {
        let group: Vec<i64> = (0..filters).map(|filter| (filter / (filters / groups)) as i64).collect();
        let group = node.integers(&group)?;
        sums = node.emit(Op::Gather { axis: 1 }, &[sums, group])?;
    }
    less_columns(node, result, sums, (&zero, window), integers(&channels, &weights.zeros)?)
}

/// The input with the padding of a convolution around it, which reads the zero point: only a run tells that.
fn padded(node: &mut NodeImport<'_>, x: ValueId, spatial: &mut Spatial) -> One {
    let Some(zero) = node.optional(2) else { return Ok(x) };
    let zero = node.as_scalar(zero, "the zero point of the input")?;
    let with_channels = |pads: &mut Vec<u64>| [vec![0, 0], std::mem::take(pads)].concat();
    let (before, after) = (with_channels(&mut spatial.pads_begin), with_channels(&mut spatial.pads_end));
    (spatial.pads_begin, spatial.pads_end) = (vec![0; before.len() - 2], vec![0; after.len() - 2]);
    if before.iter().chain(&after).all(|&pad| pad == 0) {
        return Ok(x);
    }
    node.emit(Op::Pad { before, after }, &[x, zero])
}
