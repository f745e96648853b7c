//! Mathematical functions on two binary64 lanes, within a few units in the last place over ordinary arguments.
//!
//! They serve `F64` kernels, and those `F32` functions that are too rare to have polynomials of their own.

use super::code::{Code, Local};
use super::math::Library;
use mlp_bundle::loops::UnaryOp;
use wasm_encoder::Instruction as I;
use wasm_encoder::{BlockType, ValType};

/// The function `(f64x2) -> f64x2` of an operation.
pub(crate) fn unary(library: &mut Library, op: UnaryOp) -> u32 {
    let code = match op {
        UnaryOp::Log => log(),
        UnaryOp::Tanh => tanh(library),
        UnaryOp::Erf => erf(library),
        UnaryOp::Sin => sine(0),
        UnaryOp::Cos => sine(1),
        _ => exp(),
    };
    library.functions.intern(&code, &[ValType::V128])
}

fn splat_bits(code: &mut Code, bits: u64) {
    let lane = u128::from(bits);
    code.op(I::V128Const((lane | lane << 64) as i128));
}

fn splat(code: &mut Code, value: f64) {
    splat_bits(code, value.to_bits());
}

fn function() -> (Code, Local) {
    let (code, params) = Code::with_params(&[ValType::V128]);
    (code, params[0])
}

/// Pushes a polynomial of `x`, the constant coefficient first.
fn polynomial(code: &mut Code, x: Local, coefficients: &[f64]) {
    for (n, &coefficient) in coefficients.iter().rev().enumerate() {
        if n > 0 {
            code.get(x);
            code.op(I::F64x2Mul);
        }
        splat(code, coefficient);
        if n > 0 {
            code.op(I::F64x2Add);
        }
    }
}

/// `sign^k / (first + step k)!` for `k = 0 ..`.
fn inverse_factorials(first: u32, step: u32, sign: f64, count: u32) -> Vec<f64> {
    (0..count)
        .map(|k| {
            let factorial: f64 = (1..=first + step * k).map(f64::from).product();
            sign.powi(k as i32) / factorial
        })
        .collect()
}

/// Subtracts `n` times each part from the popped value.
fn reduce(code: &mut Code, n: Local, parts: &[f64]) {
    for &part in parts {
        code.get(n);
        splat(code, part);
        code.ops([I::F64x2Mul, I::F64x2Sub]);
    }
}

/// ln 2, the first part with 21 trailing zero bits.
const LN2: [f64; 2] = [f64::from_bits(0x3fe6_2e42_fee0_0000), 1.908_214_929_270_587_7e-10];

/// `e^x = 2^n e^r`, `2^n` in two factors.
fn exp() -> Code {
    let (mut code, x) = function();
    code.get(x);
    splat(&mut code, -750.0);
    code.op(I::F64x2PMax);
    splat(&mut code, 711.0);
    code.op(I::F64x2PMin);
    code.tee(x);
    splat(&mut code, std::f64::consts::LOG2_E);
    code.ops([I::F64x2Mul, I::F64x2Nearest]);
    let n = code.take(ValType::V128);
    code.get(x);
    reduce(&mut code, n, &LN2);
    code.set(x);
    polynomial(&mut code, x, &inverse_factorials(0, 1, 1.0, 15));
    code.get(n);
    code.ops([I::I32x4TruncSatF64x2SZero, I::I64x2ExtendLowI32x4S]);
    code.tee(n);
    code.ops([I::I32Const(1), I::I64x2ShrS]);
    let half = code.take(ValType::V128);
    let power = |code: &mut Code| {
        splat_bits(code, 1023);
        code.ops([I::I64x2Add, I::I32Const(52), I::I64x2Shl, I::F64x2Mul]);
    };
    code.get(half);
    power(&mut code);
    code.get(n);
    code.get(half);
    code.op(I::I64x2Sub);
    power(&mut code);
    code
}

