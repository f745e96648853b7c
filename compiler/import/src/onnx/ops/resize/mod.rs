//! Resampling along axes: each axis on its own, as sums of weighted gathers, as repetitions, or as a product with a matrix.

mod computed;

use super::Row;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use mlp_graph::op::BinaryOp;
use mlp_graph::{DType, Op, Tensor, ValueId};

pub(super) const TABLE: &[Row] = &[("", "Resize", resize), ("", "Upsample", upsample)];

/// Results with more taps than this are products with a matrix.
const MAX_GATHERS: usize = 4;

/// No result may have more elements along an axis.
const MAX_SIZE: f64 = (1u64 << 24) as f64;

/// How positions of the result become positions of the operand.
#[derive(Clone, Copy, PartialEq)]
enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    /// The part of the axis from the first to the second number, as fractions.
    Crop(f64, f64),
}

/// How a value between elements comes about.
#[derive(Clone, Copy)]
enum Filter {
    /// The nearest element, by this rounding.
    Nearest(fn(f64) -> f64),
    Linear,
    /// The parameter of Keys' kernel.
    Cubic(f64),
}

struct Resampling {
    filter: Filter,
    antialias: bool,
    exclude_outside: bool,
    /// The value outside of a crop.
    outside: f64,
}

/// One axis of the operand.
struct Along {
    axis: usize,
    size: u64,
    output: u64,
    scale: f64,
    /// The scale counts as it is, be it given or that of another axis; otherwise it follows from both sizes.
    given: bool,
    coordinates: Coordinates,
}

/// Sizes are scales (an input from operator set 9, an attribute before); positions are divided by them.
fn upsample(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let scales = match node.attributes.floats("scales")? {
        Some(scales) => scales.iter().map(|&scale| f64::from(scale)).collect(),
        None => known_floats(node, node.input(1)?, "the list of scales")?,
    };
    let filter = match node.attributes.string("mode")?.unwrap_or("nearest") {
        "nearest" => Filter::Nearest(f64::floor),
        "linear" | "bilinear" => Filter::Linear,
        other => return unsupported(format!("mode `{other}`; nearest and linear are supported")),
    };
    let along = scaled_axes(&node.dims(x), &(0..scales.len()).collect::<Vec<_>>(), &scales, |_| Ok(Coordinates::Asymmetric))?;
    let how = Resampling { filter, antialias: false, exclude_outside: false, outside: 0.0 };
    Ok(vec![resample(node, x, &along, &how)?])
}

fn resize(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dims = node.dims(x);
    let axes = match node.attributes.ints("axes")? {
        Some(axes) => axes.iter().map(|&axis| node.axis(axis, dims.len())).collect::<Result<Vec<_>, _>>()?,
        None => (0..dims.len()).collect(),
    };
    let how = resampling(node)?;
    let old = node.opset < 11;
    let mode = node.attributes.string("coordinate_transformation_mode")?.unwrap_or(if old { "asymmetric" } else { "half_pixel" });
    let given = |input: usize| node.optional(input).filter(|&value| !node.dims(value).contains(&0));
    let policy = node.attributes.string("keep_aspect_ratio_policy")?.unwrap_or("stretch");
    let crop = match (mode, given(1)) {
        ("tf_crop_and_resize", Some(region)) => known_floats(node, region, "the region of interest")?,
        ("tf_crop_and_resize", None) => return invalid("the region of interest is missing"),
        _ => Vec::new(),
    };
    let count = axes.len();
    let coordinates = |index: usize| match mode {
        "half_pixel" => Ok(Coordinates::HalfPixel),
        "half_pixel_symmetric" => Ok(Coordinates::HalfPixelSymmetric),
        "pytorch_half_pixel" => Ok(Coordinates::PytorchHalfPixel),
        "align_corners" => Ok(Coordinates::AlignCorners),
        "asymmetric" => Ok(Coordinates::Asymmetric),
        "tf_crop_and_resize" if crop.len() == 2 * count => Ok(Coordinates::Crop(crop[index], crop[count + index])),
        "tf_crop_and_resize" => invalid("the region of interest does not have two numbers an axis"),
        other => unsupported(format!("coordinate_transformation_mode `{other}`")),
    };
    let along = match (given(if old { 1 } else { 2 }), given(3)) {
        (Some(scales), _) => {
            let scales = known_floats(node, scales, "the list of scales")?;
            scaled_axes(&dims, &axes, &scales, coordinates)?
        }
        (None, Some(sizes)) => {
            let sizes = node.known_integers(sizes, "the list of sizes")?;
            sized_axes(&dims, &axes, &sizes, policy, coordinates)?
        }
        (None, None) => return invalid("neither scales nor sizes are given"),
    };
    Ok(vec![resample(node, x, &along, &how)?])
}

