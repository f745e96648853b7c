//! Signals: windows, the mel scale, and Fourier transforms, which are products with constant matrices.

use super::Row;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use mlp_graph::op::BinaryOp;
use mlp_graph::{DType, Op, Tensor, ValueId};
use std::f64::consts::TAU;

pub(super) const TABLE: &[Row] = &[
    ("", "HannWindow", |node| window(node, &[0.5, -0.5])),
    ("", "HammingWindow", |node| window(node, &[25.0 / 46.0, -21.0 / 46.0])),
    ("", "BlackmanWindow", |node| window(node, &[0.42, -0.5, 0.08])),
    ("", "MelWeightMatrix", mel_weight_matrix),
    ("", "DFT", dft),
    ("", "STFT", stft),
];

/// A constant of these numbers, in row-major order.
fn table(node: &mut NodeImport<'_>, dtype: DType, shape: &[u64], number: impl Fn(u64) -> f64) -> One {
    let count = shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size));
    let Some(count) = count.filter(|&count| node.builder.may_create(count.saturating_mul(dtype.size() as u64))) else {
        return unsupported(format!("a table of shape {shape:?} is too large to be made when compiling"));
    };
    let mut bytes = Vec::with_capacity(count as usize * dtype.size());
    (0..count).for_each(|index| bytes.extend_from_slice(Tensor::scalar_of(dtype, number(index)).bytes()));
    let tensor = Tensor::new(dtype, shape.to_vec(), bytes).map_err(|error| error.to_string())?;
    Ok(node.constant(tensor))
}

/// The element type that the attribute `output_datatype` asks for: `F32` where it is left out.
fn asked_type(node: &NodeImport<'_>) -> Result<DType, Problem> {
    let code = node.attributes.int("output_datatype")?.unwrap_or(1);
    crate::onnx::tensor::dtype_of(i32::try_from(code).unwrap_or(0)).map_err(Problem::Unsupported)
}

/// `sum of weights[k] * cos(2 pi k n / N)`; `N` is the size, or one less where the window is symmetric.
fn window(node: &mut NodeImport<'_>, weights: &[f64]) -> Imported {
    let size = node.input(0)?;
    let dtype = asked_type(node)?;
    let periodic = node.attributes.int("periodic")?.unwrap_or(1) != 0;
    let size = node.known_integer(size, "the size of the window")?;
    let Ok(size) = u64::try_from(size) else { return invalid(format!("the size of the window is {size}")) };
    let period = if periodic { size } else { size.saturating_sub(1) }.max(1) as f64;
    let number = |n: u64| weights.iter().enumerate().map(|(k, weight)| weight * (TAU * k as f64 * n as f64 / period).cos()).sum();
    Ok(vec![table(node, dtype, &[size], number)?])
}

/// Triangles over the bins of a spectrum, as ONNX places their corners.
fn mel_weight_matrix(node: &mut NodeImport<'_>) -> Imported {
    let dtype = asked_type(node)?;
    let integer = |node: &NodeImport<'_>, input: usize, what: &str| -> Result<u64, Problem> {
        let value = node.known_integer(node.input(input)?, what)?;
        u64::try_from(value).ok().filter(|value| (1..1 << 24).contains(value)).ok_or_else(|| format!("{what} is {value}").into())
    };
    let (bands, length) = (integer(node, 0, "num_mel_bins")?, integer(node, 1, "dft_length")?);
    let rate = integer(node, 2, "sample_rate")? as f64;
    let (low, high) = (node.needed_float(node.input(3)?, "lower_edge_hertz")?, node.needed_float(node.input(4)?, "upper_edge_hertz")?);
    if !(low >= 0.0 && high > low && high <= rate / 2.0) {
        return invalid(format!("edges of {low} and {high} Hz do not lie in order below half of {rate} Hz"));
    }
    let mel = |hertz: f64| 2595.0 * (hertz / 700.0).ln_1p() / std::f64::consts::LN_10;
    let step = (mel(high) - mel(low)) / (bands + 2) as f64;
    let corner = |index: u64| {
        let hertz = 700.0 * ((index as f64 * step + mel(low)) / 2595.0 * std::f64::consts::LN_10).exp_m1();
        ((length + 1) as f64 * hertz / rate).floor()
    };
    let corners: Vec<f64> = (0..bands + 2).map(corner).collect();
    let weight = |index: u64| {
        let (bin, band) = ((index / bands) as f64, (index % bands) as usize);
        let (left, centre, right) = (corners[band], corners[band + 1], corners[band + 2]);
        if bin >= centre && bin < right && right > centre {
            (right - bin) / (right - centre)
        } else if centre == left {
            f64::from(u8::from(bin == centre))
        } else if bin >= left && bin <= centre {
            (bin - left) / (centre - left)
        } else {
            0.0
        }
    };
    Ok(vec![table(node, dtype, &[length / 2 + 1, bands], weight)?])
}

/// A signal along its last axis but one, the last holding a real or a complex number.
struct Transform {
    /// Points of the transform.
    length: u64,
    inverse: bool,
    /// Only the first half of a spectrum is made (or given, where inverse).
    onesided: bool,
}

