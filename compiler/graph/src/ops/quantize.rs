//! `Quantize` and `Dequantize`.

use crate::infer::{Inferred, check_axis, expect_dtype};
use crate::ir::Type;
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
