//! A 3x3 convolution of `f32` by Winograd's F(4x4, 3x3): a quarter of the direct sum's multiplications, for the work of transforming tiles of input and output.
//!
//! The output is cut into tiles of four by four pixels, tiles into blocks. A block's input becomes 36 matrices `[tile][channel]`; each is multiplied by its own
//! matrix of weights in the tiles of matrix products, a width of output channels at a time; and 36 sums a tile and channel become sixteen results.

use crate::contraction::{Columns, ContractionBuffers, split_columns, tile_runs};
use crate::finish::{FinishF32, Raw};
use crate::table::{Kernels, MAX_COLS};
use crate::tile::matrix::Tile;
use crate::tile::winograd::{InputTile, OutputTile, PLACES, weights as transform};
use crate::window::Window;
use std::ops::Range;

/// Rows and columns of results of a tile.
const TILE: usize = 4;

/// Bytes of transformed input and sums that a block aims at: part of a second-level cache.
const BLOCK_BYTES: usize = 384 * 1024;

/// Bytes of transformed weights past which blocks are larger, since each block reads all of them.
const MANY_WEIGHTS: usize = 512 * 1024;

/// Tiles that a block has at most, and at least where there are as many.
const BLOCK_TILES: Range<usize> = 12..96;

/// A vector's worth of weights, aligned so that no load crosses a line of the cache.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// A convolution prepared for one instruction set.
pub struct Winograd {
    kernels: &'static Kernels,
    window: Window,
    /// A width of channels after the other, as they are read: `[place][panels of the width][in_c][16]`.
    weights: Vec<Line>,
    /// What each channel's results have added, padded past the widest tile.
    bias: Vec<f32>,
    /// Zeros: what sums begin with, and what padding reads.
    zeros: Vec<f32>,
    columns: Vec<Columns>,
    grid: Grid,
    chunks: usize,
}

/// Tiles of an image, and how they are cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    /// Rows and columns of tiles of an image.
    tiles: [usize; 2],
    /// Rows and columns of tiles of a block.
    block: [usize; 2],
}

impl Grid {
    /// Blocks of about `target` tiles: whole rows of tiles, or parts of one.
    fn new(window: &Window, target: usize) -> Grid {
        let tiles = [window.out_h.div_ceil(TILE), window.out_w.div_ceil(TILE)];
        let even = |all: usize, most: usize| all.div_ceil(all.div_ceil(most.max(1)).max(1)).max(1);
        let block = if tiles[1] > target { [1, even(tiles[1], target)] } else { [even(tiles[0], target / tiles[1].max(1)), tiles[1]] };
        Grid { tiles, block }
    }

    /// Rows and columns of blocks of an image.
    fn blocks(&self) -> [usize; 2] {
        [self.tiles[0].div_ceil(self.block[0]), self.tiles[1].div_ceil(self.block[1])]
    }

    /// Tiles of a block.
    fn most(&self) -> usize {
        self.block[0] * self.block[1]
    }
}

/// A block: an image, and where its tiles are.
struct Block {
    image: usize,
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Block {
    fn tiles(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// The places of the tiles, in order.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let columns = self.columns.clone();
        self.rows.clone().flat_map(move |y| columns.clone().map(move |x| (y, x)))
    }
}

/// Working memory of a thread, cut up.
struct Areas {
    /// A pointer to each tile's transformed input in the first matrix.
    rows: *mut *const u8,
    input: *mut f32,
    sums: *mut f32,
    results: *mut f32,
}

/// Multiplications of one run: direct, and by tiles with the transforms counted.
fn costs(w: &Window) -> (usize, usize) {
    let tiles = w.batch * w.out_h.div_ceil(TILE) * w.out_w.div_ceil(TILE);
    let direct = w.pixels().saturating_mul(9 * w.in_c * w.out_c);
    // A vector of channels takes about 250 steps to be transformed and stored, there and back.
    let channels = PLACES * w.in_c * w.out_c + 250 * (w.in_c.next_multiple_of(16) + w.out_c.next_multiple_of(16));
    (direct, tiles.saturating_mul(channels))
}

impl Winograd {
    /// Whether a convolution of `f32` is one that tiles are made for, and done sooner so.
    pub fn pays(w: &Window) -> bool {
        if w.kernel != [3, 3] || w.stride != [1, 1] || w.dilation != [1, 1] || w.in_c < 8 || w.out_c < 8 {
            return false;
        }
        let (direct, tiled) = costs(w);
        let tiles = w.batch * w.out_h.div_ceil(TILE) * w.out_w.div_ceil(TILE);
        // Where there are few tiles the weights, four times as many, are read for little.
        tiles >= BLOCK_TILES.start && tiled < direct / 4 * 3
    }

