//! Rotary positions.

use super::Row;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid};
use mlp_graph::op::BinaryOp;
use mlp_graph::{Op, ValueId};

pub(super) const TABLE: &[Row] = &[("", "RotaryEmbedding", rotary_embedding)];

/// Pairs of features of each head turned by the angle of their position: neighbours where `interleaved`, else one of each half.
fn rotary_embedding(node: &mut NodeImport<'_>) -> Imported {
    let (x, positions) = (node.input(0)?, node.optional(3));
    let interleaved = node.attributes.int("interleaved")?.unwrap_or(0) != 0;
    let heads = node.attributes.int("num_heads")?.unwrap_or(0);
    let partial = node.attributes.int("rotary_embedding_dim")?.unwrap_or(0);
    let dims = node.dims(x);
    // [batch, rows, heads, features]
    let moved = match *dims.as_slice() {
        [batch, rows, hidden] => match u64::try_from(heads) {
            Ok(heads) if heads > 0 && hidden % heads == 0 => node.reshape(x, &[batch, rows, heads, hidden / heads])?,
            _ => return invalid(format!("{hidden} features do not make up {heads} heads")),
        },
        [..] if dims.len() == 4 => node.transpose(&[0, 2, 1, 3], x)?,
        _ => return invalid(format!("the input has shape {dims:?}, but must have rank 3 or 4")),
    };
    let sizes = node.dims(moved);
    let turned = if partial == 0 { sizes[3] } else { u64::try_from(partial).unwrap_or(u64::MAX) };
    if turned > sizes[3] || turned % 2 != 0 {
        return invalid(format!("{turned} of {} features are to be turned in pairs", sizes[3]));
    }
    let half = turned / 2;
    let (cosine, sine) = (cache(node, 1, positions, &sizes, half)?, cache(node, 2, positions, &sizes, half)?);
    let y = if half == 0 { moved } else { turn(node, moved, [cosine, sine], interleaved)? };
    Ok(vec![if dims.len() == 4 { node.transpose(&[0, 2, 1, 3], y)? } else { node.reshape(y, &dims)? }])
}

/// The cosines or sines `[batch, rows, 1, half]`: by position, or already one a row.
fn cache(node: &mut NodeImport<'_>, input: usize, positions: Option<ValueId>, sizes: &[u64], half: u64) -> One {
    let values = node.input(input)?;
    let values = match positions {
        Some(positions) => {
            if node.rank(values) != 2 || node.dims(positions) != sizes[..2] {
                return invalid(format!("positions of shape {:?} do not fit an input of {:?} rows", node.dims(positions), &sizes[..2]));
            }
            node.emit(Op::Gather { axis: 0 }, &[values, positions])?
        }
        None => values,
    };
    if node.dims(values) != [sizes[0], sizes[1], half] {
        return Err(Problem::Invalid(format!(
            "input {input} gives angles of shape {:?}, but {:?} is needed",
            node.dims(values),
            [sizes[0], sizes[1], half]
        )));
    }
    node.reshape(values, &[sizes[0], sizes[1], 1, half])
}

/// `x [batch, heads, length, head]`, or with the two in the middle the other way round, with each pair `(a, b)` of its first `2 * half` features as
/// `(a cos - b sin, b cos + a sin)`; cosines and sines are broadcast. Pairs lie side by side where
/// `interleaved`, and half of the turned features apart otherwise.
pub(super) fn turn(node: &mut NodeImport<'_>, x: ValueId, [cos, sin]: [ValueId; 2], interleaved: bool) -> One {
    let dims = node.dims(x);
    let half = node.dims(cos).last().copied().unwrap_or(0);
    let &[batch, heads, length, size] = dims.as_slice() else { return invalid(format!("the input has shape {dims:?}")) };
    if half == 0 || 2 * half > size {
        return invalid(format!("cos_cache has {half} columns, and a head of {size} features has room for {}", size / 2));
    }
    let turned = 2 * half as i64;
    let part = [batch, heads, length, half];
    let (second, step) = if interleaved { (1, 2) } else { (half as i64, 1) };
    let a = node.slice(x, vec![0; 4], vec![1, 1, 1, step], &part)?;
    let b = node.slice(x, vec![0, 0, 0, second], vec![1, 1, 1, step], &part)?;
    let product = |node: &mut NodeImport<'_>, x: ValueId, y: ValueId| node.binary(BinaryOp::Mul, x, y);
    let (a_cos, b_sin) = (product(node, a, cos)?, product(node, b, sin)?);
    let (b_cos, a_sin) = (product(node, b, cos)?, product(node, a, sin)?);
    let first = node.binary(BinaryOp::Sub, a_cos, b_sin)?;
    let second = node.binary(BinaryOp::Add, b_cos, a_sin)?;
    let mut y = if interleaved {
        let [first, second] = [first, second].map(|half| node.reshape(half, &[&part[..], &[1]].concat()));
        let pairs = node.emit(Op::Concat { axis: 4 }, &[first?, second?])?;
        node.reshape(pairs, &[batch, heads, length, 2 * half])?
    } else {
        node.emit(Op::Concat { axis: 3 }, &[first, second])?
    };
    if 2 * half < size {
        let rest = node.slice(x, vec![0, 0, 0, turned], vec![1; 4], &[batch, heads, length, size - 2 * half])?;
        y = node.emit(Op::Concat { axis: 3 }, &[y, rest])?;
    }
    Ok(y)
}
