//! Layers that carry a state from row to row: linear attention and the causal convolution beside it.

use super::Row;
use super::activation::swish_of;
use super::heads::split_heads;
use super::normalization::widened;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use mlp_graph::op::{BinaryOp, UnaryOp};
use mlp_graph::{DType, Op, Tensor, ValueId};

pub(super) const TABLE: &[Row] = &[("", "LinearAttention", linear_attention), ("", "CausalConvWithState", causal_conv)];

/// Most rows of one call: each is a step of its own.
const MOST_ROWS: u64 = 512;
/// Most taps of a causal convolution: each is a product of its own.
const MOST_TAPS: u64 = 64;

/// What a step does with the state.
struct Rule {
    gated: bool,
    delta: bool,
}

/// `[B, T, H * D]` as `[B, H, T, D]` in `F32`.
fn wide_heads(node: &mut NodeImport<'_>, x: ValueId, heads: u64, what: &str) -> One {
    let wide = node.cast(DType::F32, x)?;
    split_heads(node, wide, heads, what)
}

/// Row `t` of `[B, H, T, D]`, as `[B, H, 1, D]`.
fn row(node: &mut NodeImport<'_>, x: ValueId, t: u64) -> One {
    let mut dims = node.dims(x);
    dims[2] = 1;
    node.slice(x, vec![0, 0, t as i64, 0], vec![1; 4], &dims)
}

/// The rows of one layer, heads apart: queries `[B, H, group, T, d_k]` of all heads that share a state, keys `[B, H, T, d_k]`, values `[B, H, T, d_v]`.
struct Rows {
    rule: Rule,
    query: ValueId,
    key: ValueId,
    value: ValueId,
    decay: Option<ValueId>,
    beta: Option<ValueId>,
    /// `[B, H, d_k, d_v]`.
    state_shape: [u64; 4],
    /// Heads of the query that share a state.
    group: u64,
    count: u64,
}

/// The recurrence, row by row: the state `[B, H, d_k, d_v]` fades by the gate, takes in `key (x) value` (less what it holds for the key already, where `delta`), and
/// is read by the query.
fn linear_attention(node: &mut NodeImport<'_>) -> Imported {
    let dtype = node.dtype(node.input(0)?);
    let rows = rows(node)?;
    let shape = rows.state_shape;
    let (mut state, state_type) = match node.optional(3) {
        Some(state) if node.dims(state) == shape => (node.cast(DType::F32, state)?, node.dtype(state)),
        Some(state) => return invalid(format!("the state has shape {:?}, but {shape:?} is needed", node.dims(state))),
        None => {
            let zero = node.scalar(DType::F32, 0.0);
            (node.broadcast(zero, &shape)?, dtype)
        }
    };
    let [batch, heads, features, width] = shape;
    let mut results = Vec::with_capacity(rows.count as usize);
    for t in 0..rows.count {
        state = rows.step(node, state, t)?;
        let q = node.slice(rows.query, vec![0, 0, 0, t as i64, 0], vec![1; 5], &[batch, heads, rows.group, 1, features])?;
        let q = node.reshape(q, &[batch, heads, rows.group, features])?;
        let read = node.emit(Op::MatMul, &[q, state])?;
        results.push(node.reshape(read, &[batch, 1, heads * rows.group * width])?);
    }
    let y = if results.is_empty() {
        let nothing = Tensor::new(DType::F32, vec![batch, 0, heads * rows.group * width], Vec::new());
        node.constant(nothing.map_err(|error| error.to_string())?)
    } else {
        node.emit(Op::Concat { axis: 1 }, &results)?
    };
    Ok(vec![node.cast(dtype, y)?, node.cast(state_type, state)?])
}

