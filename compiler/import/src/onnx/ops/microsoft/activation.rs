//! Activations with what precedes them.

use super::DOMAIN;
use crate::onnx::node::{Imported, NodeImport, One, invalid};
use crate::onnx::ops::Row;
use crate::onnx::ops::activation::{gelu_erf, gelu_tanh, in_single, ramp, sigmoid, swish, where_positive};
use mlp_graph::ValueId;
use mlp_graph::op::{BinaryOp, UnaryOp};

pub(super) const TABLE: &[Row] = &[
    (DOMAIN, "BiasAdd", bias_add),
    (DOMAIN, "BiasGelu", |node| in_single(node, |node, x| of_sum(node, x, gelu_erf))),
    (DOMAIN, "BiasSplitGelu", |node| in_single(node, bias_split_gelu)),
    (DOMAIN, "FastGelu", |node| in_single(node, |node, x| of_sum(node, x, gelu_tanh))),
    (DOMAIN, "Gelu", |node| in_single(node, gelu_erf)),
    (DOMAIN, "QuickGelu", |node| in_single(node, |node, x| swish(node, x, 1.702))),
];

/// `x` and the bias at input 1, where there is one.
fn biased(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let Some(bias) = node.optional(1) else { return Ok(x) };
    let bias = node.cast(node.dtype(x), bias)?;
    node.binary(BinaryOp::Add, x, bias)
}

fn of_sum(node: &mut NodeImport<'_>, x: ValueId, map: fn(&mut NodeImport<'_>, ValueId) -> One) -> One {
    let sum = biased(node, x)?;
    map(node, sum)
}

/// Inputs: `X, bias, skip`.
fn bias_add(node: &mut NodeImport<'_>) -> Imported {
    let (x, bias, skip) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let sum = node.binary(BinaryOp::Add, x, bias)?;
    Ok(vec![node.binary(BinaryOp::Add, sum, skip)?])
}

/// The first half of the last axis times the Gelu of the second.
fn bias_split_gelu(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let sum = biased(node, x)?;
    let mut dims = node.dims(sum);
    let rank = dims.len();
    let Some(width) = dims.last_mut().filter(|width| width.is_multiple_of(2)) else {
        return invalid("the last axis of the input must have an even size");
    };
    *width /= 2;
    let mut start = vec![0; rank];
    let left = node.slice(sum, start.clone(), vec![1; rank], &dims)?;
    start[rank - 1] = dims[rank - 1] as i64;
    let right = node.slice(sum, start, vec![1; rank], &dims)?;
    let gate = gelu_erf(node, right)?;
    node.binary(BinaryOp::Mul, left, gate)
}

/// The activation that the fused operators name in an attribute, with its numbers.
pub(super) fn fused(node: &mut NodeImport<'_>, name: &str, numbers: [Option<f32>; 2], x: ValueId) -> One {
    let number = |index: usize, default: f32| f64::from(numbers[index].unwrap_or(default));
    match name {
        "" => Ok(x),
        "Relu" => node.with_number(BinaryOp::Max, x, 0.0),
        "Tanh" => node.unary(UnaryOp::Tanh, x),
        "Sigmoid" => sigmoid(node, x),
        "LeakyRelu" => {
            let scaled = node.with_number(BinaryOp::Mul, x, number(0, 0.01))?;
            where_positive(node, x, x, scaled)
        }
        "Clip" => {
            let bounded = node.with_number(BinaryOp::Max, x, number(0, f32::MIN))?;
            node.with_number(BinaryOp::Min, bounded, number(1, f32::MAX))
        }
        "HardSigmoid" => ramp(node, x, number(0, 0.2), number(1, 0.5)),
        other => invalid(format!("the activation is `{other}`; Relu, Tanh, Sigmoid, LeakyRelu, Clip and HardSigmoid can be fused")),
    }
}
