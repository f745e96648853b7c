//! Element types of tensors and the scalars the loop IR computes with.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The element type of a tensor or buffer. Little-endian in memory; `Bool` is one byte, 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// One byte, 0 or 1.
    Bool,
    /// Unsigned 8-bit integer.
    U8,
    /// Signed 8-bit integer.
    I8,
    /// Unsigned 16-bit integer.
    U16,
    /// Signed 16-bit integer.
    I16,
    /// Unsigned 32-bit integer.
    U32,
    /// Signed 32-bit integer.
    I32,
    /// Unsigned 64-bit integer.
    U64,
    /// Signed 64-bit integer.
    I64,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16: the upper half of a binary32.
    BF16,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
}

impl DType {
    /// Every element type, in declaration order.
    pub const ALL: [DType; 13] = [
        DType::Bool,
        DType::U8,
        DType::I8,
        DType::U16,
        DType::I16,
        DType::U32,
        DType::I32,
        DType::U64,
        DType::I64,
        DType::F16,
        DType::BF16,
        DType::F32,
        DType::F64,
    ];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            DType::Bool | DType::U8 | DType::I8 => 1,
            DType::U16 | DType::I16 | DType::F16 | DType::BF16 => 2,
            DType::U32 | DType::I32 | DType::F32 => 4,
            DType::U64 | DType::I64 | DType::F64 => 8,
        }
    }

    /// True for `F16`, `BF16`, `F32` and `F64`.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
    }

    /// True for the integer types; `Bool` is not one.
    pub const fn is_int(self) -> bool {
        !self.is_float() && !matches!(self, DType::Bool)
    }

    /// True for `I8`, `I16`, `I32` and `I64`.
    pub const fn is_signed_int(self) -> bool {
        matches!(self, DType::I8 | DType::I16 | DType::I32 | DType::I64)
    }

    /// The type that the loop IR computes in after loading this one: narrow integers widen to `I32`, narrow floats to `F32`,
    /// all others stay.
    pub const fn compute(self) -> DType {
        match self {
            DType::U8 | DType::I8 | DType::U16 | DType::I16 => DType::I32,
            DType::F16 | DType::BF16 => DType::F32,
            other => other,
        }
    }

    /// The name used in every text form: `f32`, `i64`, `bool`, ...
    pub const fn name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::U8 => "u8",
            DType::I8 => "i8",
            DType::U16 => "u16",
            DType::I16 => "i16",
            DType::U32 => "u32",
            DType::I32 => "i32",
            DType::U64 => "u64",
            DType::I64 => "i64",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::F32 => "f32",
            DType::F64 => "f64",
        }
    }

    /// The type with that [`name`](DType::name).
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|dtype| dtype.name() == name)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One value of a compute type (see [`DType::compute`]). Floats compare and serialize by their bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scalar {
    /// A truth value.
    Bool(bool),
    /// A signed 32-bit integer.
    I32(i32),
    /// An unsigned 32-bit integer.
    U32(u32),
    /// A signed 64-bit integer.
    I64(i64),
    /// An unsigned 64-bit integer.
    U64(u64),
    /// The bits of a binary32.
    F32(u32),
    /// The bits of a binary64.
    F64(u64),
}

impl Scalar {
    /// A binary32 scalar.
    pub const fn f32(value: f32) -> Scalar {
        Scalar::F32(value.to_bits())
    }

    /// A binary64 scalar.
    pub const fn f64(value: f64) -> Scalar {
        Scalar::F64(value.to_bits())
    }

    /// A number in the compute type of an element type; any but 0 is true.
    pub const fn of(dtype: DType, value: i32) -> Scalar {
        match dtype.compute() {
            DType::Bool => Scalar::Bool(value != 0),
            DType::U32 => Scalar::U32(value as u32),
            DType::I64 => Scalar::I64(value as i64),
            DType::U64 => Scalar::U64(value as u64),
            DType::F32 => Scalar::f32(value as f32),
            DType::F64 => Scalar::f64(value as f64),
            _ => Scalar::I32(value),
        }
    }

    /// The least value of an element type, in its compute type.
    pub const fn lowest(dtype: DType) -> Scalar {
        match dtype {
            DType::Bool | DType::U8 | DType::U16 | DType::U32 | DType::U64 => Scalar::of(dtype, 0),
            DType::I8 => Scalar::I32(i8::MIN as i32),
            DType::I16 => Scalar::I32(i16::MIN as i32),
            DType::I32 => Scalar::I32(i32::MIN),
            DType::I64 => Scalar::I64(i64::MIN),
            DType::F16 | DType::BF16 | DType::F32 => Scalar::f32(f32::NEG_INFINITY),
            DType::F64 => Scalar::f64(f64::NEG_INFINITY),
        }
    }

    /// The greatest value of an element type, in its compute type.
    pub const fn highest(dtype: DType) -> Scalar {
        match dtype {
            DType::Bool => Scalar::Bool(true),
            DType::U8 => Scalar::I32(u8::MAX as i32),
            DType::U16 => Scalar::I32(u16::MAX as i32),
            DType::I8 => Scalar::I32(i8::MAX as i32),
            DType::I16 => Scalar::I32(i16::MAX as i32),
            DType::I32 => Scalar::I32(i32::MAX),
            DType::U32 => Scalar::U32(u32::MAX),
            DType::I64 => Scalar::I64(i64::MAX),
            DType::U64 => Scalar::U64(u64::MAX),
            DType::F16 | DType::BF16 | DType::F32 => Scalar::f32(f32::INFINITY),
            DType::F64 => Scalar::f64(f64::INFINITY),
        }
    }

    /// The compute type of the value.
    pub const fn dtype(self) -> DType {
        match self {
            Scalar::Bool(_) => DType::Bool,
            Scalar::I32(_) => DType::I32,
            Scalar::U32(_) => DType::U32,
            Scalar::I64(_) => DType::I64,
            Scalar::U64(_) => DType::U64,
            Scalar::F32(_) => DType::F32,
            Scalar::F64(_) => DType::F64,
        }
    }
}
