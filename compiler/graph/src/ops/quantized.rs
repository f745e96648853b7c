//! Integer arithmetic with requantization: `QuantizedConv`, `QuantizedMatMul`, `QuantizedAdd`, `QuantizedMean`.

use crate::infer::{Inferred, broadcast, check_axes, constant_dim, expect_dtype, expect_shape};
use crate::ir::Type;
use crate::numbers::{Elements, requantize, round_shift};
use crate::op::Op;
use crate::ops::matmul::Sum;
use crate::ops::movement::{axes_last, broadcast_to, transposed};
use crate::ops::{conv, reduce, window};
use crate::shape::{Dim, Shape};
use crate::tensor::Tensor;
use mlp_bundle::DType;

const BYTES: [DType; 2] = [DType::U8, DType::I8];

pub(crate) fn infer_conv(op: &Op, operands: &[Type]) -> Inferred {
    let Op::QuantizedConv { spatial, groups, layout, shift, dtype, lo, hi, in_zero, .. } = op else { unreachable!("dispatched by kind") };
    let (x, weights) = (&operands[0], &operands[1]);
    expect_dtype("the input", x, &BYTES)?;
    expect_dtype("the weights", weights, &[DType::I8])?;
    let shape = conv::infer_shape(spatial, *groups, *layout, &x.shape, &weights.shape)?;
    check_channel("the bias", &operands[2], weights.shape.0[0])?;
    check_zero("padding", *in_zero, x.dtype)?;
    check_result(*dtype, operands.get(3), weights.shape.0[0], (*shift, *lo, *hi))?;
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
    check_result(*dtype, operands.get(3), columns, (*shift, *lo, *hi))?;
    Ok(Type::new(*dtype, Shape(vec![x.shape.0[0], columns])))
}

/// Sums that are requantized, or stay as they are where the result is `I32`.
fn check_result(dtype: DType, multiplier: Option<&Type>, channels: Dim, (shift, lo, hi): (u8, i32, i32)) -> Result<(), String> {
    match multiplier {
        None if dtype == DType::I32 => Ok(()),
        Some(multiplier) if dtype != DType::I32 => {
            check_channel("the multiplier", multiplier, channels)?;
            check_output(dtype, shift, lo, hi)
        }
        _ => Err("has a multiplier exactly where the result is not i32".into()),
    }
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

/// Elements of a tensor whose compute type is `I32`.
fn ints(tensor: &Tensor) -> Vec<i32> {
    match Elements::load(tensor) {
        Elements::I32(values) => values,
        _ => unreachable!("the shape rule asks for narrow integers"),
    }
}

/// Sums of channels that lie innermost, requantized.
fn requantize_channels(sums: &[i32], multiplier: &[i32], shift: u8, out_zero: i32, lo: i32, hi: i32) -> Vec<i32> {
    let one = |(&sum, &multiplier)| requantize(sum, multiplier, shift).saturating_add(out_zero).clamp(lo, hi);
    sums.iter().zip(multiplier.iter().cycle()).map(one).collect()
}

pub(crate) fn eval_conv(op: &Op, operands: &[&Tensor], shape: &[u64]) -> Tensor {
    let Op::QuantizedConv { spatial, groups, layout, in_zero, out_zero, shift, dtype, lo, hi } = op else {
        unreachable!("dispatched by kind")
    };
    let x = window::channels_last(*layout, operands[0]);
    let sizes = conv::Sizes::new(spatial, *groups, *layout, &x, operands[1], shape);
    let weights = ints(&conv::packed(operands[1], *groups));
    let sums = conv::sum_windows(&sizes, &ints(&x), &weights, Some(&ints(operands[2])), *in_zero);
    let results = match operands.get(3) {
        Some(multiplier) => requantize_channels(&sums, &ints(multiplier), *shift, *out_zero, *lo, *hi),
        None => sums,
    };
    window::from_channels_last(*layout, &Elements::I32(results), *dtype, shape)
}

pub(crate) fn eval_matmul(op: &Op, operands: &[&Tensor], shape: &[u64]) -> Tensor {
    let Op::QuantizedMatMul { out_zero, shift, dtype, lo, hi } = op else { unreachable!("dispatched by kind") };
    let (x, weights, bias) = (ints(operands[0]), ints(operands[1]), ints(operands[2]));
    let depth = operands[1].shape()[0] as usize;
    let mut sums = bias.repeat(shape[0] as usize);
    if depth > 0 && !bias.is_empty() {
        for (sums, x) in sums.chunks_exact_mut(bias.len()).zip(x.chunks_exact(depth)) {
            Sum::add_products(sums, x, &weights);
        }
    }
    let results = match operands.get(3) {
        Some(multiplier) => requantize_channels(&sums, &ints(multiplier), *shift, *out_zero, *lo, *hi),
        None => sums,
    };
    Elements::I32(results).store(*dtype, shape)
}

pub(crate) fn eval_add(op: &Op, operands: &[&Tensor], shape: &[u64]) -> Tensor {
    let Op::QuantizedAdd { x_zero, y_zero, x_mult, y_mult, out_zero, shift, dtype, lo, hi } = op else {
        unreachable!("dispatched by kind")
    };
    let (x, y) = (ints(&broadcast_to(operands[0], shape)), ints(&broadcast_to(operands[1], shape)));
    let add = |(&x, &y): (&i32, &i32)| {
        let scaled = |value: i32, zero: i32, mult: i32| value.wrapping_sub(zero).wrapping_mul(mult);
        let sum = scaled(x, *x_zero, *x_mult).wrapping_add(scaled(y, *y_zero, *y_mult));
        (round_shift(sum.into(), *shift) as i32).saturating_add(*out_zero).clamp(*lo, *hi)
    };
    Elements::I32(x.iter().zip(&y).map(add).collect()).store(*dtype, shape)
}

pub(crate) fn eval_mean(op: &Op, operands: &[&Tensor], shape: &[u64]) -> Tensor {
    let Op::QuantizedMean { axes, in_zero, multiplier, shift, out_zero, dtype, lo, hi } = op else { unreachable!("dispatched by kind") };
    let x = operands[0];
    let length = axes.iter().map(|&axis| x.shape()[axis as usize]).product::<u64>() as usize;
    let values = ints(&transposed(x, &axes_last(x.shape().len(), axes)));
    let count = shape.iter().product::<u64>() as usize;
    let sum = |row: usize| {
        values[row * length..(row + 1) * length].iter().fold(0i32, |sum, &value| sum.wrapping_add(value.wrapping_sub(*in_zero)))
    };
    let sums: Vec<i32> = (0..count).map(sum).collect();
    Elements::I32(requantize_channels(&sums, &[*multiplier], *shift, *out_zero, *lo, *hi)).store(*dtype, shape)
}
