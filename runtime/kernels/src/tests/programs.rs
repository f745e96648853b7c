//! Vector programs against their steps one value at a time.

use super::{Noise, tiers};
use crate::*;
use proptest::prelude::*;

/// A function of one operand as it is defined.
fn function(function: Function, x: u32) -> u32 {
    let float = f32::from_bits(x);
    let result = match function {
        Function::Neg => -float,
        Function::Abs => float.abs(),
        Function::Sqrt => float.sqrt(),
        Function::RoundEven => float.round_ties_even(),
        Function::Floor => float.floor(),
        Function::Ceil => float.ceil(),
        Function::Trunc => float.trunc(),
        Function::Exp => float.exp(),
        Function::Tanh => float.tanh(),
        Function::ToFloat => x as i32 as f32,
        Function::ToInt => return float as i32 as u32,
        Function::Erf => unreachable!("not among the random steps"),
    };
    result.to_bits()
}

/// A function of two operands as it is defined.
fn operator(operator: Operator, x: u32, y: u32) -> u32 {
    let (a, b) = (f32::from_bits(x), f32::from_bits(y));
    match operator {
        Operator::Add => (a + b).to_bits(),
        Operator::Sub => (a - b).to_bits(),
        Operator::Mul => (a * b).to_bits(),
        Operator::Div => (a / b).to_bits(),
        Operator::Min => {
            if b < a {
                y
            } else {
                x
            }
        }
        Operator::Max => {
            if a < b {
                y
            } else {
                x
            }
        }
        Operator::AddInt => x.wrapping_add(y),
        Operator::SubInt => x.wrapping_sub(y),
        Operator::MulInt => x.wrapping_mul(y),
        Operator::MinInt => (x as i32).min(y as i32) as u32,
        Operator::MaxInt => (x as i32).max(y as i32) as u32,
        Operator::And => x & y,
        Operator::Or => x | y,
        Operator::Equal => {
            if a == b {
                u32::MAX
            } else {
                0
            }
        }
        Operator::Differ => {
            if a != b {
                u32::MAX
            } else {
                0
            }
        }
        Operator::Less => {
            if a < b {
                u32::MAX
            } else {
                0
            }
        }
        Operator::AtMost => {
            if a <= b {
                u32::MAX
            } else {
                0
            }
        }
    }
}

/// Random steps over sources 0 to 2, of which the first is a float and the others integers, and the types of steps: whether each is a float.
fn steps(noise: &mut Noise, count: usize, total: Option<bool>) -> (Vec<Step>, Vec<bool>) {
    let mut steps = vec![Step::Load(0), Step::Load(1), Step::Load(2), Step::Const(0.75_f32.to_bits()), Step::Const(41)];
    let mut floats = vec![true, false, false, true, false];
    if let Some(float) = total {
        steps.push(Step::Total(0));
        floats.push(float);
    }
    while steps.len() < count {
        let pick = |noise: &mut Noise, float: bool| {
            let fit: Vec<usize> = (0..floats.len()).filter(|&n| floats[n] == float).collect();
            fit[noise.next() as usize % fit.len()]
        };
        let (x, y, a, b) = (pick(noise, true), pick(noise, true), pick(noise, false), pick(noise, false));
        let (step, float) = match noise.next() % 16 {
            0 => (Step::Function(Function::Neg, x), true),
            1 => (Step::Function(Function::RoundEven, x), true),
            2 => (Step::Function(Function::Abs, x), true),
            3 => (Step::Function(Function::ToFloat, a), true),
            4 => (Step::Function(Function::ToInt, x), false),
            5 => (Step::Operator(Operator::Add, x, y), true),
            6 => (Step::Operator(Operator::Mul, x, y), true),
            7 => (Step::Operator(Operator::Sub, x, y), true),
            8 => (Step::Operator(Operator::Min, x, y), true),
            9 => (Step::Operator(Operator::Max, x, y), true),
            10 => (Step::Operator(Operator::AddInt, a, b), false),
            11 => (Step::Operator(Operator::MulInt, a, b), false),
            12 if noise.next().is_multiple_of(2) => (Step::Operator([Operator::And, Operator::Or][noise.next() as usize % 2], a, b), false),
            12 => (Step::Operator(Operator::MaxInt, a, b), false),
            13 => (Step::Operator(Operator::MinInt, a, b), false),
            14 if noise.next().is_multiple_of(2) => {
                let compare = [Operator::Equal, Operator::Differ, Operator::Less, Operator::AtMost][noise.next() as usize % 4];
                steps.push(Step::Operator(compare, x, y));
                // A truth value is a number of 32 bits as others are, for steps that take any bits.
                floats.push(false);
                (Step::Select(steps.len() - 1, y, x), true)
            }
            14 => (Step::Requantize(a, b, 1 + noise.next() % 40), false),
            _ => (Step::Function([Function::Floor, Function::Ceil, Function::Trunc][noise.next() as usize % 3], x), true),
        };
        steps.push(step);
        floats.push(float);
    }
    (steps, floats)
}

