//! What every scalar operation computes: the executable definition that folding, the evaluator and the tests of all backends share.

use super::{BinaryOp, CompareOp, UnaryOp};
use crate::dtype::{DType, Scalar};

/// Why an operation has no value: its operands do not fit it. Verified plans never meet it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operands do not fit the operation")]
pub struct TypeMismatch;

/// `op(x)`.
pub fn unary(op: UnaryOp, x: Scalar) -> Result<Scalar, TypeMismatch> {
    Ok(match op {
        UnaryOp::Neg => negate(x)?,
        UnaryOp::Abs => abs(x)?,
        UnaryOp::Not => match x {
            Scalar::Bool(x) => Scalar::Bool(!x),
            Scalar::I32(x) => Scalar::I32(!x),
            Scalar::U32(x) => Scalar::U32(!x),
            Scalar::I64(x) => Scalar::I64(!x),
            Scalar::U64(x) => Scalar::U64(!x),
            _ => return Err(TypeMismatch),
        },
        _ => match x {
            Scalar::F32(bits) => Scalar::f32(float_unary_f32(op, f32::from_bits(bits))),
            Scalar::F64(bits) => Scalar::f64(float_unary_f64(op, f64::from_bits(bits))),
            _ => return Err(TypeMismatch),
        },
    })
}

fn negate(x: Scalar) -> Result<Scalar, TypeMismatch> {
    Ok(match x {
        Scalar::Bool(_) => return Err(TypeMismatch),
        Scalar::I32(x) => Scalar::I32(x.wrapping_neg()),
        Scalar::U32(x) => Scalar::U32(x.wrapping_neg()),
        Scalar::I64(x) => Scalar::I64(x.wrapping_neg()),
        Scalar::U64(x) => Scalar::U64(x.wrapping_neg()),
        Scalar::F32(bits) => Scalar::f32(-f32::from_bits(bits)),
        Scalar::F64(bits) => Scalar::f64(-f64::from_bits(bits)),
    })
}

fn abs(x: Scalar) -> Result<Scalar, TypeMismatch> {
    Ok(match x {
        Scalar::Bool(_) => return Err(TypeMismatch),
        Scalar::I32(x) => Scalar::I32(x.wrapping_abs()),
        Scalar::I64(x) => Scalar::I64(x.wrapping_abs()),
        Scalar::U32(_) | Scalar::U64(_) => x,
        Scalar::F32(bits) => Scalar::f32(f32::from_bits(bits).abs()),
        Scalar::F64(bits) => Scalar::f64(f64::from_bits(bits).abs()),
    })
}

fn float_unary_f32(op: UnaryOp, x: f32) -> f32 {
    match op {
        UnaryOp::Sqrt => x.sqrt(),
        UnaryOp::RoundEven => x.round_ties_even(),
        UnaryOp::Floor => x.floor(),
        UnaryOp::Ceil => x.ceil(),
        UnaryOp::Trunc => x.trunc(),
        // The others go through binary64, so that the oracle is nearly correctly rounded.
        _ => float_unary_f64(op, f64::from(x)) as f32,
    }
}

fn float_unary_f64(op: UnaryOp, x: f64) -> f64 {
    match op {
        UnaryOp::Sqrt => x.sqrt(),
        UnaryOp::RoundEven => x.round_ties_even(),
        UnaryOp::Floor => x.floor(),
        UnaryOp::Ceil => x.ceil(),
        UnaryOp::Trunc => x.trunc(),
        UnaryOp::Exp => x.exp(),
        UnaryOp::Log => x.ln(),
        UnaryOp::Tanh => x.tanh(),
        UnaryOp::Erf => erf(x),
        UnaryOp::Sin => x.sin(),
        UnaryOp::Cos => x.cos(),
        UnaryOp::Neg => -x,
        UnaryOp::Abs => x.abs(),
        UnaryOp::Not => f64::NAN,
    }
}

/// The error function in binary64: its Maclaurin series below 2.5, else one less Laplace's continued fraction of the complement.
pub fn erf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    let a = x.abs();
    if a > 6.0 {
        return x.signum();
    }
    let value = if a < 2.5 {
        let (mut term, mut sum, mut n) = (a, a, 0.0);
        while term.abs() > 1e-18 * sum.abs() && n < 200.0 {
            n += 1.0;
            term *= -a * a / n;
            sum += term / (2.0 * n + 1.0);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    } else {
        let fraction = (1..=120).rev().fold(a, |tail, k| a + f64::from(k) / 2.0 / tail);
        1.0 - (-a * a).exp() / (fraction * std::f64::consts::PI.sqrt())
    };
    value.copysign(x)
}

