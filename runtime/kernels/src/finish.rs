//! What is done with a tile's sums before they leave the registers.

use crate::simd::Simd;

/// Bias (folded into the tile's first value already), residual and clamp of `f32` sums. Pointers are to pixel 0, channel 0.
#[derive(Clone, Copy, Debug)]
pub struct FinishF32 {
    /// The output.
    pub out: *mut f32,
    /// Elements from one output pixel to the next.
    pub out_pixel: usize,
    /// Added before the clamp; null for none.
    pub residual: *const f32,
    /// Elements from one residual pixel to the next.
    pub residual_pixel: usize,
    /// Least result.
    pub lo: f32,
    /// Greatest result.
    pub hi: f32,
}

/// Requantization to one byte, and a residual. Pointers are to pixel 0, channel 0.
#[derive(Clone, Copy, Debug)]
pub struct FinishI8<'a> {
    /// The output.
    pub out: *mut u8,
    /// Elements from one output pixel to the next.
    pub out_pixel: usize,
    /// How sums become bytes.
    pub requantization: &'a Requantization,
    /// The other operand of the addition; null for none.
    pub residual: *const u8,
    /// Elements from one residual pixel to the next.
    pub residual_pixel: usize,
    /// The addition.
    pub add: ResidualAdd,
}

/// `clamp(round_half_even((x * x_mult + r * r_mult + offset) / 2^shift) + zero, lo, hi)`, with `x` the requantized sum and `r` the residual. All of it must
/// stay inside 31 bits, whatever bytes `x` and `r` are: [`ResidualAdd::is_exact`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResidualAdd {
    /// Whether the residual is `i8` rather than `u8`.
    pub signed: bool,
    /// Factor of the requantized sum.
    pub x_mult: i32,
    /// Factor of the residual.
    pub r_mult: i32,
    /// Added to the products: what the zero points make.
    pub offset: i32,
    /// Binary places of the factors, `1..=31`.
    pub shift: u32,
    /// Zero point of the result.
    pub zero: i32,
    /// Least result.
    pub lo: i32,
    /// Greatest result.
    pub hi: i32,
}

impl ResidualAdd {
    /// Whether 32 bits hold every step.
    pub fn is_exact(&self) -> bool {
        let wide = |x: i32| i64::from(x).abs();
        let most = 512 * wide(self.x_mult) + 255 * wide(self.r_mult) + wide(self.offset);
        (1..=31).contains(&self.shift) && most + (1 << (self.shift - 1)) < 1 << 31 && wide(self.zero) <= 1024 && self.lo <= self.hi
    }
}

/// `clamp(requantize(sum, multiplier[c], shift) + zero, lo, hi)`.
#[derive(Clone, Debug)]
pub struct Requantization {
    scale: Vec<f32>,
    multiplier: Vec<i32>,
    shift: u32,
    zero: i32,
    lo: i32,
    hi: i32,
}

/// How far a result may be from zero (its zero point apart) for the `f32` estimate to be told from a tie.
const MAX_SPAN: i32 = 512;

/// An `f32` estimate of a quotient within `2 * MAX_SPAN` is off by less than `3.01 * 2^-24 * 1024.5 < 1.9e-4`; nearer than this to a tie it decides
/// nothing. Further out the clamp decides, whatever the last digit.
const DECIDED: f32 = 0.5 - 2e-4;

