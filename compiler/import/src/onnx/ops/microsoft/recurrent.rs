//! `DynamicQuantizeLSTM`: an LSTM whose weights are integers, and whose inputs and states are quantized when the model runs. Its products of integers are those of the
//! numbers that they stand for.

use super::DOMAIN;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid};
use crate::onnx::ops::Row;
use crate::onnx::ops::recurrent::lstm;
use mlp_graph::op::BinaryOp;
use mlp_graph::{DType, ValueId};

pub(super) const TABLE: &[Row] = &[(DOMAIN, "DynamicQuantizeLSTM", dynamic_quantize_lstm)];

/// Inputs are those of `LSTM`, with the weights as `[directions, width, gates * hidden]`, then scale and zero point of either weights.
fn dynamic_quantize_lstm(node: &mut NodeImport<'_>) -> Imported {
    for (weights, scale) in [(1, 8), (2, 10)] {
        let floats = floats(node, node.input(weights)?, node.input(scale)?, node.optional(scale + 1))?;
        let turned = node.transpose(&[0, 2, 1], floats)?;
        node.replace_input(weights, turned);
    }
    lstm::of_weights(node, true)
}

/// The numbers that integer weights stand for: with one scale a direction, or one a column.
fn floats(node: &mut NodeImport<'_>, weights: ValueId, scale: ValueId, zero: Option<ValueId>) -> One {
    let dims = node.dims(weights);
    let &[directions, _, columns] = dims.as_slice() else {
        return invalid(format!("weights have shape {dims:?}, but must have directions, rows and columns"));
    };
    let along = |node: &mut NodeImport<'_>, value: ValueId| -> One {
        let count: u64 = node.dims(value).iter().product();
        match count {
            _ if count == directions => node.reshape(value, &[directions, 1, 1]),
            _ if count == directions * columns => node.reshape(value, &[directions, 1, columns]),
            _ => Err(Problem::Invalid(format!(
                "a scale or zero point has {count} elements, for {directions} directions of {columns} columns"
            ))),
        }
    };
    let mut numbers = node.cast(DType::F32, weights)?;
    if let Some(zero) = zero {
        let zero = node.cast(DType::F32, zero)?;
        let zero = along(node, zero)?;
        numbers = node.binary(BinaryOp::Sub, numbers, zero)?;
    }
    let scale = along(node, scale)?;
    node.binary(BinaryOp::Mul, numbers, scale)
}
