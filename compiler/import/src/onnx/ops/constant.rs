//! Constants, and shapes read as data, which are constants here.

use super::Row;
use crate::onnx::builder::addressable;
use crate::onnx::extent::Extent;
use crate::onnx::node::{Imported, NodeImport, Problem, invalid, unsupported};
use mlp_graph::op::BinaryOp;
use mlp_graph::{DType, Tensor, ValueId};

pub(super) const TABLE: &[Row] = &[
    ("", "Constant", constant),
    ("", "ConstantOfShape", constant_of_shape),
    ("", "Shape", shape),
    ("", "Size", size),
    ("", "Range", range),
    ("", "EyeLike", eye_like),
];

fn constant(node: &mut NodeImport<'_>) -> Imported {
    let attributes = &node.attributes;
    // A body may be made ready many times.
    if node.scope.depth > 0 && !node.builder.may_create(attributes.copied()) {
        return unsupported("the constants of bodies take too much memory when they are repeated; store them outside of the body");
    }
    let tensor = if let Some(tensor) = attributes.tensor("value")? {
        let narrow = attributes.narrow("value");
        let value = node.constant(tensor);
        if let Some(narrow) = narrow {
            node.builder.mark_narrow(value, narrow);
        }
        return Ok(vec![value]);
    } else if let Some(tensor) = attributes.sparse_tensor("sparse_value")? {
        tensor
    } else if let Some(value) = attributes.float("value_float")? {
        Tensor::scalar_of(DType::F32, f64::from(value))
    } else if let Some(value) = attributes.int("value_int")? {
        Tensor::scalar(value)
    } else if let Some(values) = attributes.floats("value_floats")? {
        Tensor::from_f32(&[values.len() as u64], values).map_err(|error| error.to_string())?
    } else if let Some(values) = attributes.ints("value_ints")? {
        Tensor::from_i64(&[values.len() as u64], values).map_err(|error| error.to_string())?
    } else {
        return unsupported("values are numbers here, not strings; work with strings before the model, and give it numbers");
    };
    Ok(vec![node.constant(tensor)])
}

/// A constant, or where the model creates too much of them, one element stretched.
fn constant_of_shape(node: &mut NodeImport<'_>) -> Imported {
    let shape = node.input(0)?;
    let extents = node.extents(shape, "the shape")?;
    let dims = sizes(&extents.iter().map(|extent| extent.most).collect::<Vec<_>>())?;
    let value = node.attributes.tensor("value")?.unwrap_or_else(|| Tensor::scalar_of(DType::F32, 0.0));
    if value.len() != 1 {
        return invalid(format!("attribute `value` should hold one element, but holds {}", value.len()));
    }
    if extents.iter().any(|extent| extent.term().is_some()) {
        let number = Tensor::new(value.dtype(), vec![], value.bytes().to_vec()).map_err(|error| error.to_string())?;
        return Ok(vec![super::rows::filled(node, &extents, number)?]);
    }
    let total = dims.iter().try_fold(value.dtype().size() as u64, |product, &dim| product.checked_mul(dim));
    if !addressable(value.dtype(), &dims) {
        return invalid(format!("a value of shape {dims:?} would take more than 4 GiB"));
    }
    if let Some(total) = total
        && node.builder.may_create(total)
    {
        let bytes = value.bytes().iter().copied().cycle().take(total as usize).collect();
        let tensor = Tensor::new(value.dtype(), dims, bytes).map_err(|error| error.to_string())?;
        return Ok(vec![node.constant(tensor)]);
    }
    let scalar = Tensor::new(value.dtype(), vec![], value.bytes().to_vec()).map_err(|error| error.to_string())?;
    let scalar = node.constant(scalar);
    Ok(vec![node.broadcast(scalar, &dims)?])
}

/// Sizes from integers, none negative.
pub(super) fn sizes(values: &[i64]) -> Result<Vec<u64>, String> {
    values.iter().map(|&value| u64::try_from(value).map_err(|_| format!("the shape {values:?} has a negative size"))).collect()
}

/// All sizes of a value, or those from `start` to `end` (operator set 15).
fn shape(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dims = node.dims(x);
    let rank = dims.len() as i64;
    let position = |value: i64| (if value < 0 { value.saturating_add(rank) } else { value }).clamp(0, rank) as usize;
    let start = position(node.attributes.int("start")?.unwrap_or(0));
    let end = position(node.attributes.int("end")?.unwrap_or(rank));
    if node.padded(x).is_some() {
        let rows = (start..end).map(|axis| node.rows_along(x, axis)).collect();
        return Ok(vec![node.extents_value(rows)?]);
    }
    Ok(vec![node.builder.sizes(dims.get(start..end).unwrap_or_default())?])
}

