//! Pools over regions of interest: `RoiAlign` samples them, `MaxRoiPool` takes the greatest of their whole elements.

use super::Row;
use super::sampling::{Merge, Table, Tap, bounded, rows_of, sample};
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use mlp_graph::op::{BinaryOp, CompareOp, ReduceKind, UnaryOp};
use mlp_graph::{DType, Op, ValueId};

pub(super) const TABLE: &[Row] = &[("", "RoiAlign", roi_align), ("", "MaxRoiPool", max_roi_pool)];

/// Most bins and samples a bin along an axis.
const MOST: i64 = 1 << 12;

fn count(node: &NodeImport<'_>, name: &str, default: i64) -> Result<u64, Problem> {
    match node.attributes.int(name)?.unwrap_or(default) {
        value if (0..=MOST).contains(&value) => Ok(value as u64),
        value => invalid(format!("attribute `{name}` is {value}")),
    }
}

/// One of the numbers `[R, n]` that describe the regions, as a column `[R, 1, 1]`.
fn column(node: &mut NodeImport<'_>, rois: ValueId, index: i64) -> One {
    let regions = node.dims(rois)[0];
    let column = node.slice(rois, vec![0, index], vec![1, 1], &[regions, 1])?;
    node.reshape(column, &[regions, 1, 1])
}

/// Each bin of a region is the mean (or the greatest) of a fixed number of samples in it.
fn roi_align(node: &mut NodeImport<'_>) -> Imported {
    let (x, rois, images) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let dims = node.dims(x);
    let greatest = match node.attributes.string("mode")?.unwrap_or("avg") {
        "avg" => false,
        "max" => true,
        other => return invalid(format!("mode is `{other}`")),
    };
    let default = if node.opset < 16 { "output_half_pixel" } else { "half_pixel" };
    let half = match node.attributes.string("coordinate_transformation_mode")?.unwrap_or(default) {
        "half_pixel" => true,
        "output_half_pixel" => false,
        other => return invalid(format!("coordinate_transformation_mode is `{other}`")),
    };
    let scale = f64::from(node.attributes.float("spatial_scale")?.unwrap_or(1.0));
    let (height, width) = (count(node, "output_height", 1)?, count(node, "output_width", 1)?);
    let ratio = count(node, "sampling_ratio", 0)?;
    let regions = node.dims(rois).first().copied().unwrap_or(0);
    if dims.len() != 4 || node.dims(rois) != [regions, 4] || node.dims(images) != [regions] || dims.contains(&0) {
        return invalid(format!("regions of shape {:?} do not fit an image of shape {dims:?}", node.dims(rois)));
    }
    if ratio == 0 {
        return unsupported(
            "sampling_ratio 0 takes as many samples as a region's size asks for; export the model with a fixed number (2 is common)",
        );
    }
    let (dtype, wide) = (node.dtype(x), if node.dtype(x) == DType::F64 { DType::F64 } else { DType::F32 });
    let (image, rois) = (node.cast(wide, x)?, node.cast(wide, rois)?);
    let mut axes = Vec::with_capacity(2);
    for (axis, bins) in [(0, height), (1, width)] {
        let size = dims[2 + axis];
        let along = Samples { start: 1 - axis as i64, size, bins, ratio, scale, half, axis };
        axes.push(along.taps(node, rois)?);
    }
    let rows = rows_of(node, image)?;
    let images = node.cast(DType::I32, images)?;
    let images = node.reshape(images, &[regions, 1, 1, 1, 1])?;
    let first = node.with_number(BinaryOp::Mul, images, (dims[2] * dims[3]) as f64)?;
    let merge = if greatest { Merge::Greatest } else { Merge::Sum };
    let samples = sample(node, &Table { rows, sizes: dims[2..].to_vec(), first }, &axes, merge)?;
    let kind = if greatest { ReduceKind::Max } else { ReduceKind::Mean };
    let pooled = node.reduce(kind, &[2, 4], false, samples)?;
    let y = node.transpose(&[0, 3, 1, 2], pooled)?;
    Ok(vec![node.cast(dtype, y)?])
}

