//! Windows over spatial axes: what convolutions and pools share.

use crate::infer::constant_dim;
use crate::numbers::Elements;
use crate::op::{Layout, Spatial};
use crate::ops::movement::{axes_last, for_each_position, inverse, transposed};
use crate::shape::{Dim, Shape};
use crate::tensor::Tensor;
use mlp_bundle::DType;

impl Layout {
    /// The channel axis of a tensor of that rank.
    pub fn channel_axis(self, rank: usize) -> usize {
        match self {
            Layout::ChannelsFirst => 1,
            Layout::ChannelsLast => rank - 1,
        }
    }

    /// The first spatial axis.
    pub fn spatial_axis(self) -> usize {
        match self {
            Layout::ChannelsFirst => 2,
            Layout::ChannelsLast => 1,
        }
    }
}

impl Spatial {
    /// How many windows lie along spatial axis `axis` of that size, if any does.
    pub fn windows(&self, axis: usize, size: u64) -> Option<u64> {
        let padded = size.checked_add(self.pads_begin[axis])?.checked_add(self.pads_end[axis])?;
        let reach = (self.kernel[axis] - 1).checked_mul(self.dilations[axis])?.checked_add(1)?;
        Some(padded.checked_sub(reach)? / self.strides[axis] + 1)
    }

    /// Elements in a window.
    pub fn taps(&self) -> u64 {
        self.kernel.iter().product()
    }
}

/// The shape of windows over `x`, with `channels` in place of its channels.
pub(crate) fn infer(spatial: &Spatial, layout: Layout, x: &Shape, channels: Dim) -> Result<Shape, String> {
    let rank = spatial.kernel.len();
    let lists = [spatial.strides.len(), spatial.dilations.len(), spatial.pads_begin.len(), spatial.pads_end.len()];
    if lists.iter().any(|&len| len != rank) {
        return Err("kernel, strides, dilations and pads differ in length".into());
    }
    if rank == 0 || x.rank() != rank + 2 {
        return Err(format!("{rank} spatial axes need an operand of rank {}, but it is {x}", rank + 2));
    }
    if spatial.kernel.iter().chain(&spatial.strides).chain(&spatial.dilations).any(|&size| size == 0) {
        return Err("kernel sizes, strides and dilations must be at least 1".into());
    }
    let mut shape = x.clone();
    shape.0[layout.channel_axis(x.rank())] = channels;
    for axis in 0..rank {
        let dim = &mut shape.0[layout.spatial_axis() + axis];
        let size = constant_dim(&format!("spatial axis {axis}"), *dim)?;
        let windows = spatial.windows(axis, size);
        *dim = Dim::Const(windows.ok_or_else(|| format!("no window of {} fits spatial axis {axis} of {x}", spatial.kernel[axis]))?);
    }
    Ok(shape)
}

/// Which input element each tap of each window reads, as row-major positions in the spatial axes alone.
pub(crate) struct Taps<'a> {
    spatial: &'a Spatial,
    input: &'a [u64],
}

impl<'a> Taps<'a> {
    /// The taps over spatial axes of these sizes.
    pub(crate) fn new(spatial: &'a Spatial, input: &'a [u64]) -> Taps<'a> {
        Taps { spatial, input }
    }

    /// For each window in row-major order calls `visit` with its taps in row-major order: a position, or none in the padding.
    pub(crate) fn for_each_window(&self, output: &[u64], mut visit: impl FnMut(&[Option<usize>])) {
        let mut taps = Vec::with_capacity(self.spatial.taps() as usize);
        for_each_position(output, |window| {
            taps.clear();
            for_each_position(&self.spatial.kernel, |tap| taps.push(self.position(window, tap)));
            visit(&taps);
        });
    }

    fn position(&self, window: &[u64], tap: &[u64]) -> Option<usize> {
        let Spatial { strides, dilations, pads_begin, .. } = self.spatial;
        window
            .iter()
            .enumerate()
            .try_fold(0u64, |position, (axis, &index)| {
                let at = (index * strides[axis] + tap[axis] * dilations[axis]).checked_sub(pads_begin[axis])?;
                (at < self.input[axis]).then(|| position * self.input[axis] + at)
            })
            .map(|position| position as usize)
    }
}

/// The sizes of the spatial axes.
pub(crate) fn spatial_sizes(layout: Layout, shape: &[u64]) -> &[u64] {
    let first = layout.spatial_axis();
    &shape[first..first + shape.len() - 2]
}

/// `x` with its channels last.
pub(crate) fn channels_last(layout: Layout, x: &Tensor) -> Tensor {
    match layout {
        Layout::ChannelsLast => x.clone(),
        Layout::ChannelsFirst => transposed(x, &axes_last(x.shape().len(), &[1])),
    }
}

/// A tensor of `elements` in the order N, spatial, channels, in the given layout and shape.
pub(crate) fn from_channels_last(layout: Layout, elements: &Elements, dtype: DType, shape: &[u64]) -> Tensor {
    match layout {
        Layout::ChannelsLast => elements.store(dtype, shape),
        Layout::ChannelsFirst => {
            let perm = axes_last(shape.len(), &[1]);
            let stored: Vec<u64> = perm.iter().map(|&axis| shape[axis as usize]).collect();
            transposed(&elements.store(dtype, &stored), &inverse(&perm))
        }
    }
}
