//! Values rounded to element types of few bits. All of it is arithmetic on whole numbers, the bits of `F32`, so that every backend finds the same.

use crate::onnx::narrow::{Float, Narrow};
use crate::onnx::node::{NodeImport, One, Problem, invalid, unsupported};
use mlp_graph::op::{BinaryOp, CompareOp, UnaryOp};
use mlp_graph::{DType, Op, ValueId};

/// How values become floats of few bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rounding {
    /// What is too large becomes the greatest value, rather than an infinity or NaN.
    pub(super) saturate: bool,
    /// To which of two powers of two a value between them goes; other floats round to the nearest.
    powers: Powers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Powers {
    Up,
    Down,
    Nearest,
}

impl Rounding {
    /// What the attributes of a node say.
    pub(super) fn of(node: &NodeImport<'_>) -> Result<Rounding, Problem> {
        let saturate = node.attributes.int("saturate")?.unwrap_or(1) != 0;
        let powers = match node.attributes.string("round_mode")? {
            None | Some("up") => Powers::Up,
            Some("down") => Powers::Down,
            Some("nearest") => Powers::Nearest,
            Some(other) => return invalid(format!("round_mode is `{other}`")),
        };
        Ok(Rounding { saturate, powers })
    }
}

/// A cast to an element type of few bits.
pub(super) fn narrowed(node: &mut NodeImport<'_>, narrow: Narrow, x: ValueId, rounding: Rounding) -> One {
    if node.builder.narrow(x) == Some(narrow) {
        return Ok(x);
    }
    let y = match narrow {
        Narrow::Integer { bits, signed } => low_bits(node, bits, signed, x)?,
        // Halves that are between two values as doubles may not be as single floats.
        Narrow::Float(_) if node.dtype(x) == DType::F64 => {
            return unsupported("a cast from double to floats of eight bits and fewer; cast to float first");
        }
        Narrow::Float(Float::E8M0) => power_of_two(node, x, rounding)?,
        Narrow::Float(float) => nearest(node, float, x, rounding.saturate)?,
    };
    node.builder.mark_narrow(y, narrow);
    Ok(y)
}

/// Integers keep their lowest bits.
fn low_bits(node: &mut NodeImport<'_>, bits: u32, signed: bool, x: ValueId) -> One {
    let x = node.cast(DType::I32, x)?;
    let mut y = node.with_number(BinaryOp::And, x, f64::from((1i32 << bits) - 1))?;
    if signed {
        // The upper half of the codes are the negative numbers.
        let half = f64::from(1i32 << (bits - 1));
        y = node.with_number(BinaryOp::Xor, y, half)?;
        y = node.with_number(BinaryOp::Sub, y, half)?;
    }
    node.cast(if signed { DType::I8 } else { DType::U8 }, y)
}

const INFINITY: i32 = 0x7f80_0000;
const NAN: i32 = 0x7fc0_0000;
const MANTISSA: i32 = 0x007f_ffff;

/// The bits of the magnitude of `x`, and those of its sign.
fn parts(node: &mut NodeImport<'_>, x: ValueId) -> Result<(ValueId, ValueId), Problem> {
    let x = node.cast(DType::F32, x)?;
    let bits = node.emit(Op::Bitcast(DType::I32), &[x])?;
    Ok((node.with_number(BinaryOp::And, bits, f64::from(i32::MAX))?, node.with_number(BinaryOp::And, bits, f64::from(i32::MIN))?))
}

fn number(node: &mut NodeImport<'_>, number: i32) -> ValueId {
    node.scalar(DType::I32, f64::from(number))
}

