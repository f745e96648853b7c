//! Instructions for one value at a time, on every compute type.
//!
//! Operands are on the stack when a function here is called, and its result is when it returns. `Bool` is an `i32` of 0 or 1.

use super::code::{Code, Local};
use super::math::{self, Library};
use mlp_bundle::loops::{BinaryOp, CompareOp, UnaryOp};
use mlp_bundle::{DType, Scalar};
use wasm_encoder::Instruction as I;
use wasm_encoder::{Ieee32, Ieee64, ValType};

/// The WebAssembly type of a compute type.
pub(crate) fn val_type(ty: DType) -> ValType {
    match ty {
        DType::I64 | DType::U64 => ValType::I64,
        DType::F32 => ValType::F32,
        DType::F64 => ValType::F64,
        _ => ValType::I32,
    }
}

/// Pushes a constant.
pub(crate) fn constant(code: &mut Code, value: Scalar) {
    code.op(match value {
        Scalar::Bool(x) => I::I32Const(i32::from(x)),
        Scalar::I32(x) => I::I32Const(x),
        Scalar::U32(x) => I::I32Const(x as i32),
        Scalar::I64(x) => I::I64Const(x),
        Scalar::U64(x) => I::I64Const(x as i64),
        Scalar::F32(bits) => I::F32Const(Ieee32::new(bits)),
        Scalar::F64(bits) => I::F64Const(Ieee64::new(bits)),
    });
}

/// A function of one operand.
pub(crate) fn unary(code: &mut Code, library: &mut Library, op: UnaryOp, ty: DType) {
    match (val_type(ty), op) {
        (ValType::I32, UnaryOp::Not) if ty == DType::Bool => code.op(I::I32Eqz),
        (ValType::I32, UnaryOp::Not) => code.ops([I::I32Const(-1), I::I32Xor]),
        (ValType::I32, UnaryOp::Neg) => code.ops([I::I32Const(-1), I::I32Mul]),
        (ValType::I64, UnaryOp::Not) => code.ops([I::I64Const(-1), I::I64Xor]),
        (ValType::I64, UnaryOp::Neg) => code.ops([I::I64Const(-1), I::I64Mul]),
        (ValType::I32 | ValType::I64, UnaryOp::Abs) => int_abs(code, ty),
        (ValType::F32, _) => float_unary_f32(code, library, op),
        _ => float_unary_f64(code, library, op),
    }
}

fn int_abs(code: &mut Code, ty: DType) {
    match ty {
        DType::I32 => {
            let x = code.take(ValType::I32);
            code.i32(0);
            code.get(x);
            code.op(I::I32Sub);
            code.get(x);
            code.get(x);
            code.ops([I::I32Const(0), I::I32LtS, I::Select]);
        }
        DType::I64 => {
            let x = code.take(ValType::I64);
            code.i64(0);
            code.get(x);
            code.op(I::I64Sub);
            code.get(x);
            code.get(x);
            code.ops([I::I64Const(0), I::I64LtS, I::Select]);
        }
        // Unsigned values are their own magnitude.
        _ => {}
    }
}

fn float_unary_f32(code: &mut Code, library: &mut Library, op: UnaryOp) {
    let instruction = match op {
        UnaryOp::Neg => I::F32Neg,
        UnaryOp::Abs => I::F32Abs,
        UnaryOp::Sqrt => I::F32Sqrt,
        UnaryOp::RoundEven => I::F32Nearest,
        UnaryOp::Floor => I::F32Floor,
        UnaryOp::Ceil => I::F32Ceil,
        UnaryOp::Trunc => I::F32Trunc,
        _ => {
            code.op(I::F32x4Splat);
            math::call_f32x4(code, library, op);
            return code.op(I::F32x4ExtractLane(0));
        }
    };
    code.op(instruction);
}

