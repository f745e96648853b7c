//! Linear models.

use super::scores::{Labels, Transform, above, matrix, rows, second_class};
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid};
use mlp_graph::op::BinaryOp;
use mlp_graph::{DType, Op, Tensor, ValueId};

/// `x coefficients^T + intercepts`, `[rows, targets]`.
fn products(node: &mut NodeImport<'_>, x: ValueId, targets: usize, intercepts: Option<&[f32]>) -> One {
    let coefficients = node.attributes.floats("coefficients")?.unwrap_or_default().to_vec();
    let features = node.dims(x)[1];
    if coefficients.len() as u64 != features * targets as u64 {
        return invalid(format!("{} coefficients are given for {targets} targets of {features} features", coefficients.len()));
    }
    let weights = matrix(node, targets as u64, features, &coefficients)?;
    let weights = node.transpose(&[1, 0], weights)?;
    let product = node.emit(Op::MatMul, &[x, weights])?;
    let Some(intercepts) = intercepts else { return Ok(product) };
    if intercepts.len() != targets {
        return invalid(format!("{} intercepts are given for {targets} targets", intercepts.len()));
    }
    let intercepts = Tensor::from_f32(&[targets as u64], intercepts).map_err(|error| error.to_string())?;
    let intercepts = node.constant(intercepts);
    node.binary(BinaryOp::Add, product, intercepts)
}

pub(super) fn regressor(node: &mut NodeImport<'_>) -> Imported {
    let x = rows(node, DType::F32)?;
    let targets = usize::try_from(node.attributes.int("targets")?.unwrap_or(1)).map_err(|_| "attribute `targets` is negative")?;
    let transform = Transform::of(node)?;
    let intercepts = node.attributes.floats("intercepts")?;
    let scores = products(node, x, targets, intercepts)?;
    Ok(vec![of_targets(node, scores, transform)?])
}

/// The transform of a regression: of one target only a probit counts.
pub(super) fn of_targets(node: &mut NodeImport<'_>, scores: ValueId, transform: Transform) -> One {
    if node.dims(scores)[1] == 1 && transform != Transform::Probit { Ok(scores) } else { transform.apply(node, scores) }
}

pub(super) fn classifier(node: &mut NodeImport<'_>) -> Imported {
    let x = rows(node, DType::F32)?;
    let labels = Labels::of(node, "classlabels_ints", "classlabels_strings")?;
    let transform = Transform::of(node)?;
    // Whether the classes are trained against each other is in the coefficients already.
    let _ = node.attributes.int("multi_class")?;
    let intercepts = classes(node)?;
    let scores = products(node, x, intercepts.len(), Some(&intercepts))?;
    if intercepts.len() == 1 {
        let second = above(node, scores, 0.0)?;
        let label = labels.of_two(node, second)?;
        let scores = if labels.len() == 2 { second_class(node, scores, transform, true)? } else { transform.apply(node, scores)? };
        return Ok(vec![label, scores]);
    }
    if labels.len() != intercepts.len() {
        return invalid(format!("{} labels are given for {} classes", labels.len(), intercepts.len()));
    }
    let label = labels.of_greatest(node, scores)?;
    Ok(vec![label, transform.apply(node, scores)?])
}

/// The intercepts of a classifier, which say how many classes there are.
fn classes(node: &NodeImport<'_>) -> Result<Vec<f32>, Problem> {
    match node.attributes.floats("intercepts")? {
        Some(intercepts) if !intercepts.is_empty() => Ok(intercepts.to_vec()),
        _ => invalid("attribute `intercepts` is missing, so that it is not known how many classes there are"),
    }
}
