//! How a computed tensor is judged.

use mlp_bundle::{DType, Scalar};
use mlp_graph::Tensor;

/// The largest differences, and the verdict.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Comparison {
    pub(super) max_abs: f64,
    pub(super) max_rel: f64,
    /// What is wrong; none where the tensor passes.
    pub(super) fault: Option<String>,
}

/// What a float may differ by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    pub(super) rtol: f64,
    pub(super) atol: f64,
    /// For an output of a quantized model, one step of its quantization.
    pub(super) step: Option<f64>,
}

fn number(dtype: DType, bytes: &[u8]) -> f64 {
    match mlp_bundle::loops::scalar::load(dtype, bytes) {
        Scalar::Bool(x) => f64::from(u8::from(x)),
        Scalar::I32(x) => f64::from(x),
        Scalar::U32(x) => f64::from(x),
        Scalar::I64(x) => x as f64,
        Scalar::U64(x) => x as f64,
        Scalar::F32(bits) => f64::from(f32::from_bits(bits)),
        Scalar::F64(bits) => f64::from_bits(bits),
    }
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.bytes().chunks_exact(tensor.dtype().size()).map(|element| number(tensor.dtype(), element)).collect()
}

/// Compares an output with what is expected of it.
pub(super) fn compare(name: &str, actual: &Tensor, expected: &Tensor, tolerance: Tolerance) -> Comparison {
    let mut comparison = Comparison { max_abs: 0.0, max_rel: 0.0, fault: None };
    if actual.dtype() != expected.dtype() || actual.shape() != expected.shape() {
        let fault = format!("`{name}` is {}{:?}, expected {}{:?}", actual.dtype(), actual.shape(), expected.dtype(), expected.shape());
        comparison.fault = Some(fault);
        return comparison;
    }
    let (x, y) = (numbers(actual), numbers(expected));
    let float = actual.dtype().is_float();
    let mut worst: Option<(f64, usize)> = None;
    for (index, (&x, &y)) in x.iter().zip(&y).enumerate() {
        if x == y || (x.is_nan() && y.is_nan()) {
            continue;
        }
        let difference = (x - y).abs();
        let allowed = match tolerance.step {
            // Half a thousandth of a step more, for the rounding of the step itself.
            Some(step) => step * 1.0005 + tolerance.rtol * y.abs() * 1e-3,
            None if float => tolerance.atol + tolerance.rtol * y.abs(),
            None => 0.0,
        };
        comparison.max_abs = comparison.max_abs.max(if difference.is_nan() { f64::INFINITY } else { difference });
        comparison.max_rel = comparison.max_rel.max(if difference.is_nan() { f64::INFINITY } else { difference / y.abs().max(1e-12) });
        let excess = difference - allowed;
        if (excess > 0.0 || excess.is_nan()) && worst.is_none_or(|(most, _)| excess > most) {
            worst = Some((excess, index));
        }
    }
    if let Some((_, index)) = worst
        && !tolerance.step.is_some_and(|step| same_top_5(&x, &y, actual.shape(), step))
    {
        comparison.fault = Some(format!("`{name}`{:?} is {}, expected {}", position(index, actual.shape()), x[index], y[index]));
    }
    comparison
}

/// The indices of an element, outermost first.
fn position(mut flat: usize, shape: &[u64]) -> Vec<usize> {
    let mut position: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&size| {
            let index = flat % size.max(1) as usize;
            flat /= size.max(1) as usize;
            index
        })
        .collect();
    position.reverse();
    position
}

