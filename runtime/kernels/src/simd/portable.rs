//! Plain Rust: what every machine runs, and (with sixteen lanes) the model that AVX-512's tiles are tested by.

use super::{DotFormat, Simd, WHOLE_BITS};

#[derive(Clone, Copy)]
pub(crate) struct Portable<const N: usize>;

#[inline(always)]
fn lanes<T, const N: usize>(f: impl FnMut(usize) -> T) -> [T; N] {
    core::array::from_fn(f)
}

impl<const N: usize> Simd for Portable<N> {
    const LANES: usize = N;
    const DOT: DotFormat = DotFormat::PairsI16;
    type F = [f32; N];
    type I = [i32; N];
    type Clamp = [i32; 3];
    type RowClamp = [i32; 3];
    // Rounding once takes a call without the instruction.
    const FUSED: bool = false;

    #[inline(always)]
    unsafe fn splat(x: f32) -> [f32; N] {
        [x; N]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> [f32; N] {
        // SAFETY: the trait's contract.
        unsafe { p.cast::<[f32; N]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: [f32; N]) {
        // SAFETY: the trait's contract.
        unsafe { p.cast::<[f32; N]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize) -> [f32; N] {
        let mut lanes = [0.0; N];
        // SAFETY: the trait's contract.
        unsafe { core::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), n) };
        lanes
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, v: [f32; N], n: usize) {
        // SAFETY: the trait's contract.
        unsafe { core::ptr::copy_nonoverlapping(v.as_ptr(), p, n) }
    }
    #[inline(always)]
    unsafe fn fma(a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
        // Where the machine fuses, fuse; elsewhere `mul_add` would be a library call.
        if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
            lanes(|i| a[i].mul_add(b[i], c[i]))
        } else {
            lanes(|i| a[i] * b[i] + c[i])
        }
    }
    #[inline(always)]
    unsafe fn add(a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes(|i| a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes(|i| a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn min(a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes(|i| if b[i] < a[i] { b[i] } else { a[i] })
    }
    #[inline(always)]
    unsafe fn max(a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes(|i| if a[i] < b[i] { b[i] } else { a[i] })
    }
    #[inline(always)]
    unsafe fn abs(v: [f32; N]) -> [f32; N] {
        lanes(|i| v[i].abs())
    }
    #[inline(always)]
    unsafe fn any_above(v: [f32; N], limit: f32) -> bool {
        v.iter().any(|&lane| lane > limit)
    }
    #[inline(always)]
    unsafe fn isplat(x: i32) -> [i32; N] {
        [x; N]
    }
    #[inline(always)]
    unsafe fn iload(p: *const i32) -> [i32; N] {
        // SAFETY: the trait's contract.
        unsafe { p.cast::<[i32; N]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn istore(p: *mut i32, v: [i32; N]) {
        // SAFETY: the trait's contract.
        unsafe { p.cast::<[i32; N]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn iadd(a: [i32; N], b: [i32; N]) -> [i32; N] {
        lanes(|i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    unsafe fn imul(a: [i32; N], b: [i32; N]) -> [i32; N] {
        lanes(|i| a[i].wrapping_mul(b[i]))
    }
    #[inline(always)]
    unsafe fn iand(a: [i32; N], b: [i32; N]) -> [i32; N] {
        lanes(|i| a[i] & b[i])
    }
    #[inline(always)]
    unsafe fn imin(a: [i32; N], b: [i32; N]) -> [i32; N] {
        lanes(|i| a[i].min(b[i]))
    }
    #[inline(always)]
    unsafe fn imax(a: [i32; N], b: [i32; N]) -> [i32; N] {
        lanes(|i| a[i].max(b[i]))
    }
    #[inline(always)]
    unsafe fn ishr(a: [i32; N], count: u32) -> [i32; N] {
        lanes(|i| a[i] >> count)
    }
    #[inline(always)]
    unsafe fn to_float(v: [i32; N]) -> [f32; N] {
        lanes(|i| v[i] as f32)
    }
    #[inline(always)]
    unsafe fn to_int(v: [f32; N]) -> [i32; N] {
        // Adding 1.5 * 2^23 leaves the rounded integer in the low bits of the sum.
        lanes(|i| (v[i].clamp(-4_000_000.0, 4_000_000.0) + 12_582_912.0).to_bits() as i32 - 0x4b40_0000)
    }
    #[inline(always)]
    unsafe fn rounded(v: [i32; N], scale: [f32; N], plus: [i32; N]) -> [i32; N] {
        // A product of two `f32` is exact in `f64`.
        lanes(|i| ((f64::from(v[i] as f32) * f64::from(scale[i])).round_ties_even() as i32 + WHOLE_BITS).wrapping_add(plus[i]))
    }
    #[inline(always)]
    unsafe fn row_clamp(zero: i32, lo: i32, hi: i32) -> ([i32; N], [i32; 3]) {
        // SAFETY: the trait's contract.
        unsafe { (Self::isplat(-WHOLE_BITS), Self::clamp(zero, lo, hi)) }
    }
    #[inline(always)]
    unsafe fn store_rows<const NV: usize>(p: [*mut u8; 2], v: [[[i32; N]; NV]; 2], clamp: [i32; 3]) {
        // SAFETY: the trait's contract.
        unsafe {
            Self::store_clamped(p[0], v[0], clamp);
            Self::store_clamped(p[1], v[1], clamp);
        }
    }
    #[inline(always)]
    unsafe fn load_bytes(p: *const u8, signed: bool, n: usize) -> [i32; N] {
        let mut bytes = [0_u8; N];
        // SAFETY: the trait's contract.
        unsafe { core::ptr::copy_nonoverlapping(p, bytes.as_mut_ptr(), n) };
        lanes(|i| if signed { i32::from(bytes[i] as i8) } else { i32::from(bytes[i]) })
    }
    #[inline(always)]
    unsafe fn clamp(zero: i32, lo: i32, hi: i32) -> [i32; 3] {
        [zero, lo, hi]
    }
    #[inline(always)]
    unsafe fn store_clamped<const NV: usize>(p: *mut u8, v: [[i32; N]; NV], [zero, lo, hi]: [i32; 3]) {
        for (j, v) in v.into_iter().enumerate() {
            let bytes: [u8; N] = lanes(|i| v[i].wrapping_add(zero).max(lo).min(hi) as u8);
            // SAFETY: the trait's contract.
            unsafe { p.wrapping_add(j * N).cast::<[u8; N]>().write_unaligned(bytes) };
        }
    }
    #[inline(always)]
    unsafe fn dot(acc: [i32; N], a: [i32; N], w: [i32; N]) -> [i32; N] {
        let low = |x: i32| i32::from(x as i16);
        lanes(|i| acc[i].wrapping_add(low(a[i]) * low(w[i]) + (a[i] >> 16) * (w[i] >> 16)))
    }
}
