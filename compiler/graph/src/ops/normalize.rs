//! Normalization of rows: what layer normalization and root mean square normalization have in common.

use crate::infer::{InferError, Inferred, check_axis, expect_dtype};
use crate::ir::{Graph, Node, OpId, Type, ValueId};
use crate::op::{BinaryOp, Op, ReduceKind, UnaryOp};
use crate::ops::movement;
use crate::tensor::Tensor;
use mlp_bundle::DType;

pub(crate) fn infer(axis: u32, x: &Type) -> Inferred {
    check_axis(axis, &x.shape)?;
    expect_dtype("the operand", x, &[DType::F32])?;
    Ok(x.clone())
}

pub(crate) fn decompose(graph: &mut Graph, id: OpId, node: &Node) -> Result<ValueId, InferError> {
    let Op::Normalize { axis, epsilon, centred } = node.op else { unreachable!("called for a normalization") };
    let (origin, mut x) = (graph.origins[id].clone(), node.operands[0]);
    let mean = Op::Reduce { kind: ReduceKind::Mean, axes: vec![axis], keep: true };
    if centred {
        let middle = graph.append_one(mean.clone(), &[x], origin.clone())?;
        x = graph.binary(BinaryOp::Sub, x, middle, origin.clone())?;
    }
    let square = graph.binary(BinaryOp::Mul, x, x, origin.clone())?;
    let variance = graph.append_one(mean, &[square], origin.clone())?;
    let epsilon = graph.scalar(DType::F32, f32::from_bits(epsilon).into(), origin.clone());
    let positive = graph.binary(BinaryOp::Add, variance, epsilon, origin.clone())?;
    let deviation = graph.unary(UnaryOp::Sqrt, positive, origin.clone())?;
    graph.binary(BinaryOp::Div, x, deviation, origin)
}

/// Row by row, in `f64`.
pub(crate) fn eval(axis: u32, epsilon: f32, centred: bool, x: &Tensor) -> Tensor {
    let perm = movement::axes_last(x.shape().len(), &[axis]);
    let moved = movement::transposed(x, &perm);
    let length = x.shape()[axis as usize].max(1) as usize;
    let mut results: Vec<f32> = Vec::with_capacity(moved.len());
    for row in moved.to_f64().chunks_exact(length) {
        let mean = if centred { row.iter().sum::<f64>() / length as f64 } else { 0.0 };
        let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / length as f64;
        let deviation = (variance + f64::from(epsilon)).sqrt();
        results.extend(row.iter().map(|x| ((x - mean) / deviation) as f32));
    }
    let normal = Tensor::from_f32(moved.shape(), &results).expect("one number an element");
    movement::transposed(&normal, &movement::inverse(&perm))
}
