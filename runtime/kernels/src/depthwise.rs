//! A depthwise convolution, driven over runs of channels and the rows of its output.
//!
//! A run of channels is so short that the input rows which an output row reads, and the run's weights, stay in the second-level cache from one row to the next.

use crate::contraction::MAX_SCRATCH;
use crate::finish::{FinishF32, FinishI8, Raw};
use crate::table::{Kernels, RowF32, RowFormat, RowI8, StencilFormat};
use crate::tile::depthwise::RowTile;
use crate::tile::matrix::FinishInt;
use crate::tile::quads;
use crate::tile::stencil::{MAX_EXACT_TAPS, STENCIL_PIXELS};
use crate::window::Window;
use std::ops::Range;

/// Pixels of the widest tile that is no stencil.
const PIXELS: usize = 4;

/// Bytes of input rows and weights that a run of channels aims at: part of a second-level cache. Shorter runs for the first level lose more by
/// touching memory in small pieces than they win.
const RUN_BYTES: usize = 160 * 1024;

/// A column outside the input.
const OUTSIDE: usize = usize::MAX;

/// A depthwise convolution prepared for one instruction set.
pub struct DepthwiseConv {
    kernels: &'static Kernels,
    window: Window,
    element: usize,
    signed: bool,
    /// Repacked weights of bytes: `f32`, quads, or pairs of `i16`; `f32` weights are the plan's own.
    repacked: Vec<u32>,
    init: Vec<u32>,
    /// What taps outside the input read: one pixel.
    padding: Vec<u8>,
    /// The tiles of an output row.
    spans: Vec<Span>,
    /// Of each span's first tile, what it reads of an input row, in the order of the tile's pointers: bytes from the row's first pixel, or [`OUTSIDE`].
    columns: Vec<usize>,
    /// Which of [`Kernels::stencils_f32`] or [`Kernels::stencils_i8`] fits.
    stencil: Option<usize>,
    /// Channels of a run, a multiple of 16.
    run: usize,
}

/// The place of tiles of one width in an output row.
#[derive(Clone, Copy, Debug)]
struct Span {
    x: usize,
    width: usize,
    /// How many there are: one, or several that read inside the input.
    tiles: usize,
    /// Whether all columns that they read are inside the input.
    inside: bool,
    /// Its part of [`DepthwiseConv::columns`].
    first: usize,
    count: usize,
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
    /// Of `f32`, over weights `[kh][kw][c rounded up to 16]`; sums begin with `bias` (empty for none). `None` where its window
    /// takes more than [`MAX_SCRATCH`] bytes of tables.
    pub fn f32(kernels: &'static Kernels, window: Window, bias: &[f32]) -> Option<DepthwiseConv> {
        let init = bias.iter().map(|b| b.to_bits()).collect();
        DepthwiseConv::new(kernels, window, 4, false, 0, init)
    }

