//! Straight-line programs over lanes: each step computes a hundred or so values at once, so that choosing it costs next to nothing and its loop runs over the widest
//! vectors. What is the same in all lanes of a walk is computed once before it.

mod epilogue;
mod functions;
mod rows;

pub use epilogue::{EpilogueProgram, EpilogueSource};
pub use functions::{ERF_DENOMINATOR, ERF_NUMERATOR, TANH, TANH_NEAR};
pub use rows::{Fold, RowPlace, RowsProgram};

pub(crate) use epilogue::run as run_epilogue;
pub(crate) use functions::exp_parts;
pub(crate) use rows::run as run_rows;

/// Values that a step computes at most.
const LANES: usize = 128;

/// Values that all steps are computed in multiples of.
const UNIT: usize = 16;

/// Values of steps that are kept at one time, at most.
const MAX_SLOTS: usize = 40;

/// A function of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// Negation.
    Neg,
    /// Absolute value.
    Abs,
    /// Square root.
    Sqrt,
    /// Rounding to nearest, ties to even.
    RoundEven,
    /// Rounding down.
    Floor,
    /// Rounding up.
    Ceil,
    /// Rounding towards zero.
    Trunc,
    /// `e^x`.
    Exp,
    /// The error function.
    Erf,
    /// The hyperbolic tangent.
    Tanh,
    /// The float of an `i32`.
    ToFloat,
    /// The `i32` of a float: truncated and saturated, 0 for a NaN.
    ToInt,
}

/// A function of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Sum.
    Add,
    /// Difference.
    Sub,
    /// Product.
    Mul,
    /// Quotient.
    Div,
    /// `if b < a { b } else { a }`.
    Min,
    /// `if a < b { b } else { a }`.
    Max,
    /// Sum of `i32`, which wraps.
    AddInt,
    /// Difference of `i32`, which wraps.
    SubInt,
    /// Product of `i32`, which wraps.
    MulInt,
    /// The lesser `i32`.
    MinInt,
    /// The greater `i32`.
    MaxInt,
    /// Bitwise and.
    And,
    /// Bitwise or.
    Or,
    /// All bits where floats are equal, else none: never of a NaN.
    Equal,
    /// All bits where floats differ, else none: always of a NaN.
    Differ,
    /// All bits where the first float is less, else none.
    Less,
    /// All bits where the first float is less or equal, else none.
    AtMost,
}

/// One step: a value of 32 bits, `f32` or `i32`. Operands are the numbers of earlier steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// A contraction's sum, or a row's reduction with that number.
    Total(usize),
    /// The same bits everywhere.
    Const(u32),
    /// What a source gives.
    Load(usize),
    /// A function of a step.
    Function(Function, usize),
    /// A function of two steps.
    Operator(Operator, usize, usize),
    /// The definition of requantization over `i32`: the value, its multiplier and the shift.
    Requantize(usize, usize, u32),
    /// The second step where the first has all bits, the third where it has none.
    Select(usize, usize, usize),
}

impl Step {
    /// The numbers of the steps that it reads.
    fn operands(&self) -> impl Iterator<Item = usize> + use<> {
        let operands = match *self {
            Step::Total(_) | Step::Const(_) | Step::Load(_) => [None; 3],
            Step::Function(_, x) => [Some(x), None, None],
            Step::Operator(_, x, y) | Step::Requantize(x, y, _) => [Some(x), Some(y), None],
            Step::Select(condition, x, y) => [Some(condition), Some(x), Some(y)],
        };
        operands.into_iter().flatten()
    }

    /// The step with what stands in `slots` for the numbers of its operands.
    fn placed(&self, slots: &[usize]) -> Step {
        match *self {
            Step::Total(_) | Step::Const(_) | Step::Load(_) => *self,
            Step::Function(function, x) => Step::Function(function, slots[x]),
            Step::Operator(operator, x, y) => Step::Operator(operator, slots[x], slots[y]),
            Step::Requantize(x, y, shift) => Step::Requantize(slots[x], slots[y], shift),
            Step::Select(condition, x, y) => Step::Select(slots[condition], slots[x], slots[y]),
        }
    }
}

