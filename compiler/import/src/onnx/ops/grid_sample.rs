//! `GridSample` and `AffineGrid`.

use super::Row;
use super::sampling::{Merge, Table, Tap, bounded, is_inside, rows_of, sample};
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use mlp_graph::op::{BinaryOp, CompareOp, UnaryOp};
use mlp_graph::{DType, Op, Tensor, ValueId};

pub(super) const TABLE: &[Row] = &[("", "GridSample", grid_sample), ("", "AffineGrid", affine_grid)];

/// What is read between elements.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

/// What is read outside of the image.
#[derive(Clone, Copy, PartialEq)]
enum Padding {
    Zeros,
    Border,
    Reflection,
}

/// One axis of the image.
struct Along {
    size: u64,
    padding: Padding,
    /// Where positions are reflected: at the outer elements' middles, or half an element further out.
    low: f64,
    high: f64,
}

fn grid_sample(node: &mut NodeImport<'_>) -> Imported {
    let (x, grid) = (node.input(0)?, node.input(1)?);
    let (dims, counts) = (node.dims(x), node.dims(grid));
    let mode = match node.attributes.string("mode")?.unwrap_or("linear") {
        "nearest" => Mode::Nearest,
        "linear" | "bilinear" => Mode::Linear,
        "cubic" | "bicubic" => Mode::Cubic,
        other => return invalid(format!("mode is `{other}`")),
    };
    let padding = match node.attributes.string("padding_mode")?.unwrap_or("zeros") {
        "zeros" => Padding::Zeros,
        "border" => Padding::Border,
        "reflection" => Padding::Reflection,
        other => return invalid(format!("padding_mode is `{other}`")),
    };
    let corners = node.attributes.int("align_corners")?.unwrap_or(0) != 0;
    let rank = dims.len();
    if rank < 3 || counts.len() != rank || counts[0] != dims[0] || counts[rank - 1] != rank as u64 - 2 {
        return invalid(format!("a grid of shape {counts:?} does not fit an image of shape {dims:?}"));
    }
    let outputs: Vec<u64> = [dims[0], dims[1]].into_iter().chain(counts[1..rank - 1].iter().copied()).collect();
    if outputs.contains(&0) {
        return Ok(vec![node.constant(Tensor::new(node.dtype(x), outputs, Vec::new()).map_err(|error| error.to_string())?)]);
    }
    if dims.contains(&0) {
        return invalid(format!("an image of shape {dims:?} has nothing to sample"));
    }
    let (dtype, wide) = (node.dtype(x), if node.dtype(x) == DType::F64 { DType::F64 } else { DType::F32 });
    let (image, grid) = (node.cast(wide, x)?, node.cast(wide, grid)?);
    let places: Vec<u64> = counts[..rank - 1].to_vec();
    let mut axes = Vec::with_capacity(rank - 2);
    for (index, &size) in dims[2..].iter().enumerate() {
        // The last coordinate of the grid is that of the first axis.
        let (mut starts, mut part) = (vec![0; rank], counts.clone());
        starts[rank - 1] = (rank - 3 - index) as i64;
        part[rank - 1] = 1;
        let coordinate = node.slice(grid, starts, vec![1; rank], &part)?;
        let coordinate = node.reshape(coordinate, &places)?;
        let (low, high) = if corners { (0.0, size as f64 - 1.0) } else { (-0.5, size as f64 - 0.5) };
        let along = Along { size, padding, low, high };
        axes.push(taps(node, coordinate, &along, mode, corners)?);
    }
    let rows = rows_of(node, image)?;
    let images = node.positions(dims[0], 0, rank - 1)?;
    let first = node.with_number(BinaryOp::Mul, images, dims[2..].iter().product::<u64>() as f64)?;
    let sampled = sample(node, &Table { rows, sizes: dims[2..].to_vec(), first }, &axes, Merge::Sum)?;
    let perm: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    let y = node.transpose(&perm, sampled)?;
    Ok(vec![node.cast(dtype, y)?])
}

