//! Convolutions, pools, and what else is done to images.

use super::{Append, Builder, Call, Made};
use mlp_analysis::LayerIntrinsic;
use mlp_graph::op::{BinaryOp, Layout, PoolKind, ReduceKind, Spatial};
use mlp_graph::{Op, ValueId};

/// Windows of that kernel with one stride, dilation and padding on all sides.
fn spatial(kernel: [u64; 2], stride: u64, dilation: u64, padding: u64) -> Spatial {
    Spatial {
        kernel: kernel.to_vec(),
        strides: vec![stride; 2],
        dilations: vec![dilation; 2],
        pads_begin: vec![padding; 2],
        pads_end: vec![padding; 2],
    }
}

pub(super) fn conv(call: &Call<'_>, to: &mut Builder<'_>) -> Made {
    let spatial = spatial(call.size("kernel")?, call.count("stride")?, call.count("dilation")?, call.count("padding")?);
    let mut operands = vec![call.value("x")?, call.weight("weight", to)?];
    operands.extend(call.optional_weight("bias", to)?);
    to.op(Op::Conv { spatial, groups: call.count("groups")?, layout: Layout::ChannelsFirst }, &operands)
}

/// A convolution with the weights turned around, over `x` with zeros between its elements: `y[o] = sum over i, k with i * stride + k = o + padding of x[i] * w[k]`.
pub(super) fn conv_transpose(call: &Call<'_>, to: &mut Builder<'_>) -> Made {
    let (x, kernel) = (call.value("x")?, call.size("kernel")?);
    let (stride, padding, extra, groups) = (call.count("stride")?, call.count("padding")?, call.count("extra")?, call.count("groups")?);
    let spread = spread(x, stride, to)?;
    let weight = turned(call.weight("weight", to)?, groups, to)?;
    // Of the zeros around the spread image, padding cuts some off; where it cuts more than there are, elements go.
    let around = |taps: u64| (taps - 1).saturating_sub(padding);
    let cut = |taps: u64| padding.saturating_sub(taps - 1);
    let spatial = Spatial {
        kernel: kernel.to_vec(),
        strides: vec![1; 2],
        dilations: vec![1; 2],
        pads_begin: kernel.iter().map(|&taps| around(taps)).collect(),
        pads_end: kernel.iter().map(|&taps| around(taps) + extra).collect(),
    };
    let mut operands = vec![spread, weight];
    operands.extend(call.optional_weight("bias", to)?);
    let whole = to.op(Op::Conv { spatial, groups, layout: Layout::ChannelsFirst }, &operands)?;
    let mut dims = to.dims(whole);
    let starts = [0, 0, cut(kernel[0]), cut(kernel[1])];
    if starts == [0; 4] {
        return Ok(whole);
    }
    for axis in 2..4 {
        dims[axis] = dims[axis].checked_sub(2 * starts[axis]).filter(|&size| size > 0).ok_or("its padding cuts everything off")?;
    }
    to.slice(whole, &starts, &dims)
}

/// `x` with `stride - 1` zeros between its rows and columns.
fn spread(x: ValueId, stride: u64, to: &mut Builder<'_>) -> Made {
    let dims = to.dims(x);
    if stride == 1 {
        return Ok(x);
    }
    let [images, channels, height, width] = dims[..] else { return Err("it takes images".to_owned()) };
    let split = to.reshape(x, &[images, channels, height, 1, width, 1])?;
    let padded = to.pad(split, &[0, 0, 0, stride - 1, 0, stride - 1])?;
    let joined = to.reshape(padded, &[images, channels, height * stride, width * stride])?;
    to.slice(joined, &[0; 4], &[images, channels, (height - 1) * stride + 1, (width - 1) * stride + 1])
}

/// Weights `[C, O / groups, ...]` of a transposed convolution as those of a convolution, `[O, C / groups, ...]`, with their taps backwards.
fn turned(weight: ValueId, groups: u64, to: &mut Builder<'_>) -> Made {
    let dims = to.dims(weight);
    let [channels, out, height, width] = dims[..] else { return Err("its weights have four axes".to_owned()) };
    let last = |size: u64| size as i64 - 1;
    let flipped = to.stepped(weight, vec![0, 0, last(height), last(width)], vec![1, 1, -1, -1], &dims)?;
    let grouped = to.reshape(flipped, &[groups, channels / groups, out, height, width])?;
    let swapped = to.transpose(grouped, &[0, 2, 1, 3, 4])?;
    to.reshape(swapped, &[groups * out, channels / groups, height, width])
}

pub(super) fn pool(call: &Call<'_>, layer: LayerIntrinsic, to: &mut Builder<'_>) -> Made {
    let x = call.value("x")?;
    let spatial = spatial(call.size("kernel")?, call.count("stride")?, 1, call.count("padding")?);
    let kind = match layer {
        LayerIntrinsic::MaxPool => PoolKind::Max,
        _ if call.is("count_padding", "yes") => PoolKind::MeanWithPadding,
        _ => PoolKind::Mean,
    };
    to.op(Op::Pool { kind, spatial, layout: Layout::ChannelsFirst }, &[x])
}

pub(super) fn global_pool(call: &Call<'_>, layer: LayerIntrinsic, to: &mut Builder<'_>) -> Made {
    let x = call.value("x")?;
    let kind = if layer == LayerIntrinsic::GlobalMaxPool { ReduceKind::Max } else { ReduceKind::Mean };
    to.op(Op::Reduce { kind, axes: vec![2, 3], keep: false }, &[x])
}

/// Each pixel repeated along rows and columns.
pub(super) fn upsample(call: &Call<'_>, to: &mut Builder<'_>) -> Made {
    let (x, factor) = (call.value("x")?, call.count("factor")?);
    let dims = to.dims(x);
    let [images, channels, height, width] = dims[..] else { return Err("it takes images".to_owned()) };
    let split = to.reshape(x, &[images, channels, height, 1, width, 1])?;
    let repeated = to.broadcast(split, &[images, channels, height, factor, width, factor])?;
    to.reshape(repeated, &[images, channels, height * factor, width * factor])
}

pub(super) fn flatten(call: &Call<'_>, layer: LayerIntrinsic, to: &mut Builder<'_>) -> Made {
    let x = call.value("x")?;
    let dims = to.dims(x);
    let [images, channels, height, width] = dims[..] else { return Err("it takes images".to_owned()) };
    if layer == LayerIntrinsic::Flatten {
        return to.reshape(x, &[images, channels * height * width]);
    }
    let rows = to.reshape(x, &[images, channels, height * width])?;
    to.transpose(rows, &[0, 2, 1])
}

pub(super) fn scale_channels(call: &Call<'_>, to: &mut Builder<'_>) -> Made {
    let (x, by) = (call.value("x")?, call.value("by")?);
    let dims = to.dims(by);
    let column = to.reshape(by, &[dims[0], dims[1], 1, 1])?;
    to.binary(BinaryOp::Mul, x, column)
}