    /// A convolution over weights `[ceil(out_c/16)][3][3][in_c][16]` of `f32`, whose results begin with `bias` (empty for none). `None` where
    /// [`Winograd::pays`] says no, or its window takes more than [`crate::MAX_SCRATCH`] bytes of working memory.
    ///
    /// # Panics
    /// If `weights` is shorter than that.
    pub fn new(kernels: &'static Kernels, window: Window, weights: &[u8], bias: &[f32], threads: usize) -> Option<Winograd> {
        if !Winograd::pays(&window) {
            return None;
        }
        let padded = window.in_c.next_multiple_of(16);
        let panels = window.out_c.div_ceil(16);
        let many = PLACES * panels * window.in_c * 64 > MANY_WEIGHTS;
        let budget = if many { 2 * BLOCK_BYTES } else { BLOCK_BYTES };
        let target = (budget / (PLACES * 4 * (padded + MAX_COLS))).clamp(BLOCK_TILES.start, BLOCK_TILES.end);
        let tiles = window.out_h.div_ceil(TILE) * window.out_w.div_ceil(TILE);
        let grid = Grid::new(&window, target.min((tiles * window.batch).div_ceil(threads.max(1))).max(1));
        let columns = split_columns(window.out_c, kernels.unit, kernels.half_unit());
        let [down, across] = grid.blocks();
        let chunks = if threads > 1 { threads.div_ceil(down * across * window.batch).clamp(1, columns.len()) } else { 1 };
        let mut bias = bias.to_vec();
        bias.resize(window.out_c + MAX_COLS, 0.0);
        let made = Winograd {
            kernels,
            weights: transformed(weights, window.in_c, &columns),
            bias,
            zeros: vec![0.0; padded.max(MAX_COLS)],
            columns,
            grid,
            chunks,
            window,
        };
        (made.scratch_bytes() <= crate::MAX_SCRATCH).then_some(made)
    }

    /// Pieces of work, all independent.
    pub fn items(&self) -> usize {
        let [down, across] = self.grid.blocks();
        self.window.batch * down * across * self.chunks
    }

    /// Bytes that [`ContractionBuffers::scratch`] needs.
    pub fn scratch_bytes(&self) -> usize {
        let most = self.grid.most();
        let padded = self.window.in_c.next_multiple_of(16);
        (most * size_of::<*const u8>()).next_multiple_of(64) + most * 4 * (PLACES * (padded + MAX_COLS) + TILE * TILE * MAX_COLS) + 64
    }

    /// Multiplications of one run, with the work of the transforms counted, for estimates.
    pub fn macs(&self) -> u64 {
        costs(&self.window).1 as u64
    }

    /// Runs `items`.
    ///
    /// # Safety
    /// The buffers are as [`ContractionBuffers`] and the constructor say (the weights are not read), with 64 readable bytes past the end of the input; `finish`
    /// covers the output. No other thread runs the same items.
    pub unsafe fn run_f32(&self, items: Range<usize>, buffers: &ContractionBuffers, finish: &FinishF32) {
        for item in items {
            // SAFETY: the caller's promise.
            unsafe {
                self.each_width(item, buffers, |block, columns, areas| {
                    let w = &self.window;
                    let first = |y: usize, x: usize| (block.image * w.out_h + y * TILE) * w.out_w + x * TILE;
                    self.results(block, columns, areas, (w.out_w, first, columns.channel), finish);
                });
            }
        }
    }

