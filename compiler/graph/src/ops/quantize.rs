//! `Quantize` and `Dequantize`.

use crate::infer::{Inferred, check_axis, expect_dtype};
use crate::ir::Type;
use crate::numbers::Elements;
use crate::ops::movement::for_each_position;
use crate::ops::quantized::range;
use crate::tensor::Tensor;
use mlp_bundle::DType;

/// What `Quantize` makes.
const QUANTIZED: [DType; 4] = [DType::U8, DType::I8, DType::U16, DType::I16];

pub(crate) fn infer_quantize(axis: u32, operands: &[Type]) -> Inferred {
    expect_dtype("the input", &operands[0], &[DType::F32, DType::I32])?;
    expect_dtype("the zero point", &operands[2], &QUANTIZED)?;
    check_scale(axis, operands)?;
    Ok(Type::new(operands[2].dtype, operands[0].shape.clone()))
}

pub(crate) fn infer_dequantize(axis: u32, operands: &[Type]) -> Inferred {
    expect_dtype("the input", &operands[0], &[DType::U8, DType::I8, DType::U16, DType::I16, DType::I32])?;
    expect_dtype("the zero point", &operands[2], &[operands[0].dtype])?;
    check_scale(axis, operands)?;
    Ok(Type::new(DType::F32, operands[0].shape.clone()))
}

/// Refuses a scale that is neither one number, nor one a position of `axis`, nor one a block; and a zero point of another shape.
fn check_scale(axis: u32, operands: &[Type]) -> Result<(), String> {
    let (x, scale, zero) = (&operands[0].shape, &operands[1].shape, &operands[2].shape);
    expect_dtype("the scale", &operands[1], &[DType::F32])?;
    if scale != zero {
        return Err(format!("scale {scale} and zero point {zero} must have one shape"));
    }
    match scale.rank() {
        0 => Ok(()),
        1 if x.rank() > 1 || scale == x => {
            let size = x.0[check_axis(axis, x)?];
            if scale.0[0] == size { Ok(()) } else { Err(format!("axis {axis} of {x} needs {size} scales, but has {scale}")) }
        }
        rank if rank == x.rank() => {
            let fits = x.0.iter().zip(&scale.0).all(|(&size, &blocks)| match (size.constant(), blocks.constant()) {
                (Some(size), Some(blocks)) => blocks > 0 && blocks <= size && size.div_ceil(size.div_ceil(blocks)) == blocks,
                _ => size == blocks,
            });
            if fits { Ok(()) } else { Err(format!("blocks {scale} do not tile {x}")) }
        }
        _ => Err(format!("a scale of shape {scale} does not fit {x}")),
    }
}

/// For each element of `x` the number of its scale.
fn scale_numbers(axis: u32, x: &[u64], scale: &[u64]) -> Vec<usize> {
    // A scale along one axis is one block an element of it, and one block in all other axes.
    let blocks: Vec<u64> = match scale {
        [] => vec![1; x.len()],
        [count] if x.len() > 1 => (0..x.len()).map(|index| if index == axis as usize { *count } else { 1 }).collect(),
        blocks => blocks.to_vec(),
    };
    let mut numbers = Vec::with_capacity(x.iter().product::<u64>() as usize);
    // Trailing axes of one block share their numbers.
    let split = blocks.iter().rposition(|&count| count > 1).map_or(0, |axis| axis + 1);
    let inner = x[split..].iter().product::<u64>() as usize;
    for_each_position(&x[..split], |position| {
        let block = |axis: usize| position[axis] / x[axis].div_ceil(blocks[axis]);
        let number = (0..split).fold(0, |number, axis| number * blocks[axis] + block(axis)) as usize;
        numbers.extend(std::iter::repeat_n(number, inner));
    });
    numbers
}

pub(crate) fn eval_quantize(axis: u32, operands: &[&Tensor]) -> Tensor {
    let (x, scale, zero) = (operands[0], operands[1].as_f32().expect("f32"), operands[2].to_i64().expect("integers"));
    let Elements::F32(values) = Elements::load(x).cast(DType::F32) else { unreachable!("cast to f32") };
    let (least, most) = range(operands[2].dtype());
    let numbers = scale_numbers(axis, x.shape(), operands[1].shape());
    let quantize = |(&value, &number): (&f32, &usize)| {
        let scaled = (value * (1.0 / scale[number])).round_ties_even();
        (scaled as i64).saturating_add(zero[number]).clamp(least.into(), most.into())
    };
    let quantized = values.iter().zip(&numbers).map(quantize).collect();
    Elements::from_ints(operands[2].dtype(), quantized).store(operands[2].dtype(), x.shape())
}

pub(crate) fn eval_dequantize(axis: u32, operands: &[&Tensor]) -> Tensor {
    let (x, scale, zero) = (operands[0], operands[1].as_f32().expect("f32"), operands[2].to_i64().expect("integers"));
    let numbers = scale_numbers(axis, x.shape(), operands[1].shape());
    let values = x.to_i64().expect("integers");
    let dequantize = |(&value, &number): (&i64, &usize)| (value as i32).wrapping_sub(zero[number] as i32) as f32 * scale[number];
    Elements::F32(values.iter().zip(&numbers).map(dequantize).collect()).store(DType::F32, x.shape())
}
