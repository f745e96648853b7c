//! Trigonometric and hyperbolic functions and their inverses, as maps that are accurate for small and for large arguments.
//!
//! Each is a few units of the last place off: what a formula would cancel is computed by a series or by a form that does not cancel.

use super::Row;
use super::activation::in_single;
use crate::onnx::node::{NodeImport, One};
use mlp_graph::op::{BinaryOp, CompareOp, UnaryOp};
use mlp_graph::{DType, ValueId};
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, LN_2};

pub(super) const TABLE: &[Row] = &[
    ("", "Tan", |node| in_single(node, tan)),
    ("", "Atan", |node| in_single(node, atan)),
    ("", "Asin", |node| in_single(node, asin)),
    ("", "Acos", |node| in_single(node, acos)),
    ("", "Sinh", |node| in_single(node, sinh)),
    ("", "Cosh", |node| in_single(node, cosh)),
    ("", "Asinh", |node| in_single(node, asinh)),
    ("", "Acosh", |node| in_single(node, acosh)),
    ("", "Atanh", |node| in_single(node, atanh)),
];

/// From here on `ln(2x)` is what the inverse hyperbolic functions are to 16 digits; squares still fit binary32.
const LARGE: f64 = 1e8;

/// `x * (c[0] + c[1] z + c[2] z^2 + ...)` by Horner's rule.
fn odd_series(node: &mut NodeImport<'_>, x: ValueId, z: ValueId, coefficients: &[f64]) -> One {
    let Some((&last, others)) = coefficients.split_last() else { return Ok(x) };
    let mut sum = node.scalar(node.dtype(x), last);
    for &coefficient in others.iter().rev() {
        let product = node.binary(BinaryOp::Mul, sum, z)?;
        sum = node.with_number(BinaryOp::Add, product, coefficient)?;
    }
    node.binary(BinaryOp::Mul, x, sum)
}

/// How many terms of a series whose terms shrink by `ratio` each the element type of a value deserves.
fn terms(node: &NodeImport<'_>, x: ValueId, ratio: f64) -> usize {
    let digits: f64 = if node.dtype(x) == DType::F64 { 1e-17 } else { 1e-9 };
    (digits.ln() / ratio.ln()).ceil() as usize
}

/// `x < number`.
fn below(node: &mut NodeImport<'_>, x: ValueId, number: f64) -> One {
    let number = node.scalar(node.dtype(x), number);
    node.compare(CompareOp::Lt, x, number)
}

/// `size` with the sign of `x`: 0 keeps its own.
fn with_sign(node: &mut NodeImport<'_>, size: ValueId, x: ValueId) -> One {
    let negative = below(node, x, 0.0)?;
    let negated = node.unary(UnaryOp::Neg, size)?;
    node.select(negative, negated, size)
}

fn tan(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let (sine, cosine) = (node.unary(UnaryOp::Sin, x)?, node.unary(UnaryOp::Cos, x)?);
    node.binary(BinaryOp::Div, sine, cosine)
}

/// By the tangents of 3π/8 and π/8 an argument is brought to within the latter, where the series of Gregory converges fast:
/// `atan(a) = π/2 - atan(1/a)` and `atan(a) = π/4 + atan((a - 1) / (a + 1))`.
fn atan(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let eighth = std::f64::consts::SQRT_2 - 1.0;
    let size = node.unary(UnaryOp::Abs, x)?;
    let dtype = node.dtype(x);
    let [zero, one, minus_one] = [0.0, 1.0, -1.0].map(|number| node.scalar(dtype, number));
    let [quarter, half] = [FRAC_PI_4, FRAC_PI_2].map(|number| node.scalar(dtype, number));
    let threshold = node.scalar(dtype, eighth + 2.0);
    let large = node.compare(CompareOp::Lt, threshold, size)?;
    let threshold = node.scalar(dtype, eighth);
    let middle = node.compare(CompareOp::Lt, threshold, size)?;
    let (less, more) = (node.binary(BinaryOp::Sub, size, one)?, node.binary(BinaryOp::Add, size, one)?);
    let above = node.select(middle, less, size)?;
    let above = node.select(large, minus_one, above)?;
    let below = node.select(middle, more, one)?;
    let below = node.select(large, size, below)?;
    let reduced = node.binary(BinaryOp::Div, above, below)?;
    let start = node.select(middle, quarter, zero)?;
    let start = node.select(large, half, start)?;
    let square = node.binary(BinaryOp::Mul, reduced, reduced)?;
    let count = terms(node, x, eighth * eighth);
    let coefficients: Vec<f64> = (0..count).map(|k| if k % 2 == 0 { 1.0 } else { -1.0 } / (2 * k + 1) as f64).collect();
    let rest = odd_series(node, reduced, square, &coefficients)?;
    let angle = node.binary(BinaryOp::Add, start, rest)?;
    with_sign(node, angle, x)
}

