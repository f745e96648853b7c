//! Epilogues that are no plain clamp, as short programs over blocks of sums: each step computes a hundred or so values at once, so that choosing it costs next to nothing
//! and its loop runs over the widest vectors.

use crate::finish::Raw;

/// Values that a step computes.
const WIDTH: usize = 128;

/// Columns of the blocks that contractions hand over; as many pixels as fit are taken together.
const COLUMNS: usize = 32;

/// The greatest number of steps.
pub const MAX_STEPS: usize = 24;

/// A function of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// Negation.
    Neg,
    /// Absolute value.
    Abs,
    /// Square root.
    Sqrt,
    /// `e^x`.
    Exp,
    /// The error function.
    Erf,
    /// The hyperbolic tangent.
    Tanh,
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
}

/// One step. Operands are the numbers of earlier steps.
#[derive(Clone, Debug, PartialEq)]
pub enum ProgramStep {
    /// The contraction's sum.
    Total,
    /// The same everywhere.
    Const(f32),
    /// One value a channel.
    Channel(Vec<f32>),
    /// An element of a buffer by pixel and channel: that of pixel 0 and channel 0, and elements from pixel to pixel.
    Pixel(*const f32, usize),
    /// A function of a step.
    Function(Function, usize),
    /// A function of two steps.
    Operator(Operator, usize, usize),
}

/// A program whose last step is stored.
#[derive(Clone, Debug)]
pub struct EpilogueProgram {
    steps: Vec<ProgramStep>,
    out: *mut f32,
    out_pixel: usize,
}

/// A part of a block: some pixels by some channels.
#[derive(Clone, Copy)]
struct Part {
    /// The first sum.
    sums: *const f32,
    /// Sums from one pixel to the next.
    stride: usize,
    pixel: usize,
    rows: usize,
    channel: usize,
    cols: usize,
    /// Values of a step from one pixel to the next.
    width: usize,
}

impl EpilogueProgram {
    /// A program for `channels` channels that stores to `out` (of pixel 0, channel 0), pixels `out_pixel` elements apart. `None` where a step names a later one, where
    /// a channel lacks its value, or where there are more than [`MAX_STEPS`] steps or none.
    pub fn new(steps: Vec<ProgramStep>, channels: usize, out: *mut f32, out_pixel: usize) -> Option<EpilogueProgram> {
        let sound = |(n, step): (usize, &ProgramStep)| match step {
            ProgramStep::Total | ProgramStep::Const(_) | ProgramStep::Pixel(..) => true,
            ProgramStep::Channel(values) => values.len() == channels,
            ProgramStep::Function(_, x) => *x < n,
            ProgramStep::Operator(_, x, y) => x.max(y) < &n,
        };
        let fits = (1..=MAX_STEPS).contains(&steps.len()) && steps.iter().enumerate().all(sound);
        fits.then_some(EpilogueProgram { steps, out, out_pixel })
    }
}

/// Runs a program over a block of sums.
///
/// # Safety
/// The sums are `f32`; what the program reads and stores is there for the block's pixels and channels, and no one else stores it.
#[inline(always)]
pub(crate) unsafe fn run(program: &EpilogueProgram, raw: &Raw) {
    let mut values = [[0.0_f32; WIDTH]; MAX_STEPS];
    let narrow = raw.cols <= COLUMNS;
    let (rows, width) = if narrow { (WIDTH / COLUMNS, COLUMNS) } else { (1, WIDTH) };
    for row in (0..raw.rows).step_by(rows) {
        for col in (0..raw.cols).step_by(width) {
            let part = Part {
                sums: raw.at.cast::<f32>().wrapping_add(row * raw.stride + col),
                stride: raw.stride,
                pixel: raw.pixel + row,
                rows: rows.min(raw.rows - row),
                channel: raw.channel + col,
                cols: width.min(raw.cols - col),
                width,
            };
            // SAFETY: the caller's promise, of a part of the block.
            unsafe {
                for n in 0..program.steps.len() {
                    let (before, from) = values.split_at_mut(n);
                    step(&program.steps[n], &part, before, &mut from[0]);
                }
                let result = &values[program.steps.len() - 1];
                for row in 0..part.rows {
                    let to = program.out.add((part.pixel + row) * program.out_pixel + part.channel);
                    core::ptr::copy_nonoverlapping(result.as_ptr().add(row * part.width), to, part.cols);
                }
            }
        }
    }
}

/// Computes one step; values past the part's rows and columns are of no meaning.
#[inline(always)]
unsafe fn step(step: &ProgramStep, part: &Part, before: &[[f32; WIDTH]], to: &mut [f32; WIDTH]) {
    match step {
        // SAFETY: the caller's promise.
        ProgramStep::Total => unsafe { load(part, part.sums, part.stride, to) },
        ProgramStep::Const(value) => to.fill(*value),
        // SAFETY: a value a channel, and each pixel's are the same.
        ProgramStep::Channel(values) => unsafe { load(part, values.as_ptr().add(part.channel), 0, to) },
        ProgramStep::Pixel(at, pixel) => {
            // SAFETY: the caller's promise.
            unsafe { load(part, at.add(part.pixel * pixel + part.channel), *pixel, to) }
        }
        ProgramStep::Function(function, x) => {
            let x = &before[*x];
            match function {
                Function::Neg => map(x, to, |x| -x),
                Function::Abs => map(x, to, f32::abs),
                Function::Sqrt => map(x, to, f32::sqrt),
                Function::Exp => map(x, to, exp),
                Function::Erf => map(x, to, erf),
                Function::Tanh => map(x, to, tanh),
            }
        }
        ProgramStep::Operator(operator, x, y) => {
            let (x, y) = (&before[*x], &before[*y]);
            match operator {
                Operator::Add => zip(x, y, to, |x, y| x + y),
                Operator::Sub => zip(x, y, to, |x, y| x - y),
                Operator::Mul => zip(x, y, to, |x, y| x * y),
                Operator::Div => zip(x, y, to, |x, y| x / y),
                Operator::Min => zip(x, y, to, |x, y| if y < x { y } else { x }),
                Operator::Max => zip(x, y, to, |x, y| if x < y { y } else { x }),
            }
        }
    }
}

