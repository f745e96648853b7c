//! Recurrent layers, their steps one after another. What does not depend on the state is one product for all steps.

use super::activations::sigmoid;
use super::{Append, Builder, Call, Made};
use mlp_graph::op::{BinaryOp, UnaryOp};
use mlp_graph::{Op, ValueId};

/// The most steps of a sequence.
const MAX_STEPS: u64 = 512;

/// A recurrent layer that is being unrolled.
struct Steps {
    /// `x W_ih^T + b_ih`: `[N, S, parts * hidden]`.
    inputs: ValueId,
    /// `W_hh^T`
    recurrent: ValueId,
    /// `b_hh`
    bias: ValueId,
    images: u64,
    count: u64,
    hidden: u64,
}

impl Steps {
    fn new(call: &Call<'_>, to: &mut Builder<'_>) -> Result<Steps, String> {
        let (x, hidden) = (call.value("x")?, call.count("hidden")?);
        let dims = to.dims(x);
        let (images, count) = (dims[0], dims[1]);
        if count > MAX_STEPS {
            return Err(format!("a sequence of {count} steps is too long; at most {MAX_STEPS} are unrolled"));
        }
        let weight = call.weight("weight_ih_l0", to)?;
        let turned = to.transpose(weight, &[1, 0])?;
        let product = to.op(Op::MatMul, &[x, turned])?;
        let bias = call.weight("bias_ih_l0", to)?;
        let inputs = to.binary(BinaryOp::Add, product, bias)?;
        let weight = call.weight("weight_hh_l0", to)?;
        let recurrent = to.transpose(weight, &[1, 0])?;
        Ok(Steps { inputs, recurrent, bias: call.weight("bias_hh_l0", to)?, images, count, hidden })
    }

    fn zeros(&self, to: &mut Builder<'_>) -> Made {
        let zero = to.scalar(0.0);
        to.broadcast(zero, &[self.images, self.hidden])
    }

    /// `x W_ih^T + b_ih` of a step.
    fn input(&self, step: u64, to: &mut Builder<'_>) -> Made {
        let width = to.dims(self.inputs)[2];
        let taken = to.slice(self.inputs, &[0, step, 0], &[self.images, 1, width])?;
        to.reshape(taken, &[self.images, width])
    }

    /// `h W_hh^T + b_hh`
    fn state(&self, state: ValueId, to: &mut Builder<'_>) -> Made {
        let product = to.op(Op::MatMul, &[state, self.recurrent])?;
        to.binary(BinaryOp::Add, product, self.bias)
    }

    /// A part of the gates.
    fn part(&self, gates: ValueId, part: u64, to: &mut Builder<'_>) -> Made {
        to.slice(gates, &[0, part * self.hidden], &[self.images, self.hidden])
    }

    /// The states as `[N, S, hidden]`.
    fn sequence(&self, states: &[ValueId], to: &mut Builder<'_>) -> Made {
        let mut rows = Vec::with_capacity(states.len());
        for &state in states {
            rows.push(to.reshape(state, &[self.images, 1, self.hidden])?);
        }
        match rows[..] {
            [only] => Ok(only),
            _ => to.op(Op::Concat { axis: 1 }, &rows),
        }
    }
}

/// `c = f * c + i * g`, `h = o * tanh(c)`, where `i, f, o` are sigmoids and `g` is a hyperbolic tangent of `x W_ih^T + b_ih + h W_hh^T + b_hh`.
pub(super) fn lstm(call: &Call<'_>, to: &mut Builder<'_>) -> Made {
    let steps = Steps::new(call, to)?;
    let (mut hidden, mut cell) = (steps.zeros(to)?, steps.zeros(to)?);
    let mut states = Vec::new();
    for step in 0..steps.count {
        let (input, state) = (steps.input(step, to)?, steps.state(hidden, to)?);
        let gates = to.binary(BinaryOp::Add, input, state)?;
        let parts: Vec<ValueId> = (0..4).map(|part| steps.part(gates, part, to)).collect::<Result<_, _>>()?;
        let (add, keep, out) = (sigmoid(parts[0], to)?, sigmoid(parts[1], to)?, sigmoid(parts[3], to)?);
        let new = to.unary(UnaryOp::Tanh, parts[2])?;
        let (kept, added) = (to.binary(BinaryOp::Mul, keep, cell)?, to.binary(BinaryOp::Mul, add, new)?);
        cell = to.binary(BinaryOp::Add, kept, added)?;
        let shown = to.unary(UnaryOp::Tanh, cell)?;
        hidden = to.binary(BinaryOp::Mul, out, shown)?;
        states.push(hidden);
    }
    steps.sequence(&states, to)
}

/// `h = (1 - z) * n + z * h`, where `r` and `z` are sigmoids of sums of both parts and `n = tanh(x W_in^T + b_in + r * (h W_hn^T + b_hn))`.
pub(super) fn gru(call: &Call<'_>, to: &mut Builder<'_>) -> Made {
    let steps = Steps::new(call, to)?;
    let mut hidden = steps.zeros(to)?;
    let mut states = Vec::new();
    for step in 0..steps.count {
        let (input, state) = (steps.input(step, to)?, steps.state(hidden, to)?);
        let gate = |part: u64, to: &mut Builder<'_>| {
            let (a, b) = (steps.part(input, part, to)?, steps.part(state, part, to)?);
            let sum = to.binary(BinaryOp::Add, a, b)?;
            sigmoid(sum, to)
        };
        let (reset, update) = (gate(0, to)?, gate(1, to)?);
        let (from_input, from_state) = (steps.part(input, 2, to)?, steps.part(state, 2, to)?);
        let remembered = to.binary(BinaryOp::Mul, reset, from_state)?;
        let sum = to.binary(BinaryOp::Add, from_input, remembered)?;
        let new = to.unary(UnaryOp::Tanh, sum)?;
        // (1 - z) * n + z * h is n + z * (h - n).
        let difference = to.binary(BinaryOp::Sub, hidden, new)?;
        let moved = to.binary(BinaryOp::Mul, update, difference)?;
        hidden = to.binary(BinaryOp::Add, new, moved)?;
        states.push(hidden);
    }
    steps.sequence(&states, to)
}