fn float_unary_f64(code: &mut Code, library: &mut Library, op: UnaryOp) {
    let instruction = match op {
        UnaryOp::Neg => I::F64Neg,
        UnaryOp::Abs => I::F64Abs,
        UnaryOp::Sqrt => I::F64Sqrt,
        UnaryOp::RoundEven => I::F64Nearest,
        UnaryOp::Floor => I::F64Floor,
        UnaryOp::Ceil => I::F64Ceil,
        UnaryOp::Trunc => I::F64Trunc,
        _ => {
            code.op(I::F64x2Splat);
            math::call_f64x2(code, library, op);
            return code.op(I::F64x2ExtractLane(0));
        }
    };
    code.op(instruction);
}

/// A function of two operands of one type.
pub(crate) fn binary(code: &mut Code, library: &mut Library, op: BinaryOp, ty: DType) {
    match (op, val_type(ty)) {
        (BinaryOp::Min, _) => choose(code, ty, true),
        (BinaryOp::Max, _) => choose(code, ty, false),
        (BinaryOp::Div | BinaryOp::Rem, ValType::I32 | ValType::I64) => divide(code, op, ty),
        (BinaryOp::Add, ValType::I32) if ty == DType::Bool => code.op(I::I32Or),
        (BinaryOp::Mul, ValType::I32) if ty == DType::Bool => code.op(I::I32And),
        (_, ValType::I32) => code.op(match op {
            BinaryOp::Add => I::I32Add,
            BinaryOp::Sub => I::I32Sub,
            BinaryOp::Mul => I::I32Mul,
            BinaryOp::And => I::I32And,
            BinaryOp::Or => I::I32Or,
            BinaryOp::Xor => I::I32Xor,
            BinaryOp::Shl => I::I32Shl,
            _ if ty == DType::U32 => I::I32ShrU,
            _ => I::I32ShrS,
        }),
        (_, ValType::I64) => code.op(match op {
            BinaryOp::Add => I::I64Add,
            BinaryOp::Sub => I::I64Sub,
            BinaryOp::Mul => I::I64Mul,
            BinaryOp::And => I::I64And,
            BinaryOp::Or => I::I64Or,
            BinaryOp::Xor => I::I64Xor,
            BinaryOp::Shl => I::I64Shl,
            _ if ty == DType::U64 => I::I64ShrU,
            _ => I::I64ShrS,
        }),
        (BinaryOp::Rem, _) => remainder(code, library, ty),
        (BinaryOp::Pow, _) => power(code, library, ty),
        (_, ValType::F32) => code.op(match op {
            BinaryOp::Add => I::F32Add,
            BinaryOp::Sub => I::F32Sub,
            BinaryOp::Mul => I::F32Mul,
            _ => I::F32Div,
        }),
        _ => code.op(match op {
            BinaryOp::Add => I::F64Add,
            BinaryOp::Sub => I::F64Sub,
            BinaryOp::Mul => I::F64Mul,
            _ => I::F64Div,
        }),
    }
}

fn take_pair(code: &mut Code, ty: DType) -> (Local, Local) {
    let b = code.take(val_type(ty));
    let a = code.take(val_type(ty));
    (a, b)
}

/// `if b < a { b } else { a }`, or with the comparison turned round.
fn choose(code: &mut Code, ty: DType, least: bool) {
    let (a, b) = take_pair(code, ty);
    code.get(b);
    code.get(a);
    let (x, y) = if least { (b, a) } else { (a, b) };
    code.get(x);
    code.get(y);
    compare(code, CompareOp::Lt, ty);
    code.op(I::Select);
}

