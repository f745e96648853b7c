//! Losses of classifiers.

use super::Row;
use super::normalization::widened;
use super::piecewise::is_class;
use super::softmax::log_softmax;
use crate::onnx::node::{Imported, NodeImport, Problem, invalid};
use mlp_graph::op::{BinaryOp, CompareOp, ReduceKind, UnaryOp};
use mlp_graph::{DType, ValueId};

pub(super) const TABLE: &[Row] =
    &[("", "NegativeLogLikelihoodLoss", negative_log_likelihood), ("", "SoftmaxCrossEntropyLoss", softmax_cross_entropy)];

fn negative_log_likelihood(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let (dtype, wide) = scores(node, x)?;
    let loss = loss(node, wide)?;
    Ok(vec![node.cast(dtype, loss)?])
}

/// The loss of the logarithm of the softmax over the classes, and that logarithm.
fn softmax_cross_entropy(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let (dtype, wide) = scores(node, x)?;
    let log = log_softmax(node, wide, 1)?;
    let loss = loss(node, log)?;
    Ok(vec![node.cast(dtype, loss)?, node.cast(dtype, log)?])
}

/// The scores `[N, C, ...]` in a float type that sums well, and their own.
fn scores(node: &mut NodeImport<'_>, x: ValueId) -> Result<(DType, ValueId), Problem> {
    let dims = node.dims(x);
    if dims.len() < 2 || dims[1] == 0 {
        return invalid(format!("the input has shape {dims:?}, but must have a batch and classes"));
    }
    let dtype = node.dtype(x);
    Ok((dtype, node.cast(widened(dtype), x)?))
}

/// `-weight[target] * log[target]` of each element, its sum, or its mean by weight; elements of the ignored class count nothing.
fn loss(node: &mut NodeImport<'_>, log: ValueId) -> crate::onnx::node::One {
    let (target, weights) = (node.input(1)?, node.optional(2));
    let dims = node.dims(log);
    let places: Vec<u64> = dims[..1].iter().chain(&dims[2..]).copied().collect();
    if node.dims(target) != places {
        return invalid(format!("targets of shape {:?} do not fit scores of shape {dims:?}", node.dims(target)));
    }
    let dtype = node.dtype(log);
    let ignored = node.attributes.int("ignore_index")?;
    let target = node.cast(DType::I64, target)?;
    let hit = is_class(node, target, dims[1], 1)?;
    let zero = node.scalar(dtype, 0.0);
    let chosen = node.select(hit, log, zero)?;
    let chosen = node.reduce(ReduceKind::Sum, &[1], false, chosen)?;
    let mut weight = match weights {
        Some(weights) => {
            if node.dims(weights) != [dims[1]] {
                return invalid(format!("weights of shape {:?} for {} classes", node.dims(weights), dims[1]));
            }
            let mut shape = vec![dims[1]];
            shape.resize(dims.len() - 1, 1);
            let weights = node.cast(dtype, weights)?;
            let weights = node.reshape(weights, &shape)?;
            let weights = node.select(hit, weights, zero)?;
            node.reduce(ReduceKind::Sum, &[1], false, weights)?
        }
        None => {
            let one = node.scalar(dtype, 1.0);
            node.broadcast(one, &places)?
        }
    };
    if let Some(ignored) = ignored {
        let ignored = node.constant(mlp_graph::Tensor::scalar(ignored));
        let counts = node.compare(CompareOp::Ne, target, ignored)?;
        weight = node.select(counts, weight, zero)?;
    }
    let product = node.binary(BinaryOp::Mul, chosen, weight)?;
    let product = node.unary(UnaryOp::Neg, product)?;
    let axes: Vec<usize> = (0..places.len()).collect();
    match node.attributes.string("reduction")?.unwrap_or("mean") {
        "none" => Ok(product),
        "sum" => node.reduce(ReduceKind::Sum, &axes, false, product),
        "mean" => {
            let sum = node.reduce(ReduceKind::Sum, &axes, false, product)?;
            let count = node.reduce(ReduceKind::Sum, &axes, false, weight)?;
            node.binary(BinaryOp::Div, sum, count)
        }
        other => invalid(format!("reduction is `{other}`")),
    }
}
