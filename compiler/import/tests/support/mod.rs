//! What tests of imported models share: symbols bound from recorded inputs, and comparison within a tolerance.

use mlp_graph::{Graph, Tensor};
use mlp_import::onnx::{DimSignature, ImportOptions, import, signature};

/// Imports a model whose symbolic dimensions have the sizes that these inputs have.
pub(crate) fn import_for(model: &[u8], inputs: &[Tensor]) -> Result<Graph, String> {
    let signature = signature(model).map_err(|error| error.to_string())?;
    let mut options = ImportOptions::default();
    for (port, tensor) in signature.inputs.iter().zip(inputs) {
        let dims = port.dims.iter().flatten();
        for (dim, &size) in dims.zip(tensor.shape()) {
            if let DimSignature::Symbol(name) = dim {
                options.dims.insert(name.clone(), size);
            }
        }
    }
    import(model, &options).map_err(|error| error.to_string())
}

/// Says where two tensors differ by more than `atol + rtol * |expected|`.
pub(crate) fn difference(actual: &Tensor, expected: &Tensor, rtol: f64, atol: f64) -> Option<String> {
    if (actual.dtype(), actual.shape()) != (expected.dtype(), expected.shape()) {
        let show = |tensor: &Tensor| format!("{}{:?}", tensor.dtype(), tensor.shape());
        return Some(format!("is {}, but {} is expected", show(actual), show(expected)));
    }
    let (got, want) = (actual.to_f64(), expected.to_f64());
    let wrong = |a: f64, b: f64| !(a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= atol + rtol * b.abs());
    let first = got.iter().zip(&want).position(|(&a, &b)| wrong(a, b))?;
    let count = got.iter().zip(&want).filter(|&(&a, &b)| wrong(a, b)).count();
    Some(format!("{count} of {} elements differ, the first at {first}: {} is expected, got {}", got.len(), want[first], got[first]))
}
