//! Convolutions and matrix products.
//!
//! A function computes a tile of pixels and channels at a time, its sums in variables, and ends each tile with the [`epilogue`]. Inputs are read where they lie:
//! no copy is made of the windows. What differs from layer to layer comes in as parameters.
//!
//! Both arithmetics step through memory alike. A *step* is one input channel in binary32 and four in eight bits: 4 bytes of a pixel, and
//! 64 bytes of packed weights for 16 output channels.

mod drive;
pub(crate) mod edges;
pub(crate) mod epilogue;
mod panels;
pub(crate) mod products;
mod requantize;
mod taps;
mod widen;

use super::code::Local;
use super::layout::Layout;
use super::math::Library;
use super::module::Call;
use epilogue::Epilogue;
use mlp_bundle::DType;
use mlp_bundle::loops::{self, Arithmetic, BufferId, PANEL, Stored, Window};
use mlp_bundle::plan::Plan;

/// The size and kind of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    /// Pixels.
    pub(crate) rows: usize,
    /// Vectors of four channels.
    pub(crate) vectors: usize,
    /// Channels of the last vector that exist.
    pub(crate) lanes: u8,
}

/// What kind of products a tile sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Binary32, fused or not.
    F32 {
        /// Whether to multiply and add in one instruction where there are sums enough to hide its latency.
        relaxed: bool,
    },
    /// Eight bits.
    Int8 {
        /// Whether inputs are signed.
        signed: bool,
    },
}

/// The part of the outputs that one call computes.
#[derive(Clone, Copy, Debug)]
struct Part {
    tile: Tile,
    pixels: (u32, u32),
    channels: (u32, u32),
}

/// Whether some window reaches outside of the input.
pub(crate) fn reaches_outside(window: &Window) -> bool {
    let beyond = |axis: usize, size: u32, outputs: u32| {
        let last =
            u64::from(outputs - 1) * u64::from(window.stride[axis]) + u64::from(window.kernel[axis] - 1) * u64::from(window.dilation[axis]);
        window.pad[axis] > 0 || last >= u64::from(window.pad[axis]) + u64::from(size)
    };
    beyond(0, window.in_h, window.out_h) || beyond(1, window.in_w, window.out_w)
}

/// Pixels of a tile: as many as leave the sums, the weights at hand, an input and a product in the 15 registers that engines have to give.
fn rows(kind: Kind) -> u32 {
    match kind {
        Kind::F32 { relaxed } => {
            if relaxed {
                6
            } else {
                5
            }
        }
        Kind::Int8 { .. } => INT8_ROWS,
    }
}

const INT8_ROWS: u32 = 4;

/// Pixels that follow each other at one distance, and meet the same weights.
fn line(window: &Window, per_image: bool) -> u32 {
    if window.is_product() && !per_image { window.pixels() } else { window.out_w }
}

/// Bytes of input pixels that one pass over the weights should keep near.
const BLOCK_BYTES: u32 = 24 << 10;

/// Bytes that the contraction of a kernel widens its inputs or weights into.
pub(crate) fn scratch(plan: &Plan, contract: &loops::Contract) -> u64 {
    let window = &contract.window;
    match contract.arithmetic {
        Arithmetic::F32 => plan.stored(contract).map_or(0, |_| panels::scratch(contract)),
        Arithmetic::Int8 { .. } => widen::Block::scratch(window, line(window, false), INT8_ROWS),
    }
}

/// Splits `count` in whole tiles of `tile` and a rest.
fn split(count: u32, tile: u32) -> [(u32, u32); 2] {
    let whole = count - count % tile;
    [(0, whole), (whole, count)]
}

/// A contraction to be emitted, dense or depthwise.
struct Job<'a> {
    window: Window,
    arithmetic: Arithmetic,
    kind: Kind,
    depthwise: bool,
    input: BufferId,
    weights: BufferId,
    /// Whether each image has weights of its own.
    per_image: bool,
    /// How weights of floats are kept in fewer bits, where they are.
    stored: Option<Stored>,
    epilogue: &'a loops::Epilogue,
}

