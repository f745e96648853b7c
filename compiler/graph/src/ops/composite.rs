//! Composites, kept whole until a pass or a planner wants their parts: `Softmax`, `BatchNorm`, and those of `normalize` and `attention`.

use crate::infer::{InferError, Inferred, check_axis, expect_dtype, expect_shape};
use crate::ir::{Graph, Node, OpId, Type, ValueId};
use crate::numbers::Elements;
use crate::op::{BinaryOp, Op, ReduceKind, UnaryOp};
use crate::ops::map::eval_binary;
use crate::ops::{attention, movement, normalize};
use crate::shape::{Dim, Shape};
use crate::tensor::Tensor;

pub(crate) fn infer_softmax(axis: u32, x: &Type) -> Inferred {
    check_axis(axis, &x.shape)?;
    if x.dtype.is_float() { Ok(x.clone()) } else { Err(format!("is not defined for {}", x.dtype)) }
}

pub(crate) fn infer_batch_norm(operands: &[Type]) -> Inferred {
    let x = &operands[0];
    if !x.dtype.is_float() {
        return Err(format!("is not defined for {}", x.dtype));
    }
    let channels = x.shape.0[check_axis(1, &x.shape)?];
    for (name, ty) in ["scale", "bias", "mean", "variance"].into_iter().zip(&operands[1..]) {
        expect_dtype(name, ty, &[x.dtype])?;
        expect_shape(name, ty, &[channels])?;
    }
    Ok(x.clone())
}

impl Graph {
    /// Appends what a composite operation stands for, in primitive operations, and returns the values that equal its results; none where
    /// the operation is no composite.
    ///
    /// The composite itself stays where it is: whoever calls replaces its uses.
    pub fn decompose(&mut self, id: OpId) -> Result<Option<Vec<ValueId>>, InferError> {
        let node = self.ops[id].clone();
        match node.op {
            Op::Softmax { axis } => Ok(Some(vec![self.decompose_softmax(id, &node, axis)?])),
            Op::BatchNorm { epsilon } => Ok(Some(vec![self.decompose_batch_norm(id, &node, f32::from_bits(epsilon))?])),
            Op::Normalize { .. } => Ok(Some(vec![normalize::decompose(self, id, &node)?])),
            Op::Attention { scale, guarded } => Ok(Some(vec![attention::decompose(self, id, &node, f32::from_bits(scale), guarded)?])),
            _ => Ok(None),
        }
    }

    fn decompose_softmax(&mut self, id: OpId, node: &Node, axis: u32) -> Result<ValueId, InferError> {
        let (origin, x) = (self.origins[id].clone(), node.operands[0]);
        let reduce = |kind| Op::Reduce { kind, axes: vec![axis], keep: true };
        let max = self.append_one(reduce(ReduceKind::Max), &[x], origin.clone())?;
        let shifted = self.binary(BinaryOp::Sub, x, max, origin.clone())?;
        let powers = self.unary(UnaryOp::Exp, shifted, origin.clone())?;
        let sum = self.append_one(reduce(ReduceKind::Sum), &[powers], origin.clone())?;
        self.binary(BinaryOp::Div, powers, sum, origin)
    }

    fn decompose_batch_norm(&mut self, id: OpId, node: &Node, epsilon: f32) -> Result<ValueId, InferError> {
        let (origin, x) = (self.origins[id].clone(), node.operands[0]);
        let ty = self.ty(x).clone();
        let mut column = vec![ty.shape.0[1]];
        column.resize(ty.shape.rank() - 1, Dim::Const(1));
        let channel = |graph: &mut Graph, value| graph.reshape(value, Shape(column.clone()), origin.clone());
        let (scale, bias) = (channel(self, node.operands[1])?, channel(self, node.operands[2])?);
        let (mean, variance) = (channel(self, node.operands[3])?, channel(self, node.operands[4])?);
        let epsilon = self.scalar(ty.dtype, epsilon.into(), origin.clone());
        let positive = self.binary(BinaryOp::Add, variance, epsilon, origin.clone())?;
        let deviation = self.unary(UnaryOp::Sqrt, positive, origin.clone())?;
        let centred = self.binary(BinaryOp::Sub, x, mean, origin.clone())?;
        let unit = self.binary(BinaryOp::Div, centred, deviation, origin.clone())?;
        let scaled = self.binary(BinaryOp::Mul, unit, scale, origin.clone())?;
        self.binary(BinaryOp::Add, scaled, bias, origin)
    }
}

pub(crate) fn eval_softmax(axis: u32, x: &Tensor) -> Tensor {
    let perm = movement::axes_last(x.shape().len(), &[axis]);
    let moved = movement::transposed(x, &perm);
    let length = (x.shape()[axis as usize] as usize).max(1);
    // As the decomposition: differences, powers and quotients in the compute type, the sum in `f64`.
    macro_rules! rows {
        ($values:expr, $t:ty) => {
            $values
                .chunks_exact(length)
                .flat_map(|row| {
                    let max = row.iter().copied().fold(<$t>::NEG_INFINITY, |max, x| if x.is_nan() || max < x { x } else { max });
                    let powers: Vec<$t> = row.iter().map(|x| (x - max).exp()).collect();
                    let sum = powers.iter().map(|&power| f64::from(power)).sum::<f64>() as $t;
                    powers.into_iter().map(move |power| power / sum)
                })
                .collect()
        };
    }
    let elements = match Elements::load(&moved) {
        Elements::F32(values) => Elements::F32(rows!(values, f32)),
        Elements::F64(values) => Elements::F64(rows!(values, f64)),
        _ => unreachable!("the shape rule asks for floats"),
    };
    movement::transposed(&elements.store(x.dtype(), moved.shape()), &movement::inverse(&perm))
}

pub(crate) fn eval_batch_norm(epsilon: f32, operands: &[&Tensor]) -> Tensor {
    let x = operands[0];
    let mut column = vec![x.shape()[1]];
    column.resize(x.shape().len() - 1, 1);
    let [scale, bias, mean, variance] = [1, 2, 3, 4].map(|index| operands[index].reshaped(&column).expect("one number a channel"));
    let epsilon = Tensor::scalar_of(x.dtype(), epsilon.into());
    let positive = eval_binary(BinaryOp::Add, &variance, &epsilon, &column);
    let deviation = Elements::load(&positive).unary(UnaryOp::Sqrt).store(x.dtype(), &column);
    let steps = [(BinaryOp::Sub, mean), (BinaryOp::Div, deviation), (BinaryOp::Mul, scale), (BinaryOp::Add, bias)];
    steps.into_iter().fold(x.clone(), |value, (op, other)| eval_binary(op, &value, &other, x.shape()))
}
