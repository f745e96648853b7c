//! NEON with the dot product extension.

use super::{DotFormat, Simd, WHOLE, WHOLE_BITS};
use core::arch::aarch64::*;

#[derive(Clone, Copy)]
pub(crate) struct Neon;

impl Simd for Neon {
    const LANES: usize = 4;
    const DOT: DotFormat = DotFormat::QuadsI8;
    type F = float32x4_t;
    type I = int32x4_t;
    type Clamp = [int32x4_t; 3];
    type RowClamp = [int32x4_t; 3];
    const FUSED: bool = true;

    #[inline(always)]
    unsafe fn splat(x: f32) -> float32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vdupq_n_f32(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> float32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vld1q_f32(p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: float32x4_t) {
        // SAFETY: the trait's contract.
        unsafe { vst1q_f32(p, v) }
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize) -> float32x4_t {
        // SAFETY: the trait's contract.
        unsafe {
            let mut lanes = [0.0_f32; 4];
            core::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), n);
            vld1q_f32(lanes.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, v: float32x4_t, n: usize) {
        // SAFETY: the trait's contract.
        unsafe {
            let mut lanes = [0.0_f32; 4];
            vst1q_f32(lanes.as_mut_ptr(), v);
            core::ptr::copy_nonoverlapping(lanes.as_ptr(), p, n);
        }
    }
    #[inline(always)]
    unsafe fn fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vbslq_f32(vcltq_f32(b, a), b, a) }
    }
    #[inline(always)]
    unsafe fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vbslq_f32(vcltq_f32(a, b), b, a) }
    }
    #[inline(always)]
    unsafe fn abs(v: float32x4_t) -> float32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vabsq_f32(v) }
    }
    #[inline(always)]
    unsafe fn any_above(v: float32x4_t, limit: f32) -> bool {
        // SAFETY: the trait's contract.
        unsafe { vmaxvq_u32(vcgtq_f32(v, vdupq_n_f32(limit))) != 0 }
    }
    #[inline(always)]
    unsafe fn isplat(x: i32) -> int32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vdupq_n_s32(x) }
    }
    #[inline(always)]
    unsafe fn iload(p: *const i32) -> int32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vld1q_s32(p) }
    }
    #[inline(always)]
    unsafe fn istore(p: *mut i32, v: int32x4_t) {
        // SAFETY: the trait's contract.
        unsafe { vst1q_s32(p, v) }
    }
    #[inline(always)]
    unsafe fn iadd(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vaddq_s32(a, b) }
    }
    #[inline(always)]
    unsafe fn imul(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vmulq_s32(a, b) }
    }
    #[inline(always)]
    unsafe fn iand(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vandq_s32(a, b) }
    }
    #[inline(always)]
    unsafe fn imin(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vminq_s32(a, b) }
    }
    #[inline(always)]
    unsafe fn imax(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vmaxq_s32(a, b) }
    }
    #[inline(always)]
    unsafe fn ishr(a: int32x4_t, count: u32) -> int32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vshlq_s32(a, vdupq_n_s32(-(count as i32))) }
    }
    #[inline(always)]
    unsafe fn to_float(v: int32x4_t) -> float32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vcvtq_f32_s32(v) }
    }
    #[inline(always)]
    unsafe fn to_int(v: float32x4_t) -> int32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vcvtnq_s32_f32(v) }
    }
    #[inline(always)]
    unsafe fn rounded(v: int32x4_t, scale: float32x4_t, plus: int32x4_t) -> int32x4_t {
        // SAFETY: the trait's contract.
        unsafe { vaddq_s32(vreinterpretq_s32_f32(vfmaq_f32(vdupq_n_f32(WHOLE), vcvtq_f32_s32(v), scale)), plus) }
    }
    #[inline(always)]
    unsafe fn row_clamp(zero: i32, lo: i32, hi: i32) -> (int32x4_t, [int32x4_t; 3]) {
        // SAFETY: the trait's contract.
        unsafe { (Self::isplat(-WHOLE_BITS), Self::clamp(zero, lo, hi)) }
    }
    #[inline(always)]
    unsafe fn store_rows<const NV: usize>(p: [*mut u8; 2], v: [[int32x4_t; NV]; 2], clamp: [int32x4_t; 3]) {
        // SAFETY: the trait's contract.
        unsafe {
            Self::store_clamped(p[0], v[0], clamp);
            Self::store_clamped(p[1], v[1], clamp);
        }
    }
    #[inline(always)]
    unsafe fn load_bytes(p: *const u8, signed: bool, _n: usize) -> int32x4_t {
        // SAFETY: the trait's contract.
        unsafe {
            let bytes = p.cast::<[u8; 4]>().read();
            vld1q_s32(bytes.map(|byte| if signed { i32::from(byte as i8) } else { i32::from(byte) }).as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn clamp(zero: i32, lo: i32, hi: i32) -> [int32x4_t; 3] {
        // SAFETY: the trait's contract.
        unsafe { [vdupq_n_s32(zero), vdupq_n_s32(lo), vdupq_n_s32(hi)] }
    }
    #[inline(always)]
    unsafe fn store_clamped<const NV: usize>(p: *mut u8, v: [int32x4_t; NV], [zero, lo, hi]: [int32x4_t; 3]) {
        for (j, v) in v.into_iter().enumerate() {
            // SAFETY: the trait's contract.
            unsafe {
                let clamped = vminq_s32(vmaxq_s32(vaddq_s32(v, zero), lo), hi);
                let words = vreinterpret_u8_u16(vmovn_u32(vreinterpretq_u32_s32(clamped)));
                let bytes = vuzp1_u8(words, words);
                p.wrapping_add(j * 4).cast::<u32>().write_unaligned(vget_lane_u32::<0>(vreinterpret_u32_u8(bytes)));
            }
        }
    }
    #[inline(always)]
    unsafe fn dot(acc: int32x4_t, a: int32x4_t, w: int32x4_t) -> int32x4_t {
        // SAFETY: the trait's contract.
        unsafe {
            let mut sum = acc;
            core::arch::asm!(
                "sdot {s:v}.4s, {w:v}.16b, {a:v}.16b",
                s = inout(vreg) sum,
                w = in(vreg) w,
                a = in(vreg) a,
                options(pure, nomem, nostack, preserves_flags),
            );
            sum
        }
    }
}
