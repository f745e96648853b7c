//! Maps of one, two or many operands that are one operation of the graph or a few.

use super::Row;
use super::narrowing::{Rounding, narrowed};
use crate::onnx::narrow::Narrow;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use mlp_graph::op::{BinaryOp, CompareOp, UnaryOp};
use mlp_graph::{DType, Op, Tensor, ValueId};

pub(super) const TABLE: &[Row] = &[
    ("", "Neg", |node| unary(node, UnaryOp::Neg)),
    ("", "Abs", abs),
    ("", "Sqrt", |node| unary(node, UnaryOp::Sqrt)),
    ("", "Exp", |node| unary(node, UnaryOp::Exp)),
    ("", "Log", |node| unary(node, UnaryOp::Log)),
    ("", "Tanh", |node| unary(node, UnaryOp::Tanh)),
    ("", "Erf", |node| unary(node, UnaryOp::Erf)),
    ("", "Sin", |node| unary(node, UnaryOp::Sin)),
    ("", "Cos", |node| unary(node, UnaryOp::Cos)),
    ("", "Floor", |node| unary(node, UnaryOp::Floor)),
    ("", "Ceil", |node| unary(node, UnaryOp::Ceil)),
    ("", "Round", |node| unary(node, UnaryOp::RoundEven)),
    ("", "Reciprocal", reciprocal),
    ("", "Add", |node| binary(node, BinaryOp::Add)),
    ("", "Sub", |node| binary(node, BinaryOp::Sub)),
    ("", "Mul", |node| binary(node, BinaryOp::Mul)),
    ("", "Div", |node| binary(node, BinaryOp::Div)),
    ("", "Pow", pow),
    ("", "Mod", modulo),
    ("", "BitwiseAnd", |node| binary(node, BinaryOp::And)),
    ("", "BitwiseOr", |node| binary(node, BinaryOp::Or)),
    ("", "BitwiseXor", |node| binary(node, BinaryOp::Xor)),
    ("", "BitwiseNot", |node| unary(node, UnaryOp::Not)),
    ("", "BitShift", shift),
    ("", "Sum", |node| variadic(node, BinaryOp::Add)),
    ("", "Max", |node| variadic(node, BinaryOp::Max)),
    ("", "Min", |node| variadic(node, BinaryOp::Min)),
    ("", "Mean", mean),
    ("", "Clip", clip),
    ("", "Cast", cast),
    ("", "CastLike", cast_like),
];

fn unary(node: &mut NodeImport<'_>, op: UnaryOp) -> Imported {
    let x = node.input(0)?;
    Ok(vec![node.unary(op, x)?])
}

/// Of an unsigned integer, itself.
fn abs(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dtype = node.dtype(x);
    if dtype.is_int() && !dtype.is_signed_int() {
        return Ok(vec![x]);
    }
    unary(node, UnaryOp::Abs)
}

fn reciprocal(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let one = node.scalar(node.dtype(x), 1.0);
    Ok(vec![node.binary(BinaryOp::Div, one, x)?])
}

fn binary(node: &mut NodeImport<'_>, op: BinaryOp) -> Imported {
    let (x, y) = operands(node)?;
    Ok(vec![node.binary(op, x, y)?])
}

/// The two operands of a map. Before operator set 7 the second is aligned where `axis` says, not at the last axis.
pub(super) fn operands(node: &mut NodeImport<'_>) -> Result<(ValueId, ValueId), Problem> {
    let (x, y) = (node.input(0)?, node.input(1)?);
    if node.opset >= 7 {
        return Ok((x, y));
    }
    node.attributes.int("broadcast")?;
    let Some(axis) = node.attributes.int("axis")? else { return Ok((x, y)) };
    let (rank, mut dims) = (node.rank(x), node.dims(y));
    let axis = node.axis(axis, rank)?;
    if axis + dims.len() > rank {
        return invalid(format!("an operand of rank {} does not fit at axis {axis} of one of rank {rank}", dims.len()));
    }
    dims.resize(rank - axis, 1);
    Ok((x, node.reshape(y, &dims)?))
}