/// The last step's value, where the sources and the total are these.
fn value(steps: &[Step], sources: [u32; 3], total: u32) -> u32 {
    let mut values: Vec<u32> = Vec::new();
    for step in steps {
        values.push(match *step {
            Step::Total(_) => total,
            Step::Const(bits) => bits,
            Step::Load(source) => sources[source],
            Step::Function(f, x) => function(f, values[x]),
            Step::Operator(f, x, y) => operator(f, values[x], values[y]),
            Step::Select(condition, x, y) => values[if values[condition] != 0 { x } else { y }],
            Step::Requantize(x, y, shift) => requantize(values[x] as i32, values[y] as i32, shift) as u32,
        });
    }
    *values.last().expect("there are steps")
}

/// Equal bits, or both no number.
fn same(a: u32, b: u32, float: bool) -> bool {
    a == b || float && (f32::from_bits(a).is_nan() && f32::from_bits(b).is_nan())
}

fn check_epilogue(seed: u64, count: usize, rows: usize, cols: usize, float: bool, bytes: bool) -> Result<(), TestCaseError> {
    let mut noise = Noise(seed);
    let (steps, floats) = steps(&mut noise, count, Some(float));
    let is_float = floats[steps.len() - 1];
    let (pixel, channel, channels, pixels) = (3, 16, cols + 20, rows + 5);
    let sums: Vec<u32> = if float {
        noise.floats(rows * cols).iter().map(|x| (x * 50.0).to_bits()).collect()
    } else {
        noise.ints(rows * cols, 100_000).iter().map(|&x| x as u32).collect()
    };
    let of_pixels = noise.floats(pixels * channels);
    let of_channels: Vec<u32> = noise.ints(channels, 1000).iter().map(|&x| x as u32).collect();
    let each = noise.bytes(pixels);
    for kernels in tiers() {
        let sources = vec![
            EpilogueSource::Pixel(Element::Word, of_pixels.as_ptr().cast(), channels),
            EpilogueSource::Channel(of_channels.clone()),
            EpilogueSource::Each(Element::I8, each.as_ptr(), 1),
        ];
        let element = if bytes && !is_float { Element::U8 } else { Element::Word };
        let mut out = vec![0xa5_u8; pixels * channels * 4];
        let to = (element, out.as_mut_ptr(), channels);
        let Some(program) = EpilogueProgram::new(&steps, sources, channels, to) else { continue };
        let mut raw = sums.clone();
        // SAFETY: all buffers have as many elements as pixels and channels ask for.
        unsafe { kernels.run_program(&program, &Raw { at: raw.as_mut_ptr().cast(), stride: cols, pixel, rows, channel, cols }) };
        for (at, &sum) in sums.iter().enumerate() {
            let (m, c) = (pixel + at / cols, channel + at % cols);
            let want = value(&steps, [of_pixels[m * channels + c].to_bits(), of_channels[c], each[m] as i8 as i32 as u32], sum);
            let place = m * channels + c;
            let good = match element {
                Element::Word => same(u32::from_le_bytes(out[place * 4..][..4].try_into().expect("four bytes")), want, is_float),
                _ => out[place] == want as u8,
            };
            prop_assert!(good, "{}: pixel {m} channel {c} of {steps:?}", kernels.isa());
        }
        // Neighbours are left as they were.
        let written = if element == Element::Word { 4 } else { 1 };
        prop_assert!(out[..(pixel * channels + channel) * written].iter().all(|&byte| byte == 0xa5), "{}", kernels.isa());
    }
    Ok(())
}