/// What samples at these coordinates, from -1 to 1 over the image, read along an axis.
fn taps(node: &mut NodeImport<'_>, coordinate: ValueId, along: &Along, mode: Mode, corners: bool) -> Result<Vec<Tap>, Problem> {
    let size = along.size as f64;
    let moved = node.with_number(BinaryOp::Add, coordinate, 1.0)?;
    let mut position = if corners {
        node.with_number(BinaryOp::Mul, moved, (size - 1.0) / 2.0)?
    } else {
        let scaled = node.with_number(BinaryOp::Mul, moved, size / 2.0)?;
        node.with_number(BinaryOp::Sub, scaled, 0.5)?
    };
    if mode == Mode::Nearest {
        position = node.unary(UnaryOp::RoundEven, position)?;
    }
    position = match along.padding {
        Padding::Zeros => position,
        Padding::Border => {
            let held = node.with_number(BinaryOp::Max, position, 0.0)?;
            let held = node.with_number(BinaryOp::Min, held, size - 1.0)?;
            where_outside(node, position, along, held)?
        }
        Padding::Reflection => reflected(node, position, along)?,
    };
    if mode == Mode::Nearest {
        return Ok(vec![tap(node, position, along, None)?]);
    }
    let low = node.unary(UnaryOp::Floor, position)?;
    let part = node.binary(BinaryOp::Sub, position, low)?;
    let weights = if mode == Mode::Linear { linear(node, part)? } else { cubic(node, part)? };
    let before = if mode == Mode::Linear { 0.0 } else { 1.0 };
    let mut taps = Vec::with_capacity(weights.len());
    for (index, weight) in weights.into_iter().enumerate() {
        let place = node.with_number(BinaryOp::Add, low, index as f64 - before)?;
        taps.push(tap(node, place, along, Some(weight))?);
    }
    Ok(taps)
}

/// The element at a whole position.
fn tap(node: &mut NodeImport<'_>, position: ValueId, along: &Along, weight: Option<ValueId>) -> Result<Tap, Problem> {
    let mut inside = None;
    let mut place = position;
    match along.padding {
        Padding::Zeros => inside = Some(is_inside(node, position, along.size)?),
        Padding::Border => {}
        Padding::Reflection => place = reflected(node, position, along)?,
    }
    Ok(Tap { index: bounded(node, place, along.size)?, inside, weight })
}

/// `other` where a position is outside of the reflecting borders.
fn where_outside(node: &mut NodeImport<'_>, position: ValueId, along: &Along, other: ValueId) -> One {
    let dtype = node.dtype(position);
    let (low, high) = (node.scalar(dtype, along.low), node.scalar(dtype, along.high));
    let below = node.compare(CompareOp::Lt, position, low)?;
    let above = node.compare(CompareOp::Lt, high, position)?;
    let outside = node.binary(BinaryOp::Add, below, above)?;
    node.select(outside, other, position)
}

/// A position outside of the borders, reflected at them as often as it takes: the distance from the low border, folded at the width of a period of two ranges.
fn reflected(node: &mut NodeImport<'_>, position: ValueId, along: &Along) -> One {
    let range = along.high - along.low;
    if range <= 0.0 {
        return Ok(node.scalar(node.dtype(position), along.low));
    }
    let moved = node.with_number(BinaryOp::Sub, position, along.low)?;
    let distance = node.unary(UnaryOp::Abs, moved)?;
    let periods = node.with_number(BinaryOp::Div, distance, 2.0 * range)?;
    let whole = node.unary(UnaryOp::Floor, periods)?;
    let whole = node.with_number(BinaryOp::Mul, whole, 2.0 * range)?;
    let rest = node.binary(BinaryOp::Sub, distance, whole)?;
    let period = node.scalar(node.dtype(position), 2.0 * range);
    let back = node.binary(BinaryOp::Sub, period, rest)?;
    let folded = node.binary(BinaryOp::Min, rest, back)?;
    let folded = node.with_number(BinaryOp::Add, folded, along.low)?;
    where_outside(node, position, along, folded)
}

