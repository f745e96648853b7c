//! Epilogues of contractions that are no plain clamp, over blocks of sums.

use super::{Element, Given, LANES, Program, Slots, Step, load, spread, store};
use crate::finish::Raw;

/// Lanes that a pixel takes of so many columns: contractions hand over blocks of few, of which as many pixels as fit are taken together.
const fn width(cols: usize) -> usize {
    match cols {
        0..=16 => 16,
        17..=32 => 32,
        _ => LANES,
    }
}

/// What an epilogue reads.
#[derive(Clone, Debug, PartialEq)]
pub enum EpilogueSource {
    /// One value a channel, as bits.
    Channel(Vec<u32>),
    /// An element of a buffer by pixel and channel: that of pixel 0 and channel 0, and elements from pixel to pixel.
    Pixel(Element, *const u8, usize),
    /// One element a pixel: that of pixel 0, and elements from pixel to pixel.
    Each(Element, *const u8, usize),
}

/// A program whose last step is stored.
#[derive(Clone, Debug)]
pub struct EpilogueProgram {
    program: Program,
    sources: Vec<EpilogueSource>,
    element: Element,
    out: *mut u8,
    out_pixel: usize,
}

/// A part of a block: some pixels by some channels.
#[derive(Clone, Copy)]
struct Part {
    /// The first sum.
    sums: *const u8,
    /// Sums from one pixel to the next.
    stride: usize,
    pixel: usize,
    rows: usize,
    channel: usize,
    cols: usize,
    /// Values of a step from one pixel to the next.
    width: usize,
}

impl EpilogueProgram {
    /// A program for `channels` channels that stores to `out` (of pixel 0, channel 0), pixels `out_pixel` elements apart. `None` where a step names a later one or a
    /// source that is not there, where a channel lacks its value, or where there is no step or too many.
    pub fn new(
        steps: &[Step],
        sources: Vec<EpilogueSource>,
        channels: usize,
        (element, out, out_pixel): (Element, *mut u8, usize),
    ) -> Option<EpilogueProgram> {
        let there = steps.iter().all(|step| match step {
            Step::Load(source) => *source < sources.len(),
            Step::Total(number) => *number == 0,
            _ => true,
        });
        let whole = sources.iter().all(|source| !matches!(source, EpilogueSource::Channel(values) if values.len() != channels));
        if !there || !whole {
            return None;
        }
        let is_even = |step: &Step| matches!(step, Step::Load(source) if matches!(sources[*source], EpilogueSource::Each(_, _, 0)));
        let program = Program::new(steps, &[steps.len().checked_sub(1)?], 0, is_even)?;
        Some(EpilogueProgram { program, sources, element, out, out_pixel })
    }

    /// Loads what the program reads for a part of a block.
    #[inline(always)]
    unsafe fn give(&self, given: Given, part: &Part, to: &mut [u32; LANES]) {
        let Part { pixel, rows, channel, cols, width, .. } = *part;
        let source = match given {
            Given::Total(_) => {
                for row in 0..rows {
                    // SAFETY: the caller's promise.
                    unsafe { load(Element::Word, part.sums.add(row * part.stride * 4), &mut to[row * width..], cols) };
                }
                return;
            }
            Given::Load(source) => &self.sources[source],
        };
        match source {
            EpilogueSource::Channel(values) => {
                (0..rows).for_each(|row| to[row * width..][..cols].copy_from_slice(&values[channel..][..cols]));
            }
            EpilogueSource::Pixel(element, at, step) => {
                for row in 0..rows {
                    let place = ((pixel + row) * step + channel) * element.size();
                    // SAFETY: the caller's promise; a row has `width` places and `cols` is no more.
                    unsafe { load(*element, at.add(place), &mut to[row * width..], cols) };
                }
            }
            // SAFETY: the caller's promise.
            EpilogueSource::Each(element, at, 0) => unsafe { spread(*element, *at, to) },
            EpilogueSource::Each(element, at, step) => {
                for row in 0..rows {
                    // SAFETY: the caller's promise.
                    unsafe { spread(*element, at.add((pixel + row) * step * element.size()), &mut to[row * width..][..width]) };
                }
            }
        }
    }
}

/// Runs a program over a block of sums.
///
/// # Safety
/// The sums are of the type that the program takes; what it reads and stores is there for the block's pixels and channels, and no one else stores it.
#[inline(always)]
pub(crate) unsafe fn run(epilogue: &EpilogueProgram, raw: &Raw) {
    let mut slots = Slots::new();
    let width = width(raw.cols);
    let rows = LANES / width;
    let part = |row: usize, col: usize| Part {
        sums: raw.at.cast::<u8>().wrapping_add((row * raw.stride + col) * 4),
        stride: raw.stride,
        pixel: raw.pixel + row,
        rows: rows.min(raw.rows - row),
        channel: raw.channel + col,
        cols: width.min(raw.cols - col),
        width,
    };
    epilogue.program.prepare(&mut slots);
    let first = part(0, 0);
    // SAFETY: the caller's promise.
    epilogue.program.begin(&mut slots, LANES, |given, to| unsafe { epilogue.give(given, &first, to) });
    for row in (0..raw.rows).step_by(rows) {
        for col in (0..raw.cols).step_by(width) {
            let part = part(row, col);
            let lanes = (part.rows - 1) * width + part.cols;
            // SAFETY: the caller's promise, of a part of the block.
            epilogue.program.walk(&mut slots, lanes, |given, to| unsafe { epilogue.give(given, &part, to) });
            let result = epilogue.program.result(&slots, 0);
            for row in 0..part.rows {
                let place = ((part.pixel + row) * epilogue.out_pixel + part.channel) * epilogue.element.size();
                // SAFETY: the caller's promise.
                unsafe { store(epilogue.element, &result[row * width..][..part.cols], epilogue.out.add(place)) };
            }
        }
    }
}