impl Requantization {
    /// Per channel multipliers with one shift. `None` where the exact fast form does not hold: a factor of 1 or more, or results further from
    /// the zero point than 512; the caller then computes the general form.
    pub fn new(multiplier: &[i32], shift: u32, zero: i32, lo: i32, hi: i32) -> Option<Requantization> {
        let scale = |m: i32| f64::from(m) / (2.0_f64).powi(shift as i32);
        let near = |limit: i32| (-MAX_SPAN..=MAX_SPAN).contains(&limit.saturating_sub(zero));
        let sound = (1..=62).contains(&shift)
            && lo <= hi
            && near(lo)
            && near(hi)
            && near(0)
            && (-512..=512).contains(&lo)
            && (-512..=512).contains(&hi);
        if !sound || multiplier.iter().any(|&m| scale(m).abs() > 0.999) {
            return None;
        }
        // Past the last channel tiles compute on zeros.
        let padded = multiplier.len().next_multiple_of(16) + 48;
        let mut scales: Vec<f32> = multiplier.iter().map(|&m| scale(m) as f32).collect();
        scales.resize(padded, 0.0);
        let mut multipliers = multiplier.to_vec();
        multipliers.resize(padded, 0);
        Some(Requantization { scale: scales, multiplier: multipliers, shift, zero, lo, hi })
    }
}

/// `saturate_i32(round_half_even(value * multiplier / 2^shift))` for `1 <= shift <= 62`.
pub fn requantize(value: i32, multiplier: i32, shift: u32) -> i32 {
    let product = i64::from(value) * i64::from(multiplier);
    let rounded = (product + ((1_i64 << (shift - 1)) - 1) + ((product >> shift) & 1)) >> shift;
    rounded.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

/// Sums of contractions in plain memory, before any epilogue: `rows` pixels of `cols` channels, rows `stride` elements of 4 bytes apart.
#[derive(Clone, Copy, Debug)]
pub struct Raw {
    /// The sum of the first pixel and channel.
    pub at: *mut u8,
    /// Sums from one pixel to the next.
    pub stride: usize,
    /// The first pixel.
    pub pixel: usize,
    /// Pixels.
    pub rows: usize,
    /// The first channel.
    pub channel: usize,
    /// Channels.
    pub cols: usize,
}

/// Stores a row of `NV` vectors, `cols` lanes of it.
///
/// # Safety
/// `f` covers the pixel and the channels.
#[inline(always)]
pub(crate) unsafe fn finish_f32<S: Simd, const NV: usize>(f: FinishF32, sums: [S::F; NV], pixel: usize, channel: usize, cols: usize) {
    // SAFETY: lanes at or past `cols` are neither read nor written.
    unsafe {
        let out = f.out.wrapping_add(pixel * f.out_pixel + channel);
        let residual = f.residual.wrapping_add(pixel * f.residual_pixel + channel);
        for j in 0..NV {
            let left = cols.saturating_sub(j * S::LANES);
            if left == 0 {
                break;
            }
            let mut v = sums[j];
            if left >= S::LANES {
                if !f.residual.is_null() {
                    v = S::add(v, S::load(residual.wrapping_add(j * S::LANES)));
                }
                v = S::min(S::max(v, S::splat(f.lo)), S::splat(f.hi));
                S::store(out.wrapping_add(j * S::LANES), v);
            } else {
                if !f.residual.is_null() {
                    v = S::add(v, S::load_first(residual.wrapping_add(j * S::LANES), left));
                }
                v = S::min(S::max(v, S::splat(f.lo)), S::splat(f.hi));
                S::store_first(out.wrapping_add(j * S::LANES), v, left);
            }
        }
    }
}

/// What [`finish_i8`] needs, in locals: stores to the output might otherwise change what is read through references.
#[derive(Clone, Copy)]
pub(crate) struct BytesOf<'a> {
    finish: FinishI8<'a>,
    scale: *const f32,
    zero: i32,
    lo: i32,
    hi: i32,
}

