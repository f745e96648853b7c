//! `Where`, and what only passes a value through.

use super::Row;
use crate::onnx::node::{Imported, NodeImport, unsupported};

pub(super) const TABLE: &[Row] = &[("", "Where", choose), ("", "Identity", identity), ("", "Dropout", dropout)];

fn choose(node: &mut NodeImport<'_>) -> Imported {
    let (condition, yes, no) = (node.input(0)?, node.input(1)?, node.input(2)?);
    Ok(vec![node.select(condition, yes, no)?])
}

fn identity(node: &mut NodeImport<'_>) -> Imported {
    Ok(vec![node.input(0)?])
}

/// The identity, unless the model asks to train with a ratio above 0. Before operator set 7 an attribute says that it does not.
fn dropout(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let (_, _) = (node.attributes.float("ratio")?, node.attributes.int("seed")?);
    let mut ratio = 0.0;
    if node.opset < 7 && node.attributes.int("is_test")?.unwrap_or(0) == 0 {
        ratio = 0.5;
    }
    if let Some(training) = node.optional(2)
        && node.known_integers(training, "training_mode")? != [0]
    {
        ratio = node.optional(1).map_or(Ok(0.5), |ratio| node.needed_float(ratio, "the ratio"))?;
    }
    if ratio != 0.0 {
        return unsupported(format!("it is to drop values at random, a part of {ratio}; export the model for inference"));
    }
    let mut results = vec![x];
    if node.wants(1) {
        let one = node.builder.constant(mlp_graph::Tensor::scalar_of(mlp_graph::DType::Bool, 1.0));
        let dims = node.dims(x);
        results.push(node.broadcast(one, &dims)?);
    }
    Ok(results)
}
