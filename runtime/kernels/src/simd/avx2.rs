//! AVX2 with FMA.

use super::{DotFormat, Simd, WHOLE, WHOLE_BITS, unsigned_offset};
use core::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(crate) struct Avx2;

/// `MASKS[8 - n ..]` has its first `n` lanes set.
static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

#[inline(always)]
unsafe fn mask(n: usize) -> __m256i {
    // SAFETY: `n <= 8`, so that eight lanes from `8 - n` are inside the table.
    unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(8 - n).cast()) }
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    const DOT: DotFormat = DotFormat::PairsI16;
    type F = __m256;
    type I = __m256i;
    type Clamp = [__m256i; 3];
    type RowClamp = [__m256i; 3];
    const FUSED: bool = true;
    const PAIRS: bool = true;

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m256) {
        // SAFETY: the trait's contract.
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize) -> __m256 {
        // SAFETY: the trait's contract; masked lanes are not read.
        unsafe { _mm256_maskload_ps(p, mask(n)) }
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, v: __m256, n: usize) {
        // SAFETY: the trait's contract; masked lanes are not written.
        unsafe { _mm256_maskstore_ps(p, mask(n), v) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the trait's contract. `minps` answers its second operand where the comparison fails.
        unsafe { _mm256_min_ps(b, a) }
    }
    #[inline(always)]
    unsafe fn max(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the trait's contract. `maxps` answers its second operand where the comparison fails.
        unsafe { _mm256_max_ps(b, a) }
    }
    #[inline(always)]
    unsafe fn abs(v: __m256) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), v) }
    }
    #[inline(always)]
    unsafe fn any_above(v: __m256, limit: f32) -> bool {
        // SAFETY: the trait's contract.
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(v, _mm256_set1_ps(limit))) != 0 }
    }
    #[inline(always)]
    unsafe fn isplat(x: i32) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe { _mm256_set1_epi32(x) }
    }
    #[inline(always)]
    unsafe fn iload(p: *const i32) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe { _mm256_loadu_si256(p.cast()) }
    }
    #[inline(always)]
    unsafe fn istore(p: *mut i32, v: __m256i) {
        // SAFETY: the trait's contract.
        unsafe { _mm256_storeu_si256(p.cast(), v) }
    }
    #[inline(always)]
    unsafe fn iadd(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe { _mm256_add_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn imul(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe { _mm256_mullo_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn iand(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe { _mm256_and_si256(a, b) }
    }
    #[inline(always)]
    unsafe fn imin(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe { _mm256_min_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn imax(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe { _mm256_max_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn ishr(a: __m256i, count: u32) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe { _mm256_sra_epi32(a, _mm_cvtsi32_si128(count as i32)) }
    }
    #[inline(always)]
    unsafe fn to_float(v: __m256i) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe { _mm256_cvtepi32_ps(v) }
    }
    #[inline(always)]
    unsafe fn to_int(v: __m256) -> __m256i {
        // SAFETY: the trait's contract. Rounding is the default mode's.
        unsafe { _mm256_cvtps_epi32(v) }
    }
    #[inline(always)]
    unsafe fn rounded(v: __m256i, scale: __m256, plus: __m256i) -> __m256i {
        // SAFETY: the trait's contract.
        unsafe {
            let sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(v), scale, _mm256_set1_ps(WHOLE));
            _mm256_add_epi32(_mm256_castps_si256(sum), plus)
        }
    }
    #[inline(always)]
    unsafe fn row_clamp(zero: i32, lo: i32, hi: i32) -> (__m256i, [__m256i; 3]) {
        let off = unsigned_offset(hi);
        // SAFETY: the trait's contract.
        unsafe {
            let limit = |x: i32| _mm256_set1_epi8((x - off) as i8);
            (_mm256_set1_epi32(zero - off - WHOLE_BITS), [limit(lo), limit(hi), _mm256_set1_epi8(off as i8)])
        }
    }
    #[inline(always)]
    unsafe fn store_rows<const NV: usize>(p: [*mut u8; 2], v: [[__m256i; NV]; 2], [lo, hi, flip]: [__m256i; 3]) {
        // Saturation on the way changes nothing that the clamp lets through. Vectors are packed inside 128-bit lanes, then put in order.
        let mut j = 0;
        while j < NV {
            let at = p.map(|p| p.wrapping_add(j * 8));
            // SAFETY: the trait's contract.
            unsafe {
                let pair = j + 1 < NV;
                let (first, second) = if pair {
                    (_mm256_packs_epi32(v[0][j], v[0][j + 1]), _mm256_packs_epi32(v[1][j], v[1][j + 1]))
                } else {
                    let words = _mm256_packs_epi32(v[0][j], v[1][j]);
                    (words, words)
                };
                let bytes = _mm256_min_epi8(_mm256_max_epi8(_mm256_packs_epi16(first, second), lo), hi);
                let bytes = _mm256_permutevar8x32_epi32(_mm256_xor_si256(bytes, flip), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
                let (low, high) = (_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes));
                if pair {
                    _mm_storeu_si128(at[0].cast(), low);
                    _mm_storeu_si128(at[1].cast(), high);
                } else {
                    _mm_storel_epi64(at[0].cast(), low);
                    _mm_storel_epi64(at[1].cast(), _mm_unpackhi_epi64(low, low));
                }
            }
            j += 2;
        }
    }
    #[inline(always)]
    unsafe fn load_bytes(p: *const u8, signed: bool, _n: usize) -> __m256i {
        // SAFETY: the trait's contract allows reading eight bytes.
        unsafe {
            let bytes = _mm_loadl_epi64(p.cast());
            if signed { _mm256_cvtepi8_epi32(bytes) } else { _mm256_cvtepu8_epi32(bytes) }
        }
    }
    #[inline(always)]
    unsafe fn clamp(zero: i32, lo: i32, hi: i32) -> [__m256i; 3] {
        // SAFETY: the trait's contract.
        unsafe { [_mm256_set1_epi16(zero as i16), _mm256_set1_epi16(lo as i16), _mm256_set1_epi16(hi as i16)] }
    }
    #[inline(always)]
    unsafe fn store_clamped<const NV: usize>(p: *mut u8, v: [__m256i; NV], [zero, lo, hi]: [__m256i; 3]) {
        // Two vectors make sixteen bytes; saturation to `i16` on the way changes nothing that the clamp lets through.
        let mut j = 0;
        while j < NV {
            // SAFETY: the trait's contract.
            unsafe {
                let words = _mm256_packs_epi32(v[j], if j + 1 < NV { v[j + 1] } else { v[j] });
                let clamped = _mm256_min_epi16(_mm256_max_epi16(_mm256_adds_epi16(words, zero), lo), hi);
                let low = _mm256_and_si256(clamped, _mm256_set1_epi16(0xff));
                let bytes = _mm256_packus_epi16(low, low);
                let ordered = _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes));
                if j + 1 < NV {
                    _mm_storeu_si128(p.wrapping_add(j * 8).cast(), ordered);
                } else {
                    _mm_storel_epi64(p.wrapping_add(j * 8).cast(), ordered);
                }
            }
            j += 2;
        }
    }
    #[inline(always)]
    unsafe fn dot(acc: __m256i, a: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the trait's contract. A pair of products of an 8-bit and an 8-bit number never overflows.
        unsafe { _mm256_add_epi32(acc, _mm256_madd_epi16(a, w)) }
    }
}
