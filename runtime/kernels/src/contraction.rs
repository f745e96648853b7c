//! A convolution or matrix product, driven over its tiles.
//!
//! Output pixels are cut into blocks whose input fits a cache, output channels into the widths that tiles have. Where no window reaches into
//! padding and taps are long, tiles read the input in place. Elsewhere a block's input rows are first copied with their padding (and converted to what
//! the integer dot product reads): once an element, never once a tap.

use crate::finish::{FinishF32, FinishI8, Raw};
use crate::simd::DotFormat;
use crate::table::{Kernels, MAX_COLS};
use crate::tile::convert::Pixels;
use crate::tile::matrix::{FinishInt, Tile};
use crate::tile::widen::{Panel, Stored};
use crate::window::Window;
use std::ops::Range;

/// Bytes of input that a block has at least, where there are as many: about a first-level cache.
const MIN_BLOCK_BYTES: usize = 40 * 1024;

/// Bytes of input that a block aims at where weights are many, since each block reads all of them: part of a second-level cache.
const MAX_BLOCK_BYTES: usize = 192 * 1024;

/// Pixels that a block has at most, so that work can be spread and the table of pointers stays small.
const BLOCK_PIXELS: usize = 1024;

/// The greatest working memory of one thread, in bytes.
pub const MAX_SCRATCH: usize = 1 << 28;

/// Element type, and what padding reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    F32,
    Bytes { signed: bool, pad_value: i32 },
}

/// A run of output channels that one tile spans.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    pub channel: usize,
    pub cols: usize,
    /// Units that the tile spans; none for the tile of half a unit.
    pub units: usize,
}

/// A convolution prepared for one instruction set.
pub struct Contraction {
    kernels: &'static Kernels,
    window: Window,
    input: Input,
    /// Repacked weights; the plan's own bytes are used where there are none.
    repacked: Option<Vec<u32>>,
    /// How weights of floats are kept, where that is not as floats.
    stored: Option<Stored>,
    /// Bytes from the weights of one image to those of the next; 0 where all have the same.
    image_weights: usize,
    /// What each channel's sum begins with, as bits, padded past the widest tile.
    init: Vec<u32>,
    shape: Shape,
    /// Output rows of a block; for a pointwise convolution a row is a pixel.
    block_rows: usize,
    blocks_per_image: usize,
    columns: Vec<Columns>,
    chunks: usize,
}

/// How tiles walk over the input, or over its staged copy.
struct Shape {
    /// Byte offsets of the taps from a pixel's pointer.
    taps: Vec<usize>,
    /// Steps of four bytes a tap.
    steps: usize,
    /// Bytes of a panel of weights.
    panel: usize,
    /// Bytes from one pixel to the next, and from one row to the next.
    pixel_bytes: usize,
    row_bytes: usize,
    /// Bytes that one pixel's taps read.
    depth_bytes: usize,
    staged: bool,
}

/// Where a contraction reads and works.
#[derive(Clone, Copy, Debug)]
pub struct ContractionBuffers {
    /// The input buffer's first element.
    pub input: *const u8,
    /// The packed weights as the plan holds them.
    pub weights: *const u8,
    /// The scales of [`Stored`] weights, where they have some.
    pub scales: *const f32,
    /// [`Contraction::scratch_bytes`] bytes for this thread alone, aligned to 64.
    pub scratch: *mut u8,
}

/// A block's pixels as tiles see them.
struct Block {
    first_pixel: usize,
    pixels: usize,
    pointers: *mut *const u8,
}

