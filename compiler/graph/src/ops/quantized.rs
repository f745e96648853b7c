//! Integer arithmetic with requantization: `QuantizedConv`, `QuantizedMatMul`, `QuantizedAdd`, `QuantizedMean`.

use crate::infer::{Inferred, broadcast, check_axes, constant_dim, expect_dtype, expect_shape};
use crate::ir::Type;
use crate::op::Op;
use crate::ops::{conv, reduce};
use crate::shape::{Dim, Shape};
use mlp_bundle::DType;

const BYTES: [DType; 2] = [DType::U8, DType::I8];

pub(crate) fn infer_conv(op: &Op, operands: &[Type]) -> Inferred {
    let Op::QuantizedConv { spatial, groups, layout, shift, dtype, lo, hi, in_zero, .. } = op else { unreachable!("dispatched by kind") };
    let (x, weights) = (&operands[0], &operands[1]);
    expect_dtype("the input", x, &BYTES)?;
    expect_dtype("the weights", weights, &[DType::I8])?;
    let shape = conv::infer_shape(spatial, *groups, *layout, &x.shape, &weights.shape)?;
    check_channel("the bias", &operands[2], weights.shape.0[0])?;
    check_channel("the multiplier", &operands[3], weights.shape.0[0])?;
    check_zero("padding", *in_zero, x.dtype)?;
    check_output(*dtype, *shift, *lo, *hi)?;
    Ok(Type::new(*dtype, shape))
}

pub(crate) fn infer_matmul(op: &Op, operands: &[Type]) -> Inferred {
    let Op::QuantizedMatMul { shift, dtype, lo, hi, .. } = op else { unreachable!("dispatched by kind") };
    let (x, weights) = (&operands[0], &operands[1]);
    expect_dtype("the input", x, &BYTES)?;
    expect_dtype("the weights", weights, &[DType::I8])?;
    if x.shape.rank() != 2 || weights.shape.rank() != 2 {
        return Err(format!("operands must have rank 2, but are {x} and {weights}"));
    }
    if x.shape.0[1] != weights.shape.0[0] {
        return Err(format!("{} x {} sums over different counts", x.shape, weights.shape));
    }
    constant_dim("the number of columns", weights.shape.0[1])?;
    let columns = weights.shape.0[1];
    check_channel("the bias", &operands[2], columns)?;
    match operands.get(3) {
        None if *dtype == DType::I32 => {}
        Some(multiplier) if *dtype != DType::I32 => {
            check_channel("the multiplier", multiplier, columns)?;
            check_output(*dtype, *shift, *lo, *hi)?;
        }
        _ => return Err("has a multiplier exactly where the result is not i32".into()),
    }
    Ok(Type::new(*dtype, Shape(vec![x.shape.0[0], columns])))
}

pub(crate) fn infer_add(op: &Op, operands: &[Type]) -> Inferred {
    let Op::QuantizedAdd { shift, dtype, lo, hi, .. } = op else { unreachable!("dispatched by kind") };
    expect_dtype("the left operand", &operands[0], &BYTES)?;
    expect_dtype("the right operand", &operands[1], &BYTES)?;
    check_output(*dtype, *shift, *lo, *hi)?;
    if *shift > 30 {
        return Err(format!("a shift of {shift} leaves 31 bits"));
    }
    Ok(Type::new(*dtype, broadcast(&operands[0].shape, &operands[1].shape)?))
}

pub(crate) fn infer_mean(op: &Op, operands: &[Type]) -> Inferred {
    let Op::QuantizedMean { axes, shift, dtype, lo, hi, .. } = op else { unreachable!("dispatched by kind") };
    expect_dtype("the input", &operands[0], &BYTES)?;
    check_axes(axes, &operands[0].shape)?;
    check_output(*dtype, *shift, *lo, *hi)?;
    Ok(Type::new(*dtype, reduce::reduced(&operands[0].shape, axes, true)))
}

fn check_channel(what: &str, ty: &Type, channels: Dim) -> Result<(), String> {
    expect_dtype(what, ty, &[DType::I32])?;
    expect_shape(what, ty, &[channels])
}

/// The values that a quantized element type holds.
pub(crate) fn range(dtype: DType) -> (i32, i32) {
    match dtype {
        DType::U8 => (0, 255),
        DType::I8 => (-128, 127),
        DType::U16 => (0, 65535),
        DType::I16 => (-32768, 32767),
        _ => (i32::MIN, i32::MAX),
    }
}

fn check_zero(what: &str, zero: i32, dtype: DType) -> Result<(), String> {
    let (least, most) = range(dtype);
    if (least..=most).contains(&zero) { Ok(()) } else { Err(format!("the zero point {zero} of {what} is outside {dtype}")) }
}

fn check_output(dtype: DType, shift: u8, lo: i32, hi: i32) -> Result<(), String> {
    if !BYTES.contains(&dtype) {
        return Err(format!("makes u8 or i8, not {dtype}"));
    }
    if !(1..=62).contains(&shift) {
        return Err(format!("the shift {shift} is outside 1 to 62"));
    }
    let (least, most) = range(dtype);
    if lo > hi || lo < least || hi > most {
        return Err(format!("the bounds {lo} to {hi} are no range within {dtype}"));
    }
    Ok(())
}
