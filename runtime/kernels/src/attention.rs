//! Scaled dot-product attention: a head's keys and values are packed once, then blocks of rows go through the tiles of matrix products,
//! their scores in between never larger than a part of the second-level cache.

use crate::contraction::{Contraction, ContractionBuffers, MAX_SCRATCH};
use crate::finish::FinishF32;
use crate::table::Kernels;
use crate::tile::softmax::ScoreRow;
use crate::window::Window;
use std::ops::Range;

/// Bytes of scores that a block of rows aims at.
const BLOCK_BYTES: usize = 192 * 1024;

/// Rows that a block has at least, where there are as many: two of the tallest tiles.
const MIN_ROWS: usize = 24;

/// Channels in a panel of packed weights.
const PANEL: usize = 16;

/// How an operand `[batch, heads, rows, features]` lies, in elements; features are side by side.
#[derive(Clone, Copy, Debug)]
pub struct HeadStrides {
    /// From image to image.
    pub batch: usize,
    /// From head to head.
    pub head: usize,
    /// From row to row.
    pub row: usize,
}

/// Sizes of an attention: `softmax(scale * query x key^T + mask) x value`.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Images.
    pub batch: usize,
    /// Heads.
    pub heads: usize,
    /// Rows of query and result.
    pub rows: usize,
    /// Rows of key and value.
    pub keys: usize,
    /// Features of query and key.
    pub depth: usize,
    /// Features of value and result.
    pub width: usize,
    /// The factor of scores.
    pub scale: f32,
    /// Whether a row whose weights have no sum is 0 rather than NaN.
    pub guarded: bool,
    /// The query.
    pub query: HeadStrides,
    /// The keys.
    pub key: HeadStrides,
    /// The values.
    pub value: HeadStrides,
    /// The result; rows are at least `width` apart.
    pub out: HeadStrides,
    /// What is added to scores, and the elements from key to key; any stride may be 0.
    pub mask: Option<(HeadStrides, usize)>,
}

/// Where an attention reads, writes and works. Pointers are to the first element.
#[derive(Clone, Copy, Debug)]
pub struct AttentionBuffers {
    /// The query.
    pub query: *const f32,
    /// The keys.
    pub key: *const f32,
    /// The values.
    pub value: *const f32,
    /// The mask; null where there is none.
    pub mask: *const f32,
    /// The result.
    pub out: *mut f32,
    /// [`Attention::scratch_bytes`] bytes for this thread alone, aligned to 64.
    pub scratch: *mut u8,
}

/// The two products of a block of rows.
struct Products {
    rows: usize,
    scores: Contraction,
    sums: Contraction,
}

/// An attention prepared for one instruction set.
pub struct Attention {
    kernels: &'static Kernels,
    shape: AttentionShape,
    blocks: usize,
    block: Products,
    /// The last block, where it is smaller.
    rest: Option<Products>,
    /// Pieces that the blocks of a head are cut into, for threads; each packs the head anew.
    chunks: usize,
}

/// The pieces of a thread's memory.
struct Areas {
    keys: *mut f32,
    values: *mut f32,
    scores: *mut f32,
    sound: *mut bool,
    tiles: *mut u8,
}

fn aligned(bytes: usize) -> usize {
    bytes.next_multiple_of(64)
}

impl Attention {
    /// An attention for that many threads. `None` where a thread's working memory exceeds [`MAX_SCRATCH`] bytes.
    pub fn new(kernels: &'static Kernels, shape: AttentionShape, threads: usize) -> Option<Attention> {
        let heads = shape.batch * shape.heads;
        let mut block = (BLOCK_BYTES / (shape.keys * 4)).max(MIN_ROWS).min(shape.rows);
        let wanted = if threads > 1 { (2 * threads).div_ceil(heads) } else { 1 };
        block = block.min(shape.rows.div_ceil(wanted).max(MIN_ROWS)).min(shape.rows);
        let blocks = shape.rows.div_ceil(block);
        let block = shape.rows.div_ceil(blocks);
        let blocks = shape.rows.div_ceil(block);
        let products = |rows: usize| {
            let scores = Contraction::f32(kernels, product(rows, shape.depth, shape.query.row, shape.keys), &[], 1)?;
            let sums = Contraction::f32(kernels, product(rows, shape.keys, shape.keys, shape.width), &[], 1)?;
            Some(Products { rows, scores, sums })
        };
        let last = shape.rows - (blocks - 1) * block;
        let rest = if last < block { Some(products(last)?) } else { None };
        let made = Attention { kernels, shape, blocks, block: products(block)?, rest, chunks: wanted.min(blocks) };
        let sizes = [shape.keys * shape.depth, shape.keys * shape.width, block * shape.keys];
        let fits = sizes.iter().all(|&size| size <= MAX_SCRATCH / 16) && made.scratch_bytes() <= MAX_SCRATCH;
        fits.then_some(made)
    }

    /// Pieces of work, all independent.
    pub fn items(&self) -> usize {
        self.shape.batch * self.shape.heads * self.chunks
    }

    /// Multiplications of one run, for estimates.
    pub fn macs(&self) -> u64 {
        let s = &self.shape;
        (s.batch * s.heads) as u64 * (s.rows as u64) * (s.keys as u64) * (s.depth + s.width) as u64
    }

    /// Bytes that [`AttentionBuffers::scratch`] needs.
    pub fn scratch_bytes(&self) -> usize {
        let of = |products: &Products| products.scores.scratch_bytes().max(products.sums.scratch_bytes());
        self.area_bytes().iter().sum::<usize>() + of(&self.block).max(self.rest.as_ref().map_or(0, of))
    }

