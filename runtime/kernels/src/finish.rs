//! What is done with a tile's sums before they leave the registers.

use crate::simd::{Simd, WHOLE_BITS};

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
    /// Channels of the residual: to those after them nothing is added.
    pub residual_cols: usize,
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

/// `clamp(round_half_even((x * x_mult + r * r_mult + offset) / 2^shift) + zero, lo, hi)`, with `x` the requantized sum and `r` the residual; products
/// and sums wrap in `i32`. [`ResidualAdd::is_valid`] must hold.
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
    /// Binary places of the factors, `2..=30`.
    pub shift: u32,
    /// Zero point of the result.
    pub zero: i32,
    /// Least result.
    pub lo: i32,
    /// Greatest result.
    pub hi: i32,
}

impl ResidualAdd {
    /// Whether the tiles' 32-bit steps compute it: the shift is in its range, the zero point and the limits are near 0.
    pub fn is_valid(&self) -> bool {
        let near = |x: i32| (-MAX_SPAN..=MAX_SPAN).contains(&x);
        (2..=30).contains(&self.shift) && near(self.zero) && near(self.lo) && near(self.hi) && self.lo <= self.hi
    }
}

/// `clamp(requantize(sum, multiplier[c], shift) + zero, lo, hi)`.
#[derive(Clone, Debug)]
pub struct Requantization {
    scale: Vec<f32>,
    /// The same in the order of `tile::quads`.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "the VNNI kernels read it"))]
    quad_scale: Vec<f32>,
    multiplier: Vec<i32>,
    /// As `quad_scale`.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "the VNNI kernels read it"))]
    quad_multiplier: Vec<i32>,
    shift: u32,
    zero: i32,
    lo: i32,
    hi: i32,
    /// What an `f32` estimate rounded off: up to this it decides.
    decided: f32,
    /// Whether [`Simd::rounded`] alone decides.
    fused: bool,
}

/// How far a result may be from zero (its zero point apart) for the `f32` estimate to be told from a tie.
const MAX_SPAN: i32 = 512;

/// How far from a whole number an `f32` estimate may be, to tell a quotient from a tie, for results of at most `span` in magnitude (their zero point apart). Three roundings
/// make it off by less than `3.01 * 2^-24` of its magnitude; a quotient past `span` is clamped, whatever its last digit.
fn decided(span: i32) -> f32 {
    0.5 - 3.01 * (-24.0_f32).exp2() * (span as f32 + 1.5)
}

/// Whether one fused multiplication and addition of binary32 rounds the quotients of all `sums` as integers do, as far as `limits` let them pass: the factor is an `f32`;
/// no quotient leaves the 22 bits beside the constant of the addition; and sums of more than 24 bits, which binary32 rounds, have quotients beyond the
/// limits or all one result.
fn fuses(factor: f64, sums: [i64; 2], limits: [i32; 2]) -> bool {
    let exact = f64::from(factor as f32) == factor;
    let most = sums[0].unsigned_abs().max(sums[1].unsigned_abs()) as f64;
    let span = limits[0].unsigned_abs().max(limits[1].unsigned_abs());
    let far = factor.abs() * 2.0_f64.powi(24) >= f64::from(span + 1);
    let [first, last] = sums.map(|sum| sum as f64 * factor);
    // What rounding the sum and the product makes of a quotient, and more.
    let off = 1e-6 * (1.0 + first.abs().max(last.abs()));
    let result = |quotient: f64| quotient.round_ties_even().clamp(limits[0].into(), limits[1].into());
    let one = result(first.min(last) - off) == result(first.max(last) + off);
    exact && factor.abs() * most < f64::from((1 << 22) - 2048) && (most <= 2.0_f64.powi(24) || far || one)
}

