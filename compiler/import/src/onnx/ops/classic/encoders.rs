//! Categories: numbers in place of others, and one column a category.

use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use mlp_graph::op::{BinaryOp, CompareOp, ReduceKind};
use mlp_graph::{DType, Op, Tensor, ValueId};

/// A number of a table in place of each key, and a default where there is none.
pub(super) fn label_encoder(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dtype = node.dtype(x);
    for name in ["keys_strings", "values_strings", "classes_strings"] {
        if node.attributes.strings(name)?.is_some() {
            return unsupported(format!("attribute `{name}` maps text, and tensors hold numbers alone: encode categories as numbers"));
        }
    }
    let keys = table(node, "keys")?.ok_or("no keys are given")?;
    let values = table(node, "values")?.ok_or("no values are given")?;
    if keys.len() != values.len() || keys.is_empty() {
        return invalid(format!("{} keys are given for {} values", keys.len(), values.len()));
    }
    if keys.dtype() != dtype {
        return invalid(format!("keys are {}, but the input is {dtype}", keys.dtype()));
    }
    let default = default(node, values.dtype())?;
    let count = keys.len() as u64;
    let results = [values.to_f64(), vec![default]].concat();
    let results = if values.dtype() == DType::I64 {
        let whole = values.to_i64().unwrap_or_default();
        Tensor::from_i64(&[count + 1], &[whole, vec![default as i64]].concat())
    } else {
        Tensor::from_f64_as(values.dtype(), &[count + 1], &results)
    };
    let results = results.map_err(|error| error.to_string())?;
    let results = node.constant(results);
    let position = position(node, x, keys)?;
    Ok(vec![node.emit(Op::Gather { axis: 0 }, &[results, position])?])
}

/// The position of each element of `x` among the keys, the first of equal ones; how many there are where it is none of them. From version 4 on a NaN is equal to a
/// NaN.
fn position(node: &mut NodeImport<'_>, x: ValueId, keys: Tensor) -> One {
    let (dims, count) = (node.dims(x), keys.len());
    let flat = Tensor::new(keys.dtype(), vec![count as u64], keys.bytes().to_vec()).map_err(|error| error.to_string())?;
    let is_float = keys.dtype().is_float();
    let keys = node.constant(flat);
    let x = node.reshape(x, &[dims.as_slice(), &[1]].concat())?;
    let mut equal = node.compare(CompareOp::Eq, x, keys)?;
    if is_float && node.opset >= 4 {
        let (no_x, no_key) = (node.compare(CompareOp::Ne, x, x)?, node.compare(CompareOp::Ne, keys, keys)?);
        let both = node.binary(BinaryOp::Mul, no_x, no_key)?;
        equal = node.binary(BinaryOp::Add, equal, both)?;
    }
    let (positions, none) = (node.positions(count as u64, 0, 1)?, node.scalar(DType::I32, count as f64));
    let candidates = node.select(equal, positions, none)?;
    node.reduce(ReduceKind::Min, &[dims.len()], false, candidates)
}

/// The numbers of one of the attributes `*_int64s`, `*_floats` and `*_tensor`.
fn table(node: &NodeImport<'_>, name: &str) -> Result<Option<Tensor>, Problem> {
    if let Some(integers) = node.attributes.ints(&format!("{name}_int64s"))? {
        return Ok(Some(Tensor::from_i64(&[integers.len() as u64], integers).map_err(|error| error.to_string())?));
    }
    if let Some(floats) = node.attributes.floats(&format!("{name}_floats"))? {
        return Ok(Some(Tensor::from_f32(&[floats.len() as u64], floats).map_err(|error| error.to_string())?));
    }
    Ok(node.attributes.tensor(&format!("{name}_tensor"))?)
}

/// What stands for keys that are not in the table.
fn default(node: &NodeImport<'_>, dtype: DType) -> Result<f64, Problem> {
    let (integer, float) = (node.attributes.int("default_int64")?, node.attributes.float("default_float")?);
    let _ = node.attributes.string("default_string")?;
    if let Some(tensor) = node.attributes.tensor("default_tensor")? {
        return tensor.to_f64().first().copied().ok_or_else(|| "attribute `default_tensor` is empty".into());
    }
    Ok(if dtype.is_float() { float.map_or(-0.0, f64::from) } else { integer.unwrap_or(-1) as f64 })
}

/// One column a category, 1 where the element is it.
pub(super) fn one_hot(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    if node.attributes.strings("cats_strings")?.is_some() {
        return unsupported("its categories are text, and tensors hold numbers alone: encode categories as numbers");
    }
    let Some(categories) = node.attributes.ints("cats_int64s")?.map(<[i64]>::to_vec) else { return invalid("no categories are given") };
    // Whether an unknown category is an error cannot be asked of code without errors: all its columns are 0.
    let _ = node.attributes.int("zeros")?;
    let dims = [node.dims(x).as_slice(), &[1]].concat();
    let x = node.cast(DType::I64, x)?;
    let x = node.reshape(x, &dims)?;
    let categories = node.integers(&categories)?;
    let equal = node.compare(CompareOp::Eq, x, categories)?;
    Ok(vec![node.cast(DType::F32, equal)?])
}