    /// Bytes of packed keys, packed values, scores and marks; products may read 64 bytes past each.
    fn area_bytes(&self) -> [usize; 4] {
        let s = &self.shape;
        let keys = s.keys.next_multiple_of(PANEL) * s.depth * 4;
        let values = s.width.next_multiple_of(PANEL) * s.keys * 4;
        [keys, values, self.block.rows * s.keys * 4, self.block.rows].map(|bytes| aligned(bytes + 64))
    }

    /// Runs `items`.
    ///
    /// # Safety
    /// The buffers hold all elements that the shape names, with 64 readable bytes past their ends; the result shares no byte with the others; no other thread runs
    /// the same items.
    pub unsafe fn run(&self, items: Range<usize>, buffers: &AttentionBuffers) {
        let [keys, values, scores, sound] = self.area_bytes();
        let at = buffers.scratch;
        // SAFETY: the scratch holds the areas one after another.
        let areas = unsafe {
            Areas {
                keys: at.cast(),
                values: at.add(keys).cast(),
                scores: at.add(keys + values).cast(),
                sound: at.add(keys + values + scores).cast(),
                tiles: at.add(keys + values + scores + sound),
            }
        };
        for item in items {
            let (head, chunk) = (item / self.chunks, item % self.chunks);
            let (image, head) = (head / self.shape.heads, head % self.shape.heads);
            // SAFETY: the caller's promise.
            unsafe {
                self.pack(image, head, buffers, &areas);
                for block in chunk * self.blocks / self.chunks..(chunk + 1) * self.blocks / self.chunks {
                    self.block(image, head, block * self.block.rows, buffers, &areas);
                }
            }
        }
    }

    /// Packs a head's keys as `[keys / 16][depth][16]` and its values as `[width / 16][keys][16]`, zeros past the ends.
    unsafe fn pack(&self, image: usize, head: usize, buffers: &AttentionBuffers, areas: &Areas) {
        let s = &self.shape;
        // SAFETY: the caller's promise; every place is inside the areas.
        unsafe {
            let from = buffers.key.add(image * s.key.batch + head * s.key.head);
            for key in 0..s.keys.next_multiple_of(PANEL) {
                let to = areas.keys.add(key / PANEL * s.depth * PANEL + key % PANEL);
                for d in 0..s.depth {
                    *to.add(d * PANEL) = if key < s.keys { *from.add(key * s.key.row + d) } else { 0.0 };
                }
            }
            let from = buffers.value.add(image * s.value.batch + head * s.value.head);
            for first in (0..s.width).step_by(PANEL) {
                let count = PANEL.min(s.width - first);
                for key in 0..s.keys {
                    let to = areas.values.add((first * s.keys) + key * PANEL);
                    core::ptr::copy_nonoverlapping(from.add(key * s.value.row + first), to, count);
                    core::slice::from_raw_parts_mut(to.add(count), PANEL - count).fill(0.0);
                }
            }
        }
    }

    /// One block of rows of a packed head.
    unsafe fn block(&self, image: usize, head: usize, first: usize, buffers: &AttentionBuffers, areas: &Areas) {
        let s = &self.shape;
        let products = if first + self.block.rows > s.rows { self.rest.as_ref().unwrap_or(&self.block) } else { &self.block };
        let place = |strides: &HeadStrides| image * strides.batch + head * strides.head + first * strides.row;
        let plain = |out: *mut f32, out_pixel: usize| FinishF32 {
            out,
            out_pixel,
            residual: core::ptr::null(),
            residual_pixel: 0,
            residual_cols: 0,
            lo: f32::NEG_INFINITY,
            hi: f32::INFINITY,
        };
        // SAFETY: the caller's promise; the areas are as large as the products' operands.
        unsafe {
            let query = buffers.query.add(place(&s.query));
            let of = |input: *const f32, weights: *const f32| ContractionBuffers {
                input: input.cast(),
                weights: weights.cast(),
                scales: core::ptr::null(),
                scratch: areas.tiles,
            };
            products.scores.run_f32(0..products.scores.items(), &of(query, areas.keys), &plain(areas.scores, s.keys));
            for row in 0..products.rows {
                let (mask, mask_key) = match &s.mask {
                    Some((strides, key)) => (buffers.mask.add(place(strides) + row * strides.row), *key),
                    None => (core::ptr::null(), 0),
                };
                let scores = areas.scores.add(row * s.keys);
                *areas.sound.add(row) = (self.kernels.softmax)(&ScoreRow { scores, keys: s.keys, scale: s.scale, mask, mask_key });
            }
            let out = buffers.out.add(place(&s.out));
            products.sums.run_f32(0..products.sums.items(), &of(areas.scores, areas.values), &plain(out, s.out.row));
            for row in 0..products.rows {
                if !*areas.sound.add(row) {
                    let value = if s.guarded { 0.0 } else { f32::NAN };
                    core::slice::from_raw_parts_mut(out.add(row * s.out.row), s.width).fill(value);
                }
            }
        }
    }
}

/// The window of `[rows, depth] x [depth, columns]`, rows `stride` elements apart.
fn product(rows: usize, depth: usize, stride: usize, columns: usize) -> Window {
    Window {
        batch: 1,
        in_h: 1,
        in_w: rows,
        in_c: depth,
        in_pixel: stride,
        in_offset: 0,
        out_h: 1,
        out_w: rows,
        out_c: columns,
        kernel: [1; 2],
        stride: [1; 2],
        dilation: [1; 2],
        pad: [0; 2],
    }
}