macro_rules! int_binary {
    ($ty:ty, $op:expr, $x:expr, $y:expr) => {
        match $op {
            BinaryOp::Add => $x.wrapping_add($y),
            BinaryOp::Sub => $x.wrapping_sub($y),
            BinaryOp::Mul => $x.wrapping_mul($y),
            BinaryOp::Div if $y == 0 => 0,
            BinaryOp::Div => $x.wrapping_div($y),
            BinaryOp::Rem if $y == 0 => 0,
            BinaryOp::Rem => $x.wrapping_rem($y),
            BinaryOp::Min => $x.min($y),
            BinaryOp::Max => $x.max($y),
            BinaryOp::And => $x & $y,
            BinaryOp::Or => $x | $y,
            BinaryOp::Xor => $x ^ $y,
            BinaryOp::Shl => $x.wrapping_shl($y as u32),
            BinaryOp::Shr => $x.wrapping_shr($y as u32),
            BinaryOp::Pow => return Err(TypeMismatch),
        }
    };
}
macro_rules! float_binary {
    ($op:expr, $x:expr, $y:expr) => {{
        let (x, y) = ($x, $y);
        match $op {
            BinaryOp::Add => x + y,
            BinaryOp::Sub => x - y,
            BinaryOp::Mul => x * y,
            BinaryOp::Div => x / y,
            BinaryOp::Rem => x % y,
            BinaryOp::Min if y < x => y,
            BinaryOp::Min => x,
            BinaryOp::Max if x < y => y,
            BinaryOp::Max => x,
            BinaryOp::Pow => x.powf(y),
            _ => return Err(TypeMismatch),
        }
    }};
}
/// `op(x, y)`.
pub fn binary(op: BinaryOp, x: Scalar, y: Scalar) -> Result<Scalar, TypeMismatch> {
    Ok(match (x, y) {
        (Scalar::Bool(x), Scalar::Bool(y)) => Scalar::Bool(match op {
            BinaryOp::Add | BinaryOp::Or => x | y,
            BinaryOp::Mul | BinaryOp::And => x & y,
            BinaryOp::Xor => x ^ y,
            _ => return Err(TypeMismatch),
        }),
        (Scalar::I32(x), Scalar::I32(y)) => Scalar::I32(int_binary!(i32, op, x, y)),
        (Scalar::U32(x), Scalar::U32(y)) => Scalar::U32(int_binary!(u32, op, x, y)),
        (Scalar::I64(x), Scalar::I64(y)) => Scalar::I64(int_binary!(i64, op, x, y)),
        (Scalar::U64(x), Scalar::U64(y)) => Scalar::U64(int_binary!(u64, op, x, y)),
        (Scalar::F32(x), Scalar::F32(y)) => Scalar::f32(float_binary!(op, f32::from_bits(x), f32::from_bits(y))),
        (Scalar::F64(x), Scalar::F64(y)) => Scalar::f64(float_binary!(op, f64::from_bits(x), f64::from_bits(y))),
        _ => return Err(TypeMismatch),
    })
}

/// `op(x, y)` as a truth value.
pub fn compare(op: CompareOp, x: Scalar, y: Scalar) -> Result<bool, TypeMismatch> {
    fn holds<T: PartialOrd>(op: CompareOp, x: T, y: T) -> bool {
        match op {
            CompareOp::Eq => x == y,
            CompareOp::Ne => x != y,
            CompareOp::Lt => x < y,
            CompareOp::Le => x <= y,
        }
    }
    Ok(match (x, y) {
        (Scalar::Bool(x), Scalar::Bool(y)) => holds(op, x, y),
        (Scalar::I32(x), Scalar::I32(y)) => holds(op, x, y),
        (Scalar::U32(x), Scalar::U32(y)) => holds(op, x, y),
        (Scalar::I64(x), Scalar::I64(y)) => holds(op, x, y),
        (Scalar::U64(x), Scalar::U64(y)) => holds(op, x, y),
        (Scalar::F32(x), Scalar::F32(y)) => holds(op, f32::from_bits(x), f32::from_bits(y)),
        (Scalar::F64(x), Scalar::F64(y)) => holds(op, f64::from_bits(x), f64::from_bits(y)),
        _ => return Err(TypeMismatch),
    })
}

