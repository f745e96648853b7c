//! `Attention`: written as the products, the mask and the softmax that a later pass recognises and makes one operation.

use super::Row;
use super::heads::{join_heads, repeated, split_heads};
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use mlp_graph::op::{BinaryOp, CompareOp, UnaryOp};
use mlp_graph::{DType, Op, ValueId};

pub(super) const TABLE: &[Row] = &[("", "Attention", attention)];

/// The operands as `[batch, heads, rows, features]`, the past before them.
struct Operands {
    query: ValueId,
    key: ValueId,
    value: ValueId,
    /// Rows of the past.
    past: u64,
}

fn attention(node: &mut NodeImport<'_>) -> Imported {
    let flat = node.rank(node.input(0)?) == 3;
    let operands = operands(node)?;
    let sizes = node.dims(operands.query);
    let keys = node.dims(operands.key);
    let (dtype, precision) = (node.dtype(operands.query), precision(node)?);
    let scale = match node.attributes.float("scale")? {
        Some(scale) => f64::from(scale),
        None => 1.0 / (sizes[3] as f64).sqrt(),
    };
    let softcap = f64::from(node.attributes.float("softcap")?.unwrap_or(0.0));
    let mode = node.attributes.int("qk_matmul_output_mode")?.unwrap_or(0);
    let bias = bias(node, &operands)?;
    let (key, value) = (repeated(node, operands.key, sizes[1])?, repeated(node, operands.value, sizes[1])?);
    let value = node.cast(dtype, value)?;
    let turned = node.transpose(&[0, 1, 3, 2], key)?;
    let root = scale.abs().sqrt();
    let query = node.with_number(BinaryOp::Mul, operands.query, if scale < 0.0 { -root } else { root })?;
    let turned = node.with_number(BinaryOp::Mul, turned, root)?;
    let scores = node.emit(Op::MatMul, &[query, turned])?;
    let mut capped = scores;
    if softcap > 0.0 {
        let part = node.with_number(BinaryOp::Div, scores, softcap)?;
        let part = node.unary(UnaryOp::Tanh, part)?;
        capped = node.with_number(BinaryOp::Mul, part, softcap)?;
    }
    let biased = bias.map_or(Ok(capped), |bias| node.binary(BinaryOp::Add, capped, bias))?;
    let wide = node.cast(precision.unwrap_or(dtype), biased)?;
    let softmax = node.emit(Op::Softmax { axis: 3 }, &[wide])?;
    let mut weights = softmax;
    if bias.is_some() {
        // A row that may attend to nothing has no softmax: it is 0.
        let zero = node.scalar(node.dtype(softmax), 0.0);
        let nothing = node.compare(CompareOp::Ne, softmax, softmax)?;
        weights = node.select(nothing, zero, softmax)?;
    }
    let weights = node.cast(dtype, weights)?;
    let mut y = node.emit(Op::MatMul, &[weights, value])?;
    if flat {
        y = join_heads(node, y)?;
    }
    let debug = match mode {
        0 => scores,
        1 => capped,
        2 => {
            let shape = [sizes[0], sizes[1], sizes[2], keys[2]];
            node.broadcast(biased, &shape)?
        }
        3 => weights,
        other => return invalid(format!("qk_matmul_output_mode is {other}")),
    };
    Ok(vec![y, operands.key, operands.value, debug])
}

/// The element type of the softmax, where one is asked for.
fn precision(node: &NodeImport<'_>) -> Result<Option<DType>, Problem> {
    let Some(code) = node.attributes.int("softmax_precision")? else { return Ok(None) };
    match crate::onnx::tensor::dtype_of(i32::try_from(code).unwrap_or(0)) {
        Ok(dtype) if dtype.is_float() => Ok(Some(dtype)),
        _ => unsupported(format!("softmax_precision {code}; floats are supported")),
    }
}

fn operands(node: &mut NodeImport<'_>) -> Result<Operands, Problem> {
    let heads = |name: &str| -> Result<Option<u64>, Problem> { Ok(node.attributes.int(name)?.and_then(|heads| u64::try_from(heads).ok())) };
    let (query_heads, key_heads) = (heads("q_num_heads")?, heads("kv_num_heads")?);
    let query = apart(node, 0, query_heads)?;
    let (mut key, mut value) = (apart(node, 1, key_heads)?, apart(node, 2, key_heads)?);
    let mut past = 0;
    match (node.optional(4), node.optional(5)) {
        (Some(past_key), Some(past_value)) => {
            past = node.dims(past_key).get(2).copied().unwrap_or(0);
            key = node.emit(Op::Concat { axis: 2 }, &[past_key, key])?;
            value = node.emit(Op::Concat { axis: 2 }, &[past_value, value])?;
        }
        (None, None) => {}
        _ => return invalid("of past_key and past_value only one is given"),
    }
    let (q, k, v) = (node.dims(query), node.dims(key), node.dims(value));
    if q[0] != k[0] || q[0] != v[0] || q[3] != k[3] || k[1..3] != v[1..3] || k[1] == 0 || q[1] % k[1] != 0 {
        return invalid(format!("a query of shape {q:?}, a key of {k:?} and a value of {v:?} do not fit each other"));
    }
    Ok(Operands { query, key, value, past })
}

