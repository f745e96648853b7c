//! Half precision is how numbers are kept, not how they are computed with: what a graph computes in binary16 or bfloat16 is computed in binary32.
//!
//! No target computes in half precision faster than in binary32 everywhere, and rounding after every operation would keep operations apart that are one kernel
//! otherwise. So results are rounded where they leave the graph and nowhere before, not even where it casts to half precision and back: that is the excess
//! precision that XLA allows by default, and nearer to what the model was trained to give than a rounding at every step. A graph that only casts and moves is left
//! alone. Weights are floats from here on: whoever packs them finds that they fit in two bytes.

use crate::infer::InferError;
use crate::ir::{Graph, Node, OpId, Origin, Type, ValueId};
use crate::op::Op;
use crate::tensor::Tensor;
use cranelift_entity::SecondaryMap;
use half::{bf16, f16};
use mlp_bundle::DType;

pub(super) fn run(graph: &mut Graph) -> Result<(), InferError> {
    if !graph.order.iter().any(|&id| computes(graph, id)) {
        return Ok(());
    }
    let mut widening = Widening { replaced: SecondaryMap::new() };
    let order = std::mem::take(&mut graph.order);
    for port in graph.inputs.clone() {
        if is_half(graph, port.value) {
            let wide = graph.cast(DType::F32, port.value, Origin::new(port.name))?;
            widening.replaced[port.value] = Some(wide);
        }
    }
    for id in order {
        widening.operation(graph, id)?;
    }
    for index in 0..graph.outputs.len() {
        let value = graph.outputs[index].value;
        // An input goes out as it came.
        let (Some(wide), Some((id, _))) = (widening.replaced[value], graph.definition(value)) else { continue };
        let origin = graph.origins[id].clone();
        graph.outputs[index].value = graph.cast(graph.ty(value).dtype, wide, origin)?;
    }
    Ok(())
}

fn is_half(graph: &Graph, value: ValueId) -> bool {
    matches!(graph.ty(value).dtype, DType::F16 | DType::BF16)
}

/// Whether an operation calculates in half precision, and does not only move or convert.
fn computes(graph: &Graph, id: OpId) -> bool {
    let Node { op, operands, results } = &graph.ops[id];
    let shapes = matches!(op, Op::Reshape | Op::Transpose { .. } | Op::Broadcast | Op::Slice { .. } | Op::Concat { .. } | Op::Pad { .. });
    let moves = shapes || matches!(op, Op::Constant(_) | Op::Cast(_) | Op::Gather { .. } | Op::Extend | Op::Trim);
    !moves && operands.iter().chain(results).any(|&value| is_half(graph, value))
}

struct Widening {
    /// What takes the place of values.
    replaced: SecondaryMap<ValueId, Option<ValueId>>,
}

impl Widening {
    fn operation(&mut self, graph: &mut Graph, id: OpId) -> Result<(), InferError> {
        let Node { op, operands, results } = graph.ops[id].clone();
        let now: Vec<ValueId> = operands.iter().map(|&operand| self.replaced[operand].unwrap_or(operand)).collect();
        if !operands.iter().chain(&results).any(|&value| is_half(graph, value)) {
            graph.ops[id].operands = now;
            graph.order.push(id);
            return Ok(());
        }
        let origin = graph.origins[id].clone();
        let made = match op {
            Op::Constant(tensor) => vec![graph.constant(widened(&graph.tensors[tensor]), origin)],
            Op::Cast(DType::F16 | DType::BF16) => vec![graph.cast(DType::F32, now[0], origin)?],
            Op::Cast(to) => vec![graph.cast(to, now[0], origin)?],
            op => {
                let types: Vec<Type> = results.iter().map(|&result| wide_type(graph, result)).collect();
                graph.append_typed(op, &now, &types, origin)?
            }
        };
        for (&result, made) in results.iter().zip(made) {
            self.replaced[result] = Some(made);
        }
        Ok(())
    }
}

fn wide_type(graph: &Graph, value: ValueId) -> Type {
    let dtype = if is_half(graph, value) { DType::F32 } else { graph.ty(value).dtype };
    Type { dtype, ..graph.ty(value).clone() }
}

/// The same numbers as `F32`.
fn widened(tensor: &Tensor) -> Tensor {
    let halves = || tensor.values::<f16>().map(|values| values.into_iter().map(f16::to_f32).collect::<Vec<f32>>());
    let brains = || tensor.values::<bf16>().map(|values| values.into_iter().map(bf16::to_f32).collect());
    let values = halves().or_else(brains).expect("it is of half precision");
    Tensor::from_f32(tensor.shape(), &values).expect("as many numbers as before")
}
