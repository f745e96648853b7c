//! `Pool` and `MaxPoolIndices`.

use crate::infer::Inferred;
use crate::ir::Type;
use crate::numbers::{Elements, Number};
use crate::op::{BinaryOp, Layout, PoolKind, Spatial};
use crate::ops::window::{self, Taps};
use crate::tensor::Tensor;
use mlp_bundle::DType;

pub(crate) fn infer(kind: PoolKind, spatial: &Spatial, layout: Layout, x: &Type) -> Inferred {
    if x.dtype == DType::Bool || (kind != PoolKind::Max && !x.dtype.is_float()) {
        return Err(format!("is not defined for {}", x.dtype));
    }
    if x.shape.rank() < 3 {
        return Err(format!("needs a batch, channels and spatial axes, but has {}", x.shape));
    }
    let channels = x.shape.0[layout.channel_axis(x.shape.rank())];
    Ok(Type::new(x.dtype, window::infer(spatial, layout, &x.shape, channels)?))
}

pub(crate) fn infer_indices(spatial: &Spatial, x: &Type) -> Inferred {
    Ok(Type::new(DType::I64, infer(PoolKind::Max, spatial, Layout::ChannelsFirst, x)?.shape))
}

pub(crate) fn eval(kind: PoolKind, spatial: &Spatial, layout: Layout, x: &Tensor, shape: &[u64]) -> Tensor {
    let dtype = x.dtype();
    let x = window::channels_last(layout, x);
    let output = window::spatial_sizes(layout, shape);
    let elements = match kind {
        PoolKind::Max => eval_max(spatial, &x, output),
        PoolKind::Mean => Elements::from_floats(dtype, eval_mean(spatial, &x, output, None)),
        PoolKind::MeanWithPadding => Elements::from_floats(dtype, eval_mean(spatial, &x, output, Some(spatial.taps()))),
    };
    window::from_channels_last(layout, &elements, dtype, shape)
}

/// Calls `visit` with each window's taps and its image's first element, for `x` with its channels last.
fn for_each_window(spatial: &Spatial, x: &Tensor, output: &[u64], mut visit: impl FnMut(usize, &[Option<usize>])) {
    let input = window::spatial_sizes(Layout::ChannelsLast, x.shape());
    let image = x.shape()[1..].iter().product::<u64>() as usize;
    for n in 0..x.shape()[0] as usize {
        Taps::new(spatial, input).for_each_window(output, |taps| visit(n * image, taps));
    }
}

/// Means over `divisor` elements, or over those that are not padding.
fn eval_mean(spatial: &Spatial, x: &Tensor, output: &[u64], divisor: Option<u64>) -> Vec<f64> {
    let channels = *x.shape().last().expect("a channel axis") as usize;
    let values = x.to_f64();
    let mut means = Vec::new();
    for_each_window(spatial, x, output, |image, taps| {
        let start = means.len();
        means.resize(start + channels, 0.0);
        let mut inside = 0u64;
        for at in taps.iter().flatten() {
            inside += 1;
            let pixel = &values[image + at * channels..][..channels];
            means[start..].iter_mut().zip(pixel).for_each(|(mean, value)| *mean += value);
        }
        // A window that lies in the padding alone has the mean 0.
        let count = divisor.unwrap_or(inside).max(1) as f64;
        means[start..].iter_mut().for_each(|mean| *mean /= count);
    });
    means
}

fn eval_max(spatial: &Spatial, x: &Tensor, output: &[u64]) -> Elements {
    fn each<T: Number>(spatial: &Spatial, x: &Tensor, output: &[u64], values: &[T], least: T) -> Vec<T> {
        let channels = *x.shape().last().expect("a channel axis") as usize;
        let mut best = Vec::new();
        for_each_window(spatial, x, output, |image, taps| {
            let start = best.len();
            best.resize(start + channels, least);
            for at in taps.iter().flatten() {
                let pixel = &values[image + at * channels..][..channels];
                best[start..].iter_mut().zip(pixel).for_each(|(best, &value)| *best = best.binary(BinaryOp::Max, value));
            }
        });
        best
    }
    match Elements::load(x) {
        Elements::I32(values) => Elements::I32(each(spatial, x, output, &values, lowest(x.dtype()))),
        Elements::U32(values) => Elements::U32(each(spatial, x, output, &values, 0)),
        Elements::I64(values) => Elements::I64(each(spatial, x, output, &values, i64::MIN)),
        Elements::U64(values) => Elements::U64(each(spatial, x, output, &values, 0)),
        Elements::F32(values) => Elements::F32(each(spatial, x, output, &values, f32::NEG_INFINITY)),
        Elements::F64(values) => Elements::F64(each(spatial, x, output, &values, f64::NEG_INFINITY)),
        Elements::Bool(_) => unreachable!("the shape rule refuses bool"),
    }
}

/// The least value of an element type that computes in `I32`.
fn lowest(dtype: DType) -> i32 {
    crate::ops::quantized::range(dtype).0
}

pub(crate) fn eval_indices(spatial: &Spatial, column_major: bool, x: &Tensor, shape: &[u64]) -> Tensor {
    let input = window::spatial_sizes(Layout::ChannelsFirst, x.shape());
    let plane = input.iter().product::<u64>() as usize;
    let moved = window::channels_last(Layout::ChannelsFirst, x);
    let channels = x.shape()[1] as usize;
    let values = moved.to_f64();
    let mut found = Vec::new();
    for_each_window(spatial, &moved, window::spatial_sizes(Layout::ChannelsFirst, shape), |image, taps| {
        for channel in 0..channels {
            let value = |at: usize| values[image + at * channels + channel];
            let best = taps.iter().flatten().copied().reduce(|best, at| if value(best) < value(at) { at } else { best }).unwrap_or(0);
            let at = if column_major { column_major_position(best, input) } else { best };
            found.push((image + channel * plane + at) as i64);
        }
    });
    window::from_channels_last(Layout::ChannelsFirst, &Elements::I64(found), DType::I64, shape)
}

/// The column-major number of the element whose row-major number is `position`.
fn column_major_position(position: usize, sizes: &[u64]) -> usize {
    let (mut rest, mut number) = (position, 0);
    for (axis, &size) in sizes.iter().enumerate().rev() {
        let stride: u64 = sizes[..axis].iter().product();
        number += rest % size as usize * stride as usize;
        rest /= size as usize;
    }
    number
}
