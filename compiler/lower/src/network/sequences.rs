//! Tables and sequences of vectors.

use super::{Append, Builder, Call, Made};
use mlp_graph::Op;
use mlp_graph::op::{BinaryOp, ReduceKind};

pub(super) fn embedding(call: &Call<'_>, to: &mut Builder<'_>) -> Made {
    let (ids, table) = (call.value("ids")?, call.weight("weight", to)?);
    to.op(Op::Gather { axis: 0 }, &[table, ids])
}

/// `x` and the rows of the table from `offset` on, one a position.
pub(super) fn positions(call: &Call<'_>, to: &mut Builder<'_>) -> Made {
    let (x, table) = (call.value("x")?, call.weight("weight", to)?);
    let (dims, rows, offset) = (to.dims(x), to.dims(table), call.count("offset")?);
    let (count, width) = (dims[1], dims[2]);
    if count.saturating_add(offset) > rows[0] {
        return Err(format!(
            "a sequence of {count} from position {offset} is longer than the table of {} positions; give it a shorter one",
            rows[0]
        ));
    }
    let taken = to.slice(table, &[offset, 0], &[count, width])?;
    to.binary(BinaryOp::Add, x, taken)
}

pub(super) fn first(call: &Call<'_>, to: &mut Builder<'_>) -> Made {
    let x = call.value("x")?;
    let dims = to.dims(x);
    let taken = to.slice(x, &[0, 0, 0], &[dims[0], 1, dims[2]])?;
    to.reshape(taken, &[dims[0], dims[2]])
}

/// `sum(x * mask) / max(sum(mask), 1e-9)`, as sentence encoders pool.
pub(super) fn masked_mean(call: &Call<'_>, to: &mut Builder<'_>) -> Made {
    let (x, mask) = (call.value("x")?, call.value("mask")?);
    let dims = to.dims(x);
    let column = to.reshape(mask, &[dims[0], dims[1], 1])?;
    let kept = to.binary(BinaryOp::Mul, x, column)?;
    let sum = Op::Reduce { kind: ReduceKind::Sum, axes: vec![1], keep: false };
    let total = to.op(sum.clone(), &[kept])?;
    let count = to.op(sum, &[column])?;
    let safe = to.with_number(BinaryOp::Max, count, 1e-9)?;
    to.binary(BinaryOp::Div, total, safe)
}