/// The functions and calls of a convolution or matrix product.
pub(crate) fn emit_dense(plan: &Plan, layout: &Layout, library: &mut Library, contract: &loops::Contract) -> Result<Vec<Call>, String> {
    let loops::Contract { window, arithmetic, input, weights, per_image, scales: _, epilogue } = contract;
    let kind = kind(plan, library, *arithmetic, *input);
    let stored = plan.stored(contract);
    let job = Job {
        window: *window,
        arithmetic: *arithmetic,
        kind,
        depthwise: false,
        input: *input,
        weights: *weights,
        per_image: *per_image,
        stored,
        epilogue,
    };
    let line = line(window, *per_image);
    let rows = rows(kind);
    // A single row of pixels has room for all the channels of a panel.
    let width = if line < rows { PANEL } else { 8 };
    emit(plan, layout, library, &job, line, rows, width)
}

/// The functions and calls of a depthwise convolution.
pub(crate) fn emit_depthwise(
    plan: &Plan,
    layout: &Layout,
    library: &mut Library,
    depthwise: &loops::Depthwise,
) -> Result<Vec<Call>, String> {
    let loops::Depthwise { window, arithmetic, input, weights, epilogue } = depthwise;
    let kind = kind(plan, library, *arithmetic, *input);
    let job = Job {
        window: *window,
        arithmetic: *arithmetic,
        kind,
        depthwise: true,
        input: *input,
        weights: *weights,
        per_image: false,
        stored: None,
        epilogue,
    };
    let line = line(window, false);
    // The tile that covers a line with the fewest outputs computed twice, the longer the better.
    let most = 12u32.saturating_sub(window.kernel[1]).clamp(4, 8);
    let rows = (4..=most).rev().min_by_key(|rows| line.div_ceil(*rows) * rows).unwrap_or(4);
    emit(plan, layout, library, &job, line, rows, 4)
}

fn kind(plan: &Plan, library: &Library, arithmetic: Arithmetic, input: BufferId) -> Kind {
    match arithmetic {
        Arithmetic::F32 => Kind::F32 { relaxed: library.relaxed },
        Arithmetic::Int8 { .. } => Kind::Int8 { signed: plan.buffers[input].dtype == DType::I8 },
    }
}

fn emit(plan: &Plan, layout: &Layout, library: &mut Library, job: &Job<'_>, line: u32, rows: u32, width: u32) -> Result<Vec<Call>, String> {
    let window = job.window;
    let mut calls = Vec::new();
    if let (true, Arithmetic::Int8 { pad_value }) = (job.depthwise && reaches_outside(&window), job.arithmetic)
        && pad_value != 0
    {
        calls.push(drive::fill(library, layout.filled, pad_value, window.in_c.next_multiple_of(4)));
    }
    let extents = [window.pixels(), window.out_c];
    let in_place = Epilogue::new(plan, layout, library, job.epilogue, extents, job.arithmetic.total())?.in_place;
    for part in parts(&window, in_place, line, rows, width) {
        calls.push(drive::function(plan, layout, library, job, part)?);
    }
    Ok(calls)
}

/// Tiles and the rests at both ends. Where a tile may be computed twice, the last one of a line overlaps the one before it; where it loads what it
/// stores over, single pixels make up the rest.
fn parts(window: &Window, in_place: bool, line: u32, rows: u32, width: u32) -> Vec<Part> {
    let pixel_parts = if line >= rows && !in_place { [(0, line), (line, line)] } else { split(line, rows) };
    let mut parts = Vec::new();
    for channels in split(window.out_c, width) {
        for (n, pixels) in pixel_parts.into_iter().enumerate() {
            if channels.0 < channels.1 && pixels.0 < pixels.1 {
                let count = (channels.1 - channels.0).min(width);
                let vectors = count.div_ceil(4) as usize;
                let lanes = (count - 4 * (vectors as u32 - 1)) as u8;
                let tile = Tile { rows: if n == 0 { rows as usize } else { 1 }, vectors, lanes };
                parts.push(Part { tile, pixels, channels });
            }
        }
    }
    parts
}

/// Sums of a tile, by row and vector.
pub(crate) type Sums = Vec<Vec<Local>>;
