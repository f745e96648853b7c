//! Values that follow from the sizes of inputs, in graphs of several sizes where they are computed when the model runs.
//!
//! Shapes are known while importing, and what is computed of them is a constant: at every size another one, mostly of a kind that is found again when the graphs are
//! joined. Where it is not (positions of a grid laid side by side, the distances of two sequences), the graphs are made once more, and in these such values are
//! operations over [`Op::Size`]. Their numbers at the sizes of the graph are known all the same, for operators that need them while importing.

use super::builder::Builder;
use super::node::Problem;
use mlp_graph::op::BinaryOp;
use mlp_graph::{DType, Op, Tensor, ValueId};
use std::collections::HashMap;

/// Larger constants are weights, which are the same at all sizes.
const MOST: u64 = 1 << 16;

/// The values that follow from sizes, with what they are here where they are no constants.
#[derive(Default)]
pub(super) struct Sized(HashMap<ValueId, Option<Tensor>>);

impl Sized {
    /// Whether a value is one of them.
    pub(super) fn has(&self, value: ValueId) -> bool {
        self.0.contains_key(&value)
    }

    /// What a value is here, where it is an operation.
    pub(super) fn known(&self, value: ValueId) -> Option<&Tensor> {
        self.0.get(&value)?.as_ref()
    }

    /// Notes a value; `known` is what it is here, where that is no constant.
    pub(super) fn note(&mut self, value: ValueId, known: Option<Tensor>) {
        self.0.insert(value, known);
    }
}

impl Builder {
    /// Whether values that follow from sizes are computed when the model runs.
    pub(super) fn computes_sizes(&self) -> bool {
        self.family.as_ref().is_some_and(|family| family.computes())
    }

    /// Whether a value follows from sizes, and is computed when the model runs.
    pub(crate) fn follows_from_sizes(&self, value: ValueId) -> bool {
        self.sized.has(value)
    }

    /// Sizes, one after another, as `I64`.
    pub(crate) fn sizes(&mut self, sizes: &[u64]) -> Result<ValueId, Problem> {
        let numbers: Vec<i64> = sizes.iter().map(|&size| size as i64).collect();
        let tensor = Tensor::from_i64(&[numbers.len() as u64], &numbers).map_err(|error| error.to_string())?;
        if !self.computes_sizes() || sizes.is_empty() {
            return Ok(self.constant(tensor));
        }
        let mut parts = Vec::with_capacity(sizes.len());
        for &size in sizes {
            let Some((_, here)) = self.family_size(size)? else { return Ok(self.constant(tensor)) };
            let number = self.emit(Op::Cast(DType::I64), &[here], None)?[0];
            let ty = mlp_graph::ir::Type::fixed(DType::I64, &[1]);
            parts.push(self.emit(Op::Reshape, &[number], Some(ty))?[0]);
        }
        let joined = if parts.len() == 1 { parts[0] } else { self.emit(Op::Concat { axis: 0 }, &parts, None)?[0] };
        self.sized.note(joined, Some(tensor));
        Ok(joined)
    }

    /// A constant that an operator made of values which follow from sizes, as such a value: it must not become a part of another constant before the graphs are joined.
    pub(super) fn following(&mut self, constant: ValueId) -> Result<ValueId, Problem> {
        let dtype = self.dtype(constant);
        // What stands for a sequence, or has few bits, is known by its value.
        let stands_alone = self.elements_of(constant).is_some() || self.narrow(constant).is_some() || self.sized.has(constant);
        let Some(known) = self.graph.constant_of(constant).filter(|_| !stands_alone).cloned() else { return Ok(constant) };
        // What is decided here is decided alike at every size.
        let most = self.family_size(known.len() as u64)?.map_or(0, |(greatest, _)| greatest);
        if dtype == DType::Bool || most > MOST {
            self.sized.note(constant, None);
            return Ok(constant);
        }
        // Nothing is added, which shows only then.
        let Some((_, nothing)) = self.family_size(0)? else { return Ok(constant) };
        let mut nothing = if dtype == DType::I32 { nothing } else { self.emit(Op::Cast(dtype), &[nothing], None)?[0] };
        if !known.shape().is_empty() {
            let ty = self.graph.ty(constant).clone();
            nothing = self.emit(Op::Broadcast, &[nothing], Some(ty))?[0];
        }
        let value = self.emit(Op::Binary(BinaryOp::Add), &[constant, nothing], None)?[0];
        self.sized.note(value, Some(known));
        Ok(value)
    }
}
