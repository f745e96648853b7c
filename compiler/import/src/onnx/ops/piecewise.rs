//! Maps that ask where an element lies: its sign, whether it is infinite, which triangle or class it belongs to.

use super::Row;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use mlp_graph::op::{BinaryOp, CompareOp, UnaryOp};
use mlp_graph::{DType, ValueId};

pub(super) const TABLE: &[Row] = &[
    ("", "Sign", sign),
    ("", "Shrink", shrink),
    ("", "IsInf", is_inf),
    ("", "Trilu", triangle),
    ("", "OneHot", one_hot),
    ("", "BitCast", bit_cast),
];

/// -1, 0 or 1; a NaN stays.
fn sign(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dtype = node.dtype(x);
    let (zero, one) = (node.scalar(dtype, 0.0), node.scalar(dtype, 1.0));
    let positive = node.compare(CompareOp::Lt, zero, x)?;
    if dtype.is_int() && !dtype.is_signed_int() {
        return Ok(vec![node.cast(dtype, positive)?]);
    }
    let minus_one = node.scalar(dtype, -1.0);
    let negative = node.compare(CompareOp::Lt, x, zero)?;
    let rest = node.select(negative, minus_one, x)?;
    Ok(vec![node.select(positive, one, rest)?])
}

/// `x + bias` below `-lambd`, `x - bias` above `lambd`, 0 between. Integers are computed as floats.
fn shrink(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dtype = node.dtype(x);
    let lambd = f64::from(node.attributes.float("lambd")?.unwrap_or(0.5));
    let bias = f64::from(node.attributes.float("bias")?.unwrap_or(0.0));
    let wide = match dtype {
        DType::F32 | DType::F64 => dtype,
        _ if dtype.is_int() && dtype.size() >= 4 => DType::F64,
        _ => DType::F32,
    };
    let x = node.cast(wide, x)?;
    let [low, high, zero] = [-lambd, lambd, 0.0].map(|number| node.scalar(wide, number));
    let (is_low, is_high) = (node.compare(CompareOp::Lt, x, low)?, node.compare(CompareOp::Lt, high, x)?);
    let (raised, lowered) = (node.with_number(BinaryOp::Add, x, bias)?, node.with_number(BinaryOp::Sub, x, bias)?);
    let rest = node.select(is_high, lowered, zero)?;
    let y = node.select(is_low, raised, rest)?;
    Ok(vec![node.cast(dtype, y)?])
}

/// What lies beyond the greatest number is infinite: no infinity is compared with, since shaders may assume that there are none.
fn is_inf(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let positive = node.attributes.int("detect_positive")?.unwrap_or(1) != 0;
    let negative = node.attributes.int("detect_negative")?.unwrap_or(1) != 0;
    let dtype = node.dtype(x);
    let most = match dtype {
        DType::F16 => 65504.0,
        DType::BF16 | DType::F32 => f64::from(f32::MAX),
        DType::F64 => f64::MAX,
        _ => return invalid(format!("the input is {dtype}, but must be of floats")),
    };
    let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let x = node.cast(wide, x)?;
    let limit = node.scalar(wide, most);
    let measured = match (positive, negative) {
        (true, true) => node.unary(UnaryOp::Abs, x)?,
        (true, false) => x,
        (false, true) => node.unary(UnaryOp::Neg, x)?,
        (false, false) => node.with_number(BinaryOp::Min, x, 0.0)?,
    };
    Ok(vec![node.compare(CompareOp::Lt, limit, measured)?])
}