    /// Of bytes, over weights `[kh][kw][c rounded up to 16]` of `i8`; sums begin with `bias` (empty for none). `None` as
    /// for [`DepthwiseConv::f32`].
    ///
    /// # Panics
    /// If `weights` is shorter than that.
    pub fn int8(
        kernels: &'static Kernels,
        window: Window,
        signed: bool,
        pad_value: i32,
        weights: &[u8],
        bias: &[i32],
    ) -> Option<DepthwiseConv> {
        let init = bias.iter().map(|&b| b as u32).collect();
        let mut made = DepthwiseConv::new(kernels, window, 1, signed, pad_value as u8, init)?;
        let (taps, padded) = (window.kernel[0] * window.kernel[1], window.out_c.next_multiple_of(16));
        let weight = |tap: usize, c: usize| i16::from(weights[tap * padded + c] as i8);
        let pair = |first: i16, second: i16| u32::from(first as u16) | u32::from(second as u16) << 16;
        made.repacked = if made.reads_quads() {
            if signed {
                // The tiles move signed bytes up by 128, which is taken off again with the sum of the weights.
                for (c, first) in made.init.iter_mut().enumerate() {
                    let sum: i32 = (0..taps).map(|tap| i32::from(weight(tap, c))).sum();
                    *first = first.wrapping_sub((128 * sum) as u32);
                }
            }
            made.init = quads::order(window.out_c).into_iter().map(|c| made.init[c]).collect();
            quads::pack(weights, window.kernel, padded)
        } else if made.stencil.is_some() {
            (0..taps * padded).map(|i| f32::from(weights[i] as i8).to_bits()).collect()
        } else {
            match kernels.row_format {
                RowFormat::Taps => (0..taps)
                    .flat_map(|tap| (0..padded).step_by(2).map(move |c| (tap, c)))
                    .map(|(tap, c)| pair(weight(tap, c), weight(tap, c + 1)))
                    .collect(),
                RowFormat::TapPairs => {
                    let next = |tap: usize, c: usize| if tap + 1 < taps { weight(tap + 1, c) } else { 0 };
                    let blocks = (0..padded).step_by(16).flat_map(|block| (0..taps).step_by(2).map(move |tap| (block, tap)));
                    blocks
                        .flat_map(|(block, tap)| (block..block + 16).map(move |c| (tap, c)))
                        .map(|(tap, c)| pair(weight(tap, c), next(tap, c)))
                        .collect()
                }
            }
        };
        Some(made)
    }

    fn new(kernels: &'static Kernels, window: Window, element: usize, signed: bool, pad: u8, mut init: Vec<u32>) -> Option<DepthwiseConv> {
        let entries = window.out_w.checked_mul(window.kernel[1])?.checked_mul(window.kernel[0].max(2))?;
        if entries > MAX_SCRATCH / 16 {
            return None;
        }
        init.resize(window.out_c.next_multiple_of(16), 0);
        let padding = vec![pad; window.out_c.next_multiple_of(16) * element];
        let [_, kw] = window.kernel;
        let quads = element == 1 && kernels.stencil_format == StencilFormat::Quads;
        let exact = element == 4 || quads || window.kernel[0] * kw < MAX_EXACT_TAPS;
        let fits = exact && matches!(kw, 3 | 5) && matches!(window.stride[1], 1 | 2) && window.dilation[1] == 1;
        let stencil = fits.then(|| kw - 3 + window.stride[1] - 1);
        let quads = quads && stencil.is_some();
        // With steps of 2 a stencil's columns serve fewer pixels, and more of them cost more than they win.
        let most = match stencil {
            Some(stencil) if quads => kernels.stencils_i8[stencil].len(),
            Some(_) if window.stride[1] == 1 => STENCIL_PIXELS,
            _ => PIXELS,
        };
        let (spans, columns) = spans(&window, element, stencil.is_some(), quads, most);
        let [kh, kw] = window.kernel;
        let (weight_bytes, least) = if quads { (quads::channel_quads([kh, kw]) * 4, 64) } else { (kh * kw * element.max(2), 32) };
        let run = RUN_BYTES / (kh * window.in_w * element + weight_bytes) / least * least;
        let run = run.clamp(if quads { 64 } else { 16 }, window.out_c.next_multiple_of(16).max(least));
        Some(DepthwiseConv { kernels, window, element, signed, repacked: Vec::new(), init, padding, spans, columns, stencil, run })
    }

    /// Whether its tiles are those of `tile::quads`.
    fn reads_quads(&self) -> bool {
        self.element == 1 && self.stencil.is_some() && self.kernels.stencil_format == StencilFormat::Quads
    }

    fn rows(&self) -> usize {
        self.window.batch * self.window.out_h
    }

    /// Pieces of work, all independent: the output's rows, by runs of channels.
    pub fn items(&self) -> usize {
        self.rows() * self.window.out_c.div_ceil(self.run)
    }