#[inline(always)]
unsafe fn load(part: &Part, from: *const f32, stride: usize, to: &mut [f32; WIDTH]) {
    for row in 0..part.rows {
        // SAFETY: the caller's promise; a row has `width` places and `cols` is no more.
        unsafe { core::ptr::copy_nonoverlapping(from.add(row * stride), to.as_mut_ptr().add(row * part.width), part.cols) }
    }
}

#[inline(always)]
fn map(x: &[f32; WIDTH], to: &mut [f32; WIDTH], f: impl Fn(f32) -> f32) {
    for i in 0..WIDTH {
        to[i] = f(x[i]);
    }
}

#[inline(always)]
fn zip(x: &[f32; WIDTH], y: &[f32; WIDTH], to: &mut [f32; WIDTH], f: impl Fn(f32, f32) -> f32) {
    for i in 0..WIDTH {
        to[i] = f(x[i], y[i]);
    }
}

/// `e^x`: `2^n * p(r)` with `x = n ln 2 + r`, within two units in the last place of normal results.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding it rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // Comparisons that a NaN passes unchanged.
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let shifted = x * core::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, the first short enough for the product to be exact.
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let mut p = 1.0 / 5040.0;
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p * r + c;
    }
    // 2^n in two factors, so that results near both ends of the range come out.
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = n >> 1;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
    p * power(half) * power(n.wrapping_sub(half))
}

/// Coefficients of the numerator of the rational fit of `erf(x) / x` over `x^2`, the highest power first: the one that XLA and Eigen use.
pub const ERF_NUMERATOR: [f32; 7] =
    [-2.726_142_3e-10, 2.770_681_4e-8, -2.101_024e-6, -5.692_506_4e-5, -7.349_906e-4, -2.954_6e-3, -1.609_603_3e-2];

/// Likewise of the denominator.
pub const ERF_DENOMINATOR: [f32; 5] = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_474e-2];

/// The error function: `x * P(x^2) / Q(x^2)` on `-4..=4`, where it reaches 1 in `f32`; its error is below 4.2e-7, absolute and relative.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let x = if x < -4.0 { -4.0 } else { x };
    let x = if x > 4.0 { 4.0 } else { x };
    let s = x * x;
    let [p, q] = [&ERF_NUMERATOR[..], &ERF_DENOMINATOR[..]];
    let mut numerator = p[0];
    for i in 1..ERF_NUMERATOR.len() {
        numerator = numerator * s + p[i];
    }
    let mut denominator = q[0];
    for i in 1..ERF_DENOMINATOR.len() {
        denominator = denominator * s + q[i];
    }
    x * numerator / denominator
}

/// Coefficients of `tanh(x) / x` over `x^2` where that is below [`TANH_NEAR`], the lowest power first.
pub const TANH: [f32; 6] = [1.0, -0.333_332_53, 0.133_309_57, -0.053_707_07, 0.020_544_905, -0.005_607_689];

/// Squares below which [`TANH`] is used: beyond, `1 - 2 / (e^2|x| + 1)` cancels nothing.
pub const TANH_NEAR: f32 = 0.4;

/// The hyperbolic tangent, within 3e-7 of its value.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    let s = x * x;
    let mut near = TANH[TANH.len() - 1];
    for i in (0..TANH.len() - 1).rev() {
        near = near * s + TANH[i];
    }
    let far = 1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0);
    if s < TANH_NEAR { near * x } else { f32::from_bits(far.to_bits() | x.to_bits() & 0x8000_0000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_close_everywhere() {
        for i in -1030..=880 {
            let x = i as f32 / 10.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() <= 3e-7 * exact + 1.5e-45, "{x}");
        }
        assert_eq!((exp(0.0), exp(f32::NEG_INFINITY), exp(f32::INFINITY)), (1.0, 0.0, f32::INFINITY));
        assert!(exp(f32::NAN).is_nan() && erf(f32::NAN).is_nan());
        assert!((erf(30.0) - 1.0).abs() < 1e-6 && (erf(-0.5) + 0.520_499_9).abs() < 5e-7);
    }

    #[test]
    fn the_hyperbolic_tangent_is_close_everywhere() {
        for i in -20_000..=20_000 {
            let x = i as f32 / 1000.0 + 0.000_37;
            let exact = f64::from(x).tanh();
            assert!((f64::from(tanh(x)) - exact).abs() <= 3e-7 * exact.abs(), "{x}: {} for {exact}", tanh(x));
        }
        assert_eq!((tanh(f32::INFINITY), tanh(f32::NEG_INFINITY), tanh(1e-30)), (1.0, -1.0, 1e-30));
        assert!(tanh(f32::NAN).is_nan() && tanh(-0.0).to_bits() == (-0.0_f32).to_bits());
    }

    #[test]
    fn unsound_programs_are_refused() {
        let new = |steps| EpilogueProgram::new(steps, 4, core::ptr::null_mut(), 4).is_some();
        assert!(new(vec![ProgramStep::Total]));
        assert!(!new(Vec::new()));
        assert!(!new(vec![ProgramStep::Function(Function::Neg, 0)]));
        assert!(!new(vec![ProgramStep::Channel(vec![1.0; 3])]));
        assert!(!new(vec![ProgramStep::Total; MAX_STEPS + 1]));
    }
}