fn rows(node: &mut NodeImport<'_>) -> Result<Rows, Problem> {
    let rule = match node.attributes.string("update_rule")?.unwrap_or("gated_delta") {
        "linear" => Rule { gated: false, delta: false },
        "gated" => Rule { gated: true, delta: false },
        "delta" => Rule { gated: false, delta: true },
        "gated_delta" => Rule { gated: true, delta: true },
        other => return invalid(format!("update_rule is `{other}`")),
    };
    // A hint for those who go through rows in chunks.
    node.attributes.int("chunk_size")?;
    let heads = |node: &NodeImport<'_>, name: &str| -> Result<u64, Problem> {
        let heads = node.attributes.int(name)?.unwrap_or(0);
        u64::try_from(heads).ok().filter(|&heads| heads > 0).ok_or_else(|| format!("attribute `{name}` is {heads}").into())
    };
    let (query_heads, key_heads) = (heads(node, "q_num_heads")?, heads(node, "kv_num_heads")?);
    if query_heads % key_heads != 0 {
        return invalid(format!("{query_heads} heads of the query do not share {key_heads} of the key"));
    }
    let query = wide_heads(node, node.input(0)?, query_heads, "the query")?;
    let key = wide_heads(node, node.input(1)?, key_heads, "the key")?;
    let value = wide_heads(node, node.input(2)?, key_heads, "the value")?;
    let (sizes, values) = (node.dims(key), node.dims(value));
    let (batch, count, features) = (sizes[0], sizes[2], sizes[3]);
    if count > MOST_ROWS {
        return unsupported(format!(
            "{count} rows, each of which is a step; at most {MOST_ROWS} are supported: call the layer several times, with its state"
        ));
    }
    if node.dims(query) != [batch, query_heads, count, features] || values[..3] != sizes[..3] {
        return invalid(format!("a query of {:?}, a key of {sizes:?} and a value of {values:?} do not fit each other", node.dims(query)));
    }
    let (decay, beta) = (gate(node, &rule, key_heads, &sizes)?, rate(node, &rule, key_heads)?);
    let scale = match f64::from(node.attributes.float("scale")?.unwrap_or(0.0)) {
        0.0 => 1.0 / (features as f64).sqrt(),
        scale => scale,
    };
    let query = node.with_number(BinaryOp::Mul, query, scale)?;
    let group = query_heads / key_heads;
    let query = node.reshape(query, &[batch, key_heads, group, count, features])?;
    let state_shape = [batch, key_heads, features, values[3]];
    Ok(Rows { rule, query, key, value, decay, beta, state_shape, group, count })
}

impl Rows {
    /// The state after row `t`.
    fn step(&self, node: &mut NodeImport<'_>, mut state: ValueId, t: u64) -> One {
        let (k, mut update) = (row(node, self.key, t)?, row(node, self.value, t)?);
        if let Some(decay) = self.decay {
            let factor = row(node, decay, t)?;
            let factor = node.transpose(&[0, 1, 3, 2], factor)?;
            state = node.binary(BinaryOp::Mul, state, factor)?;
        }
        if self.rule.delta {
            let held = node.emit(Op::MatMul, &[k, state])?;
            update = node.binary(BinaryOp::Sub, update, held)?;
        }
        if let Some(beta) = self.beta {
            let factor = row(node, beta, t)?;
            update = node.binary(BinaryOp::Mul, update, factor)?;
        }
        let column = node.transpose(&[0, 1, 3, 2], k)?;
        let product = node.binary(BinaryOp::Mul, column, update)?;
        node.binary(BinaryOp::Add, state, product)
    }
}

/// `e^decay`, `[B, H, T, 1 or d_k]`.
fn gate(node: &mut NodeImport<'_>, rule: &Rule, heads: u64, sizes: &[u64]) -> Result<Option<ValueId>, Problem> {
    match (rule.gated, node.optional(4)) {
        (false, None) => Ok(None),
        (true, Some(decay)) => {
            let decay = wide_heads(node, decay, heads, "the decay")?;
            let dims = node.dims(decay);
            if dims[..3] != sizes[..3] || (dims[3] != 1 && dims[3] != sizes[3]) {
                return invalid(format!("a decay of {dims:?} does not fit a key of {sizes:?}"));
            }
            Ok(Some(node.unary(UnaryOp::Exp, decay)?))
        }
        (true, None) => invalid("the update rule needs a decay"),
        (false, Some(_)) => invalid("the update rule takes no decay"),
    }
}

