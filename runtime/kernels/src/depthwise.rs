//! A depthwise convolution, driven over the rows of its output.

use crate::finish::{FinishF32, FinishI8, Raw};
use crate::table::{Kernels, RowFormat};
use crate::tile::depthwise::RowTile;
use crate::tile::matrix::FinishInt;
use crate::window::Window;
use std::ops::Range;

/// Pixels of the widest tile.
const PIXELS: usize = 4;

/// A depthwise convolution prepared for one instruction set.
pub struct DepthwiseConv {
    kernels: &'static Kernels,
    window: Window,
    element: usize,
    signed: bool,
    /// Repacked weights of bytes; `f32` weights are the plan's own.
    repacked: Vec<i16>,
    init: Vec<u32>,
    /// What taps outside the input read: one pixel.
    padding: Vec<u8>,
}

/// Where a depthwise convolution reads and works.
#[derive(Clone, Copy, Debug)]
pub struct DepthwiseBuffers {
    /// The input buffer's first element.
    pub input: *const u8,
    /// The weights as the plan holds them.
    pub weights: *const u8,
    /// [`DepthwiseConv::scratch_bytes`] bytes for this thread alone, aligned to 64.
    pub scratch: *mut u8,
}

impl DepthwiseConv {
    /// Of `f32`, over weights `[kh][kw][c rounded up to 16]`; sums begin with `bias` (empty for none).
    pub fn f32(kernels: &'static Kernels, window: Window, bias: &[f32]) -> DepthwiseConv {
        let init = bias.iter().map(|b| b.to_bits()).collect();
        DepthwiseConv::new(kernels, window, 4, false, 0, init)
    }

    /// Of bytes, over weights `[kh][kw][c rounded up to 16]` of `i8`; sums begin with `bias` (empty for none).
    ///
    /// # Panics
    /// If `weights` is shorter than that.
    pub fn int8(kernels: &'static Kernels, window: Window, signed: bool, pad_value: i32, weights: &[u8], bias: &[i32]) -> DepthwiseConv {
        let init = bias.iter().map(|&b| b as u32).collect();
        let mut made = DepthwiseConv::new(kernels, window, 1, signed, pad_value as u8, init);
        let (taps, padded) = (window.kernel[0] * window.kernel[1], window.out_c.next_multiple_of(16));
        let weight = |tap: usize, c: usize| i16::from(weights[tap * padded + c] as i8);
        made.repacked = match kernels.row_format {
            RowFormat::Taps => (0..taps).flat_map(|tap| (0..padded).map(move |c| weight(tap, c))).collect(),
            RowFormat::TapPairs => {
                let pair = |first: usize, c: usize| [weight(first, c), if first + 1 < taps { weight(first + 1, c) } else { 0 }];
                let block = |c: usize| (0..taps).step_by(2).flat_map(move |first| (c..c + 16).flat_map(move |c| pair(first, c)));
                (0..padded).step_by(16).flat_map(block).collect()
            }
        };
        made
    }

    fn new(kernels: &'static Kernels, window: Window, element: usize, signed: bool, pad: u8, mut init: Vec<u32>) -> DepthwiseConv {
        init.resize(window.out_c.next_multiple_of(16), 0);
        let padding = vec![pad; window.out_c.next_multiple_of(16) * element];
        DepthwiseConv { kernels, window, element, signed, repacked: Vec::new(), init, padding }
    }

    /// Pieces of work, all independent: the output's rows.
    pub fn items(&self) -> usize {
        self.window.batch * self.window.out_h
    }

    /// Bytes that [`DepthwiseBuffers::scratch`] needs.
    pub fn scratch_bytes(&self) -> usize {
        self.pointers_bytes() + PIXELS * self.window.out_c.next_multiple_of(16) * 4
    }

    fn pointers_bytes(&self) -> usize {
        (self.window.kernel[0] * self.window.kernel[1] * PIXELS * size_of::<*const u8>()).next_multiple_of(64)
    }

    /// Multiplications of one run, for estimates.
    pub fn macs(&self) -> u64 {
        let w = &self.window;
        (w.pixels() as u64) * (w.out_c as u64) * (w.kernel[0] * w.kernel[1]) as u64
    }

    /// Runs `items` of a convolution of `f32`.
    ///
    /// # Safety
    /// The buffers are as [`DepthwiseBuffers`] and the constructor say, with 64 readable bytes past the end of input and weights; `finish` covers the output. No other
    /// thread runs the same items.
    pub unsafe fn run_f32(&self, items: Range<usize>, buffers: &DepthwiseBuffers, finish: &FinishF32) {
        // SAFETY: the caller's promise.
        unsafe { self.each_tile(items, buffers, |pixels, tile| self.kernels.rows_f32[pixels - 1](tile, finish)) }
    }

