//! The sum of embeddings that transformers begin with, normalized.

use super::DOMAIN;
use super::normalization::affine;
use crate::onnx::node::{Imported, NodeImport, One, invalid};
use crate::onnx::ops::Row;
use crate::onnx::ops::gather::check_known;
use mlp_graph::op::{BinaryOp, CompareOp, ReduceKind};
use mlp_graph::{DType, Op, ValueId};

pub(super) const TABLE: &[Row] = &[(DOMAIN, "EmbedLayerNormalization", embed)];

/// Inputs: `input_ids, segment_ids, word_embedding, position_embedding, segment_embedding, gamma, beta, mask, position_ids`; results: the normalized sum
/// `[batch, length, hidden]`, the number of ones in each row of the mask, and the sum.
fn embed(node: &mut NodeImport<'_>) -> Imported {
    let ids = node.input(0)?;
    let &[batch, length] = node.dims(ids).as_slice() else {
        return invalid(format!("input_ids have shape {:?}, but must have a batch and a length", node.dims(ids)));
    };
    let (words, positions) = (node.input(2)?, node.input(3)?);
    let mut sum = rows(node, words, ids)?;
    let place = match node.optional(8) {
        Some(place) => rows(node, positions, place)?,
        None => first_rows(node, positions, length)?,
    };
    sum = node.binary(BinaryOp::Add, sum, place)?;
    if let (Some(segments), Some(table)) = (node.optional(1), node.optional(4)) {
        let segment = rows(node, table, segments)?;
        sum = node.binary(BinaryOp::Add, sum, segment)?;
    }
    let (gamma, beta) = (node.input(5)?, node.input(6)?);
    let y = affine(node, sum, gamma, Some(beta), 1e-12)?.y;
    // It says whether the second output has a meaning.
    node.attributes.int("mask_index_type")?;
    let count = match node.optional(7) {
        Some(mask) => ones(node, mask)?,
        None => {
            let zero = node.scalar(DType::I32, 0.0);
            node.broadcast(zero, &[batch])?
        }
    };
    Ok(vec![y, count, sum])
}

/// The rows of a table at indices.
fn rows(node: &mut NodeImport<'_>, table: ValueId, indices: ValueId) -> One {
    let dims = node.dims(table);
    let &[count, _] = dims.as_slice() else { return invalid(format!("an embedding has shape {dims:?}, but must be a matrix")) };
    check_known(node, indices, &[count])?;
    node.emit(Op::Gather { axis: 0 }, &[table, indices])
}

fn first_rows(node: &mut NodeImport<'_>, table: ValueId, length: u64) -> One {
    let dims = node.dims(table);
    match dims.as_slice() {
        &[count, width] if count >= length => node.slice(table, vec![0, 0], vec![1, 1], &[length, width]),
        _ => invalid(format!("position_embedding has shape {dims:?}, and {length} positions are wanted")),
    }
}

/// How many ones each row has, as `I32`.
fn ones(node: &mut NodeImport<'_>, mask: ValueId) -> One {
    let one = node.scalar(node.dtype(mask), 1.0);
    let is_one = node.compare(CompareOp::Eq, mask, one)?;
    let numbers = node.cast(DType::I32, is_one)?;
    node.reduce(ReduceKind::Sum, &[1], false, numbers)
}
