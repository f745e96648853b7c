//! The windows of convolutions and pools: `auto_pad` and `ceil_mode` resolved into plain padding.

use super::node::{NodeImport, Problem, invalid};
use mlp_graph::op::Spatial;

/// No size, stride, dilation or padding may be greater, so that sums and products of a few stay far from overflow.
const LIMIT: u64 = 1 << 24;

/// A resolved window.
pub(crate) struct Window {
    pub(crate) spatial: Spatial,
    /// Part of `spatial.pads_end` that only `ceil_mode` added, an axis.
    pub(crate) ceil_extra: Vec<u64>,
}

/// Reads the window attributes of a node over spatial axes of these sizes. `kernel` is the kernel's shape where the weights say it.
pub(crate) fn window(node: &NodeImport<'_>, sizes: &[u64], kernel: Option<&[u64]>) -> Result<Window, Problem> {
    let rank = sizes.len();
    let declared = node.attributes.ints("kernel_shape")?.map(|values| positive("kernel_shape", values, rank)).transpose()?;
    let kernel = match (kernel, declared) {
        (Some(weights), Some(declared)) if weights != declared => {
            return invalid(format!("kernel_shape is {declared:?}, but the weights have {weights:?} taps"));
        }
        (Some(weights), _) => weights.to_vec(),
        (None, Some(declared)) => declared,
        (None, None) => return invalid("attribute `kernel_shape` is missing"),
    };
    let strides = node.attributes.ints("strides")?.map_or(Ok(vec![1; rank]), |values| positive("strides", values, rank))?;
    let dilations = node.attributes.ints("dilations")?.map_or(Ok(vec![1; rank]), |values| positive("dilations", values, rank))?;
    if sizes.iter().chain(&kernel).any(|&size| size > LIMIT) || kernel.contains(&0) {
        return invalid(format!("a window of {kernel:?} over {sizes:?} is out of range"));
    }
    let ceil = node.attributes.int("ceil_mode")?.unwrap_or(0) != 0;
    let extents: Vec<u64> = kernel.iter().zip(&dilations).map(|(&taps, &dilation)| (taps - 1) * dilation + 1).collect();
    let (pads_begin, mut pads_end) = pads(node, sizes, &extents, &strides)?;
    let mut ceil_extra = vec![0; rank];
    for axis in 0..rank {
        let padded = sizes[axis] + pads_begin[axis] + pads_end[axis];
        if padded < extents[axis] {
            return invalid(format!("the window of {} does not fit the {padded} padded elements of spatial axis {axis}", extents[axis]));
        }
        if ceil {
            let end = ceiling_end(sizes[axis] + pads_begin[axis], pads_end[axis], extents[axis], strides[axis]);
            ceil_extra[axis] = end.saturating_sub(pads_end[axis]);
            pads_end[axis] = end;
        }
    }
    Ok(Window { spatial: Spatial { kernel, strides, dilations, pads_begin, pads_end }, ceil_extra })
}

/// The padding after the last element with which counting windows downwards gives what `ceil_mode` counts upwards. A last window that would
/// start in the padding after the end is left out.
fn ceiling_end(before: u64, end: u64, extent: u64, stride: u64) -> u64 {
    let mut windows = (before + end - extent).div_ceil(stride) + 1;
    if (windows - 1) * stride >= before {
        windows -= 1;
    }
    let reach = (windows.saturating_sub(1)) * stride + extent;
    let floor_windows = (before + end - extent) / stride + 1;
    if windows == floor_windows { end } else { reach.saturating_sub(before) }
}

/// Padding before and after, an axis.
fn pads(node: &NodeImport<'_>, sizes: &[u64], extents: &[u64], strides: &[u64]) -> Result<(Vec<u64>, Vec<u64>), Problem> {
    let rank = sizes.len();
    let explicit = node.attributes.ints("pads")?;
    let upper = match node.attributes.string("auto_pad")?.unwrap_or("NOTSET") {
        "NOTSET" | "" => {
            let Some(pads) = explicit else { return Ok((vec![0; rank], vec![0; rank])) };
            if pads.len() != 2 * rank {
                return invalid(format!("attribute `pads` has {} values for {rank} spatial axes", pads.len()));
            }
            if pads.iter().any(|&pad| pad < 0) {
                return Err(Problem::Unsupported("negative padding is not supported; cut the input with Slice instead".into()));
            }
            let pads: Vec<u64> = pads.iter().map(|&pad| pad.unsigned_abs()).collect();
            if pads.iter().any(|&pad| pad > LIMIT) {
                return invalid(format!("a padding of {pads:?} is out of range"));
            }
            return Ok((pads[..rank].to_vec(), pads[rank..].to_vec()));
        }
        "VALID" => return Ok((vec![0; rank], vec![0; rank])),
        "SAME_UPPER" => true,
        "SAME_LOWER" => false,
        other => return invalid(format!("auto_pad is `{other}`")),
    };
    let totals = (0..rank).map(|axis| {
        let windows = sizes[axis].div_ceil(strides[axis]);
        (windows.saturating_sub(1) * strides[axis] + extents[axis]).saturating_sub(sizes[axis])
    });
    let (less, more): (Vec<u64>, Vec<u64>) = totals.map(|total| (total / 2, total - total / 2)).unzip();
    Ok(if upper { (less, more) } else { (more, less) })
}

fn positive(name: &str, values: &[i64], rank: usize) -> Result<Vec<u64>, Problem> {
    if values.len() != rank {
        return invalid(format!("attribute `{name}` has {} values for {rank} spatial axes", values.len()));
    }
    values
        .iter()
        .map(|&value| match u64::try_from(value) {
            Ok(value) if (1..=LIMIT).contains(&value) => Ok(value),
            _ => invalid(format!("attribute `{name}` holds {value}")),
        })
        .collect()
}