/// The last step that reads each step which `results` need, results being read at the end. None where a step reads one that does not come before it.
fn last_reads(steps: &[Step], results: &[usize]) -> Option<Vec<Option<usize>>> {
    let sound = steps.iter().enumerate().all(|(n, step)| step.operands().all(|operand| operand < n));
    if !sound || results.iter().any(|&result| result >= steps.len()) {
        return None;
    }
    let mut last: Vec<Option<usize>> = vec![None; steps.len()];
    results.iter().for_each(|&result| last[result] = Some(steps.len()));
    for (n, step) in steps.iter().enumerate().rev() {
        if last[n].is_some() {
            step.operands().for_each(|operand| last[operand] = Some(last[operand].map_or(n, |seen| seen.max(n))));
        }
    }
    Some(last)
}

/// Element types of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// `f32` or `i32`.
    Word,
    /// `u8`, which is an `i32` in a step. Stores keep the low bits.
    U8,
    /// `i8`, likewise.
    I8,
}

impl Element {
    const fn size(self) -> usize {
        match self {
            Element::Word => 4,
            Element::U8 | Element::I8 => 1,
        }
    }
}

/// Steps in slots: each with the slot that it is computed in, and with the slots of its operands in place of their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// Constants: the same in every run.
    always: Vec<(Step, usize)>,
    /// What is the same in all lanes of a walk.
    once: Vec<(Step, usize)>,
    each: Vec<(Step, usize)>,
    /// The slots of the results.
    results: Vec<usize>,
    /// The slot after the last one.
    end: usize,
}

/// The values of steps.
pub(crate) struct Slots([[u32; LANES]; MAX_SLOTS]);

impl Slots {
    #[inline(always)]
    fn new() -> Slots {
        Slots([[0; LANES]; MAX_SLOTS])
    }
}

impl Program {
    /// The program of what `results` need of `steps`, in slots from `first` on; `is_even` says of what a source or a total gives whether it is the same in all lanes of
    /// a walk. `None` where a step names a later one, or slots do not suffice.
    fn new(steps: &[Step], results: &[usize], first: usize, is_even: impl Fn(&Step) -> bool) -> Option<Program> {
        let last = last_reads(steps, results)?;
        let mut program = Program { always: Vec::new(), once: Vec::new(), each: Vec::new(), results: Vec::new(), end: first };
        let (mut slots, mut even): (Vec<usize>, Vec<bool>) = (vec![0; steps.len()], vec![false; steps.len()]);
        let mut free: Vec<usize> = Vec::new();
        for (n, step) in steps.iter().enumerate().filter(|(n, _)| last[*n].is_some()) {
            even[n] = match step {
                Step::Const(_) => true,
                Step::Total(_) | Step::Load(_) => is_even(step),
                _ => step.operands().all(|operand| even[operand]),
            };
            // What is the same for a whole walk keeps its slot.
            let slot = if even[n] { None } else { free.pop() }.unwrap_or_else(|| {
                program.end += 1;
                program.end - 1
            });
            slots[n] = slot;
            let list = match (step, even[n]) {
                (Step::Const(_), _) => &mut program.always,
                (_, true) => &mut program.once,
                (_, false) => &mut program.each,
            };
            list.push((step.placed(&slots), slot));
            let mut done: Vec<usize> = step.operands().filter(|&operand| last[operand] == Some(n) && !even[operand]).collect();
            done.sort_unstable();
            done.dedup();
            free.extend(done.into_iter().map(|operand| slots[operand]));
        }
        program.results = results.iter().map(|&result| slots[result]).collect();
        (program.end <= MAX_SLOTS).then_some(program)
    }

    /// Fills the slots of constants.
    #[inline(always)]
    fn prepare(&self, slots: &mut Slots) {
        for &(step, to) in &self.always {
            if let Step::Const(bits) = step {
                slots.0[to].fill(bits);
            }
        }
    }

    /// Computes what is the same in a walk.
    #[inline(always)]
    fn begin(&self, slots: &mut Slots, lanes: usize, give: impl Fn(Given, &mut [u32; LANES])) {
        run(&self.once, slots, lanes, give);
    }

    /// Computes the first `lanes` values of all other steps.
    #[inline(always)]
    fn walk(&self, slots: &mut Slots, lanes: usize, give: impl Fn(Given, &mut [u32; LANES])) {
        run(&self.each, slots, lanes, give);
    }

    /// The values of a result.
    #[inline(always)]
    fn result<'a>(&self, slots: &'a Slots, number: usize) -> &'a [u32; LANES] {
        &slots.0[self.results[number]]
    }
}

