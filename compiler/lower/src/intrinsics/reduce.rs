//! Reductions, rankings and products.

use super::{Append, Found, Make, number, tensor, word};
use crate::body::Lowered;
use mlp_analysis::Intrinsic;
use mlp_graph::op::ReduceKind;
use mlp_graph::{DType, Op, ValueId};

/// Which axes a reduction is over.
enum Over {
    All,
    First,
    Last,
}

pub(super) fn lower(make: &mut Make<'_>, intrinsic: Intrinsic, args: &[Lowered]) -> Found {
    let Some(Lowered::Tensor(x)) = args.first() else { return None };
    if let (Some((kind, over)), [_]) = (reduction(intrinsic), args) {
        return tensor(reduce(make, kind, &over, *x));
    }
    match (intrinsic, &args[1..]) {
        (Intrinsic::Softmax, []) => tensor(make.last(*x).and_then(|axis| make.op(Op::Softmax { axis: axis as u32 }, &[*x]))),
        (Intrinsic::Argmax, []) => Some(best(make, *x).map(Lowered::Label)),
        (Intrinsic::ArgmaxLast, []) => tensor(best(make, *x)),
        (Intrinsic::TopK, [count]) => {
            let count = number(count)? as u64;
            Some(ordered(make, *x, Some(count), true).map(|[scores, indices]| Lowered::Ranking { indices, scores }))
        }
        (Intrinsic::Sort, [order]) => {
            let falling = word(order)? == "falling";
            tensor(ordered(make, *x, None, falling).map(|[values, _]| values))
        }
        (Intrinsic::Argsort, [order]) => {
            let falling = word(order)? == "falling";
            tensor(ordered(make, *x, None, falling).map(|[_, positions]| positions))
        }
        (Intrinsic::MatMul | Intrinsic::Project, [Lowered::Tensor(y)]) => tensor(make.op(Op::MatMul, &[*x, *y])),
        _ => None,
    }
}

fn reduction(intrinsic: Intrinsic) -> Option<(ReduceKind, Over)> {
    Some(match intrinsic {
        Intrinsic::Max => (ReduceKind::Max, Over::All),
        Intrinsic::Min => (ReduceKind::Min, Over::All),
        Intrinsic::Sum => (ReduceKind::Sum, Over::All),
        Intrinsic::Mean => (ReduceKind::Mean, Over::All),
        Intrinsic::MaxLast => (ReduceKind::Max, Over::Last),
        Intrinsic::MinLast => (ReduceKind::Min, Over::Last),
        Intrinsic::SumLast => (ReduceKind::Sum, Over::Last),
        Intrinsic::MeanLast => (ReduceKind::Mean, Over::Last),
        Intrinsic::MaxFirst => (ReduceKind::Max, Over::First),
        Intrinsic::MinFirst => (ReduceKind::Min, Over::First),
        Intrinsic::SumFirst => (ReduceKind::Sum, Over::First),
        Intrinsic::MeanFirst => (ReduceKind::Mean, Over::First),
        _ => return None,
    })
}

fn reduce(make: &mut Make<'_>, kind: ReduceKind, over: &Over, x: ValueId) -> Result<ValueId, String> {
    let axes = match over {
        Over::All => (0..make.rank(x) as u32).collect(),
        Over::First => vec![0],
        Over::Last => vec![make.last(x)? as u32],
    };
    make.reduce(kind, axes, x)
}

/// The position of the greatest element along the last axis, `I32`.
fn best(make: &mut Make<'_>, x: ValueId) -> Result<ValueId, String> {
    let axis = make.last(x)? as u32;
    let index = make.op(Op::ArgReduce { max: true, axis, keep: false, last: false }, &[x])?;
    make.cast(DType::I32, index)
}

/// The greatest (or least) elements along the last axis with their positions (`I32`), best first; all of them where no count is given.
fn ordered(make: &mut Make<'_>, x: ValueId, count: Option<u64>, largest: bool) -> Result<[ValueId; 2], String> {
    let axis = make.last(x)?;
    let k = count.map_or_else(|| make.size(x, axis), Ok)?;
    let results = make.ops(Op::TopK { k, axis: axis as u32, largest }, &[x])?;
    let [values, indices] = results[..] else { return Err("a top-k has two results".to_owned()) };
    Ok([values, make.cast(DType::I32, indices)?])
}
