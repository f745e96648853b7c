//! Quantization, and ONNX's own operators over quantized values. The latter become `Dequantize`, the float operation and `Quantize`: the pass
//! over quantized graphs turns both that form and explicitly quantized models into integer operations.

use super::Row;
use super::conv::convolution;
use super::narrowing::{Rounding, narrowed};
use crate::onnx::narrow::Narrow;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use mlp_graph::op::{BinaryOp, CompareOp, ReduceKind, UnaryOp};
use mlp_graph::{DType, Op, ValueId};

pub(super) const TABLE: &[Row] = &[
    ("", "QuantizeLinear", quantize_linear),
    ("", "DequantizeLinear", dequantize_linear),
    ("", "DynamicQuantizeLinear", dynamic_quantize_linear),
    // ONNX Runtime's own, from before ONNX's had 16-bit integers.
    ("com.microsoft", "QuantizeLinear", quantize_linear),
    ("com.microsoft", "DequantizeLinear", dequantize_linear),
    ("", "QLinearConv", conv),
    ("", "QLinearMatMul", matmul),
];

/// A scale and a zero point, shaped as the graph's operations want them, and the axis they go along.
pub(super) struct Params {
    scale: ValueId,
    zero: ValueId,
    axis: u32,
}

/// The parameters at inputs `scale` and `zero` for values of this shape. Where there is no zero point it is 0 of `dtype`.
pub(super) fn params(node: &mut NodeImport<'_>, scale: usize, zero: usize, of: &[u64], axis: i64, dtype: DType) -> Result<Params, Problem> {
    let scale = node.input(scale)?;
    let scale = node.cast(DType::F32, scale)?;
    let dims = node.dims(scale);
    let shape: Vec<u64> = if dims == [1] { Vec::new() } else { dims };
    let scale = node.reshape(scale, &shape)?;
    let zero = match node.optional(zero) {
        Some(zero) => {
            let dims = node.dims(zero);
            if dims.iter().product::<u64>() == 1 && !shape.is_empty() { node.broadcast(zero, &shape)? } else { node.reshape(zero, &shape)? }
        }
        None => {
            let zero = node.scalar(dtype, 0.0);
            node.broadcast(zero, &shape)?
        }
    };
    let axis = if shape.is_empty() { 0 } else { node.axis(axis, of.len())? as u32 };
    Ok(Params { scale, zero, axis })
}

pub(super) fn dequantize(node: &mut NodeImport<'_>, x: ValueId, params: &Params) -> One {
    node.emit(Op::Dequantize { axis: params.axis }, &[x, params.scale, params.zero])
}

pub(super) fn quantize(node: &mut NodeImport<'_>, x: ValueId, params: &Params) -> One {
    let computed = node.builder.known(params.scale).is_none() && node.rank(params.scale) == 0;
    if computed && node.dtype(x) == DType::F32 {
        return quantize_by_division(node, x, params);
    }
    node.emit(Op::Quantize { axis: params.axis }, &[x, params.scale, params.zero])
}

/// `saturate(round_half_even(x / scale) + zero)` as ONNX says it. Where the scale is computed, nothing is gained by its reciprocal, by which
/// `Quantize` multiplies.
fn quantize_by_division(node: &mut NodeImport<'_>, x: ValueId, params: &Params) -> One {
    let dtype = node.dtype(params.zero);
    let (least, most) = match dtype {
        DType::U8 => (0.0, 255.0),
        DType::I8 => (-128.0, 127.0),
        DType::U16 => (0.0, 65535.0),
        DType::I16 => (-32768.0, 32767.0),
        other => return unsupported(format!("quantizing to {other}")),
    };
    let zero = node.cast(DType::F32, params.zero)?;
    let steps = node.binary(BinaryOp::Div, x, params.scale)?;
    let steps = node.unary(UnaryOp::RoundEven, steps)?;
    let moved = node.binary(BinaryOp::Add, steps, zero)?;
    let (least, most) = (node.scalar(DType::F32, least), node.scalar(DType::F32, most));
    let bounded = node.binary(BinaryOp::Max, moved, least)?;
    let bounded = node.binary(BinaryOp::Min, bounded, most)?;
    node.cast(dtype, bounded)
}

