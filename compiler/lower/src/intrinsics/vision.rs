//! Photos and pixels.

use super::movement::{batch, reverse, unbatch};
use super::{Append, Found, Make, number, tensor, whole, word};
use crate::body::Lowered;
use mlp_analysis::{Intrinsic, Value};
use mlp_graph::op::{Filter, Fit};
use mlp_graph::{Dim, Op, ValueId, resampling};

pub(super) fn lower(make: &mut Make<'_>, intrinsic: Intrinsic, args: &[Lowered]) -> Found {
    let rest = args.get(1..)?;
    match (intrinsic, &args[0]) {
        (_, Lowered::Image(photo)) => of_photo(make, intrinsic, *photo, rest),
        (_, Lowered::Tensor(pixels)) => of_pixels(make, intrinsic, *pixels, rest),
        _ => None,
    }
}

fn of_photo(make: &mut Make<'_>, intrinsic: Intrinsic, photo: ValueId, rest: &[Lowered]) -> Found {
    let (size, fit, filter, fill) = match (intrinsic, rest) {
        (Intrinsic::Resize, [size, crop, by]) => {
            let fit = if word(crop)? == "center" { Fit::CropCenter } else { Fit::Stretch };
            (size, fit, filter(by)?, 0.0)
        }
        (Intrinsic::Letterbox, [size, fill, by]) => (size, Fit::Letterbox, filter(by)?, number(fill)?),
        (Intrinsic::PhotoSize, []) => return tensor(make.op(Op::ImageSize, &[photo])),
        _ => return None,
    };
    let [width, height] = sides(size)?;
    tensor(make.op(Op::ImageResize { height, width, fit, filter, fill: (fill as f32).to_bits() }, &[photo]))
}

fn of_pixels(make: &mut Make<'_>, intrinsic: Intrinsic, pixels: ValueId, rest: &[Lowered]) -> Found {
    match (intrinsic, rest) {
        (Intrinsic::ToNchw, []) => tensor(make.transpose(pixels, &[2, 0, 1]).and_then(|planes| batch(make, planes))),
        (Intrinsic::ToNhwc, []) => tensor(batch(make, pixels)),
        (Intrinsic::FromNchw, []) => tensor(unbatch(make, pixels).and_then(|planes| make.transpose(planes, &[1, 2, 0]))),
        (Intrinsic::FlipHorizontal, []) => tensor(reverse(make, pixels, 1)),
        (Intrinsic::Crop, [left, top, size]) => {
            let (left, top, size) = (number(left)?, number(top)?, sides(size)?);
            let corner = whole("left", left).and_then(|left| Ok([left, whole("top", top)?]));
            tensor(corner.and_then(|corner| crop(make, pixels, corner, size)))
        }
        (Intrinsic::CenterCrop, [size]) => {
            let size = sides(size)?;
            tensor(center_crop(make, pixels, size))
        }
        (Intrinsic::Pad, [left, top, right, bottom, value]) => {
            let [left, top, right, bottom, value] = [number(left)?, number(top)?, number(right)?, number(bottom)?, number(value)?];
            tensor(pad(make, pixels, [top, left], [bottom, right], value))
        }
        (Intrinsic::ResizePixels, [size, by]) => {
            let (size, filter) = (sides(size)?, filter(by)?);
            tensor(resize_pixels(make, pixels, size, filter))
        }
        _ => None,
    }
}

/// The width and the height of a size that is known when compiling.
pub(super) fn sides(size: &Lowered) -> Option<[u64; 2]> {
    match size {
        Lowered::Constant(Value::Size { width, height }) => Some([u64::from(*width), u64::from(*height)]),
        _ => None,
    }
}

fn filter(value: &Lowered) -> Option<Filter> {
    Some(match word(value)? {
        "nearest" => Filter::Nearest,
        "bilinear" => Filter::Triangle,
        "bicubic" => Filter::Cubic,
        "lanczos" => Filter::Lanczos,
        _ => return None,
    })
}

fn crop(make: &mut Make<'_>, pixels: ValueId, [left, top]: [u64; 2], [width, height]: [u64; 2]) -> Result<ValueId, String> {
    let rows = make.slice(pixels, 0, top, height)?;
    make.slice(rows, 1, left, width)
}

/// Around the middle; half a pixel is rounded to even, as torchvision does.
fn center_crop(make: &mut Make<'_>, pixels: ValueId, size: [u64; 2]) -> Result<ValueId, String> {
    let [width, height] = size;
    let (rows, columns) = (make.size(pixels, 0)?, make.size(pixels, 1)?);
    if height > rows || width > columns {
        return Err(format!("{width}x{height} is cut from {columns}x{rows} pixels; write a smaller size"));
    }
    let half = |rest: u64| (rest as f64 / 2.0).round_ties_even() as u64;
    crop(make, pixels, [half(columns - width), half(rows - height)], size)
}

fn pad(make: &mut Make<'_>, pixels: ValueId, before: [f64; 2], after: [f64; 2], value: f64) -> Result<ValueId, String> {
    let counts = |names: [&str; 2], counts: [f64; 2]| -> Result<Vec<u64>, String> {
        Ok(vec![whole(names[0], counts[0])?, whole(names[1], counts[1])?, 0])
    };
    let (before, after) = (counts(["top", "left"], before)?, counts(["bottom", "right"], after)?);
    let value = make.scalar_like(pixels, value);
    make.op(Op::Pad { before, after }, &[pixels, value])
}

/// Two products with the weights of rows and of columns.
fn resize_pixels(make: &mut Make<'_>, pixels: ValueId, [width, height]: [u64; 2], filter: Filter) -> Result<ValueId, String> {
    let [rows, columns, channels] = [make.size(pixels, 0)?, make.size(pixels, 1)?, make.size(pixels, 2)?];
    if (rows * height).max(columns * width) > 1 << 24 {
        return Err(format!("{columns}x{rows} pixels are too many to be made {width}x{height}"));
    }
    let down = make.floats(&[height, rows], &resampling(rows, height, filter))?;
    let across = make.floats(&[width, columns], &resampling(columns, width, filter))?;
    let lines = make.reshape(pixels, vec![Dim::Const(rows), Dim::Const(columns * channels)])?;
    let lines = make.op(Op::MatMul, &[down, lines])?;
    let lines = make.reshape(lines, [height, columns, channels].map(Dim::Const).to_vec())?;
    make.op(Op::MatMul, &[across, lines])
}
