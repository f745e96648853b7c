//! AVX-512 (F, BW, DQ, VL), with and without VNNI.

use super::{DotFormat, Simd, WHOLE, WHOLE_BITS, unsigned_offset};
use core::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(crate) struct Avx512;

#[derive(Clone, Copy)]
pub(crate) struct Avx512Vnni;

#[inline(always)]
fn mask(n: usize) -> __mmask16 {
    (0xffff_u32 >> (16 - n)) as __mmask16
}

/// `vpmaddwd` and an addition: exact, since a pair of products of an 8-bit and an 8-bit number never overflows.
#[inline(always)]
unsafe fn dot_pairs(acc: __m512i, a: __m512i, w: __m512i) -> __m512i {
    // SAFETY: the trait's contract.
    unsafe { _mm512_add_epi32(acc, _mm512_madd_epi16(a, w)) }
}

/// `vpdpbusd`: unsigned bytes by signed bytes, wrapping.
#[inline(always)]
unsafe fn dot_quads(acc: __m512i, a: __m512i, w: __m512i) -> __m512i {
    // SAFETY: the trait's contract.
    unsafe { _mm512_dpbusd_epi32(acc, a, w) }
}

/// [`crate::requantize`] of each lane with its own multiplier, where no quotient leaves 32 bits: even and odd lanes as numbers of 64 bits. (A call would take every
/// vector out of its register, even where it is never made.)
///
/// # Safety
/// AVX-512 is available; sixteen multipliers are readable.
#[inline(always)]
pub(crate) unsafe fn requantized(v: __m512i, multipliers: *const i32, shift: u32) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let multiplier = _mm512_loadu_si512(multipliers.cast());
        let (count, half) = (_mm_cvtsi32_si128(shift as i32), _mm512_set1_epi64((1_i64 << (shift - 1)) - 1));
        let quotient = |v, multiplier| {
            let product = _mm512_mul_epi32(v, multiplier);
            let odd = _mm512_and_si512(_mm512_srl_epi64(product, count), _mm512_set1_epi64(1));
            _mm512_sra_epi64(_mm512_add_epi64(_mm512_add_epi64(product, half), odd), count)
        };
        let even = quotient(v, multiplier);
        let odd = quotient(_mm512_srli_epi64::<32>(v), _mm512_srli_epi64::<32>(multiplier));
        _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64::<32>(odd))
    }
}

