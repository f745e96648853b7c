//! `DynamicQuantizeLSTM`: an LSTM whose weights are integers, and whose inputs and states are quantized when the model runs. Its products of integers are those of the
//! numbers that they stand for.

use super::DOMAIN;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid};
use crate::onnx::ops::Row;
use crate::onnx::ops::recurrent::lstm;
use crate::onnx::ops::recurrent::lstm::IntegerWeights;
use mlp_graph::op::BinaryOp;
use mlp_graph::{DType, Tensor, ValueId};

pub(super) const TABLE: &[Row] = &[(DOMAIN, "DynamicQuantizeLSTM", dynamic_quantize_lstm)];

/// Inputs are those of `LSTM`, with the weights as `[directions, width, gates * hidden]`, then scale and zero point of either weights.
fn dynamic_quantize_lstm(node: &mut NodeImport<'_>) -> Imported {
    let states = states(node)?;
    for (weights, scale) in [(1, 8), (2, 10)] {
        let floats = floats(node, node.input(weights)?, node.input(scale)?, node.optional(scale + 1))?;
        let turned = node.transpose(&[0, 2, 1], floats)?;
        node.replace_input(weights, turned);
    }
    lstm::of_weights(node, Some(&states))
}

/// The weights of each direction's state as integers; none where they are not known when compiling.
fn states(node: &mut NodeImport<'_>) -> Result<Vec<IntegerWeights>, Problem> {
    let (weights, scale, zero) = (node.input(2)?, node.input(10)?, node.optional(11));
    let bytes = |weights: &&Tensor| matches!(weights.dtype(), DType::U8 | DType::I8);
    let Some(weights) = node.builder.known(weights).filter(bytes).cloned() else { return Ok(Vec::new()) };
    let &[directions, rows, columns] = weights.shape() else { return Ok(Vec::new()) };
    let zero = match zero.map(|zero| node.builder.known(zero).cloned()) {
        Some(None) => return Ok(Vec::new()),
        zero => zero.flatten(),
    };
    let scale = node.cast(DType::F32, scale)?;
    let scale = along(node, scale, directions, columns)?;
    let per_direction = *node.dims(scale).last().unwrap_or(&1);
    let part = |all: &Tensor, direction: u64, shape: &[u64]| -> Result<Tensor, Problem> {
        let bytes = all.bytes().len() / directions.max(1) as usize;
        let own = all.bytes()[direction as usize * bytes..][..bytes].to_vec();
        Ok(Tensor::new(all.dtype(), shape.to_vec(), own).map_err(|error| error.to_string())?)
    };
    let mut all = Vec::with_capacity(directions as usize);
    for direction in 0..directions {
        let weights = part(&weights, direction, &[rows, columns])?;
        let weights = node.constant(weights);
        let zero = match &zero {
            Some(zero) => {
                let own = part(zero, direction, &[zero.len() as u64 / directions.max(1)])?;
                Some(node.constant(own))
            }
            None => None,
        };
        let own = node.slice(scale, vec![direction as i64, 0, 0], vec![1; 3], &[1, 1, per_direction])?;
        let scale = node.reshape(own, if per_direction == 1 { &[] } else { std::slice::from_ref(&columns) })?;
        all.push(IntegerWeights { weights, zero, scale });
    }
    Ok(all)
}

/// The numbers that integer weights stand for: with one scale a direction, or one a column.
fn floats(node: &mut NodeImport<'_>, weights: ValueId, scale: ValueId, zero: Option<ValueId>) -> One {
    let dims = node.dims(weights);
    let &[directions, _, columns] = dims.as_slice() else {
        return invalid(format!("weights have shape {dims:?}, but must have directions, rows and columns"));
    };
    let mut numbers = node.cast(DType::F32, weights)?;
    if let Some(zero) = zero {
        let zero = node.cast(DType::F32, zero)?;
        let zero = along(node, zero, directions, columns)?;
        numbers = node.binary(BinaryOp::Sub, numbers, zero)?;
    }
    let scale = along(node, scale, directions, columns)?;
    node.binary(BinaryOp::Mul, numbers, scale)
}

/// A scale or zero point, one a direction or one a column of each, as `[directions, 1, 1 or columns]`.
fn along(node: &mut NodeImport<'_>, value: ValueId, directions: u64, columns: u64) -> One {
    let count: u64 = node.dims(value).iter().product();
    match count {
        _ if count == directions => node.reshape(value, &[directions, 1, 1]),
        _ if count == directions * columns => node.reshape(value, &[directions, 1, columns]),
        _ => invalid(format!("a scale or zero point has {count} elements, for {directions} directions of {columns} columns")),
    }
}
