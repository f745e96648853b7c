//! Classes, ranges and gaps of tables.

use super::movement::expand;
use super::{Append, Found, Make, number, tensor, whole};
use crate::body::Lowered;
use mlp_analysis::Intrinsic;
use mlp_graph::op::{CompareOp, ReduceKind};
use mlp_graph::{DType, ValueId};

/// The most classes.
const MAX_CLASSES: u64 = 1 << 20;

pub(super) fn lower(make: &mut Make<'_>, intrinsic: Intrinsic, args: &[Lowered]) -> Found {
    let Some(Lowered::Tensor(x)) = args.first() else { return None };
    match (intrinsic, &args[1..]) {
        (Intrinsic::OneHot, [classes]) => {
            let classes = number(classes)?;
            tensor(whole("classes", classes).and_then(|classes| one_hot(make, *x, classes)))
        }
        (Intrinsic::Bucketize, [Lowered::Tensor(edges)]) => tensor(bucketize(make, *x, *edges)),
        (Intrinsic::Missing, []) => {
            let is_missing = make.compare(CompareOp::Ne, *x, *x);
            tensor(is_missing.and_then(|is_missing| make.cast(DType::F32, is_missing)))
        }
        _ => None,
    }
}

fn one_hot(make: &mut Make<'_>, class: ValueId, classes: u64) -> Result<ValueId, String> {
    if classes == 0 || classes > MAX_CLASSES {
        return Err(format!("`classes` is {classes}; write a number from 1 to {MAX_CLASSES}"));
    }
    let numbers = make.positions(classes)?;
    let class = expand(make, class)?;
    let is_class = make.compare(CompareOp::Eq, class, numbers)?;
    make.cast(DType::F32, is_class)
}

fn bucketize(make: &mut Make<'_>, values: ValueId, edges: ValueId) -> Result<ValueId, String> {
    let values = expand(make, values)?;
    let axis = make.last(values)? as u32;
    let is_reached = make.compare(CompareOp::Le, edges, values)?;
    let counts = make.cast(DType::I32, is_reached)?;
    make.reduce(ReduceKind::Sum, vec![axis], counts)
}
