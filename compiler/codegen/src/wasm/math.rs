//! The module's own mathematical functions, four binary32 lanes at a time; one that no kernel calls is not emitted.
//!
//! `exp`, `tanh` and `erf` are polynomials in binary32, within 2 units in the last place or so. The rarer functions go through binary64
//! ([`super::math_f64`]) and are rounded once.

use super::code::{Code, Functions, Local};
use super::math_f64;
use mlp_bundle::DType;
use mlp_bundle::loops::UnaryOp;
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

/// The functions of a module under construction.
#[derive(Default)]
pub(crate) struct Library {
    /// All functions.
    pub(crate) functions: Functions,
    /// Whether relaxed SIMD may be used.
    pub(crate) relaxed: bool,
    /// Whether threads are to share the present kernel.
    pub(crate) shared: bool,
}

impl Library {
    /// The function `remainder(f64, f64) -> f64`, exact.
    pub(crate) fn remainder(&mut self) -> u32 {
        let code = math_f64::remainder();
        self.functions.intern(&code, &[ValType::F64])
    }
}

/// Replaces the popped `f32x4` by a function of it.
pub(crate) fn call_f32x4(code: &mut Code, library: &mut Library, op: UnaryOp) {
    let body = match op {
        UnaryOp::Exp => exp(),
        UnaryOp::Tanh => tanh(library),
        UnaryOp::Erf => erf(library),
        _ => through_f64(library, op),
    };
    let index = library.functions.intern(&body, &[ValType::V128]);
    code.op(I::Call(index));
}

/// Replaces the popped `f64x2` by a function of it.
pub(crate) fn call_f64x2(code: &mut Code, library: &mut Library, op: UnaryOp) {
    let index = math_f64::unary(library, op);
    code.op(I::Call(index));
}

/// Replaces two popped vectors, `f32x4` or `f64x2`, by the first to the power of the second.
pub(crate) fn call_power(code: &mut Code, library: &mut Library, ty: DType) {
    let power = math_f64::power(library);
    if ty == DType::F64 {
        return code.op(I::Call(power));
    }
    let (mut body, params) = Code::with_params(&[ValType::V128, ValType::V128]);
    for half in 0..2 {
        for &param in &params {
            promote(&mut body, param, half == 1);
        }
        body.ops([I::Call(power), I::F32x4DemoteF64x2Zero]);
    }
    body.op(I::I8x16Shuffle(JOIN));
    let index = library.functions.intern(&body, &[ValType::V128]);
    code.op(I::Call(index));
}

/// The lower halves of two vectors, as one.
const JOIN: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23];

fn promote(code: &mut Code, x: Local, high: bool) {
    code.get(x);
    if high {
        code.get(x);
        code.op(I::I8x16Shuffle(std::array::from_fn(|byte| (8 + byte % 8) as u8)));
    }
    code.op(I::F64x2PromoteLowF32x4);
}

fn through_f64(library: &mut Library, op: UnaryOp) -> Code {
    let wide = math_f64::unary(library, op);
    let (mut code, params) = Code::with_params(&[ValType::V128]);
    for high in [false, true] {
        promote(&mut code, params[0], high);
        code.ops([I::Call(wide), I::F32x4DemoteF64x2Zero]);
    }
    code.op(I::I8x16Shuffle(JOIN));
    code
}

fn splat(code: &mut Code, value: f32) {
    code.splat_bits(value.to_bits());
}

/// Pushes a polynomial of `x`, the constant coefficient first.
fn polynomial(code: &mut Code, x: Local, coefficients: &[f32]) {
    for (n, &coefficient) in coefficients.iter().rev().enumerate() {
        if n > 0 {
            code.get(x);
            code.op(I::F32x4Mul);
        }
        splat(code, coefficient);
        if n > 0 {
            code.op(I::F32x4Add);
        }
    }
}

