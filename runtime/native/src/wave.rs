//! Waves: runs of steps that do not wait for one another, so that threads meet once after all of them.
//!
//! The groups of a grouped convolution, or the branches of a block, are steps too short for two threads to share each. Steps whose memory does not meet are one
//! wave, whose items go to the threads by estimated time.

use crate::offset;
use crate::step::Step;
use mlp_bundle::loops::{Access, Body, Bounds, BufferId, Epilogue, Expr, Exprs, Kernel, Store, Window};
use mlp_bundle::plan::{Place, Plan};
use std::ops::Range;

/// Estimated nanoseconds under which work is not spread over threads: some times what it costs them to meet.
const SPREAD_FROM: u64 = 5_000;

/// Estimated nanoseconds from which a step is a wave of its own: it is spread well enough, and estimates are coarse.
const ALONE_FROM: u64 = 120_000;

/// Steps of a wave, at most.
const MOST: usize = 32;

/// Steps that are run as one.
pub(crate) struct Wave {
    /// What each thread runs: steps and their items. One thread's share alone where the wave is not spread.
    shares: Vec<Vec<(usize, Range<usize>)>>,
}

impl Wave {
    /// What each thread runs: numbers of steps, and their items.
    pub(crate) fn shares(&self) -> &[Vec<(usize, Range<usize>)>] {
        &self.shares
    }

    /// One wave of those steps.
    pub(crate) fn new(steps: &[Step], range: Range<usize>, threads: usize) -> Wave {
        let costs: Vec<u64> = steps[range.clone()].iter().map(Step::cost).collect();
        let total: u64 = costs.iter().sum();
        let items: usize = steps[range.clone()].iter().map(Step::items).sum();
        if threads < 2 || items < 2 || total < SPREAD_FROM {
            return Wave { shares: vec![range.map(|step| (step, 0..steps[step].items())).collect()] };
        }
        if range.len() == 1 {
            let share = |index| steps[range.start].share(index, threads).map(|items| (range.start, items)).collect();
            return Wave { shares: (0..threads).map(share).collect() };
        }
        let share = |index: usize| {
            let mut before = 0;
            let mut parts = Vec::new();
            for (step, &cost) in range.clone().zip(&costs) {
                // The part of the step that lies before each end of the share, in items.
                let items = steps[step].items() as u64;
                let at = |index: usize| {
                    let inside = (total * index as u64 / threads as u64).saturating_sub(before).min(cost.max(1));
                    ((items * inside + cost.max(1) / 2) / cost.max(1)) as usize
                };
                let range = if index + 1 == threads { at(index)..items as usize } else { at(index)..at(index + 1) };
                if !range.is_empty() {
                    parts.push((step, range));
                }
                before += cost;
            }
            parts
        };
        Wave { shares: (0..threads).map(share).collect() }
    }
}

/// The waves of a plan's steps, for that many threads.
pub(crate) fn waves(plan: &Plan, steps: &[Step], threads: usize) -> Vec<Wave> {
    let mut waves = Vec::new();
    let mut start = 0;
    let mut inside: Vec<Footprint> = Vec::new();
    for (index, kernel) in plan.kernels.iter().enumerate() {
        let own = Footprint::of(plan, kernel);
        let long = |step: usize| steps[step].cost() >= ALONE_FROM;
        let joins = threads > 1
            && index - start < MOST
            && !long(index)
            && !(start..index).any(long)
            && inside.iter().all(|other| !own.meets(other));
        if index > start && !joins {
            waves.push(Wave::new(steps, start..index, threads));
            inside.clear();
            start = index;
        }
        inside.push(own);
    }
    if start < steps.len() {
        waves.push(Wave::new(steps, start..steps.len(), threads));
    }
    waves
}

/// Bytes of the arena: from `start` to `end`, and of them, where there is a pitch, only the first `width` of each `pitch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
    pitch: usize,
    width: usize,
}

impl Span {
    fn meets(&self, other: &Span) -> bool {
        if self.end <= other.start || other.end <= self.start {
            return false;
        }
        if self.pitch == 0 || self.pitch != other.pitch {
            return true;
        }
        let ahead = (other.start + self.pitch - self.start % self.pitch) % self.pitch;
        ahead < self.width || self.pitch - ahead < other.width
    }
}

/// What a kernel reads and writes.
struct Footprint {
    reads: Vec<Span>,
    writes: Vec<Span>,
}