    /// Runs `items` and hands the sums of each row of a block and width of channels to `then`.
    ///
    /// # Safety
    /// As for [`Winograd::run_f32`].
    pub unsafe fn run_sums(&self, items: Range<usize>, buffers: &ContractionBuffers, mut then: impl FnMut(Raw)) {
        let w = &self.window;
        for item in items {
            let each = |block: &Block, columns: &Columns, areas: &Areas| {
                let pitch = block.columns.len() * TILE;
                let finish = FinishF32 {
                    out: areas.results,
                    out_pixel: MAX_COLS,
                    residual: core::ptr::null(),
                    residual_pixel: 0,
                    residual_cols: 0,
                    lo: f32::NEG_INFINITY,
                    hi: f32::INFINITY,
                };
                let first = |y: usize, x: usize| (y - block.rows.start) * TILE * pitch + (x - block.columns.start) * TILE;
                // SAFETY: the area of results holds every pixel of the block, whole vectors of channels.
                unsafe { self.results(block, columns, areas, (pitch, first, 0), &finish) };
                let left = block.columns.start * TILE;
                let rows = (block.columns.end * TILE).min(w.out_w) - left;
                for y in block.rows.start * TILE..(block.rows.end * TILE).min(w.out_h) {
                    let at = areas.results.wrapping_add((y - block.rows.start * TILE) * pitch * MAX_COLS).cast();
                    let pixel = (block.image * w.out_h + y) * w.out_w + left;
                    then(Raw { at, stride: MAX_COLS, pixel, rows, channel: columns.channel, cols: columns.cols });
                }
            };
            // SAFETY: the caller's promise.
            unsafe { self.each_width(item, buffers, each) };
        }
    }

    /// Calls `then` with the sums of each width of channels of an item.
    unsafe fn each_width(&self, item: usize, buffers: &ContractionBuffers, mut then: impl FnMut(&Block, &Columns, &Areas)) {
        let Some(block) = self.block(item / self.chunks) else { return };
        let areas = self.areas(buffers.scratch);
        let chunk = item % self.chunks;
        let share = chunk * self.columns.len() / self.chunks..(chunk + 1) * self.columns.len() / self.chunks;
        // SAFETY: the caller's promise.
        unsafe { self.transform_input(&block, buffers.input.cast(), &areas) };
        for columns in &self.columns[share] {
            // SAFETY: as above.
            unsafe { self.multiply(&block, columns, &areas) };
            then(&block, columns, &areas);
        }
    }

    fn block(&self, index: usize) -> Option<Block> {
        let [down, across] = self.grid.blocks();
        let (image, place) = (index / (down * across), index % (down * across));
        let range = |axis: usize, at: usize| {
            let start = at * self.grid.block[axis];
            start..(start + self.grid.block[axis]).min(self.grid.tiles[axis])
        };
        (image < self.window.batch).then(|| Block { image, rows: range(0, place / across), columns: range(1, place % across) })
    }

    fn areas(&self, scratch: *mut u8) -> Areas {
        let most = self.grid.most();
        let padded = self.window.in_c.next_multiple_of(16);
        let input = scratch.wrapping_add((most * size_of::<*const u8>()).next_multiple_of(64)).cast::<f32>();
        let sums = input.wrapping_add(most * PLACES * padded);
        Areas { rows: scratch.cast(), input, sums, results: sums.wrapping_add(most * PLACES * MAX_COLS) }
    }

    /// Makes the 36 matrices of a block's input.
    unsafe fn transform_input(&self, block: &Block, input: *const f32, areas: &Areas) {
        let w = &self.window;
        let padded = w.in_c.next_multiple_of(16);
        let matrix = block.tiles() * padded;
        for (tile, (ty, tx)) in block.places().enumerate() {
            let mut pixels = [self.zeros.as_ptr(); PLACES];
            for (place, pixel) in pixels.iter_mut().enumerate() {
                let row = (ty * TILE + place / 6).checked_sub(w.pad[0]).filter(|&row| row < w.in_h);
                let column = (tx * TILE + place % 6).checked_sub(w.pad[1]).filter(|&column| column < w.in_w);
                if let (Some(row), Some(column)) = (row, column) {
                    *pixel = input.wrapping_add(((block.image * w.in_h + row) * w.in_w + column) * w.in_pixel + w.in_offset);
                }
            }
            let to = areas.input.wrapping_add(tile * padded);
            // SAFETY: the pixels are inside the input or zeros, with a vector's bytes after them; the areas hold every tile of a block.
            unsafe {
                *areas.rows.add(tile) = to.cast_const().cast();
                (self.kernels.winograd_input)(&InputTile { pixels: pixels.as_ptr(), channels: w.in_c, to, matrix });
            }
        }
    }

