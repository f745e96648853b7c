//! Accesses taken apart: what is affine and proven to stay inside, and the indices that must be checked at run time.

use mlp_bundle::Scalar;
use mlp_bundle::loops::{Access, Affine, Bounds, BufferId};

/// An access, with what is known before a run folded together. Distances are in elements.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Address {
    /// The buffer.
    pub(crate) buffer: BufferId,
    /// The constant distance from the buffer's start.
    pub(crate) base: i64,
    /// `(axis, distance)`, by rising axis, none zero: the indices that stay inside.
    pub(crate) terms: Vec<(u8, i64)>,
    /// The indices that may leave their extent.
    pub(crate) checks: Vec<Check>,
    /// What a load yields outside; none clamps.
    pub(crate) otherwise: Option<Scalar>,
}

/// An index that may leave `0..extent`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Check {
    /// The index.
    pub(crate) index: Affine,
    /// The number of positions.
    pub(crate) extent: u32,
    /// Elements from one position to the next.
    pub(crate) stride: u64,
}

impl Address {
    /// Takes an access apart; `extents` are the greatest extents of the axes.
    pub(crate) fn of(access: &Access, extents: &[u32]) -> Address {
        let otherwise = if let Bounds::Else(value) = access.bounds { Some(value) } else { None };
        let mut address = Address { buffer: access.buffer, base: access.offset as i64, terms: Vec::new(), checks: Vec::new(), otherwise };
        for dim in &access.dims {
            let inside = |(low, high): (i64, i64)| low >= 0 && high < i64::from(dim.extent);
            if dim.index.dynamic.is_none() && dim.index.interval(extents).is_some_and(inside) {
                let stride = dim.stride as i64;
                address.base += dim.index.constant * stride;
                for &(axis, coefficient) in &dim.index.terms {
                    address.add_term(axis, coefficient * stride);
                }
            } else {
                address.checks.push(Check { index: dim.index.clone(), extent: dim.extent, stride: dim.stride });
            }
        }
        address.terms.retain(|&(axis, distance)| distance != 0 && extents.get(usize::from(axis)).is_some_and(|&extent| extent > 1));
        address
    }

    fn add_term(&mut self, axis: u8, distance: i64) {
        match self.terms.binary_search_by_key(&axis, |term| term.0) {
            Ok(found) => self.terms[found].1 += distance,
            Err(slot) => self.terms.insert(slot, (axis, distance)),
        }
    }

    /// The distance that one step of an axis makes, checked indices left out.
    pub(crate) fn distance(&self, axis: u8) -> i64 {
        self.terms.iter().find(|term| term.0 == axis).map_or(0, |term| term.1)
    }

    /// Whether a checked index names the axis.
    pub(crate) fn checks_axis(&self, axis: u8) -> bool {
        self.checks.iter().any(|check| check.index.coefficient(axis) != 0)
    }

    /// The only checked index, where it goes along the axis one element a step and what is outside has a value of its own.
    pub(crate) fn lane_check(&self, axis: u8) -> Option<&Check> {
        let [check] = &self.checks[..] else { return None };
        let along = check.index.terms[..] == [(axis, 1)] && check.index.dynamic.is_none() && check.stride == 1;
        (along && self.otherwise.is_some() && self.distance(axis) == 0).then_some(check)
    }
}