/// What the caller has values of.
#[derive(Clone, Copy)]
enum Given {
    Total(usize),
    Load(usize),
}

#[inline(always)]
fn run(list: &[(Step, usize)], slots: &mut Slots, lanes: usize, give: impl Fn(Given, &mut [u32; LANES])) {
    let lanes = lanes.next_multiple_of(UNIT).min(LANES);
    for &(step, to) in list {
        match step {
            Step::Const(bits) => slots.0[to].fill(bits),
            Step::Total(number) => give(Given::Total(number), &mut slots.0[to]),
            Step::Load(source) => give(Given::Load(source), &mut slots.0[to]),
            Step::Function(function, x) => apply(function, slots, x, to, lanes),
            Step::Operator(operator, x, y) => combine(operator, slots, [x, y], to, lanes),
            Step::Requantize(x, y, shift) => {
                zip(slots, [x, y], to, lanes, |x, y| crate::finish::requantize(x as i32, y as i32, shift) as u32);
            }
            Step::Select(condition, x, y) => {
                let condition = slots.0[condition].as_ptr();
                let (x, y) = (slots.0[x].as_ptr(), slots.0[y].as_ptr());
                for (i, to) in slots.0[to][..lanes].iter_mut().enumerate() {
                    // SAFETY: as in `map`.
                    *to = unsafe { if *condition.add(i) != 0 { *x.add(i) } else { *y.add(i) } };
                }
            }
        }
    }
}

#[inline(always)]
fn apply(function: Function, slots: &mut Slots, x: usize, to: usize, lanes: usize) {
    match function {
        Function::Neg => float(slots, x, to, lanes, |x| -x),
        Function::Abs => float(slots, x, to, lanes, f32::abs),
        Function::Sqrt => float(slots, x, to, lanes, f32::sqrt),
        Function::RoundEven => float(slots, x, to, lanes, f32::round_ties_even),
        Function::Floor => float(slots, x, to, lanes, f32::floor),
        Function::Ceil => float(slots, x, to, lanes, f32::ceil),
        Function::Trunc => float(slots, x, to, lanes, f32::trunc),
        Function::Exp => float(slots, x, to, lanes, functions::exp),
        Function::Erf => float(slots, x, to, lanes, functions::erf),
        Function::Tanh => float(slots, x, to, lanes, functions::tanh),
        Function::ToFloat => map(slots, x, to, lanes, |x| (x as i32 as f32).to_bits()),
        Function::ToInt => map(slots, x, to, lanes, |x| functions::to_int(f32::from_bits(x)) as u32),
    }
}

#[inline(always)]
fn combine(operator: Operator, slots: &mut Slots, operands: [usize; 2], to: usize, lanes: usize) {
    match operator {
        Operator::Add => floats(slots, operands, to, lanes, |x, y| x + y),
        Operator::Sub => floats(slots, operands, to, lanes, |x, y| x - y),
        Operator::Mul => floats(slots, operands, to, lanes, |x, y| x * y),
        Operator::Div => floats(slots, operands, to, lanes, |x, y| x / y),
        Operator::Min => floats(slots, operands, to, lanes, |x, y| if y < x { y } else { x }),
        Operator::Max => floats(slots, operands, to, lanes, |x, y| if x < y { y } else { x }),
        Operator::AddInt => zip(slots, operands, to, lanes, u32::wrapping_add),
        Operator::SubInt => zip(slots, operands, to, lanes, u32::wrapping_sub),
        Operator::MulInt => zip(slots, operands, to, lanes, u32::wrapping_mul),
        Operator::MinInt => zip(slots, operands, to, lanes, |x, y| (x as i32).min(y as i32) as u32),
        Operator::MaxInt => zip(slots, operands, to, lanes, |x, y| (x as i32).max(y as i32) as u32),
        Operator::And => zip(slots, operands, to, lanes, |x, y| x & y),
        Operator::Or => zip(slots, operands, to, lanes, |x, y| x | y),
        Operator::Equal => masks(slots, operands, to, lanes, |x, y| x == y),
        Operator::Differ => masks(slots, operands, to, lanes, |x, y| x != y),
        Operator::Less => masks(slots, operands, to, lanes, |x, y| x < y),
        Operator::AtMost => masks(slots, operands, to, lanes, |x, y| x <= y),
    }
}