fn resampling(node: &NodeImport<'_>) -> Result<Resampling, Problem> {
    let cubic = f64::from(node.attributes.float("cubic_coeff_a")?.unwrap_or(-0.75));
    let rounding = node.attributes.string("nearest_mode")?.unwrap_or(if node.opset < 11 { "floor" } else { "round_prefer_floor" });
    let rounding: fn(f64) -> f64 = match rounding {
        "round_prefer_floor" => |x| (x - 0.5).ceil(),
        "round_prefer_ceil" => |x| (x + 0.5).floor(),
        "floor" => f64::floor,
        "ceil" => f64::ceil,
        other => return invalid(format!("nearest_mode is `{other}`")),
    };
    let filter = match node.attributes.string("mode")?.unwrap_or("nearest") {
        "nearest" => Filter::Nearest(rounding),
        "linear" => Filter::Linear,
        "cubic" => Filter::Cubic(cubic),
        other => return invalid(format!("mode is `{other}`")),
    };
    let truth = |name: &str| -> Result<bool, Problem> { Ok(node.attributes.int(name)?.unwrap_or(0) != 0) };
    Ok(Resampling {
        filter,
        antialias: truth("antialias")?,
        exclude_outside: truth("exclude_outside")?,
        outside: f64::from(node.attributes.float("extrapolation_value")?.unwrap_or(0.0)),
    })
}

fn known_floats(node: &NodeImport<'_>, value: ValueId, what: &str) -> Result<Vec<f64>, Problem> {
    match node.builder.known(value) {
        Some(tensor) if tensor.dtype().is_float() => Ok(tensor.to_f64()),
        // What is missing is said as it is for integers.
        _ => node.known_integers(value, what).and_then(|_| invalid(format!("{what} should hold floats"))),
    }
}

fn scaled_axes(
    dims: &[u64],
    axes: &[usize],
    scales: &[f64],
    coordinates: impl Fn(usize) -> Result<Coordinates, Problem>,
) -> Result<Vec<Along>, Problem> {
    if scales.len() != axes.len() || axes.iter().any(|&axis| axis >= dims.len()) {
        return invalid(format!("{} scales are given for {} axes", scales.len(), axes.len()));
    }
    let along = |(index, (&axis, &scale)): (usize, (&usize, &f64))| {
        let output = (dims[axis] as f64 * scale).floor();
        if !(scale > 0.0 && output <= MAX_SIZE) {
            return invalid(format!("the scale of axis {axis} is {scale}"));
        }
        Ok(Along { axis, size: dims[axis], output: output as u64, scale, given: true, coordinates: coordinates(index)? })
    };
    axes.iter().zip(scales).enumerate().map(along).collect()
}

fn sized_axes(
    dims: &[u64],
    axes: &[usize],
    sizes: &[i64],
    policy: &str,
    coordinates: impl Fn(usize) -> Result<Coordinates, Problem>,
) -> Result<Vec<Along>, Problem> {
    if sizes.len() != axes.len() || sizes.iter().any(|&size| size < 0 || size as f64 > MAX_SIZE) {
        return invalid(format!("sizes {sizes:?} are given for {} axes", axes.len()));
    }
    let ratios: Vec<f64> = axes.iter().zip(sizes).map(|(&axis, &size)| size as f64 / dims[axis].max(1) as f64).collect();
    let common = match policy {
        "stretch" => None,
        "not_larger" => Some(ratios.iter().copied().fold(f64::INFINITY, f64::min)),
        "not_smaller" => Some(ratios.iter().copied().fold(0.0, f64::max)),
        other => return invalid(format!("keep_aspect_ratio_policy is `{other}`")),
    };
    let along = |(index, (&axis, &size)): (usize, (&usize, &i64))| {
        let scale = common.unwrap_or(ratios[index]);
        let output = common.map_or(size as f64, |common| (common * dims[axis] as f64 + 0.5).floor());
        if output > MAX_SIZE {
            return invalid(format!("axis {axis} would have {output} elements"));
        }
        Ok(Along { axis, size: dims[axis], output: output as u64, scale, given: common.is_some(), coordinates: coordinates(index)? })
    };
    axes.iter().zip(sizes).enumerate().map(along).collect()
}

