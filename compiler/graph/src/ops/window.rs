//! Windows over spatial axes: what convolutions and pools share.

use crate::infer::constant_dim;
use crate::op::{Layout, Spatial};
use crate::shape::{Dim, Shape};

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
