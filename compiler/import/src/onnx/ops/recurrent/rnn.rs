//! `RNN`: `H' = f(X_t W + H R + b)`.

use super::activation::Activation;
use super::layer::{Direction, Kind, Layer, Step};
use crate::onnx::node::{Imported, NodeImport, Problem};
use mlp_graph::Op;
use mlp_graph::op::BinaryOp;

pub(super) fn rnn(node: &mut NodeImport<'_>) -> Imported {
    let layer = Layer::read(node, &Kind { gates: 1, cell: None, activations: &[Activation::Tanh], joined_biases: 1, rounded: false })?;
    layer.run(node, |_, direction, _| step_of(direction))
}

fn step_of(direction: &Direction) -> Result<Box<Step<'static>>, Problem> {
    let (weights, f) = (direction.weights, direction.activations[0]);
    Ok(Box::new(move |node, layer, input, state| {
        let product = node.emit(Op::MatMul, &[state[0], weights])?;
        let sum = node.binary(BinaryOp::Add, product, input)?;
        Ok(vec![layer.activate(node, f, sum)?])
    }))
}
