//! Loads that widen to the compute type and stores that narrow from it.
//!
//! The address is on the stack; a store finds its value in a variable or above the address.

use super::code::{Code, Local, at};
use mlp_bundle::DType;
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

/// Loads one element.
pub(crate) fn load(code: &mut Code, dtype: DType, offset: u64) {
    let place = at(offset);
    match dtype {
        DType::Bool => code.ops([I::I32Load8U(place), I::I32Const(0), I::I32Ne]),
        DType::U8 => code.op(I::I32Load8U(place)),
        DType::I8 => code.op(I::I32Load8S(place)),
        DType::U16 => code.op(I::I32Load16U(place)),
        DType::I16 => code.op(I::I32Load16S(place)),
        DType::U32 | DType::I32 => code.op(I::I32Load(place)),
        DType::U64 | DType::I64 => code.op(I::I64Load(place)),
        DType::F32 => code.op(I::F32Load(place)),
        DType::F64 => code.op(I::F64Load(place)),
        DType::BF16 => code.ops([I::I32Load16U(place), I::I32Const(16), I::I32Shl, I::F32ReinterpretI32]),
        DType::F16 => {
            code.ops([I::I32Load16U(place), I::I32x4Splat]);
            widen_f16(code);
            code.op(I::F32x4ExtractLane(0));
        }
    }
}

/// Stores the popped value as one element.
pub(crate) fn store(code: &mut Code, dtype: DType, offset: u64) {
    let place = at(offset);
    match dtype {
        DType::Bool | DType::U8 | DType::I8 => code.op(I::I32Store8(place)),
        DType::U16 | DType::I16 => code.op(I::I32Store16(place)),
        DType::U32 | DType::I32 => code.op(I::I32Store(place)),
        DType::U64 | DType::I64 => code.op(I::I64Store(place)),
        DType::F32 => code.op(I::F32Store(place)),
        DType::F64 => code.op(I::F64Store(place)),
        DType::F16 | DType::BF16 => {
            code.op(I::F32x4Splat);
            if dtype == DType::F16 {
                narrow_f16(code)
            } else {
                narrow_bf16(code)
            }
            code.ops([I::I32x4ExtractLane(0), I::I32Store16(place)]);
        }
    }
}

/// Whether [`load_lanes`] and [`store_lanes`] can do it.
pub(crate) fn has_lanes(dtype: DType) -> bool {
    dtype.size() <= 4
}

/// Loads four successive elements.
pub(crate) fn load_lanes(code: &mut Code, dtype: DType, offset: u64) {
    let place = at(offset);
    match dtype {
        DType::U8 => code.ops([I::V128Load32Zero(place), I::I16x8ExtendLowI8x16U, I::I32x4ExtendLowI16x8U]),
        DType::I8 => code.ops([I::V128Load32Zero(place), I::I16x8ExtendLowI8x16S, I::I32x4ExtendLowI16x8S]),
        DType::Bool => {
            code.ops([I::V128Load32Zero(place), I::I16x8ExtendLowI8x16U, I::I32x4ExtendLowI16x8U]);
            code.splat_bits(0);
            code.op(I::I32x4Ne);
        }
        DType::U16 => code.op(I::V128Load16x4U(place)),
        DType::I16 => code.op(I::V128Load16x4S(place)),
        DType::BF16 => code.ops([I::V128Load16x4U(place), I::I32Const(16), I::I32x4Shl]),
        DType::F16 => {
            code.op(I::V128Load16x4U(place));
            widen_f16(code);
        }
        _ => code.op(I::V128Load(place)),
    }
}

/// Stores the first `lanes` lanes of `value` as successive elements. Pushes its address by itself.
pub(crate) fn store_lanes(code: &mut Code, dtype: DType, address: Local, value: Local, offset: u64, lanes: u8) {
    code.get(value);
    let step = |n: u8| [4 * n, 4 * n + 1, 4 * n + 2, 4 * n + 3];
    match dtype.size() {
        1 => {
            if dtype == DType::Bool {
                code.op(I::I32x4Neg);
            }
            // The low byte of each lane.
            let source = code.take(ValType::V128);
            code.get(source);
            code.get(source);
            let order = std::array::from_fn(|byte| step((byte % 4) as u8)[0]);
            code.op(I::I8x16Shuffle(order));
        }
        2 => {
            match dtype {
                DType::F16 => narrow_f16(code),
                DType::BF16 => narrow_bf16(code),
                _ => {}
            }
            let source = code.take(ValType::V128);
            code.get(source);
            code.get(source);
            let order = std::array::from_fn(|byte| step((byte / 2 % 4) as u8)[byte % 2]);
            code.op(I::I8x16Shuffle(order));
        }
        _ => {}
    }
    let narrow = code.take(ValType::V128);
    let size = dtype.size() as u64;
    if lanes == 4 {
        code.get(address);
        code.get(narrow);
        let memarg = at(offset);
        return code.op(match size {
            1 => I::V128Store32Lane { memarg, lane: 0 },
            2 => I::V128Store64Lane { memarg, lane: 0 },
            _ => I::V128Store(memarg),
        });
    }
    for lane in 0..lanes {
        code.get(address);
        code.get(narrow);
        let memarg = at(offset + u64::from(lane) * size);
        code.op(match size {
            1 => I::V128Store8Lane { memarg, lane },
            2 => I::V128Store16Lane { memarg, lane },
            _ => I::V128Store32Lane { memarg, lane },
        });
    }
}

