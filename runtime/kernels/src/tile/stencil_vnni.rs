//! Integer depthwise tiles of AVX-512 VNNI for the common windows: `KW` taps in a row with steps of `STEP`, `P` pixels.
//!
//! Four input rows (or columns, see `quads`) are interleaved to quads of bytes, one quad a channel, which `vpdpbusd` multiplies by the taps that meet them: a
//! quad serves every pixel that reaches it. Interleaving takes place inside 128-bit lanes, so that vector `q` of four holds channels `16 * lane + 4 * q ..`;
//! packing sums to bytes by the same lanes puts them back in order.

use super::depthwise::{RowTile, store_i8};
use super::matrix::FinishInt;
use super::quads::{channel_quads, group, places, quad_columns, row_quads};
use crate::finish::FinishI8;
use crate::simd::avx512::{Avx512Vnni, requantized};
use crate::simd::{WHOLE, WHOLE_BITS, unsigned_offset};
use core::arch::x86_64::*;

/// A vector of whole 128-bit lanes.
trait Lanes: Copy {
    /// Channels of four of them.
    const CHANNELS: usize;
    unsafe fn bytes(p: *const u8, flip: bool) -> Self;
    unsafe fn load(p: *const u8) -> Self;
    unsafe fn store(p: *mut i32, v: Self);
    unsafe fn zip8(a: Self, b: Self) -> [Self; 2];
    unsafe fn zip16(a: Self, b: Self) -> [Self; 2];
    unsafe fn dot(acc: Self, a: Self, w: Self) -> Self;
    /// The nearest integer to `v * scale` (scale's bits), and the greater magnitude of `worst` (bits of floats) and what was rounded off.
    unsafe fn scaled(v: Self, scale: Self, worst: Self) -> (Self, Self);
    /// As [`requantized`].
    unsafe fn requantized(v: Self, multipliers: *const i32, shift: u32) -> Self;
    /// As [`crate::simd::Simd::rounded`], with the scale's bits.
    unsafe fn rounded(v: Self, scale: Self, plus: Self) -> Self;
    unsafe fn splat(x: i32) -> Self;
    unsafe fn zero() -> Self;
    unsafe fn any_above(worst: Self, limit: f32) -> bool;
    /// Four vectors to bytes, `clamp(v + zero, lo, hi)`; the first `n` channels are stored.
    unsafe fn pack(p: *mut u8, v: [Self; 4], clamp: [i32; 3], n: usize);
    /// Four vectors of signed bytes to bytes, `clamp(v, lo, hi) ^ flip`, with four times the byte in each of the constants.
    unsafe fn pack_signed(p: *mut u8, v: [Self; 4], clamp: [Self; 3], n: usize);
}

