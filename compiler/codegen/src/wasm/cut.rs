//! Which kernels are worth sharing among threads, and where they are cut.
//!
//! A kernel is cut where what it takes by estimate is some times what it costs threads to meet, into parts that threads take one after the other. A
//! part has whole rows, blocks or panels, and computes them as the whole kernel does: results are the same bits whoever computes them.

use super::code::Range;
use super::module::Call;
use mlp_bundle::loops::{Arithmetic, Body, Expr, Exprs, Kernel};
use mlp_bundle::plan::Plan;

/// Estimated nanoseconds from which a kernel is shared.
const SHARED_FROM: u64 = 10_000;

/// Estimated nanoseconds of a part, at least.
const PART: u64 = 4_000;

/// Parts of a kernel, at most: enough to keep some threads busy to the end when one of them is slow.
const PARTS: u64 = 16;

/// Nanoseconds that sharing one kernel costs.
const MEETING: u64 = 1_500;

/// Nanoseconds that two threads have to save in a run, at least. Below that no page would notice.
const SAVING: u64 = 150_000;

/// Which kernels threads share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Those that threads are faster at, of a plan that they save time worth the while on.
    WherePays,
    /// All that can be cut, for tests.
    Everywhere,
}

/// For each kernel how many parts it should have, 1 where it is not shared; none where threads save too little on the whole plan.
pub(crate) fn parts(plan: &Plan, sharing: Sharing) -> Option<Vec<u32>> {
    if sharing == Sharing::Everywhere {
        return Some(vec![PARTS as u32; plan.kernels.len()]);
    }
    let costs: Vec<u64> = plan.kernels.iter().map(cost).collect();
    let shared = || costs.iter().filter(|&&cost| cost >= SHARED_FROM);
    let saved = shared().map(|cost| cost / 2 - MEETING).sum::<u64>();
    let all: u64 = costs.iter().sum();
    if saved < SAVING || saved < all / 10 {
        return None;
    }
    let parts = |&cost: &u64| if cost < SHARED_FROM { 1 } else { (cost / PART).clamp(2, PARTS) as u32 };
    Some(costs.iter().map(parts).collect())
}

/// Estimated nanoseconds of a kernel on one thread: multiply-accumulates by what tiles reach, other kernels by their expressions.
fn cost(kernel: &Kernel) -> u64 {
    let macs = kernel.macs();
    match &kernel.body {
        Body::Contract(contract) => macs / if contract.arithmetic == Arithmetic::F32 { 16 } else { 28 },
        Body::Depthwise(_) => macs / 6,
        Body::Attention(_) => macs / 12,
        Body::Nest(nest) => {
            let points = nest.parallel.iter().map(|&extent| u64::from(extent)).fold(1, u64::saturating_mul);
            let inside = nest.reduce.iter().map(|extent| u64::from(extent.max())).fold(1, u64::saturating_mul);
            points.saturating_mul(inside).saturating_mul(weight(&nest.exprs)) / 8
        }
        Body::Rows(rows) => rows.rows().saturating_mul(rows.length.into()).saturating_mul(weight(&rows.exprs)) / 4,
    }
}

fn weight(exprs: &Exprs) -> u64 {
    exprs.values().filter(|expr| !matches!(expr, Expr::Const(_) | Expr::Axis(_))).count() as u64
}

/// How a call is cut along one of its ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The number of the range.
    pub(crate) range: usize,
    /// Where all of it begins and ends.
    pub(crate) bounds: (i32, i32),
    /// From the beginning of one part to that of the next.
    pub(crate) step: i32,
    /// What is left for the last part where it would be less than this.
    pub(crate) least: i32,
    /// The number of parts.
    pub(crate) parts: u32,
}

impl Cut {
    /// Cuts a call into at most that many parts: along its first range where that has turns enough, else along the one that has the most.
    pub(crate) fn of(call: &Call, parts: u32) -> Option<Cut> {
        let enough = |range: &Range| range.units() >= parts.min(12);
        let most = || (0..call.ranges.len()).rev().max_by_key(|&range| call.ranges[range].units());
        let range = if enough(call.ranges.first()?) { 0 } else { most()? };
        let chosen = call.ranges[range];
        let units = chosen.units().max(1);
        let (first, last) = chosen.bounds;
        // Twice the end must not wrap.
        let (first, last) = (i32::try_from(first).ok()?, i32::try_from(last).ok().filter(|&last| last < 1 << 30)?);
        let each = units.div_ceil(parts);
        let least = if chosen.ragged { 0 } else { chosen.unit as i32 };
        Some(Cut { range, bounds: (first, last), step: (each * chosen.unit) as i32, least, parts: units.div_ceil(each) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(ranges: &[Range]) -> Call {
        Call { function: 0, args: Vec::new(), ranges: ranges.to_vec() }
    }

    /// The parts of a cut, as the module computes them.
    fn bounds(cut: &Cut) -> Vec<(i32, i32)> {
        let part = |part: i32| {
            let first = cut.bounds.0 + part * cut.step;
            let last = first + cut.step;
            (first, if last > cut.bounds.1 - cut.least { cut.bounds.1 } else { last })
        };
        (0..cut.parts as i32).map(part).collect()
    }

    #[test]
    fn parts_cover_a_range_once() {
        for size in 1..200 {
            for unit in [1, 4, 12, 16] {
                for (parts, ragged) in [2, 3, 7, 16].into_iter().flat_map(|parts| [(parts, true), (parts, false)]) {
                    let cut = Cut::of(&call(&[Range { bounds: (5, 5 + size), unit, ragged }]), parts).expect("the range can be cut");
                    let parts = bounds(&cut);
                    assert!(parts.len() as u32 <= PARTS as u32 && parts[0].0 == 5 && parts[parts.len() - 1].1 == 5 + size as i32);
                    assert!(parts.windows(2).all(|pair| pair[0].1 == pair[1].0), "{cut:?}: {parts:?}");
                    let least = if ragged { 1 } else { unit.min(size) as i32 };
                    assert!(parts.iter().all(|part| part.1 - part.0 >= least), "{cut:?}: {parts:?}");
                    assert!(parts.iter().all(|part| ((part.0 - 5) as u32).is_multiple_of(unit)));
                }
            }
        }
    }

    #[test]
    fn rows_are_cut_where_there_are_enough_and_channels_elsewhere() {
        let rows = |count| Range { bounds: (0, count), unit: 1, ragged: true };
        let channels = Range { bounds: (0, 320), unit: 16, ragged: true };
        assert_eq!(Cut::of(&call(&[rows(56), channels]), 16).map(|cut| cut.range), Some(0));
        assert_eq!(Cut::of(&call(&[rows(7), channels]), 16).map(|cut| cut.range), Some(1));
        assert_eq!(Cut::of(&call(&[rows(7), channels]), 4).map(|cut| cut.range), Some(0));
        assert_eq!(Cut::of(&call(&[]), 4), None);
    }
}