fn check_rows(seed: u64, count: usize, outer: usize, inner: usize, length: usize) -> Result<(), TestCaseError> {
    let mut noise = Noise(seed);
    let (mut steps, floats) = steps(&mut noise, count, Some(true));
    let is_float = floats[steps.len() - 1];
    // The sum of the floats less the total of another reduction, their greatest.
    let (sum, result) = (steps.len() + 1, steps.len() - 1);
    steps.extend([Step::Total(1), Step::Operator(Operator::Sub, 0, 5)]);
    let greatest = steps.iter().position(|step| *step == Step::Load(0)).expect("there is a float");
    let rows = outer * inner;
    let floats = noise.floats(rows * length);
    let ints = noise.ints(inner, 1000);
    let bytes = noise.bytes(rows * length);
    for kernels in tiers() {
        let mut out = vec![0_u32; rows * length];
        let place = |element, at: *const u8, steps: [usize; 2], along| RowPlace {
            element,
            at: at.cast_mut(),
            steps: steps.map(|step| step as isize).to_vec(),
            along,
        };
        let dense = [inner * length, length];
        let sources = vec![
            place(Element::Word, floats.as_ptr().cast(), dense, true),
            place(Element::Word, ints.as_ptr().cast(), [0, 1], false),
            place(Element::U8, bytes.as_ptr(), dense, true),
        ];
        let stores = vec![(place(Element::Word, out.as_mut_ptr().cast_const().cast(), dense, true), result)];
        let folds = [(RowFold::Max, greatest), (RowFold::Sum, sum)];
        let Some(program) = RowsProgram::new((vec![outer, inner], length), &steps, sources, &folds, stores) else { continue };
        prop_assert_eq!(program.rows(), rows);
        // SAFETY: all buffers have as many elements as rows ask for.
        unsafe {
            kernels.run_rows(&program, 0..rows / 2);
            kernels.run_rows(&program, rows / 2..rows);
        }
        for (at, &got) in out.iter().enumerate() {
            let row = at / length;
            let greatest = floats[row * length..][..length].iter().fold(f32::NEG_INFINITY, |x, &y| x.max(y));
            let sources = [floats[at].to_bits(), ints[row % inner] as u32, u32::from(bytes[at])];
            let want = value(&steps[..=result], sources, greatest.to_bits());
            prop_assert!(same(got, want, is_float), "{}: {at} of {steps:?}", kernels.isa());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn epilogues(seed: u64, count in 7_usize..40, rows in 1_usize..9, cols in 1_usize..150, float: bool, bytes: bool) {
        check_epilogue(seed, count, rows, cols, float, bytes)?;
    }

    #[test]
    fn rows(seed: u64, count in 7_usize..30, outer in 1_usize..4, inner in 1_usize..5, length in 1_usize..400) {
        check_rows(seed, count, outer, inner, length)?;
    }
}

/// One number a row, of each kind of reduction.
#[test]
fn reductions_of_rows() {
    for (length, nan) in [(1, None), (31, Some(30)), (128, Some(0)), (1000, None), (1000, Some(700))] {
        let mut floats = Noise(2).floats(2 * length);
        if let Some(nan) = nan {
            floats[nan] = f32::NAN;
        }
        let ints: Vec<i32> = floats.iter().map(|x| (x * 1e9) as i32).collect();
        for kernels in tiers() {
            let folds = [RowFold::Sum, RowFold::Max, RowFold::Min, RowFold::Greatest, RowFold::Least, RowFold::SumInt];
            let mut out = vec![0_u32; 2 * folds.len()];
            let line = |at: *mut u8, along: bool, step: usize| RowPlace { element: Element::Word, at, steps: vec![step as isize], along };
            let mut steps = vec![Step::Load(0), Step::Load(1)];
            steps.extend((0..folds.len()).map(Step::Total));
            let read = |at: *const u8| line(at.cast_mut(), true, length);
            let sources = vec![read(floats.as_ptr().cast()), read(ints.as_ptr().cast())];
            let reductions = folds.map(|fold| (fold, usize::from(fold == RowFold::SumInt)));
            let to = out.as_mut_ptr();
            let stores = (0..folds.len()).map(|n| (line(to.wrapping_add(2 * n).cast(), false, 1), 2 + n)).collect();
            let program = RowsProgram::new((vec![2], length), &steps, sources, &reductions, stores).expect("a small program");
            // SAFETY: two rows of each input, two results of each reduction.
            unsafe { kernels.run_rows(&program, 0..2) };
            for row in 0..2 {
                let values = &floats[row * length..][..length];
                let has_nan = values.iter().any(|x| x.is_nan());
                let got = |n: usize| f32::from_bits(out[2 * n + row]);
                let sum: f64 = values.iter().map(|&x| f64::from(x)).sum();
                let (most, least) = values.iter().fold((f32::NEG_INFINITY, f32::INFINITY), |(most, least), &x| (most.max(x), least.min(x)));
                assert!(if has_nan { got(0).is_nan() } else { (f64::from(got(0)) - sum).abs() < 1e-3 }, "{}", kernels.isa());
                assert_eq!((got(1), got(2)), (most, least), "{}: a NaN is passed over", kernels.isa());
                assert!(if has_nan { got(3).is_nan() && got(4).is_nan() } else { (got(3), got(4)) == (most, least) }, "{}", kernels.isa());
                let total = ints[row * length..][..length].iter().fold(0_i32, |sum, &x| sum.wrapping_add(x));
                assert_eq!(out[10 + row] as i32, total, "{}", kernels.isa());
            }
        }
    }
}

#[test]
fn unsound_programs_are_refused() {
    let new = |steps: &[Step], sources| EpilogueProgram::new(steps, sources, 4, (Element::Word, core::ptr::null_mut(), 4)).is_some();
    assert!(new(&[Step::Total(0)], Vec::new()));
    assert!(!new(&[], Vec::new()), "nothing to store");
    assert!(!new(&[Step::Function(Function::Neg, 0)], Vec::new()), "a step of itself");
    assert!(!new(&[Step::Total(1)], Vec::new()), "a total that is not there");
    assert!(!new(&[Step::Load(0)], Vec::new()), "a source that is not there");
    assert!(!new(&[Step::Load(0)], vec![EpilogueSource::Channel(vec![1; 3])]), "a channel without value");
    // Each of a hundred values is needed until the end.
    let mut steps: Vec<Step> = (0..100).map(|_| Step::Total(0)).collect();
    for n in 0..99 {
        let sum = if n == 0 { 0 } else { 99 + n };
        steps.push(Step::Operator(Operator::Add, sum, n + 1));
    }
    assert!(!new(&steps, Vec::new()), "more values at a time than there is room for");
    let place = |along| RowPlace { element: Element::Word, at: core::ptr::null_mut(), steps: vec![0], along };
    let rows = |stores| RowsProgram::new((vec![2], 40), &[Step::Load(0)], vec![place(true)], &[], stores).is_some();
    assert!(rows(vec![(place(true), 0)]));
    assert!(!rows(vec![(place(false), 0)]), "one result of many elements");
    assert!(!rows(vec![(place(true), 1)]), "a step that is not there");
}