impl Shape {
    /// `None` where a single output row takes more than [`MAX_SCRATCH`] bytes of input.
    fn new(kernels: &Kernels, window: &Window, input: Input) -> Option<Shape> {
        let readable = match (input, kernels.dot) {
            (Input::F32, _) => true,
            (Input::Bytes { .. }, DotFormat::PairsI16) => false,
            (Input::Bytes { signed, .. }, DotFormat::QuadsU8) => !signed,
            (Input::Bytes { signed, .. }, DotFormat::QuadsI8) => signed,
        };
        let staged = !readable || !reads_in_place(window, input);
        // Integer channels are padded to whole quads, in weights and in the staged copy.
        let (padded_c, channel_bytes, element) = match input {
            Input::F32 => (window.in_c, 4, 4),
            Input::Bytes { .. } => (window.in_c.next_multiple_of(4), kernels.dot.channel_bytes(), 1),
        };
        let [kh, kw] = window.kernel;
        let tap_bytes = padded_c * channel_bytes;
        let pixel_bytes = if staged { tap_bytes } else { window.in_pixel * element };
        let columns = if staged { staged_columns(window) } else { window.in_w };
        let row_bytes = columns.checked_mul(pixel_bytes)?;
        let rows = (kh - 1) * window.dilation[0] + 1;
        rows.checked_mul(row_bytes).filter(|&bytes| !staged || bytes <= MAX_SCRATCH)?;
        // Neighbouring taps of a row may lie side by side: one long tap.
        let (taps, steps) = if kw == 1 || window.dilation[1] == 1 && pixel_bytes == tap_bytes {
            ((0..kh).map(|y| y * window.dilation[0] * row_bytes).collect(), kw * tap_bytes / 4)
        } else {
            let tap = |y: usize, x: usize| y * window.dilation[0] * row_bytes + x * window.dilation[1] * pixel_bytes;
            ((0..kh).flat_map(|y| (0..kw).map(move |x| tap(y, x))).collect(), tap_bytes / 4)
        };
        let depth_bytes = kh * kw * tap_bytes;
        Some(Shape { taps, steps, panel: depth_bytes / 4 * 64, pixel_bytes, row_bytes, depth_bytes, staged })
    }

    /// Output rows of a block. `narrow` weights are widened once a block, so that more rows pay.
    fn block_rows(&self, window: &Window, threads: usize, narrow: bool) -> usize {
        let most = (BLOCK_PIXELS / window.out_w).max(1);
        let max = if narrow { 2 * MAX_BLOCK_BYTES } else { MAX_BLOCK_BYTES };
        let block_bytes = (self.depth_bytes.saturating_mul(window.out_c) / 4).clamp(MIN_BLOCK_BYTES, max);
        let row_bytes = window.stride[0].saturating_mul(self.row_bytes).max(1);
        let rows = (block_bytes / row_bytes).clamp(1, most).min(window.out_h);
        if threads < 2 {
            return rows;
        }
        // A block for each thread, but none so small that its tiles are thin.
        let least = 24_usize.div_ceil(window.out_w).min(rows);
        rows.min(window.out_h.div_ceil(threads)).max(least)
    }
}

impl Contraction {
    /// A contraction of `f32`, over weights `[ceil(out_c/16)][kh][kw][in_c][16]`, whose sums begin with `bias` (empty for none). `None` where its
    /// window takes more than [`MAX_SCRATCH`] bytes of working memory.
    pub fn f32(kernels: &'static Kernels, window: Window, bias: &[f32], threads: usize) -> Option<Contraction> {
        let init = bias.iter().map(|b| b.to_bits()).collect();
        Contraction::new(kernels, window, Input::F32, None, init, threads)
    }

    /// Products of `f32` as [`Contraction::f32`], of each image of a window without taps or strides, over weights of its own: `[batch][ceil(out_c/16)][in_c][16]`.
    pub fn per_image(kernels: &'static Kernels, window: Window, bias: &[f32], threads: usize) -> Option<Contraction> {
        if !window.is_pointwise() {
            return None;
        }
        let init = bias.iter().map(|b| b.to_bits()).collect();
        let pixels = window.in_h * window.in_w;
        let mut made = Contraction::of_window(kernels, window.in_columns(pixels), Input::F32, None, init, threads)?;
        made.image_weights = made.shape.panel * window.out_c.div_ceil(16);
        Some(made)
    }

