//! WGSL literals that every implementation reads as the same value.

use mlp_bundle::dtype::{DType, Scalar};

/// A scalar as WGSL text, safe inside any expression (negative values stand in parentheses). Values that WGSL has no literal for (NaN, infinities)
/// go through the helper `fb`, a function of run-time bits: implementations reject such values in constant expressions.
pub(super) fn scalar(value: Scalar) -> Literal {
    match value {
        Scalar::Bool(value) => Literal::plain(value.to_string()),
        Scalar::I32(value) => Literal::plain(int(value)),
        Scalar::U32(value) => Literal::plain(format!("{value}u")),
        Scalar::I64(value) => Literal::plain(format!("vec2u({}u,{}u)", value as u32, (value >> 32) as u32)),
        Scalar::U64(value) => Literal::plain(format!("vec2u({}u,{}u)", value as u32, (value >> 32) as u32)),
        Scalar::F32(bits) => float(f32::from_bits(bits)),
        Scalar::F64(bits) => float(f64::from_bits(bits) as f32),
    }
}

/// A literal's text, and whether it calls the helper `fb`.
pub(super) struct Literal {
    pub(super) text: String,
    pub(super) by_bits: bool,
}

impl Literal {
    fn plain(text: String) -> Literal {
        Literal { text, by_bits: false }
    }
}

/// An `i32` literal.
pub(super) fn int(value: i32) -> String {
    match value {
        i32::MIN => "i32(-2147483648)".to_owned(),
        value if value < 0 => format!("({value})"),
        value => value.to_string(),
    }
}

fn float(value: f32) -> Literal {
    // Subnormals may be flushed by a compiler that reads them as literals, so they go by their bits too.
    if !value.is_finite() || value.is_subnormal() {
        return Literal { text: format!("fb({}u)", value.to_bits()), by_bits: true };
    }
    // More digits than tell floats apart: the greatest one, cut short, would be rounded up to what Tint takes for an overflow.
    let digits = if value.abs() == f32::MAX { format!("{:?}f", f64::from(value)) } else { format!("{value:?}f") };
    Literal::plain(if value.is_sign_negative() { format!("({digits})") } else { digits })
}

/// The WGSL type of values of a compute type; `wide` means four lanes.
pub(super) fn type_name(dtype: DType, wide: bool) -> &'static str {
    match (dtype.compute(), wide) {
        (DType::Bool, false) => "bool",
        (DType::Bool, true) => "vec4<bool>",
        (DType::I32, false) => "i32",
        (DType::I32, true) => "vec4i",
        (DType::U32, false) => "u32",
        (DType::U32, true) => "vec4u",
        (DType::F32, false) => "f32",
        (DType::F32, true) => "vec4f",
        // 64-bit integers are two words, low one first, and never wide.
        _ => "vec2u",
    }
}