    /// Multiplies the matrices of a block by those of a width of channels.
    unsafe fn multiply(&self, block: &Block, columns: &Columns, areas: &Areas) {
        let w = &self.window;
        let tiles = block.tiles();
        let table = self.kernels.tiles_f32[columns.units];
        let cols = if columns.units == 0 { self.kernels.half_unit() } else { columns.units * self.kernels.unit };
        for place in 0..PLACES {
            let taps = [place * tiles * w.in_c.next_multiple_of(16) * 4];
            let finish = FinishF32 {
                out: areas.sums.wrapping_add(place * tiles * MAX_COLS),
                out_pixel: MAX_COLS,
                residual: core::ptr::null(),
                residual_pixel: 0,
                residual_cols: 0,
                lo: f32::NEG_INFINITY,
                hi: f32::INFINITY,
            };
            let panel = columns.channel / 16 * PLACES + place * columns.cols.div_ceil(16);
            let weights = self.weights[panel * w.in_c..].as_ptr().cast::<u8>();
            for (from, rows, count) in tile_runs(tiles, table.len()) {
                // SAFETY: every tile's pointer is set, sums and weights hold whole vectors.
                unsafe {
                    let tile = Tile {
                        rows: areas.rows.add(from).cast_const(),
                        taps: taps.as_ptr(),
                        tap_count: 1,
                        steps: w.in_c,
                        weights,
                        panel: w.in_c * 64,
                        init: self.zeros.as_ptr().cast(),
                        pixel: from,
                        count,
                        channel: 0,
                        cols,
                    };
                    table[rows - 1](&tile, &finish);
                }
            }
        }
    }