/// Integer quotient and remainder: 0 by zero, and no trap for the smallest value by -1.
fn divide(code: &mut Code, op: BinaryOp, ty: DType) {
    let wide = val_type(ty) == ValType::I64;
    let signed = matches!(ty, DType::I32 | DType::I64);
    let (a, b) = take_pair(code, ty);
    let constant = |code: &mut Code, value: i64| code.op(if wide { I::I64Const(value) } else { I::I32Const(value as i32) });
    code.get(b);
    code.op(if wide { I::I64Eqz } else { I::I32Eqz });
    code.op(I::If(wasm_encoder::BlockType::Result(val_type(ty))));
    constant(code, 0);
    code.op(I::Else);
    if signed && op == BinaryOp::Div {
        code.get(b);
        constant(code, -1);
        code.op(if wide { I::I64Eq } else { I::I32Eq });
        code.op(I::If(wasm_encoder::BlockType::Result(val_type(ty))));
        constant(code, 0);
        code.get(a);
        code.op(if wide { I::I64Sub } else { I::I32Sub });
        code.op(I::Else);
    }
    code.get(a);
    code.get(b);
    code.op(match (op, wide, signed) {
        (BinaryOp::Div, false, true) => I::I32DivS,
        (BinaryOp::Div, false, false) => I::I32DivU,
        (BinaryOp::Div, true, true) => I::I64DivS,
        (BinaryOp::Div, true, false) => I::I64DivU,
        (_, false, true) => I::I32RemS,
        (_, false, false) => I::I32RemU,
        (_, true, true) => I::I64RemS,
        (_, true, false) => I::I64RemU,
    });
    if signed && op == BinaryOp::Div {
        code.end();
    }
    code.end();
}

fn remainder(code: &mut Code, library: &mut Library, ty: DType) {
    let index = library.remainder();
    if ty == DType::F32 {
        let (a, b) = take_pair(code, ty);
        code.get(a);
        code.op(I::F64PromoteF32);
        code.get(b);
        code.ops([I::F64PromoteF32, I::Call(index), I::F32DemoteF64]);
    } else {
        code.op(I::Call(index));
    }
}

fn power(code: &mut Code, library: &mut Library, ty: DType) {
    let (a, b) = take_pair(code, ty);
    let splat = if ty == DType::F32 { I::F32x4Splat } else { I::F64x2Splat };
    code.get(a);
    code.op(splat.clone());
    code.get(b);
    code.op(splat);
    math::call_power(code, library, ty);
    code.op(if ty == DType::F32 { I::F32x4ExtractLane(0) } else { I::F64x2ExtractLane(0) });
}

/// A comparison.
pub(crate) fn compare(code: &mut Code, op: CompareOp, ty: DType) {
    let unsigned = matches!(ty, DType::U32 | DType::U64 | DType::Bool);
    code.op(match (val_type(ty), op, unsigned) {
        (ValType::I32, CompareOp::Eq, _) => I::I32Eq,
        (ValType::I32, CompareOp::Ne, _) => I::I32Ne,
        (ValType::I32, CompareOp::Lt, false) => I::I32LtS,
        (ValType::I32, CompareOp::Lt, true) => I::I32LtU,
        (ValType::I32, CompareOp::Le, false) => I::I32LeS,
        (ValType::I32, CompareOp::Le, true) => I::I32LeU,
        (ValType::I64, CompareOp::Eq, _) => I::I64Eq,
        (ValType::I64, CompareOp::Ne, _) => I::I64Ne,
        (ValType::I64, CompareOp::Lt, false) => I::I64LtS,
        (ValType::I64, CompareOp::Lt, true) => I::I64LtU,
        (ValType::I64, CompareOp::Le, false) => I::I64LeS,
        (ValType::I64, CompareOp::Le, true) => I::I64LeU,
        (ValType::F32, CompareOp::Eq, _) => I::F32Eq,
        (ValType::F32, CompareOp::Ne, _) => I::F32Ne,
        (ValType::F32, CompareOp::Lt, _) => I::F32Lt,
        (ValType::F32, CompareOp::Le, _) => I::F32Le,
        (_, CompareOp::Eq, _) => I::F64Eq,
        (_, CompareOp::Ne, _) => I::F64Ne,
        (_, CompareOp::Lt, _) => I::F64Lt,
        (_, CompareOp::Le, _) => I::F64Le,
    });
}