/// The samples of all bins along one axis of the image.
struct Samples {
    /// The column of the region's start; its end lies two further.
    start: i64,
    size: u64,
    bins: u64,
    ratio: u64,
    scale: f64,
    /// Whether positions are moved by half an element.
    half: bool,
    /// 0 for rows, 1 for columns.
    axis: usize,
}

impl Samples {
    /// What the samples `[regions, rows, samples, columns, samples]` read along the axis: the two neighbours, those beyond the edge being the edge, and nothing
    /// more than an element outside.
    fn taps(&self, node: &mut NodeImport<'_>, rois: ValueId) -> Result<Vec<Tap>, Problem> {
        let position = self.positions(node, rois)?;
        let dtype = node.dtype(position);
        let (least, most) = (node.scalar(dtype, -1.0), node.scalar(dtype, self.size as f64));
        let (above, below) = (node.compare(CompareOp::Le, least, position)?, node.compare(CompareOp::Le, position, most)?);
        let inside = node.binary(BinaryOp::Mul, above, below)?;
        let held = node.with_number(BinaryOp::Max, position, 0.0)?;
        let held = node.with_number(BinaryOp::Min, held, self.size as f64 - 1.0)?;
        let low = node.unary(UnaryOp::Floor, held)?;
        let part = node.binary(BinaryOp::Sub, held, low)?;
        let one = node.scalar(dtype, 1.0);
        let rest = node.binary(BinaryOp::Sub, one, part)?;
        let high = node.binary(BinaryOp::Add, low, one)?;
        let (low, high) = (bounded(node, low, self.size)?, bounded(node, high, self.size)?);
        Ok(vec![
            Tap { index: low, inside: Some(inside), weight: Some(rest) },
            Tap { index: high, inside: Some(inside), weight: Some(part) },
        ])
    }

    /// `start + (bin + (sample + 1/2) / ratio) * length / bins`.
    fn positions(&self, node: &mut NodeImport<'_>, rois: ValueId) -> One {
        let offset = if self.half { 0.5 } else { 0.0 };
        let mut ends = [0, 2].into_iter().map(|end| -> One {
            let end = column(node, rois, self.start + end)?;
            let scaled = node.with_number(BinaryOp::Mul, end, self.scale)?;
            node.with_number(BinaryOp::Sub, scaled, offset)
        });
        let (start, end) = (ends.next(), ends.next());
        let (Some(start), Some(end)) = (start, end) else { return invalid("a region has no ends") };
        let (start, end) = (start?, end?);
        let mut length = node.binary(BinaryOp::Sub, end, start)?;
        if !self.half {
            length = node.with_number(BinaryOp::Max, length, 1.0)?;
        }
        let dtype = node.dtype(length);
        let mut shape = vec![node.dims(rois)[0], 1, 1, 1, 1];
        (shape[1 + 2 * self.axis], shape[2 + 2 * self.axis]) = (self.bins, self.ratio);
        let (bins, samples) = (node.positions(self.bins, 1, 3)?, node.positions(self.ratio, 2, 3)?);
        let (bins, samples) = (node.cast(dtype, bins)?, node.cast(dtype, samples)?);
        let middle = node.with_number(BinaryOp::Add, samples, 0.5)?;
        let middle = node.with_number(BinaryOp::Div, middle, self.ratio as f64)?;
        let steps = node.binary(BinaryOp::Add, bins, middle)?;
        let bin = node.with_number(BinaryOp::Div, length, self.bins as f64)?;
        let moved = node.binary(BinaryOp::Mul, bin, steps)?;
        let position = node.binary(BinaryOp::Add, start, moved)?;
        node.reshape(position, &shape)
    }
}

