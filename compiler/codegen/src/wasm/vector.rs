//! Instructions for four lanes at once, on `F32`, `I32`, `U32` and `Bool`.
//!
//! A `Bool` vector is a mask: each lane all ones or all zeros. Operands are on the stack when a function here is called, and its result is when it
//! returns; each gives, lane by lane, what its namesake in [`super::scalar`] gives.

use super::code::{Code, Local};
use super::math::{self, Library};
use mlp_bundle::DType;
use mlp_bundle::loops::{BinaryOp, CompareOp, UnaryOp};
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

/// Whether values of this compute type can be held four at a time.
pub(crate) fn holds(ty: DType) -> bool {
    matches!(ty, DType::F32 | DType::I32 | DType::U32 | DType::Bool)
}

/// Whether [`unary`] can do it.
pub(crate) fn has_unary(_op: UnaryOp, ty: DType) -> bool {
    holds(ty)
}

/// Whether [`binary`] can do it.
pub(crate) fn has_binary(op: BinaryOp, ty: DType, constant_right: bool) -> bool {
    holds(ty)
        && match op {
            BinaryOp::Div => ty == DType::F32,
            BinaryOp::Rem => false,
            BinaryOp::Shl | BinaryOp::Shr => constant_right,
            _ => true,
        }
}

/// Whether [`cast`] can do it.
pub(crate) fn has_cast(from: DType, to: DType) -> bool {
    holds(from) && holds(to)
}

/// The popped scalar in every lane.
pub(crate) fn splat(code: &mut Code, ty: DType) {
    match ty {
        DType::F32 => code.op(I::F32x4Splat),
        DType::Bool => code.ops([I::I32Const(0), I::I32Ne, I::I32x4Splat, I::I32x4Neg]),
        _ => code.op(I::I32x4Splat),
    }
}

/// A function of one operand.
pub(crate) fn unary(code: &mut Code, library: &mut Library, op: UnaryOp, ty: DType) {
    let instruction = match (op, ty) {
        (UnaryOp::Not, _) => I::V128Not,
        (UnaryOp::Neg, DType::F32) => I::F32x4Neg,
        (UnaryOp::Neg, _) => I::I32x4Neg,
        (UnaryOp::Abs, DType::F32) => I::F32x4Abs,
        (UnaryOp::Abs, DType::I32) => I::I32x4Abs,
        (UnaryOp::Abs, _) => return,
        (UnaryOp::Sqrt, _) => I::F32x4Sqrt,
        (UnaryOp::RoundEven, _) => I::F32x4Nearest,
        (UnaryOp::Floor, _) => I::F32x4Floor,
        (UnaryOp::Ceil, _) => I::F32x4Ceil,
        (UnaryOp::Trunc, _) => I::F32x4Trunc,
        _ => return math::call_f32x4(code, library, op),
    };
    code.op(instruction);
}

/// A function of two operands of one type. A shift takes its count from [`shift`].
pub(crate) fn binary(code: &mut Code, library: &mut Library, op: BinaryOp, ty: DType) {
    let instruction = match (op, ty) {
        (BinaryOp::Pow, _) => return math::call_power(code, library, ty),
        (BinaryOp::Add | BinaryOp::Or, DType::Bool) | (BinaryOp::Or, _) => I::V128Or,
        (BinaryOp::Mul | BinaryOp::And, DType::Bool) | (BinaryOp::And, _) => I::V128And,
        (BinaryOp::Xor, _) => I::V128Xor,
        (BinaryOp::Add, DType::F32) => I::F32x4Add,
        (BinaryOp::Sub, DType::F32) => I::F32x4Sub,
        (BinaryOp::Mul, DType::F32) => I::F32x4Mul,
        (BinaryOp::Div, _) => I::F32x4Div,
        // The pseudo-minimum is `b < a ? b : a`, which is how the loop IR defines it.
        (BinaryOp::Min, DType::F32) => I::F32x4PMin,
        (BinaryOp::Max, DType::F32) => I::F32x4PMax,
        (BinaryOp::Add, _) => I::I32x4Add,
        (BinaryOp::Sub, _) => I::I32x4Sub,
        (BinaryOp::Mul, _) => I::I32x4Mul,
        (BinaryOp::Min, DType::U32) => I::I32x4MinU,
        (BinaryOp::Max, DType::U32) => I::I32x4MaxU,
        (BinaryOp::Min, _) => I::I32x4MinS,
        _ => I::I32x4MaxS,
    };
    code.op(instruction);
}