fn dft(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let rank = node.rank(x);
    if rank < 2 {
        return invalid(format!("the input has shape {:?}, but must have a signal and its parts", node.dims(x)));
    }
    let inverse = node.attributes.int("inverse")?.unwrap_or(0) != 0;
    let onesided = node.attributes.int("onesided")?.unwrap_or(0) != 0;
    let axis = if node.opset < 20 {
        node.attributes.int("axis")?.unwrap_or(1)
    } else {
        node.optional(2).map_or(Ok(-2), |axis| node.known_integer(axis, "the axis"))?
    };
    let axis = node.axis(axis, rank)?;
    if axis == rank - 1 {
        return invalid("the axis is the last one, which holds the parts of the numbers");
    }
    let size = node.dims(x)[axis];
    let length = match node.optional(1) {
        Some(length) => node.known_integer(length, "the length of the transform")?,
        None if inverse && onesided => 2 * (size as i64 - 1),
        None => size as i64,
    };
    let Some(length) = u64::try_from(length).ok().filter(|length| (1..1 << 24).contains(length)) else {
        return invalid(format!("the length of the transform is {length}"));
    };
    let mut perm: Vec<usize> = (0..rank).filter(|&other| other != axis).collect();
    perm.insert(rank - 2, axis);
    let moved = node.transpose(&perm, x)?;
    let y = transformed(node, moved, &Transform { length, inverse, onesided })?;
    let mut back = vec![0; rank];
    perm.iter().enumerate().for_each(|(position, &axis)| back[axis] = position);
    Ok(vec![node.transpose(&back, y)?])
}

/// The transform of `[..., size, 1 or 2]`, as one product: the parts of a number beside each other, with the matrix that turns and scales them.
fn transformed(node: &mut NodeImport<'_>, x: ValueId, how: &Transform) -> One {
    let dims = node.dims(x);
    let rank = dims.len();
    let (size, parts) = (dims[rank - 2], dims[rank - 1]);
    if parts != 1 && parts != 2 {
        return invalid(format!("the last axis has {parts} elements, but must have a real and possibly an imaginary part"));
    }
    let half = how.length / 2 + 1;
    // A real result of half a spectrum: the other half is its mirror image.
    let real = how.inverse && how.onesided;
    let inputs = size.min(if real { half } else { how.length });
    let outputs = if how.onesided && !how.inverse { half } else { how.length };
    let out_parts = if real { 1 } else { 2 };
    let mut counts = dims.clone();
    counts[rank - 2] = inputs;
    let cut = node.slice(x, vec![0; rank], vec![1; rank], &counts)?;
    let outer: u64 = dims[..rank - 2].iter().product();
    let flat = node.reshape(cut, &[outer, inputs * parts])?;
    let (length, sign) = (how.length, if how.inverse { 1.0 } else { -1.0 });
    let scale = if how.inverse { 1.0 / length as f64 } else { 1.0 };
    let dtype = node.dtype(x);
    let wide = super::normalization::widened(dtype);
    let matrix = table(node, wide, &[inputs * parts, outputs * out_parts], |index| {
        let (row, column) = (index / (outputs * out_parts), index % (outputs * out_parts));
        let (n, part, k, out_part) = (row / parts, row % parts, column / out_parts, column % out_parts);
        let angle = sign * TAU * ((n * k) % length) as f64 / length as f64;
        let twice = if real && n > 0 && 2 * n != length { 2.0 } else { 1.0 };
        let factor = match (part, out_part) {
            (0, 0) | (1, 1) => angle.cos(),
            (0, _) => angle.sin(),
            _ => -angle.sin(),
        };
        factor * scale * twice
    })?;
    let flat = node.cast(wide, flat)?;
    let product = node.emit(Op::MatMul, &[flat, matrix])?;
    let product = node.cast(dtype, product)?;
    let shape: Vec<u64> = dims[..rank - 2].iter().copied().chain([outputs, out_parts]).collect();
    node.reshape(product, &shape)
}

/// Frames of the signal, each times the window, transformed.
fn stft(node: &mut NodeImport<'_>) -> Imported {
    let (x, step, window) = (node.input(0)?, node.input(1)?, node.optional(2));
    let onesided = node.attributes.int("onesided")?.unwrap_or(1) != 0;
    let dims = node.dims(x);
    let &[_, signal, parts] = dims.as_slice() else { return invalid(format!("the signal has shape {dims:?}, but must have rank 3")) };
    let positive = |value: i64, what: &str| match u64::try_from(value) {
        Ok(value) if (1..1 << 24).contains(&value) => Ok(value),
        _ => invalid(format!("{what} is {value}")),
    };
    let step = positive(node.known_integer(step, "the frame step")?, "the frame step")?;
    let length = match (node.optional(3), window) {
        (Some(length), _) => positive(node.known_integer(length, "the frame length")?, "the frame length")?,
        (None, Some(window)) => node.dims(window).first().copied().unwrap_or(1),
        (None, None) => signal,
    };
    if length > signal || length == 0 || window.is_some_and(|window| node.dims(window) != [length]) {
        return invalid(format!("frames of {length} do not fit a signal of {signal} or the window"));
    }
    let frames = (signal - length) / step + 1;
    let count = frames * length;
    if !node.builder.may_create(count.saturating_mul(8)) {
        return unsupported(format!("{frames} frames of {length} elements are too many"));
    }
    let places: Vec<i64> = (0..count).map(|index| (index / length * step + index % length) as i64).collect();
    let places = Tensor::from_i64(&[frames, length], &places).map_err(|error| error.to_string())?;
    let places = node.constant(places);
    let mut value = node.emit(Op::Gather { axis: 1 }, &[x, places])?;
    if let Some(window) = window {
        let window = node.cast(node.dtype(value), window)?;
        let window = node.reshape(window, &[length, 1])?;
        value = node.binary(BinaryOp::Mul, value, window)?;
    }
    // Half a spectrum is not all of it where the signal is complex.
    if onesided && parts == 2 {
        return invalid("a one-sided spectrum of a complex signal");
    }
    Ok(vec![transformed(node, value, &Transform { length, inverse: false, onesided })?])
}