/// An operand with its heads on an axis of their own.
fn apart(node: &mut NodeImport<'_>, input: usize, heads: Option<u64>) -> One {
    let x = node.input(input)?;
    match *node.dims(x).as_slice() {
        [_, _, _, _] => Ok(x),
        [_, _, _] => split_heads(node, x, heads.unwrap_or(0), &format!("input {input}")),
        _ => invalid(format!("input {input} has shape {:?}, but must have rank 3 or 4", node.dims(x))),
    }
}

/// What is added to the scores: the float mask, `-inf` where a query may not attend to a key. None where all may.
fn bias(node: &mut NodeImport<'_>, operands: &Operands) -> Result<Option<ValueId>, Problem> {
    let (query, key) = (node.dims(operands.query), node.dims(operands.key));
    let dtype = node.dtype(operands.query);
    let mut allowed = positional(node, operands)?;
    let mut added = None;
    if let Some(mask) = node.optional(3) {
        let mask = masked_to_end(node, mask, key[2])?;
        if node.dtype(mask) == DType::Bool {
            allowed = and(node, allowed, mask)?;
        } else {
            added = Some(node.cast(dtype, mask)?);
        }
    }
    let Some(allowed) = allowed else { return Ok(added) };
    let hidden = node.scalar(dtype, f64::NEG_INFINITY);
    let open = match added {
        Some(mask) => mask,
        None => node.scalar(dtype, 0.0),
    };
    let bias = node.select(allowed, open, hidden)?;
    // The axes of the scores, so that a mask of fewer is aligned at the last.
    let mut dims = node.dims(bias);
    if dims.len() > 4 {
        return invalid(format!("a mask of shape {dims:?} does not fit scores of shape {:?}", [query[0], query[1], query[2], key[2]]));
    }
    while dims.len() < 4 {
        dims.insert(0, 1);
    }
    Ok(Some(node.reshape(bias, &dims)?))
}

/// A mask that is shorter than the keys hides the rest of them.
fn masked_to_end(node: &mut NodeImport<'_>, mask: ValueId, keys: u64) -> One {
    let dims = node.dims(mask);
    let Some(&last) = dims.last().filter(|&&last| last < keys) else { return Ok(mask) };
    let (mut after, before) = (vec![0; dims.len()], vec![0; dims.len()]);
    after[dims.len() - 1] = keys - last;
    let dtype = node.dtype(mask);
    let hidden = node.scalar(dtype, if dtype == DType::Bool { 0.0 } else { f64::NEG_INFINITY });
    node.emit(Op::Pad { before, after }, &[mask, hidden])
}

fn and(node: &mut NodeImport<'_>, x: Option<ValueId>, y: ValueId) -> Result<Option<ValueId>, Problem> {
    Ok(Some(match x {
        Some(x) => node.binary(BinaryOp::Mul, x, y)?,
        None => y,
    }))
}

/// Which keys a query may attend to by their positions: none after it where causal, those within the window, and those that are no padding.
fn positional(node: &mut NodeImport<'_>, operands: &Operands) -> Result<Option<ValueId>, Problem> {
    let causal = node.attributes.int("is_causal")?.unwrap_or(0) != 0;
    let bound = |name: &str| -> Result<Option<i64>, Problem> {
        match node.attributes.int(name)?.unwrap_or(-1) {
            -1 => Ok(None),
            bound if (0..1 << 30).contains(&bound) => Ok(Some(bound)),
            bound => invalid(format!("{name} is {bound}")),
        }
    };
    let (left, right) = (bound("left_window_size")?, bound("right_window_size")?);
    let (queries, keys) = (node.dims(operands.query)[2], node.dims(operands.key)[2]);
    let batch = node.dims(operands.query)[0];
    let lengths = match node.optional(6) {
        Some(lengths) if node.dims(lengths) == [batch] => {
            let lengths = node.cast(DType::I32, lengths)?;
            Some(node.reshape(lengths, &[batch, 1, 1, 1])?)
        }
        Some(lengths) => return invalid(format!("nonpad_kv_seqlen has shape {:?} for a batch of {batch}", node.dims(lengths))),
        None => None,
    };
    if !causal && left.is_none() && right.is_none() && lengths.is_none() {
        return Ok(None);
    }
    let (row, column) = (node.positions(queries, 2, 4)?, node.positions(keys, 3, 4)?);
    let place = match lengths {
        Some(lengths) if operands.past == 0 => {
            let offset = node.with_number(BinaryOp::Sub, lengths, queries as f64)?;
            node.binary(BinaryOp::Add, row, offset)?
        }
        _ => node.with_number(BinaryOp::Add, row, operands.past as f64)?,
    };
    let mut allowed = None;
    let last = if causal { Some(right.map_or(0, |right| right.min(0))) } else { right };
    if let Some(right) = last {
        let last = node.with_number(BinaryOp::Add, place, right as f64)?;
        let before = node.compare(CompareOp::Le, column, last)?;
        allowed = and(node, allowed, before)?;
    }
    if let Some(left) = left {
        let first = node.with_number(BinaryOp::Sub, place, left as f64)?;
        let after = node.compare(CompareOp::Le, first, column)?;
        allowed = and(node, allowed, after)?;
    }
    if let Some(lengths) = lengths {
        let real = node.compare(CompareOp::Lt, column, lengths)?;
        allowed = and(node, allowed, real)?;
    }
    Ok(allowed)
}
