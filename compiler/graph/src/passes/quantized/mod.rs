//! Explicit quantization becomes integer arithmetic.
//!
//! What stands between `dequantize` and `quantize` is replaced by one integer operation:
//! - a convolution or matrix product with constant weights, its bias and bounds: `quantized_conv`, `quantized_matmul` ([`product`]);
//! - a sum or difference, and a mean over axes: `quantized_add`, `quantized_mean` ([`elementwise`]);
//! - movement, maxima and bounds under one scale: the same over the integers ([`carry`]).
//!
//! A matrix product that no `quantize` follows sums integers all the same and is dequantized after. Anything that does not fit (weights whose zero
//! point leaves 8 bits, a scale a channel of activations, sums that could leave 32 bits) stays in floats, which is right if slower.

use super::rewrite::{count_uses, rewrite};
use crate::infer::InferError;
use crate::ir::{Graph, OpId, ValueId};
use crate::op::Op;
use cranelift_entity::SecondaryMap;

mod carry;
mod elementwise;
mod params;
mod product;

use params::{Bounds, PerTensor};

pub(super) fn run(graph: &mut Graph) -> Result<(), InferError> {
    let uses = count_uses(graph);
    rewrite(graph, |graph, id| match graph.ops[id].op {
        Op::Quantize { .. } => quantized(graph, &uses, id).map(|value| value.map(|value| vec![value])),
        _ => Ok(None),
    })?;
    rewrite(graph, |graph, id| match graph.ops[id].op {
        Op::MatMul => product::dequantized_matmul(graph, id).map(|value| value.map(|value| vec![value])),
        _ => Ok(None),
    })?;
    let uses = count_uses(graph);
    rewrite(graph, |graph, id| match graph.ops[id].op {
        Op::Binary(crate::op::BinaryOp::Add) => product::add_integer_bias(graph, &uses, id).map(|value| value.map(|value| vec![value])),
        _ => Ok(None),
    })
}

/// The integer value that a `quantize` computes, if there is one.
fn quantized(graph: &mut Graph, uses: &SecondaryMap<ValueId, u32>, id: OpId) -> Result<Option<ValueId>, InferError> {
    let Some(out) = PerTensor::of(graph, id) else { return Ok(None) };
    let operand = graph.ops[id].operands[0];
    if let Some(value) = carry::carried(graph, operand, &out)? {
        return Ok(Some(value));
    }
    let Some((bounds, value)) = Bounds::peel(graph, uses, operand, &out) else { return Ok(None) };
    let target = Target { out, bounds, origin: id };
    if let Some(value) = product::conv(graph, value, &target)? {
        return Ok(Some(value));
    }
    if let Some(value) = product::matmul(graph, uses, value, &target)? {
        return Ok(Some(value));
    }
    if let Some(value) = elementwise::add(graph, value, &target)? {
        return Ok(Some(value));
    }
    elementwise::mean(graph, value, &target)
}

/// What an integer operation is to deliver.
struct Target {
    /// How the result is quantized.
    out: PerTensor,
    /// What it is bounded to.
    bounds: Bounds,
    /// The `quantize` that it replaces.
    origin: OpId,
}
