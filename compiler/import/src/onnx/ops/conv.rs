//! Convolution.

use super::Row;
use crate::onnx::node::{Imported, NodeImport, Problem, invalid};
use crate::onnx::window::window;
use mlp_graph::op::Layout;
use mlp_graph::{Op, ValueId};

pub(super) const TABLE: &[Row] = &[("", "Conv", conv)];

fn conv(node: &mut NodeImport<'_>) -> Imported {
    let (x, weights, bias) = (node.input(0)?, node.input(1)?, node.optional(2));
    let op = convolution(node, x, weights)?;
    let operands: Vec<ValueId> = [x, weights].into_iter().chain(bias).collect();
    Ok(vec![node.emit(op, &operands)?])
}

/// The operation that the node's attributes ask for, over operands of these shapes.
pub(super) fn convolution(node: &NodeImport<'_>, x: ValueId, weights: ValueId) -> Result<Op, Problem> {
    let (sizes, taps) = (node.dims(x), node.dims(weights));
    if sizes.len() < 3 || taps.len() != sizes.len() {
        return invalid(format!("input of shape {sizes:?} and weights of shape {taps:?} must have one rank, 3 or more"));
    }
    let groups = node.attributes.int("group")?.unwrap_or(1);
    let groups = u64::try_from(groups).map_err(|_| format!("attribute `group` is {groups}"))?;
    let window = window(node, &sizes[2..], Some(&taps[2..]))?;
    Ok(Op::Conv { spatial: window.spatial, groups, layout: Layout::ChannelsFirst })
}
