//! Integer depthwise tiles of AVX2: taps two by two, interleaved and multiplied as pairs of `i16`.

use super::depthwise::RowTile;
use super::matrix::FinishInt;
use crate::finish::{BytesOf, finish_i8};
use crate::simd::Simd;
use crate::simd::avx2::Avx2;
use core::arch::x86_64::*;

/// Weights are `[channels / 16][ceil(taps / 2)][16][2]` of `i16`; an odd last tap has zeros beside it.
///
/// # Safety
/// AVX2 is available; sources are readable for all channels rounded up to 16, and `f` covers the pixels and channels.
#[inline(always)]
pub(crate) unsafe fn row_i8<const P: usize>(t: &RowTile, f: &FinishInt<'_>) {
    // SAFETY: the caller's promise.
    unsafe {
        for i in 0..t.repeats {
            let t = t.tile(i, P);
            if t.signed {
                row::<P, true>(&t, f);
            } else {
                row::<P, false>(&t, f);
            }
        }
    }
}

#[inline(always)]
unsafe fn row<const P: usize, const SIGNED: bool>(t: &RowTile, f: &FinishInt<'_>) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut c = t.from;
        let mut w = t.weights.add(c / 16 * t.taps.div_ceil(2) * 64);
        while c < t.to {
            let first = [Avx2::iload(t.init.add(c * 4).cast()), Avx2::iload(t.init.add(c * 4 + 32).cast())];
            let mut acc = [first; P];
            let mut tap = 0;
            while tap < t.taps {
                let (w_low, w_high) = (Avx2::iload(w.cast()), Avx2::iload(w.add(32).cast()));
                let even = t.sources.add(tap * P);
                let odd = if tap + 1 < t.taps { even.add(P) } else { even };
                for i in 0..P {
                    let x = _mm_loadu_si128((*even.add(i)).add(t.shift + c).cast());
                    let y = _mm_loadu_si128((*odd.add(i)).add(t.shift + c).cast());
                    let (low, high) = (_mm_unpacklo_epi8(x, y), _mm_unpackhi_epi8(x, y));
                    acc[i][0] = Avx2::dot(acc[i][0], widen::<SIGNED>(low), w_low);
                    acc[i][1] = Avx2::dot(acc[i][1], widen::<SIGNED>(high), w_high);
                }
                w = w.add(64);
                tap += 2;
            }
            for (i, row) in acc.into_iter().enumerate() {
                match f {
                    FinishInt::Bytes(f) => finish_i8::<Avx2, 2, false, false>(&BytesOf::new(f), row, t.pixel + i, c, t.channels - c),
                    FinishInt::Sums(base, stride) => {
                        let at = base.wrapping_add((t.pixel + i) * stride + c);
                        Avx2::istore(at, row[0]);
                        Avx2::istore(at.wrapping_add(8), row[1]);
                    }
                }
            }
            c += 16;
        }
    }
}

#[inline(always)]
unsafe fn widen<const SIGNED: bool>(bytes: __m128i) -> __m256i {
    // SAFETY: arithmetic only.
    unsafe { if SIGNED { _mm256_cvtepi8_epi16(bytes) } else { _mm256_cvtepu8_epi16(bytes) } }
}
