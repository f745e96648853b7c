//! From scores to what an operator returns: labels, and scores transformed.

use super::super::activation::sigmoid;
use crate::onnx::node::{NodeImport, One, Problem, invalid, unsupported};
use mlp_graph::op::{BinaryOp, CompareOp, ReduceKind, UnaryOp};
use mlp_graph::{DType, Op, Tensor, ValueId};

/// What is done with the scores of a row at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transform {
    None,
    /// `1 / (1 + e^-x)`.
    Logistic,
    Softmax,
    /// Softmax in which scores of 0 stay 0.
    SoftmaxZero,
    /// The quantile of the normal distribution.
    Probit,
}

impl Transform {
    /// The transform that attribute `post_transform` names.
    pub(super) fn of(node: &NodeImport<'_>) -> Result<Transform, Problem> {
        Ok(match node.attributes.string("post_transform")?.unwrap_or("NONE") {
            "NONE" => Transform::None,
            "LOGISTIC" => Transform::Logistic,
            "SOFTMAX" => Transform::Softmax,
            "SOFTMAX_ZERO" => Transform::SoftmaxZero,
            "PROBIT" => Transform::Probit,
            other => return invalid(format!("attribute `post_transform` is `{other}`, which is no transform")),
        })
    }

    /// Applied to scores of shape `[rows, classes]`.
    pub(super) fn apply(self, node: &mut NodeImport<'_>, scores: ValueId) -> One {
        match self {
            Transform::None => Ok(scores),
            Transform::Logistic => sigmoid(node, scores),
            Transform::Softmax => node.emit(Op::Softmax { axis: 1 }, &[scores]),
            Transform::SoftmaxZero => softmax_zero(node, scores),
            Transform::Probit => probit(node, scores),
        }
    }
}

/// Softmax over the scores that are not 0 (within 1e-7); those that are stay 0.
fn softmax_zero(node: &mut NodeImport<'_>, scores: ValueId) -> One {
    let dtype = node.dtype(scores);
    let (nothing, bound) = (node.scalar(dtype, 0.0), node.scalar(dtype, 1e-7));
    let greatest = node.reduce(ReduceKind::Max, &[1], true, scores)?;
    let moved = node.binary(BinaryOp::Sub, scores, greatest)?;
    let exp = node.unary(UnaryOp::Exp, moved)?;
    let size = node.unary(UnaryOp::Abs, scores)?;
    let counts = node.compare(CompareOp::Lt, bound, size)?;
    let taken = node.select(counts, exp, nothing)?;
    let sum = node.reduce(ReduceKind::Sum, &[1], true, taken)?;
    node.binary(BinaryOp::Div, taken, sum)
}

/// `sqrt(2) * erfinv(2x - 1)` with Winitzki's approximation of the inverse error function (a = 0.147), as ONNX Runtime has it.
fn probit(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let dtype = node.dtype(x);
    let number = |node: &mut NodeImport<'_>, value: f64| node.scalar(dtype, value);
    let (one, two, zero) = (number(node, 1.0), number(node, 2.0), number(node, 0.0));
    let doubled = node.binary(BinaryOp::Mul, x, two)?;
    let y = node.binary(BinaryOp::Sub, doubled, one)?;
    let (less, more) = (node.binary(BinaryOp::Sub, one, y)?, node.binary(BinaryOp::Add, one, y)?);
    let product = node.binary(BinaryOp::Mul, less, more)?;
    let log = node.unary(UnaryOp::Log, product)?;
    let (half, offset, inverse) = (number(node, 0.5), number(node, 2.0 / (std::f64::consts::PI * 0.147)), number(node, 1.0 / 0.147));
    let halved = node.binary(BinaryOp::Mul, log, half)?;
    let v = node.binary(BinaryOp::Add, halved, offset)?;
    let square = node.binary(BinaryOp::Mul, v, v)?;
    let scaled = node.binary(BinaryOp::Mul, log, inverse)?;
    let inner = node.binary(BinaryOp::Sub, square, scaled)?;
    let root = node.unary(UnaryOp::Sqrt, inner)?;
    let difference = node.binary(BinaryOp::Sub, root, v)?;
    let size = node.unary(UnaryOp::Sqrt, difference)?;
    let negated = node.unary(UnaryOp::Neg, size)?;
    let below = node.compare(CompareOp::Lt, y, zero)?;
    let erfinv = node.select(below, negated, size)?;
    let factor = number(node, std::f64::consts::SQRT_2);
    node.binary(BinaryOp::Mul, erfinv, factor)
}