/// `2 atan(x / (1 + sqrt((1 - x) (1 + x))))`; NaN outside of -1 to 1, where the root is.
fn asin(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let one = node.scalar(node.dtype(x), 1.0);
    let (less, more) = (node.binary(BinaryOp::Sub, one, x)?, node.binary(BinaryOp::Add, one, x)?);
    let product = node.binary(BinaryOp::Mul, less, more)?;
    let root = node.unary(UnaryOp::Sqrt, product)?;
    let divisor = node.binary(BinaryOp::Add, root, one)?;
    let tangent = node.binary(BinaryOp::Div, x, divisor)?;
    let half = atan(node, tangent)?;
    node.with_number(BinaryOp::Mul, half, 2.0)
}

/// `2 atan(sqrt(1 - x) / sqrt(1 + x))`, which cancels nothing near 1.
fn acos(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let one = node.scalar(node.dtype(x), 1.0);
    let (less, more) = (node.binary(BinaryOp::Sub, one, x)?, node.binary(BinaryOp::Add, one, x)?);
    let (less, more) = (node.unary(UnaryOp::Sqrt, less)?, node.unary(UnaryOp::Sqrt, more)?);
    let tangent = node.binary(BinaryOp::Div, less, more)?;
    let half = atan(node, tangent)?;
    node.with_number(BinaryOp::Mul, half, 2.0)
}

/// `e^|x| / 2` and `e^-|x| / 2`, as squares of roots, so that the first overflows no earlier than their sum.
fn exponentials(node: &mut NodeImport<'_>, size: ValueId) -> Result<(ValueId, ValueId), crate::onnx::node::Problem> {
    let half = node.with_number(BinaryOp::Mul, size, 0.5)?;
    let root = node.unary(UnaryOp::Exp, half)?;
    let scaled = node.with_number(BinaryOp::Mul, root, 0.5)?;
    let growing = node.binary(BinaryOp::Mul, scaled, root)?;
    let quarter = node.scalar(node.dtype(size), 0.25);
    let falling = node.binary(BinaryOp::Div, quarter, growing)?;
    Ok((growing, falling))
}

fn cosh(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let size = node.unary(UnaryOp::Abs, x)?;
    let (growing, falling) = exponentials(node, size)?;
    node.binary(BinaryOp::Add, growing, falling)
}

/// Up to 1 by its power series, where exponentials would cancel.
fn sinh(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let size = node.unary(UnaryOp::Abs, x)?;
    let (growing, falling) = exponentials(node, size)?;
    let far = node.binary(BinaryOp::Sub, growing, falling)?;
    let far = with_sign(node, far, x)?;
    let square = node.binary(BinaryOp::Mul, x, x)?;
    let count = if node.dtype(x) == DType::F64 { 10 } else { 6 };
    let mut coefficients = vec![1.0];
    for k in 1..count {
        coefficients.push(coefficients[k - 1] / ((2 * k) * (2 * k + 1)) as f64);
    }
    let near = odd_series(node, x, square, &coefficients)?;
    let is_near = below(node, size, 1.0)?;
    node.select(is_near, near, far)
}

