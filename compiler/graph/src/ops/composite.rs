//! Composites, kept whole until a pass or a planner wants their parts: `Softmax`, `BatchNorm`.

use crate::infer::{Inferred, check_axis, expect_dtype, expect_shape};
use crate::ir::Type;

pub(crate) fn infer_softmax(axis: u32, x: &Type) -> Inferred {
    check_axis(axis, &x.shape)?;
    if x.dtype.is_float() { Ok(x.clone()) } else { Err(format!("is not defined for {}", x.dtype)) }
}

pub(crate) fn infer_batch_norm(operands: &[Type]) -> Inferred {
    let x = &operands[0];
    if !x.dtype.is_float() {
        return Err(format!("is not defined for {}", x.dtype));
    }
    let channels = x.shape.0[check_axis(1, &x.shape)?];
    for (name, ty) in ["scale", "bias", "mean", "variance"].into_iter().zip(&operands[1..]) {
        expect_dtype(name, ty, &[x.dtype])?;
        expect_shape(name, ty, &[channels])?;
    }
    Ok(x.clone())
}