fn resample(node: &mut NodeImport<'_>, x: ValueId, along: &[Along], how: &Resampling) -> One {
    let averages = !matches!(how.filter, Filter::Nearest(_));
    if averages && !node.dtype(x).is_float() {
        return unsupported(format!("{} is resampled to the nearest element only; cast to float before", node.dtype(x)));
    }
    let mut changed = Vec::new();
    for along in along {
        let identity = along.size == along.output && along.scale == 1.0 && !matches!(along.coordinates, Coordinates::Crop(..));
        // In a graph of several sizes an axis that others resample is resampled where it keeps its size by chance.
        let by_chance = averages && !along.given && computed::changes(node, along)? && identity;
        if !identity || by_chance {
            changed.push(along);
        }
    }
    // Axes along which every element is repeated alike are one movement.
    let (repeats, others): (Vec<&Along>, Vec<&Along>) = changed.into_iter().partition(|along| how.repeats(along));
    let mut y = repeated(node, x, &repeats)?;
    for along in others {
        y = resample_axis(node, y, along, how)?;
    }
    Ok(y)
}

/// Every element repeated as often as each axis grows.
fn repeated(node: &mut NodeImport<'_>, x: ValueId, along: &[&Along]) -> One {
    let mut joined = node.dims(x);
    let (mut split, mut stretched) = (Vec::new(), Vec::new());
    for (axis, size) in joined.iter_mut().enumerate() {
        split.push(*size);
        stretched.push(*size);
        if let Some(along) = along.iter().find(|along| along.axis == axis) {
            split.push(1);
            stretched.push(along.output / along.size);
            *size = along.output;
        }
    }
    let split = node.reshape(x, &split)?;
    let stretched = node.broadcast(split, &stretched)?;
    node.reshape(stretched, &joined)
}

fn resample_axis(node: &mut NodeImport<'_>, x: ValueId, along: &Along, how: &Resampling) -> One {
    if along.size == 0 || !node.builder.may_create(along.output.saturating_mul(64)) {
        return invalid(format!("axis {} of size {} cannot become {}", along.axis, along.size, along.output));
    }
    if computed::applies(node, along, how) {
        return computed::resample(node, x, along, how);
    }
    let positions: Vec<f64> = (0..along.output).map(|index| along.position(index as f64)).collect();
    let taps: Vec<Vec<(i64, f64)>> = positions.iter().map(|&position| how.taps(position, along)).collect();
    let count = taps.iter().map(Vec::len).max().unwrap_or(1);
    let y = match count {
        1 => gathered(node, x, along.axis, &taps.iter().map(|taps| taps[0].0).collect::<Vec<i64>>())?,
        2..=MAX_GATHERS => weighted(node, x, along, &taps, count)?,
        _ => product(node, x, along, &taps)?,
    };
    let last = (along.size - 1) as f64;
    let outside: Vec<u8> = positions.iter().map(|&position| u8::from(position < 0.0 || position > last)).collect();
    if !matches!(along.coordinates, Coordinates::Crop(..)) || !outside.contains(&1) {
        return Ok(y);
    }
    let mut shape = vec![1; node.rank(x)];
    shape[along.axis] = along.output;
    let mask = node.constant(Tensor::new(DType::Bool, shape, outside).map_err(|error| error.to_string())?);
    let value = node.scalar(node.dtype(x), how.outside);
    node.select(mask, value, y)
}

impl Along {
    /// The position in the operand of a position of the result.
    fn position(&self, index: f64) -> f64 {
        let (size, scale) = (self.size as f64, self.scale);
        let whole = size * scale;
        match self.coordinates {
            Coordinates::HalfPixel => (index + 0.5) / scale - 0.5,
            Coordinates::HalfPixelSymmetric => {
                let adjusted = self.output as f64 / whole;
                size / 2.0 * (1.0 - adjusted) + (index + 0.5) / scale - 0.5
            }
            Coordinates::PytorchHalfPixel if self.output > 1 => (index + 0.5) / scale - 0.5,
            Coordinates::PytorchHalfPixel => 0.0,
            Coordinates::AlignCorners if self.output > 1 => index * (size - 1.0) / (whole - 1.0),
            Coordinates::AlignCorners => 0.0,
            Coordinates::Asymmetric => index / scale,
            Coordinates::Crop(start, end) if self.output > 1 => {
                start * (size - 1.0) + index * (end - start) * (size - 1.0) / (self.output as f64 - 1.0)
            }
            Coordinates::Crop(start, end) => (start + end) * (size - 1.0) / 2.0,
        }
    }
}

impl Resampling {
    /// Whether every element is repeated, all as often.
    fn repeats(&self, along: &Along) -> bool {
        let Filter::Nearest(_) = self.filter else { return false };
        let times = along.output.checked_div(along.size).unwrap_or(0);
        let copies = |index: u64| self.taps(along.position(index as f64), along)[0].0 as u64 == index / times;
        let cropped = matches!(along.coordinates, Coordinates::Crop(..));
        times > 0 && times * along.size == along.output && !cropped && (0..along.output).all(copies)
    }

