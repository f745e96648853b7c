//! Kernels over rows: reductions of a row, then its elements.

use super::{Element, Given, LANES, Program, Slots, Step, load, spread, store};
use std::ops::Range;

/// How values become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// The sum of floats, from 0, in any order.
    Sum,
    /// The greatest float, from `-inf`. A NaN is passed over.
    Max,
    /// The least float, from `+inf`. A NaN is passed over.
    Min,
    /// As [`Fold::Max`], but a NaN wins.
    Greatest,
    /// As [`Fold::Min`], but a NaN wins.
    Least,
    /// The sum of `i32`, which wraps, from 0.
    SumInt,
}

impl Fold {
    /// The bits that a fold starts from.
    const fn start(self) -> u32 {
        match self {
            Fold::Sum | Fold::SumInt => 0,
            Fold::Max | Fold::Greatest => f32::NEG_INFINITY.to_bits(),
            Fold::Min | Fold::Least => f32::INFINITY.to_bits(),
        }
    }

    /// Folds values into those before.
    #[inline(always)]
    fn fold(self, best: &mut [u32], values: &[u32]) {
        match self {
            Fold::Sum => folded(best, values, |x, y| x + y),
            Fold::Max => folded(best, values, |x, y| if x < y { y } else { x }),
            Fold::Min => folded(best, values, |x, y| if y < x { y } else { x }),
            Fold::Greatest => folded(best, values, |x, y| if x < y || y.is_nan() { y } else { x }),
            Fold::Least => folded(best, values, |x, y| if y < x || y.is_nan() { y } else { x }),
            Fold::SumInt => best.iter_mut().zip(values).for_each(|(best, &value)| *best = best.wrapping_add(value)),
        }
    }
}

/// Reductions of a row at most.
const MAX_REDUCTIONS: usize = 8;

/// Loops over rows at most.
const MAX_AXES: usize = 16;

/// Where the elements of rows lie.
#[derive(Clone, Debug, PartialEq)]
pub struct RowPlace {
    /// Their type.
    pub element: Element,
    /// The first element of the first row.
    pub at: *mut u8,
    /// Elements from one row to the next, for each loop over rows.
    pub steps: Vec<isize>,
    /// Whether they lie one after the other; else all of a row are one.
    pub along: bool,
}

/// Reductions and stores of rows.
#[derive(Clone, Debug)]
pub struct RowsProgram {
    parallel: Vec<usize>,
    length: usize,
    sources: Vec<RowPlace>,
    reductions: Vec<(Fold, Program)>,
    stores: Program,
    targets: Vec<RowPlace>,
}

impl RowsProgram {
    /// A program over rows of `length`: what the steps of each reduction, in order, make of a row is the total of that number, which later ones and stores may read.
    /// Stores are of a step each: of every element of a row, or of one of it, where no step that they need tells elements apart. `None` where something named is not there, or
    /// where there is too much of it.
    pub fn new(
        (parallel, length): (Vec<usize>, usize),
        steps: &[Step],
        sources: Vec<RowPlace>,
        reductions: &[(Fold, usize)],
        stores: Vec<(RowPlace, usize)>,
    ) -> Option<RowsProgram> {
        let places = sources.iter().chain(stores.iter().map(|(place, _)| place));
        let whole = places.into_iter().all(|place| place.steps.len() == parallel.len());
        let along = stores.iter().any(|(place, _)| place.along);
        let whole = whole && stores.iter().all(|(place, _)| place.along == along);
        if !whole || length == 0 || parallel.len() > MAX_AXES || reductions.len() > MAX_REDUCTIONS || sources.len() > LANES {
            return None;
        }
        let there = |step: &Step| match step {
            Step::Load(source) => *source < sources.len(),
            Step::Total(number) => *number < reductions.len(),
            _ => true,
        };
        let is_even = |step: &Step| match step {
            Step::Load(source) => !sources[*source].along,
            _ => true,
        };
        if !steps.iter().all(there) {
            return None;
        }
        let mut end = 0;
        let mut made = Vec::new();
        for &(fold, value) in reductions {
            let program = Program::new(steps, &[value], end, is_even)?;
            end = program.end;
            made.push((fold, program));
        }
        let (targets, results): (Vec<RowPlace>, Vec<usize>) = stores.into_iter().unzip();
        let stores = Program::new(steps, &results, end, is_even).filter(|stores| along || stores.each.is_empty())?;
        Some(RowsProgram { parallel, length, sources, reductions: made, stores, targets })
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.parallel.iter().product()
    }