/// Whether the five greatest along the last axis are the same classes in every row. Scores that a step separates count as tied: quantization
/// cannot tell them apart.
fn same_top_5(x: &[f64], y: &[f64], shape: &[u64], step: f64) -> bool {
    let classes = shape.last().copied().unwrap_or(0) as usize;
    if classes < 10 {
        return false;
    }
    let top = |row: &[f64]| {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
        order.truncate(5);
        order
    };
    // Each of one row's best is among the other row's best, or as good as the last of them.
    let among = |x: &[f64], y: &[f64]| {
        let last = top(y)[4];
        top(x).into_iter().all(|class| y[class] >= y[last] - step * 1.0005)
    };
    x.chunks(classes).zip(y.chunks(classes)).all(|(x, y)| among(x, y) && among(y, x))
}

/// Where the bits of two runs of a quantized model differ; none where they are equal.
pub(super) fn bit_difference(names: &[String], actual: &[Tensor], first: &[Tensor]) -> Option<String> {
    for ((name, x), y) in names.iter().zip(actual).zip(first) {
        let size = x.dtype().size();
        let differ: Vec<usize> =
            (0..x.len().min(y.len())).filter(|&i| x.bytes()[i * size..][..size] != y.bytes()[i * size..][..size]).collect();
        if let Some(&index) = differ.first() {
            let at = position(index, x.shape());
            return Some(format!("`{name}` differs in {} of {} elements, first at {at:?}", differ.len(), x.len()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f32s(values: &[f32]) -> Tensor {
        Tensor::new(DType::F32, vec![values.len() as u64], values.iter().flat_map(|x| x.to_le_bytes()).collect()).unwrap()
    }

    const TOLERANCE: Tolerance = Tolerance { rtol: 1e-3, atol: 1e-4, step: None };

    #[test]
    fn names_the_worst_element() {
        let comparison = compare("y", &f32s(&[1.0, 2.0, 9.0]), &f32s(&[1.0, 2.5, 8.0]), TOLERANCE);
        assert_eq!(comparison.fault.as_deref(), Some("`y`[2] is 9, expected 8"));
        assert_eq!(comparison.max_abs, 1.0);
    }

    #[test]
    fn nan_equals_only_nan() {
        let nan = f32s(&[f32::NAN, f32::INFINITY]);
        assert_eq!(compare("y", &nan, &nan, TOLERANCE).fault, None);
        assert!(compare("y", &nan, &f32s(&[0.0, f32::INFINITY]), TOLERANCE).fault.is_some());
        assert!(compare("y", &f32s(&[0.0, f32::NEG_INFINITY]), &f32s(&[0.0, f32::INFINITY]), TOLERANCE).fault.is_some());
    }

    #[test]
    fn a_quantized_output_may_be_one_step_away_but_not_two() {
        let step = Tolerance { step: Some(0.5), ..TOLERANCE };
        assert_eq!(compare("y", &f32s(&[1.0]), &f32s(&[1.5]), step).fault, None);
        assert!(compare("y", &f32s(&[1.0]), &f32s(&[2.0]), step).fault.is_some());
    }

    #[test]
    fn equal_top_5_excuses_larger_differences_of_quantized_outputs() {
        let step = Tolerance { step: Some(0.5), ..TOLERANCE };
        let expected = f32s(&[9.0, 8.0, 7.0, 6.0, 5.0, 4.5, 1.0, 1.0, 1.0, 1.0]);
        let near = f32s(&[9.0, 7.0, 8.0, 6.0, 4.5, 5.0, 3.0, 1.0, 1.0, 1.0]);
        assert_eq!(compare("y", &near, &expected, step).fault, None);
        let far = f32s(&[9.0, 8.0, 7.0, 6.0, 1.0, 4.5, 5.0, 1.0, 1.0, 1.0]);
        assert!(compare("y", &far, &expected, step).fault.is_some());
    }

    #[test]
    fn another_type_or_shape_is_a_fault() {
        let row = Tensor::new(DType::F32, vec![1, 1], 0f32.to_le_bytes().to_vec()).unwrap();
        let comparison = compare("y", &row, &f32s(&[0.0]), TOLERANCE);
        assert_eq!(comparison.fault.as_deref(), Some("`y` is f32[1, 1], expected f32[1]"));
    }
}