impl Requantization {
    /// Per channel multipliers with one shift, for sums in `sums(channel)`, as far as those are 32-bit integers. `None` where the exact fast form does not hold: a quotient may leave 32 bits, or
    /// results be further from the zero point than 512; the caller then computes the general form.
    pub fn new(multiplier: &[i32], shift: u32, zero: i32, lo: i32, hi: i32, sums: impl Fn(usize) -> [i64; 2]) -> Option<Requantization> {
        let scale = |m: i32| f64::from(m) / (2.0_f64).powi(shift as i32);
        let near = |x: i32| (-MAX_SPAN..=MAX_SPAN).contains(&x);
        let limits = [lo, hi].into_iter().all(|limit| near(limit) && near(limit.saturating_sub(zero)));
        let sound = (1..=62).contains(&shift) && lo <= hi && near(zero) && limits;
        // Sums beyond 32 bits wrap, to any.
        let (least, most) = (i64::from(i32::MIN), i64::from(i32::MAX));
        let sums = |c: usize| Some(sums(c)).filter(|[first, last]| *first >= least && *last <= most).unwrap_or([least, most]);
        let greatest = |(c, &m): (usize, &i32)| scale(m).abs() * sums(c).map(i64::unsigned_abs).into_iter().max().unwrap_or(0) as f64;
        if !sound || multiplier.iter().enumerate().map(greatest).any(|most| most > f64::from(i32::MAX - 4096)) {
            return None;
        }
        // Past the last channel tiles compute on zeros.
        let padded = multiplier.len().next_multiple_of(16) + 48;
        let mut scales: Vec<f32> = multiplier.iter().map(|&m| scale(m) as f32).collect();
        scales.resize(padded, 0.0);
        let mut multipliers = multiplier.to_vec();
        multipliers.resize(padded, 0);
        let order = crate::tile::quads::order(multiplier.len());
        let quad_scale = order.iter().map(|&c| scales[c]).collect();
        let mut quad_multiplier: Vec<i32> = order.iter().map(|&c| multipliers[c]).collect();
        quad_multiplier.resize(padded, 0);
        let span = (lo - zero).abs().max((hi - zero).abs());
        let byte = (lo >= -128 && hi <= 127) || (lo >= 0 && hi <= 255);
        let fused = byte && multiplier.iter().enumerate().all(|(c, &m)| fuses(scale(m), sums(c), [lo - zero, hi - zero]));
        Some(Requantization {
            scale: scales,
            quad_scale,
            multiplier: multipliers,
            quad_multiplier,
            shift,
            zero,
            lo,
            hi,
            decided: decided(span),
            fused,
        })
    }

    /// Both in the order of `tile::quads`, up to a multiple of 16: the factors of the estimate and the multipliers, which 16 others follow.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn quad_factors(&self) -> (*const f32, *const i32) {
        (self.quad_scale.as_ptr(), self.quad_multiplier.as_ptr())
    }

    /// Whether [`Simd::rounded`] alone decides every quotient, and limits are those of a byte.
    #[cfg(any(test, target_arch = "x86_64"))]
    pub(crate) fn fused(&self) -> bool {
        self.fused
    }

    /// The shift, the zero point and the limits, and up to what an estimate decides.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn constants(&self) -> (u32, [i32; 3], f32) {
        (self.shift, [self.zero, self.lo, self.hi], self.decided)
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

/// Stores a row of `NV` vectors, `cols` lanes of it; `PLAIN` where it is whole vectors without a residual.
///
/// # Safety
/// `f` covers the pixel and the channels.
#[inline(always)]
pub(crate) unsafe fn finish_f32<S: Simd, const NV: usize, const PLAIN: bool>(
    f: FinishF32,
    sums: [S::F; NV],
    pixel: usize,
    channel: usize,
    cols: usize,
) {
    // SAFETY: lanes at or past `cols` are neither read nor written.
    unsafe {
        let out = f.out.wrapping_add(pixel * f.out_pixel + channel);
        let residual = f.residual.wrapping_add(pixel * f.residual_pixel + channel);
        for j in 0..NV {
            let left = if PLAIN { S::LANES } else { cols.saturating_sub(j * S::LANES) };
            if left == 0 {
                break;
            }
            let mut v = sums[j];
            if !PLAIN && !f.residual.is_null() {
                let r = residual.wrapping_add(j * S::LANES);
                let have = f.residual_cols.saturating_sub(channel + j * S::LANES).min(left);
                if have >= S::LANES {
                    v = S::add(v, S::load(r));
                } else if have > 0 {
                    v = S::add(v, S::load_first(r, have));
                }
            }
            v = S::min(S::max(v, S::splat(f.lo)), S::splat(f.hi));
            if left >= S::LANES {
                S::store(out.wrapping_add(j * S::LANES), v);
            } else {
                S::store_first(out.wrapping_add(j * S::LANES), v, left);
            }
        }
    }
}

/// What [`finish_i8`] needs, in registers or on the stack: stores to the output might otherwise change what is read through references.
#[derive(Clone, Copy)]
pub(crate) struct BytesOf<'a, S: Simd> {
    finish: FinishI8<'a>,
    scale: *const f32,
    multiplier: *const i32,
    shift: u32,
    decided: f32,
    /// The zero point and the clamp of the requantization, and of the result.
    inner: [i32; 3],
    clamp: S::Clamp,
    /// What [`finish_fused`] adds to the bits of a product and clamps to.
    rows: (S::I, S::RowClamp),
}