    /// The items of one of `shares` threads: the same rows of every run of channels, so that a thread reads what it has written in the step before. Where
    /// rows are few the items are split as they come.
    pub fn share(&self, index: usize, shares: usize) -> impl Iterator<Item = Range<usize>> {
        let few = self.rows() < 8 * shares;
        let (pieces, each) = if few { (1, self.items()) } else { (self.items() / self.rows(), self.rows()) };
        (0..pieces).map(move |piece| piece * each + index * each / shares..piece * each + (index + 1) * each / shares)
    }

    /// Bytes that [`DepthwiseBuffers::scratch`] needs.
    pub fn scratch_bytes(&self) -> usize {
        self.pointers_bytes() + STENCIL_PIXELS * self.run * 4
    }

    fn pointers_bytes(&self) -> usize {
        let most = self.spans.iter().map(|span| span.count).max().unwrap_or(0);
        (self.window.kernel[0] * most * size_of::<*const u8>()).next_multiple_of(64)
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
        unsafe { self.each_tile(items, buffers, true, |pixels, tile| self.row_f32(pixels)(tile, finish)) }
    }

    /// Runs `items` of a convolution of bytes.
    ///
    /// # Safety
    /// As for [`DepthwiseConv::run_f32`].
    pub unsafe fn run_i8(&self, items: Range<usize>, buffers: &DepthwiseBuffers, finish: &FinishI8<'_>) {
        let finish = FinishInt::Bytes(*finish);
        // SAFETY: the caller's promise.
        unsafe { self.each_tile(items, buffers, true, |pixels, tile| self.row_i8(pixels)(tile, &finish)) }
    }

    /// Runs `items` and hands the sums (`f32` or `i32`) of each tile to `then`.
    ///
    /// # Safety
    /// As for [`DepthwiseConv::run_f32`].
    pub unsafe fn run_sums(&self, items: Range<usize>, buffers: &DepthwiseBuffers, then: impl Fn(Raw)) {
        let stride = self.run;
        // SAFETY: the scratch ends with room for the sums of a tile.
        let at = unsafe { buffers.scratch.add(self.pointers_bytes()) };
        let run = |pixels: usize, tile: &RowTile| {
            let base = at.wrapping_sub((tile.pixel * stride + tile.from) * 4);
            // SAFETY: as above; sums are stored for whole vectors.
            unsafe {
                if self.element == 4 {
                    let (lo, hi) = (f32::NEG_INFINITY, f32::INFINITY);
                    let finish = FinishF32 {
                        out: base.cast(),
                        out_pixel: stride,
                        residual: core::ptr::null(),
                        residual_pixel: 0,
                        residual_cols: 0,
                        lo,
                        hi,
                    };
                    self.row_f32(pixels)(tile, &finish);
                } else {
                    self.row_i8(pixels)(tile, &FinishInt::Sums(base.cast(), stride));
                }
            }
            then(Raw { at, stride, pixel: tile.pixel, rows: pixels, channel: tile.from, cols: tile.to - tile.from });
        };
        // SAFETY: the caller's promise.
        unsafe { self.each_tile(items, buffers, false, run) }
    }

    /// Calls `run` with the width and the operands of tiles; of several at once where `together`.
    unsafe fn each_tile(&self, items: Range<usize>, buffers: &DepthwiseBuffers, together: bool, run: impl Fn(usize, &RowTile)) {
        let w = &self.window;
        let pointers = buffers.scratch.cast::<*const u8>();
        let step = w.stride[1] * w.in_pixel * self.element;
        let weights = if self.repacked.is_empty() { buffers.weights } else { self.repacked.as_ptr().cast() };
        for item in items {
            let (row, from) = (item % self.rows(), item / self.rows() * self.run);
            let (image, y) = (row / w.out_h, row % w.out_h);
            let row_inside = self.row_inside(y);
            for span in &self.spans {
                let advance = span.width * step;
                let shared = row_inside && span.inside;
                let (calls, repeats) = if shared && together { (1, span.tiles) } else { (span.tiles, 1) };
                for call in 0..calls {
                    // Pointers into the input serve all tiles, moved along; those to the padding do not move.
                    if call == 0 || !shared {
                        // SAFETY: the scratch begins with a pointer a row of taps and column.
                        unsafe { self.point(image, y, (span, call * advance), buffers.input, pointers) };
                    }
                    run(
                        span.width,
                        &RowTile {
                            sources: pointers.cast_const(),
                            shift: if shared { call * advance } else { 0 },
                            taps: if self.stencil.is_some() { w.kernel[0] } else { w.kernel[0] * w.kernel[1] },
                            weights,
                            init: self.init.as_ptr().cast(),
                            channels: w.out_c,
                            from,
                            to: w.out_c.min(from + self.run),
                            pixel: row * w.out_w + span.x + call * span.width,
                            signed: self.signed,
                            repeats,
                            advance,
                        },
                    );
                }
            }
        }
    }