impl Footprint {
    fn of(plan: &Plan, kernel: &Kernel) -> Footprint {
        let memory = |buffers: &[BufferId]| buffers.iter().filter_map(|&buffer| whole(plan, buffer)).collect();
        match &kernel.body {
            Body::Nest(nest) => Footprint::of_code(plan, &nest.exprs, &nest.stores, Vec::new(), None),
            Body::Rows(rows) => Footprint::of_code(plan, &rows.exprs, &rows.stores, Vec::new(), None),
            Body::Attention(attention) => {
                Footprint { reads: memory(&attention.reads().collect::<Vec<_>>()), writes: memory(&[attention.out.buffer]) }
            }
            // Scales lie in the weights, which no kernel writes.
            Body::Contract(c) => Footprint::of_sums(plan, &c.epilogue, memory(&[c.input, c.weights]), &c.window),
            Body::Depthwise(d) => Footprint::of_sums(plan, &d.epilogue, memory(&[d.input, d.weights]), &d.window),
        }
    }

    fn of_sums(plan: &Plan, epilogue: &Epilogue, reads: Vec<Span>, window: &Window) -> Footprint {
        Footprint::of_code(plan, &epilogue.exprs, &epilogue.stores, reads, Some(window))
    }

    fn of_code(plan: &Plan, exprs: &Exprs, stores: &[Store], mut reads: Vec<Span>, window: Option<&Window>) -> Footprint {
        let span = |access: &Access| window.and_then(|window| by_pixels(plan, access, window)).or_else(|| whole(plan, access.buffer));
        reads.extend(exprs.values().filter_map(|expr| if let Expr::Load(access) = expr { span(access) } else { None }));
        Footprint { reads, writes: stores.iter().filter_map(|store| span(&store.access)).collect() }
    }

    /// Whether one writes what the other reads or writes.
    fn meets(&self, other: &Footprint) -> bool {
        let any = |left: &[Span], right: &[Span]| left.iter().any(|left| right.iter().any(|right| left.meets(right)));
        any(&self.writes, &other.writes) || any(&self.writes, &other.reads) || any(&self.reads, &other.writes)
    }
}

/// All bytes of a buffer in the arena.
fn whole(plan: &Plan, buffer: BufferId) -> Option<Span> {
    let start = offset(plan, buffer);
    let inside = matches!(plan.buffers[buffer].place, Place::Arena { .. });
    inside.then(|| Span { start, end: start + plan.buffers[buffer].bytes() as usize, pitch: 0, width: 0 })
}

/// The bytes of an access of an epilogue that goes by pixels, channels side by side.
fn by_pixels(plan: &Plan, access: &Access, window: &Window) -> Option<Span> {
    let all = whole(plan, access.buffer)?;
    let (element, pixel, channel) = crate::finish::linear(access)?;
    let channels = window.out_c as usize;
    if access.bounds != Bounds::Inside || channel != 1 || pixel < channels {
        return None;
    }
    let size = plan.buffers[access.buffer].dtype.size();
    let pixels = (window.outputs() / u64::from(window.out_c)) as usize;
    let start = all.start + element * size;
    let end = start + ((pixels.max(1) - 1) * pixel + channels) * size;
    Some(Span { start, end, pitch: pixel * size, width: channels * size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: usize, end: usize, pitch: usize, width: usize) -> Span {
        Span { start, end, pitch, width }
    }

    #[test]
    fn spans_meet_where_they_share_a_byte() {
        let plain = span(100, 200, 0, 0);
        assert!(plain.meets(&span(199, 300, 0, 0)) && !plain.meets(&span(200, 300, 0, 0)) && !span(200, 300, 0, 0).meets(&plain));
        // Channels 0..8 and 8..16 of pixels of 16 bytes, and one that begins in the middle of another's.
        let (low, high) = (span(160, 320, 16, 8), span(168, 328, 16, 8));
        assert!(!low.meets(&high) && !high.meets(&low) && low.meets(&low));
        assert!(low.meets(&span(164, 324, 16, 8)) && span(164, 324, 16, 8).meets(&high));
        // Another pitch, or none, is not told apart.
        assert!(low.meets(&span(168, 328, 32, 8)) && low.meets(&plain));
        // Far apart on pages of one pitch.
        assert!(!low.meets(&span(1000, 1100, 16, 8)));
    }

    #[test]
    fn spans_by_pixels_meet_as_their_bytes_do() {
        let bytes = |span: &Span| -> Vec<usize> {
            (span.start..span.end).filter(|at| span.pitch == 0 || (at - span.start) % span.pitch < span.width).collect()
        };
        for (start, width) in (0..24).flat_map(|start| (1..8).map(move |width| (start, width))) {
            for (other, wide) in (0..24).flat_map(|start| (1..8).map(move |width| (start, width))) {
                let (a, b) = (span(start, start + 20 + width, 10, width), span(other, other + 20 + wide, 10, wide));
                let shared = bytes(&a).iter().any(|at| bytes(&b).contains(at));
                assert!(a.meets(&b) || !shared, "{a:?} {b:?}");
            }
        }
    }
}