impl<'a, S: Simd> BytesOf<'a, S> {
    /// # Safety
    /// The CPU runs `S`.
    #[inline(always)]
    pub(crate) unsafe fn new(finish: &FinishI8<'a>) -> BytesOf<'a, S> {
        let (q, a) = (finish.requantization, &finish.add);
        let [zero, lo, hi] = if finish.residual.is_null() { [q.zero, q.lo, q.hi] } else { [a.zero, a.lo, a.hi] };
        // SAFETY: the caller's promise.
        let (clamp, rows) = unsafe { (S::clamp(zero, lo, hi), S::row_clamp(zero, lo, hi)) };
        let (scale, multiplier) = (q.scale.as_ptr(), q.multiplier.as_ptr());
        BytesOf { finish: *finish, scale, multiplier, shift: q.shift, decided: q.decided, inner: [q.zero, q.lo, q.hi], clamp, rows }
    }

    /// Whether a product's bits are its quotient.
    #[inline(always)]
    pub(crate) fn is_fused(&self) -> bool {
        S::FUSED && self.finish.requantization.fused
    }

    /// Whether rows of `cols` channels in `NV` vectors take the short way.
    #[inline(always)]
    pub(crate) fn is_plain<const NV: usize>(&self, cols: usize) -> bool {
        self.finish.residual.is_null() && cols >= NV * S::LANES
    }
}

/// Two rows of whole vectors, where [`BytesOf::is_plain`] and [`BytesOf::is_fused`].
///
/// # Safety
/// As for [`finish_i8`].
#[inline(always)]
pub(crate) unsafe fn finish_fused<S: Simd, const NV: usize>(b: &BytesOf<'_, S>, sums: [[S::I; NV]; 2], pixel: usize, channel: usize) {
    // SAFETY: as the caller vouches.
    unsafe {
        let (first, out_pixel) = (b.finish.out.wrapping_add(pixel * b.finish.out_pixel + channel), b.finish.out_pixel);
        let (less, clamp) = b.rows;
        let mut v = sums;
        for j in 0..NV {
            let scale = S::load(b.scale.add(channel + j * S::LANES));
            v[0][j] = S::rounded(sums[0][j], scale, less);
            v[1][j] = S::rounded(sums[1][j], scale, less);
        }
        S::store_rows([first, first.wrapping_add(out_pixel)], v, clamp);
    }
}

/// As [`finish_f32`], for bytes; `PLAIN` where [`BytesOf::is_plain`], `FUSED` where [`BytesOf::is_fused`].
///
/// # Safety
/// `b` covers the pixel and the channels; a residual has `LANES` readable bytes at every vector.
#[inline(always)]
pub(crate) unsafe fn finish_i8<S: Simd, const NV: usize, const PLAIN: bool, const FUSED: bool>(
    b: &BytesOf<'_, S>,
    sums: [S::I; NV],
    pixel: usize,
    channel: usize,
    cols: usize,
) {
    // SAFETY: as the caller vouches; scale and multiplier are padded past the last vector.
    unsafe {
        let f = &b.finish;
        let out = f.out.wrapping_add(pixel * f.out_pixel + channel);
        let mut v = sums;
        if FUSED {
            let less = S::isplat(-WHOLE_BITS);
            for j in 0..NV {
                v[j] = S::rounded(sums[j], S::load(b.scale.add(channel + j * S::LANES)), less);
            }
        } else {
            // An `f32` estimate decides, but where some lane is too near to a tie: then all take the integers' way.
            let mut worst = S::splat(0.0);
            for j in 0..NV {
                let estimate = S::mul(S::to_float(sums[j]), S::load(b.scale.add(channel + j * S::LANES)));
                v[j] = S::to_int(estimate);
                worst = S::max_abs(worst, S::rounded_off(estimate, v[j]));
            }
            if S::any_above(worst, b.decided) {
                for j in 0..NV {
                    v[j] = S::requantized(sums[j], b.multiplier.add(channel + j * S::LANES), b.shift);
                }
            }
        }
        if PLAIN {
            S::store_clamped(out, v, b.clamp);
            return;
        }
        for j in 0..NV {
            let left = cols.saturating_sub(j * S::LANES).min(S::LANES);
            if left > 0 {
                if !f.residual.is_null() {
                    let [zero, lo, hi] = b.inner;
                    let residual = f.residual.wrapping_add(pixel * f.residual_pixel + channel + j * S::LANES);
                    let x = S::imin(S::imax(S::iadd(v[j], S::isplat(zero)), S::isplat(lo)), S::isplat(hi));
                    v[j] = add_residual::<S>(&f.add, x, S::load_bytes(residual, f.add.signed, left));
                }
                if left < S::LANES {
                    S::store_clamped_first(out.wrapping_add(j * S::LANES), v[j], b.clamp, left);
                } else {
                    S::store_clamped(out.wrapping_add(j * S::LANES), [v[j]], b.clamp);
                }
            }
        }
    }
}

/// `lanes` by integers, with a multiplier each.
#[inline(never)]
pub(crate) fn exact_lanes(lanes: &mut [i32], multipliers: &[i32], shift: u32) {
    for (lane, &multiplier) in lanes.iter_mut().zip(multipliers) {
        *lane = requantize(*lane, multiplier, shift);
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
        // The quotient rounded down, and one more where the rest is past a half, or at a half of an odd quotient. No step leaves 32 bits.
        let floor = S::ishr(sum, a.shift);
        let rest = S::iand(sum, S::isplat((1 << a.shift) - 1));
        let odd = S::iand(floor, S::isplat(1));
        let up = S::ishr(S::iadd(S::iadd(rest, odd), S::isplat((1 << (a.shift - 1)) - 1)), a.shift);
        S::iadd(floor, up)
    }
}