/// The two scores of a row that has one, `[rows, 1]`: of the class that it is for, and of the other, which comes first.
pub(super) fn second_class(node: &mut NodeImport<'_>, score: ValueId, transform: Transform, positive: bool) -> One {
    let (yes, no) = match transform {
        Transform::Probit => return unsupported("a probit of one score for two classes is not defined"),
        Transform::Logistic => {
            let negated = node.unary(UnaryOp::Neg, score)?;
            (sigmoid(node, score)?, sigmoid(node, negated)?)
        }
        _ if positive => {
            let one = node.scalar(node.dtype(score), 1.0);
            (score, node.binary(BinaryOp::Sub, one, score)?)
        }
        _ => (score, node.unary(UnaryOp::Neg, score)?),
    };
    node.emit(Op::Concat { axis: 1 }, &[no, yes])
}

/// The labels of a classifier: whole numbers, or the positions of those that are text.
pub(super) struct Labels(Vec<i64>);

impl Labels {
    /// The labels that two attributes list, of which one is given.
    pub(super) fn of(node: &NodeImport<'_>, integers: &str, strings: &str) -> Result<Labels, Problem> {
        match (node.attributes.ints(integers)?, node.attributes.strings(strings)?) {
            (Some(labels), None) if !labels.is_empty() => Ok(Labels(labels.to_vec())),
            (None, Some(labels)) if !labels.is_empty() => Ok(Labels((0..labels.len() as i64).collect())),
            _ => invalid(format!("one of the attributes `{integers}` and `{strings}` must list the labels")),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The labels at positions `[rows]`.
    pub(super) fn at(&self, node: &mut NodeImport<'_>, positions: ValueId) -> One {
        let table = node.integers(&self.0)?;
        node.emit(Op::Gather { axis: 0 }, &[table, positions])
    }

    /// The labels of the greatest scores of rows `[rows, classes]`; of equal ones the first.
    pub(super) fn of_greatest(&self, node: &mut NodeImport<'_>, scores: ValueId) -> One {
        let positions = node.emit(Op::ArgReduce { max: true, axis: 1, keep: false, last: false }, &[scores])?;
        self.at(node, positions)
    }

    /// The second label where `[rows, 1]` is true, else the first; 1 and 0 where there are not two.
    pub(super) fn of_two(&self, node: &mut NodeImport<'_>, second: ValueId) -> One {
        let &[no, yes] = <&[i64; 2]>::try_from(self.0.as_slice()).unwrap_or(&[0, 1]);
        let (no, yes) = (node.integers(&[no])?, node.integers(&[yes])?);
        let rows = node.dims(second).iter().product();
        let second = node.reshape(second, &[rows])?;
        node.select(second, yes, no)
    }
}

/// An input as rows of features, floats.
pub(super) fn rows(node: &mut NodeImport<'_>, dtype: DType) -> One {
    let x = node.input(0)?;
    let x = node.cast(dtype, x)?;
    match node.dims(x).as_slice() {
        &[features] => node.reshape(x, &[1, features]),
        &[_, _] => Ok(x),
        dims => invalid(format!("the input should be rows of features, but has shape {dims:?}")),
    }
}

/// A matrix constant.
pub(super) fn matrix(node: &mut NodeImport<'_>, rows: u64, columns: u64, values: &[f32]) -> One {
    let tensor = Tensor::from_f32(&[rows, columns], values).map_err(|error| error.to_string())?;
    Ok(node.constant(tensor))
}

/// Whether scores are above a bound.
pub(super) fn above(node: &mut NodeImport<'_>, scores: ValueId, bound: f64) -> One {
    let bound = node.scalar(node.dtype(scores), bound);
    node.compare(CompareOp::Lt, bound, scores)
}

/// One column of `[rows, columns]`, as `[rows, 1]`.
pub(super) fn column(node: &mut NodeImport<'_>, x: ValueId, column: u64) -> One {
    let rows = node.dims(x)[0];
    node.slice(x, vec![0, column as i64], vec![1, 1], &[rows, 1])
}