macro_rules! cast_number {
    ($to:expr, $x:expr) => {
        match $to {
            DType::Bool => Scalar::Bool($x as f64 != 0.0),
            DType::I32 => Scalar::I32($x as i32),
            DType::U32 => Scalar::U32($x as u32),
            DType::I64 => Scalar::I64($x as i64),
            DType::U64 => Scalar::U64($x as u64),
            DType::F32 => Scalar::f32($x as f32),
            DType::F64 => Scalar::f64($x as f64),
            _ => return Err(TypeMismatch),
        }
    };
}

/// Conversion to another compute type; see [`super::Expr::Cast`].
pub fn cast(to: DType, x: Scalar) -> Result<Scalar, TypeMismatch> {
    Ok(match x {
        Scalar::Bool(x) if to == DType::Bool => Scalar::Bool(x),
        Scalar::Bool(x) => cast(to, Scalar::I32(i32::from(x)))?,
        Scalar::I32(x) => cast_number!(to, x),
        Scalar::U32(x) => cast_number!(to, x),
        Scalar::I64(x) => cast_number!(to, x),
        Scalar::U64(x) => cast_number!(to, x),
        Scalar::F32(bits) => cast_number!(to, f32::from_bits(bits)),
        Scalar::F64(bits) => cast_number!(to, f64::from_bits(bits)),
    })
}

/// The same bits as another compute type of that size.
pub fn bitcast(to: DType, x: Scalar) -> Result<Scalar, TypeMismatch> {
    let bits = match x {
        Scalar::I32(x) => u64::from(x as u32),
        Scalar::U32(x) | Scalar::F32(x) => u64::from(x),
        Scalar::I64(x) => x as u64,
        Scalar::U64(x) | Scalar::F64(x) => x,
        Scalar::Bool(_) => return Err(TypeMismatch),
    };
    if x.dtype().size() != to.size() {
        return Err(TypeMismatch);
    }
    Ok(match to {
        DType::I32 => Scalar::I32(bits as u32 as i32),
        DType::U32 => Scalar::U32(bits as u32),
        DType::F32 => Scalar::F32(bits as u32),
        DType::I64 => Scalar::I64(bits as i64),
        DType::U64 => Scalar::U64(bits),
        DType::F64 => Scalar::F64(bits),
        _ => return Err(TypeMismatch),
    })
}

/// `saturate_i32(round_half_even(value * multiplier / 2^shift))`; see [`super::Expr::Requantize`].
pub fn requantize(value: i32, multiplier: i32, shift: u8) -> i32 {
    let shift = u32::from(shift.clamp(1, 62));
    let t = i64::from(value) * i64::from(multiplier);
    let rounded = t.wrapping_add((1i64 << (shift - 1)) - 1 + ((t >> shift) & 1)) >> shift;
    rounded.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

/// A binary16 as a binary32, exactly.
pub fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let exponent = u32::from(bits >> 10) & 0x1f;
    let mantissa = u32::from(bits & 0x3ff);
    match exponent {
        0 => f32::from_bits(sign | (mantissa as f32 * 2f32.powi(-24)).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | mantissa << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | mantissa << 13),
    }
}

/// A binary32 rounded to the nearest binary16, ties to even.
pub fn f32_to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00 | (magnitude >> 13 & 0x3ff) as u16;
    }
    if magnitude >= 0x477f_f000 {
        return sign | 0x7c00;
    }
    if magnitude < 0x3880_0000 {
        // Subnormal: adding 2^-1 leaves the rounded result in the low bits of the sum.
        let sum = f32::from_bits(magnitude) + 0.5;
        return sign | (sum.to_bits() - 0.5f32.to_bits()) as u16;
    }
    let rounded = magnitude + 0xfff + (magnitude >> 13 & 1) - (112 << 23);
    sign | (rounded >> 13) as u16
}