#[inline(always)]
fn float(slots: &mut Slots, x: usize, to: usize, lanes: usize, f: impl Fn(f32) -> f32) {
    map(slots, x, to, lanes, |x| f(f32::from_bits(x)).to_bits());
}

#[inline(always)]
fn floats(slots: &mut Slots, operands: [usize; 2], to: usize, lanes: usize, f: impl Fn(f32, f32) -> f32) {
    zip(slots, operands, to, lanes, |x, y| f(f32::from_bits(x), f32::from_bits(y)).to_bits());
}

#[inline(always)]
fn masks(slots: &mut Slots, operands: [usize; 2], to: usize, lanes: usize, f: impl Fn(f32, f32) -> bool) {
    zip(slots, operands, to, lanes, |x, y| if f(f32::from_bits(x), f32::from_bits(y)) { u32::MAX } else { 0 });
}

#[inline(always)]
fn map(slots: &mut Slots, x: usize, to: usize, lanes: usize, f: impl Fn(u32) -> u32) {
    let x = slots.0[x].as_ptr();
    let to = &mut slots.0[to][..lanes];
    for (i, to) in to.iter_mut().enumerate() {
        // SAFETY: `i` is a lane, and no step is computed where its operand lies (`Program::new` frees slots after it has taken one).
        *to = f(unsafe { *x.add(i) });
    }
}

#[inline(always)]
fn zip(slots: &mut Slots, [x, y]: [usize; 2], to: usize, lanes: usize, f: impl Fn(u32, u32) -> u32) {
    let (x, y) = (slots.0[x].as_ptr(), slots.0[y].as_ptr());
    let to = &mut slots.0[to][..lanes];
    for (i, to) in to.iter_mut().enumerate() {
        // SAFETY: as above.
        *to = unsafe { f(*x.add(i), *y.add(i)) };
    }
}

/// Copies `count` elements from memory to values.
///
/// # Safety
/// They are there to be read.
#[inline(always)]
unsafe fn load(element: Element, from: *const u8, to: &mut [u32], count: usize) {
    // SAFETY: the caller's promise; slices are as long as is said.
    unsafe {
        match element {
            Element::Word => words(from.cast(), to[..count].as_mut_ptr(), count),
            Element::U8 => {
                let from = core::slice::from_raw_parts(from, count);
                to[..count].iter_mut().zip(from).for_each(|(to, &from)| *to = from.into());
            }
            Element::I8 => {
                let from = core::slice::from_raw_parts(from.cast::<i8>(), count);
                to[..count].iter_mut().zip(from).for_each(|(to, &from)| *to = i32::from(from) as u32);
            }
        }
    }
}

/// Copies words, with code of its own for the counts that nearly all copies have.
///
/// # Safety
/// As many are there to be read and to be written, apart from each other.
#[inline(always)]
unsafe fn words(from: *const u32, to: *mut u32, count: usize) {
    // SAFETY: the caller's promise; arrays are read and written as bytes may lie.
    unsafe {
        match count {
            16 => to.cast::<[u32; 16]>().write_unaligned(from.cast::<[u32; 16]>().read_unaligned()),
            32 => to.cast::<[u32; 32]>().write_unaligned(from.cast::<[u32; 32]>().read_unaligned()),
            LANES => to.cast::<[u32; LANES]>().write_unaligned(from.cast::<[u32; LANES]>().read_unaligned()),
            _ => core::ptr::copy_nonoverlapping(from.cast::<u8>(), to.cast::<u8>(), count * 4),
        }
    }
}

/// One element of memory in so many values.
///
/// # Safety
/// It is there to be read.
#[inline(always)]
unsafe fn spread(element: Element, from: *const u8, to: &mut [u32]) {
    let mut one = [0];
    // SAFETY: the caller's promise.
    unsafe { load(element, from, &mut one, 1) };
    to.fill(one[0]);
}

/// Copies `values` to memory.
///
/// # Safety
/// As many elements are there to be written.
#[inline(always)]
unsafe fn store(element: Element, values: &[u32], to: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe {
        match element {
            Element::Word => words(values.as_ptr(), to.cast(), values.len()),
            Element::U8 | Element::I8 => {
                let to = core::slice::from_raw_parts_mut(to, values.len());
                to.iter_mut().zip(values).for_each(|(to, &value)| *to = value as u8);
            }
        }
    }
}
