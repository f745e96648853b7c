//! What is done with features before a model sees them.

use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid};
use mlp_graph::op::{BinaryOp, CompareOp, ReduceKind, UnaryOp};
use mlp_graph::{DType, Op, Tensor, ValueId};

/// `(x - offset) * scale`, one of each a feature or one for all.
pub(super) fn scaler(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let x = node.cast(DType::F32, x)?;
    let offset = features(node, "offset", x)?;
    let scale = features(node, "scale", x)?;
    let moved = offset.map_or(Ok(x), |offset| node.binary(BinaryOp::Sub, x, offset))?;
    Ok(vec![scale.map_or(Ok(moved), |scale| node.binary(BinaryOp::Mul, moved, scale))?])
}

/// The numbers of an attribute that go along the last axis of `x`.
fn features(node: &mut NodeImport<'_>, name: &str, x: ValueId) -> Result<Option<ValueId>, Problem> {
    let Some(numbers) = node.attributes.floats(name)? else { return Ok(None) };
    let shape = along_features(node, name, numbers.len(), x)?;
    let tensor = Tensor::from_f32(&shape, numbers).map_err(|error| error.to_string())?;
    Ok(Some(node.constant(tensor)))
}

/// The shape of so many numbers that go along the last axis of `x`, or are for all of it.
fn along_features(node: &NodeImport<'_>, name: &str, count: usize, x: ValueId) -> Result<Vec<u64>, Problem> {
    let last = node.dims(x).last().copied().unwrap_or(1);
    if count != 1 && count as u64 != last {
        return invalid(format!("attribute `{name}` has {count} numbers for {last} features"));
    }
    Ok(if count == 1 { vec![] } else { vec![last] })
}

/// Elements along the last axis at the given positions.
pub(super) fn array_feature_extractor(node: &mut NodeImport<'_>) -> Imported {
    let (x, indices) = (node.input(0)?, node.input(1)?);
    let rank = node.rank(x);
    let count = node.dims(indices).iter().product();
    let indices = node.reshape(indices, &[count])?;
    if rank == 0 {
        return invalid("the input is a scalar");
    }
    let picked = node.emit(Op::Gather { axis: rank as u32 - 1 }, &[x, indices])?;
    // The result always has at least two axes.
    Ok(vec![if rank == 1 { node.reshape(picked, &[1, count])? } else { picked }])
}

/// 1 above the threshold, else 0.
pub(super) fn binarizer(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dtype = node.dtype(x);
    let threshold = f64::from(node.attributes.float("threshold")?.unwrap_or(0.0));
    let threshold = node.scalar(dtype, threshold);
    let above = node.compare(CompareOp::Lt, threshold, x)?;
    Ok(vec![node.cast(dtype, above)?])
}

/// `x` divided by its greatest element, the sum of sizes or the root of the sum of squares along the features; by nothing where that is 0.
pub(super) fn normalizer(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let x = node.cast(DType::F32, x)?;
    let rank = node.rank(x);
    if rank == 0 {
        return invalid("the input is a scalar");
    }
    let axis = [usize::from(rank > 1)];
    let size = match node.attributes.string("norm")?.unwrap_or("MAX") {
        "MAX" => node.reduce(ReduceKind::Max, &axis, true, x)?,
        "L1" => {
            let sizes = node.unary(UnaryOp::Abs, x)?;
            node.reduce(ReduceKind::Sum, &axis, true, sizes)?
        }
        "L2" => {
            let squares = node.binary(BinaryOp::Mul, x, x)?;
            let sum = node.reduce(ReduceKind::Sum, &axis, true, squares)?;
            node.unary(UnaryOp::Sqrt, sum)?
        }
        other => return invalid(format!("attribute `norm` is `{other}`, which is none of MAX, L1 and L2")),
    };
    let (zero, one) = (node.scalar(DType::F32, 0.0), node.scalar(DType::F32, 1.0));
    let nothing = node.compare(CompareOp::Eq, size, zero)?;
    let divisor = node.select(nothing, one, size)?;
    Ok(vec![node.binary(BinaryOp::Div, x, divisor)?])
}

/// One number in place of another (or of NaN), one a feature or one for all.
pub(super) fn imputer(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dtype = node.dtype(x);
    let (floats, integers) = (node.attributes.floats("imputed_value_floats")?, node.attributes.ints("imputed_value_int64s")?);
    let (float, integer) = (node.attributes.float("replaced_value_float")?, node.attributes.int("replaced_value_int64")?);
    let (values, replaced): (Vec<f64>, f64) = match (dtype.is_float(), floats, integers) {
        (true, Some(floats), _) => (floats.iter().map(|&value| value.into()).collect(), f64::from(float.unwrap_or(0.0))),
        (false, _, Some(integers)) => (integers.iter().map(|&value| value as f64).collect(), integer.unwrap_or(0) as f64),
        _ => return invalid(format!("no value to impute is given for an input of {dtype}")),
    };
    let shape = along_features(node, "imputed_value", values.len(), x)?;
    let values = Tensor::from_f64_as(dtype, &shape, &values).map_err(|error| error.to_string())?;
    let values = node.constant(values);
    let missing = if replaced.is_nan() {
        node.compare(CompareOp::Ne, x, x)?
    } else {
        let replaced = node.scalar(dtype, replaced);
        node.compare(CompareOp::Eq, x, replaced)?
    };
    Ok(vec![node.select(missing, values, x)?])
}

/// The inputs, rows of numbers each, one beside the other as floats.
pub(super) fn feature_vectorizer(node: &mut NodeImport<'_>) -> Imported {
    let inputs = node.all_inputs()?;
    let sizes = node.attributes.ints("inputdimensions")?.unwrap_or_default().to_vec();
    if sizes.len() != inputs.len() {
        return invalid(format!("inputdimensions has {} sizes for {} inputs", sizes.len(), inputs.len()));
    }
    let rows = match node.dims(inputs[0]).as_slice() {
        [] => return invalid("an input is a scalar"),
        [_] => 1,
        [rows, ..] => *rows,
    };
    let columns = inputs.iter().zip(&sizes).map(|(&input, &size)| vector(node, input, rows, size)).collect::<Result<Vec<_>, _>>()?;
    Ok(vec![node.emit(Op::Concat { axis: 1 }, &columns)?])
}

/// An input as rows of `size` floats.
fn vector(node: &mut NodeImport<'_>, input: ValueId, rows: u64, size: i64) -> One {
    let elements: u64 = node.dims(input).iter().product();
    if u64::try_from(size).ok().and_then(|size| size.checked_mul(rows)) != Some(elements) {
        return invalid(format!("an input of {elements} elements is no {rows} rows of {size}"));
    }
    let input = node.cast(DType::F32, input)?;
    node.reshape(input, &[rows, size as u64])
}
