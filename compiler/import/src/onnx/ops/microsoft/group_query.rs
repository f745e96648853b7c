//! Attention in which several heads of queries share a head of keys and values, with the keys and values of what was seen before.

use super::DOMAIN;
use super::attention::{Extent, Scores, attend, band, count, score_scale};
use super::rotary::{Positions, at_positions};
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use crate::onnx::ops::Row;
use crate::onnx::ops::heads::{join_heads, repeated, split_heads};
use crate::onnx::ops::rotary::turn;
use mlp_graph::{DType, Op, ValueId};

pub(super) const TABLE: &[Row] = &[(DOMAIN, "GroupQueryAttention", group_query)];

/// The positions of the inputs.
const PAST: [usize; 2] = [3, 4];
const SEQUENCE_LENGTHS: usize = 5;
const TOTAL_LENGTH: usize = 6;
const TABLES: [usize; 2] = [7, 8];
const POSITIONS: usize = 9;
const ADDED: usize = 10;
const SINK: usize = 11;

/// Inputs: `query, key, value, past_key, past_value, seqlens_k, total_sequence_length, cos_cache, sin_cache, position_ids, attention_bias, head_sink`. Results: the rows
/// `[batch, rows, hidden]`, and all keys and values `[batch, kv_heads, keys, head]`. Lengths are known while compiling, and one for the whole batch.
fn group_query(node: &mut NodeImport<'_>) -> Imported {
    refuse_rare(node)?;
    let (heads, groups) = (count(node, "num_heads")?, count(node, "kv_num_heads")?);
    if !heads.is_multiple_of(groups) {
        return invalid(format!("{heads} heads cannot share {groups} heads of keys and values"));
    }
    let [mut query, mut key, value] = states(node, heads, groups)?;
    let dims = node.dims(query);
    let &[batch, _, rows, size] = dims.as_slice() else { return invalid("the query has no four axes") };
    let past = past_length(node, rows)?;
    if node.attributes.int("do_rotary")?.unwrap_or(0) != 0 {
        let interleaved = node.attributes.int("rotary_interleaved")?.unwrap_or(0) != 0;
        let tables = [node.input(TABLES[0])?, node.input(TABLES[1])?];
        let positions = node.optional(POSITIONS).map_or(Positions::From(past), Positions::Given);
        let angles = at_positions(node, tables, positions, rows)?;
        query = turn(node, query, angles, interleaved)?;
        key = turn(node, key, angles, interleaved)?;
    } else {
        node.attributes.int("rotary_interleaved")?;
    }
    let (keys, present_keys) = joined(node, PAST[0], key, past)?;
    let (values, present_values) = joined(node, PAST[1], value, past)?;
    let extent = Extent { batch, rows, keys: past + rows, past };
    let scores = scores(node, &extent, size)?;
    let (keys, values) = (repeated(node, keys, heads)?, repeated(node, values, heads)?);
    let result = attend(node, [query, keys, values], &scores)?;
    Ok(vec![join_heads(node, result)?, present_keys, present_values])
}

/// Refuses what no export for the processor has.
fn refuse_rare(node: &NodeImport<'_>) -> Result<(), Problem> {
    for name in ["kv_cache_bit_width", "sliding_window_cache", "qk_output"] {
        if node.attributes.int(name)?.unwrap_or(0) != 0 {
            return unsupported(format!("attribute `{name}`"));
        }
    }
    for name in ["k_quant_type", "v_quant_type"] {
        match node.attributes.string(name)?.unwrap_or("NONE") {
            "NONE" => {}
            other => return unsupported(format!("attribute `{name}` = {other}: keys and values that are kept quantized")),
        }
    }
    for name in ["q_norm_epsilon", "k_norm_epsilon", "qk_norm_epsilon"] {
        node.attributes.float(name)?;
    }
    if let Some(input) = (SINK + 1..node.inputs.len()).find(|&input| node.optional(input).is_some()) {
        return unsupported(format!("input {input} (normalized or quantized keys, or padded queries)"));
    }
    Ok(())
}

