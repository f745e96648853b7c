//! Kernels over whole rows: normalizations and softmax, which reduce a row and then say every element of it.

use super::{ExprId, Exprs, Store};
use serde::{Deserialize, Serialize};

/// A kernel over rows: for each row (a point of `parallel`), each reduction in order over all elements of the row, then the stores for each element.
///
/// Axes are numbered over `parallel`, then the one along the row. `Total(i)` is the result of reduction `i` for this row; it stands below later reductions
/// and below stores, so that a row is walked once for each reduction that waits for another and once more for the stores. Neighbouring reductions of which
/// none reads the other may share a walk. There is no `Acc`.
///
/// Rows are independent: no two points (row and element) store to one element, and no store touches a buffer that the kernel loads, except
/// that an element may be loaded and stored by the same point alone. All of a row is loaded before any of it is stored, as far as reductions go.
///
/// The planner writes softmax as `max x`, `sum exp(x - Total(0))`, store `exp(x - Total(0)) / Total(1)`, and layer normalization as `sum x`,
/// `sum (x - Total(0) * (1 / n))^2`, store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// Extents of the loops over rows, outermost first. Empty means one row.
    pub parallel: Vec<u32>,
    /// Elements of a row.
    pub length: u32,
    /// The expressions.
    pub exprs: Exprs,
    /// The reductions, in order.
    pub reductions: Vec<Reduction>,
    /// Done for each element of the row, in order, after the reductions.
    pub stores: Vec<Store>,
}

/// A reduction of a row to one `F32`, in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reduction {
    /// How two values become one.
    pub fold: Fold,
    /// The value of one element: `F32`, over the axes and the totals of earlier reductions.
    pub value: ExprId,
}

/// How values become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Fold {
    /// The sum, from 0.
    Sum,
    /// The greatest, from `-inf`. A NaN may win or be passed over.
    Max,
    /// The least, from `+inf`. A NaN may win or be passed over.
    Min,
}

impl Fold {
    /// The name in the text form.
    pub const fn name(self) -> &'static str {
        match self {
            Fold::Sum => "sum",
            Fold::Max => "max",
            Fold::Min => "min",
        }
    }

    /// The fold of that name.
    pub fn from_name(name: &str) -> Option<Fold> {
        [Fold::Sum, Fold::Max, Fold::Min].into_iter().find(|fold| fold.name() == name)
    }

    /// What a fold starts from.
    pub const fn start(self) -> f32 {
        match self {
            Fold::Sum => 0.0,
            Fold::Max => f32::NEG_INFINITY,
            Fold::Min => f32::INFINITY,
        }
    }
}

impl Rows {
    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.parallel.iter().fold(1, |product, &extent| product.saturating_mul(u64::from(extent)))
    }
}
