//! `ImageResize` and `ImageSize`.

use crate::infer::{Inferred, expect_dtype};
use crate::ir::Type;
use crate::op::{Filter, Fit};
use crate::shape::Dim;
use crate::tensor::Tensor;
use mlp_bundle::DType;

fn expect_photo(x: &Type) -> Result<(), String> {
    expect_dtype("the photo", x, &[DType::U8])?;
    if x.shape.rank() != 3 || x.shape.0[2] != Dim::Const(4) {
        return Err(format!("the photo must be u8[height, width, 4], but is {x}"));
    }
    if x.shape.0[..2].contains(&Dim::Const(0)) {
        return Err("an image needs at least one pixel".into());
    }
    Ok(())
}

pub(crate) fn infer(height: u64, width: u64, x: &Type) -> Inferred {
    expect_photo(x)?;
    if height == 0 || width == 0 {
        return Err("an image needs at least one pixel".into());
    }
    Ok(Type::fixed(DType::F32, &[height, width, 3]))
}

pub(crate) fn infer_size(x: &Type) -> Inferred {
    expect_photo(x)?;
    Ok(Type::fixed(DType::I32, &[2]))
}

pub(crate) fn eval_size(x: &Tensor) -> Tensor {
    Tensor::from_values(&[2], &[x.shape()[0] as i32, x.shape()[1] as i32]).expect("two sizes")
}

/// What is made of one axis of a photo.
struct Axis {
    /// Source elements.
    size: i64,
    /// The first of those that are fitted to the result; negative where the result reaches beyond the photo.
    start: i64,
    /// How many.
    count: i64,
    /// Elements of the result.
    made: i64,
}

/// An axis of `size` elements that becomes one of `made`, beside one of `other` elements that becomes `other_made`.
fn fitted([size, other]: [u64; 2], [made, other_made]: [u64; 2], fit: Fit) -> Axis {
    let shaped = other * made / other_made;
    let count = match fit {
        Fit::Stretch => size,
        Fit::CropCenter => size.min(shaped).max(1),
        Fit::Letterbox => size.max(shaped),
    };
    let [size, count, made] = [size, count, made].map(|number| number as i64);
    Axis { size, start: if count > size { -((count - size) / 2) } else { (size - count) / 2 }, count, made }
}

impl Filter {
    /// How far it reaches, in steps of the result where the photo shrinks, and of the photo where it grows; 0 for the nearest element alone.
    pub fn reach(self) -> u64 {
        match self {
            Filter::Nearest => 0,
            Filter::Triangle => 1,
            Filter::Cubic => 2,
            Filter::Lanczos => 3,
        }
    }

    /// The weight at a distance.
    fn weight(self, x: f64) -> f64 {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) };
        match self {
            Filter::Nearest => 1.0,
            Filter::Triangle => (1.0 - x).max(0.0),
            Filter::Cubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Filter::Cubic if x < 2.0 => -0.5 * (((x - 5.0) * x + 8.0) * x - 4.0),
            Filter::Lanczos if x < 3.0 => sinc(x) * sinc(x / 3.0),
            Filter::Cubic | Filter::Lanczos => 0.0,
        }
    }
}

/// The first source position and the weights of each element of the result; no weights where its centre lies outside the photo.
fn weights(axis: &Axis, filter: Filter) -> Vec<(usize, Vec<f64>)> {
    let Axis { size, start, count, made } = *axis;
    // In units of 1 / (2 * made) of a source element.
    let unit = 2 * count.max(made);
    let reach = filter.reach() as i64 * unit;
    let one = |index: i64| {
        let centre = 2 * start * made + (2 * index + 1) * count;
        let nearest = centre.div_euclid(2 * made);
        if !(0..size).contains(&nearest) {
            return (0, Vec::new());
        }
        if filter == Filter::Nearest {
            return (nearest as usize, vec![1.0]);
        }
        let first = (centre - reach + made).max(0) / (2 * made);
        let end = ((centre + reach + made - 1) / (2 * made)).min(size);
        let raw: Vec<f64> = (first..end).map(|at| filter.weight(((2 * at + 1) * made - centre).abs() as f64 / unit as f64)).collect();
        let sum: f64 = raw.iter().sum();
        (first as usize, raw.into_iter().map(|weight| weight / sum).collect())
    };
    (0..made).map(one).collect()
}

/// The weights that make `made` elements of `size` ones with a filter, as a matrix `[made, size]`: the whole axis stretched as `ImageResize` stretches it.
pub fn resampling(size: u64, made: u64, filter: Filter) -> Vec<f32> {
    let mut matrix = vec![0.0; (made * size) as usize];
    let rows = weights(&fitted([size, size], [made, made], Fit::Stretch), filter);
    for (row, (first, weights)) in matrix.chunks_exact_mut(size as usize).zip(rows) {
        row[first..first + weights.len()].iter_mut().zip(weights).for_each(|(to, weight)| *to = weight as f32);
    }
    matrix
}

pub(crate) fn eval(height: u64, width: u64, fit: Fit, filter: Filter, fill: f32, x: &Tensor) -> Tensor {
    let (rows, columns) = (x.shape()[0], x.shape()[1]);
    let across = weights(&fitted([columns, rows], [width, height], fit), filter);
    let down = weights(&fitted([rows, columns], [height, width], fit), filter);
    let pixels = x.bytes();
    let mut narrow = Vec::with_capacity((rows * width * 3) as usize);
    for row in 0..rows as usize {
        for (first, weights) in &across {
            for channel in 0..3 {
                let pixel = |offset: usize| f64::from(pixels[(row * columns as usize + first + offset) * 4 + channel]);
                narrow.push(weights.iter().enumerate().map(|(offset, &weight)| weight * pixel(offset)).sum::<f64>());
            }
        }
    }
    let line = width as usize * 3;
    let overshoots = matches!(filter, Filter::Cubic | Filter::Lanczos);
    let mut result = Vec::with_capacity(height as usize * line);
    for (first, weights) in down {
        for at in 0..line {
            if weights.is_empty() || across[at / 3].1.is_empty() {
                result.push(fill);
                continue;
            }
            let value = |offset: usize| narrow[(first + offset) * line + at];
            let sum = weights.iter().enumerate().map(|(offset, &weight)| weight * value(offset)).sum::<f64>() as f32;
            result.push(if overshoots { sum.clamp(0.0, 255.0) } else { sum });
        }
    }
    Tensor::from_f32(&[height, width, 3], &result).expect("three values a pixel")
}