/// Each bin is the greatest element of the rows and columns that it touches, one axis after the other; 0 where it touches none.
fn max_roi_pool(node: &mut NodeImport<'_>) -> Imported {
    let (x, rois) = (node.input(0)?, node.input(1)?);
    let dims = node.dims(x);
    let scale = f64::from(node.attributes.float("spatial_scale")?.unwrap_or(1.0));
    let bins = match node.attributes.ints("pooled_shape")? {
        Some(&[height, width]) if (1..=MOST).contains(&height) && (1..=MOST).contains(&width) => [height as u64, width as u64],
        other => return invalid(format!("pooled_shape is {other:?}")),
    };
    let regions = node.dims(rois).first().copied().unwrap_or(0);
    if dims.len() != 4 || node.dims(rois) != [regions, 5] || dims.contains(&0) {
        return invalid(format!("regions of shape {:?} do not fit an image of shape {dims:?}", node.dims(rois)));
    }
    let dtype = node.dtype(x);
    let rois = node.cast(DType::F32, rois)?;
    let image = node.cast(DType::F32, x)?;
    let number = column(node, rois, 0)?;
    let number = node.cast(DType::I32, number)?;
    let number = node.reshape(number, &[regions])?;
    // [R, C, H, W], then columns, then rows, in bins.
    let mut value = node.emit(Op::Gather { axis: 0 }, &[image, number])?;
    let lowest = node.scalar(DType::F32, f64::from(f32::MIN));
    let mut nothing = None;
    for (axis, columns) in [(3, [1, 3]), (2, [2, 4])] {
        let (size, count) = (dims[axis], bins[axis - 2]);
        let touched = touched(node, rois, columns, size, count, scale)?;
        // The value's axis becomes [bins, elements] of which the elements are reduced.
        let mut split = node.dims(value);
        split.insert(axis, 1);
        let mut shape = vec![1; 5];
        (shape[0], shape[axis], shape[axis + 1]) = (regions, count, size);
        let mask = node.reshape(touched, &shape)?;
        let wide = node.reshape(value, &split)?;
        let candidates = node.select(mask, wide, lowest)?;
        value = node.reduce(ReduceKind::Max, &[axis + 1], false, candidates)?;
        let numbers = node.cast(DType::I32, touched)?;
        let any = node.reduce(ReduceKind::Max, &[2], false, numbers)?;
        let mut shape = vec![1; 4];
        (shape[0], shape[axis]) = (regions, count);
        let any = node.reshape(any, &shape)?;
        nothing = Some(match nothing {
            None => any,
            Some(other) => node.binary(BinaryOp::Mul, other, any)?,
        });
    }
    if let Some(any) = nothing {
        let any = node.cast(DType::Bool, any)?;
        let zero = node.scalar(DType::F32, 0.0);
        value = node.select(any, value, zero)?;
    }
    Ok(vec![node.cast(dtype, value)?])
}

/// Which elements of an axis each bin of each region touches, `[regions, bins, elements]`: from `floor(bin * size)` to below `ceil((bin + 1) * size)` after the
/// rounded start, as Caffe counts them.
fn touched(node: &mut NodeImport<'_>, rois: ValueId, columns: [i64; 2], size: u64, bins: u64, scale: f64) -> One {
    let mut rounded = |column_of: i64| -> One {
        let end = column(node, rois, column_of)?;
        let scaled = node.with_number(BinaryOp::Mul, end, scale)?;
        let moved = node.with_number(BinaryOp::Add, scaled, 0.5)?;
        node.unary(UnaryOp::Floor, moved)
    };
    let (start, end) = (rounded(columns[0])?, rounded(columns[1])?);
    let length = node.binary(BinaryOp::Sub, end, start)?;
    let length = node.with_number(BinaryOp::Add, length, 1.0)?;
    let length = node.with_number(BinaryOp::Max, length, 1.0)?;
    let bin = node.with_number(BinaryOp::Div, length, bins as f64)?;
    let (numbers, elements) = (node.positions(bins, 1, 3)?, node.positions(size, 2, 3)?);
    let (numbers, elements) = (node.cast(DType::F32, numbers)?, node.cast(DType::F32, elements)?);
    let first = node.binary(BinaryOp::Mul, numbers, bin)?;
    let first = node.unary(UnaryOp::Floor, first)?;
    let first = node.binary(BinaryOp::Add, first, start)?;
    let next = node.with_number(BinaryOp::Add, numbers, 1.0)?;
    let last = node.binary(BinaryOp::Mul, next, bin)?;
    let last = node.unary(UnaryOp::Ceil, last)?;
    let last = node.binary(BinaryOp::Add, last, start)?;
    let (begun, unfinished) = (node.compare(CompareOp::Le, first, elements)?, node.compare(CompareOp::Lt, elements, last)?);
    node.binary(BinaryOp::Mul, begun, unfinished)
}
