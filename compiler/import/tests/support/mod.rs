//! What tests of imported models share: comparison within a tolerance.

use mlp_graph::Tensor;

/// Says where two tensors differ: floats by more than `atol + rtol * |expected|`, others at all.
pub(crate) fn difference(actual: &Tensor, expected: &Tensor, rtol: f64, atol: f64) -> Option<String> {
    if (actual.dtype(), actual.shape()) != (expected.dtype(), expected.shape()) {
        let show = |tensor: &Tensor| format!("{}{:?}", tensor.dtype(), tensor.shape());
        return Some(format!("is {}, but {} is expected", show(actual), show(expected)));
    }
    let (got, want) = (actual.to_f64(), expected.to_f64());
    let allowed = |b: f64| if expected.dtype().is_float() { atol + rtol * b.abs() } else { 0.0 };
    let wrong = |a: f64, b: f64| !(a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= allowed(b));
    let first = got.iter().zip(&want).position(|(&a, &b)| wrong(a, b))?;
    let count = got.iter().zip(&want).filter(|&(&a, &b)| wrong(a, b)).count();
    Some(format!("{count} of {} elements differ, the first at {first}: {} is expected, got {}", got.len(), want[first], got[first]))
}