/// The exponent may have another type; integer powers are computed in `F64`, which is exact up to 2^53.
fn pow(node: &mut NodeImport<'_>) -> Imported {
    let (x, y) = operands(node)?;
    let dtype = node.dtype(x);
    if node.known_float(y) == Some(2.0) && dtype.is_float() && node.dims(y).len() <= node.dims(x).len() {
        return Ok(vec![node.binary(BinaryOp::Mul, x, x)?]);
    }
    if dtype.is_int() && node.dtype(y).is_int() {
        return Ok(vec![whole_power(node, x, y)?]);
    }
    let computed = if dtype.is_float() { dtype } else { DType::F64 };
    let (base, exponent) = (node.cast(computed, x)?, node.cast(computed, y)?);
    let power = node.binary(BinaryOp::Pow, base, exponent)?;
    Ok(vec![node.cast(dtype, power)?])
}

/// A power of whole numbers, which wraps as products do: squares of the base, multiplied where the exponent has a bit. What a negative exponent gives is
/// rounded towards 0, so that it is 0 but for a base of 1 or -1.
fn whole_power(node: &mut NodeImport<'_>, x: ValueId, exponent: ValueId) -> One {
    let counts = node.dtype(exponent);
    let (zero, one) = (node.scalar(counts, 0.0), node.scalar(counts, 1.0));
    let odd = node.binary(BinaryOp::And, exponent, one)?;
    let sign = node.select_bit(odd, x)?;
    let (mut power, mut square) = (sign, x);
    let greatest = node.builder.known(exponent).and_then(Tensor::to_i64).and_then(|known| known.into_iter().max());
    let bits = match greatest {
        Some(greatest @ 0..) => 64 - greatest.leading_zeros() as usize,
        _ => counts.size() * 8 - usize::from(counts.is_signed_int()),
    };
    for bit in 1..bits {
        square = node.binary(BinaryOp::Mul, square, square)?;
        let shifted = node.with_number(BinaryOp::Shr, exponent, bit as f64)?;
        let set = node.binary(BinaryOp::And, shifted, one)?;
        let factor = node.select_bit(set, square)?;
        power = node.binary(BinaryOp::Mul, power, factor)?;
    }
    if !counts.is_signed_int() {
        return Ok(power);
    }
    let dtype = node.dtype(x);
    let (none, unit) = (node.scalar(dtype, 0.0), node.scalar(dtype, 1.0));
    let is_unit = node.compare(CompareOp::Eq, x, unit)?;
    let mut inverse = node.select(is_unit, unit, none)?;
    if dtype.is_signed_int() {
        let least = node.scalar(dtype, -1.0);
        let is_least = node.compare(CompareOp::Eq, x, least)?;
        inverse = node.select(is_least, sign, inverse)?;
    }
    let negative = node.compare(CompareOp::Lt, exponent, zero)?;
    node.select(negative, inverse, power)
}

/// With `fmod` a remainder has the sign of the dividend, as the graph's; without it that of the divisor.
fn modulo(node: &mut NodeImport<'_>) -> Imported {
    let fmod = node.attributes.int("fmod")?.unwrap_or(0) != 0;
    let (x, y) = (node.input(0)?, node.input(1)?);
    let dtype = node.dtype(x);
    let mut remainder = node.binary(BinaryOp::Rem, x, y)?;
    let unbounded = if matches!(dtype, DType::F16 | DType::BF16 | DType::F32) { Some(by_infinity(node, x, y)?) } else { None };
    if let Some(unbounded) = unbounded {
        remainder = node.select(unbounded, x, remainder)?;
    }
    if fmod || (dtype.is_int() && !dtype.is_signed_int()) {
        return Ok(vec![remainder]);
    }
    let zero = node.scalar(dtype, 0.0);
    let negative = node.compare(CompareOp::Lt, remainder, zero)?;
    let wanted = node.compare(CompareOp::Lt, y, zero)?;
    let turned = node.compare(CompareOp::Ne, negative, wanted)?;
    let something = node.compare(CompareOp::Ne, remainder, zero)?;
    let off = node.binary(BinaryOp::Mul, turned, something)?;
    let mut moved = node.binary(BinaryOp::Add, remainder, y)?;
    if let Some(unbounded) = unbounded {
        moved = node.select(unbounded, y, moved)?;
    }
    Ok(vec![node.select(off, moved, remainder)?])
}