/// What lies on and above (or below) the diagonal `k`, zeros elsewhere.
fn triangle(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let upper = node.attributes.int("upper")?.unwrap_or(1) != 0;
    let dims = node.dims(x);
    let &[.., rows, columns] = dims.as_slice() else {
        return invalid(format!("the input has shape {dims:?}, but must be matrices"));
    };
    let (row, column) = (node.positions(rows, 0, 2)?, node.positions(columns, 1, 2)?);
    let diagonal = match node.optional(1) {
        Some(k) => {
            let k = node.as_scalar(k, "k")?;
            // Bounded before it is narrowed: beyond the matrix all diagonals are alike.
            let bound = rows.max(columns) as f64 + 1.0;
            let k = node.cast(DType::I64, k)?;
            let k = node.with_number(BinaryOp::Max, k, -bound)?;
            let k = node.with_number(BinaryOp::Min, k, bound)?;
            let k = node.cast(DType::I32, k)?;
            node.binary(BinaryOp::Add, row, k)?
        }
        None => row,
    };
    let kept = if upper { node.compare(CompareOp::Le, diagonal, column)? } else { node.compare(CompareOp::Le, column, diagonal)? };
    let zero = node.scalar(node.dtype(x), 0.0);
    Ok(vec![node.select(kept, x, zero)?])
}

/// `1` where `positions` along a new axis are `indices`: truth values of the shape of the indices with `depth` inserted at `axis`.
pub(super) fn is_class(node: &mut NodeImport<'_>, indices: ValueId, depth: u64, axis: usize) -> One {
    let mut dims = node.dims(indices);
    dims.insert(axis, 1);
    let indices = node.reshape(indices, &dims)?;
    let classes = node.positions(depth, axis, dims.len())?;
    let classes = node.cast(node.dtype(indices), classes)?;
    node.compare(CompareOp::Eq, indices, classes)
}

fn one_hot(node: &mut NodeImport<'_>) -> Imported {
    let (indices, depth, values) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let depth = known_depth(node, depth)?;
    let rank = node.rank(indices);
    let axis = node.axis(node.attributes.int("axis")?.unwrap_or(-1), rank + 1)?;
    if node.dims(values) != [2] {
        return invalid(format!("the values have shape {:?}, but must be an off and an on value", node.dims(values)));
    }
    let indices = super::gather::resolved(node, indices, depth)?;
    let on = is_class(node, indices, depth, axis)?;
    let mut value = |position: i64| -> One {
        let one = node.slice(values, vec![position], vec![1], &[1])?;
        node.reshape(one, &[])
    };
    let (off_value, on_value) = (value(0)?, value(1)?);
    Ok(vec![node.select(on, on_value, off_value)?])
}

fn known_depth(node: &NodeImport<'_>, depth: ValueId) -> Result<u64, Problem> {
    let depth = match node.known_float(depth) {
        Some(depth) => depth as i64,
        None => node.known_integer(depth, "the depth")?,
    };
    match u64::try_from(depth) {
        Ok(depth) if depth > 0 => Ok(depth),
        _ => invalid(format!("the depth is {depth}, but must be positive")),
    }
}

/// Between integers of one width the bits are what a wrapping conversion keeps; otherwise they are read as the other type, which narrow ones cannot be.
fn bit_cast(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let from = node.dtype(x);
    if node.builder.narrow(x).is_some() {
        return unsupported("the bits of an element type of fewer than eight bits, or of floats of eight");
    }
    let Some(code) = node.attributes.int("to")? else { return invalid("attribute `to` is missing") };
    let to = crate::onnx::tensor::dtype_of(i32::try_from(code).unwrap_or(0)).map_err(Problem::Unsupported)?;
    if from.size() != to.size() {
        return invalid(format!("{from} and {to} do not have as many bits"));
    }
    if from == to || (from.is_int() && to.is_int()) {
        return Ok(vec![node.cast(to, x)?]);
    }
    if from.size() >= 4 {
        return Ok(vec![node.emit(mlp_graph::Op::Bitcast(to), &[x])?]);
    }
    if from == DType::Bool && to.is_int() {
        return Ok(vec![node.cast(to, x)?]);
    }
    if let Some(known) = node.builder.known(x) {
        let tensor = mlp_graph::Tensor::of_shared(to, known.shape().to_vec(), known.shared_bytes()).map_err(|error| error.to_string())?;
        return Ok(vec![node.constant(tensor)]);
    }
    unsupported(format!(
        "the bits of {from} as {to} while the model runs; types of 32 and of 64 bits, integers of one width, and constants are supported"
    ))
}
