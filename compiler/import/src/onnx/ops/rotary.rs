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
    let (step, second) = if interleaved { (2, 1) } else { (1, half as i64) };
    let part = |node: &mut NodeImport<'_>, first: i64| {
        node.slice(moved, vec![0, 0, 0, first], vec![1, 1, 1, step], &[sizes[0], sizes[1], sizes[2], half])
    };
    let (a, b) = (part(node, 0)?, part(node, second)?);
    let products = [(cosine, a), (sine, b), (sine, a), (cosine, b)];
    let mut made = Vec::with_capacity(4);
    for (factor, value) in products {
        made.push(node.binary(BinaryOp::Mul, factor, value)?);
    }
    let (real, imaginary) = (node.binary(BinaryOp::Sub, made[0], made[1])?, node.binary(BinaryOp::Add, made[2], made[3])?);
    let mut y = joined(node, real, imaginary, interleaved)?;
    if turned < sizes[3] {
        let rest = [sizes[0], sizes[1], sizes[2], sizes[3] - turned];
        let rest = node.slice(moved, vec![0, 0, 0, turned as i64], vec![1; 4], &rest)?;
        y = node.emit(Op::Concat { axis: 3 }, &[y, rest])?;
    }
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

/// Pairs beside each other, or all first ones before all second ones.
fn joined(node: &mut NodeImport<'_>, real: ValueId, imaginary: ValueId, interleaved: bool) -> One {
    if !interleaved {
        return node.emit(Op::Concat { axis: 3 }, &[real, imaginary]);
    }
    let dims = node.dims(real);
    let mut apart = dims.clone();
    apart.push(1);
    let (real, imaginary) = (node.reshape(real, &apart)?, node.reshape(imaginary, &apart)?);
    let pairs = node.emit(Op::Concat { axis: 4 }, &[real, imaginary])?;
    node.reshape(pairs, &[dims[0], dims[1], dims[2], 2 * dims[3]])
}
