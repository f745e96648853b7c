//! Attention over one or several heads, the projections inside (`Attention`, `QAttention`) or before it (`MultiHeadAttention`).

use super::DOMAIN;
use super::attention::{Extent, Scores, added_mask, attend, count, score_scale};
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use crate::onnx::ops::Row;
use crate::onnx::ops::heads::{join_heads, split_heads};
use crate::onnx::ops::quantization::{dequantize, params};
use mlp_graph::op::BinaryOp;
use mlp_graph::{Op, ValueId};

pub(super) const TABLE: &[Row] =
    &[(DOMAIN, "Attention", attention), (DOMAIN, "MultiHeadAttention", multi_head), (DOMAIN, "QAttention", quantized_attention)];

/// Inputs: `input, weights, bias, mask_index, past, attention_bias, past_sequence_length`.
fn attention(node: &mut NodeImport<'_>) -> Imported {
    let (x, weights) = (node.input(0)?, node.input(1)?);
    if node.optional(6).is_some() {
        return unsupported("a past of a length that is known only when the model runs");
    }
    let projection = Projection { x, weights, bias: node.optional(2) };
    projected(node, projection, [node.optional(3), node.optional(4), node.optional(5)])
}

/// Inputs: `input, weight, bias, input_scale, weight_scale, mask_index, input_zero_point, weight_zero_point, past`.
fn quantized_attention(node: &mut NodeImport<'_>) -> Imported {
    let (x, weights) = (node.input(0)?, node.input(1)?);
    let (x_dims, weight_dims) = (node.dims(x), node.dims(weights));
    let x_params = params(node, 3, 6, &x_dims, 0, node.dtype(x))?;
    let weight_params = params(node, 4, 7, &weight_dims, 1, node.dtype(weights))?;
    let x = dequantize(node, x, &x_params)?;
    let weights = dequantize(node, weights, &weight_params)?;
    let projection = Projection { x, weights, bias: Some(node.input(2)?) };
    projected(node, projection, [node.optional(5), node.optional(8), None])
}

/// The product that makes queries, keys and values.
struct Projection {
    x: ValueId,
    weights: ValueId,
    bias: Option<ValueId>,
}

/// Attention after a projection; `[mask, past, added]` are optional. Results: the rows, and keys with values `[2, batch, heads, keys, head]`.
fn projected(node: &mut NodeImport<'_>, projection: Projection, [mask, past, added]: [Option<ValueId>; 3]) -> Imported {
    for flag in ["do_rotary", "past_present_share_buffer", "rotary_embedding_dim"] {
        if node.attributes.int(flag)?.unwrap_or(0) != 0 {
            return unsupported(format!("attribute `{flag}`"));
        }
    }
    let heads = count(node, "num_heads")?;
    let mut y = node.emit(Op::MatMul, &[projection.x, projection.weights])?;
    if let Some(bias) = projection.bias {
        y = node.binary(BinaryOp::Add, y, bias)?;
    }
    let dims = node.dims(y);
    let &[batch, rows, width] = dims.as_slice() else {
        return invalid(format!("the projection has shape {dims:?}, but must have a batch, rows and features"));
    };
    let sizes = match node.attributes.ints("qkv_hidden_sizes")? {
        Some(&[query, key, value]) if query == key && query > 0 && value > 0 => [query as u64, key as u64, value as u64],
        None if width.is_multiple_of(3) => [width / 3; 3],
        other => return invalid(format!("{width} features are no query, key and value of the sizes {other:?}")),
    };
    if sizes.iter().try_fold(0u64, |sum, &size| sum.checked_add(size)) != Some(width) {
        return invalid(format!("{width} features are no query, key and value of the sizes {sizes:?}"));
    }
    let mut first = 0;
    let mut part = |node: &mut NodeImport<'_>, size: u64| -> One {
        let part = node.slice(y, vec![0, 0, first], vec![1; 3], &[batch, rows, size])?;
        first += size as i64;
        split_heads(node, part, heads, "a projection")
    };
    let (query, key, value) = (part(node, sizes[0])?, part(node, sizes[1])?, part(node, sizes[2])?);
    let past = past.map(|past| unstacked(node, past)).transpose()?;
    let states = States { query, key, value, past };
    let (result, [key, value]) = states.attend(node, mask, added)?;
    let mut results = vec![result];
    if node.wants(1) {
        let mut stacked = node.dims(key);
        if node.dims(value) != stacked {
            return unsupported("keys and values of different sizes as one output");
        }
        stacked.insert(0, 1);
        let (key, value) = (node.reshape(key, &stacked)?, node.reshape(value, &stacked)?);
        results.push(node.emit(Op::Concat { axis: 0 }, &[key, value])?);
    }
    Ok(results)
}

/// Keys and values of `[2, batch, heads, keys, head]`.
fn unstacked(node: &mut NodeImport<'_>, past: ValueId) -> Result<[ValueId; 2], Problem> {
    let dims = node.dims(past);
    if dims.len() != 5 || dims[0] != 2 {
        return invalid(format!("the past has shape {dims:?}, but must be [2, batch, heads, keys, head]"));
    }
    let mut half = |index: i64| -> One {
        let half = node.slice(past, vec![index, 0, 0, 0, 0], vec![1; 5], &[&[1], &dims[1..]].concat())?;
        node.reshape(half, &dims[1..])
    };
    Ok([half(0)?, half(1)?])
}

/// Queries, keys and values, `[batch, heads, rows, size]`, and the keys and values before them.
struct States {
    query: ValueId,
    key: ValueId,
    value: ValueId,
    past: Option<[ValueId; 2]>,
}

