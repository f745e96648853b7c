//! Element types of ONNX that tensors here do not have: integers of fewer than eight bits, which become a byte each, and floats of eight bits and fewer, which
//! become the `F32` of their value. They hold weights and what is quantized: ONNX has no arithmetic on them.

use mlp_bundle::DType;

/// An integer of few bits, or a float of few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Narrow {
    /// An integer of so many bits, signed or not.
    Integer { bits: u32, signed: bool },
    /// A float of so many bits whose values these are.
    Float(Float),
}

/// The floats of few bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Float {
    /// FLOAT8E4M3FN: sign, 4 bits of exponent over bias 7, 3 of mantissa; no infinities, NaN where all bits but the sign are ones.
    E4M3Fn,
    /// FLOAT8E4M3FNUZ: over bias 8; the one NaN is what would be -0.
    E4M3FnUz,
    /// FLOAT8E5M2: as a binary16 cut to its upper byte.
    E5M2,
    /// FLOAT8E5M2FNUZ: over bias 16; the one NaN is what would be -0.
    E5M2FnUz,
    /// FLOAT4E2M1: sign, 2 bits of exponent over bias 1, 1 of mantissa; every value is finite.
    E2M1,
    /// FLOAT8E8M0: a power of two, the exponent over bias 127; NaN where all bits are ones.
    E8M0,
}

impl Narrow {
    /// The type with that code of ONNX.
    pub(crate) fn of(code: i32) -> Option<Narrow> {
        Some(match code {
            17 => Narrow::Float(Float::E4M3Fn),
            18 => Narrow::Float(Float::E4M3FnUz),
            19 => Narrow::Float(Float::E5M2),
            20 => Narrow::Float(Float::E5M2FnUz),
            21 => Narrow::Integer { bits: 4, signed: false },
            22 => Narrow::Integer { bits: 4, signed: true },
            23 => Narrow::Float(Float::E2M1),
            24 => Narrow::Float(Float::E8M0),
            25 => Narrow::Integer { bits: 2, signed: false },
            26 => Narrow::Integer { bits: 2, signed: true },
            _ => return None,
        })
    }

    /// The element type that its values have here.
    pub(crate) fn dtype(self) -> DType {
        match self {
            Narrow::Integer { signed: true, .. } => DType::I8,
            Narrow::Integer { signed: false, .. } => DType::U8,
            Narrow::Float(_) => DType::F32,
        }
    }

    /// Bits of an element as it is stored.
    pub(crate) fn bits(self) -> u32 {
        match self {
            Narrow::Integer { bits, .. } => bits,
            Narrow::Float(Float::E2M1) => 4,
            Narrow::Float(_) => 8,
        }
    }

    /// The least and the greatest of integers.
    pub(crate) fn range(self) -> Option<(i32, i32)> {
        match self {
            Narrow::Integer { bits, signed: true } => Some((-(1 << (bits - 1)), (1 << (bits - 1)) - 1)),
            Narrow::Integer { bits, signed: false } => Some((0, (1 << bits) - 1)),
            Narrow::Float(_) => None,
        }
    }

    /// The bytes, in its [`dtype`](Narrow::dtype), of `count` elements packed with the first in the lowest bits of a byte.
    pub(crate) fn unpack(self, packed: &[u8], count: usize) -> Vec<u8> {
        let bits = self.bits();
        let mask = (1u16 << bits) - 1;
        let codes =
            packed.iter().flat_map(|&byte| (0..8 / bits).map(move |place| (u16::from(byte) >> (place * bits) & mask) as u8)).take(count);
        match self {
            Narrow::Integer { signed: false, .. } => codes.collect(),
            Narrow::Integer { bits, signed: true } => codes.map(|code| (((code << (8 - bits)) as i8) >> (8 - bits)) as u8).collect(),
            Narrow::Float(float) => codes.flat_map(|code| float.value(code).to_le_bytes()).collect(),
        }
    }
}

impl Float {
    /// Bits of the mantissa, the bias of the exponent, and the greatest finite value.
    pub(crate) fn layout(self) -> (i32, i32, f32) {
        match self {
            Float::E4M3Fn => (3, 7, 448.0),
            Float::E4M3FnUz => (3, 8, 240.0),
            Float::E5M2 => (2, 15, 57344.0),
            Float::E5M2FnUz => (2, 16, 57344.0),
            Float::E2M1 => (1, 1, 6.0),
            Float::E8M0 => (0, 127, 1.701_411_8e38),
        }
    }