/// Whether a number is divided by an infinity, told by their bits: shader compilers may take floats for finite.
fn by_infinity(node: &mut NodeImport<'_>, x: ValueId, y: ValueId) -> One {
    let infinity = node.scalar(DType::I32, f64::from(f32::INFINITY.to_bits()));
    let magnitude = |node: &mut NodeImport<'_>, value: ValueId| -> One {
        let value = node.cast(DType::F32, value)?;
        let bits = node.emit(Op::Bitcast(DType::I32), &[value])?;
        node.with_number(BinaryOp::And, bits, f64::from(i32::MAX))
    };
    let (x, y) = (magnitude(node, x)?, magnitude(node, y)?);
    let (finite, infinite) = (node.compare(CompareOp::Lt, x, infinity)?, node.compare(CompareOp::Eq, y, infinity)?);
    node.binary(BinaryOp::Mul, finite, infinite)
}

/// A count that is negative or not below the width shifts everything out.
fn shift(node: &mut NodeImport<'_>) -> Imported {
    let (x, count) = (node.input(0)?, node.input(1)?);
    let dtype = node.dtype(x);
    let zero = node.scalar(dtype, 0.0);
    let last = node.scalar(dtype, dtype.size() as f64 * 8.0 - 1.0);
    let (shifted, out) = match node.attributes.string("direction")? {
        Some("LEFT") => (node.binary(BinaryOp::Shl, x, count)?, zero),
        Some("RIGHT") if dtype.is_signed_int() => (node.binary(BinaryOp::Shr, x, count)?, node.binary(BinaryOp::Shr, x, last)?),
        Some("RIGHT") => (node.binary(BinaryOp::Shr, x, count)?, zero),
        other => return invalid(format!("direction is {other:?}")),
    };
    let above = node.compare(CompareOp::Le, zero, count)?;
    let below = node.compare(CompareOp::Le, count, last)?;
    let inside = node.binary(BinaryOp::Mul, above, below)?;
    Ok(vec![node.select(inside, shifted, out)?])
}

/// All operands combined from the left.
fn combine(node: &mut NodeImport<'_>, op: BinaryOp) -> One {
    let inputs = node.all_inputs()?;
    let mut result = inputs[0];
    for &next in &inputs[1..] {
        result = node.binary(op, result, next)?;
    }
    Ok(result)
}

fn variadic(node: &mut NodeImport<'_>, op: BinaryOp) -> Imported {
    Ok(vec![combine(node, op)?])
}

fn mean(node: &mut NodeImport<'_>) -> Imported {
    let count = node.inputs.len();
    let sum = combine(node, BinaryOp::Add)?;
    let count = node.scalar(node.dtype(sum), count as f64);
    Ok(vec![node.binary(BinaryOp::Div, sum, count)?])
}

/// Bounds are attributes up to operator set 10, and inputs from then on.
fn clip(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dtype = node.dtype(x);
    let (low, high) = if node.opset < 11 {
        let (low, high) = (node.attributes.float("min")?, node.attributes.float("max")?);
        (low.map(|low| node.scalar(dtype, f64::from(low))), high.map(|high| node.scalar(dtype, f64::from(high))))
    } else {
        let (low, high) = (node.optional(1), node.optional(2));
        (low.map(|low| node.as_scalar(low, "min")).transpose()?, high.map(|high| node.as_scalar(high, "max")).transpose()?)
    };
    let bounded = low.map_or(Ok(x), |low| node.binary(BinaryOp::Max, x, low))?;
    Ok(vec![high.map_or(Ok(bounded), |high| node.binary(BinaryOp::Min, bounded, high))?])
}

fn cast(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let rounding = Rounding::of(node)?;
    let Some(code) = node.attributes.int("to")? else { return invalid("attribute `to` is missing") };
    let code = i32::try_from(code).map_err(|_| format!("attribute `to` is {code}"))?;
    if let Some(narrow) = Narrow::of(code) {
        return Ok(vec![narrowed(node, narrow, x, rounding)?]);
    }
    match crate::onnx::tensor::dtype_of(code) {
        Ok(dtype) => Ok(vec![node.cast_plainly(dtype, x)?]),
        Err(detail) => unsupported(detail),
    }
}

fn cast_like(node: &mut NodeImport<'_>) -> Imported {
    let (x, like) = (node.input(0)?, node.input(1)?);
    let rounding = Rounding::of(node)?;
    if let Some(narrow) = node.builder.narrow(like) {
        return Ok(vec![narrowed(node, narrow, x, rounding)?]);
    }
    let dtype = node.dtype(like);
    Ok(vec![node.cast_plainly(dtype, x)?])
}
