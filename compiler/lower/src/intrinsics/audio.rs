//! Sound: pieces, spectra, bands and rates.

use super::tables::{self, Bands, Steps};
use super::{Append, Found, Make, number, tensor, whole, word};
use crate::body::Lowered;
use mlp_analysis::Intrinsic;
use mlp_graph::op::BinaryOp;
use mlp_graph::{DType, Dim, Op, Tensor, Type, ValueId};

/// Up to this size a transform is one product: its matrix is small, and one product is the least work to start.
const MAX_DIRECT: u64 = 512;
/// The greatest size of a transform.
const MAX_TRANSFORM: u64 = 1 << 16;
/// The most numbers of a table.
const MAX_TABLE: u64 = 1 << 23;
/// The most parts that pieces are put together from.
const MAX_PARTS: u64 = 64;

/// The most samples of a sound: an hour at 16 kHz.
const MAX_SAMPLES: u64 = 1 << 26;

pub(super) fn lower(make: &mut Make<'_>, intrinsic: Intrinsic, args: &[Lowered]) -> Found {
    if let (Intrinsic::Samples, [Lowered::Sound(sound), count]) = (intrinsic, args) {
        let count = number(count)?;
        return tensor(whole("count", count).and_then(|count| samples(make, *sound, count)));
    }
    let Some(Lowered::Tensor(x)) = args.first() else { return None };
    let x = *x;
    match (intrinsic, &args[1..]) {
        (Intrinsic::Frames, [length, hop]) => {
            let (length, hop) = (number(length)?, number(hop)?);
            tensor(steps(length, hop).and_then(|[length, hop]| frames(make, x, length, hop)))
        }
        (Intrinsic::Spectrum, [size, hop]) => {
            let (size, hop) = (number(size)?, number(hop)?);
            tensor(steps(size, hop).and_then(|[size, hop]| spectrum(make, x, size, hop)))
        }
        (Intrinsic::Stft, [size, hop, padding]) => {
            let (size, hop, reflects) = (number(size)?, number(hop)?, word(padding)? == "reflect");
            tensor(steps(size, hop).and_then(|[size, hop]| stft(make, x, size, hop, reflects)))
        }
        (Intrinsic::Mel, [rate, mels, low, high, scale]) => {
            let (rate, mels, is_htk) = (number(rate)?, number(mels)?, word(scale)? == "htk");
            let (low, high) = (number(low)?, number(high)?);
            let high = if high == 0.0 { rate / 2.0 } else { high };
            tensor(mel(make, x, mels, &Bands { rate, low, high, is_htk }))
        }
        (Intrinsic::Dct, [count]) => {
            let count = number(count)?;
            tensor(whole("count", count).and_then(|count| dct(make, x, count)))
        }
        (Intrinsic::Resample, [up, down]) => {
            let (up, down) = (number(up)?, number(down)?);
            tensor(steps(up, down).and_then(|[up, down]| resample(make, x, up, down)))
        }
        _ => None,
    }
}

/// Two whole numbers from 1.
fn steps(first: f64, second: f64) -> Result<[u64; 2], String> {
    let one = |value: f64| match whole("this", value) {
        Ok(value) if value > 0 => Ok(value),
        _ => Err(format!("{value} is no number of samples; write a whole number from 1")),
    };
    Ok([one(first)?, one(second)?])
}

/// The first samples of a sound, which as an input is as long as the longest part that is asked for: who gives it adds silence, or leaves out the rest.
fn samples(make: &mut Make<'_>, sound: ValueId, count: u64) -> Result<ValueId, String> {
    if count == 0 || count > MAX_SAMPLES {
        return Err(format!("`count` is {count}; write a number from 1 to {MAX_SAMPLES}"));
    }
    let known = make.size(sound, 0)?;
    if known < count {
        make.graph.values[sound].ty = Type::fixed(DType::F32, &[count]);
    }
    make.slice(sound, 0, 0, count)
}

/// `[frames, length]`: rows of `hop` samples beside the rows after them.
fn frames(make: &mut Make<'_>, x: ValueId, length: u64, hop: u64) -> Result<ValueId, String> {
    let samples = make.size(x, 0)?;
    if samples < length {
        return Err(format!("there are {samples} samples, fewer than a piece of {length}; give more, or write a shorter piece"));
    }
    // A hop over all samples leaves one piece, however long it is.
    let hop = hop.min(samples);
    let count = (samples - length) / hop + 1;
    let parts = length.div_ceil(hop);
    if parts > MAX_PARTS {
        return gathered(make, x, count, length, hop);
    }
    let rows = count - 1 + parts;
    let x = fitted(make, x, rows * hop)?;
    let x = make.reshape(x, vec![Dim::Const(rows), Dim::Const(hop)])?;
    let parts = (0..parts).map(|part| make.slice(x, 0, part, count)).collect::<Result<Vec<ValueId>, String>>()?;
    let joined = if let [only] = parts[..] { only } else { make.concat(1, &parts)? };
    make.slice(joined, 1, 0, length)
}