/// `ln(m 2^e) = e ln 2 + 2 artanh((m-1)/(m+1))` with `m` around 1.
fn log() -> Code {
    let (mut code, x) = function();
    // Subnormals are scaled up by 2^54 first.
    code.get(x);
    splat(&mut code, f64::MIN_POSITIVE);
    code.op(I::F64x2Lt);
    let small = code.take(ValType::V128);
    code.get(x);
    splat(&mut code, 18_014_398_509_481_984.0);
    code.op(I::F64x2Mul);
    code.get(x);
    code.get(small);
    code.op(I::V128Bitselect);
    let scaled = code.take(ValType::V128);
    // The exponent that leaves m between sqrt(1/2) and sqrt(2).
    code.get(scaled);
    splat_bits(&mut code, std::f64::consts::FRAC_1_SQRT_2.to_bits());
    code.ops([I::I64x2Sub, I::I32Const(52), I::I64x2ShrS]);
    let exponent = code.take(ValType::V128);
    code.get(scaled);
    code.get(exponent);
    code.ops([I::I32Const(52), I::I64x2Shl, I::I64x2Sub]);
    let m = code.take(ValType::V128);
    code.get(m);
    splat(&mut code, 1.0);
    code.op(I::F64x2Sub);
    code.get(m);
    splat(&mut code, 1.0);
    code.ops([I::F64x2Add, I::F64x2Div]);
    let s = code.take(ValType::V128);
    code.get(s);
    code.get(s);
    code.op(I::F64x2Mul);
    let square = code.take(ValType::V128);
    let series: Vec<f64> = (0..12).map(|k| 2.0 / f64::from(2 * k + 1)).collect();
    polynomial(&mut code, square, &series);
    code.get(s);
    code.op(I::F64x2Mul);
    let fraction = code.take(ValType::V128);
    // The exponent as a number, less the scale.
    code.get(exponent);
    code.get(exponent);
    let low = [0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11];
    code.ops([I::I8x16Shuffle(low), I::F64x2ConvertLowI32x4S]);
    splat(&mut code, 54.0);
    code.get(small);
    code.ops([I::V128And, I::F64x2Sub]);
    let e = code.take(ValType::V128);
    code.get(fraction);
    reduce(&mut code, e, &[-LN2[1], -LN2[0]]);
    special_logs(&mut code, x);
    code
}

/// Replaces the popped logarithm of `x` where `x` is not finite and positive.
fn special_logs(code: &mut Code, x: Local) {
    let result = code.take(ValType::V128);
    for (answer, compare, limit) in
        [(f64::NEG_INFINITY, I::F64x2Eq, 0.0), (f64::NAN, I::F64x2Lt, 0.0), (f64::INFINITY, I::F64x2Eq, f64::INFINITY)]
    {
        splat(code, answer);
        code.get(result);
        code.get(x);
        splat(code, limit);
        code.ops([compare, I::V128Bitselect]);
        code.set(result);
    }
    code.get(result);
    code.get(x);
    code.get(x);
    code.get(x);
    code.ops([I::F64x2Eq, I::V128Bitselect]);
}

/// Sine of `x + quarters * pi/2`, by reduction to an eighth of the circle. Arguments beyond 2^30 lose their digits.
fn sine(quarters: i64) -> Code {
    let (mut code, x) = function();
    code.get(x);
    splat(&mut code, std::f64::consts::FRAC_2_PI);
    code.ops([I::F64x2Mul, I::F64x2Nearest]);
    let n = code.take(ValType::V128);
    code.get(x);
    // pi/2 in three parts, the first two with 24 and more trailing zero bits.
    let first = f64::from_bits(0x3ff9_21fb_5400_0000);
    let second = f64::from_bits(0x3e11_0b46_1000_0000);
    reduce(&mut code, n, &[first, second, 5.039_098_467_258_714e-17]);
    code.set(x);
    code.get(x);
    code.get(x);
    code.op(I::F64x2Mul);
    let square = code.take(ValType::V128);
    code.get(n);
    code.ops([I::I32x4TruncSatF64x2SZero, I::I64x2ExtendLowI32x4S]);
    splat_bits(&mut code, quarters as u64);
    code.op(I::I64x2Add);
    code.set(n);
    polynomial(&mut code, square, &inverse_factorials(0, 2, -1.0, 10));
    polynomial(&mut code, square, &inverse_factorials(1, 2, -1.0, 10));
    code.get(x);
    code.op(I::F64x2Mul);
    bit_mask(&mut code, n, 0);
    code.op(I::V128Bitselect);
    bit_mask(&mut code, n, 1);
    splat_bits(&mut code, 1 << 63);
    code.ops([I::V128And, I::V128Xor]);
    code
}

