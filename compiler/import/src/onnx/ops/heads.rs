//! The heads of attention: on an axis of their own, joined again, and repeated for those that share them.

use crate::onnx::node::{NodeImport, One, invalid};
use mlp_graph::ValueId;

/// `[batch, rows, heads * size]` as `[batch, heads, rows, size]`.
pub(super) fn split_heads(node: &mut NodeImport<'_>, x: ValueId, heads: u64, what: &str) -> One {
    let dims = node.dims(x);
    let &[batch, rows, hidden] = dims.as_slice() else {
        return invalid(format!("{what} has shape {dims:?}, but must have a batch, rows and features"));
    };
    if heads == 0 || !hidden.is_multiple_of(heads) {
        return invalid(format!("{what} has {hidden} features, which are no {heads} heads"));
    }
    let split = node.reshape(x, &[batch, rows, heads, hidden / heads])?;
    node.transpose(&[0, 2, 1, 3], split)
}

/// `[batch, heads, rows, size]` as `[batch, rows, heads * size]`.
pub(super) fn join_heads(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let &[batch, heads, rows, size] = node.dims(x).as_slice() else { return invalid("attention has no four axes") };
    let rows_first = node.transpose(&[0, 2, 1, 3], x)?;
    node.reshape(rows_first, &[batch, rows, heads * size])
}

/// Each head repeated for the heads of the query that share it.
pub(super) fn repeated(node: &mut NodeImport<'_>, x: ValueId, heads: u64) -> One {
    let dims = node.dims(x);
    if dims[1] == heads {
        return Ok(x);
    }
    let split = node.reshape(x, &[dims[0], dims[1], 1, dims[2], dims[3]])?;
    let wide = node.broadcast(split, &[dims[0], dims[1], heads / dims[1], dims[2], dims[3]])?;
    node.reshape(wide, &[dims[0], heads, dims[2], dims[3]])
}
