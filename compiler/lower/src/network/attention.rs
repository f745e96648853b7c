//! Scaled dot-product attention.

use super::{Append, Builder, Call, Made};
use mlp_graph::Op;
use mlp_graph::op::BinaryOp;

/// What is added to scores that do not count. Two of them are still finite, so that a row without anything to look at looks at all of it rather than being NaN.
const HIDDEN: f64 = -1e38;

/// The most places of a causal mask, which the model stores.
const MAX_MASK: u64 = 1 << 26;

pub(super) fn attention(call: &Call<'_>, to: &mut Builder<'_>) -> Made {
    let heads = call.count("heads")?;
    let query = call.value("query")?;
    let mut operands = Vec::new();
    for name in ["query", "key", "value"] {
        let x = call.value(name)?;
        let dims = to.dims(x);
        operands.push(to.reshape(x, &[dims[0], dims[1], heads, dims[2] / heads])?);
    }
    let (images, rows) = (to.dims(query)[0], to.dims(query)[1]);
    let (keys, depth) = (to.dims(operands[1])[1], to.dims(operands[1])[3]);
    operands.extend(mask(call, images, rows, keys, to)?);
    let scale = (1.0 / (depth as f64).sqrt()) as f32;
    let mixed = to.op(Op::Attention { scale: scale.to_bits(), guarded: false }, &operands)?;
    let dims = to.dims(mixed);
    to.reshape(mixed, &[images, rows, dims[2] * dims[3]])
}

/// What is added to the scores.
fn mask(call: &Call<'_>, images: u64, rows: u64, keys: u64, to: &mut Builder<'_>) -> Result<Option<mlp_graph::ValueId>, String> {
    let given = match call.optional("mask")? {
        Some(mask) => {
            let one = to.scalar(1.0);
            let hidden = to.binary(BinaryOp::Sub, one, mask)?;
            let added = to.with_number(BinaryOp::Mul, hidden, HIDDEN)?;
            Some(to.reshape(added, &[images, 1, 1, keys])?)
        }
        None => None,
    };
    if !call.is("causal", "yes") {
        return Ok(given);
    }
    if rows.saturating_mul(keys) > MAX_MASK {
        return Err(format!("{rows} rows and {keys} keys are too many for a causal mask; bound the sequence"));
    }
    // The last row sees everything, whether rows and keys are as many or not.
    let seen = |row: u64, key: u64| key + rows <= row + keys;
    let places = (0..rows).flat_map(|row| (0..keys).map(move |key| if seen(row, key) { 0.0 } else { HIDDEN as f32 }));
    let later = to.floats(&[1, 1, rows, keys], &places.collect::<Vec<f32>>())?;
    match given {
        Some(given) => to.binary(BinaryOp::Add, given, later).map(Some),
        None => Ok(Some(later)),
    }
}
