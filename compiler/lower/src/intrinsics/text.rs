//! Texts: what is computed with their tokens.

use super::{Found, Make, tensor};
use crate::append::Append;
use crate::body::Lowered;
use mlp_analysis::Intrinsic;
use mlp_graph::DType;

pub(super) fn lower(make: &mut Make<'_>, intrinsic: Intrinsic, args: &[Lowered]) -> Found {
    match (intrinsic, args) {
        (Intrinsic::SeenTokens, [Lowered::Tensor(mask)]) => tensor(make.cast(DType::F32, *mask)),
        _ => None,
    }
}