/// Queries, keys and values, `[batch, heads, rows, size]`; all of them are the first input where that is packed.
fn states(node: &mut NodeImport<'_>, heads: u64, groups: u64) -> Result<[ValueId; 3], Problem> {
    let query = node.input(0)?;
    if let (Some(key), Some(value)) = (node.optional(1), node.optional(2)) {
        let query = split_heads(node, query, heads, "the query")?;
        let key = split_heads(node, key, groups, "the key")?;
        return Ok([query, key, split_heads(node, value, groups, "the value")?]);
    }
    let parts = heads + 2 * groups;
    let all = split_heads(node, query, parts, "the packed query")?;
    let dims = node.dims(all);
    let mut part = |first: u64, count: u64| -> One {
        let start = vec![0, first as i64, 0, 0];
        node.slice(all, start, vec![1; 4], &[dims[0], count, dims[2], dims[3]])
    };
    Ok([part(0, heads)?, part(heads, groups)?, part(heads + groups, groups)?])
}

/// How many keys there are before the first row's own.
fn past_length(node: &NodeImport<'_>, rows: u64) -> Result<u64, Problem> {
    let lengths = node.known_integers(node.input(SEQUENCE_LENGTHS)?, "the lengths (seqlens_k)")?;
    let total = node.known_integer(node.input(TOTAL_LENGTH)?, "the total length")?;
    if lengths.iter().any(|&length| length.checked_add(1) != Some(total)) {
        return unsupported(format!(
            "lengths {lengths:?} less than the total length {total} - 1; one length for the whole batch is supported"
        ));
    }
    match u64::try_from(total).ok().and_then(|total| total.checked_sub(rows)) {
        Some(past) => Ok(past),
        None => invalid(format!("the total length is {total}, and there are {rows} rows")),
    }
}

/// The first `past` keys (or values) of the past with new ones behind them; and the same with what else the past has room for, as the present.
fn joined(node: &mut NodeImport<'_>, input: usize, new: ValueId, past: u64) -> Result<(ValueId, ValueId), Problem> {
    let Some(before) = node.optional(input) else {
        return if past == 0 { Ok((new, new)) } else { invalid(format!("{past} keys are said to be there, and there is no past")) };
    };
    let (dims, added) = (node.dims(before), node.dims(new));
    let fits = dims.len() == 4 && dims[2] >= past && [0, 1, 3].iter().all(|&axis| dims[axis] == added[axis]);
    if !fits {
        return invalid(format!("the past has shape {dims:?}, which has no {past} keys for {added:?}"));
    }
    let part = |node: &mut NodeImport<'_>, first: u64, count: u64| {
        node.slice(before, vec![0, 0, first as i64, 0], vec![1; 4], &[dims[0], dims[1], count, dims[3]])
    };
    let mut all = new;
    if past > 0 {
        let before = part(node, 0, past)?;
        all = node.emit(Op::Concat { axis: 2 }, &[before, new])?;
    }
    let total = past + added[2];
    if dims[2] <= total {
        return Ok((all, all));
    }
    let rest = part(node, total, dims[2] - total)?;
    Ok((all, node.emit(Op::Concat { axis: 2 }, &[all, rest])?))
}

fn scores(node: &mut NodeImport<'_>, extent: &Extent, size: u64) -> Result<Scores, Problem> {
    let mut scores = Scores { scale: score_scale(node, size)?, ..Scores::default() };
    scores.cap = f64::from(node.attributes.float("softcap")?.unwrap_or(0.0));
    let window = match node.attributes.int("local_window_size")?.unwrap_or(-1) {
        -1 => None,
        window @ 1.. => Some(window as u64),
        other => return invalid(format!("local_window_size is {other}")),
    };
    if node.attributes.int("causal")?.unwrap_or(1) != 0 {
        if extent.rows > 1 || window.is_some_and(|window| window < extent.keys) {
            let kept = band(node, extent, window)?;
            let (zero, least) = (node.scalar(DType::F32, 0.0), node.scalar(DType::F32, f64::from(f32::MIN)));
            scores.added.push(node.select(kept, zero, least)?);
        }
    } else if window.is_some() {
        return invalid("a local window needs causal attention");
    }
    scores.added.extend(node.optional(ADDED));
    let smooth = node.attributes.int("smooth_softmax")?.unwrap_or(0) == 1;
    scores.sink = match node.optional(SINK) {
        Some(sink) => {
            let heads = node.dims(sink).iter().product();
            Some(node.reshape(sink, &[1, heads, 1, 1])?)
        }
        None if smooth => {
            let zero = node.scalar(DType::F32, 0.0);
            Some(node.reshape(zero, &[1; 4])?)
        }
        None => None,
    };
    Ok(scores)
}
