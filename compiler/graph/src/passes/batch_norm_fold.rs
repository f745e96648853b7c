//! Batch normalization goes into the weights and the bias of the convolution or matrix product before it, or becomes a product and a sum.
//!
//! With `f = scale / sqrt(variance + epsilon)`, normalization is `x * f + (bias - mean * f)`. The new weights are computed in `f64` and rounded once. A
//! product before it must have no other reader, and everything but `x` must be constant.

use super::rewrite::{count_uses, rewrite};
use crate::infer::InferError;
use crate::ir::{Graph, OpId, Origin, ValueId};
use crate::numbers::Elements;
use crate::op::{BinaryOp, Layout, Op};
use crate::tensor::Tensor;
use cranelift_entity::SecondaryMap;

pub(super) fn run(graph: &mut Graph) -> Result<(), InferError> {
    let uses = count_uses(graph);
    rewrite(graph, |graph, id| {
        let Op::BatchNorm { epsilon } = graph.ops[id].op else { return Ok(None) };
        let Some(affine) = Affine::of(graph, id, f32::from_bits(epsilon)) else { return graph.decompose(id) };
        let x = graph.ops[id].operands[0];
        let folded = match into_product(graph, &uses, x, &affine)? {
            Some(folded) => folded,
            None => apply(graph, id, &affine)?,
        };
        Ok(Some(vec![folded]))
    })
}

/// `x * factor + term`, a channel.
struct Affine {
    factor: Vec<f64>,
    term: Vec<f64>,
}

impl Affine {
    fn of(graph: &Graph, id: OpId, epsilon: f32) -> Option<Affine> {
        let parameter = |index: usize| graph.constant_of(graph.ops[id].operands[index]).map(Tensor::to_f64);
        let (scale, bias, mean, variance) = (parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?);
        let factor: Vec<f64> =
            scale.iter().zip(&variance).map(|(scale, variance)| scale / (variance + f64::from(epsilon)).sqrt()).collect();
        let term = bias.iter().zip(&mean).zip(&factor).map(|((bias, mean), factor)| bias - mean * factor).collect();
        Some(Affine { factor, term })
    }

    /// The bias that a product with this bias has after normalization.
    fn bias(&self, bias: Option<Vec<f64>>) -> Vec<f64> {
        let before = bias.unwrap_or_else(|| vec![0.0; self.term.len()]);
        before.iter().zip(&self.factor).zip(&self.term).map(|((bias, factor), term)| bias * factor + term).collect()
    }
}

/// The normalization of `x` as a product with other weights, if `x` is a product that only normalization reads.
fn into_product(graph: &mut Graph, uses: &SecondaryMap<ValueId, u32>, x: ValueId, affine: &Affine) -> Result<Option<ValueId>, InferError> {
    let Some((id, _)) = graph.definition(x).filter(|_| uses[x] == 1) else { return Ok(None) };
    let node = graph.ops[id].clone();
    let origin = graph.origins[id].clone();
    match node.op {
        Op::Conv { layout: Layout::ChannelsFirst, .. } => {
            let Some(weights) = graph.constant_of(node.operands[1]).cloned() else { return Ok(None) };
            let bias = match node.operands.get(2) {
                None => None,
                Some(&bias) => match graph.constant_of(bias) {
                    None => return Ok(None),
                    Some(bias) => Some(bias.to_f64()),
                },
            };
            // Filters are the outermost axis of the weights.
            let weights = scaled(&weights, &affine.factor, weights.len() / affine.factor.len().max(1));
            let bias = tensor(graph, x, &[affine.factor.len() as u64], affine.bias(bias));
            let weights = graph.constant(weights, origin.clone());
            let bias = graph.constant(bias, origin.clone());
            Ok(Some(graph.append_one(node.op, &[node.operands[0], weights, bias], origin)?))
        }
        Op::MatMul => matrix_product(graph, &node.operands, None, affine, origin),
        Op::Binary(BinaryOp::Add) => {
            // A product with a bias: `Gemm` as the importer writes it.
            let (product, added) = (node.operands[0], node.operands[1]);
            let Some(bias) = graph.constant_of(added).filter(|bias| bias.shape() == [affine.factor.len() as u64]).map(Tensor::to_f64)
            else {
                return Ok(None);
            };
            match graph.defining(product).filter(|_| uses[product] == 1).map(|node| (node.op.clone(), node.operands.clone())) {
                Some((Op::MatMul, operands)) => matrix_product(graph, &operands, Some(bias), affine, origin),
                _ => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

fn matrix_product(
    graph: &mut Graph,
    operands: &[ValueId],
    bias: Option<Vec<f64>>,
    affine: &Affine,
    origin: Origin,
) -> Result<Option<ValueId>, InferError> {
    let Some(weights) = graph.constant_of(operands[1]).filter(|weights| weights.shape().len() == 2).cloned() else { return Ok(None) };
    // Channels are axis 1 of the result, hence columns only where the result is a matrix.
    if graph.ty(operands[0]).shape.rank() != 2 {
        return Ok(None);
    }
    let bias = tensor(graph, operands[1], &[affine.factor.len() as u64], affine.bias(bias));
    let weights = graph.constant(scaled(&weights, &affine.factor, 1), origin.clone());
    let bias = graph.constant(bias, origin.clone());
    let product = graph.append_one(Op::MatMul, &[operands[0], weights], origin.clone())?;
    graph.binary(BinaryOp::Add, product, bias, origin).map(Some)
}

/// Weights with each run of `run` elements multiplied by the factor of its channel, channels following each other cyclically.
fn scaled(weights: &Tensor, factors: &[f64], run: usize) -> Tensor {
    let channel = |index: usize| index / run.max(1) % factors.len();
    let values = weights.to_f64().into_iter().enumerate().map(|(index, value)| value * factors[channel(index)]).collect();
    Elements::from_floats(weights.dtype(), values).store(weights.dtype(), weights.shape())
}

/// Numbers in the element type of `like`.
fn tensor(graph: &Graph, like: ValueId, shape: &[u64], values: Vec<f64>) -> Tensor {
    let dtype = graph.ty(like).dtype;
    Elements::from_floats(dtype, values).store(dtype, shape)
}

/// Normalization as a product and a sum.
fn apply(graph: &mut Graph, id: OpId, affine: &Affine) -> Result<ValueId, InferError> {
    let (x, origin) = (graph.ops[id].operands[0], graph.origins[id].clone());
    let mut column = vec![affine.factor.len() as u64];
    column.resize(graph.ty(x).shape.rank() - 1, 1);
    let factor = tensor(graph, x, &column, affine.factor.clone());
    let term = tensor(graph, x, &column, affine.term.clone());
    let factor = graph.constant(factor, origin.clone());
    let term = graph.constant(term, origin.clone());
    let scaled = graph.binary(BinaryOp::Mul, x, factor, origin.clone())?;
    graph.binary(BinaryOp::Add, scaled, term, origin)
}