    /// A product of `f32` as [`Contraction::f32`], over weights that are kept in fewer bits. `None` too where a panel of them takes more than
    /// [`MAX_SCRATCH`] bytes as floats, or their scales are not for whole blocks of inputs.
    pub fn narrow(kernels: &'static Kernels, window: Window, stored: Stored, bias: &[f32], threads: usize) -> Option<Contraction> {
        if stored.per().is_some_and(|per| per == 0 || !window.in_c.is_multiple_of(per)) || window.kernel != [1, 1] {
            return None;
        }
        let init = bias.iter().map(|b| b.to_bits()).collect();
        let made = Contraction::new(kernels, window, Input::F32, Some(stored), init, threads)?;
        (made.widened_bytes() <= MAX_SCRATCH).then_some(made)
    }

    /// A contraction of bytes, over weights `[ceil(out_c/16)][kh][kw][ceil(in_c/4)][16][4]`, whose sums begin with `bias` (empty for none). `None` as
    /// for [`Contraction::f32`].
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
        threads: usize,
    ) -> Option<Contraction> {
        let taps = window.kernel[0] * window.kernel[1];
        let quads = taps * window.in_c.div_ceil(4);
        let weights = &weights[..window.out_c.div_ceil(16) * quads * 64];
        // What the instruction's operand is moved by is taken off again with the sum of the weights.
        let moved: i32 = match (kernels.dot, signed) {
            (DotFormat::QuadsU8, true) => 128,
            (DotFormat::QuadsI8, false) => -128,
            _ => 0,
        };
        let mut init: Vec<u32> = bias.iter().map(|&b| b as u32).collect();
        init.resize(window.out_c, 0);
        for (c, first) in init.iter_mut().enumerate() {
            let panel = &weights[c / 16 * quads * 64..][..quads * 64];
            let own = panel.chunks_exact(64).flat_map(|quad| &quad[c % 16 * 4..][..4]);
            let sum = own.fold(0_i32, |sum, &w| sum.wrapping_add(i32::from(w as i8)));
            *first = first.wrapping_sub(moved.wrapping_mul(sum) as u32);
        }
        let mut made = Contraction::new(kernels, window, Input::Bytes { signed, pad_value }, None, init, threads)?;
        if kernels.dot == DotFormat::PairsI16 {
            made.repacked = Some(pairs_of_quads(weights));
        }
        Some(made)
    }

    fn new(
        kernels: &'static Kernels,
        window: Window,
        input: Input,
        stored: Option<Stored>,
        init: Vec<u32>,
        threads: usize,
    ) -> Option<Contraction> {
        let window = if window.is_pointwise() { Window { batch: 1, ..window.in_columns(window.pixels()) } } else { window };
        Contraction::of_window(kernels, window, input, stored, init, threads)
    }

    /// As [`Contraction::new`], blocks being cut from each image of the window as it is.
    fn of_window(
        kernels: &'static Kernels,
        window: Window,
        input: Input,
        stored: Option<Stored>,
        mut init: Vec<u32>,
        threads: usize,
    ) -> Option<Contraction> {
        init.resize(window.out_c + MAX_COLS, 0);
        let shape = Shape::new(kernels, &window, input)?;
        // Integer tiles come in whole units alone.
        let half = if input == Input::F32 { kernels.half_unit() } else { 0 };
        let columns = split_columns(window.out_c, kernels.unit, half);
        let block_rows = shape.block_rows(&window, threads, stored.is_some());
        // Blocks of one size, rather than a small last one.
        let blocks_per_image = window.out_h.div_ceil(block_rows);
        let block_rows = window.out_h.div_ceil(blocks_per_image);
        let blocks = blocks_per_image * window.batch;
        let chunks = if threads > 1 { (2 * threads).div_ceil(blocks).clamp(1, columns.len().max(1)) } else { 1 };
        let (repacked, image_weights) = (None, 0);
        Some(Contraction {
            kernels,
            window,
            input,
            repacked,
            stored,
            image_weights,
            init,
            shape,
            block_rows,
            blocks_per_image,
            columns,
            chunks,
        })
    }

    /// Pieces of work, all independent.
    pub fn items(&self) -> usize {
        self.blocks_per_image * self.window.batch * self.chunks
    }

    /// Bytes that [`ContractionBuffers::scratch`] needs.
    pub fn scratch_bytes(&self) -> usize {
        let pixels = self.block_rows * self.window.out_w;
        let pointers = (pixels * size_of::<*const u8>()).next_multiple_of(64);
        let staged = if self.shape.staged { (self.staged_rows(self.block_rows) * self.shape.row_bytes).next_multiple_of(64) } else { 0 };
        pointers + staged + self.widened_bytes() + pixels * MAX_COLS * 4 + 64
    }

    /// Bytes of the scratch before the sums of a block, which end it but for 64 bytes.
    fn sums_at(&self) -> usize {
        self.scratch_bytes() - 64 - self.block_rows * self.window.out_w * MAX_COLS * 4
    }

    /// Bytes of the panels of a tile as floats, where weights are kept in fewer bits.
    fn widened_bytes(&self) -> usize {
        self.stored.map_or(0, |_| self.shape.panel.saturating_mul(MAX_COLS / 16))
    }

    /// Makes floats of the panels of a tile's channels, and says where they are.
    ///
    /// # Safety
    /// As for [`Contraction::run_f32`].
    unsafe fn widened(&self, stored: Stored, columns: &Columns, buffers: &ContractionBuffers) -> *const u8 {
        let (steps, first) = (self.shape.panel / 64, columns.channel / 16);
        let at = self.sums_at() - self.widened_bytes();
        // SAFETY: the scratch has room for as many panels before the sums of a block as a tile reads; weights and scales are those of whole panels.
        unsafe {
            let area = buffers.scratch.add(at);
            for panel in 0..columns.cols.div_ceil(16) {
                let scales = stored.per().map_or(core::ptr::null(), |per| buffers.scales.add((first + panel) * (steps / per) * 16));
                (self.kernels.widen)(&Panel {
                    stored,
                    from: buffers.weights.add((first + panel) * steps * stored.step_bytes()),
                    scales,
                    to: area.add(panel * self.shape.panel).cast(),
                    steps,
                });
            }
            area
        }
    }

    /// Whether the weights were rewritten, so that those of the plan are not read again.
    pub fn has_own_weights(&self) -> bool {
        self.repacked.is_some()
    }

    /// Multiplications of one run, for estimates.
    pub fn macs(&self) -> u64 {
        let w = &self.window;
        (w.pixels() as u64) * (w.out_c as u64) * (w.in_c as u64) * (w.kernel[0] * w.kernel[1]) as u64
    }

    fn staged_rows(&self, rows: usize) -> usize {
        (rows - 1) * self.window.stride[0] + (self.window.kernel[0] - 1) * self.window.dilation[0] + 1
    }

    /// Runs `items` of a contraction of `f32`.
    ///
    /// # Safety
    /// The buffers are as [`ContractionBuffers`] and the constructor say, with 64 readable bytes past the end of input and weights; `finish` covers the output. No other
    /// thread runs the same items.
    pub unsafe fn run_f32(&self, items: Range<usize>, buffers: &ContractionBuffers, finish: &FinishF32) {
        for item in items {
            // SAFETY: the caller's promise.
            unsafe {
                self.each_tile(
                    item,
                    buffers,
                    |columns, rows, tile| self.kernels.tiles_f32[columns.units][rows - 1](tile, finish),
                    |_, _| {},
                );
            }
        }
    }

    /// Runs `items` of a contraction of bytes.
    ///
    /// # Safety
    /// As for [`Contraction::run_f32`].
    pub unsafe fn run_i8(&self, items: Range<usize>, buffers: &ContractionBuffers, finish: &FinishI8<'_>) {
        let finish = FinishInt::Bytes(*finish);
        for item in items {
            // SAFETY: the caller's promise.
            unsafe {
                self.each_tile(
                    item,
                    buffers,
                    |columns, rows, tile| self.kernels.tiles_i8[columns.units - 1][rows - 1](tile, &finish),
                    |_, _| {},
                );
            }
        }
    }

    /// Runs `items` and hands the sums (`f32` or `i32`) of each block and width of channels to `then`.
    ///
    /// # Safety
    /// As for [`Contraction::run_f32`].
    pub unsafe fn run_sums(&self, items: Range<usize>, buffers: &ContractionBuffers, mut then: impl FnMut(Raw)) {
        // SAFETY: the scratch ends with room for the sums of a block.
        let at = unsafe { buffers.scratch.add(self.sums_at()) };
        for item in items {
            let base = |block_pixel: usize, channel: usize| at.wrapping_sub((block_pixel * MAX_COLS + channel) * 4);
            let first = self.block_pixel(item);
            let tile = |columns: &Columns, rows: usize, tile: &Tile| {
                let base = base(first, columns.channel);
                // SAFETY: the scratch holds whole vectors of every pixel of the block.
                unsafe {
                    match self.input {
                        Input::F32 => {
                            let (lo, hi) = (f32::NEG_INFINITY, f32::INFINITY);
                            let out = base.cast();
                            let finish = FinishF32 {
                                out,
                                out_pixel: MAX_COLS,
                                residual: core::ptr::null(),
                                residual_pixel: 0,
                                residual_cols: 0,
                                lo,
                                hi,
                            };
                            self.kernels.tiles_f32[columns.units][rows - 1](tile, &finish);
                        }
                        Input::Bytes { .. } => {
                            self.kernels.tiles_i8[columns.units - 1][rows - 1](tile, &FinishInt::Sums(base.cast(), MAX_COLS));
                        }
                    }
                }
            };
            let done = |columns: &Columns, block: &Block| {
                let (pixel, rows) = (block.first_pixel, block.pixels);
                then(Raw { at, stride: MAX_COLS, pixel, rows, channel: columns.channel, cols: columns.cols });
            };
            // SAFETY: the caller's promise.
            unsafe { self.each_tile(item, buffers, tile, done) };
        }
    }

    fn block_pixel(&self, item: usize) -> usize {
        let block = item / self.chunks;
        let row = block % self.blocks_per_image * self.block_rows;
        (block / self.blocks_per_image * self.window.out_h + row) * self.window.out_w
    }

    /// Calls `run` with each tile of an item, and `done` after the last tile of a width of channels.
    unsafe fn each_tile(
        &self,
        item: usize,
        buffers: &ContractionBuffers,
        run: impl Fn(&Columns, usize, &Tile),
        mut done: impl FnMut(&Columns, &Block),
    ) {
        // SAFETY: the caller's promise.
        let Some(block) = (unsafe { self.prepare(item / self.chunks, buffers) }) else { return };
        let chunk = item % self.chunks;
        let share = chunk * self.columns.len() / self.chunks..(chunk + 1) * self.columns.len() / self.chunks;
        let image = item / self.chunks / self.blocks_per_image;
        // Weights that were rewritten are those of all images.
        let own = buffers.weights.wrapping_add(image * self.image_weights);
        let weights = self.repacked.as_ref().map_or(own, |w| w.as_ptr().cast());
        for columns in &self.columns[share] {
            // SAFETY: the caller's promise; the first panel of the channels.
            let weights = unsafe {
                match self.stored {
                    Some(stored) => self.widened(stored, columns, buffers),
                    None => weights.add(columns.channel / 16 * self.shape.panel),
                }
            };
            let most = self.kernels.tiles_f32[columns.units].len();
            for (from, rows, count) in tile_runs(block.pixels, most) {
                // SAFETY: every pointer of the block is set; panels and first values of the columns are inside their arrays.
                let tile = unsafe {
                    Tile {
                        rows: block.pointers.add(from).cast_const(),
                        taps: self.shape.taps.as_ptr(),
                        tap_count: self.shape.taps.len(),
                        steps: self.shape.steps,
                        weights,
                        panel: self.shape.panel,
                        init: self.init.as_ptr().add(columns.channel).cast(),
                        pixel: block.first_pixel + from,
                        count,
                        channel: columns.channel,
                        cols: columns.cols,
                    }
                };
                run(columns, rows, &tile);
            }
            done(columns, &block);
        }
    }

    /// Fills the table of pixel pointers, and the staged copy where there is one.
    unsafe fn prepare(&self, block: usize, buffers: &ContractionBuffers) -> Option<Block> {
        let w = &self.window;
        let (image, first_row) = (block / self.blocks_per_image, block % self.blocks_per_image * self.block_rows);
        let rows = w.out_h.checked_sub(first_row)?.min(self.block_rows);
        let pixels = rows * w.out_w;
        let first_pixel = (image * w.out_h + first_row) * w.out_w;
        let pointers = buffers.scratch.cast::<*const u8>();
        // SAFETY: the scratch begins with a pointer for each pixel of a block; inputs are inside the caller's buffers.
        unsafe {
            if self.shape.staged {
                let area = buffers.scratch.add((self.block_rows * w.out_w * size_of::<*const u8>()).next_multiple_of(64));
                self.stage(image, first_row, rows, buffers.input, area);
                let row_bytes = self.shape.row_bytes;
                for y in 0..rows {
                    let row = area.add(y * w.stride[0] * row_bytes);
                    for x in 0..w.out_w {
                        *pointers.add(y * w.out_w + x) = row.add(x * w.stride[1] * self.shape.pixel_bytes);
                    }
                }
            } else {
                let element = if self.input == Input::F32 { 4 } else { 1 };
                let image = buffers.input.add(image * w.in_h * self.shape.row_bytes + w.in_offset * element);
                for y in 0..rows {
                    let row = image.add((first_row + y) * w.stride[0] * self.shape.row_bytes);
                    for x in 0..w.out_w {
                        *pointers.add(y * w.out_w + x) = row.add(x * w.stride[1] * self.shape.pixel_bytes);
                    }
                }
            }
        }
        Some(Block { first_pixel, pixels, pointers })
    }

    /// Copies the input rows that output rows `first_row..first_row + rows` read, with padding.
    unsafe fn stage(&self, image: usize, first_row: usize, rows: usize, input: *const u8, area: *mut u8) {
        let w = &self.window;
        let columns = staged_columns(w);
        if w.is_pointwise() {
            // Rows of one pixel, none of them padding: one run of pixels, not a call for each.
            let first = (image * w.in_h + first_row) * w.in_pixel + w.in_offset;
            // SAFETY: the caller's promise; the area has a pixel for each row.
            return unsafe { self.copy_pixels(input, first, area, rows) };
        }
        let top = (first_row * w.stride[0]) as isize - w.pad[0] as isize;
        // Columns before the input, in it, and after it.
        let before = w.pad[1].min(columns);
        let inside = w.in_w.min(columns - before);
        for y in 0..self.staged_rows(rows) {
            let row = top + y as isize;
            // SAFETY: `y` is a row of the area, `row` one of the input.
            unsafe {
                let to = area.add(y * columns * self.shape.pixel_bytes);
                if row < 0 || row as usize >= w.in_h {
                    self.pad(to, columns);
                    continue;
                }
                let first = (image * w.in_h + row as usize) * w.in_w * w.in_pixel + w.in_offset;
                self.pad(to, before);
                self.copy_pixels(input, first, to.add(before * self.shape.pixel_bytes), inside);
                self.pad(to.add((before + inside) * self.shape.pixel_bytes), columns - before - inside);
            }
        }
    }

    /// Writes `pixels` pixels of padding.
    unsafe fn pad(&self, to: *mut u8, pixels: usize) {
        let bytes = pixels * self.shape.pixel_bytes;
        // SAFETY: the caller's area.
        unsafe {
            match (self.input, self.kernels.dot) {
                (Input::F32, _) => core::ptr::write_bytes(to, 0, bytes),
                (Input::Bytes { pad_value, .. }, DotFormat::PairsI16) => {
                    let value = self.byte_value(pad_value as u8) as i16;
                    core::slice::from_raw_parts_mut(to.cast::<i16>(), bytes / 2).fill(value);
                }
                (Input::Bytes { pad_value, .. }, _) => core::ptr::write_bytes(to, self.byte_value(pad_value as u8) as u8, bytes),
            }
        }
    }

    /// A byte of the input as the dot product reads it.
    fn byte_value(&self, byte: u8) -> i32 {
        let signed = matches!(self.input, Input::Bytes { signed: true, .. });
        match (self.kernels.dot, signed) {
            (DotFormat::PairsI16, true) => i32::from(byte as i8),
            (DotFormat::PairsI16, false) => i32::from(byte),
            (DotFormat::QuadsU8, true) | (DotFormat::QuadsI8, false) => i32::from(byte ^ 0x80),
            (DotFormat::QuadsU8, false) | (DotFormat::QuadsI8, true) => i32::from(byte),
        }
    }

    /// Copies and converts `pixels` pixels from element `first`.
    unsafe fn copy_pixels(&self, input: *const u8, first: usize, to: *mut u8, pixels: usize) {
        let w = &self.window;
        // SAFETY: the caller's input and area. Channels past `in_c` in the area meet weights of zero, so what they hold is of no account, but they are set.
        unsafe {
            match self.input {
                Input::F32 => {
                    let from = input.cast::<f32>().add(first);
                    if w.in_pixel == w.in_c {
                        core::ptr::copy_nonoverlapping(from, to.cast(), pixels * w.in_c);
                    } else {
                        for i in 0..pixels {
                            core::ptr::copy_nonoverlapping(from.add(i * w.in_pixel), to.cast::<f32>().add(i * w.in_c), w.in_c);
                        }
                    }
                }
                Input::Bytes { signed, .. } => {
                    (self.kernels.convert)(&Pixels {
                        from: input.add(first),
                        to,
                        count: pixels,
                        channels: w.in_c,
                        pixel: w.in_pixel,
                        signed,
                    });
                }
            }
        }
    }
}