    /// Makes a block's results of its sums: their rows are `pitch` pixels long, a tile's first pixel is `first(row, column)`, and the first channel `channel`.
    unsafe fn results(
        &self,
        block: &Block,
        columns: &Columns,
        areas: &Areas,
        (pitch, first, channel): (usize, impl Fn(usize, usize) -> usize, usize),
        finish: &FinishF32,
    ) {
        let w = &self.window;
        for (tile, (y, x)) in block.places().enumerate() {
            let tile = OutputTile {
                sums: areas.sums.wrapping_add(tile * MAX_COLS),
                matrix: block.tiles() * MAX_COLS,
                bias: self.bias[columns.channel..].as_ptr(),
                pixel: first(y, x),
                pitch,
                channel,
                cols: columns.cols,
                height: TILE.min(w.out_h - y * TILE),
                width: TILE.min(w.out_w - x * TILE),
            };
            // SAFETY: the sums hold whole vectors, `finish` covers the tile.
            unsafe { (self.kernels.winograd_output)(&tile, finish) };
        }
    }
}

/// Weights `[ceil(out_c/16)][3][3][in_c][16]` as [`Winograd::weights`] has them.
fn transformed(weights: &[u8], in_c: usize, columns: &[Columns]) -> Vec<Line> {
    let panel_bytes = 9 * in_c * 64;
    let panels: usize = columns.iter().map(|columns| columns.cols.div_ceil(16)).sum();
    let mut lines = vec![Line([0.0; 16]); PLACES * panels * in_c];
    for columns in columns {
        let (first, panels) = (columns.channel / 16, columns.cols.div_ceil(16));
        let lines = &mut lines[first * PLACES * in_c..];
        for (panel, taps) in weights[first * panel_bytes..(first + panels) * panel_bytes].chunks_exact(panel_bytes).enumerate() {
            for c in 0..in_c {
                let float = |bytes: &[u8]| f64::from(f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
                let tap = |tap: usize| {
                    let line = &taps[(tap * in_c + c) * 64..][..64];
                    core::array::from_fn(|lane| float(&line[lane * 4..]))
                };
                for (place, values) in transform(&core::array::from_fn(tap)).into_iter().enumerate() {
                    lines[(place * panels + panel) * in_c + c].0 = values;
                }
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{Noise, SLACK, aligned, close, copy_sums, halves, pack_f32, scratch, sum_of, tiers};
    use proptest::prelude::*;

    /// Windows that tiles are made for, with every rest of rows, columns and channels.
    fn window() -> impl Strategy<Value = Window> {
        let sizes = (1_usize..3, 12_usize..30, 12_usize..30, 16_usize..40, 16_usize..70);
        (sizes, 0_usize..3, 0_usize..3, 0_usize..4, 0_usize..3).prop_map(|((batch, in_h, in_w, in_c, out_c), py, px, offset, gap)| Window {
            batch,
            in_h,
            in_w,
            in_c,
            in_pixel: offset + in_c + gap,
            in_offset: offset,
            out_h: in_h + 2 * py - 2,
            out_w: in_w + 2 * px - 2,
            out_c,
            kernel: [3, 3],
            stride: [1, 1],
            dilation: [1, 1],
            pad: [py, px],
        })
    }

    fn check(w: Window, threads: usize, adds: bool) -> Result<(), TestCaseError> {
        let mut noise = Noise(17);
        let input = noise.floats(w.batch * w.in_h * w.in_w * w.in_pixel + SLACK / 4);
        let dense = noise.floats(9 * w.in_c * w.out_c);
        let bias = noise.floats(w.out_c);
        let add = noise.floats(w.pixels() * w.out_c);
        let packed: Vec<u8> = pack_f32(&w, &dense).into_iter().flat_map(f32::to_le_bytes).collect();
        for kernels in tiers() {
            let Some(conv) = Winograd::new(kernels, w, &packed, &bias, threads) else {
                return Err(TestCaseError::reject("not worth it"));
            };
            let mut area = scratch(conv.scratch_bytes());
            let buffers = ContractionBuffers {
                input: input.as_ptr().cast(),
                weights: std::ptr::null(),
                scales: std::ptr::null(),
                scratch: aligned(&mut area),
            };
            let mut out = vec![f32::NAN; w.pixels() * w.out_c];
            let mut raw = vec![i32::MIN; out.len()];
            let residual = if adds { add.as_ptr() } else { std::ptr::null() };
            let finish = FinishF32 {
                out: out.as_mut_ptr(),
                out_pixel: w.out_c,
                residual,
                residual_pixel: w.out_c,
                residual_cols: w.out_c,
                lo: -1.5,
                hi: 2.5,
            };
            for items in halves(conv.items()) {
                // SAFETY: the buffers are as long as the window says, with slack.
                unsafe {
                    conv.run_f32(items.clone(), &buffers, &finish);
                    conv.run_sums(items, &buffers, |r| copy_sums(&r, &mut raw, w.out_c));
                }
            }
            for (at, (&got, &sum)) in out.iter().zip(&raw).enumerate() {
                let (m, c) = (at / w.out_c, at % w.out_c);
                let want = sum_of(&w, &input, &dense, m, c) + f64::from(bias[c]);
                let plus = if adds { f64::from(add[at]) } else { 0.0 };
                let sum = f32::from_bits(sum as u32);
                prop_assert!(close(sum, want), "{}: sum of pixel {m} channel {c}: {sum} for {want}", kernels.isa());
                let want = (want + plus).clamp(-1.5, 2.5);
                prop_assert!(close(got, want), "{}: pixel {m} channel {c}: {got} for {want}", kernels.isa());
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 1 } else { 24 }, ..ProptestConfig::default() })]

        #[test]
        fn tiles_are_the_direct_sums(w in window(), threads in 1_usize..4, adds in any::<bool>()) {
            check(w, threads, adds)?;
        }
    }

    #[test]
    fn few_pixels_or_channels_and_other_steps_stay_direct() {
        let w = Window {
            batch: 1,
            in_h: 28,
            in_w: 28,
            in_c: 64,
            in_pixel: 64,
            in_offset: 0,
            out_h: 28,
            out_w: 28,
            out_c: 64,
            kernel: [3, 3],
            stride: [1, 1],
            dilation: [1, 1],
            pad: [1, 1],
        };
        assert!(Winograd::pays(&w));
        assert!(!Winograd::pays(&Window { in_c: 3, in_pixel: 3, ..w }));
        assert!(!Winograd::pays(&Window { in_h: 7, in_w: 7, out_h: 7, out_w: 7, ..w }));
        assert!(!Winograd::pays(&Window { stride: [2, 2], out_h: 14, out_w: 14, ..w }));
        assert!(!Winograd::pays(&Window { dilation: [2, 2], pad: [2, 2], ..w }));
        assert!(!Winograd::pays(&Window { kernel: [5, 5], pad: [2, 2], ..w }));
    }

    #[test]
    fn blocks_cover_every_tile_once() {
        for (out_h, out_w, target) in [(1, 1, 12), (13, 13, 16), (56, 56, 30), (27, 400, 20), (100, 7, 12)] {
            let w = Window {
                batch: 1,
                in_h: out_h,
                in_w: out_w,
                in_c: 16,
                in_pixel: 16,
                in_offset: 0,
                out_h,
                out_w,
                out_c: 16,
                kernel: [3, 3],
                stride: [1, 1],
                dilation: [1, 1],
                pad: [1, 1],
            };
            let grid = Grid::new(&w, target);
            let [down, across] = grid.blocks();
            assert!(grid.most() <= target, "{grid:?}");
            let covered = |axis: usize, blocks: usize| {
                (blocks - 1) * grid.block[axis] < grid.tiles[axis] && blocks * grid.block[axis] >= grid.tiles[axis]
            };
            assert!(covered(0, down) && covered(1, across), "{grid:?}");
        }
    }
}
