//! Operators of the loop IR on WGSL values.

use super::expr::Value;
use super::helpers::Helpers;
use super::literal::type_name;
use mlp_bundle::dtype::DType;
use mlp_bundle::loops::{BinaryOp, CompareOp, UnaryOp};

/// A call of a helper; the four-lane form has another name.
fn call(helpers: &mut Helpers, narrow: &'static str, wide: &'static str, is_wide: bool, arguments: &[String]) -> String {
    format!("{}({})", helpers.need(if is_wide { wide } else { narrow }), arguments.join(","))
}

/// A function of one operand.
pub(super) fn unary(helpers: &mut Helpers, op: UnaryOp, a: &Value) -> Result<String, String> {
    let x = &a.text;
    let long = matches!(a.dtype, DType::I64 | DType::U64);
    Ok(match (op, a.dtype) {
        (UnaryOp::Neg, _) if long => format!("{}({x})", helpers.need("ng")),
        (UnaryOp::Neg, DType::U32) => format!("{}-{x}", if a.wide { "vec4u(0)" } else { "0u" }),
        (UnaryOp::Neg, _) => format!("-{x}"),
        (UnaryOp::Abs, DType::I64) => format!("{}({x})", helpers.need("ab")),
        (UnaryOp::Abs, DType::U32 | DType::U64 | DType::Bool) => x.clone(),
        (UnaryOp::Abs, _) => format!("abs({x})"),
        (UnaryOp::Not, DType::Bool) => format!("!{x}"),
        (UnaryOp::Not, DType::F32) => return Err("it asks for the complement of a float".to_owned()),
        (UnaryOp::Not, _) => format!("~{x}"),
        (op, DType::F32) => match op {
            UnaryOp::Sqrt => format!("sqrt({x})"),
            UnaryOp::RoundEven => format!("round({x})"),
            UnaryOp::Floor => format!("floor({x})"),
            UnaryOp::Ceil => format!("ceil({x})"),
            UnaryOp::Trunc => format!("trunc({x})"),
            UnaryOp::Exp => format!("exp({x})"),
            UnaryOp::Log => format!("log({x})"),
            UnaryOp::Tanh => call(helpers, "th", "th4", a.wide, std::slice::from_ref(x)),
            UnaryOp::Erf => call(helpers, "er", "er4", a.wide, std::slice::from_ref(x)),
            UnaryOp::Sin => format!("sin({x})"),
            UnaryOp::Cos => format!("cos({x})"),
            UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Not => unreachable!("matched above"),
        },
        (op, dtype) => return Err(format!("it asks for {op:?} of {dtype}")),
    })
}

/// A function of two operands of one type; the result has four lanes if `wide`.
pub(super) fn binary(helpers: &mut Helpers, op: BinaryOp, a: &Value, b: &Value, wide: bool) -> Result<String, String> {
    let (x, y) = (a.lanes(wide), b.lanes(wide));
    let infix = |sign: &str| format!("{x}{sign}{y}");
    let both = [x.clone(), y.clone()];
    Ok(match a.dtype {
        DType::Bool => match op {
            BinaryOp::Add | BinaryOp::Or | BinaryOp::Max => infix("|"),
            BinaryOp::Mul | BinaryOp::And | BinaryOp::Min => infix("&"),
            BinaryOp::Xor | BinaryOp::Sub => infix("!="),
            _ => return Err(format!("it asks for {op:?} of truth values")),
        },
        DType::F32 => match op {
            BinaryOp::Add => infix("+"),
            BinaryOp::Sub => infix("-"),
            BinaryOp::Mul => infix("*"),
            BinaryOp::Div => infix("/"),
            BinaryOp::Rem => infix("%"),
            BinaryOp::Min => format!("select({x},{y},{y}<{x})"),
            BinaryOp::Max => format!("select({x},{y},{x}<{y})"),
            BinaryOp::Pow => call(helpers, "pw", "pw4", wide, &both),
            _ => return Err(format!("it asks for {op:?} of floats")),
        },
        DType::I32 | DType::U32 => {
            let signed = a.dtype == DType::I32;
            let shift = |sign: &str| format!("{x}{sign}({}({y})&{}(31))", type_name(DType::U32, wide), type_name(DType::U32, wide));
            // Division by a literal other than 0 and -1 needs no care.
            let plain = b.literal && !matches!(b.text.as_str(), "0" | "0u" | "(-1)");
            match op {
                BinaryOp::Add => infix("+"),
                BinaryOp::Sub => infix("-"),
                BinaryOp::Mul => infix("*"),
                BinaryOp::Div if plain => infix("/"),
                BinaryOp::Rem if plain => infix("%"),
                BinaryOp::Div if signed => call(helpers, "di", "di4", wide, &both),
                BinaryOp::Div => call(helpers, "du", "du4", wide, &both),
                BinaryOp::Rem if signed => call(helpers, "ri", "ri4", wide, &both),
                BinaryOp::Rem => call(helpers, "ru", "ru4", wide, &both),
                BinaryOp::Min => format!("min({x},{y})"),
                BinaryOp::Max => format!("max({x},{y})"),
                BinaryOp::And => infix("&"),
                BinaryOp::Or => infix("|"),
                BinaryOp::Xor => infix("^"),
                BinaryOp::Shl => shift("<<"),
                BinaryOp::Shr => shift(">>"),
                BinaryOp::Pow => return Err("it asks for a power of integers".to_owned()),
            }
        }
        _ => long_binary(helpers, op, a.dtype == DType::I64, &x, &y)?,
    })
}