/// `atanh(x)` for `|x| <= 1/3`: `x + x^3 / 3 + x^5 / 5 + ...`.
fn atanh_series(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let square = node.binary(BinaryOp::Mul, x, x)?;
    let count = terms(node, x, 1.0 / 9.0);
    let coefficients: Vec<f64> = (0..count).map(|k| 1.0 / (2 * k + 1) as f64).collect();
    odd_series(node, x, square, &coefficients)
}

/// `ln(1 + u)` for `u > -1/2`: up to 1 as `2 atanh(u / (2 + u))`.
fn log_of_sum(node: &mut NodeImport<'_>, u: ValueId) -> One {
    let divisor = node.with_number(BinaryOp::Add, u, 2.0)?;
    let ratio = node.binary(BinaryOp::Div, u, divisor)?;
    let half = atanh_series(node, ratio)?;
    let near = node.with_number(BinaryOp::Mul, half, 2.0)?;
    let sum = node.with_number(BinaryOp::Add, u, 1.0)?;
    let far = node.unary(UnaryOp::Log, sum)?;
    let is_near = below(node, u, 1.0)?;
    node.select(is_near, near, far)
}

/// `near` below [`LARGE`], `ln(x) + ln 2` from there on.
fn log_from_large(node: &mut NodeImport<'_>, x: ValueId, near: ValueId) -> One {
    let log = node.unary(UnaryOp::Log, x)?;
    let far = node.with_number(BinaryOp::Add, log, LN_2)?;
    let large = node.scalar(node.dtype(x), LARGE);
    let is_far = node.compare(CompareOp::Lt, large, x)?;
    node.select(is_far, far, near)
}

/// `ln(a + sqrt(a^2 + 1))` of the size `a`, as `ln(1 + (a + a^2 / (1 + sqrt(a^2 + 1))))`.
fn asinh(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let size = node.unary(UnaryOp::Abs, x)?;
    let bounded = node.with_number(BinaryOp::Min, size, LARGE)?;
    let square = node.binary(BinaryOp::Mul, bounded, bounded)?;
    let sum = node.with_number(BinaryOp::Add, square, 1.0)?;
    let root = node.unary(UnaryOp::Sqrt, sum)?;
    let divisor = node.with_number(BinaryOp::Add, root, 1.0)?;
    let ratio = node.binary(BinaryOp::Div, square, divisor)?;
    let u = node.binary(BinaryOp::Add, bounded, ratio)?;
    let near = log_of_sum(node, u)?;
    let result = log_from_large(node, size, near)?;
    with_sign(node, result, x)
}

/// `ln(x + sqrt(x^2 - 1))`, as `ln(1 + (t + sqrt(t) sqrt(t + 2)))` with `t = x - 1`; NaN below 1, where the first root is.
fn acosh(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let bounded = node.with_number(BinaryOp::Min, x, LARGE)?;
    let t = node.with_number(BinaryOp::Sub, bounded, 1.0)?;
    let more = node.with_number(BinaryOp::Add, t, 2.0)?;
    let (less, more) = (node.unary(UnaryOp::Sqrt, t)?, node.unary(UnaryOp::Sqrt, more)?);
    let product = node.binary(BinaryOp::Mul, less, more)?;
    let u = node.binary(BinaryOp::Add, t, product)?;
    let near = log_of_sum(node, u)?;
    log_from_large(node, x, near)
}

/// Its series up to 1/3, `ln((1 + x) / (1 - x)) / 2` beyond.
fn atanh(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let near = atanh_series(node, x)?;
    let one = node.scalar(node.dtype(x), 1.0);
    let (less, more) = (node.binary(BinaryOp::Sub, one, x)?, node.binary(BinaryOp::Add, one, x)?);
    let ratio = node.binary(BinaryOp::Div, more, less)?;
    let log = node.unary(UnaryOp::Log, ratio)?;
    let far = node.with_number(BinaryOp::Mul, log, 0.5)?;
    let size = node.unary(UnaryOp::Abs, x)?;
    let is_near = below(node, size, 1.0 / 3.0)?;
    node.select(is_near, near, far)
}