macro_rules! lanes {
    ($ty:ty, $channels:literal, $load:ident, $store:ident, $set8:ident, $set16:ident, $xor:ident, $up:expr, $down:expr, $lo8:ident $hi8:ident, $lo16:ident $hi16:ident,
     $dot:ident, $float:ident, $cast:ident, $back:ident, $mul:ident, $int:ident, $reduce:ident, $range:ident, $zero:ident, $cmp:ident, $set:ident,
     $pack:ident, $adds:ident, $max:ident, $min:ident, $and:ident, $packus:ident, $mask:ty, $masked:ident,
     $iadd:ident, $fma:ident, $set32:ident, $pack16:ident, $min8:ident, $max8:ident) => {
        impl Lanes for $ty {
            const CHANNELS: usize = $channels;
            #[inline(always)]
            unsafe fn bytes(p: *const u8, flip: bool) -> $ty {
                // SAFETY: the caller's promise.
                unsafe {
                    let v = $load(p.cast());
                    if flip { $xor(v, $set8(-128)) } else { v }
                }
            }
            #[inline(always)]
            unsafe fn load(p: *const u8) -> $ty {
                // SAFETY: the caller's promise.
                unsafe { $load(p.cast()) }
            }
            #[inline(always)]
            unsafe fn store(p: *mut i32, v: $ty) {
                // SAFETY: the caller's promise.
                unsafe { $store(p.cast(), v) }
            }
            #[inline(always)]
            unsafe fn zip8(a: $ty, b: $ty) -> [$ty; 2] {
                // SAFETY: arithmetic only.
                unsafe { [$lo8(a, b), $hi8(a, b)] }
            }
            #[inline(always)]
            unsafe fn zip16(a: $ty, b: $ty) -> [$ty; 2] {
                // SAFETY: arithmetic only.
                unsafe { [$lo16(a, b), $hi16(a, b)] }
            }
            #[inline(always)]
            unsafe fn dot(acc: $ty, a: $ty, w: $ty) -> $ty {
                // SAFETY: arithmetic only.
                unsafe { $dot(acc, a, w) }
            }
            #[inline(always)]
            unsafe fn scaled(v: $ty, scale: $ty, worst: $ty) -> ($ty, $ty) {
                // SAFETY: arithmetic only. The immediate asks for the greater magnitude, without its sign.
                unsafe {
                    let estimate = $mul($float(v), $cast(scale));
                    let rounded = $int(estimate);
                    let off = $reduce::<0>(estimate);
                    (rounded, $back($range::<0b1011>($cast(worst), off)))
                }
            }
            #[inline(always)]
            unsafe fn requantized(v: $ty, multipliers: *const i32, shift: u32) -> $ty {
                // SAFETY: the caller's promise; lanes past the vector's are of no account.
                unsafe { $down(requantized($up(v), multipliers, shift)) }
            }
            #[inline(always)]
            unsafe fn rounded(v: $ty, scale: $ty, plus: $ty) -> $ty {
                // SAFETY: arithmetic only.
                unsafe { $iadd($back($fma($float(v), $cast(scale), $set(WHOLE))), plus) }
            }
            #[inline(always)]
            unsafe fn splat(x: i32) -> $ty {
                // SAFETY: arithmetic only.
                unsafe { $set32(x) }
            }
            #[inline(always)]
            unsafe fn zero() -> $ty {
                // SAFETY: arithmetic only.
                unsafe { $zero() }
            }
            #[inline(always)]
            unsafe fn any_above(worst: $ty, limit: f32) -> bool {
                // SAFETY: arithmetic only.
                unsafe { $cmp::<_CMP_GT_OQ>($cast(worst), $set(limit)) != 0 }
            }
            #[inline(always)]
            unsafe fn pack(p: *mut u8, v: [$ty; 4], [zero, lo, hi]: [i32; 3], n: usize) {
                // SAFETY: the caller's promise; masked bytes are not written. Saturation to `i16` changes nothing that the clamp lets through.
                unsafe {
                    let (zero, lo, hi) = ($set16(zero as i16), $set16(lo as i16), $set16(hi as i16));
                    let clamp = |x, y| $and($min($max($adds($pack(x, y), zero), lo), hi), $set16(0xff));
                    let bytes = $packus(clamp(v[0], v[1]), clamp(v[2], v[3]));
                    if n >= $channels {
                        $store(p.cast(), bytes);
                    } else {
                        $masked(p.cast(), ((1_u64 << n) - 1) as $mask, bytes);
                    }
                }
            }
            #[inline(always)]
            unsafe fn pack_signed(p: *mut u8, v: [$ty; 4], [lo, hi, flip]: [$ty; 3], n: usize) {
                // SAFETY: the caller's promise; masked bytes are not written. Saturation changes nothing that the clamp lets through.
                unsafe {
                    let bytes = $pack16($pack(v[0], v[1]), $pack(v[2], v[3]));
                    let bytes = $xor($min8($max8(bytes, lo), hi), flip);
                    if n >= $channels {
                        $store(p.cast(), bytes);
                    } else {
                        $masked(p.cast(), ((1_u64 << n) - 1) as $mask, bytes);
                    }
                }
            }
        }
    };
}