/// Whether tiles may read the input as it lies: no window reaches into padding, and a tap is long enough, or the taps of a row are one.
fn reads_in_place(w: &Window, input: Input) -> bool {
    let inside = |out: usize, axis: usize, size: usize| {
        w.pad[axis] == 0 && out.saturating_sub(1) * w.stride[axis] + (w.kernel[axis] - 1) * w.dilation[axis] < size
    };
    let run = w.in_pixel == w.in_c && w.dilation[1] == 1 && (input == Input::F32 || w.in_c.is_multiple_of(4));
    inside(w.out_h, 0, w.in_h) && inside(w.out_w, 1, w.in_w) && (w.kernel[1] == 1 || run || w.in_c >= 16)
}

/// Input columns, padding included, that the outputs of a row read.
fn staged_columns(w: &Window) -> usize {
    w.out_w.saturating_sub(1) * w.stride[1] + (w.kernel[1] - 1) * w.dilation[1] + 1
}

/// `[quad][16][4]` bytes as `[pair][16][2]` of `i16`, two to a `u32`.
fn pairs_of_quads(weights: &[u8]) -> Vec<u32> {
    let mut pairs = Vec::with_capacity(weights.len() / 2);
    for quad in weights.chunks_exact(64) {
        for half in 0..2 {
            pairs.extend(quad.chunks_exact(4).map(|w| {
                let wide = |byte: u8| u32::from(i16::from(byte as i8) as u16);
                wide(w[half * 2]) | wide(w[half * 2 + 1]) << 16
            }));
        }
    }
    pairs
}

/// `pixels` pixels in tiles of at most `most`: first pixel, pixels of a tile and tiles of each run of them. The tiles are of nearly one size, since the latency of a
/// thin last one would show: some a pixel larger, then the others.
pub(crate) fn tile_runs(pixels: usize, most: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let tiles = pixels.div_ceil(most).max(1);
    let (rows, larger) = (pixels / tiles, pixels % tiles);
    [(0, rows + 1, larger), (larger * (rows + 1), rows, tiles - larger)].into_iter().filter(|&(_, rows, count)| rows * count > 0)
}

/// Two units a tile, which never begins inside a panel, and at the end what is left: in a tile of `half` a unit's channels (0 for none) where that does.
pub(crate) fn split_columns(out_c: usize, unit: usize, half: usize) -> Vec<Columns> {
    let mut columns = Vec::new();
    let mut channel = 0;
    while channel < out_c {
        let left = out_c - channel;
        let units = match left {
            _ if left <= half => 0,
            _ if left <= unit + half => 1,
            _ => 2,
        };
        let cols = if units == 0 { left } else { left.min(units * unit) };
        columns.push(Columns { channel, cols, units });
        channel += cols;
    }
    columns
}
