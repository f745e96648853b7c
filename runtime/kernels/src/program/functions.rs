//! Functions of floats without branches or tables, so that loops over them are vector code.

/// As `x as i32`, which truncates and saturates, and is 0 of a NaN, in a way that loops are vector code of.
#[inline(always)]
pub(super) fn to_int(x: f32) -> i32 {
    /// The greatest float below `2^31`.
    const MOST: f32 = 2_147_483_520.0;
    const LEAST: f32 = -2_147_483_648.0;
    let inside = if x > LEAST { x } else { LEAST };
    let inside = if inside < MOST { inside } else { MOST };
    // SAFETY: it is no NaN, and between the bounds.
    let number = unsafe { inside.to_int_unchecked::<i32>() };
    let number = if x > MOST { i32::MAX } else { number };
    if x.is_nan() { 0 } else { number }
}

/// `e^x`: `2^n * p(r)` with `x = n ln 2 + r`, within two units in the last place of normal results.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Comparisons that a NaN passes unchanged.
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let (p, n) = exp_parts(x);
    // 2^n in two factors, so that results near both ends of the range come out.
    let half = n >> 1;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
    p * power(half) * power(n.wrapping_sub(half))
}

/// `p` and `n` with `e^x = p * 2^n`, `x = n ln 2 + r` and `p` near `e^r`.
#[inline(always)]
pub(crate) fn exp_parts(x: f32) -> (f32, i32) {
    /// Adding it rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x * core::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, the first short enough for the product to be exact.
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let mut p = 1.0 / 5040.0;
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p * r + c;
    }
    (p, shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32)
}

/// Coefficients of the numerator of the rational fit of `erf(x) / x` over `x^2`, the highest power first: the one that XLA and Eigen use.
pub const ERF_NUMERATOR: [f32; 7] =
    [-2.726_142_3e-10, 2.770_681_4e-8, -2.101_024e-6, -5.692_506_4e-5, -7.349_906e-4, -2.954_6e-3, -1.609_603_3e-2];

/// Likewise of the denominator.
pub const ERF_DENOMINATOR: [f32; 5] = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_474e-2];

/// The error function: `x * P(x^2) / Q(x^2)` on `-4..=4`, where it reaches 1 in `f32`; its error is below 4.2e-7, absolute and relative.
#[inline(always)]
pub(super) fn erf(x: f32) -> f32 {
    let x = if x < -4.0 { -4.0 } else { x };
    let x = if x > 4.0 { 4.0 } else { x };
    let s = x * x;
    let [p, q] = [&ERF_NUMERATOR[..], &ERF_DENOMINATOR[..]];
    let mut numerator = p[0];
    for i in 1..ERF_NUMERATOR.len() {
        numerator = numerator * s + p[i];
    }
    let mut denominator = q[0];
    for i in 1..ERF_DENOMINATOR.len() {
        denominator = denominator * s + q[i];
    }
    x * numerator / denominator
}

/// Coefficients of `tanh(x) / x` over `x^2` where that is below [`TANH_NEAR`], the lowest power first.
pub const TANH: [f32; 6] = [1.0, -0.333_332_53, 0.133_309_57, -0.053_707_07, 0.020_544_905, -0.005_607_689];

/// Squares below which [`TANH`] is used: beyond, `1 - 2 / (e^2|x| + 1)` cancels nothing.
pub const TANH_NEAR: f32 = 0.4;

/// The hyperbolic tangent, within 3e-7 of its value.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let s = x * x;
    let mut near = TANH[TANH.len() - 1];
    for i in (0..TANH.len() - 1).rev() {
        near = near * s + TANH[i];
    }
    let far = 1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0);
    if s < TANH_NEAR { near * x } else { f32::from_bits(far.to_bits() | x.to_bits() & 0x8000_0000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_become_integers_as_they_are_cast() {
        let ends = [0.0, -0.0, 0.5, -1.5, 2147483520.0, 2147483648.0, -2147483648.0, -2147483904.0, 1e30, -1e30];
        let others = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 16_777_217.0, -123.999, f32::MIN_POSITIVE];
        ends.into_iter().chain(others).for_each(|x| assert_eq!(to_int(x), x as i32, "{x}"));
    }

    #[test]
    fn the_exponential_is_close_everywhere() {
        for i in -1030..=880 {
            let x = i as f32 / 10.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() <= 3e-7 * exact + 1.5e-45, "{x}");
        }
        assert_eq!((exp(0.0), exp(f32::NEG_INFINITY), exp(f32::INFINITY)), (1.0, 0.0, f32::INFINITY));
        assert!(exp(f32::NAN).is_nan() && erf(f32::NAN).is_nan());
        assert!((erf(30.0) - 1.0).abs() < 1e-6 && (erf(-0.5) + 0.520_499_9).abs() < 5e-7);
    }

    #[test]
    fn the_hyperbolic_tangent_is_close_everywhere() {
        for i in -20_000..=20_000 {
            let x = i as f32 / 1000.0 + 0.000_37;
            let exact = f64::from(x).tanh();
            assert!((f64::from(tanh(x)) - exact).abs() <= 3e-7 * exact.abs(), "{x}: {} for {exact}", tanh(x));
        }
        assert_eq!((tanh(f32::INFINITY), tanh(f32::NEG_INFINITY), tanh(1e-30)), (1.0, -1.0, 1e-30));
        assert!(tanh(f32::NAN).is_nan() && tanh(-0.0).to_bits() == (-0.0_f32).to_bits());
    }
}