/// A shift of every lane by the popped scalar count.
pub(crate) fn shift(code: &mut Code, op: BinaryOp, ty: DType) {
    code.op(match (op, ty) {
        (BinaryOp::Shl, _) => I::I32x4Shl,
        (_, DType::U32) => I::I32x4ShrU,
        _ => I::I32x4ShrS,
    });
}

/// A comparison.
pub(crate) fn compare(code: &mut Code, op: CompareOp, ty: DType) {
    if ty == DType::Bool && matches!(op, CompareOp::Lt | CompareOp::Le) {
        // False is all zeros and true is -1, so that the order of signed lanes is turned round.
        return code.op(if op == CompareOp::Lt { I::I32x4GtS } else { I::I32x4GeS });
    }
    code.op(match (op, ty) {
        (CompareOp::Eq, DType::F32) => I::F32x4Eq,
        (CompareOp::Ne, DType::F32) => I::F32x4Ne,
        (CompareOp::Lt, DType::F32) => I::F32x4Lt,
        (CompareOp::Le, DType::F32) => I::F32x4Le,
        (CompareOp::Eq, _) => I::I32x4Eq,
        (CompareOp::Ne, _) => I::I32x4Ne,
        (CompareOp::Lt, DType::U32) => I::I32x4LtU,
        (CompareOp::Le, DType::U32) => I::I32x4LeU,
        (CompareOp::Lt, _) => I::I32x4LtS,
        (CompareOp::Le, _) => I::I32x4LeS,
    });
}

/// A conversion.
pub(crate) fn cast(code: &mut Code, from: DType, to: DType) {
    match (from, to) {
        (from, to) if from == to => {}
        (DType::F32, DType::Bool) => {
            code.splat_bits(0);
            code.op(I::F32x4Ne);
        }
        (_, DType::Bool) => {
            code.splat_bits(0);
            code.op(I::I32x4Ne);
        }
        (DType::Bool, DType::F32) => {
            code.splat_bits(1f32.to_bits());
            code.op(I::V128And);
        }
        (DType::Bool, _) => code.op(I::I32x4Neg),
        (DType::F32, DType::I32) => code.op(I::I32x4TruncSatF32x4S),
        (DType::F32, _) => code.op(I::I32x4TruncSatF32x4U),
        (DType::U32, DType::F32) => code.op(I::F32x4ConvertI32x4U),
        (_, DType::F32) => code.op(I::F32x4ConvertI32x4S),
        _ => {}
    }
}

/// How the two halves of a rounded 64-bit vector pair become one vector of four.
const LOW_WORDS: [u8; 16] = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27];
const HIGH_WORDS: [u8; 16] = [4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31];

/// `(value, multiplier)`, rounded half to even and saturated.
pub(crate) fn requantize(code: &mut Code, shift: u8) {
    let b = code.take(ValType::V128);
    let a = code.take(ValType::V128);
    let products = [I::I64x2ExtMulLowI32x4S, I::I64x2ExtMulHighI32x4S].map(|product| {
        code.get(a);
        code.get(b);
        code.op(product);
        code.take(ValType::V128)
    });
    if shift >= 32 { high_words(code, products, shift) } else { full_words(code, products, shift) }
}

fn splat_i64(code: &mut Code, value: i64) {
    let lane = u128::from(value as u64);
    code.op(I::V128Const((lane | lane << 64) as i128));
}