/// The nearest value of a float type, the even one of two: <https://onnx.ai/onnx/technical/float8.html>, and `float4.html` beside it.
fn nearest(node: &mut NodeImport<'_>, float: Float, x: ValueId, saturate: bool) -> One {
    let (mantissa_bits, bias, greatest) = float.layout();
    let greatest = greatest.to_bits() as i32;
    let (size, sign) = parts(node, x)?;
    let cut = f64::from(23 - mantissa_bits);
    let odd = node.with_number(BinaryOp::Shr, size, cut)?;
    let odd = node.with_number(BinaryOp::And, odd, 1.0)?;
    let rounded = node.with_number(BinaryOp::Add, size, f64::from((1i32 << (22 - mantissa_bits)) - 1))?;
    let rounded = node.binary(BinaryOp::Add, rounded, odd)?;
    let rounded = node.with_number(BinaryOp::Shr, rounded, cut)?;
    let rounded = node.with_number(BinaryOp::Shl, rounded, cut)?;

    // Below the least exponent all values are as far apart.
    let step = 2f64.powi(bias - 1 + mantissa_bits);
    let small = node.emit(Op::Bitcast(DType::F32), &[size])?;
    let small = node.with_number(BinaryOp::Mul, small, step)?;
    let small = node.unary(UnaryOp::RoundEven, small)?;
    let small = node.with_number(BinaryOp::Mul, small, 1.0 / step)?;
    let small = node.emit(Op::Bitcast(DType::I32), &[small])?;
    let least = number(node, (128 - bias) << 23);
    let is_small = node.compare(CompareOp::Lt, size, least)?;
    let rounded = node.select(is_small, small, rounded)?;

    let most = number(node, greatest);
    let above = number(
        node,
        match float {
            _ if saturate => greatest,
            Float::E2M1 => greatest,
            Float::E5M2 => INFINITY,
            _ => NAN,
        },
    );
    let is_above = node.compare(CompareOp::Lt, most, rounded)?;
    let bounded = node.select(is_above, above, rounded)?;
    // Four bits have no NaN. ONNX's page makes it 6, its test cases and `ml_dtypes` make it 0.
    let none = number(node, if float == Float::E2M1 { 0 } else { NAN });
    let infinity = number(node, INFINITY);
    let is_nan = node.compare(CompareOp::Lt, infinity, size)?;
    let bounded = node.select(is_nan, none, bounded)?;
    let signed = node.binary(BinaryOp::Or, bounded, sign)?;
    let signed = if matches!(float, Float::E4M3FnUz | Float::E5M2FnUz) {
        // These have one zero.
        let zero = number(node, 0);
        let is_zero = node.compare(CompareOp::Eq, bounded, zero)?;
        node.select(is_zero, zero, signed)?
    } else {
        signed
    };
    node.emit(Op::Bitcast(DType::F32), &[signed])
}

/// The magnitude as a power of two; 0 becomes the least one, and what is not finite NaN.
fn power_of_two(node: &mut NodeImport<'_>, x: ValueId, rounding: Rounding) -> One {
    let (size, _) = parts(node, x)?;
    let exponent = node.with_number(BinaryOp::Shr, size, 23.0)?;
    let fraction = node.with_number(BinaryOp::And, size, f64::from(MANTISSA))?;
    let half = 1 << 22;
    let zero = number(node, 0);
    let up = match rounding.powers {
        Powers::Down => None,
        Powers::Up => Some(node.compare(CompareOp::Lt, zero, fraction)?),
        Powers::Nearest => {
            // Half way goes up, but from the least power.
            let (least, others) = (number(node, half), number(node, half - 1));
            let is_least = node.compare(CompareOp::Eq, exponent, zero)?;
            let bound = node.select(is_least, least, others)?;
            Some(node.compare(CompareOp::Lt, bound, fraction)?)
        }
    };
    let mut power = exponent;
    if let Some(up) = up {
        let up = node.cast(DType::I32, up)?;
        power = node.binary(BinaryOp::Add, exponent, up)?;
        if rounding.saturate {
            power = node.with_number(BinaryOp::Min, power, 254.0)?;
        }
    }
    let bits = node.with_number(BinaryOp::Shl, power, 23.0)?;
    // The least power lies below what has an exponent of its own.
    let least = number(node, half);
    let is_least = node.compare(CompareOp::Eq, power, zero)?;
    let bits = node.select(is_least, least, bits)?;
    let (none, finite) = (number(node, NAN), number(node, INFINITY - 1));
    let is_beyond = node.compare(CompareOp::Lt, finite, bits)?;
    let bits = node.select(is_beyond, none, bits)?;
    let is_none = node.compare(CompareOp::Lt, finite, size)?;
    let bits = node.select(is_none, none, bits)?;
    node.emit(Op::Bitcast(DType::F32), &[bits])
}
