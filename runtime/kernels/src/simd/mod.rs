//! The vectors that tiles are written over.
//!
//! Every method is `#[inline(always)]` and plain: it is compiled inside a function that enables the instruction set (see `table`), which is
//! what makes the intrinsics inside legal and inlined.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod portable;

/// What four bytes of a converted input row hold for [`Simd::dot`], and so how input and weights are prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DotFormat {
    /// Two successive channels as `i16`.
    PairsI16,
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    /// Four successive channels as `u8`; signed input is moved up by 128.
    QuadsU8,
    #[cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]
    /// Four successive channels as `i8`; unsigned input is moved down by 128.
    QuadsI8,
}

impl DotFormat {
    /// Bytes of one channel.
    pub(crate) const fn channel_bytes(self) -> usize {
        match self {
            DotFormat::PairsI16 => 2,
            DotFormat::QuadsU8 | DotFormat::QuadsI8 => 1,
        }
    }
}

/// `1.5 * 2^23`: a sum of it and a number of at most 22 bits rounds to a whole number, whose two's complement is in the low bits.
pub(crate) const WHOLE: f32 = 12_582_912.0;

/// The bits of [`WHOLE`].
pub(crate) const WHOLE_BITS: i32 = 0x4b40_0000;

/// What is taken off results of `lo..=hi` to make signed bytes of them.
#[cfg(target_arch = "x86_64")]
pub(crate) const fn unsigned_offset(hi: i32) -> i32 {
    if hi > 127 { 128 } else { 0 }
}

/// A vector of [`Simd::LANES`] 32-bit lanes.
///
/// # Safety
/// All methods require that the CPU runs the implementing instruction set, and that pointers are readable (writable) for the lanes named.
pub(crate) trait Simd: Copy {
    /// Lanes of a vector: a divisor of 16.
    const LANES: usize;
    /// How [`Simd::dot`] reads its operands.
    const DOT: DotFormat;
    /// Floats.
    type F: Copy;
    /// Integers.
    type I: Copy;
    /// A zero point and two limits, as [`Simd::store_clamped`] takes them.
    type Clamp: Copy;
    /// Two limits, as [`Simd::store_rows`] takes them.
    type RowClamp: Copy;
    /// Whether [`Simd::fma`] rounds once, so that [`Simd::rounded`] is exact.
    const FUSED: bool;
    /// Whether [`Simd::store_rows`] is better than storing two rows.
    const PAIRS: bool = false;

    unsafe fn splat(x: f32) -> Self::F;
    unsafe fn load(p: *const f32) -> Self::F;
    unsafe fn store(p: *mut f32, v: Self::F);
    /// The first `n` lanes, zeros above; `0 < n < LANES`.
    unsafe fn load_first(p: *const f32, n: usize) -> Self::F;
    /// Stores the first `n` lanes; `0 < n < LANES`.
    unsafe fn store_first(p: *mut f32, v: Self::F, n: usize);
    /// `a * b + c`.
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;
    /// `if b < a { b } else { a }`.
    unsafe fn min(a: Self::F, b: Self::F) -> Self::F;
    /// `if a < b { b } else { a }`.
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn abs(v: Self::F) -> Self::F;
    /// The greater magnitude of each lane of `a`, which is not negative, and `b`.
    #[inline(always)]
    unsafe fn max_abs(a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the trait's contract.
        unsafe { Self::max(a, Self::abs(b)) }
    }
    /// Whether some lane is greater than `limit`.
    unsafe fn any_above(v: Self::F, limit: f32) -> bool;

    unsafe fn isplat(x: i32) -> Self::I;
    unsafe fn iload(p: *const i32) -> Self::I;
    unsafe fn istore(p: *mut i32, v: Self::I);
    unsafe fn iadd(a: Self::I, b: Self::I) -> Self::I;
    /// The low 32 bits of the product.
    unsafe fn imul(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn iand(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn imin(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn imax(a: Self::I, b: Self::I) -> Self::I;
    /// Arithmetic shift right by `0 <= count < 32`.
    unsafe fn ishr(a: Self::I, count: u32) -> Self::I;
    unsafe fn to_float(v: Self::I) -> Self::F;
    /// To the nearest integer, ties to even, for magnitudes below `2^21`; beyond, to anything of that sign and at least that magnitude.
    unsafe fn to_int(v: Self::F) -> Self::I;
    /// What [`Simd::to_int`] took off `v` to make `whole` of it, where it is defined.
    #[inline(always)]
    unsafe fn rounded_off(v: Self::F, whole: Self::I) -> Self::F {
        // SAFETY: the trait's contract.
        unsafe { Self::sub(v, Self::to_float(whole)) }
    }
    /// The bits of `v * scale + WHOLE`, rounded once, and `plus`: for `plus = -WHOLE_BITS`, the nearest integer to the product (ties to even), where `v` has at most 24 bits and
    /// the product 22.
    unsafe fn rounded(v: Self::I, scale: Self::F, plus: Self::I) -> Self::I;
    /// [`crate::requantize`] of each lane with its own multiplier, where no quotient leaves 32 bits.
    #[inline(always)]
    unsafe fn requantized(v: Self::I, multipliers: *const i32, shift: u32) -> Self::I {
        let mut lanes = [0_i32; 16];
        // SAFETY: the trait's contract; a vector has at most sixteen lanes.
        unsafe {
            Self::istore(lanes.as_mut_ptr(), v);
            crate::finish::exact_lanes(&mut lanes[..Self::LANES], core::slice::from_raw_parts(multipliers, Self::LANES), shift);
            Self::iload(lanes.as_ptr())
        }
    }
    /// The first `n` bytes, `0 < n <= LANES`, widened; zeros above. May read `LANES` bytes.
    unsafe fn load_bytes(p: *const u8, signed: bool, n: usize) -> Self::I;
    /// The constants of [`Simd::store_clamped`].
    unsafe fn clamp(zero: i32, lo: i32, hi: i32) -> Self::Clamp;
    /// Stores all lanes as bytes, each `v + zero` clamped to `lo..=hi`, with `zero`, `lo` and `hi` (a byte, signed or not) of a few hundred at most.
    unsafe fn store_clamped<const NV: usize>(p: *mut u8, v: [Self::I; NV], clamp: Self::Clamp);
    /// As [`Simd::store_clamped`], for the first `n` lanes; `0 < n < LANES`.
    #[inline(always)]
    unsafe fn store_clamped_first(p: *mut u8, v: Self::I, clamp: Self::Clamp, n: usize) {
        let mut bytes = [0_u8; 16];
        // SAFETY: sixteen bytes hold all lanes, and `n` of them are copied.
        unsafe {
            Self::store_clamped(bytes.as_mut_ptr(), [v], clamp);
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), p, n);
        }
    }
    /// For [`Simd::store_rows`]: what to give [`Simd::rounded`], so that results lie about the zero point, and the limits.
    unsafe fn row_clamp(zero: i32, lo: i32, hi: i32) -> (Self::I, Self::RowClamp);
    /// Stores all lanes of two rows as bytes, clamped.
    unsafe fn store_rows<const NV: usize>(p: [*mut u8; 2], v: [[Self::I; NV]; 2], clamp: Self::RowClamp);
    /// Adds to each lane the products of its four bytes of `a` and of `w`, as [`Simd::DOT`] says.
    unsafe fn dot(acc: Self::I, a: Self::I, w: Self::I) -> Self::I;
}