fn long_binary(helpers: &mut Helpers, op: BinaryOp, signed: bool, x: &str, y: &str) -> Result<String, String> {
    let mut function = |name: &'static str| format!("{}({x},{y})", helpers.need(name));
    Ok(match op {
        BinaryOp::Add => function("ad"),
        BinaryOp::Sub => function("sb"),
        BinaryOp::Mul => function("mu"),
        BinaryOp::Div if signed => function("dl"),
        BinaryOp::Div => format!("{}.xy", function("qr")),
        BinaryOp::Rem if signed => function("rl"),
        BinaryOp::Rem => format!("{}.zw", function("qr")),
        BinaryOp::Min => format!("select({x},{y},{}({y},{x}))", helpers.need(if signed { "li" } else { "lu" })),
        BinaryOp::Max => format!("select({x},{y},{}({x},{y}))", helpers.need(if signed { "li" } else { "lu" })),
        BinaryOp::And => format!("{x}&{y}"),
        BinaryOp::Or => format!("{x}|{y}"),
        BinaryOp::Xor => format!("{x}^{y}"),
        BinaryOp::Shl => format!("{}({x},{y}.x)", helpers.need("sl")),
        BinaryOp::Shr => format!("{}({x},{y}.x)", helpers.need(if signed { "sa" } else { "sr" })),
        BinaryOp::Pow => return Err("it asks for a power of integers".to_owned()),
    })
}

/// A comparison.
pub(super) fn compare(helpers: &mut Helpers, op: CompareOp, a: &Value, b: &Value, wide: bool) -> Result<String, String> {
    let (x, y) = (a.lanes(wide), b.lanes(wide));
    Ok(match (a.dtype, op) {
        (DType::I64 | DType::U64, op) => {
            let less = if a.dtype == DType::I64 { "li" } else { "lu" };
            match op {
                CompareOp::Eq => format!("all({x}=={y})"),
                CompareOp::Ne => format!("any({x}!={y})"),
                CompareOp::Lt => format!("{}({x},{y})", helpers.need(less)),
                CompareOp::Le => format!("!{}({y},{x})", helpers.need(less)),
            }
        }
        // The test for NaN. Shader compilers may take `x != x` for false; they may not reason about bits.
        (DType::F32, CompareOp::Ne) if x == y => {
            let (bits, mask, limit) =
                if wide { ("vec4u", "vec4u(0x7fffffffu)", "vec4u(0x7f800000u)") } else { ("u32", "0x7fffffffu", "0x7f800000u") };
            format!("(bitcast<{bits}>({x})&{mask})>{limit}")
        }
        (DType::Bool, CompareOp::Lt) => format!("(!{x})&{y}"),
        (DType::Bool, CompareOp::Le) => format!("(!{x})|{y}"),
        (_, CompareOp::Eq) => format!("{x}=={y}"),
        (_, CompareOp::Ne) => format!("{x}!={y}"),
        (_, CompareOp::Lt) => format!("{x}<{y}"),
        (_, CompareOp::Le) => format!("{x}<={y}"),
    })
}

/// A conversion to a compute type.
pub(super) fn cast(helpers: &mut Helpers, to: DType, a: &Value) -> Result<String, String> {
    let x = &a.text;
    let wide = a.wide;
    let plain = format!("{}({x})", type_name(to, wide));
    Ok(match (a.dtype, to) {
        (from, to) if from == to => x.clone(),
        (_, DType::F64) => return Err("it computes in f64, which WebGPU has not; use f32".to_owned()),
        (DType::F32, DType::I32) => call(helpers, "fi", "fi4", wide, std::slice::from_ref(x)),
        (DType::F32, DType::U32) => call(helpers, "fu", "fu4", wide, std::slice::from_ref(x)),
        (DType::F32, DType::I64) => format!("{}({x})", helpers.need("il")),
        (DType::F32, DType::U64) => format!("{}({x})", helpers.need("ul")),
        (DType::F32, DType::Bool) => format!("{x}!={}", if wide { "vec4f(0)" } else { "0f" }),
        (DType::I64 | DType::U64, DType::I32) => format!("i32({x}.x)"),
        (DType::I64 | DType::U64, DType::U32) => format!("{x}.x"),
        (DType::I64, DType::F32) => format!("{}({x})", helpers.need("lf")),
        (DType::U64, DType::F32) => format!("{}({x})", helpers.need("uf")),
        (DType::I64 | DType::U64, DType::Bool) => format!("({x}.x|{x}.y)!=0u"),
        (DType::I64 | DType::U64, _) => x.clone(),
        (DType::I32, DType::I64 | DType::U64) => format!("vec2u(u32({x}),u32({x}>>31u))"),
        (_, DType::I64 | DType::U64) => format!("vec2u(u32({x}),0u)"),
        _ => plain,
    })
}
