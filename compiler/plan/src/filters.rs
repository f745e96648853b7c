//! The weights of filters, as expressions of `F32`. They are made of products and sums alone, so that every backend computes them alike.

use crate::scope::Scope;
use mlp_bundle::DType;
use mlp_bundle::loops::{BinaryOp, CompareOp, ExprId, UnaryOp};

/// Keys' cubic convolution with `a = -0.5` at a distance `x >= 0`.
pub(crate) fn cubic(scope: &mut Scope, x: ExprId) -> ExprId {
    let near = polynomial(scope, x, &[1.0, 0.0, -2.5, 1.5]);
    let far = polynomial(scope, x, &[2.0, -4.0, 2.5, -0.5]);
    let (one, two, nil) = (scope.f32(1.0), scope.f32(2.0), scope.f32(0.0));
    let is_far = scope.compare(CompareOp::Lt, x, two);
    let far = scope.select(is_far, far, nil);
    let is_near = scope.compare(CompareOp::Lt, x, one);
    scope.select(is_near, near, far)
}

/// `sinc(x) sinc(x / 3)` below 3, at a distance `x >= 0`: `3 sin(pi x) sin(pi x / 3) / (pi x)^2`.
pub(crate) fn lanczos(scope: &mut Scope, x: ExprId) -> ExprId {
    let third = scope.f32(1.0 / 3.0);
    let third = scope.mul(x, third);
    let (a, b) = (sine(scope, x), sine(scope, third));
    let product = scope.mul(a, b);
    let square = scope.mul(x, x);
    // 3 / pi^2
    let factor = scope.f32(0.303_963_55);
    let product = scope.mul(product, factor);
    let quotient = scope.div(product, square);
    let (tiny, three) = (scope.f32(1e-4), scope.f32(3.0));
    let (one, nil) = (scope.f32(1.0), scope.f32(0.0));
    let inside = scope.compare(CompareOp::Lt, x, three);
    let weight = scope.select(inside, quotient, nil);
    // There it differs from 1 by less than a rounding.
    let is_centre = scope.compare(CompareOp::Lt, x, tiny);
    scope.select(is_centre, one, weight)
}

/// `sin(pi x)` for small `x >= 0`: of the distance to the nearest whole number, by the Taylor series up to its eleventh power, whose rest is below 6e-8.
fn sine(scope: &mut Scope, x: ExprId) -> ExprId {
    let half = scope.f32(0.5);
    let whole = scope.add(x, half);
    let whole = scope.unary(UnaryOp::Floor, whole);
    let part = scope.sub(x, whole);
    let square = scope.mul(part, part);
    let series = polynomial(scope, square, &[std::f32::consts::PI, -5.167_712_8, 2.550_164, -0.599_264_5, 0.082_145_89, -0.007_370_431]);
    let value = scope.mul(series, part);
    // Around an odd number the sign is the other.
    let number = scope.cast(DType::I32, whole);
    let one = scope.i32(1);
    let odd = scope.binary(BinaryOp::And, number, one);
    let is_odd = scope.compare(CompareOp::Eq, odd, one);
    let negative = scope.unary(UnaryOp::Neg, value);
    scope.select(is_odd, negative, value)
}

/// The polynomial with these coefficients, that of the least power first.
fn polynomial(scope: &mut Scope, x: ExprId, coefficients: &[f32]) -> ExprId {
    let mut coefficients = coefficients.iter().rev();
    let mut sum = scope.f32(*coefficients.next().expect("there is one"));
    for &coefficient in coefficients {
        let coefficient = scope.f32(coefficient);
        let product = scope.mul(sum, x);
        sum = scope.add(product, coefficient);
    }
    sum
}

#[cfg(test)]
mod tests {
    /// The coefficients of `sine` are those of the series.
    #[test]
    fn the_series_is_the_sine() {
        let pi = std::f64::consts::PI;
        let series: Vec<f64> =
            (0..6).map(|k| (-1f64).powi(k) * pi.powi(2 * k + 1) / (1..=2 * k + 1).map(f64::from).product::<f64>()).collect();
        let written = [pi, -5.167_712_8, 2.550_164, -0.599_264_5, 0.082_145_89, -0.007_370_431];
        assert!(series.iter().zip(written).all(|(a, b)| (a - b).abs() < 1e-6 * a.abs().max(1.0)), "{series:?}");
        assert!((0..=50).all(|n| {
            let x = f64::from(n) / 100.0;
            let sum = written.iter().rev().fold(0.0, |sum, c| sum * x * x + c) * x;
            (sum - (pi * x).sin()).abs() < 1e-6
        }));
    }
}