    /// The value of a code; exact.
    fn value(self, code: u8) -> f32 {
        let (mantissa_bits, bias, _) = self.layout();
        let exponent_bits = match self {
            Float::E8M0 => return if code == 0xff { f32::NAN } else { 2f32.powi(i32::from(code) - 127) },
            Float::E4M3Fn | Float::E4M3FnUz => 4,
            Float::E5M2 | Float::E5M2FnUz => 5,
            Float::E2M1 => 2,
        };
        let magnitude = code & ((1u16 << (exponent_bits + mantissa_bits)) - 1) as u8;
        let negative = code != magnitude;
        let (exponent, mantissa) = (i32::from(magnitude >> mantissa_bits), f32::from(magnitude & ((1 << mantissa_bits) - 1)));
        let whole = f32::from(1u8 << mantissa_bits);
        let size = match self {
            Float::E4M3FnUz | Float::E5M2FnUz if negative && magnitude == 0 => return f32::NAN,
            Float::E4M3Fn if magnitude == 0x7f => return f32::NAN,
            Float::E5M2 if exponent == 31 => {
                if mantissa == 0.0 {
                    f32::INFINITY
                } else {
                    return f32::NAN;
                }
            }
            _ if exponent == 0 => mantissa / whole * 2f32.powi(1 - bias),
            _ => (1.0 + mantissa / whole) * 2f32.powi(exponent - bias),
        };
        if negative { -size } else { size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_unpacked_from_the_lowest_bits_on() {
        let four = Narrow::of(22).expect("INT4");
        assert_eq!(four.unpack(&[0x8f, 0x07], 3), [-1i8 as u8, -8i8 as u8, 7]);
        assert_eq!(Narrow::of(21).expect("UINT4").unpack(&[0x8f], 2), [15, 8]);
        assert_eq!(Narrow::of(26).expect("INT2").unpack(&[0b11_10_01_00], 4), [0, 1, -2i8 as u8, -1i8 as u8]);
        assert_eq!((four.range(), Narrow::of(25).and_then(Narrow::range)), (Some((-8, 7)), Some((0, 3))));
    }

    /// The tables in ONNX's description of these types.
    #[test]
    fn floats_have_the_values_that_onnx_says() {
        for (float, code, value) in [
            (Float::E4M3Fn, 0x7e, 448.0),
            (Float::E4M3Fn, 0x01, 2f32.powi(-9)),
            (Float::E4M3Fn, 0xb8, -1.0),
            (Float::E4M3FnUz, 0x7f, 240.0),
            (Float::E4M3FnUz, 0x01, 2f32.powi(-10)),
            (Float::E5M2, 0x7b, 57344.0),
            (Float::E5M2, 0xfc, f32::NEG_INFINITY),
            (Float::E5M2, 0x01, 2f32.powi(-16)),
            (Float::E5M2FnUz, 0x7f, 57344.0),
            (Float::E5M2FnUz, 0x01, 2f32.powi(-17)),
            (Float::E2M1, 0x7, 6.0),
            (Float::E2M1, 0x9, -0.5),
            (Float::E8M0, 0x00, 2f32.powi(-127)),
            (Float::E8M0, 0x80, 2.0),
        ] {
            assert_eq!(float.value(code), value, "{float:?} {code:#x}");
        }
        for (float, code) in
            [(Float::E4M3Fn, 0xff), (Float::E4M3FnUz, 0x80), (Float::E5M2, 0x7d), (Float::E5M2FnUz, 0x80), (Float::E8M0, 0xff)]
        {
            assert!(float.value(code).is_nan(), "{float:?} {code:#x}");
        }
    }

    #[test]
    fn an_eight_bit_float_with_five_bits_of_exponent_is_half_of_a_binary16() {
        for code in 0..=255u8 {
            let (value, half) = (Float::E5M2.value(code), half::f16::from_bits(u16::from(code) << 8).to_f32());
            assert!(value == half || value.is_nan() && half.is_nan(), "{code:#x}");
        }
    }
}