/// The update rate, `[B, H or 1, T, 1]`.
fn rate(node: &mut NodeImport<'_>, rule: &Rule, heads: u64) -> Result<Option<ValueId>, Problem> {
    match (rule.delta, node.optional(5)) {
        (false, None) => Ok(None),
        (true, Some(beta)) => {
            let own = node.dims(beta).last().copied().unwrap_or(0);
            if own != heads && own != 1 {
                return invalid(format!("a rate of {own} for {heads} heads"));
            }
            Ok(Some(wide_heads(node, beta, own, "the rate")?))
        }
        (true, None) => invalid("the update rule needs a rate"),
        (false, Some(_)) => invalid("the update rule takes no rate"),
    }
}

/// A convolution of each channel with its own taps, which see the state and what came before; the last positions are the next state.
fn causal_conv(node: &mut NodeImport<'_>) -> Imported {
    let (x, weights, bias, past) = (node.input(0)?, node.input(1)?, node.optional(2), node.optional(3));
    let swish = match node.attributes.string("activation")?.unwrap_or("none") {
        "none" => false,
        "silu" | "swish" => true,
        other => return invalid(format!("activation is `{other}`")),
    };
    let dims = node.dims(x);
    let &[batch, channels, length] = dims.as_slice() else { return invalid(format!("the input has shape {dims:?}, but must have rank 3")) };
    let taps = match *node.dims(weights).as_slice() {
        [of, 1, taps] if of == channels && taps > 0 => taps,
        _ => return invalid(format!("weights of shape {:?} for {channels} channels", node.dims(weights))),
    };
    if taps > MOST_TAPS {
        return unsupported(format!("{taps} taps; at most {MOST_TAPS} are supported"));
    }
    let padded = match past {
        Some(past) if node.dims(past) == [batch, channels, taps - 1] => node.emit(Op::Concat { axis: 2 }, &[past, x])?,
        Some(past) => {
            return invalid(format!("the state has shape {:?}, but {:?} is needed", node.dims(past), [batch, channels, taps - 1]));
        }
        None => {
            let zero = node.scalar(node.dtype(x), 0.0);
            node.emit(Op::Pad { before: vec![0, 0, taps - 1], after: vec![0; 3] }, &[x, zero])?
        }
    };
    let state = node.slice(padded, vec![0, 0, length as i64], vec![1; 3], &[batch, channels, taps - 1])?;
    let dtype = node.dtype(x);
    let wide = widened(dtype);
    let (padded, weights) = (node.cast(wide, padded)?, node.cast(wide, weights)?);
    let mut sum = None;
    for tap in 0..taps {
        let part = node.slice(padded, vec![0, 0, tap as i64], vec![1; 3], &dims)?;
        let weight = node.slice(weights, vec![0, 0, tap as i64], vec![1; 3], &[channels, 1, 1])?;
        let weight = node.reshape(weight, &[channels, 1])?;
        let product = node.binary(BinaryOp::Mul, part, weight)?;
        sum = Some(sum.map_or(Ok(product), |sum| node.binary(BinaryOp::Add, sum, product))?);
    }
    let Some(mut y) = sum else { return invalid("there are no taps") };
    if let Some(bias) = bias {
        let bias = node.cast(wide, bias)?;
        let bias = node.reshape(bias, &[channels, 1])?;
        y = node.binary(BinaryOp::Add, y, bias)?;
    }
    if swish {
        // Rounded as the plain convolution would be, then widened again.
        let narrow = node.cast(dtype, y)?;
        y = node.cast(wide, narrow)?;
        y = swish_of(node, y, 1.0)?;
    }
    Ok(vec![node.cast(dtype, y)?, state])
}
