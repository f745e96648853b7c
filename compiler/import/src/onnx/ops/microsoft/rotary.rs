//! Rotary position embedding: pairs of features turned by an angle that grows with the position.

use super::DOMAIN;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use crate::onnx::ops::Row;
use crate::onnx::ops::rotary::turn;
use mlp_graph::op::BinaryOp;
use mlp_graph::{DType, Op, ValueId};

pub(super) const TABLE: &[Row] = &[(DOMAIN, "RotaryEmbedding", rotary_embedding)];

/// Inputs: `input, position_ids, cos_cache, sin_cache`. The input is `[batch, length, hidden]` or `[batch, heads, length, head]`.
fn rotary_embedding(node: &mut NodeImport<'_>) -> Imported {
    let (x, positions) = (node.input(0)?, node.input(1)?);
    let (cos, sin) = (node.input(2)?, node.input(3)?);
    let interleaved = node.attributes.int("interleaved")?.unwrap_or(0) != 0;
    let heads = node.attributes.int("num_heads")?.unwrap_or(0);
    let dim = node.attributes.int("rotary_embedding_dim")?.unwrap_or(0);
    if node.attributes.int("is_packed_batching")?.unwrap_or(0) != 0 {
        return unsupported("is_packed_batching = 1: the lengths of a batch differ; pad it");
    }
    if node.attributes.float("scale")?.unwrap_or(1.0) != 1.0 {
        return unsupported("scale other than 1");
    }
    let dims = node.dims(x);
    let half = node.dims(cos).last().copied().unwrap_or(0);
    let turned = |node: &mut NodeImport<'_>, x: ValueId, length: u64| -> One {
        let angles = at_positions(node, [cos, sin], Positions::Given(positions), length)?;
        turn(node, x, angles, interleaved)
    };
    match *dims.as_slice() {
        [_, _, length, _] => Ok(vec![turned(node, x, length)?]),
        [batch, length, hidden] => {
            // Without a number of heads all of a head is turned.
            let size = if dim > 0 && heads > 0 { hidden / heads as u64 } else { half.saturating_mul(2) };
            if size == 0 || !hidden.is_multiple_of(size) {
                return invalid(format!("{hidden} features are no heads of {size}"));
            }
            let split = node.reshape(x, &[batch, length, hidden / size, size])?;
            let heads_first = node.transpose(&[0, 2, 1, 3], split)?;
            let y = turned(node, heads_first, length)?;
            let back = node.transpose(&[0, 2, 1, 3], y)?;
            Ok(vec![node.reshape(back, &dims)?])
        }
        _ => invalid(format!("the input has shape {dims:?}; a rank of 3 or 4 is possible")),
    }
}

/// Where the rows of an input stand.
pub(super) enum Positions {
    /// One after another, from this one on.
    From(u64),
    /// As a value says: the first position, or the position of every row of every batch.
    Given(ValueId),
}

/// The cosines and sines of positions, `[batch or 1, 1, length, half]`.
pub(super) fn at_positions(
    node: &mut NodeImport<'_>,
    tables: [ValueId; 2],
    positions: Positions,
    length: u64,
) -> Result<[ValueId; 2], Problem> {
    let sizes = node.dims(tables[0]);
    let &[count, half] = sizes.as_slice() else { return invalid(format!("cos_cache has shape {sizes:?}, but must be a matrix")) };
    if node.dims(tables[1]) != sizes {
        return invalid("cos_cache and sin_cache have different shapes");
    }
    let indices = match positions {
        Positions::From(first) => {
            if first.saturating_add(length) > count {
                return invalid(format!("positions {first} to {} are wanted, and cos_cache has {count}", first + length));
            }
            let [cos, sin] = tables;
            let mut rows = |table| -> One {
                let rows = node.slice(table, vec![first as i64, 0], vec![1, 1], &[length, half])?;
                node.reshape(rows, &[1, 1, length, half])
            };
            return Ok([rows(cos)?, rows(sin)?]);
        }
        Positions::Given(positions) => positions,
    };
    let dims = node.dims(indices);
    let (indices, batch) = match dims.as_slice() {
        // One offset for all.
        [] | [1] => {
            let steps = node.positions(length, 0, 1)?;
            let steps = node.cast(DType::I64, steps)?;
            let first = node.cast(node.dtype(steps), indices)?;
            (node.binary(BinaryOp::Add, first, steps)?, 1)
        }
        &[batch, rows] if rows == length => (indices, batch),
        _ => {
            return invalid(format!(
                "position_ids have shape {dims:?}; one number, or one for each of {length} rows of each batch is possible"
            ));
        }
    };
    let [cos, sin] = tables;
    let mut rows = |table| -> One {
        let rows = node.emit(Op::Gather { axis: 0 }, &[table, indices])?;
        node.reshape(rows, &[batch, 1, length, half])
    };
    Ok([rows(cos)?, rows(sin)?])
}
