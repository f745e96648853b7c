//! `Pool` and `MaxPoolIndices`.

use crate::infer::Inferred;
use crate::ir::Type;
use crate::op::{Layout, PoolKind, Spatial};
use crate::ops::window;
use mlp_bundle::DType;

pub(crate) fn infer(kind: PoolKind, spatial: &Spatial, layout: Layout, x: &Type) -> Inferred {
    if x.dtype == DType::Bool || (kind != PoolKind::Max && !x.dtype.is_float()) {
        return Err(format!("is not defined for {}", x.dtype));
    }
    if x.shape.rank() < 3 {
        return Err(format!("needs a batch, channels and spatial axes, but has {}", x.shape));
    }
    let channels = x.shape.0[layout.channel_axis(x.shape.rank())];
    Ok(Type::new(x.dtype, window::infer(spatial, layout, &x.shape, channels)?))
}

pub(crate) fn infer_indices(spatial: &Spatial, x: &Type) -> Inferred {
    Ok(Type::new(DType::I64, infer(PoolKind::Max, spatial, Layout::ChannelsFirst, x)?.shape))
}