/// Pieces by a table of positions: many that overlap a lot.
fn gathered(make: &mut Make<'_>, x: ValueId, count: u64, length: u64, hop: u64) -> Result<ValueId, String> {
    fits(count.saturating_mul(length))?;
    let positions: Vec<i32> = (0..count).flat_map(|piece| (0..length).map(move |at| (piece * hop + at) as i32)).collect();
    let positions = Tensor::from_values(&[count, length], &positions).map_err(|error| error.to_string())?;
    let positions = make.graph.constant(positions, make.origin.clone());
    make.op(Op::Gather { axis: 0 }, &[x, positions])
}

fn fits(numbers: u64) -> Result<(), String> {
    if numbers > MAX_TABLE {
        return Err(format!("this takes a table of {numbers} numbers, more than {MAX_TABLE}; write smaller sizes"));
    }
    Ok(())
}

/// The first `size` samples, with zeros after them where there are fewer.
fn fitted(make: &mut Make<'_>, x: ValueId, size: u64) -> Result<ValueId, String> {
    let samples = make.size(x, 0)?;
    if samples >= size { make.slice(x, 0, 0, size) } else { padded(make, x, 0, size - samples) }
}

fn padded(make: &mut Make<'_>, x: ValueId, before: u64, after: u64) -> Result<ValueId, String> {
    if before == 0 && after == 0 {
        return Ok(x);
    }
    let silence = make.scalar_like(x, 0.0);
    make.op(Op::Pad { before: vec![before], after: vec![after] }, &[x, silence])
}

/// `[frames, size / 2 + 1, 2]`
fn spectrum(make: &mut Make<'_>, x: ValueId, size: u64, hop: u64) -> Result<ValueId, String> {
    if !(2..=MAX_TRANSFORM).contains(&size) {
        return Err(format!("a transform has 2 to {MAX_TRANSFORM} samples, not {size}"));
    }
    let frames = frames(make, x, size, hop)?;
    let bins = size / 2 + 1;
    let [outer, inner] = tables::factors(size);
    let count = make.size(frames, 0)?;
    if size <= MAX_DIRECT || outer * 8 < inner {
        fits(size * bins * 2)?;
        let matrix = make.floats(&[size, 2 * bins], &tables::fourier(size, bins))?;
        let parts = make.op(Op::MatMul, &[frames, matrix])?;
        return make.reshape(parts, [count, bins, 2].map(Dim::Const).to_vec());
    }
    stepped(make, frames, &Steps::new(size), count, bins)
}

/// The transform in two steps, each a product with a small matrix.
fn stepped(make: &mut Make<'_>, frames: ValueId, steps: &Steps, count: u64, bins: u64) -> Result<ValueId, String> {
    let Steps { outer, inner, kept, .. } = *steps;
    let window: Vec<f32> = tables::hann(outer * inner).into_iter().map(|weight| weight as f32).collect();
    let window = make.floats(&[outer * inner], &window)?;
    let frames = make.binary(BinaryOp::Mul, frames, window)?;
    let frames = make.reshape(frames, [count, outer, inner].map(Dim::Const).to_vec())?;
    let first = make.floats(&[2 * outer, outer], &steps.first)?;
    let both = make.op(Op::MatMul, &[first, frames])?;
    let (real, imaginary) = (make.slice(both, 1, 0, outer)?, make.slice(both, 1, outer, outer)?);
    // (a + bi)(c - si) = (ac + bs) + (bc - as)i
    let [cosine, sine] = [&steps.twiddles[0], &steps.twiddles[1]].map(|table| make.floats(&[outer, inner], table));
    let (cosine, sine) = (cosine?, sine?);
    let mut product = |x, y| make.binary(BinaryOp::Mul, x, y);
    let [ac, bs, bc, as_] = [product(real, cosine)?, product(imaginary, sine)?, product(imaginary, cosine)?, product(real, sine)?];
    let (real, imaginary) = (make.binary(BinaryOp::Add, ac, bs)?, make.binary(BinaryOp::Sub, bc, as_)?);
    let parts = make.concat(2, &[real, imaginary])?;
    let second = make.floats(&[2 * inner, 2 * kept], &steps.second)?;
    let parts = make.op(Op::MatMul, &[parts, second])?;
    let parts = make.reshape(parts, [count, outer, kept, 2].map(Dim::Const).to_vec())?;
    let parts = make.transpose(parts, &[0, 2, 1, 3])?;
    let parts = make.reshape(parts, [count, outer * kept, 2].map(Dim::Const).to_vec())?;
    make.slice(parts, 1, 0, bins)
}

