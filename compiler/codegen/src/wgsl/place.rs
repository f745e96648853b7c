//! Where accesses lie: which of them are whole quads of elements, which indices can leave their extents, and index arithmetic as text.

use mlp_bundle::dtype::DType;
use mlp_bundle::loops::{Access, AccessDim, Bounds, ExprId};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The loops around an expression, and the one whose four successive values an invocation computes at once.
#[derive(Clone)]
pub(super) struct Axes {
    /// Extents (upper bounds where dynamic), by axis.
    pub(super) extents: Vec<u32>,
    /// The axis of the lanes.
    pub(super) lane: Option<u8>,
    /// Whether the last four lanes may lie partly beyond the lane axis, where nothing may be stored.
    pub(super) ragged: bool,
}

/// How the four lanes of an invocation see an access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Spread {
    /// All at one element.
    Same,
    /// At four successive elements, the first at a multiple of four.
    Quad,
    /// Anywhere.
    Each,
}

impl Axes {
    /// True if an index of this dimension may leave its extent.
    pub(super) fn leaves(&self, dim: &AccessDim) -> bool {
        dim.index.dynamic.is_some() || dim.index.interval(&self.extents).is_none_or(|(low, high)| low < 0 || high >= i64::from(dim.extent))
    }

    /// How the lanes see an access whose buffer starts `shift` elements into its binding; `wide` tells which expressions differ from lane to lane.
    pub(super) fn spread(&self, access: &Access, shift: u64, wide: &dyn Fn(ExprId) -> bool) -> Spread {
        let Some(lane) = self.lane else { return Spread::Same };
        let on_lane = |dim: &AccessDim| dim.index.terms.iter().any(|&(axis, _)| axis == lane) || dim.index.dynamic.is_some_and(wide);
        if !access.dims.iter().any(on_lane) {
            return Spread::Same;
        }
        let mut along = 0;
        let mut base = (access.offset + shift) as i64;
        for dim in &access.dims {
            let stride = dim.stride as i64;
            let checked = access.bounds != Bounds::Inside && self.leaves(dim);
            if checked && (on_lane(dim) || stride % 4 != 0)
                || dim.index.dynamic.is_some() && (stride % 4 != 0 || dim.index.dynamic.is_some_and(wide))
            {
                return Spread::Each;
            }
            base += dim.index.constant * stride;
            for &(axis, coefficient) in &dim.index.terms {
                if axis == lane {
                    along += coefficient * stride;
                } else if coefficient * stride % 4 != 0 {
                    return Spread::Each;
                }
            }
        }
        if along == 1 && base % 4 == 0 { Spread::Quad } else { Spread::Each }
    }
}

impl Axes {
    /// How the lanes see a store: only whole quads that belong to the loop are stored at once.
    pub(super) fn store_spread(&self, access: &Access, shift: u64, wide: &dyn Fn(ExprId) -> bool) -> Spread {
        match self.spread(access, shift, wide) {
            Spread::Quad if self.ragged => Spread::Each,
            spread => spread,
        }
    }
}

/// A sum of named `i32` values with coefficients.
#[derive(Clone)]
pub(super) struct Sum {
    pub(super) constant: i64,
    terms: BTreeMap<String, i64>,
}

impl Sum {
    pub(super) fn constant(constant: i64) -> Sum {
        Sum { constant, terms: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, name: String, coefficient: i64) {
        *self.terms.entry(name).or_default() += coefficient;
    }

    /// The sum as an expression; parenthesized unless it is one name or number.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for (name, &coefficient) in &self.terms {
            match coefficient {
                0 => {}
                _ if coefficient < 0 => {
                    if out.is_empty() {
                        out.push('0');
                    }
                    let _ = write!(out, "-{name}");
                    if coefficient != -1 {
                        let _ = write!(out, "*{}", -coefficient);
                    }
                }
                _ => {
                    if !out.is_empty() {
                        out.push('+');
                    }
                    out.push_str(name);
                    if coefficient != 1 {
                        let _ = write!(out, "*{coefficient}");
                    }
                }
            }
        }
        match (out.is_empty(), self.constant) {
            (true, constant) => constant.to_string(),
            (false, 0) => out,
            (false, constant) if constant < 0 => format!("{out}{constant}"),
            (false, constant) => format!("{out}+{constant}"),
        }
    }

    /// True if nothing but a constant or one name is left.
    pub(super) fn is_simple(&self) -> bool {
        let live = self.terms.values().filter(|&&c| c != 0).count();
        (live == 0 && self.constant >= 0) || (live == 1 && self.constant == 0 && self.terms.values().all(|&c| c == 0 || c == 1))
    }
}

/// True for the types that only single lanes can hold.
pub(super) fn is_long(dtype: DType) -> bool {
    dtype.size() == 8
}
