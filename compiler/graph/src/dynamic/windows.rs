//! Windows over axes that vary: convolutions and pools.

use super::rules::Call;
use super::writer::{Ruled, Writer, refuse};
use crate::ir::ValueId;
use crate::op::{BinaryOp, Layout, Op, PoolKind, Spatial};
use crate::tensor::Tensor;
use mlp_bundle::Scalar;

/// A window operation. Where windows of a run reach beyond its elements they meet the rest of the axis, which is filled with what padding counts as.
pub(super) fn window(writer: &mut Writer<'_>, call: &Call, op: &Op) -> Ruled {
    let (spatial, layout) = match op {
        Op::Conv { spatial, layout, .. } | Op::QuantizedConv { spatial, layout, .. } | Op::Pool { spatial, layout, .. } => {
            (spatial, *layout)
        }
        Op::MaxPoolIndices { spatial, .. } => (spatial, Layout::ChannelsFirst),
        _ => return refuse("it has no windows"),
    };
    let rank = call.axes[0].len();
    let channels = layout.channel_axis(rank);
    if call.varies(0, channels) || (1..call.axes.len()).any(|operand| (0..call.axes[operand].len()).any(|axis| call.varies(operand, axis)))
    {
        return refuse("windows are not compiled over channels or weights whose number varies; give it a constant size");
    }
    let first = layout.spatial_axis();
    let moving = call.varying(0, first..first + spatial.kernel.len());
    if matches!(op, Op::MaxPoolIndices { .. }) && !moving.is_empty() {
        return refuse("the positions of greatest elements count through all of an image; give it constant sizes");
    }
    // Without padding at the end no window of a run reaches beyond it.
    let reaching: Vec<usize> = moving.into_iter().filter(|axis| spatial.pads_end[axis - first] > 0).collect();
    let x = call.operands[0];
    let dtype = writer.graph.ty(x).dtype;
    let zero = Scalar::of(dtype, 0);
    let fill = match op {
        Op::QuantizedConv { in_zero, .. } => Scalar::I32(*in_zero),
        Op::Pool { kind: PoolKind::Max, .. } => Scalar::lowest(dtype),
        _ => zero,
    };
    let filled = writer.filled(x, &call.axes[0], &reaching, fill)?;
    let mut operands = call.operands.clone();
    operands[0] = filled;
    match op {
        Op::Pool { kind: PoolKind::Mean, .. } if !reaching.is_empty() => mean(writer, call, filled, spatial, layout, &reaching),
        _ => writer.append(op.clone(), &operands),
    }
}

/// A mean over the elements of a run: the sum of a window over how many elements of the run it has.
fn mean(writer: &mut Writer<'_>, call: &Call, x: ValueId, spatial: &Spatial, layout: Layout, reaching: &[usize]) -> Ruled {
    let op = Op::Pool { kind: PoolKind::MeanWithPadding, spatial: spatial.clone(), layout };
    let sum = writer.append(op.clone(), &[x])?;
    let dtype = writer.graph.ty(x).dtype;
    let axes = &call.axes[0];
    let dims: Vec<u64> =
        axes.iter().enumerate().map(|(axis, of)| if axis == 0 || axis == layout.channel_axis(axes.len()) { 1 } else { of.max }).collect();
    let ones = Tensor::splat(dtype, &dims, 1.0).map_err(|error| super::writer::RuleError::Refused(error.to_string()))?;
    let ones = writer.constant(ones);
    let ones = writer.filled(ones, axes, reaching, Scalar::of(dtype, 0))?;
    let share = writer.append(op, &[ones])?;
    writer.binary(BinaryOp::Div, sum, share)
}
