//! Scaled dot-product attention.

use crate::infer::{InferError, Inferred, expect_dtype, expect_shape};
use crate::ir::{Graph, Node, OpId, Type, ValueId};
use crate::op::{BinaryOp, CompareOp, Op};
use crate::shape::{Dim, Shape};
use crate::tensor::Tensor;
use mlp_bundle::DType;

pub(crate) fn infer(operands: &[Type]) -> Inferred {
    let [query, key, value] = [&operands[0], &operands[1], &operands[2]];
    for (name, ty) in ["the query", "the key", "the value"].into_iter().zip(operands) {
        expect_dtype(name, ty, &[DType::F32])?;
        if ty.shape.rank() != 4 {
            return Err(format!("{name} must have rank 4, but is {ty}"));
        }
    }
    let [batch, rows, heads, depth] = [0, 1, 2, 3].map(|axis| query.shape.0[axis]);
    let (keys, width) = (key.shape.0[1], value.shape.0[3]);
    expect_shape("the key", key, &[batch, keys, heads, depth])?;
    expect_shape("the value", value, &[batch, keys, heads, width])?;
    if let Some(mask) = operands.get(3) {
        expect_dtype("the mask", mask, &[DType::F32])?;
        let scores = [batch, heads, rows, keys];
        let fits = |(&dim, &full): (&Dim, &Dim)| dim == full || dim == Dim::Const(1);
        if mask.shape.rank() != 4 || !mask.shape.0.iter().zip(&scores).all(fits) {
            return Err(format!("the mask {mask} does not stretch to {}", Shape(scores.to_vec())));
        }
    }
    Ok(Type::new(DType::F32, Shape(vec![batch, rows, heads, width])))
}

/// `softmax(query key^T * scale + mask) value`, in the operations that it is the whole of.
pub(crate) fn decompose(graph: &mut Graph, id: OpId, node: &Node, scale: f32, guarded: bool) -> Result<ValueId, InferError> {
    let origin = graph.origins[id].clone();
    let heads_first = [0, 2, 1, 3];
    let query = graph.transpose(node.operands[0], &heads_first, origin.clone())?;
    let key = graph.transpose(node.operands[1], &[0, 2, 3, 1], origin.clone())?;
    let value = graph.transpose(node.operands[2], &heads_first, origin.clone())?;
    let scale = graph.scalar(DType::F32, scale.into(), origin.clone());
    let product = graph.append_one(Op::MatMul, &[query, key], origin.clone())?;
    let mut scores = graph.binary(BinaryOp::Mul, product, scale, origin.clone())?;
    if let Some(&mask) = node.operands.get(3) {
        scores = graph.binary(BinaryOp::Add, scores, mask, origin.clone())?;
    }
    let mut weights = graph.append_one(Op::Softmax { axis: 3 }, &[scores], origin.clone())?;
    if guarded {
        let nan = graph.compare(CompareOp::Ne, weights, weights, origin.clone())?;
        let zero = graph.scalar(DType::F32, 0.0, origin.clone());
        weights = graph.append_one(Op::Select, &[nan, zero, weights], origin.clone())?;
    }
    let result = graph.append_one(Op::MatMul, &[weights, value], origin.clone())?;
    graph.transpose(result, &heads_first, origin)
}

/// Row by row; sums in `f64`.
pub(crate) fn eval(scale: f32, guarded: bool, x: &[&Tensor], shape: &[u64]) -> Tensor {
    let [batch, rows, heads, width] = [0, 1, 2, 3].map(|axis| shape[axis] as usize);
    let (keys, depth) = (x[1].shape()[1] as usize, x[1].shape()[3] as usize);
    let floats = |index: usize| x.get(index).map(|tensor: &&Tensor| tensor.to_f64()).unwrap_or_default();
    let [query, key, value, mask] = [0, 1, 2, 3].map(floats);
    let mask_dims: Vec<usize> = x.get(3).map_or_else(|| vec![1; 4], |mask| mask.shape().iter().map(|&dim| dim as usize).collect());
    let masked = |place: [usize; 4]| -> f64 {
        let at = place.iter().zip(&mask_dims).fold(0, |at, (&index, &dim)| at * dim + if dim == 1 { 0 } else { index });
        mask.get(at).copied().unwrap_or(0.0)
    };
    let mut results = Vec::with_capacity(batch * rows * heads * width);
    for (image, row, head) in places(batch, rows, heads) {
        let at = |tensor: &[f64], count: usize, row: usize, size: usize, feature: usize| {
            tensor[((image * count + row) * heads + head) * size + feature]
        };
        let scores: Vec<f64> = (0..keys)
            .map(|j| {
                let product: f64 = (0..depth).map(|d| at(&query, rows, row, depth, d) * at(&key, keys, j, depth, d)).sum();
                product * f64::from(scale) + masked([image, head, row, j])
            })
            .collect();
        let greatest = scores.iter().fold(f64::NEG_INFINITY, |max, &score| if max < score { score } else { max });
        let powers: Vec<f64> = scores.iter().map(|score| (score - greatest).exp()).collect();
        let sum: f64 = powers.iter().sum();
        for d in 0..width {
            let total: f64 = powers.iter().enumerate().map(|(j, power)| power * at(&value, keys, j, width, d)).sum();
            results.push(if guarded && sum.is_nan() { 0.0 } else { (total / sum) as f32 });
        }
    }
    Tensor::from_f32(shape, &results).expect("one number an element")
}

fn places(batch: usize, rows: usize, heads: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..batch).flat_map(move |image| (0..rows).flat_map(move |row| (0..heads).map(move |head| (image, row, head))))
}
