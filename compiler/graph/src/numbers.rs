//! Elements in their compute type, and the scalar functions of the maps: the arithmetic of the reference interpreter.
//!
//! Narrow integers and floats are widened by [`Elements::load`] and narrowed by [`Elements::store`], as every backend does; integers wrap.

use crate::op::{BinaryOp, CompareOp, UnaryOp};
use crate::tensor::{Element, Tensor};
use half::{bf16, f16};
use mlp_bundle::DType;

/// The elements of a tensor in their compute type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Elements {
    Bool(Vec<bool>),
    I32(Vec<i32>),
    U32(Vec<u32>),
    I64(Vec<i64>),
    U64(Vec<u64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

fn read<T: Element, U>(tensor: &Tensor, convert: impl Fn(T) -> U) -> Vec<U> {
    tensor.bytes().chunks_exact(size_of::<T>()).map(|bytes| convert(T::read(bytes))).collect()
}

fn write<T: Copy, U: Element>(shape: &[u64], values: &[T], convert: impl Fn(T) -> U) -> Tensor {
    let mut bytes = vec![0; values.len() * size_of::<U>()];
    bytes.chunks_exact_mut(size_of::<U>()).zip(values).for_each(|(bytes, &value)| convert(value).put(bytes));
    Tensor::new(U::DTYPE, shape.to_vec(), bytes).expect("a result has as many elements as its shape")
}

impl Elements {
    /// Widens the elements of a tensor.
    pub(crate) fn load(tensor: &Tensor) -> Elements {
        match tensor.dtype() {
            DType::Bool => Elements::Bool(read(tensor, |value: bool| value)),
            DType::U8 => Elements::I32(read(tensor, |value: u8| value.into())),
            DType::I8 => Elements::I32(read(tensor, |value: i8| value.into())),
            DType::U16 => Elements::I32(read(tensor, |value: u16| value.into())),
            DType::I16 => Elements::I32(read(tensor, |value: i16| value.into())),
            DType::U32 => Elements::U32(read(tensor, |value| value)),
            DType::I32 => Elements::I32(read(tensor, |value| value)),
            DType::U64 => Elements::U64(read(tensor, |value| value)),
            DType::I64 => Elements::I64(read(tensor, |value| value)),
            DType::F16 => Elements::F32(read(tensor, |value: f16| value.into())),
            DType::BF16 => Elements::F32(read(tensor, |value: bf16| value.into())),
            DType::F32 => Elements::F32(read(tensor, |value| value)),
            DType::F64 => Elements::F64(read(tensor, |value| value)),
        }
    }

    /// Narrows the elements: integers keep their low bits, floats round to nearest even.
    ///
    /// `dtype` must have these elements as its compute type, and `shape` as many of them.
    pub(crate) fn store(&self, dtype: DType, shape: &[u64]) -> Tensor {
        match (self, dtype) {
            (Elements::Bool(values), DType::Bool) => write(shape, values, |value| value),
            (Elements::I32(values), DType::U8) => write(shape, values, |value| value as u8),
            (Elements::I32(values), DType::I8) => write(shape, values, |value| value as i8),
            (Elements::I32(values), DType::U16) => write(shape, values, |value| value as u16),
            (Elements::I32(values), DType::I16) => write(shape, values, |value| value as i16),
            (Elements::I32(values), DType::I32) => write(shape, values, |value| value),
            (Elements::U32(values), DType::U32) => write(shape, values, |value| value),
            (Elements::I64(values), DType::I64) => write(shape, values, |value| value),
            (Elements::U64(values), DType::U64) => write(shape, values, |value| value),
            (Elements::F32(values), DType::F16) => write(shape, values, f16::from_f32),
            (Elements::F32(values), DType::BF16) => write(shape, values, bf16::from_f32),
            (Elements::F32(values), DType::F32) => write(shape, values, |value| value),
            (Elements::F64(values), DType::F64) => write(shape, values, |value| value),
            (_, dtype) => unreachable!("{dtype} has another compute type"),
        }
    }

    /// Floats as `f64`, for contractions and reductions; none of integers.
    pub(crate) fn floats(tensor: &Tensor) -> Option<Vec<f64>> {
        tensor.dtype().is_float().then(|| tensor.to_f64())
    }

    /// `values` rounded once to a float type.
    pub(crate) fn from_floats(dtype: DType, values: Vec<f64>) -> Elements {
        match dtype.compute() {
            DType::F64 => Elements::F64(values),
            _ => Elements::F32(values.into_iter().map(|value| value as f32).collect()),
        }
    }

    /// The low bits of `values` in an integer type.
    pub(crate) fn from_ints(dtype: DType, values: Vec<i64>) -> Elements {
        match dtype.compute() {
            DType::I32 => Elements::I32(values.into_iter().map(|value| value as i32).collect()),
            DType::U32 => Elements::U32(values.into_iter().map(|value| value as u32).collect()),
            DType::U64 => Elements::U64(values.into_iter().map(|value| value as u64).collect()),
            _ => Elements::I64(values),
        }
    }

    /// Applies a function of one operand.
    pub(crate) fn unary(self, op: UnaryOp) -> Elements {
        fn each<T: Number>(values: Vec<T>, op: UnaryOp) -> Vec<T> {
            values.into_iter().map(|value| value.unary(op)).collect()
        }
        match self {
            Elements::Bool(values) => Elements::Bool(values.into_iter().map(|value| !value).collect()),
            Elements::I32(values) => Elements::I32(each(values, op)),
            Elements::U32(values) => Elements::U32(each(values, op)),
            Elements::I64(values) => Elements::I64(each(values, op)),
            Elements::U64(values) => Elements::U64(each(values, op)),
            Elements::F32(values) => Elements::F32(each(values, op)),
            Elements::F64(values) => Elements::F64(each(values, op)),
        }
    }

    /// Applies a function of two operands of one type and length.
    pub(crate) fn binary(self, op: BinaryOp, other: Elements) -> Elements {
        fn each<T: Number>(left: Vec<T>, right: Vec<T>, op: BinaryOp) -> Vec<T> {
            left.into_iter().zip(right).map(|(a, b)| a.binary(op, b)).collect()
        }
        let truth = |a: bool, b: bool| match op {
            BinaryOp::Add | BinaryOp::Or => a | b,
            BinaryOp::Mul | BinaryOp::And => a & b,
            _ => a ^ b,
        };
        match (self, other) {
            (Elements::Bool(a), Elements::Bool(b)) => Elements::Bool(a.into_iter().zip(b).map(|(a, b)| truth(a, b)).collect()),
            (Elements::I32(a), Elements::I32(b)) => Elements::I32(each(a, b, op)),
            (Elements::U32(a), Elements::U32(b)) => Elements::U32(each(a, b, op)),
            (Elements::I64(a), Elements::I64(b)) => Elements::I64(each(a, b, op)),
            (Elements::U64(a), Elements::U64(b)) => Elements::U64(each(a, b, op)),
            (Elements::F32(a), Elements::F32(b)) => Elements::F32(each(a, b, op)),
            (Elements::F64(a), Elements::F64(b)) => Elements::F64(each(a, b, op)),
            _ => unreachable!("operands of one element type"),
        }
    }

    /// Compares two operands of one type and length.
    pub(crate) fn compare(&self, op: CompareOp, other: &Elements) -> Elements {
        fn each<T: PartialOrd>(left: &[T], right: &[T], op: CompareOp) -> Vec<bool> {
            let holds = |(a, b): (&T, &T)| match op {
                CompareOp::Eq => a == b,
                CompareOp::Ne => a != b,
                CompareOp::Lt => a < b,
                CompareOp::Le => a <= b,
            };
            left.iter().zip(right).map(holds).collect()
        }
        Elements::Bool(match (self, other) {
            (Elements::Bool(a), Elements::Bool(b)) => each(a, b, op),
            (Elements::I32(a), Elements::I32(b)) => each(a, b, op),
            (Elements::U32(a), Elements::U32(b)) => each(a, b, op),
            (Elements::I64(a), Elements::I64(b)) => each(a, b, op),
            (Elements::U64(a), Elements::U64(b)) => each(a, b, op),
            (Elements::F32(a), Elements::F32(b)) => each(a, b, op),
            (Elements::F64(a), Elements::F64(b)) => each(a, b, op),
            _ => unreachable!("operands of one element type"),
        })
    }

    /// Converts to a compute type, as `loops::Expr::Cast` does.
    pub(crate) fn cast(&self, to: DType) -> Elements {
        macro_rules! numbers {
            ($values:expr) => {
                match to {
                    DType::Bool => Elements::Bool($values.iter().map(|&value| is_set(value)).collect()),
                    DType::I32 => Elements::I32($values.iter().map(|&value| value as i32).collect()),
                    DType::U32 => Elements::U32($values.iter().map(|&value| value as u32).collect()),
                    DType::I64 => Elements::I64($values.iter().map(|&value| value as i64).collect()),
                    DType::U64 => Elements::U64($values.iter().map(|&value| value as u64).collect()),
                    DType::F64 => Elements::F64($values.iter().map(|&value| value as f64).collect()),
                    _ => Elements::F32($values.iter().map(|&value| value as f32).collect()),
                }
            };
        }
        match self {
            Elements::Bool(values) => numbers!(values.iter().map(|&value| i32::from(value)).collect::<Vec<i32>>()),
            Elements::I32(values) => numbers!(values),
            Elements::U32(values) => numbers!(values),
            Elements::I64(values) => numbers!(values),
            Elements::U64(values) => numbers!(values),
            Elements::F32(values) => numbers!(values),
            Elements::F64(values) => numbers!(values),
        }
    }
}

/// `value != 0`.
fn is_set<T: Default + PartialEq>(value: T) -> bool {
    value != T::default()
}

/// A compute type that is not `Bool`.
pub(crate) trait Number: Copy + PartialOrd {
    /// A function of one operand.
    fn unary(self, op: UnaryOp) -> Self;
    /// A function of two operands.
    fn binary(self, op: BinaryOp, other: Self) -> Self;
}

/// `if b < a { b } else { a }`.
fn least<T: PartialOrd>(a: T, b: T) -> T {
    if b < a { b } else { a }
}

/// `if a < b { b } else { a }`.
fn greatest<T: PartialOrd>(a: T, b: T) -> T {
    if a < b { b } else { a }
}

macro_rules! integers {
    ($($t:ty, $abs:expr;)*) => {$(impl Number for $t {
        fn unary(self, op: UnaryOp) -> Self {
            match op {
                UnaryOp::Neg => self.wrapping_neg(),
                UnaryOp::Abs => $abs(self),
                UnaryOp::Not => !self,
                other => unreachable!("{other:?} takes floats"),
            }
        }
        fn binary(self, op: BinaryOp, other: Self) -> Self {
            match op {
                BinaryOp::Add => self.wrapping_add(other),
                BinaryOp::Sub => self.wrapping_sub(other),
                BinaryOp::Mul => self.wrapping_mul(other),
                BinaryOp::Div => if other == 0 { 0 } else { self.wrapping_div(other) },
                BinaryOp::Rem => if other == 0 { 0 } else { self.wrapping_rem(other) },
                BinaryOp::Min => least(self, other),
                BinaryOp::Max => greatest(self, other),
                BinaryOp::And => self & other,
                BinaryOp::Or => self | other,
                BinaryOp::Xor => self ^ other,
                BinaryOp::Shl => self.wrapping_shl(other as u32),
                BinaryOp::Shr => self.wrapping_shr(other as u32),
                BinaryOp::Pow => unreachable!("powers take floats"),
            }
        }
    })*};
}
integers!(i32, i32::wrapping_abs; u32, |value| value; i64, i64::wrapping_abs; u64, |value| value;);

macro_rules! floats {
    ($($t:ty, $erf:expr;)*) => {$(impl Number for $t {
        fn unary(self, op: UnaryOp) -> Self {
            match op {
                UnaryOp::Neg => -self,
                UnaryOp::Abs => self.abs(),
                UnaryOp::Sqrt => self.sqrt(),
                UnaryOp::RoundEven => self.round_ties_even(),
                UnaryOp::Floor => self.floor(),
                UnaryOp::Ceil => self.ceil(),
                UnaryOp::Trunc => self.trunc(),
                UnaryOp::Exp => self.exp(),
                UnaryOp::Log => self.ln(),
                UnaryOp::Tanh => self.tanh(),
                UnaryOp::Erf => $erf(self),
                UnaryOp::Sin => self.sin(),
                UnaryOp::Cos => self.cos(),
                UnaryOp::Not => unreachable!("complements take integers"),
            }
        }
        fn binary(self, op: BinaryOp, other: Self) -> Self {
            match op {
                BinaryOp::Add => self + other,
                BinaryOp::Sub => self - other,
                BinaryOp::Mul => self * other,
                BinaryOp::Div => self / other,
                BinaryOp::Rem => self % other,
                BinaryOp::Min => least(self, other),
                BinaryOp::Max => greatest(self, other),
                BinaryOp::Pow => self.powf(other),
                op => unreachable!("{op:?} takes integers"),
            }
        }
    })*};
}
floats!(f32, |value| erf(f64::from(value)) as f32; f64, erf;);

/// The error function: its all-positive power series near zero, the continued fraction of its complement elsewhere.
pub(crate) fn erf(x: f64) -> f64 {
    let square = x * x;
    if x.is_nan() || x == 0.0 {
        x
    } else if x.abs() < 2.5 {
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term.abs() > sum.abs() * 1e-18 {
            n += 1.0;
            term *= 2.0 * square / (2.0 * n + 1.0);
            sum += term;
        }
        std::f64::consts::FRAC_2_SQRT_PI * (-square).exp() * sum
    } else if x.abs() > 6.0 {
        x.signum()
    } else {
        let fraction = (1..=60).rev().fold(x.abs(), |tail, n| x.abs() + 0.5 * f64::from(n) / tail);
        let complement = (-square).exp() / (fraction * std::f64::consts::PI.sqrt());
        x.signum() * (1.0 - complement)
    }
}

/// `saturate_i32(round_half_even(value * multiplier / 2^shift))`, the definition at `loops::Expr::Requantize`.
pub(crate) fn requantize(value: i32, multiplier: i32, shift: u8) -> i32 {
    let product = i64::from(value) * i64::from(multiplier);
    round_shift(product, shift).clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

/// `value / 2^shift`, rounded half to even.
pub(crate) fn round_shift(value: i64, shift: u8) -> i64 {
    if shift == 0 {
        return value;
    }
    // The sum leaves 64 bits only past |value| = 2^63 - 2^61; products of two i32 stay below 2^62.
    (value + (1i64 << (shift - 1)) - 1 + ((value >> shift) & 1)) >> shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_function_meets_known_values() {
        // From the tables of Abramowitz and Stegun (7.1) and, past them, the asymptotic complement.
        let known = [(0.1, 0.1124629160182849), (0.5, 0.5204998778130465), (1.0, 0.8427007929497149), (2.0, 0.9953222650189527)];
        for (x, expected) in known.into_iter().chain([(3.0, 0.9999779095030014), (4.0, 0.9999999845827421), (7.0, 1.0)]) {
            assert!((erf(x) - expected).abs() < 2e-15, "erf({x}) = {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        // The two ways meet where one takes over from the other.
        assert!((erf(2.5 - 1e-12) - erf(2.5)).abs() < 1e-13);
    }

    #[test]
    fn rounding_shifts_round_half_to_even() {
        for value in -70i64..=70 {
            for shift in 1..=5u8 {
                let expected = (value as f64 / f64::from(1u32 << shift)).round_ties_even() as i64;
                assert_eq!(round_shift(value, shift), expected, "{value} >> {shift}");
            }
        }
        assert_eq!(requantize(i32::MAX, i32::MAX, 1), i32::MAX);
        assert_eq!(requantize(i32::MIN, i32::MAX, 1), i32::MIN);
        assert_eq!(requantize(i32::MIN, i32::MIN, 62), 1);
    }

    #[test]
    fn integers_never_trap() {
        assert_eq!(i32::MIN.binary(BinaryOp::Div, -1), i32::MIN);
        assert_eq!(i32::MIN.binary(BinaryOp::Rem, -1), 0);
        assert_eq!(7i64.binary(BinaryOp::Div, 0), 0);
        assert_eq!((-7i32).binary(BinaryOp::Rem, 3), -1);
        assert_eq!(1u32.binary(BinaryOp::Shl, 33), 2);
        assert_eq!((-8i32).binary(BinaryOp::Shr, 1), -4);
        assert_eq!(i64::MIN.unary(UnaryOp::Abs), i64::MIN);
    }

    #[test]
    fn casts_truncate_saturate_and_wrap() {
        let floats = Elements::F32(vec![1.9, -1.9, 300.0, f32::NAN, 1e30]);
        assert_eq!(floats.cast(DType::I32), Elements::I32(vec![1, -1, 300, 0, i32::MAX]));
        assert_eq!(floats.cast(DType::I32).store(DType::U8, &[5]).to_i64().unwrap(), [1, 255, 44, 0, 255]);
        assert_eq!(floats.cast(DType::Bool), Elements::Bool(vec![true; 5]));
        assert_eq!(Elements::I64(vec![1 << 32, -1]).cast(DType::I32), Elements::I32(vec![0, -1]));
        assert_eq!(Elements::I32(vec![16777217]).cast(DType::F32), Elements::F32(vec![16777216.0]));
    }
}