impl<'a> BytesOf<'a> {
    #[inline(always)]
    pub(crate) fn new(finish: &FinishI8<'a>) -> BytesOf<'a> {
        let q = finish.requantization;
        BytesOf { finish: *finish, scale: q.scale.as_ptr(), zero: q.zero, lo: q.lo, hi: q.hi }
    }
}

/// As [`finish_f32`], for bytes.
///
/// # Safety
/// `f` covers the pixel and the channels; a residual has `LANES` readable bytes at every vector.
#[inline(always)]
pub(crate) unsafe fn finish_i8<S: Simd, const NV: usize>(b: BytesOf<'_>, sums: [S::I; NV], pixel: usize, channel: usize, cols: usize) {
    // SAFETY: as the caller vouches; scale and multiplier are padded past the last vector.
    unsafe {
        let f = b.finish;
        let out = f.out.wrapping_add(pixel * f.out_pixel + channel);
        // An `f32` estimate decides, but where some lane is too near to a tie: then all take the integers' way.
        let mut v = sums;
        let mut worst = S::splat(0.0);
        for j in 0..NV {
            let estimate = S::mul(S::to_float(sums[j]), S::load(b.scale.add(channel + j * S::LANES)));
            v[j] = S::to_int(estimate);
            worst = S::max(worst, S::abs(S::sub(estimate, S::to_float(v[j]))));
        }
        if S::any_above(worst, DECIDED) {
            for j in 0..NV {
                v[j] = requantized_exactly::<S>(f.requantization, sums[j], channel + j * S::LANES);
            }
        }
        let (mut zero, mut lo, mut hi) = (b.zero, b.lo, b.hi);
        if !f.residual.is_null() {
            let residual = f.residual.wrapping_add(pixel * f.residual_pixel + channel);
            for j in 0..NV {
                let left = cols.saturating_sub(j * S::LANES).min(S::LANES);
                if left > 0 {
                    let x = S::imin(S::imax(S::iadd(v[j], S::isplat(zero)), S::isplat(lo)), S::isplat(hi));
                    v[j] = add_residual::<S>(&f.add, x, S::load_bytes(residual.wrapping_add(j * S::LANES), f.add.signed, left));
                }
            }
            (zero, lo, hi) = (f.add.zero, f.add.lo, f.add.hi);
        }
        if cols >= NV * S::LANES {
            S::store_clamped(out, v, zero, lo, hi);
        } else {
            for j in 0..NV {
                let left = cols.saturating_sub(j * S::LANES).min(S::LANES);
                if left > 0 {
                    let x = S::imin(S::imax(S::iadd(v[j], S::isplat(zero)), S::isplat(lo)), S::isplat(hi));
                    S::store_bytes(out.wrapping_add(j * S::LANES), x, left);
                }
            }
        }
    }
}

#[cold]
#[inline(always)]
unsafe fn requantized_exactly<S: Simd>(q: &Requantization, sums: S::I, channel: usize) -> S::I {
    let mut lanes = [0_i32; 16];
    // SAFETY: a vector has at most sixteen lanes.
    unsafe { S::istore(lanes.as_mut_ptr(), sums) };
    exact_lanes(q, &mut lanes[..S::LANES], channel);
    // SAFETY: as above.
    unsafe { S::iload(lanes.as_ptr()) }
}

#[inline(never)]
fn exact_lanes(q: &Requantization, lanes: &mut [i32], channel: usize) {
    for (lane, &multiplier) in lanes.iter_mut().zip(&q.multiplier[channel..]) {
        *lane = requantize(*lane, multiplier, q.shift);
    }
}

/// The rounded sum, before its zero point and clamp.
#[inline(always)]
unsafe fn add_residual<S: Simd>(a: &ResidualAdd, x: S::I, r: S::I) -> S::I {
    // SAFETY: arithmetic only.
    unsafe {
        let x = S::imul(x, S::isplat(a.x_mult));
        let r = S::imul(r, S::isplat(a.r_mult));
        let sum = S::iadd(S::iadd(x, r), S::isplat(a.offset));
        let odd = S::iand(S::ishr(sum, a.shift), S::isplat(1));
        let half = S::isplat(((1_u32 << (a.shift - 1)) - 1) as i32);
        S::ishr(S::iadd(S::iadd(sum, half), odd), a.shift)
    }
}