fn refuse_blocks(node: &NodeImport<'_>, dims: &[u64], scale: ValueId, axis: usize) -> Result<(), Problem> {
    let block = node.attributes.int("block_size")?.unwrap_or(0);
    let scales = node.dims(scale);
    let Some((&count, &size)) = scales.get(axis).zip(dims.get(axis)).filter(|_| block > 0 && scales.len() == dims.len()) else {
        return Ok(());
    };
    if count != size.div_ceil(block as u64) {
        return invalid(format!("blocks of {block} along axis {axis} of {dims:?} need another scale than {scales:?}"));
    }
    // The graph's operations know how many blocks there are, and that they are as equal as can be.
    if count > 1 && size.div_ceil(count) != block as u64 {
        return unsupported(format!("blocks of {block} along axis {axis} of {dims:?}, which are not as equal as {count} blocks can be"));
    }
    Ok(())
}

fn quantize_linear(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dims = node.dims(x);
    let rounding = Rounding::of(node)?;
    node.attributes.int("precision")?;
    let axis = node.attributes.int("axis")?.unwrap_or(1);
    let mut dtype = DType::U8;
    let mut narrow = node.optional(2).and_then(|zero| node.builder.narrow(zero));
    if let Some(code) = node.attributes.int("output_dtype")?.filter(|&code| code != 0) {
        let code = i32::try_from(code).unwrap_or(-1);
        narrow = Narrow::of(code);
        dtype = match narrow {
            Some(narrow) => narrow.dtype(),
            None => crate::onnx::tensor::dtype_of(code).map_err(Problem::Unsupported)?,
        };
    }
    let params = params(node, 1, 2, &dims, axis, dtype)?;
    if node.rank(params.scale) > 1 {
        refuse_blocks(node, &dims, params.scale, params.axis as usize)?;
    } else {
        node.attributes.int("block_size")?;
    }
    let x = if node.dtype(x) == DType::I32 { x } else { node.cast(DType::F32, x)? };
    if let Some(narrow @ Narrow::Float(_)) = narrow {
        // Floats have a zero point of 0, whether it is given or not.
        if node.builder.known(params.zero).is_some_and(|zero| zero.to_f64().iter().any(|zero| *zero != 0.0)) {
            return invalid("floats of eight bits and fewer have a zero point of 0");
        }
        let x = node.cast(DType::F32, x)?;
        let steps = scaled(node, BinaryOp::Div, x, &params)?;
        return Ok(vec![narrowed(node, narrow, steps, rounding)?]);
    }
    let y = quantize(node, x, &params)?;
    let Some((narrow, (least, most))) = narrow.and_then(|narrow| Some((narrow, narrow.range()?))) else { return Ok(vec![y]) };
    let (least, most) = (node.scalar(narrow.dtype(), least.into()), node.scalar(narrow.dtype(), most.into()));
    let y = node.binary(BinaryOp::Max, y, least)?;
    let y = node.binary(BinaryOp::Min, y, most)?;
    node.builder.mark_narrow(y, narrow);
    Ok(vec![y])
}

/// The result has the scale's element type.
fn dequantize_linear(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dims = node.dims(x);
    let axis = node.attributes.int("axis")?.unwrap_or(1);
    let mut dtype = node.dtype(node.input(1)?);
    if let Some(code) = node.attributes.int("output_dtype")?.filter(|&code| code != 0) {
        dtype = crate::onnx::tensor::dtype_of(i32::try_from(code).unwrap_or(-1)).map_err(Problem::Unsupported)?;
    }
    let params = params(node, 1, 2, &dims, axis, node.dtype(x))?;
    if node.rank(params.scale) > 1 {
        refuse_blocks(node, &dims, params.scale, params.axis as usize)?;
    } else {
        node.attributes.int("block_size")?;
    }
    let y = match node.builder.narrow(x) {
        Some(Narrow::Float(_)) => scaled(node, BinaryOp::Mul, x, &params)?,
        _ => dequantize(node, x, &params)?,
    };
    Ok(vec![node.cast(dtype, y)?])
}

/// Floats of few bits times their scale, or over it; their zero point is 0 always.
fn scaled(node: &mut NodeImport<'_>, op: BinaryOp, x: ValueId, params: &Params) -> One {
    let (dims, counts) = (node.dims(x), node.dims(params.scale));
    let axis = params.axis as usize;
    let scale = match counts.len() {
        0 => params.scale,
        1 if dims.len() > 1 => {
            let mut shape = vec![1; dims.len()];
            shape[axis] = counts[0];
            node.reshape(params.scale, &shape)?
        }
        _ if counts == dims => params.scale,
        rank if rank == dims.len()
            && node.attributes.int("block_size")?.unwrap_or(0) > 0
            && node.builder.may_create(dims[axis].saturating_mul(8)) =>
        {
            let block = dims[axis].div_ceil(counts[axis].max(1)).max(1);
            let places: Vec<i64> = (0..dims[axis]).map(|place| (place / block) as i64).collect();
            let places = node.integers(&places)?;
            node.emit(Op::Gather { axis: params.axis }, &[params.scale, places])?
        }
        _ => return invalid(format!("scales of shape {counts:?} do not fit values of shape {dims:?}")),
    };
    node.binary(op, x, scale)
}