fn size(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dims = node.dims(x);
    if let Some(padded) = node.padded(x) {
        let others: u64 = dims.iter().enumerate().filter(|(axis, _)| *axis != padded.axis).map(|(_, dim)| dim).product();
        let rows = node.rows_along(x, padded.axis);
        let count = node.combined(BinaryOp::Mul, rows, Extent::exact(others as i64))?;
        let count = node.extents_value(vec![count])?;
        return Ok(vec![node.reshape(count, &[])?]);
    }
    let count = node.builder.sizes(&[dims.iter().product()])?;
    Ok(vec![node.reshape(count, &[])?])
}

/// Numbers from `start` up to but without `limit`, in steps of `delta`.
fn range(node: &mut NodeImport<'_>) -> Imported {
    let (start, limit, delta) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let given = [start, delta];
    if let Some(numbers) = counted_range(node, start, limit, delta)? {
        return Ok(vec![numbers]);
    }
    let dtype = node.dtype(start);
    let mut bounds = [0f64; 3];
    for (bound, (input, what)) in bounds.iter_mut().zip([(start, "start"), (limit, "limit"), (delta, "delta")]) {
        *bound = match node.known_float(input) {
            Some(number) => number,
            None => node.known_integer(input, what)? as f64,
        };
    }
    let [start, limit, delta] = bounds;
    let count = ((limit - start) / delta).ceil().max(0.0);
    if !count.is_finite() || !node.builder.may_create((count as u64).saturating_mul(8)) {
        return unsupported(format!("a range from {start} to {limit} in steps of {delta} is too long"));
    }
    let follows = given.iter().any(|&value| node.builder.follows_from_sizes(value));
    let (first, step) = if follows { (0.0, 1.0) } else { (start, delta) };
    let mut bytes = Vec::with_capacity(count as usize * dtype.size());
    for index in 0..count as u64 {
        bytes.extend_from_slice(Tensor::scalar_of(dtype, first + index as f64 * step).bytes());
    }
    let tensor = Tensor::new(dtype, vec![count as u64], bytes).map_err(|error| error.to_string())?;
    let numbers = node.constant(tensor);
    if !follows {
        return Ok(vec![numbers]);
    }
    let steps = node.binary(BinaryOp::Mul, numbers, given[1])?;
    Ok(vec![node.binary(BinaryOp::Add, steps, given[0])?])
}

/// A range of which only a run knows where it begins or ends.
fn counted_range(node: &mut NodeImport<'_>, start: ValueId, limit: ValueId, delta: ValueId) -> Result<Option<ValueId>, Problem> {
    let one = |value: ValueId| match node.builder.extents(value).as_deref() {
        Some(&[extent]) => Some(extent),
        _ => None,
    };
    let (Some(first), Some(end), Some(step)) = (one(start), one(limit), one(delta).and_then(Extent::known)) else { return Ok(None) };
    if first.term().is_none() && end.term().is_none() {
        return Ok(None);
    }
    super::rows::numbers(node, first, end, step, node.dtype(start)).map(Some)
}

/// Ones on a diagonal, zeros elsewhere.
fn eye_like(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dtype = match node.attributes.int("dtype")? {
        Some(code) => crate::onnx::tensor::dtype_of(i32::try_from(code).unwrap_or(0))?,
        None => node.dtype(x),
    };
    let offset = node.attributes.int("k")?.unwrap_or(0);
    let dims = node.dims(x);
    let &[rows, columns] = dims.as_slice() else { return invalid(format!("the input has shape {dims:?}, but must be a matrix")) };
    let total = rows.saturating_mul(columns).saturating_mul(dtype.size() as u64);
    if !addressable(dtype, &dims) || !node.builder.may_create(total) {
        return unsupported(format!("a matrix of shape {dims:?} is too large to be made when compiling"));
    }
    let (one, zero) = (Tensor::scalar_of(dtype, 1.0), Tensor::scalar_of(dtype, 0.0));
    let mut bytes = Vec::with_capacity(total as usize);
    for row in 0..rows as i64 {
        for column in 0..columns as i64 {
            let on = column.checked_sub(row) == Some(offset);
            bytes.extend_from_slice(if on { one.bytes() } else { zero.bytes() });
        }
    }
    let tensor = Tensor::new(dtype, dims, bytes).map_err(|error| error.to_string())?;
    Ok(vec![node.constant(tensor)])
}