lanes!(__m512i, 64, _mm512_loadu_si512, _mm512_storeu_si512, _mm512_set1_epi8, _mm512_set1_epi16, _mm512_xor_si512,
    |v| v, |v| v,
    _mm512_unpacklo_epi8 _mm512_unpackhi_epi8, _mm512_unpacklo_epi16 _mm512_unpackhi_epi16, _mm512_dpbusd_epi32, _mm512_cvtepi32_ps,
    _mm512_castsi512_ps, _mm512_castps_si512, _mm512_mul_ps, _mm512_cvtps_epi32, _mm512_reduce_ps, _mm512_range_ps, _mm512_setzero_si512, _mm512_cmp_ps_mask, _mm512_set1_ps,
    _mm512_packs_epi32, _mm512_adds_epi16, _mm512_max_epi16, _mm512_min_epi16, _mm512_and_si512, _mm512_packus_epi16, __mmask64, _mm512_mask_storeu_epi8,
    _mm512_add_epi32, _mm512_fmadd_ps, _mm512_set1_epi32, _mm512_packs_epi16, _mm512_min_epi8, _mm512_max_epi8);
lanes!(__m256i, 32, _mm256_loadu_si256, _mm256_storeu_si256, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_xor_si256,
    _mm512_castsi256_si512, _mm512_castsi512_si256,
    _mm256_unpacklo_epi8 _mm256_unpackhi_epi8, _mm256_unpacklo_epi16 _mm256_unpackhi_epi16, _mm256_dpbusd_epi32, _mm256_cvtepi32_ps,
    _mm256_castsi256_ps, _mm256_castps_si256, _mm256_mul_ps, _mm256_cvtps_epi32, _mm256_reduce_ps, _mm256_range_ps, _mm256_setzero_si256, _mm256_cmp_ps_mask, _mm256_set1_ps,
    _mm256_packs_epi32, _mm256_adds_epi16, _mm256_max_epi16, _mm256_min_epi16, _mm256_and_si256, _mm256_packus_epi16, __mmask32, _mm256_mask_storeu_epi8,
    _mm256_add_epi32, _mm256_fmadd_ps, _mm256_set1_epi32, _mm256_packs_epi16, _mm256_min_epi8, _mm256_max_epi8);
lanes!(__m128i, 16, _mm_loadu_si128, _mm_storeu_si128, _mm_set1_epi8, _mm_set1_epi16, _mm_xor_si128, _mm512_castsi128_si512, _mm512_castsi512_si128,
    _mm_unpacklo_epi8 _mm_unpackhi_epi8, _mm_unpacklo_epi16 _mm_unpackhi_epi16, _mm_dpbusd_epi32, _mm_cvtepi32_ps,
    _mm_castsi128_ps, _mm_castps_si128, _mm_mul_ps, _mm_cvtps_epi32, _mm_reduce_ps, _mm_range_ps, _mm_setzero_si128, _mm_cmp_ps_mask, _mm_set1_ps,
    _mm_packs_epi32, _mm_adds_epi16, _mm_max_epi16, _mm_min_epi16, _mm_and_si128, _mm_packus_epi16, __mmask16, _mm_mask_storeu_epi8,
    _mm_add_epi32, _mm_fmadd_ps, _mm_set1_epi32, _mm_packs_epi16, _mm_min_epi8, _mm_max_epi8);

/// Weights are as [`super::quads::pack`] lays them; sources are [`quad_columns`] pointers a row of taps, [`RowTile::taps`] counts rows of taps, and first values are in
/// their order, less what the moving of signed bytes adds.
///
/// # Safety
/// AVX-512 with VNNI is available; sources are readable for all channels rounded up to 16, and `f` covers the pixels and channels.
#[inline(always)]
pub(crate) unsafe fn stencil_i8<const KW: usize, const STEP: usize, const P: usize>(t: &RowTile, f: &FinishInt<'_>) {
    // SAFETY: the caller's promise.
    unsafe {
        if t.signed {
            stencil::<KW, STEP, P, true>(t, f);
        } else {
            stencil::<KW, STEP, P, false>(t, f);
        }
    }
}

#[inline(always)]
unsafe fn stencil<const KW: usize, const STEP: usize, const P: usize, const SIGNED: bool>(t: &RowTile, f: &FinishInt<'_>) {
    let end = t.channels.next_multiple_of(16);
    let mut c = t.from;
    while c < t.to {
        let left = end - c;
        // SAFETY: the caller's promise; a run begins and ends at groups' bounds.
        unsafe {
            match group(left) {
                64 => channels::<__m512i, KW, STEP, P, SIGNED>(t, f, c),
                32 => channels::<__m256i, KW, STEP, P, SIGNED>(t, f, c),
                _ => channels::<__m128i, KW, STEP, P, SIGNED>(t, f, c),
            }
        }
        c += group(left);
    }
}

