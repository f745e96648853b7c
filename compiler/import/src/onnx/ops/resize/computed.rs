//! Resampling whose positions are computed when the model runs, for graphs of several sizes: which elements make a result, and how much of each, goes by the sizes.

use super::{Along, Coordinates, Filter, Resampling};
use crate::onnx::node::{NodeImport, One, Problem};
use mlp_graph::op::{BinaryOp, UnaryOp};
use mlp_graph::{DType, Op, Tensor, ValueId};

/// Whether an axis of a graph of several sizes is resampled so; what is not is computed when compiling, and differs at other sizes.
pub(super) fn applies(node: &NodeImport<'_>, along: &Along, how: &Resampling) -> bool {
    let plain = matches!(
        along.coordinates,
        Coordinates::HalfPixel | Coordinates::PytorchHalfPixel | Coordinates::AlignCorners | Coordinates::Asymmetric
    );
    let widens = how.antialias && !(along.given && along.scale >= 1.0);
    node.builder.family.is_some() && plain && !widens && !how.exclude_outside && !matches!(how.filter, Filter::Nearest(_))
}

/// Whether the axis has another size at the greatest sizes of a graph of several.
pub(super) fn changes(node: &mut NodeImport<'_>, along: &Along) -> Result<bool, Problem> {
    let (size, output) = (node.builder.family_size(along.size)?, node.builder.family_size(along.output)?);
    Ok(size.zip(output).is_some_and(|((size, _), (output, _))| size != output))
}

/// The resampled axis.
pub(super) fn resample(node: &mut NodeImport<'_>, x: ValueId, along: &Along, how: &Resampling) -> One {
    let mut here = |size: u64| match node.builder.family_size(size)? {
        Some((_, here)) => node.cast(DType::F32, here),
        None => Ok(node.scalar(DType::F32, size as f64)),
    };
    let (size, output) = (here(along.size)?, here(along.output)?);
    let position = position(node, along, size, output)?;
    let low = node.unary(UnaryOp::Floor, position)?;
    let part = node.binary(BinaryOp::Sub, position, low)?;
    let last = node.with_number(BinaryOp::Sub, size, 1.0)?;
    let (first, weights) = match how.filter {
        Filter::Cubic(a) => (-1.0, cubic(node, part, a)?),
        _ => {
            let one = node.scalar(DType::F32, 1.0);
            (0.0, vec![node.binary(BinaryOp::Sub, one, part)?, part])
        }
    };
    let mut shape = vec![1; node.rank(x)];
    shape[along.axis] = along.output;
    let mut sum = None;
    for (tap, weight) in weights.into_iter().enumerate() {
        let place = node.with_number(BinaryOp::Add, low, first + tap as f64)?;
        let place = node.with_number(BinaryOp::Max, place, 0.0)?;
        let place = node.binary(BinaryOp::Min, place, last)?;
        let place = node.cast(DType::I32, place)?;
        let element = node.emit(Op::Gather { axis: along.axis as u32 }, &[x, place])?;
        let weight = node.cast(node.dtype(x), weight)?;
        let weight = node.reshape(weight, &shape)?;
        let element = node.binary(BinaryOp::Mul, element, weight)?;
        sum = Some(match sum {
            None => element,
            Some(sum) => node.binary(BinaryOp::Add, sum, element)?,
        });
    }
    Ok(sum.expect("every filter has weights"))
}

/// The position in the operand of each of the result, `F32`.
fn position(node: &mut NodeImport<'_>, along: &Along, size: ValueId, output: ValueId) -> One {
    let numbers: Vec<f32> = (0..along.output).map(|index| index as f32).collect();
    let index = node.constant(Tensor::from_f32(&[along.output], &numbers).map_err(|error| error.to_string())?);
    if along.coordinates == Coordinates::AlignCorners {
        let between = node.with_number(BinaryOp::Sub, size, 1.0)?;
        let whole = if along.given { node.with_number(BinaryOp::Mul, size, along.scale)? } else { output };
        let steps = node.with_number(BinaryOp::Sub, whole, 1.0)?;
        // One element lies at the start, whatever the step.
        let steps = node.with_number(BinaryOp::Max, steps, f64::from(f32::MIN_POSITIVE))?;
        let scaled = node.binary(BinaryOp::Mul, index, between)?;
        return node.binary(BinaryOp::Div, scaled, steps);
    }
    let step = if along.given { node.scalar(DType::F32, 1.0 / along.scale) } else { node.binary(BinaryOp::Div, size, output)? };
    if along.coordinates == Coordinates::Asymmetric {
        return node.binary(BinaryOp::Mul, index, step);
    }
    let middle = node.with_number(BinaryOp::Add, index, 0.5)?;
    let position = node.binary(BinaryOp::Mul, middle, step)?;
    let position = node.with_number(BinaryOp::Sub, position, 0.5)?;
    if along.coordinates == Coordinates::HalfPixel {
        return Ok(position);
    }
    // PyTorch puts a single element at the start: times 0 where there is one, times 1 where there are more.
    let others = node.with_number(BinaryOp::Sub, output, 1.0)?;
    let several = node.with_number(BinaryOp::Min, others, 1.0)?;
    node.binary(BinaryOp::Mul, position, several)
}

/// Weights of the four elements around a position whose part after the point is given (Keys, "Cubic convolution interpolation for digital image processing").
fn cubic(node: &mut NodeImport<'_>, part: ValueId, a: f64) -> Result<Vec<ValueId>, Problem> {
    let one = node.scalar(DType::F32, 1.0);
    let rest = node.binary(BinaryOp::Sub, one, part)?;
    // From the highest power down, for a distance up to 1 and for one from 1 to 2.
    let (near, far) = ([a + 2.0, -(a + 3.0), 0.0, 1.0], [a, -5.0 * a, 8.0 * a, -4.0 * a]);
    let mut weights = Vec::with_capacity(4);
    for (distance, more, powers) in [(part, 1.0, far), (part, 0.0, near), (rest, 0.0, near), (rest, 1.0, far)] {
        let distance = node.with_number(BinaryOp::Add, distance, more)?;
        let mut sum = node.scalar(DType::F32, powers[0]);
        for &power in &powers[1..] {
            sum = node.binary(BinaryOp::Mul, sum, distance)?;
            sum = node.with_number(BinaryOp::Add, sum, power)?;
        }
        weights.push(sum);
    }
    Ok(weights)
}