macro_rules! avx512 {
    ($name:ident, $format:expr, $dot:ident) => {
        impl Simd for $name {
            const LANES: usize = 16;
            const DOT: DotFormat = $format;
            type F = __m512;
            type I = __m512i;
            type Clamp = [__m512i; 3];
            type RowClamp = [__m512i; 3];
            const FUSED: bool = true;
            const PAIRS: bool = true;
            #[inline(always)]
            unsafe fn splat(x: f32) -> __m512 {
                // SAFETY: the trait's contract.
                unsafe { _mm512_set1_ps(x) }
            }
            #[inline(always)]
            unsafe fn load(p: *const f32) -> __m512 {
                // SAFETY: the trait's contract.
                unsafe { _mm512_loadu_ps(p) }
            }
            #[inline(always)]
            unsafe fn store(p: *mut f32, v: __m512) {
                // SAFETY: the trait's contract.
                unsafe { _mm512_storeu_ps(p, v) }
            }
            #[inline(always)]
            unsafe fn load_first(p: *const f32, n: usize) -> __m512 {
                // SAFETY: the trait's contract.
                unsafe { _mm512_maskz_loadu_ps(mask(n), p) }
            }
            #[inline(always)]
            unsafe fn store_first(p: *mut f32, v: __m512, n: usize) {
                // SAFETY: the trait's contract.
                unsafe { _mm512_mask_storeu_ps(p, mask(n), v) }
            }
            #[inline(always)]
            unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
                // SAFETY: the trait's contract.
                unsafe { _mm512_fmadd_ps(a, b, c) }
            }
            #[inline(always)]
            unsafe fn add(a: __m512, b: __m512) -> __m512 {
                // SAFETY: the trait's contract.
                unsafe { _mm512_add_ps(a, b) }
            }
            #[inline(always)]
            unsafe fn sub(a: __m512, b: __m512) -> __m512 {
                // SAFETY: the trait's contract.
                unsafe { _mm512_sub_ps(a, b) }
            }
            #[inline(always)]
            unsafe fn mul(a: __m512, b: __m512) -> __m512 {
                // SAFETY: the trait's contract.
                unsafe { _mm512_mul_ps(a, b) }
            }
            #[inline(always)]
            unsafe fn min(a: __m512, b: __m512) -> __m512 {
                // SAFETY: the trait's contract.
                unsafe { _mm512_min_ps(b, a) }
            }
            #[inline(always)]
            unsafe fn max(a: __m512, b: __m512) -> __m512 {
                // SAFETY: the trait's contract.
                unsafe { _mm512_max_ps(b, a) }
            }
            #[inline(always)]
            unsafe fn abs(v: __m512) -> __m512 {
                // SAFETY: the trait's contract.
                unsafe { _mm512_abs_ps(v) }
            }
            #[inline(always)]
            unsafe fn any_above(v: __m512, limit: f32) -> bool {
                // SAFETY: the trait's contract.
                unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(v, _mm512_set1_ps(limit)) != 0 }
            }
            #[inline(always)]
            unsafe fn isplat(x: i32) -> __m512i {
                // SAFETY: the trait's contract.
                unsafe { _mm512_set1_epi32(x) }
            }
            #[inline(always)]
            unsafe fn iload(p: *const i32) -> __m512i {
                // SAFETY: the trait's contract.
                unsafe { _mm512_loadu_si512(p.cast()) }
            }
            #[inline(always)]
            unsafe fn istore(p: *mut i32, v: __m512i) {
                // SAFETY: the trait's contract.
                unsafe { _mm512_storeu_si512(p.cast(), v) }
            }
            #[inline(always)]
            unsafe fn iadd(a: __m512i, b: __m512i) -> __m512i {
                // SAFETY: the trait's contract.
                unsafe { _mm512_add_epi32(a, b) }
            }
            #[inline(always)]
            unsafe fn imul(a: __m512i, b: __m512i) -> __m512i {
                // SAFETY: the trait's contract.
                unsafe { _mm512_mullo_epi32(a, b) }
            }
            #[inline(always)]
            unsafe fn iand(a: __m512i, b: __m512i) -> __m512i {
                // SAFETY: the trait's contract.
                unsafe { _mm512_and_si512(a, b) }
            }
            #[inline(always)]
            unsafe fn imin(a: __m512i, b: __m512i) -> __m512i {
                // SAFETY: the trait's contract.
                unsafe { _mm512_min_epi32(a, b) }
            }
            #[inline(always)]
            unsafe fn imax(a: __m512i, b: __m512i) -> __m512i {
                // SAFETY: the trait's contract.
                unsafe { _mm512_max_epi32(a, b) }
            }
            #[inline(always)]
            unsafe fn ishr(a: __m512i, count: u32) -> __m512i {
                // SAFETY: the trait's contract.
                unsafe { _mm512_sra_epi32(a, _mm_cvtsi32_si128(count as i32)) }
            }
            #[inline(always)]
            unsafe fn to_float(v: __m512i) -> __m512 {
                // SAFETY: the trait's contract.
                unsafe { _mm512_cvtepi32_ps(v) }
            }
            #[inline(always)]
            unsafe fn to_int(v: __m512) -> __m512i {
                // SAFETY: the trait's contract.
                unsafe { _mm512_cvtps_epi32(v) }
            }
            #[inline(always)]
            unsafe fn rounded_off(v: __m512, _: __m512i) -> __m512 {
                // SAFETY: the trait's contract. The immediate asks for the rest over whole numbers, to the nearest.
                unsafe { _mm512_reduce_ps::<0>(v) }
            }
            #[inline(always)]
            unsafe fn requantized(v: __m512i, multipliers: *const i32, shift: u32) -> __m512i {
                // SAFETY: the trait's contract.
                unsafe { requantized(v, multipliers, shift) }
            }
            #[inline(always)]
            unsafe fn rounded(v: __m512i, scale: __m512, plus: __m512i) -> __m512i {
                // SAFETY: the trait's contract.
                unsafe {
                    let sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(v), scale, _mm512_set1_ps(WHOLE));
                    _mm512_add_epi32(_mm512_castps_si512(sum), plus)
                }
            }
            #[inline(always)]
            unsafe fn row_clamp(zero: i32, lo: i32, hi: i32) -> (__m512i, [__m512i; 3]) {
                let off = unsigned_offset(hi);
                // SAFETY: the trait's contract.
                unsafe {
                    let limit = |x: i32| _mm512_set1_epi8((x - off) as i8);
                    (_mm512_set1_epi32(zero - off - WHOLE_BITS), [limit(lo), limit(hi), _mm512_set1_epi8(off as i8)])
                }
            }
            #[inline(always)]
            unsafe fn store_rows<const NV: usize>(p: [*mut u8; 2], v: [[__m512i; NV]; 2], [lo, hi, flip]: [__m512i; 3]) {
                // Saturation on the way changes nothing that the clamp lets through. Vectors are packed inside 128-bit lanes, then put in order.
                let mut j = 0;
                while j < NV {
                    let at = p.map(|p| p.wrapping_add(j * 16));
                    // SAFETY: the trait's contract.
                    unsafe {
                        let pair = j + 1 < NV;
                        let (first, second) = if pair {
                            (_mm512_packs_epi32(v[0][j], v[0][j + 1]), _mm512_packs_epi32(v[1][j], v[1][j + 1]))
                        } else {
                            let words = _mm512_packs_epi32(v[0][j], v[1][j]);
                            (words, words)
                        };
                        let bytes = _mm512_min_epi8(_mm512_max_epi8(_mm512_packs_epi16(first, second), lo), hi);
                        let order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
                        let bytes = _mm512_permutexvar_epi32(order, _mm512_xor_si512(bytes, flip));
                        if pair {
                            _mm256_storeu_si256(at[0].cast(), _mm512_castsi512_si256(bytes));
                            _mm256_storeu_si256(at[1].cast(), _mm512_extracti64x4_epi64::<1>(bytes));
                        } else {
                            _mm_storeu_si128(at[0].cast(), _mm512_castsi512_si128(bytes));
                            _mm_storeu_si128(at[1].cast(), _mm512_extracti32x4_epi32::<1>(bytes));
                        }
                    }
                    j += 2;
                }
            }
            #[inline(always)]
            unsafe fn load_bytes(p: *const u8, signed: bool, n: usize) -> __m512i {
                // SAFETY: the trait's contract.
                unsafe {
                    let bytes = _mm_maskz_loadu_epi8(mask(n), p.cast());
                    if signed { _mm512_cvtepi8_epi32(bytes) } else { _mm512_cvtepu8_epi32(bytes) }
                }
            }
            #[inline(always)]
            unsafe fn max_abs(a: __m512, b: __m512) -> __m512 {
                // SAFETY: the trait's contract. The immediate asks for the greater magnitude, without its sign.
                unsafe { _mm512_range_ps::<0b1011>(a, b) }
            }
            #[inline(always)]
            unsafe fn clamp(zero: i32, lo: i32, hi: i32) -> [__m512i; 3] {
                // SAFETY: the trait's contract.
                unsafe { [_mm512_set1_epi16(zero as i16), _mm512_set1_epi16(lo as i16), _mm512_set1_epi16(hi as i16)] }
            }
            #[inline(always)]
            unsafe fn store_clamped<const NV: usize>(p: *mut u8, v: [__m512i; NV], [zero, lo, hi]: [__m512i; 3]) {
                // Saturation to `i16` on the way changes nothing that the clamp lets through. Two vectors are packed inside 128-bit lanes, then put in order.
                let mut j = 0;
                while j < NV {
                    let at = p.wrapping_add(j * 16);
                    // SAFETY: the trait's contract.
                    unsafe {
                        let words = _mm512_packs_epi32(v[j], if j + 1 < NV { v[j + 1] } else { v[j] });
                        let clamped = _mm512_min_epi16(_mm512_max_epi16(_mm512_adds_epi16(words, zero), lo), hi);
                        let ordered = _mm512_permutexvar_epi64(_mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0), clamped);
                        if j + 1 < NV {
                            _mm256_storeu_si256(at.cast(), _mm512_cvtepi16_epi8(ordered));
                        } else {
                            _mm_storeu_si128(at.cast(), _mm256_cvtepi16_epi8(_mm512_castsi512_si256(ordered)));
                        }
                    }
                    j += 2;
                }
            }
            #[inline(always)]
            unsafe fn store_clamped_first(p: *mut u8, v: __m512i, [zero, lo, hi]: [__m512i; 3], n: usize) {
                // SAFETY: the trait's contract; masked bytes are not written.
                unsafe {
                    let words = _mm512_adds_epi16(_mm512_packs_epi32(v, v), zero);
                    let clamped = _mm512_min_epi16(_mm512_max_epi16(words, lo), hi);
                    let ordered = _mm512_permutexvar_epi64(_mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0), clamped);
                    _mm_mask_storeu_epi8(p.cast(), mask(n), _mm256_cvtepi16_epi8(_mm512_castsi512_si256(ordered)));
                }
            }
            #[inline(always)]
            unsafe fn dot(acc: __m512i, a: __m512i, w: __m512i) -> __m512i {
                // SAFETY: the trait's contract.
                unsafe { $dot(acc, a, w) }
            }
        }
    };
}

avx512!(Avx512, DotFormat::PairsI16, dot_pairs);
avx512!(Avx512Vnni, DotFormat::QuadsU8, dot_quads);