/// A binary32 rounded to the nearest bfloat16, ties to even.
pub fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// The element of a type at these little-endian bytes, widened to its compute type. The slice holds at least one element.
pub fn load(dtype: DType, bytes: &[u8]) -> Scalar {
    let word = |n: usize| -> [u8; 8] {
        let mut word = [0; 8];
        word[..n].copy_from_slice(&bytes[..n]);
        word
    };
    match dtype {
        DType::Bool => Scalar::Bool(bytes[0] != 0),
        DType::U8 => Scalar::I32(i32::from(bytes[0])),
        DType::I8 => Scalar::I32(i32::from(bytes[0] as i8)),
        DType::U16 => Scalar::I32(i32::from(u16::from_le_bytes([bytes[0], bytes[1]]))),
        DType::I16 => Scalar::I32(i32::from(i16::from_le_bytes([bytes[0], bytes[1]]))),
        DType::F16 => Scalar::f32(f16_to_f32(u16::from_le_bytes([bytes[0], bytes[1]]))),
        DType::BF16 => Scalar::F32(u32::from(u16::from_le_bytes([bytes[0], bytes[1]])) << 16),
        DType::U32 => Scalar::U32(u64::from_le_bytes(word(4)) as u32),
        DType::I32 => Scalar::I32(u64::from_le_bytes(word(4)) as u32 as i32),
        DType::F32 => Scalar::F32(u64::from_le_bytes(word(4)) as u32),
        DType::U64 => Scalar::U64(u64::from_le_bytes(word(8))),
        DType::I64 => Scalar::I64(u64::from_le_bytes(word(8)) as i64),
        DType::F64 => Scalar::F64(u64::from_le_bytes(word(8))),
    }
}

/// Writes a value of the compute type of `dtype` as one element; narrow integers keep the low bits. The slice holds at least one element.
pub fn store(dtype: DType, value: Scalar, bytes: &mut [u8]) -> Result<(), TypeMismatch> {
    if value.dtype() != dtype.compute() {
        return Err(TypeMismatch);
    }
    let narrow_float = |convert: fn(f32) -> u16, bits: u32| u64::from(convert(f32::from_bits(bits)));
    let word = match (dtype, value) {
        (DType::F16, Scalar::F32(bits)) => narrow_float(f32_to_f16, bits),
        (DType::BF16, Scalar::F32(bits)) => narrow_float(f32_to_bf16, bits),
        (_, Scalar::Bool(x)) => u64::from(x),
        (_, Scalar::I32(x)) => x as u64,
        (_, Scalar::U32(x) | Scalar::F32(x)) => u64::from(x),
        (_, Scalar::I64(x)) => x as u64,
        (_, Scalar::U64(x) | Scalar::F64(x)) => x,
    };
    bytes[..dtype.size()].copy_from_slice(&word.to_le_bytes()[..dtype.size()]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_matches_published_values() {
        // Abramowitz and Stegun, table 7.1.
        for (x, expected) in [(0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (2.0, 0.995_322_265_0), (3.0, 0.999_977_909_5)] {
            assert!((erf(x) - expected).abs() < 1e-10, "erf({x}) = {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
    }

    #[test]
    fn requantize_rounds_half_to_even() {
        assert_eq!(requantize(1, 1 << 30, 31), 0);
        assert_eq!(requantize(3, 1 << 30, 31), 2);
        assert_eq!(requantize(-1, 1 << 30, 31), 0);
        assert_eq!(requantize(-3, 1 << 30, 31), -2);
        assert_eq!(requantize(i32::MIN, i32::MAX, 1), i32::MIN);
        assert_eq!(requantize(100, 1 << 30, 32), 25);
    }

    #[test]
    fn every_binary16_round_trips() {
        for bits in 0..=u16::MAX {
            let value = f16_to_f32(bits);
            let back = f32_to_f16(value);
            assert!(back == bits || value.is_nan(), "{bits:#06x} -> {value} -> {back:#06x}");
        }
        assert_eq!(f32_to_f16(65519.0), 0x7bff);
        assert_eq!(f32_to_f16(65520.0), 0x7c00);
        assert_eq!(f32_to_f16(2f32.powi(-25)), 0);
        assert_eq!(f32_to_f16(1.5 * 2f32.powi(-25)), 1);
    }

    #[test]
    fn nan_stays_in_the_first_operand_of_min_and_max() {
        let nan = Scalar::f32(f32::NAN);
        assert_eq!(binary(BinaryOp::Max, nan, Scalar::f32(0.0)), Ok(nan));
        assert_eq!(binary(BinaryOp::Min, Scalar::f32(0.0), nan), Ok(Scalar::f32(0.0)));
    }

    #[test]
    fn division_by_zero_is_zero() {
        assert_eq!(binary(BinaryOp::Div, Scalar::I32(7), Scalar::I32(0)), Ok(Scalar::I32(0)));
        assert_eq!(binary(BinaryOp::Rem, Scalar::I64(7), Scalar::I64(0)), Ok(Scalar::I64(0)));
        assert_eq!(binary(BinaryOp::Div, Scalar::I32(i32::MIN), Scalar::I32(-1)), Ok(Scalar::I32(i32::MIN)));
    }
}