/// A conversion between compute types.
pub(crate) fn cast(code: &mut Code, from: DType, to: DType) {
    let unsigned = matches!(from, DType::U32 | DType::U64 | DType::Bool);
    if from == to {
        return;
    }
    match to {
        DType::Bool => match val_type(from) {
            ValType::I32 => code.ops([I::I32Const(0), I::I32Ne]),
            ValType::I64 => code.ops([I::I64Const(0), I::I64Ne]),
            ValType::F32 => code.ops([I::F32Const(Ieee32::new(0)), I::F32Ne]),
            _ => code.ops([I::F64Const(Ieee64::new(0)), I::F64Ne]),
        },
        DType::I32 | DType::U32 => match (val_type(from), to) {
            (ValType::I64, _) => code.op(I::I32WrapI64),
            (ValType::F32, DType::I32) => code.op(I::I32TruncSatF32S),
            (ValType::F32, _) => code.op(I::I32TruncSatF32U),
            (ValType::F64, DType::I32) => code.op(I::I32TruncSatF64S),
            (ValType::F64, _) => code.op(I::I32TruncSatF64U),
            _ => {}
        },
        DType::I64 | DType::U64 => match (val_type(from), to) {
            (ValType::I32, _) => code.op(if unsigned { I::I64ExtendI32U } else { I::I64ExtendI32S }),
            (ValType::F32, DType::I64) => code.op(I::I64TruncSatF32S),
            (ValType::F32, _) => code.op(I::I64TruncSatF32U),
            (ValType::F64, DType::I64) => code.op(I::I64TruncSatF64S),
            (ValType::F64, _) => code.op(I::I64TruncSatF64U),
            _ => {}
        },
        DType::F32 => code.op(match (val_type(from), unsigned) {
            (ValType::I32, true) => I::F32ConvertI32U,
            (ValType::I32, false) => I::F32ConvertI32S,
            (ValType::I64, true) => I::F32ConvertI64U,
            (ValType::I64, false) => I::F32ConvertI64S,
            _ => I::F32DemoteF64,
        }),
        _ => code.op(match (val_type(from), unsigned) {
            (ValType::I32, true) => I::F64ConvertI32U,
            (ValType::I32, false) => I::F64ConvertI32S,
            (ValType::I64, true) => I::F64ConvertI64U,
            (ValType::I64, false) => I::F64ConvertI64S,
            _ => I::F64PromoteF32,
        }),
    }
}

/// The same bits as another type.
pub(crate) fn bitcast(code: &mut Code, from: DType, to: DType) {
    match (val_type(from), val_type(to)) {
        (ValType::I32, ValType::F32) => code.op(I::F32ReinterpretI32),
        (ValType::F32, ValType::I32) => code.op(I::I32ReinterpretF32),
        (ValType::I64, ValType::F64) => code.op(I::F64ReinterpretI64),
        (ValType::F64, ValType::I64) => code.op(I::I64ReinterpretF64),
        _ => {}
    }
}

/// `(value, multiplier)` on the stack, rounded half to even and saturated; see [`mlp_bundle::loops::Expr::Requantize`].
pub(crate) fn requantize(code: &mut Code, shift: u8) {
    let multiplier = code.take(ValType::I32);
    code.op(I::I64ExtendI32S);
    code.get(multiplier);
    code.ops([I::I64ExtendI32S, I::I64Mul]);
    let t = code.local(ValType::I64);
    code.tee(t);
    let shift = i64::from(shift);
    code.ops([I::I64Const((1 << (shift - 1)) - 1), I::I64Add]);
    code.get(t);
    code.ops([I::I64Const(shift), I::I64ShrS, I::I64Const(1), I::I64And, I::I64Add, I::I64Const(shift), I::I64ShrS]);
    if shift < 32 {
        for (limit, lower) in [(i64::from(i32::MIN), true), (i64::from(i32::MAX), false)] {
            code.tee(t);
            code.i64(limit);
            code.get(t);
            code.i64(limit);
            code.op(if lower { I::I64GtS } else { I::I64LtS });
            code.op(I::Select);
        }
    }
    code.op(I::I32WrapI64);
}