fn dynamic_quantize_linear(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    Ok(dynamically_quantized(node, x)?.to_vec())
}

/// The quantized values with scale and zero point from their range, which always includes 0.
pub(super) fn dynamically_quantized(node: &mut NodeImport<'_>, x: ValueId) -> Result<[ValueId; 3], Problem> {
    let axes: Vec<usize> = (0..node.rank(x)).collect();
    let zero = node.scalar(DType::F32, 0.0);
    let most = node.scalar(DType::F32, 255.0);
    let high = node.reduce(ReduceKind::Max, &axes, false, x)?;
    let high = node.binary(BinaryOp::Max, high, zero)?;
    let low = node.reduce(ReduceKind::Min, &axes, false, x)?;
    let low = node.binary(BinaryOp::Min, low, zero)?;
    let range = node.binary(BinaryOp::Sub, high, low)?;
    // Where all is 0 the scale is 1, as ONNX Runtime has it: a scale of 0 would make it no number.
    let nothing = node.compare(CompareOp::Eq, range, zero)?;
    let range = node.select(nothing, most, range)?;
    let scale = node.binary(BinaryOp::Div, range, most)?;
    let offset = node.binary(BinaryOp::Div, low, scale)?;
    let offset = node.binary(BinaryOp::Sub, zero, offset)?;
    let bounded = node.binary(BinaryOp::Max, offset, zero)?;
    let bounded = node.binary(BinaryOp::Min, bounded, most)?;
    let rounded = node.unary(UnaryOp::RoundEven, bounded)?;
    let point = node.cast(DType::U8, rounded)?;
    let y = quantize(node, x, &Params { scale, zero: point, axis: 0 })?;
    Ok([y, scale, point])
}

/// An `I32` bias in floats: its scale is the product of those of input and weights.
pub(super) fn dequantize_bias(node: &mut NodeImport<'_>, bias: ValueId, x: &Params, weights: &Params) -> One {
    let scale = node.binary(BinaryOp::Mul, x.scale, weights.scale)?;
    let dims = node.dims(scale);
    let zero = node.scalar(DType::I32, 0.0);
    let zero = node.broadcast(zero, &dims)?;
    let bias = node.cast(DType::I32, bias)?;
    node.emit(Op::Dequantize { axis: 0 }, &[bias, scale, zero])
}

fn conv(node: &mut NodeImport<'_>) -> Imported {
    let (x, weights) = (node.input(0)?, node.input(3)?);
    let (x_dims, weight_dims) = (node.dims(x), node.dims(weights));
    let op = convolution(node, x, weights)?;
    let x_params = params(node, 1, 2, &x_dims, 1, node.dtype(x))?;
    let weight_params = params(node, 4, 5, &weight_dims, 0, node.dtype(weights))?;
    let mut operands = vec![dequantize(node, x, &x_params)?, dequantize(node, weights, &weight_params)?];
    if let Some(bias) = node.optional(8) {
        operands.push(dequantize_bias(node, bias, &x_params, &weight_params)?);
    }
    let y = node.emit(op, &operands)?;
    let dims = node.dims(y);
    let params = params(node, 6, 7, &dims, 1, DType::U8)?;
    Ok(vec![quantize(node, y, &params)?])
}

fn matmul(node: &mut NodeImport<'_>) -> Imported {
    let (a, b) = (node.input(0)?, node.input(3)?);
    let (a_dims, b_dims) = (node.dims(a), node.dims(b));
    // One scale a row of A, one a column of B.
    let a_params = matrix_params(node, 1, &a_dims, -2, node.dtype(a))?;
    let b_params = matrix_params(node, 4, &b_dims, -1, node.dtype(b))?;
    let (a, b) = (dequantize(node, a, &a_params)?, dequantize(node, b, &b_params)?);
    let y = node.emit(Op::MatMul, &[a, b])?;
    let dims = node.dims(y);
    let params = matrix_params(node, 6, &dims, -2, DType::U8)?;
    Ok(vec![quantize(node, y, &params)?])
}

fn matrix_params(node: &mut NodeImport<'_>, scale: usize, of: &[u64], axis: i64, dtype: DType) -> Result<Params, Problem> {
    if node.rank(node.input(scale)?) > 1 {
        return unsupported("scales of rank 2 and more; one number, or one a row or column is supported");
    }
    params(node, scale, scale + 1, of, axis, dtype)
}