/// From a shift of 32 on, the quotient is in the upper words once half is added; where the sum's lower bits are all zero, the value lay half
/// way and an odd quotient goes one down.
fn high_words(code: &mut Code, products: [Local; 2], shift: u8) {
    for product in products {
        code.get(product);
        splat_i64(code, 1 << (shift - 1));
        code.op(I::I64x2Add);
        code.set(product);
    }
    let [low, high] = [LOW_WORDS, HIGH_WORDS].map(|words| {
        code.get(products[0]);
        code.get(products[1]);
        code.op(I::I8x16Shuffle(words));
        code.take(ValType::V128)
    });
    code.get(high);
    code.ops([I::I32Const(i32::from(shift) - 32), I::I32x4ShrS]);
    let quotient = code.take(ValType::V128);
    code.get(quotient);
    if shift > 32 {
        code.get(high);
        code.splat_bits((1u32 << (shift - 32)) - 1);
        code.op(I::V128And);
        code.get(low);
        code.op(I::V128Or);
    } else {
        code.get(low);
    }
    code.splat_bits(0);
    code.op(I::I32x4Eq);
    code.get(quotient);
    code.op(I::V128And);
    code.splat_bits(1);
    code.ops([I::V128And, I::I32x4Sub]);
}

/// Below a shift of 32 the quotient may exceed 32 bits and is saturated in 64.
fn full_words(code: &mut Code, products: [Local; 2], shift: u8) {
    let count = i32::from(shift);
    for t in products {
        code.get(t);
        splat_i64(code, (1 << (shift - 1)) - 1);
        code.op(I::I64x2Add);
        code.get(t);
        code.ops([I::I32Const(count), I::I64x2ShrS]);
        splat_i64(code, 1);
        code.ops([I::V128And, I::I64x2Add, I::I32Const(count), I::I64x2ShrS]);
        saturate(code, t);
    }
    code.get(products[0]);
    code.get(products[1]);
    code.op(I::I8x16Shuffle(LOW_WORDS));
}

/// A requantization whose multiplier is 1 and whose shift is at most 30 stays in 32 bits.
pub(crate) fn round_shift(code: &mut Code, shift: u8) {
    let value = code.take(ValType::V128);
    code.get(value);
    code.ops([I::I32Const(i32::from(shift)), I::I32x4ShrS]);
    let quotient = code.take(ValType::V128);
    code.get(quotient);
    code.get(value);
    code.splat_bits((1u32 << shift) - 1);
    code.op(I::V128And);
    code.get(quotient);
    code.splat_bits(1);
    code.ops([I::V128And, I::I32x4Add]);
    code.splat_bits(1u32 << (shift - 1));
    code.ops([I::I32x4GtS, I::I32x4Sub]);
}

/// The function `(value, multiplier, shift) -> quotient`, rounded half to even and saturated, for any shift.
pub(crate) fn requantize_function(library: &mut Library) -> u32 {
    let (mut code, params) = Code::with_params(&[ValType::V128, ValType::V128, ValType::I32]);
    let [value, multiplier, shift] = params[..] else { unreachable!("three parameters were asked for") };
    for product in [I::I64x2ExtMulLowI32x4S, I::I64x2ExtMulHighI32x4S] {
        code.get(value);
        code.get(multiplier);
        code.op(product);
        let t = code.take(ValType::V128);
        code.get(t);
        code.i64(1);
        code.get(shift);
        code.ops([I::I32Const(1), I::I32Sub, I::I64ExtendI32U, I::I64Shl, I::I64Const(1), I::I64Sub, I::I64x2Splat, I::I64x2Add]);
        code.get(t);
        code.get(shift);
        code.op(I::I64x2ShrS);
        splat_i64(&mut code, 1);
        code.ops([I::V128And, I::I64x2Add]);
        code.get(shift);
        code.op(I::I64x2ShrS);
        saturate(&mut code, t);
        code.get(t);
    }
    code.op(I::I8x16Shuffle(LOW_WORDS));
    library.functions.intern(&code, &[ValType::V128])
}

/// Puts the popped 64-bit lanes into a variable, held to what 32 bits can say.
fn saturate(code: &mut Code, t: Local) {
    for (limit, over) in [(i64::from(i32::MAX), I::I64x2GtS), (i64::from(i32::MIN), I::I64x2LtS)] {
        code.set(t);
        splat_i64(code, limit);
        code.get(t);
        code.get(t);
        splat_i64(code, limit);
        code.ops([over, I::V128Bitselect]);
    }
    code.set(t);
}