/// Binary16 bits in the low half of each lane, as binary32: the exponent is moved by a product, which also makes subnormals right.
fn widen_f16(code: &mut Code) {
    let bits = code.take(ValType::V128);
    code.get(bits);
    code.splat_bits(0x7fff);
    code.ops([I::V128And, I::I32Const(13), I::I32x4Shl]);
    code.splat_bits(0x7780_0000); // 2^112
    code.op(I::F32x4Mul);
    let value = code.take(ValType::V128);
    // Infinities and NaNs keep an exponent of all ones.
    code.get(value);
    code.get(bits);
    code.splat_bits(0x7c00);
    code.op(I::V128And);
    code.splat_bits(0x7c00);
    code.op(I::I32x4Eq);
    code.splat_bits(0x7f80_0000);
    code.ops([I::V128And, I::V128Or]);
    code.get(bits);
    code.splat_bits(0x8000);
    code.ops([I::V128And, I::I32Const(16), I::I32x4Shl, I::V128Or]);
}

/// Binary32 lanes as binary16 bits in the low half of each lane, ties to even.
fn narrow_f16(code: &mut Code) {
    let bits = code.take(ValType::V128);
    code.get(bits);
    code.splat_bits(0x7fff_ffff);
    code.op(I::V128And);
    let magnitude = code.take(ValType::V128);
    // Subnormal: adding one half leaves the rounded result in the low bits of the sum.
    code.get(magnitude);
    code.splat_bits(0.5f32.to_bits());
    code.op(I::F32x4Add);
    code.splat_bits(0.5f32.to_bits());
    code.op(I::I32x4Sub);
    // Normal: round at bit 13, then move the exponent.
    code.get(magnitude);
    code.splat_bits(0xfff_u32.wrapping_sub(112 << 23));
    code.op(I::I32x4Add);
    code.get(magnitude);
    code.ops([I::I32Const(13), I::I32x4ShrU]);
    code.splat_bits(1);
    code.ops([I::V128And, I::I32x4Add, I::I32Const(13), I::I32x4ShrU]);
    code.get(magnitude);
    code.splat_bits(0x3880_0000);
    code.ops([I::I32x4LtS, I::V128Bitselect]);
    let finite = code.take(ValType::V128);
    // Too large is infinite, and NaN stays one.
    code.splat_bits(0x7c00);
    code.get(finite);
    code.get(magnitude);
    code.splat_bits(0x477f_efff);
    code.ops([I::I32x4GtS, I::V128Bitselect]);
    let value = code.take(ValType::V128);
    code.get(magnitude);
    code.ops([I::I32Const(13), I::I32x4ShrU]);
    code.splat_bits(0x3ff);
    code.op(I::V128And);
    code.splat_bits(0x7e00);
    code.op(I::V128Or);
    code.get(value);
    code.get(magnitude);
    code.splat_bits(0x7f80_0000);
    code.ops([I::I32x4GtS, I::V128Bitselect]);
    code.get(bits);
    code.ops([I::I32Const(16), I::I32x4ShrU]);
    code.splat_bits(0x8000);
    code.ops([I::V128And, I::V128Or]);
}

/// Binary32 lanes as bfloat16 bits in the low half of each lane, ties to even.
fn narrow_bf16(code: &mut Code) {
    let bits = code.take(ValType::V128);
    code.get(bits);
    code.splat_bits(0x7fff);
    code.op(I::I32x4Add);
    code.get(bits);
    code.ops([I::I32Const(16), I::I32x4ShrU]);
    code.splat_bits(1);
    code.ops([I::V128And, I::I32x4Add, I::I32Const(16), I::I32x4ShrU]);
    code.get(bits);
    code.ops([I::I32Const(16), I::I32x4ShrU]);
    code.splat_bits(0x40);
    code.op(I::V128Or);
    code.get(bits);
    code.get(bits);
    code.ops([I::F32x4Eq, I::V128Bitselect]);
}