fn linear(node: &mut NodeImport<'_>, part: ValueId) -> Result<Vec<ValueId>, Problem> {
    let one = node.scalar(node.dtype(part), 1.0);
    Ok(vec![node.binary(BinaryOp::Sub, one, part)?, part])
}

/// Keys' kernel with parameter -0.75 at the distances `1 + t`, `t`, `1 - t` and `2 - t`.
fn cubic(node: &mut NodeImport<'_>, part: ValueId) -> Result<Vec<ValueId>, Problem> {
    const A: f64 = -0.75;
    let one = node.scalar(node.dtype(part), 1.0);
    let rest = node.binary(BinaryOp::Sub, one, part)?;
    let polynomial = |node: &mut NodeImport<'_>, x: ValueId, coefficients: [f64; 4]| -> One {
        let mut sum = node.scalar(node.dtype(x), coefficients[0]);
        for coefficient in &coefficients[1..] {
            let product = node.binary(BinaryOp::Mul, sum, x)?;
            sum = node.with_number(BinaryOp::Add, product, *coefficient)?;
        }
        Ok(sum)
    };
    let far = [A, -5.0 * A, 8.0 * A, -4.0 * A];
    let near = [A + 2.0, -(A + 3.0), 0.0, 1.0];
    let (before, after) = (node.binary(BinaryOp::Add, part, one)?, node.binary(BinaryOp::Add, rest, one)?);
    Ok(vec![polynomial(node, before, far)?, polynomial(node, part, near)?, polynomial(node, rest, near)?, polynomial(node, after, far)?])
}

/// The grid `[N, spatial..., axes]` that an affine transform of the image's coordinates is: a product of the constant coordinates with the transform.
fn affine_grid(node: &mut NodeImport<'_>) -> Imported {
    let (theta, size) = (node.input(0)?, node.input(1)?);
    let corners = node.attributes.int("align_corners")?.unwrap_or(0) != 0;
    let size = super::constant::sizes(&node.known_integers(size, "the size")?)?;
    let dims = node.dims(theta);
    let axes = size.len().saturating_sub(2);
    if !(2..=3).contains(&axes) || dims != [size[0], axes as u64, axes as u64 + 1] {
        return invalid(format!("transforms of shape {dims:?} do not fit a size of {size:?}"));
    }
    let spatial = &size[2..];
    let Some(points) = spatial.iter().try_fold(1u64, |product, &size| product.checked_mul(size)) else {
        return invalid(format!("a grid of {spatial:?} is too large"));
    };
    let dtype = node.dtype(theta);
    if !node.builder.may_create(points.saturating_mul(8 * (axes as u64 + 1))) {
        return unsupported(format!("a grid of {spatial:?} points is too large to be made when compiling"));
    }
    let coordinate = |index: u64, size: u64| match (corners, size) {
        // One point lies at the start, as ONNX's own steps put it.
        (true, 1) => -1.0,
        (true, _) => -1.0 + 2.0 * index as f64 / (size - 1) as f64,
        (false, _) => (2 * index + 1) as f64 / size as f64 - 1.0,
    };
    let mut numbers = Vec::with_capacity(points as usize * (axes + 1));
    for point in 0..points {
        let mut rest = point;
        let mut position = vec![0.0; axes];
        for axis in (0..axes).rev() {
            position[axis] = coordinate(rest % spatial[axis], spatial[axis]);
            rest /= spatial[axis];
        }
        numbers.extend(position.into_iter().rev());
        numbers.push(1.0);
    }
    let base = Tensor::from_f64_as(dtype, &[points, axes as u64 + 1], &numbers).map_err(|error| error.to_string())?;
    let base = node.constant(base);
    let turned = node.transpose(&[0, 2, 1], theta)?;
    let grid = node.emit(Op::MatMul, &[base, turned])?;
    let shape: Vec<u64> = [size[0]].into_iter().chain(spatial.iter().copied()).chain([axes as u64]).collect();
    Ok(vec![node.reshape(grid, &shape)?])
}