    /// Runs `items` of a convolution of bytes.
    ///
    /// # Safety
    /// As for [`DepthwiseConv::run_f32`].
    pub unsafe fn run_i8(&self, items: Range<usize>, buffers: &DepthwiseBuffers, finish: &FinishI8<'_>) {
        let finish = FinishInt::Bytes(*finish);
        // SAFETY: the caller's promise.
        unsafe { self.each_tile(items, buffers, |pixels, tile| self.kernels.rows_i8[pixels - 1](tile, &finish)) }
    }

    /// Runs `items` and hands the sums (`f32` or `i32`) of each tile to `then`.
    ///
    /// # Safety
    /// As for [`DepthwiseConv::run_f32`].
    pub unsafe fn run_sums(&self, items: Range<usize>, buffers: &DepthwiseBuffers, then: impl Fn(Raw)) {
        let cols = self.window.out_c;
        let stride = cols.next_multiple_of(16);
        // SAFETY: the scratch ends with room for the sums of a tile.
        let at = unsafe { buffers.scratch.add(self.pointers_bytes()) };
        let run = |pixels: usize, tile: &RowTile| {
            let base = at.wrapping_sub(tile.pixel * stride * 4);
            // SAFETY: as above; sums are stored for whole vectors.
            unsafe {
                if self.element == 4 {
                    let (lo, hi) = (f32::NEG_INFINITY, f32::INFINITY);
                    let finish = FinishF32 { out: base.cast(), out_pixel: stride, residual: core::ptr::null(), residual_pixel: 0, lo, hi };
                    self.kernels.rows_f32[pixels - 1](tile, &finish);
                } else {
                    self.kernels.rows_i8[pixels - 1](tile, &FinishInt::Sums(base.cast(), stride));
                }
            }
            then(Raw { at, stride, pixel: tile.pixel, rows: pixels, channel: 0, cols });
        };
        // SAFETY: the caller's promise.
        unsafe { self.each_tile(items, buffers, run) }
    }

    unsafe fn each_tile(&self, items: Range<usize>, buffers: &DepthwiseBuffers, run: impl Fn(usize, &RowTile)) {
        let w = &self.window;
        let pointers = buffers.scratch.cast::<*const u8>();
        let step = w.stride[1] * w.in_pixel * self.element;
        let weights = if self.repacked.is_empty() { buffers.weights } else { self.repacked.as_ptr().cast() };
        for row in items {
            let (image, y) = (row / w.out_h, row % w.out_h);
            // The tile whose pointers, moved along, serve all tiles inside the input: `(first column, width)`.
            let mut shared: Option<(usize, usize)> = None;
            let mut x = 0;
            while x < w.out_w {
                let width = (w.out_w - x).min(PIXELS);
                let inside = w.source(1, x, 0).is_some() && w.source(1, x + width - 1, w.kernel[1] - 1).is_some();
                let mut shift = 0;
                match shared {
                    Some((from, same)) if inside && same == width && self.row_inside(y) => shift = (x - from) * step,
                    _ => {
                        // SAFETY: the scratch begins with a pointer a tap and pixel.
                        unsafe { self.point(image, y, x, width, buffers.input, pointers) };
                        shared = inside.then_some((x, width));
                    }
                }
                run(
                    width,
                    &RowTile {
                        sources: pointers.cast_const(),
                        shift,
                        taps: w.kernel[0] * w.kernel[1],
                        weights,
                        init: self.init.as_ptr().cast(),
                        channels: w.out_c,
                        pixel: row * w.out_w + x,
                        signed: self.signed,
                    },
                );
                x += width;
            }
        }
    }

    fn row_inside(&self, y: usize) -> bool {
        self.window.source(0, y, 0).is_some() && self.window.source(0, y, self.window.kernel[0] - 1).is_some()
    }

    /// Sets the pointers of the taps of `width` pixels from column `x` of row `y`.
    unsafe fn point(&self, image: usize, y: usize, x: usize, width: usize, input: *const u8, pointers: *mut *const u8) {
        let w = &self.window;
        let mut at = pointers;
        for ky in 0..w.kernel[0] {
            let row = w.source(0, y, ky).map(|row| (image * w.in_h + row) * w.in_w);
            for kx in 0..w.kernel[1] {
                for i in 0..width {
                    let pixel = row.zip(w.source(1, x + i, kx)).map(|(row, column)| row + column);
                    // SAFETY: the pixel is inside the input, `at` inside the table.
                    unsafe {
                        *at = match pixel {
                            Some(pixel) => input.add((pixel * w.in_pixel + w.in_offset) * self.element),
                            None => self.padding.as_ptr(),
                        };
                        at = at.add(1);
                    }
                }
            }
        }
    }
}
