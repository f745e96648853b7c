//! Recurrent layers: `LSTM`, `GRU` and `RNN`, unrolled over the steps of their sequence.
//!
//! What a step takes of the input does not depend on the state, so that it is one matrix product for all steps and both directions; only the product with the state
//! is computed step by step. The formulas are those of ONNX's operators, with `t` a step, `X_t` its input and `H_t` its result.

mod activation;
mod gru;
mod layer;
pub(super) mod lstm;
mod rnn;

use super::Row;

pub(super) const TABLE: &[Row] = &[("", "GRU", gru::gru), ("", "LSTM", lstm::lstm), ("", "RNN", rnn::rnn)];