/// `e^x = 2^n e^r` with `|r| <= ln(2)/2`; `2^n` in two factors, so that both ends of the range come out.
fn exp() -> Code {
    let (mut code, params) = Code::with_params(&[ValType::V128]);
    let x = params[0];
    code.get(x);
    splat(&mut code, -104.0);
    code.op(I::F32x4PMax);
    splat(&mut code, 89.0);
    code.op(I::F32x4PMin);
    code.tee(x);
    splat(&mut code, std::f32::consts::LOG2_E);
    code.ops([I::F32x4Mul, I::F32x4Nearest]);
    let n = code.take(ValType::V128);
    code.get(x);
    // ln 2 in two parts, the first short enough that its product with n is exact.
    for part in [0.693_359_4_f32, -2.121_944_4e-4] {
        code.get(n);
        splat(&mut code, part);
        code.ops([I::F32x4Mul, I::F32x4Sub]);
    }
    code.set(x);
    polynomial(&mut code, x, &[1.0, 1.0, 0.5, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0, 1.0 / 5040.0]);
    code.get(n);
    code.op(I::I32x4TruncSatF32x4S);
    code.tee(n);
    code.ops([I::I32Const(1), I::I32x4ShrS]);
    let half = code.take(ValType::V128);
    let power = |code: &mut Code| {
        code.splat_bits(127);
        code.ops([I::I32x4Add, I::I32Const(23), I::I32x4Shl, I::F32x4Mul]);
    };
    code.get(half);
    power(&mut code);
    code.get(n);
    code.get(half);
    code.op(I::I32x4Sub);
    power(&mut code);
    code
}

/// An odd polynomial near 0, and `1 - 2 / (e^2|x| + 1)` with the sign of `x` elsewhere.
fn tanh(library: &mut Library) -> Code {
    let (mut code, params) = Code::with_params(&[ValType::V128]);
    let x = params[0];
    let square = push_square(&mut code, x);
    polynomial(&mut code, square, &[1.0, -0.333_332_53, 0.133_309_57, -0.053_707_07, 0.020_544_905, -0.005_607_689]);
    code.get(x);
    code.op(I::F32x4Mul);
    splat(&mut code, 1.0);
    splat(&mut code, 2.0);
    code.get(x);
    code.op(I::F32x4Abs);
    splat(&mut code, 2.0);
    code.op(I::F32x4Mul);
    call_f32x4(&mut code, library, UnaryOp::Exp);
    splat(&mut code, 1.0);
    code.ops([I::F32x4Add, I::F32x4Div, I::F32x4Sub]);
    with_sign(&mut code, x);
    code.get(square);
    splat(&mut code, 0.4);
    code.ops([I::F32x4Lt, I::V128Bitselect]);
    code
}

/// An odd polynomial below 1; beyond, one less `e^(-x^2)` times a polynomial of `1/x`.
fn erf(library: &mut Library) -> Code {
    let (mut code, params) = Code::with_params(&[ValType::V128]);
    let x = params[0];
    let square = push_square(&mut code, x);
    let near = [std::f32::consts::FRAC_2_SQRT_PI, -0.376_126_27, 0.112_835_98, -0.026_854_33, 0.005_189_312, -8.018_855e-4, 7.882_497e-5];
    polynomial(&mut code, square, &near);
    code.get(x);
    code.op(I::F32x4Mul);
    splat(&mut code, 1.0);
    code.get(square);
    code.op(I::F32x4Neg);
    call_f32x4(&mut code, library, UnaryOp::Exp);
    splat(&mut code, 1.0);
    code.get(x);
    code.ops([I::F32x4Abs, I::F32x4Div]);
    let inverse = code.take(ValType::V128);
    let far = [3.480_087e-4, 0.557_745, 0.051_086_89, -0.506_440_5, 0.577_086_9, -0.355_797_9, 0.121_627_61, -0.018_072_44];
    polynomial(&mut code, inverse, &far);
    code.ops([I::F32x4Mul, I::F32x4Sub]);
    with_sign(&mut code, x);
    code.get(square);
    splat(&mut code, 1.0);
    code.ops([I::F32x4Lt, I::V128Bitselect]);
    code
}

fn push_square(code: &mut Code, x: Local) -> Local {
    code.get(x);
    code.get(x);
    code.op(I::F32x4Mul);
    code.take(ValType::V128)
}

/// Gives the popped magnitude the sign of `x`.
fn with_sign(code: &mut Code, x: Local) {
    code.get(x);
    code.splat_bits(0x8000_0000);
    code.ops([I::V128And, I::V128Xor]);
}