#[inline(always)]
unsafe fn channels<V: Lanes, const KW: usize, const STEP: usize, const P: usize, const SIGNED: bool>(
    t: &RowTile,
    f: &FinishInt<'_>,
    c: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match f {
            FinishInt::Bytes(finish) if finish.residual.is_null() && finish.requantization.fused() => {
                let constants = Fused::<V>::new(finish, c);
                for repeat in 0..t.repeats {
                    let t = t.tile(repeat, P);
                    let acc = sums::<V, KW, STEP, P, SIGNED>(&t, c);
                    finish_fused::<V, P>(&t, &constants, acc, c);
                }
            }
            _ => {
                for repeat in 0..t.repeats {
                    let t = t.tile(repeat, P);
                    let acc = sums::<V, KW, STEP, P, SIGNED>(&t, c);
                    match f {
                        FinishInt::Bytes(finish) if finish.residual.is_null() => finish_plain::<V, P>(&t, finish, acc, c),
                        _ => (0..P).for_each(|i| finish_others(&t, f, &in_order::<V>(&acc[i])[..V::CHANNELS], i, c)),
                    }
                }
            }
        }
    }
}

/// Finishes sums that have a residual, or are wanted as they are.
#[inline(never)]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn finish_others(t: &RowTile, f: &FinishInt<'_>, ordered: &[i32], i: usize, c: usize) {
    for (at, sixteen) in ordered.as_chunks().0.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { store_i8::<Avx512Vnni>(t, f, sixteen, i, c + at * 16) };
    }
}

#[inline(always)]
unsafe fn sums<V: Lanes, const KW: usize, const STEP: usize, const P: usize, const SIGNED: bool>(t: &RowTile, c: usize) -> [[V; 4]; P] {
    let columns = quad_columns(P, KW, STEP);
    // SAFETY: the caller's promise.
    unsafe {
        let first: [V; 4] = four(t.init.add(c * 4));
        let mut acc = [first; P];
        let mut w = t.weights.add(c * 4 * channel_quads([t.taps, KW]));
        let skip = t.shift + c;
        let quads = row_quads(t.taps);
        for quad in 0..quads {
            // A fourth row that is not there has weights of zero.
            let row = quad * 4;
            let (r0, r1, r2) = (t.sources.add(row * columns), t.sources.add((row + 1) * columns), t.sources.add((row + 2) * columns));
            let r3 = t.sources.add((row + 3).min(t.taps - 1) * columns);
            written_out!(column in 0..(P - 1) * STEP + KW, {
                let x = zipped::<V, SIGNED>([*r0.add(column), *r1.add(column), *r2.add(column), *r3.add(column)], skip);
                for i in 0..P {
                    if column >= i * STEP && column - i * STEP < KW {
                        for q in 0..4 {
                            acc[i][q] = V::dot(acc[i][q], x[q], V::load(w.add(((column - i * STEP) * 4 + q) * V::CHANNELS)));
                        }
                    }
                }
            });
            w = w.add(KW * 4 * V::CHANNELS);
        }
        for row in quads * 4..t.taps {
            let sources = t.sources.add(row * columns);
            written_out!(quad in 0..columns / 4, {
                let x = zipped::<V, SIGNED>(*sources.add(quad * 4).cast(), skip);
                for i in 0..P {
                    // Where the pixel's first tap lies against the quad.
                    let place = (i * STEP + KW - 1).wrapping_sub(quad * 4);
                    if place < places(KW) {
                        for q in 0..4 {
                            acc[i][q] = V::dot(acc[i][q], x[q], V::load(w.add((place * 4 + q) * V::CHANNELS)));
                        }
                    }
                }
            });
            w = w.add(places(KW) * 4 * V::CHANNELS);
        }
        acc
    }
}

/// Vectors of bytes from four places as quads of one byte of each.
#[inline(always)]
unsafe fn zipped<V: Lanes, const SIGNED: bool>([p0, p1, p2, p3]: [*const u8; 4], skip: usize) -> [V; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        let (x0, x1) = (V::bytes(p0.add(skip), SIGNED), V::bytes(p1.add(skip), SIGNED));
        let (x2, x3) = (V::bytes(p2.add(skip), SIGNED), V::bytes(p3.add(skip), SIGNED));
        let ([low01, high01], [low23, high23]) = (V::zip8(x0, x1), V::zip8(x2, x3));
        let ([q0, q1], [q2, q3]) = (V::zip16(low01, low23), V::zip16(high01, high23));
        [q0, q1, q2, q3]
    }
}

