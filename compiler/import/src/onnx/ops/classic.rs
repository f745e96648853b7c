//! Operators of classical machine learning (`ai.onnx.ml`) that are maps and gathers.

use super::Row;
use crate::onnx::node::{Imported, NodeImport, Problem, invalid};
use mlp_graph::op::{BinaryOp, CompareOp};
use mlp_graph::{DType, Op, Tensor, ValueId};

const DOMAIN: &str = "ai.onnx.ml";

pub(super) const TABLE: &[Row] =
    &[(DOMAIN, "Scaler", scaler), (DOMAIN, "ArrayFeatureExtractor", array_feature_extractor), (DOMAIN, "Binarizer", binarizer)];

/// `(x - offset) * scale`, one of each a feature or one for all.
fn scaler(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let x = node.cast(DType::F32, x)?;
    let offset = features(node, "offset", x)?;
    let scale = features(node, "scale", x)?;
    let moved = offset.map_or(Ok(x), |offset| node.binary(BinaryOp::Sub, x, offset))?;
    Ok(vec![scale.map_or(Ok(moved), |scale| node.binary(BinaryOp::Mul, moved, scale))?])
}

/// The numbers of an attribute that go along the last axis of `x`.
fn features(node: &mut NodeImport<'_>, name: &str, x: ValueId) -> Result<Option<ValueId>, Problem> {
    let Some(numbers) = node.attributes.floats(name)? else { return Ok(None) };
    let last = node.dims(x).last().copied().unwrap_or(1);
    if numbers.len() != 1 && numbers.len() as u64 != last {
        return invalid(format!("attribute `{name}` has {} numbers for {last} features", numbers.len()));
    }
    let shape = if numbers.len() == 1 { vec![] } else { vec![last] };
    let tensor = Tensor::from_f32(&shape, numbers).map_err(|error| error.to_string())?;
    Ok(Some(node.constant(tensor)))
}

/// Elements along the last axis at the given positions.
fn array_feature_extractor(node: &mut NodeImport<'_>) -> Imported {
    let (x, indices) = (node.input(0)?, node.input(1)?);
    let rank = node.rank(x);
    let count = node.dims(indices).iter().product();
    let indices = node.reshape(indices, &[count])?;
    if rank == 0 {
        return invalid("the input is a scalar");
    }
    let picked = node.emit(Op::Gather { axis: rank as u32 - 1 }, &[x, indices])?;
    // The result always has at least two axes.
    Ok(vec![if rank == 1 { node.reshape(picked, &[1, count])? } else { picked }])
}

/// 1 above the threshold, else 0.
fn binarizer(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dtype = node.dtype(x);
    let threshold = f64::from(node.attributes.float("threshold")?.unwrap_or(0.0));
    let threshold = node.scalar(dtype, threshold);
    let above = node.compare(CompareOp::Lt, threshold, x)?;
    Ok(vec![node.cast(dtype, above)?])
}
