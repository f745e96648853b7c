//! `GRU`. With the gates in ONNX's order, `z`, `r` and `h`:
//!
//! ```text
//! z = f(X_t W_z + H R_z + b_z)      r = f(X_t W_r + H R_r + b_r)      H' = (1 - z) * h + z * H
//! h = g(X_t W_h + (r * H) R_h + b_h), or with linear_before_reset g(X_t W_h + wb_h + r * (H R_h + rb_h))
//! ```

use super::activation::Activation;
use super::layer::{Direction, Kind, Layer, Step, columns, flag};
use crate::onnx::node::{Imported, NodeImport, Problem};
use mlp_graph::op::BinaryOp;
use mlp_graph::{Op, ValueId};

pub(super) fn gru(node: &mut NodeImport<'_>) -> Imported {
    let reset_after = flag(node, "linear_before_reset")?;
    let activations = &[Activation::Sigmoid, Activation::Tanh];
    let joined_biases = if reset_after { 2 } else { 3 };
    let layer = Layer::read(node, &Kind { gates: 3, cell: None, activations, joined_biases, rounded: false })?;
    layer.run(node, |node, direction, _| if reset_after { after(direction) } else { before(node, &layer, direction) })
}

/// The product with the state is made first, for all gates at once, and reset then.
fn after(direction: &Direction) -> Result<Box<Step<'static>>, Problem> {
    let (weights, bias) = (direction.weights, direction.state_bias);
    let (f, g) = (direction.activations[0], direction.activations[1]);
    Ok(Box::new(move |node, layer, input, state| {
        let product = node.emit(Op::MatMul, &[state[0], weights])?;
        let mut gate = |gate: u64| {
            let (of_input, of_state) = (layer.gate(node, input, gate)?, layer.gate(node, product, gate)?);
            let sum = node.binary(BinaryOp::Add, of_input, of_state)?;
            layer.activate(node, f, sum)
        };
        let (update, reset) = (gate(0)?, gate(1)?);
        let mut of_state = layer.gate(node, product, 2)?;
        if let Some(bias) = bias {
            of_state = node.binary(BinaryOp::Add, of_state, bias)?;
        }
        let of_state = node.binary(BinaryOp::Mul, reset, of_state)?;
        let of_input = layer.gate(node, input, 2)?;
        let sum = node.binary(BinaryOp::Add, of_input, of_state)?;
        let candidate = layer.activate(node, g, sum)?;
        blend(node, layer, update, candidate, state[0])
    }))
}

/// The state is reset before it is multiplied, so that there are two products.
fn before(node: &mut NodeImport<'_>, layer: &Layer, direction: &Direction) -> Result<Box<Step<'static>>, Problem> {
    let of_gates = columns(node, direction.weights, 0, 2 * layer.hidden)?;
    let of_candidate = layer.gate(node, direction.weights, 2)?;
    let (f, g) = (direction.activations[0], direction.activations[1]);
    Ok(Box::new(move |node, layer, input, state| {
        let product = node.emit(Op::MatMul, &[state[0], of_gates])?;
        let of_input = columns(node, input, 0, 2 * layer.hidden)?;
        let gates = node.binary(BinaryOp::Add, product, of_input)?;
        let mut gate = |gate: u64| {
            let sum = layer.gate(node, gates, gate)?;
            layer.activate(node, f, sum)
        };
        let (update, reset) = (gate(0)?, gate(1)?);
        let kept = node.binary(BinaryOp::Mul, reset, state[0])?;
        let product = node.emit(Op::MatMul, &[kept, of_candidate])?;
        let of_input = layer.gate(node, input, 2)?;
        let sum = node.binary(BinaryOp::Add, product, of_input)?;
        let candidate = layer.activate(node, g, sum)?;
        blend(node, layer, update, candidate, state[0])
    }))
}

fn blend(node: &mut NodeImport<'_>, layer: &Layer, update: ValueId, candidate: ValueId, old: ValueId) -> Result<Vec<ValueId>, Problem> {
    let rest = layer.complement(node, update)?;
    let new = node.binary(BinaryOp::Mul, rest, candidate)?;
    let kept = node.binary(BinaryOp::Mul, update, old)?;
    Ok(vec![node.binary(BinaryOp::Add, new, kept)?])
}
