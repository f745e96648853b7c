//! Depthwise tiles for the common windows: `KW` taps in a row with steps of `STEP`, `P` pixels, one vector of channels. An input vector is loaded once a
//! row of taps and used by every pixel that it reaches; a row of taps' weights stay in registers.
//!
//! Bytes are multiplied and summed as `f32`, which is exact while sums stay below 2^24 ([`MAX_EXACT_TAPS`]).

use super::depthwise::RowTile;
use super::matrix::FinishInt;
use crate::finish::{BytesOf, FinishF32, finish_f32, finish_i8};
use crate::simd::Simd;

/// Pixels of the widest stencil.
pub(crate) const STENCIL_PIXELS: usize = 8;

/// Taps of products of two bytes whose sum stays below 2^21, and so is exact in every step and conversion.
pub(crate) const MAX_EXACT_TAPS: usize = (1 << 21) / (256 * 128);

/// The sums of one vector of channels from channel `c`, over `[row of taps][column]` [`RowTile::sources`] of elements of `size` bytes; [`RowTile::taps`]
/// counts rows of taps.
///
/// # Safety
/// As for [`super::depthwise::row_f32`].
#[inline(always)]
unsafe fn sums<S: Simd, const KW: usize, const STEP: usize, const P: usize>(
    t: &RowTile,
    c: usize,
    size: usize,
    first: S::F,
    load: impl Fn(*const u8) -> S::F,
) -> [S::F; P] {
    let columns = (P - 1) * STEP + KW;
    // SAFETY: the caller's promise.
    unsafe {
        let padded = t.channels.next_multiple_of(16);
        let mut acc = [first; P];
        let mut w = t.weights.cast::<f32>().add(c);
        let mut sources = t.sources;
        let skip = t.shift + c * size;
        for _ in 0..t.taps {
            let b: [S::F; KW] = core::array::from_fn(|k| S::load(w.add(k * padded)));
            for column in 0..columns {
                let x = load((*sources.add(column)).add(skip));
                for i in 0..P {
                    if column >= i * STEP && column - i * STEP < KW {
                        acc[i] = S::fma(x, b[column - i * STEP], acc[i]);
                    }
                }
            }
            w = w.add(KW * padded);
            sources = sources.add(columns);
        }
        acc
    }
}

/// Weights are `[tap][channels rounded up to 16]`.
///
/// # Safety
/// As for [`super::depthwise::row_f32`].
#[inline(always)]
pub(crate) unsafe fn stencil_f32<S: Simd, const KW: usize, const STEP: usize, const P: usize>(t: &RowTile, f: &FinishF32) {
    // SAFETY: the caller's promise.
    unsafe {
        let f = *f;
        let mut c = t.from;
        while c < t.to {
            let first = S::load(t.init.cast::<f32>().add(c));
            for repeat in 0..t.repeats {
                let t = t.tile(repeat, P);
                let acc = sums::<S, KW, STEP, P>(&t, c, 4, first, |p| S::load(p.cast()));
                if f.residual.is_null() && c + S::LANES <= t.channels {
                    for (i, v) in acc.into_iter().enumerate() {
                        finish_f32::<S, 1, true>(f, [v], t.pixel + i, c, t.channels - c);
                    }
                } else {
                    for (i, v) in acc.into_iter().enumerate() {
                        finish_f32::<S, 1, false>(f, [v], t.pixel + i, c, t.channels - c);
                    }
                }
            }
            c += S::LANES;
        }
    }
}

/// Weights are `[tap][channels rounded up to 16]` of `f32`.
///
/// # Safety
/// As for [`super::depthwise::row_f32`].
#[inline(always)]
pub(crate) unsafe fn stencil_i8<S: Simd, const KW: usize, const STEP: usize, const P: usize>(t: &RowTile, f: &FinishInt<'_>) {
    // SAFETY: the caller's promise.
    unsafe {
        for i in 0..t.repeats {
            let t = t.tile(i, P);
            match S::LANES {
                16 => sixteen::<S, KW, STEP, P, 1>(&t, f),
                8 => sixteen::<S, KW, STEP, P, 2>(&t, f),
                _ => sixteen::<S, KW, STEP, P, 4>(&t, f),
            }
        }
    }
}

/// Sixteen channels at a time in `NV` vectors, so that their bytes are finished together.
#[inline(always)]
unsafe fn sixteen<S: Simd, const KW: usize, const STEP: usize, const P: usize, const NV: usize>(t: &RowTile, f: &FinishInt<'_>) {
    // SAFETY: the caller's promise.
    unsafe {
        let t = *t;
        let mut c = t.from;
        while c < t.to {
            let mut rows = [[S::isplat(0); NV]; P];
            for j in 0..NV {
                let at = c + j * S::LANES;
                let acc = if t.signed {
                    sums::<S, KW, STEP, P>(&t, at, 1, S::splat(0.0), |p| S::to_float(S::load_bytes(p, true, S::LANES)))
                } else {
                    sums::<S, KW, STEP, P>(&t, at, 1, S::splat(0.0), |p| S::to_float(S::load_bytes(p, false, S::LANES)))
                };
                let first = S::iload(t.init.cast::<i32>().add(at));
                for i in 0..P {
                    rows[i][j] = S::iadd(S::to_int(acc[i]), first);
                }
            }
            match f {
                FinishInt::Bytes(f) => {
                    let b = BytesOf::<S>::new(f);
                    let cols = t.channels - c;
                    match (b.is_plain::<NV>(cols), b.is_fused()) {
                        (true, true) => finish_rows::<S, NV, P, true, true>(&b, &rows, t.pixel, c, cols),
                        (false, true) => finish_rows::<S, NV, P, false, true>(&b, &rows, t.pixel, c, cols),
                        (true, false) if !S::FUSED => finish_rows::<S, NV, P, true, false>(&b, &rows, t.pixel, c, cols),
                        _ => finish_rows::<S, NV, P, false, false>(&b, &rows, t.pixel, c, cols),
                    }
                }
                FinishInt::Sums(base, stride) => {
                    for i in 0..P {
                        let at = base.wrapping_add((t.pixel + i) * stride + c);
                        for j in 0..NV {
                            S::istore(at.wrapping_add(j * S::LANES), rows[i][j]);
                        }
                    }
                }
            }
            c += 16;
        }
    }
}

/// [`finish_i8`] of the pixels of a tile.
#[inline(always)]
unsafe fn finish_rows<S: Simd, const NV: usize, const P: usize, const PLAIN: bool, const FUSED: bool>(
    b: &BytesOf<'_, S>,
    rows: &[[S::I; NV]; P],
    pixel: usize,
    channel: usize,
    cols: usize,
) {
    for i in 0..P {
        // SAFETY: the caller's promise.
        unsafe { finish_i8::<S, NV, PLAIN, FUSED>(b, rows[i], pixel + i, channel, cols) };
    }
}
