//! `ImageResize`.

use crate::infer::{Inferred, expect_dtype};
use crate::ir::Type;
use crate::shape::Dim;
use mlp_bundle::DType;

pub(crate) fn infer(height: u64, width: u64, x: &Type) -> Inferred {
    expect_dtype("the photo", x, &[DType::U8])?;
    if x.shape.rank() != 3 || x.shape.0[2] != Dim::Const(4) {
        return Err(format!("the photo must be u8[height, width, 4], but is {x}"));
    }
    if height == 0 || width == 0 || x.shape.0[..2].contains(&Dim::Const(0)) {
        return Err("an image needs at least one pixel".into());
    }
    Ok(Type::fixed(DType::F32, &[height, width, 3]))
}