/// Pushes a mask of the lanes where a bit of `n` is set.
fn bit_mask(code: &mut Code, n: Local, bit: u32) {
    code.get(n);
    code.ops([I::I32Const(63 - bit as i32), I::I64x2Shl, I::I32Const(63), I::I64x2ShrS]);
}

/// The first coefficients of the hyperbolic tangent's series: `4^n (4^n - 1) B_2n / (2n)!`.
const TANH: [f64; 12] = [
    1.0,
    -1.0 / 3.0,
    2.0 / 15.0,
    -0.053_968_253_968_253_97,
    0.021_869_488_536_155_203,
    -0.008_863_235_529_902_197,
    0.003_592_128_036_572_481,
    -0.001_455_834_387_051_318_3,
    0.000_590_027_440_945_586,
    -0.000_239_129_114_243_552_48,
    9.691_537_956_929_451e-5,
    -3.927_832_388_331_683e-5,
];

fn tanh(library: &mut Library) -> Code {
    let exp = unary(library, UnaryOp::Exp);
    let (mut code, x) = function();
    code.get(x);
    code.get(x);
    code.op(I::F64x2Mul);
    let square = code.take(ValType::V128);
    polynomial(&mut code, square, &TANH);
    code.get(x);
    code.op(I::F64x2Mul);
    splat(&mut code, 1.0);
    splat(&mut code, 2.0);
    code.get(x);
    code.op(I::F64x2Abs);
    splat(&mut code, 2.0);
    code.ops([I::F64x2Mul, I::Call(exp)]);
    splat(&mut code, 1.0);
    code.ops([I::F64x2Add, I::F64x2Div, I::F64x2Sub]);
    with_sign(&mut code, x);
    code.get(square);
    splat(&mut code, 0.06);
    code.ops([I::F64x2Lt, I::V128Bitselect]);
    code
}

fn with_sign(code: &mut Code, x: Local) {
    code.get(x);
    splat_bits(code, 1 << 63);
    code.ops([I::V128And, I::V128Xor]);
}

/// `erf x = 2/sqrt(pi) e^(-x^2) x (1 + 2x^2/3 (1 + 2x^2/5 (1 + ...)))`, whose terms are all positive.
fn erf(library: &mut Library) -> Code {
    let exp = unary(library, UnaryOp::Exp);
    let (mut code, x) = function();
    splat(&mut code, 6.0);
    code.get(x);
    code.op(I::F64x2Abs);
    // In this order a NaN stays.
    let (limit, magnitude) = {
        let magnitude = code.take(ValType::V128);
        (code.take(ValType::V128), magnitude)
    };
    code.get(magnitude);
    code.get(limit);
    code.op(I::F64x2PMin);
    code.set(magnitude);
    code.get(magnitude);
    code.get(magnitude);
    code.op(I::F64x2Mul);
    let square = code.take(ValType::V128);
    let (sum, n) = (code.local_v128(), code.local_i32());
    splat(&mut code, 1.0);
    code.set(sum);
    code.i32(321);
    code.set(n);
    code.begin_loop();
    code.get(sum);
    code.get(square);
    code.op(I::F64x2Mul);
    splat(&mut code, 2.0);
    code.op(I::F64x2Mul);
    code.get(n);
    code.ops([I::F64ConvertI32S, I::F64x2Splat, I::F64x2Div]);
    splat(&mut code, 1.0);
    code.op(I::F64x2Add);
    code.set(sum);
    code.add_const(n, -2);
    code.get(n);
    code.ops([I::I32Const(1), I::I32GtS, I::BrIf(0)]);
    code.end();
    code.get(sum);
    code.get(magnitude);
    code.op(I::F64x2Mul);
    splat(&mut code, std::f64::consts::FRAC_2_SQRT_PI);
    code.op(I::F64x2Mul);
    code.get(square);
    code.ops([I::F64x2Neg, I::Call(exp), I::F64x2Mul]);
    with_sign(&mut code, x);
    code
}

