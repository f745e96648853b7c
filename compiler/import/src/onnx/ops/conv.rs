//! Convolution.

use super::Row;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid};
use crate::onnx::window::window;
use mlp_graph::op::Layout;
use mlp_graph::{DType, Op, ValueId};

pub(super) const TABLE: &[Row] = &[("", "Conv", conv), ("", "ConvInteger", conv_integer)];

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

/// Sums of products of integers less their zero points. Each product and the sum of any practical number of them is exact in `F64`.
fn conv_integer(node: &mut NodeImport<'_>) -> Imported {
    let (x, weights) = (node.input(0)?, node.input(1)?);
    let op = convolution(node, x, weights)?;
    let x = centred(node, x, 2, 0)?;
    let weights = centred(node, weights, 3, 0)?;
    let sum = node.emit(op, &[x, weights])?;
    Ok(vec![node.cast(DType::I32, sum)?])
}

/// `x` less the zero point at input `zero`, which is one number or one a position of `axis`, in `F64`.
fn centred(node: &mut NodeImport<'_>, x: ValueId, zero: usize, axis: usize) -> One {
    let rank = node.rank(x);
    let x = node.cast(DType::F64, x)?;
    let Some(zero) = node.optional(zero) else { return Ok(x) };
    let zero = node.cast(DType::F64, zero)?;
    let dims = node.dims(zero);
    let zero = match dims.as_slice() {
        [] | [1] => node.as_scalar(zero, "the zero point")?,
        &[count] => {
            let mut shape = vec![1; rank];
            shape[axis] = count;
            node.reshape(zero, &shape)?
        }
        _ => return invalid(format!("a zero point has shape {dims:?}")),
    };
    node.binary(mlp_graph::op::BinaryOp::Sub, x, zero)
}
