//! The shape of a convolution.

/// The shape of a two-dimensional convolution of one group over NHWC. A matrix product `[M, K] x [K, N]` is `in_w = out_w = M`, `in_c = K`,
/// `out_c = N`, all else 1 (and no padding).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Images.
    pub batch: usize,
    /// Input rows.
    pub in_h: usize,
    /// Input columns.
    pub in_w: usize,
    /// Input channels summed over; for a depthwise convolution all channels.
    pub in_c: usize,
    /// Elements from one input pixel to the next.
    pub in_pixel: usize,
    /// The first input channel.
    pub in_offset: usize,
    /// Output rows.
    pub out_h: usize,
    /// Output columns.
    pub out_w: usize,
    /// Output channels.
    pub out_c: usize,
    /// Taps, vertically and horizontally.
    pub kernel: [usize; 2],
    /// Input pixels from one output to the next.
    pub stride: [usize; 2],
    /// Input pixels from one tap to the next.
    pub dilation: [usize; 2],
    /// Padding above and to the left.
    pub pad: [usize; 2],
}

impl Window {
    /// Output pixels over all images.
    pub fn pixels(&self) -> usize {
        self.batch * self.out_h * self.out_w
    }

    /// Whether output pixel `m` reads exactly input pixel `m`.
    pub(crate) fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.pad == [0, 0] && self.in_h == self.out_h && self.in_w == self.out_w
    }

    /// A window of which [`Window::is_pointwise`] holds with images of so many pixels, a row each, so that blocks may end anywhere.
    pub(crate) fn in_columns(self, pixels: usize) -> Window {
        Window { in_h: pixels, in_w: 1, out_h: pixels, out_w: 1, ..self }
    }

    /// The input row (or column) that tap `tap` of output `at` reads along `axis`, where it is inside.
    pub(crate) fn source(&self, axis: usize, at: usize, tap: usize) -> Option<usize> {
        let limit = [self.in_h, self.in_w][axis];
        let place = (at * self.stride[axis] + tap * self.dilation[axis]).checked_sub(self.pad[axis])?;
        (place < limit).then_some(place)
    }
}
