//! `Conv`.

use crate::infer::{Inferred, constant_dim, expect_dtype, expect_shape};
use crate::ir::Type;
use crate::op::{Layout, Spatial};
use crate::ops::window;
use crate::shape::{Dim, Shape};
use mlp_bundle::DType;

pub(crate) fn infer(spatial: &Spatial, groups: u64, layout: Layout, operands: &[Type]) -> Inferred {
    let (x, weights) = (&operands[0], &operands[1]);
    expect_dtype("the input", x, &[DType::F16, DType::F32, DType::F64])?;
    expect_dtype("the weights", weights, &[x.dtype])?;
    let shape = infer_shape(spatial, groups, layout, &x.shape, &weights.shape)?;
    if let Some(bias) = operands.get(2) {
        expect_dtype("the bias", bias, &[x.dtype])?;
        expect_shape("the bias", bias, &weights.shape.0[..1])?;
    }
    Ok(Type::new(x.dtype, shape))
}

/// The result's shape from those of the input and the weights, whatever the arithmetic.
pub(crate) fn infer_shape(spatial: &Spatial, groups: u64, layout: Layout, x: &Shape, weights: &Shape) -> Result<Shape, String> {
    let rank = spatial.kernel.len() + 2;
    if x.rank() != rank || weights.rank() != rank {
        return Err(format!("input {x} and weights {weights} must have rank {rank}"));
    }
    let channels = constant_dim("the number of channels", x.0[layout.channel_axis(rank)])?;
    let made = constant_dim("the number of filters", weights.0[0])?;
    if groups == 0 || channels % groups != 0 || made % groups != 0 {
        return Err(format!("{groups} groups do not divide {channels} channels and {made} filters"));
    }
    let mut expected = vec![Dim::Const(made), Dim::Const(channels / groups)];
    expected.extend(spatial.kernel.iter().map(|&size| Dim::Const(size)));
    if weights.0 != expected {
        return Err(format!("the weights must have shape {}, but have {weights}", Shape(expected)));
    }
    window::infer(spatial, layout, x, Dim::Const(made))
}