    /// The place of a row by the positions of its loops.
    #[inline(always)]
    fn place(place: &RowPlace, position: &[usize; MAX_AXES]) -> *mut u8 {
        let elements: isize = place.steps.iter().zip(position).map(|(step, &at)| step * at as isize).sum();
        place.at.wrapping_offset(elements * place.element.size() as isize)
    }
}

/// One row.
struct Row<'a> {
    rows: &'a RowsProgram,
    position: [usize; MAX_AXES],
    totals: [u32; MAX_REDUCTIONS],
}

impl Row<'_> {
    /// `count` values of what a program reads, from element `from` on.
    #[inline(always)]
    unsafe fn give(&self, given: Given, from: usize, count: usize, to: &mut [u32; LANES]) {
        match given {
            Given::Total(number) => to.fill(self.totals[number]),
            Given::Load(source) => {
                let place = &self.rows.sources[source];
                let at = RowsProgram::place(place, &self.position).cast_const();
                // SAFETY: the caller's promise.
                unsafe {
                    match place.along {
                        true => load(place.element, at.add(from * place.element.size()), to, count),
                        false => spread(place.element, at, to),
                    }
                }
            }
        }
    }

    /// A reduction of the row.
    #[inline(always)]
    unsafe fn reduced(&self, fold: Fold, program: &Program, slots: &mut Slots) -> u32 {
        let length = self.rows.length;
        // SAFETY: the caller's promise.
        program.begin(slots, length, |given, to| unsafe { self.give(given, 0, 1, to) });
        let mut best = [fold.start(); LANES];
        for from in (0..length).step_by(LANES) {
            let count = LANES.min(length - from);
            // SAFETY: the caller's promise.
            program.walk(slots, count, |given, to| unsafe { self.give(given, from, count, to) });
            fold.fold(&mut best[..count], &program.result(slots, 0)[..count]);
        }
        // In halves, so that sums stay as exact as they were in lanes.
        let mut width = LANES / 2;
        while width > 0 {
            let (low, high) = best.split_at_mut(width);
            fold.fold(low, &high[..width]);
            width /= 2;
        }
        best[0]
    }

    /// The elements of the row.
    #[inline(always)]
    unsafe fn stored(&self, slots: &mut Slots) {
        let RowsProgram { stores, targets, .. } = self.rows;
        let length = if targets.iter().any(|place| place.along) { self.rows.length } else { 1 };
        // SAFETY: the caller's promise.
        stores.begin(slots, length, |given, to| unsafe { self.give(given, 0, 1, to) });
        for from in (0..length).step_by(LANES) {
            let count = LANES.min(length - from);
            // SAFETY: the caller's promise.
            stores.walk(slots, count, |given, to| unsafe { self.give(given, from, count, to) });
            for (number, place) in targets.iter().enumerate() {
                let at = RowsProgram::place(place, &self.position);
                // SAFETY: the caller's promise.
                unsafe { store(place.element, &stores.result(slots, number)[..count], at.add(from * place.element.size())) };
            }
        }
    }
}

#[inline(always)]
fn folded(best: &mut [u32], values: &[u32], fold: impl Fn(f32, f32) -> f32) {
    best.iter_mut().zip(values).for_each(|(best, &value)| *best = fold(f32::from_bits(*best), f32::from_bits(value)).to_bits());
}

/// Runs some rows.
///
/// # Safety
/// What the program reads and stores is there for these rows, and no one else stores it.
#[inline(always)]
pub(crate) unsafe fn run(rows: &RowsProgram, range: Range<usize>) {
    let mut slots = Slots::new();
    rows.reductions.iter().for_each(|(_, program)| program.prepare(&mut slots));
    rows.stores.prepare(&mut slots);
    for number in range {
        let mut row = Row { rows, position: [0; MAX_AXES], totals: [0; MAX_REDUCTIONS] };
        let mut rest = number;
        for (axis, &extent) in rows.parallel.iter().enumerate().rev() {
            row.position[axis] = rest % extent;
            rest /= extent;
        }
        for (number, (fold, program)) in rows.reductions.iter().enumerate() {
            // SAFETY: the caller's promise.
            row.totals[number] = unsafe { row.reduced(*fold, program, &mut slots) };
        }
        // SAFETY: the caller's promise.
        unsafe { row.stored(&mut slots) };
    }
}