/// Four vectors side by side.
#[inline(always)]
unsafe fn four<V: Lanes>(p: *const u8) -> [V; 4] {
    // SAFETY: the caller's promise; a vector has as many bytes as a group has channels.
    unsafe { [V::load(p), V::load(p.add(V::CHANNELS)), V::load(p.add(2 * V::CHANNELS)), V::load(p.add(3 * V::CHANNELS))] }
}

/// How sums of a group of channels become bytes where a product's bits are its quotient.
struct Fused<V> {
    scale: [V; 4],
    /// What is added to the bits of a product.
    plus: V,
    /// As [`Lanes::pack_signed`] takes it.
    clamp: [V; 3],
    out: *mut u8,
    out_pixel: usize,
}

impl<V: Lanes> Fused<V> {
    /// # Safety
    /// `f` has scales for whole groups.
    #[inline(always)]
    unsafe fn new(f: &FinishI8<'_>, c: usize) -> Fused<V> {
        let (scales, (_, [zero, lo, hi], _)) = (f.requantization.quad_factors().0, f.requantization.constants());
        let off = unsigned_offset(hi);
        let bytes = |x: i32| i32::from_ne_bytes([x as u8; 4]);
        // SAFETY: the caller's promise.
        unsafe {
            let clamp = [V::splat(bytes(lo - off)), V::splat(bytes(hi - off)), V::splat(bytes(off))];
            let scale = four(scales.add(c).cast());
            Fused { scale, plus: V::splat(zero - off - WHOLE_BITS), clamp, out: f.out.wrapping_add(c), out_pixel: f.out_pixel }
        }
    }
}

#[inline(always)]
unsafe fn finish_fused<V: Lanes, const P: usize>(t: &RowTile, f: &Fused<V>, acc: [[V; 4]; P], c: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        written_out!(i in 0..P, {
            let mut v = acc[i];
            for q in 0..4 {
                v[q] = V::rounded(acc[i][q], f.scale[q], f.plus);
            }
            V::pack_signed(f.out.wrapping_add((t.pixel + i) * f.out_pixel), v, f.clamp, t.channels - c);
        });
    }
}

#[inline(always)]
unsafe fn finish_plain<V: Lanes, const P: usize>(t: &RowTile, f: &FinishI8<'_>, acc: [[V; 4]; P], c: usize) {
    // SAFETY: the caller's promise; scales are there for whole groups.
    unsafe {
        let ((scales, multipliers), (shift, clamp, decided)) = (f.requantization.quad_factors(), f.requantization.constants());
        let (scale, multipliers): ([V; 4], _) = (four(scales.add(c).cast()), multipliers.add(c));
        written_out!(i in 0..P, {
            let sums = acc[i];
            let mut worst = V::zero();
            let mut rounded = sums;
            for q in 0..4 {
                (rounded[q], worst) = V::scaled(sums[q], scale[q], worst);
            }
            if V::any_above(worst, decided) {
                for q in 0..4 {
                    rounded[q] = V::requantized(sums[q], multipliers.add(q * V::CHANNELS / 4), shift);
                }
            }
            let at = f.out.wrapping_add((t.pixel + i) * f.out_pixel + c);
            V::pack(at, rounded, clamp, t.channels - c);
        });
    }
}

/// The sums of four vectors by channel.
#[inline(always)]
unsafe fn in_order<V: Lanes>(sums: &[V; 4]) -> [i32; 64] {
    let mut ordered = [0; 64];
    for q in 0..4 {
        let mut lanes = [0_i32; 16];
        // SAFETY: a vector has at most sixteen lanes.
        unsafe { V::store(lanes.as_mut_ptr(), sums[q]) };
        for (i, &lane) in lanes[..V::CHANNELS / 4].iter().enumerate() {
            ordered[i / 4 * 16 + q * 4 + i % 4] = lane;
        }
    }
    ordered
}