/// The function `(f64x2, f64x2) -> f64x2`: `x^y` by `e^(y ln|x|)`, with the signs and the special cases of IEEE 754 put right.
pub(crate) fn power(library: &mut Library) -> u32 {
    let exp = unary(library, UnaryOp::Exp);
    let log = unary(library, UnaryOp::Log);
    let (mut code, params) = Code::with_params(&[ValType::V128, ValType::V128]);
    let (x, y) = (params[0], params[1]);
    code.get(y);
    code.get(x);
    code.ops([I::F64x2Abs, I::Call(log), I::F64x2Mul, I::Call(exp)]);
    let result = code.take(ValType::V128);
    // A negative base: the power is negative for odd y, and none for a fraction.
    code.get(y);
    splat(&mut code, 0.5);
    code.op(I::F64x2Mul);
    let half = code.take(ValType::V128);
    code.get(y);
    code.get(y);
    code.ops([I::F64x2Floor, I::F64x2Eq]);
    let whole = code.take(ValType::V128);
    code.get(result);
    code.get(x);
    code.get(half);
    code.get(half);
    code.ops([I::F64x2Floor, I::F64x2Ne]);
    code.get(whole);
    code.op(I::V128And);
    splat_bits(&mut code, 1 << 63);
    code.ops([I::V128And, I::V128And, I::V128Xor]);
    code.set(result);
    splat(&mut code, f64::NAN);
    code.get(result);
    code.get(x);
    splat(&mut code, 0.0);
    code.op(I::F64x2Lt);
    code.get(x);
    splat(&mut code, f64::NEG_INFINITY);
    code.op(I::F64x2Ne);
    code.op(I::V128And);
    code.get(whole);
    code.ops([I::V128AndNot, I::V128Bitselect]);
    code.set(result);
    // 1^y and x^0 are 1, whatever the other is; so is (-1) to an infinite power.
    splat(&mut code, 1.0);
    code.get(result);
    code.get(x);
    splat(&mut code, 1.0);
    code.op(I::F64x2Eq);
    code.get(y);
    splat(&mut code, 0.0);
    code.op(I::F64x2Eq);
    code.op(I::V128Or);
    code.get(x);
    splat(&mut code, -1.0);
    code.op(I::F64x2Eq);
    code.get(y);
    code.op(I::F64x2Abs);
    splat(&mut code, f64::INFINITY);
    code.ops([I::F64x2Eq, I::V128And, I::V128Or, I::V128Bitselect]);
    library.functions.intern(&code, &[ValType::V128])
}

/// `remainder(x, y)` with the sign of `x`, exact: the divisor is scaled up below the dividend and taken off, again and again.
pub(crate) fn remainder() -> Code {
    let (mut code, params) = Code::with_params(&[ValType::F64, ValType::F64]);
    let (x, y) = (params[0], params[1]);
    // Not finite over anything, anything over 0, or a NaN: NaN.
    code.get(x);
    code.get(x);
    code.ops([I::F64Sub, I::F64Const(0.0.into()), I::F64Ne]);
    code.get(y);
    code.ops([I::F64Const(0.0.into()), I::F64Eq, I::I32Or]);
    code.get(y);
    code.get(y);
    code.ops([I::F64Ne, I::I32Or, I::If(BlockType::Empty), I::F64Const(f64::NAN.into()), I::Return, I::End]);
    code.get(y);
    code.op(I::F64Abs);
    code.set(y);
    let rest = code.local(ValType::F64);
    let step = code.local(ValType::F64);
    code.get(x);
    code.op(I::F64Abs);
    code.set(rest);
    code.op(I::Block(BlockType::Empty));
    code.begin_loop();
    code.get(rest);
    code.get(y);
    code.ops([I::F64Lt, I::BrIf(1)]);
    // The greatest y 2^k that is not above the rest: doubling cannot overflow, as half of the rest is compared.
    code.get(y);
    code.set(step);
    code.op(I::Block(BlockType::Empty));
    code.begin_loop();
    code.get(step);
    code.get(rest);
    code.ops([I::F64Const(0.5.into()), I::F64Mul, I::F64Gt, I::BrIf(1)]);
    code.get(step);
    code.get(step);
    code.op(I::F64Add);
    code.set(step);
    code.ops([I::Br(0), I::End, I::End]);
    code.get(rest);
    code.get(step);
    code.op(I::F64Sub);
    code.set(rest);
    code.ops([I::Br(0), I::End, I::End]);
    code.get(rest);
    code.get(x);
    code.op(I::F64Copysign);
    code
}
