//! The tiles of a depthwise convolution: `P` pixels of a row by a run of channels, sixteen (or more) at a time; several such tiles, where they lie side by side.

use super::matrix::FinishInt;
use crate::finish::{BytesOf, FinishF32, finish_f32, finish_i8};
use crate::simd::Simd;

/// The operands of tiles that lie side by side.
#[derive(Clone, Copy)]
pub(crate) struct RowTile {
    /// `[tap][pixel]`, pointers to channel 0, `P` pixels a tap.
    pub sources: *const *const u8,
    /// Bytes added to every pointer.
    pub shift: usize,
    /// Taps.
    pub taps: usize,
    /// As the instruction set packs them.
    pub weights: *const u8,
    /// What each channel's sum begins with.
    pub init: *const u8,
    /// Channels of the convolution.
    pub channels: usize,
    /// The channels of this tile: from a multiple of 16 to a multiple of 16 or the end.
    pub from: usize,
    /// The end of them.
    pub to: usize,
    /// The first pixel.
    pub pixel: usize,
    /// Whether bytes are signed.
    pub signed: bool,
    /// How many tiles there are.
    pub repeats: usize,
    /// Bytes from the input of one to that of the next.
    pub advance: usize,
}

impl RowTile {
    /// Tile `i` of them, of `pixels`. Fields are read one by one: who calls has just written them so, and one wide load of several would wait for the stores.
    #[inline(always)]
    pub(crate) fn tile(&self, i: usize, pixels: usize) -> RowTile {
        let &RowTile { sources, shift, taps, weights, init, channels, from, to, pixel, signed, advance, .. } = self;
        let (shift, pixel) = (shift + i * advance, pixel + i * pixels);
        RowTile { sources, shift, taps, weights, init, channels, from, to, pixel, signed, repeats: 1, advance }
    }
}

/// Weights are `[tap][channels rounded up to 16]`.
///
/// # Safety
/// Sources are readable for all channels rounded up to 16, and `f` covers the pixels and channels.
#[inline(always)]
pub(crate) unsafe fn row_f32<S: Simd, const P: usize>(t: &RowTile, f: &FinishF32) {
    // SAFETY: the caller's promise.
    unsafe {
        for i in 0..t.repeats {
            channels_f32::<S, P>(&t.tile(i, P), f);
        }
    }
}

#[inline(always)]
unsafe fn channels_f32<S: Simd, const P: usize>(t: &RowTile, f: &FinishF32) {
    // SAFETY: the caller's promise.
    unsafe {
        let padded = t.channels.next_multiple_of(16);
        let mut c = t.from;
        // Two vectors at least, to hide the latency of the additions.
        while S::LANES == 16 && c + 32 <= t.to {
            block_f32::<S, P, 2>(t, f, c, padded);
            c += 32;
        }
        while c < t.to {
            match S::LANES {
                16 => block_f32::<S, P, 1>(t, f, c, padded),
                8 => block_f32::<S, P, 2>(t, f, c, padded),
                _ => block_f32::<S, P, 4>(t, f, c, padded),
            }
            c += 16;
        }
    }
}

#[inline(always)]
unsafe fn block_f32<S: Simd, const P: usize, const V: usize>(t: &RowTile, f: &FinishF32, c: usize, padded: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let first: [S::F; V] = core::array::from_fn(|j| S::load(t.init.cast::<f32>().add(c + j * S::LANES)));
        let mut acc = [first; P];
        let mut w = t.weights.cast::<f32>().add(c);
        let mut sources = t.sources;
        let skip = t.shift + c * 4;
        for _ in 0..t.taps {
            let b: [S::F; V] = core::array::from_fn(|j| S::load(w.add(j * S::LANES)));
            for i in 0..P {
                let a = (*sources.add(i)).add(skip).cast::<f32>();
                for j in 0..V {
                    acc[i][j] = S::fma(S::load(a.add(j * S::LANES)), b[j], acc[i][j]);
                }
            }
            w = w.add(padded);
            sources = sources.add(P);
        }
        for (i, row) in acc.into_iter().enumerate() {
            finish_f32::<S, V, false>(*f, row, t.pixel + i, c, t.channels - c);
        }
    }
}

/// Weights are `[tap][channels rounded up to 16]` of `i16`. Plain products, a vector of lanes at a time.
///
/// # Safety
/// As for [`row_f32`].
#[inline(always)]
pub(crate) unsafe fn row_i8<S: Simd, const P: usize>(t: &RowTile, f: &FinishInt<'_>) {
    // SAFETY: the caller's promise.
    unsafe {
        for i in 0..t.repeats {
            channels_i8::<S, P>(&t.tile(i, P), f);
        }
    }
}

#[inline(always)]
unsafe fn channels_i8<S: Simd, const P: usize>(t: &RowTile, f: &FinishInt<'_>) {
    // SAFETY: the caller's promise.
    unsafe {
        let padded = t.channels.next_multiple_of(16);
        let mut c = t.from;
        while c < t.to {
            let mut acc = [[0_i32; 16]; P];
            for i in 0..P {
                acc[i] = t.init.cast::<[i32; 16]>().byte_add(c * 4).read_unaligned();
            }
            for tap in 0..t.taps {
                let w = t.weights.cast::<[i16; 16]>().byte_add((tap * padded + c) * 2).read_unaligned();
                for i in 0..P {
                    let a = (*t.sources.add(tap * P + i)).add(t.shift + c).cast::<[u8; 16]>().read_unaligned();
                    let a = a.map(|byte| if t.signed { i16::from(byte as i8) } else { i16::from(byte) });
                    for lane in 0..16 {
                        acc[i][lane] = acc[i][lane].wrapping_add(i32::from(a[lane]) * i32::from(w[lane]));
                    }
                }
            }
            for (i, row) in acc.iter().enumerate() {
                store_i8::<S>(t, f, row, i, c);
            }
            c += 16;
        }
    }
}

/// Finishes sixteen sums of pixel `i`.
///
/// # Safety
/// `f` covers the pixel and the channels.
#[inline(always)]
pub(crate) unsafe fn store_i8<S: Simd>(t: &RowTile, f: &FinishInt<'_>, sums: &[i32; 16], i: usize, c: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match f {
            FinishInt::Bytes(f) => {
                for j in 0..16 / S::LANES {
                    let at = j * S::LANES;
                    if c + at < t.channels {
                        let v = S::iload(sums.as_ptr().add(at));
                        finish_i8::<S, 1, false, false>(&BytesOf::new(f), [v], t.pixel + i, c + at, t.channels - c - at);
                    }
                }
            }
            FinishInt::Sums(base, stride) => {
                let at = base.wrapping_add((t.pixel + i) * stride + c);
                for j in 0..16 / S::LANES {
                    S::istore(at.wrapping_add(j * S::LANES), S::iload(sums.as_ptr().add(j * S::LANES)));
                }
            }
        }
    }
}
