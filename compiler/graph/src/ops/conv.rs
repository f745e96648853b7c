//! `Conv`.

use crate::infer::{Inferred, constant_dim, expect_dtype, expect_shape};
use crate::ir::Type;
use crate::numbers::Elements;
use crate::op::{Layout, Spatial};
use crate::ops::matmul::Sum;
use crate::ops::movement::transposed;
use crate::ops::window::{self, Taps};
use crate::shape::{Dim, Shape};
use crate::tensor::Tensor;
use mlp_bundle::DType;

pub(crate) fn infer(spatial: &Spatial, groups: u64, layout: Layout, operands: &[Type]) -> Inferred {
    let (x, weights) = (&operands[0], &operands[1]);
    expect_dtype("the input", x, &[DType::F16, DType::F32, DType::F64, DType::I32])?;
    expect_dtype("the weights", weights, &[x.dtype])?;
    let shape = infer_shape(spatial, groups, layout, &x.shape, &weights.shape)?;
    if let Some(bias) = operands.get(2) {
        expect_dtype("the bias", bias, &[x.dtype])?;
        expect_shape("the bias", bias, &weights.shape.0[..1])?;
    }
    Ok(Type::new(x.dtype, shape))
}

/// The result's shape from those of the input and the weights, whatever the arithmetic.
pub(crate) fn infer_shape(spatial: &Spatial, groups: u64, layout: Layout, x: &Shape, weights: &Shape) -> Result<Shape, String> {
    let rank = spatial.kernel.len() + 2;
    if x.rank() != rank || weights.rank() != rank {
        return Err(format!("input {x} and weights {weights} must have rank {rank}"));
    }
    let channels = constant_dim("the number of channels", x.0[layout.channel_axis(rank)])?;
    let made = constant_dim("the number of filters", weights.0[0])?;
    if groups == 0 || channels % groups != 0 || made % groups != 0 {
        return Err(format!("{groups} groups do not divide {channels} channels and {made} filters"));
    }
    let mut expected = vec![Dim::Const(made), Dim::Const(channels / groups)];
    expected.extend(spatial.kernel.iter().map(|&size| Dim::Const(size)));
    if weights.0 != expected {
        return Err(format!("the weights must have shape {}, but have {weights}", Shape(expected)));
    }
    window::infer(spatial, layout, x, Dim::Const(made))
}

pub(crate) fn eval(spatial: &Spatial, groups: u64, layout: Layout, operands: &[&Tensor], shape: &[u64]) -> Tensor {
    let x = window::channels_last(layout, operands[0]);
    let sizes = Sizes::new(spatial, groups, layout, &x, operands[1], shape);
    if let (Some(x), Some(weights)) = (x.as_i32(), packed(operands[1], groups).as_i32()) {
        let bias = operands.get(2).and_then(|bias| bias.as_i32());
        let sums = sum_windows(&sizes, &x, &weights, bias.as_deref(), 0);
        return window::from_channels_last(layout, &Elements::I32(sums), DType::I32, shape);
    }
    let bias = operands.get(2).map(|bias| bias.to_f64());
    let sums = sum_windows(&sizes, &x.to_f64(), &packed(operands[1], groups).to_f64(), bias.as_deref(), 0.0);
    let dtype = operands[0].dtype();
    window::from_channels_last(layout, &Elements::from_floats(dtype, sums), dtype, shape)
}

/// The sizes of a convolution with channels last.
pub(crate) struct Sizes<'a> {
    spatial: &'a Spatial,
    batch: usize,
    input: Vec<u64>,
    output: Vec<u64>,
    groups: usize,
    /// Input channels of a group.
    depth: usize,
    /// Filters of a group.
    filters: usize,
}

impl<'a> Sizes<'a> {
    /// The sizes for `x` with its channels last, weights as operations have them, and the result's shape in `layout`.
    pub(crate) fn new(spatial: &'a Spatial, groups: u64, layout: Layout, x: &Tensor, weights: &Tensor, shape: &[u64]) -> Sizes<'a> {
        Sizes {
            spatial,
            batch: shape[0] as usize,
            input: window::spatial_sizes(Layout::ChannelsLast, x.shape()).to_vec(),
            output: window::spatial_sizes(layout, shape).to_vec(),
            groups: groups as usize,
            depth: weights.shape()[1] as usize,
            filters: (weights.shape()[0] / groups) as usize,
        }
    }
}

/// Weights `[G * F, D, taps...]` in the order `[G, taps..., D, F]`: the innermost loop runs over filters.
pub(crate) fn packed(weights: &Tensor, groups: u64) -> Tensor {
    let mut shape = vec![groups, weights.shape()[0] / groups];
    shape.extend_from_slice(&weights.shape()[1..]);
    let grouped = weights.reshaped(&shape).expect("groups divide the filters");
    let mut perm = vec![0];
    perm.extend(3..shape.len() as u32);
    perm.extend([2, 1]);
    transposed(&grouped, &perm)
}

/// The sums of all windows, in the order N, spatial, channels; padding reads `padding`.
pub(crate) fn sum_windows<T: Sum>(sizes: &Sizes, x: &[T], weights: &[T], bias: Option<&[T]>, padding: T) -> Vec<T> {
    let Sizes { spatial, batch, input, output, groups, depth, filters } = sizes;
    let (channels, taps) = (groups * depth, spatial.taps() as usize);
    let image = input.iter().product::<u64>() as usize * channels;
    let mut sums = Vec::with_capacity(batch * output.iter().product::<u64>() as usize * groups * filters);
    let padded = vec![padding; *depth];
    for n in 0..*batch {
        let x = &x[n * image..(n + 1) * image];
        Taps::new(spatial, input).for_each_window(output, |positions| {
            for group in 0..*groups {
                let start = sums.len();
                match bias {
                    Some(bias) => sums.extend_from_slice(&bias[group * filters..(group + 1) * filters]),
                    None => sums.resize(start + filters, T::default()),
                }
                for (tap, position) in positions.iter().enumerate() {
                    let pixel = position.map_or(&padded[..], |at| &x[at * channels + group * depth..][..*depth]);
                    let rows = &weights[(group * taps + tap) * depth * filters..][..depth * filters];
                    T::add_products(&mut sums[start..], pixel, rows);
                }
            }
        });
    }
    sums
}