fn stft(make: &mut Make<'_>, x: ValueId, size: u64, hop: u64, reflects: bool) -> Result<ValueId, String> {
    if !size.is_multiple_of(2) {
        return Err(format!("`size` is {size}; write an even number"));
    }
    let (half, samples) = (size / 2, make.size(x, 0)?);
    let x = if reflects {
        if samples <= half {
            return Err(format!("{samples} samples cannot be mirrored over {half}; give more, or write `padding = zeros`"));
        }
        let before = make.walk(x, 0, half as i64, -1, half)?;
        let after = make.walk(x, 0, samples as i64 - 2, -1, half)?;
        make.concat(0, &[before, x, after])?
    } else {
        padded(make, x, half, half)?
    };
    spectrum(make, x, size, hop)
}

fn mel(make: &mut Make<'_>, power: ValueId, mels: f64, bands: &Bands) -> Result<ValueId, String> {
    let (bins, mels) = (make.last(power).and_then(|axis| make.size(power, axis))?, whole("mels", mels)?);
    let Bands { rate, low, high, .. } = *bands;
    if bins < 2 || mels == 0 {
        return Err(format!("{mels} bands of {bins} frequencies are none; write more"));
    }
    if !(0.0 <= low && low < high && high <= rate / 2.0) {
        return Err(format!("bands from {low}Hz to {high}Hz do not lie between 0Hz and half the rate, {}Hz", rate / 2.0));
    }
    fits(bins.saturating_mul(mels))?;
    let filters = make.floats(&[bins, mels], &tables::mel(bins, mels, bands))?;
    make.op(Op::MatMul, &[power, filters])
}

fn dct(make: &mut Make<'_>, values: ValueId, count: u64) -> Result<ValueId, String> {
    let size = make.last(values).and_then(|axis| make.size(values, axis))?;
    if count == 0 || count > size {
        return Err(format!("`count` is {count}; write a number from 1 to {size}"));
    }
    fits(size.saturating_mul(count))?;
    let matrix = make.floats(&[size, count], &tables::cosines(size, count))?;
    make.op(Op::MatMul, &[values, matrix])
}

/// Outputs `q * up + r` read the samples from `q * down` on with the taps of phase `r`: pieces of samples times a matrix of phases.
fn resample(make: &mut Make<'_>, x: ValueId, up: u64, down: u64) -> Result<ValueId, String> {
    let samples = make.size(x, 0)?;
    let made = (samples * up).div_ceil(down);
    let divisor = gcd(up, down);
    let (up, down) = (up / divisor, down / divisor);
    if up == 1 && down == 1 {
        return Ok(x);
    }
    let half = 10 * up.max(down);
    // Sample `q * down + j` has tap `r * down - j * up + half` in output `q * up + r`.
    let before = half / up;
    let length = (up - 1).saturating_mul(down).saturating_add(half) / up + before + 1;
    fits(length.saturating_mul(up))?;
    let taps = tables::low_pass(up, down);
    let weight = |at: u64, phase: u64| {
        let tap = (phase * down + half + before * up) as i64 - (at * up) as i64;
        usize::try_from(tap).ok().and_then(|tap| taps.get(tap)).map_or(0.0, |tap| *tap as f32)
    };
    let phases: Vec<f32> = (0..length).flat_map(|at| (0..up).map(move |phase| (at, phase))).map(|(at, phase)| weight(at, phase)).collect();
    let rounds = made.div_ceil(up);
    let x = padded(make, x, before, 0)?;
    let x = fitted(make, x, (rounds - 1) * down + length)?;
    let pieces = frames(make, x, length, down)?;
    let phases = make.floats(&[length, up], &phases)?;
    let outputs = make.op(Op::MatMul, &[pieces, phases])?;
    let outputs = make.reshape(outputs, vec![Dim::Const(rounds * up)])?;
    let outputs = make.slice(outputs, 0, 0, made)?;
    make.cast(DType::F32, outputs)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