    fn row_f32(&self, pixels: usize) -> RowF32 {
        match self.stencil {
            Some(stencil) => self.kernels.stencils_f32[stencil][pixels - 1],
            None => self.kernels.rows_f32[pixels - 1],
        }
    }

    fn row_i8(&self, pixels: usize) -> RowI8 {
        match self.stencil {
            Some(stencil) => self.kernels.stencils_i8[stencil][pixels - 1],
            None => self.kernels.rows_i8[pixels - 1],
        }
    }

    fn row_inside(&self, y: usize) -> bool {
        self.window.source(0, y, 0).is_some() && self.window.source(0, y, self.window.kernel[0] - 1).is_some()
    }

    /// Sets the pointers of a tile of row `y`, so many bytes after its span's first.
    unsafe fn point(&self, image: usize, y: usize, (span, along): (&Span, usize), input: *const u8, pointers: *mut *const u8) {
        let w = &self.window;
        let columns = &self.columns[span.first..span.first + span.count];
        let padding = self.padding.as_ptr();
        let mut at = pointers;
        for ky in 0..w.kernel[0] {
            let row = w.source(0, y, ky).map(|row| (image * w.in_h + row) * w.in_w * w.in_pixel * self.element);
            for &column in columns {
                // SAFETY: row and column are inside the input, `at` inside the table.
                unsafe {
                    *at = match row {
                        Some(row) if column != OUTSIDE => input.add(row + column + along),
                        _ => padding,
                    };
                    at = at.add(1);
                }
            }
        }
    }
}

/// The tiles of an output row, of nearly one width and at most `most` pixels, and the columns that they read: for a stencil each once, else those of every tap. Wide
/// ones come first, so that many stand side by side that differ in their place alone.
fn spans(w: &Window, element: usize, stencil: bool, quads: bool, most: usize) -> (Vec<Span>, Vec<usize>) {
    let tiles = w.out_w.div_ceil(most);
    let (mut spans, mut columns): (Vec<Span>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut x = 0;
    for tile in 0..tiles {
        let width = w.out_w / tiles + usize::from(tile < w.out_w % tiles);
        let (first, end) = (columns.len(), x + width);
        let place = |x: usize, kx: usize| w.source(1, x, kx).map_or(OUTSIDE, |column| (column * w.in_pixel + w.in_offset) * element);
        if stencil {
            // Taps past the last stand for the columns that the span's other pixels reach.
            let reach = (width - 1) * w.stride[1] + w.kernel[1];
            // What completes a quad meets weights of zero, and need but be readable.
            let count = if quads { quads::quad_columns(width, w.kernel[1], w.stride[1]) } else { reach };
            columns.extend((0..count).map(|column| place(x, column.min(reach - 1))));
        } else {
            columns.extend((0..w.kernel[1]).flat_map(|kx| (x..end).map(move |x| place(x, kx))));
        }
        let inside = columns[first..].iter().all(|&column| column != OUTSIDE);
        match spans.last_mut() {
            Some(last) if inside && last.inside && last.width == width => {
                last.tiles += 1;
                columns.truncate(first);
            }
            _ => spans.push(Span { x, width, tiles: 1, inside, first, count: columns.len() - first }),
        }
        x = end;
    }
    (spans, columns)
}
