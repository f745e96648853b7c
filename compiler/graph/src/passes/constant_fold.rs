//! Evaluates operations all of whose operands are constants.
//!
//! Results that would outgrow their operands by far stay computed: a broadcast scalar is smaller as a broadcast. Quantization of constants stays as
//! well in the first run, since the pass for quantized operations reads scales and integer weights from it; what that pass leaves is weights kept small
//! for a float operation, and folds in the second.

use super::rewrite::rewrite;
use crate::eval::evaluate;
use crate::infer::InferError;
use crate::ir::Graph;
use crate::op::Op;
use crate::tensor::Tensor;

/// Results up to this many bytes are always folded.
const SMALL: u64 = 64 << 10;

/// Greater results are folded up to this many times the bytes of all operands.
const GROWTH: u64 = 4;

pub(super) fn run(graph: &mut Graph) -> Result<(), InferError> {
    fold(graph, |op| !matches!(op, Op::Constant(_) | Op::Symbol(_) | Op::Size { .. } | Op::Quantize { .. } | Op::Dequantize { .. }))
}

/// Folds quantization as well.
pub(super) fn run_all(graph: &mut Graph) -> Result<(), InferError> {
    fold(graph, |op| !matches!(op, Op::Constant(_) | Op::Symbol(_) | Op::Size { .. }))
}

fn fold(graph: &mut Graph, folds: impl Fn(&Op) -> bool) -> Result<(), InferError> {
    rewrite(graph, |graph, id| {
        let node = &graph.ops[id];
        if !folds(&node.op) {
            return Ok(None);
        }
        let Some(operands) = node.operands.iter().map(|&operand| graph.constant_of(operand)).collect::<Option<Vec<&Tensor>>>() else {
            return Ok(None);
        };
        let types = graph.operand_types(&node.results);
        let bytes = types.iter().map(|ty| {
            let count = ty.shape.constants()?.into_iter().try_fold(1u64, u64::checked_mul)?;
            count.checked_mul(ty.dtype.size() as u64)
        });
        let Some(bytes) = bytes.sum::<Option<u64>>() else { return Ok(None) };
        let given: u64 = operands.iter().map(|tensor| tensor.bytes().len() as u64).sum();
        if bytes > SMALL && bytes > given.saturating_mul(GROWTH) {
            return Ok(None);
        }
        let tensors = evaluate(&node.op, &operands, &types).map_err(|message| InferError { op: node.op.name(), message })?;
        let origin = graph.origins[id].clone();
        Ok(Some(tensors.into_iter().map(|tensor| graph.constant(tensor, origin.clone())).collect()))
    })
}