    /// The elements, inside the axis, that make the value at a position, with their weights.
    fn taps(&self, position: f64, along: &Along) -> Vec<(i64, f64)> {
        let last = along.size as i64 - 1;
        let (support, kernel): (f64, Box<dyn Fn(f64) -> f64>) = match self.filter {
            Filter::Nearest(round) => return vec![((round(position) as i64).clamp(0, last), 1.0)],
            Filter::Linear => (1.0, Box::new(|x: f64| (1.0 - x.abs()).max(0.0))),
            Filter::Cubic(a) => (2.0, Box::new(move |x: f64| keys(x.abs(), a))),
        };
        // Where the result is smaller, antialiasing widens the kernel.
        let squeeze = if self.antialias { along.scale.min(1.0) } else { 1.0 };
        let reach = support / squeeze;
        let inside = |index: i64| (0..=last).contains(&index);
        let first = (position - reach).floor().max(-MAX_SIZE) as i64 + 1;
        let end = (position + reach).ceil().min(MAX_SIZE) as i64;
        let mut taps: Vec<(i64, f64)> =
            (first..end.max(first + 1)).map(|index| (index, kernel((index as f64 - position) * squeeze))).collect();
        taps.retain(|&(index, weight)| weight != 0.0 && (!self.exclude_outside || inside(index)));
        let sum: f64 = taps.iter().map(|tap| tap.1).sum();
        let mut merged: Vec<(i64, f64)> = Vec::new();
        for (index, weight) in taps {
            let index = index.clamp(0, last);
            match merged.last_mut().filter(|tap| tap.0 == index) {
                Some(tap) => tap.1 += weight / sum,
                None => merged.push((index, weight / sum)),
            }
        }
        if merged.is_empty() { vec![((position as i64).clamp(0, last), 1.0)] } else { merged }
    }
}

/// Keys' cubic convolution kernel at a distance.
fn keys(x: f64, a: f64) -> f64 {
    match x {
        x if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
        x if x < 2.0 => ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a,
        _ => 0.0,
    }
}

fn gathered(node: &mut NodeImport<'_>, x: ValueId, axis: usize, indices: &[i64]) -> One {
    let indices = node.integers(indices)?;
    node.emit(Op::Gather { axis: axis as u32 }, &[x, indices])
}

/// A sum of a few gathers, each with its weights.
fn weighted(node: &mut NodeImport<'_>, x: ValueId, along: &Along, taps: &[Vec<(i64, f64)>], count: usize) -> One {
    let mut shape = vec![1; node.rank(x)];
    shape[along.axis] = along.output;
    let mut sum = None;
    for tap in 0..count {
        let at = |taps: &Vec<(i64, f64)>| taps.get(tap).copied().unwrap_or((taps[0].0, 0.0));
        let indices: Vec<i64> = taps.iter().map(|taps| at(taps).0).collect();
        let part = gathered(node, x, along.axis, &indices)?;
        let weights = numbers(node, x, &shape, taps.iter().map(|taps| at(taps).1))?;
        let part = node.binary(BinaryOp::Mul, part, weights)?;
        sum = Some(match sum {
            None => part,
            Some(sum) => node.binary(BinaryOp::Add, sum, part)?,
        });
    }
    sum.ok_or_else(|| Problem::Invalid("nothing is resampled".into()))
}

/// A product with the matrix of all weights, along the axis moved to the end.
fn product(node: &mut NodeImport<'_>, x: ValueId, along: &Along, taps: &[Vec<(i64, f64)>]) -> One {
    let (rows, columns) = (along.size as usize, along.output as usize);
    if !node.builder.may_create((rows as u64).saturating_mul(columns as u64).saturating_mul(8)) {
        return unsupported(format!("resampling {rows} elements to {columns} takes too large a matrix"));
    }
    let mut matrix = vec![0.0; rows * columns];
    for (column, taps) in taps.iter().enumerate() {
        taps.iter().for_each(|&(row, weight)| matrix[row as usize * columns + column] += weight);
    }
    let matrix = numbers(node, x, &[along.size, along.output], matrix.into_iter())?;
    let mut perm: Vec<usize> = (0..node.rank(x)).collect();
    perm.swap(along.axis, node.rank(x) - 1);
    let turned = node.transpose(&perm, x)?;
    let product = node.emit(Op::MatMul, &[turned, matrix])?;
    node.transpose(&perm, product)
}

/// A constant of the element type of `like`.
fn numbers(node: &mut NodeImport<'_>, like: ValueId, shape: &[u64], values: impl Iterator<Item = f64>) -> One {
    let values: Vec<f32> = values.map(|value| value as f32).collect();
    let tensor = Tensor::from_f32(shape, &values).map_err(|error| error.to_string())?;
    let constant = node.constant(tensor);
    node.cast(node.dtype(like), constant)
}