impl States {
    /// Attention as the attributes `scale`, `mask_filter_value` and `unidirectional` say: the rows `[batch, rows, hidden]`, and all keys and values.
    fn attend(self, node: &mut NodeImport<'_>, mask: Option<ValueId>, added: Option<ValueId>) -> Result<(ValueId, [ValueId; 2]), Problem> {
        let mut states = [self.key, self.value];
        let mut past = 0;
        if let Some(before) = self.past {
            past = node.dims(before[0]).get(2).copied().unwrap_or(0);
            for (state, before) in states.iter_mut().zip(before) {
                *state = node.emit(Op::Concat { axis: 2 }, &[before, *state])?;
            }
        }
        let (query, key) = (node.dims(self.query), node.dims(states[0]));
        let (&[batch, _, rows, size], &[_, _, keys, _]) = (query.as_slice(), key.as_slice()) else {
            return invalid(format!("queries have shape {query:?}, and keys {key:?}"));
        };
        let extent = Extent { batch, rows, keys, past };
        let filter = f64::from(node.attributes.float("mask_filter_value")?.unwrap_or(-10000.0));
        let causal = node.attributes.int("unidirectional")?.unwrap_or(0) != 0;
        let mask = added_mask(node, mask, &extent, filter, causal)?;
        let scores = Scores { scale: score_scale(node, size)?, added: mask.into_iter().chain(added).collect(), ..Scores::default() };
        let result = attend(node, [self.query, states[0], states[1]], &scores)?;
        Ok((join_heads(node, result)?, states))
    }
}

/// Inputs: `query, key, value, bias, key_padding_mask, attention_bias, past_key, past_value, past_sequence_length, cache_indirection`. Results: the rows, keys, values.
fn multi_head(node: &mut NodeImport<'_>) -> Imported {
    if node.optional(8).is_some() || node.optional(9).is_some() {
        return unsupported("a past in a buffer that is shared with the present, or that beams refer to");
    }
    let heads = count(node, "num_heads")?;
    let bias = Biases::of(node)?;
    let query = node.input(0)?;
    let [query, key, value] = match (node.rank(query), node.optional(1), node.optional(2)) {
        (5, None, None) => packed(node, query, 3, heads)?.try_into().map_err(|_| "a packed query has three parts")?,
        (3, Some(key), None) if node.rank(key) == 5 => {
            let query = bias.add(node, 0, query)?;
            let query = split_heads(node, query, heads, "the query")?;
            let parts = packed(node, key, 2, heads)?;
            [query, parts[0], parts[1]]
        }
        (3, Some(key), Some(value)) => {
            let query = bias.add(node, 0, query)?;
            let query = split_heads(node, query, heads, "the query")?;
            let mut state = |index: usize, x: ValueId, what: &str| -> One {
                // Keys and values of another model's memory have their heads already.
                if node.rank(x) == 4 {
                    return Ok(x);
                }
                let x = bias.add(node, index, x)?;
                split_heads(node, x, heads, what)
            };
            [query, state(1, key, "the key")?, state(2, value, "the value")?]
        }
        (rank, ..) => return invalid(format!("a query of rank {rank} does not fit the key and value")),
    };
    let past = match (node.optional(6), node.optional(7)) {
        (Some(key), Some(value)) => Some([key, value]),
        (None, None) => None,
        _ => return invalid("past_key and past_value go together"),
    };
    let states = States { query, key, value, past };
    let (result, [key, value]) = states.attend(node, node.optional(4), node.optional(5))?;
    Ok(vec![result, key, value])
}

/// The parts of `[batch, rows, heads, parts, size]`, each `[batch, heads, rows, size]`.
fn packed(node: &mut NodeImport<'_>, x: ValueId, parts: u64, heads: u64) -> Result<Vec<ValueId>, Problem> {
    if node.optional(3).is_some() {
        return unsupported("a bias of packed queries, keys and values");
    }
    let dims = node.dims(x);
    let &[batch, rows, given, count, size] = dims.as_slice() else { return invalid(format!("a packed input has shape {dims:?}")) };
    if (given, count) != (heads, parts) {
        return invalid(format!("a packed input has shape {dims:?}, but must have {heads} heads of {parts} parts"));
    }
    let one = |part: u64| -> One {
        let part = node.slice(x, vec![0, 0, 0, part as i64, 0], vec![1; 5], &[batch, rows, heads, 1, size])?;
        let part = node.reshape(part, &[batch, rows, heads, size])?;
        node.transpose(&[0, 2, 1, 3], part)
    };
    (0..parts).map(one).collect()
}

/// The bias of queries, keys and values, one after another.
struct Biases {
    parts: Option<[ValueId; 3]>,
}

impl Biases {
    fn of(node: &mut NodeImport<'_>) -> Result<Biases, Problem> {
        let Some(bias) = node.optional(3) else { return Ok(Biases { parts: None }) };
        let total = node.dims(bias).iter().product::<u64>();
        let query = node.dims(node.input(0)?).last().copied().unwrap_or(0);
        let value = total.checked_sub(query.saturating_mul(2));
        let (Some(value), true) = (value, node.rank(bias) == 1) else {
            return invalid(format!("the bias has shape {:?}, and the query {query} features", node.dims(bias)));
        };
        let mut part = |first: u64, count: u64| node.slice(bias, vec![first as i64], vec![1], &[count]);
        Ok(Biases { parts: Some([part(0, query)?, part(query, query)?, part(2 * query, value)?]) })
    }

    fn add(&self, node: &mut NodeImport<'_>, part: usize, x: ValueId) -> One {
        match self.parts {
            Some(parts) => node.binary(BinaryOp::Add, x, parts[part]),
            None => Ok(x),
        }
    }
}
