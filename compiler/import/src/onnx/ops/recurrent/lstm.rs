//! `LSTM`. With the gates in ONNX's order, `i`, `o`, `f` and `c`:
//!
//! ```text
//! i = f(X_t W_i + H R_i + b_i + P_i * C)      f = f(X_t W_f + H R_f + b_f + P_f * C)      c = g(X_t W_c + H R_c + b_c)
//! C' = f * C + i * c                          o = f(X_t W_o + H R_o + b_o + P_o * C')     H' = o * h(C')
//! ```

use super::activation::Activation;
use super::layer::{Direction, Kind, Layer, Step, flag};
use crate::onnx::node::{Imported, NodeImport, One, Problem};
use crate::onnx::ops::byte_weights::integer_product;
use crate::onnx::ops::quantization::dynamically_quantized;
use mlp_graph::op::BinaryOp;
use mlp_graph::{DType, Op, ValueId};

const INPUT: u64 = 0;
const OUTPUT: u64 = 1;
const FORGET: u64 = 2;
const CELL: u64 = 3;

pub(super) fn lstm(node: &mut NodeImport<'_>) -> Imported {
    of_weights(node, None)
}

/// The weights of a direction's state as integers, `[hidden, gates * hidden]`, with their zero point and their scale in `F32`: one number or one a column each.
#[derive(Clone, Copy)]
pub(in crate::onnx::ops) struct IntegerWeights {
    pub(in crate::onnx::ops) weights: ValueId,
    pub(in crate::onnx::ops) zero: Option<ValueId>,
    pub(in crate::onnx::ops) scale: ValueId,
}

impl IntegerWeights {
    /// The product of a state, which is quantized for it, and the weights.
    fn product(&self, node: &mut NodeImport<'_>, state: ValueId) -> One {
        let [quantized, scale, zero] = dynamically_quantized(node, state)?;
        let sums = integer_product(node, quantized, Some(zero), self.weights, self.zero)?;
        let sums = node.cast(DType::F32, sums)?;
        let scale = node.binary(BinaryOp::Mul, scale, self.scale)?;
        node.binary(BinaryOp::Mul, sums, scale)
    }
}

/// The layer; `rounded` where inputs and states are quantized before they meet weights, as ONNX Runtime's `DynamicQuantizeLSTM` has it: with the weights of each
/// direction's state as integers, or none where those are not known when compiling.
pub(in crate::onnx::ops) fn of_weights(node: &mut NodeImport<'_>, rounded: Option<&[IntegerWeights]>) -> Imported {
    let activations = &[Activation::Sigmoid, Activation::Tanh, Activation::Tanh];
    let layer = Layer::read(node, &Kind { gates: 4, cell: Some(6), activations, joined_biases: 4, rounded: rounded.is_some() })?;
    let coupled = flag(node, "input_forget")?;
    layer.run(node, |node, direction, index| {
        let integers = rounded.and_then(|all| all.get(index).copied());
        step_of(node, &layer, direction, index, (coupled, integers))
    })
}

fn step_of(
    node: &mut NodeImport<'_>,
    layer: &Layer,
    direction: &Direction,
    index: usize,
    (coupled, integers): (bool, Option<IntegerWeights>),
) -> Result<Box<Step<'static>>, Problem> {
    let (weights, peepholes) = (direction.weights, layer.peepholes(node, 7, index)?);
    let (f, g, h) = (direction.activations[0], direction.activations[1], direction.activations[2]);
    Ok(Box::new(move |node, layer, input, state| {
        let (hidden, cell) = (state[0], state[1]);
        let product = match integers {
            Some(integers) => integers.product(node, hidden)?,
            None => {
                let hidden = layer.met(node, hidden)?;
                node.emit(Op::MatMul, &[hidden, weights])?
            }
        };
        let gates = node.binary(BinaryOp::Add, product, input)?;
        let peek = |node: &mut NodeImport<'_>, gate: u64, cell: ValueId| -> One {
            let sum = layer.gate(node, gates, gate)?;
            let Some(peepholes) = peepholes else { return Ok(sum) };
            let seen = node.binary(BinaryOp::Mul, peepholes[gate as usize], cell)?;
            node.binary(BinaryOp::Add, sum, seen)
        };
        let sum = peek(node, INPUT, cell)?;
        let i = layer.activate(node, f, sum)?;
        let forget = if coupled {
            layer.complement(node, i)?
        } else {
            let sum = peek(node, FORGET, cell)?;
            layer.activate(node, f, sum)?
        };
        let sum = layer.gate(node, gates, CELL)?;
        let candidate = layer.activate(node, g, sum)?;
        let kept = node.binary(BinaryOp::Mul, forget, cell)?;
        let added = node.binary(BinaryOp::Mul, i, candidate)?;
        let cell = node.binary(BinaryOp::Add, kept, added)?;
        let sum = peek(node, OUTPUT, cell)?;
        let o = layer.activate(node, f, sum)?;
        // The clip bounds the gates alone, as ONNX Runtime has it.
        let shown = h.apply(node, cell)?;
        Ok(vec![node.binary(BinaryOp::Mul, o, shown)?, cell])
    }))
}
