//! `ImageResize`.

use crate::infer::{Inferred, expect_dtype};
use crate::ir::Type;
use crate::op::Fit;
use crate::shape::Dim;
use crate::tensor::Tensor;
use mlp_bundle::DType;

pub(crate) fn infer(height: u64, width: u64, x: &Type) -> Inferred {
    expect_dtype("the photo", x, &[DType::U8])?;
    if x.shape.rank() != 3 || x.shape.0[2] != Dim::Const(4) {
        return Err(format!("the photo must be u8[height, width, 4], but is {x}"));
    }
    if height == 0 || width == 0 || x.shape.0[..2].contains(&Dim::Const(0)) {
        return Err("an image needs at least one pixel".into());
    }
    Ok(Type::fixed(DType::F32, &[height, width, 3]))
}

/// The part of a photo that is resampled: `(top, left, rows, columns)`.
fn fitted(rows: u64, columns: u64, height: u64, width: u64, fit: Fit) -> (u64, u64, u64, u64) {
    match fit {
        Fit::Stretch => (0, 0, rows, columns),
        Fit::CropCenter => {
            let crop_columns = columns.min(rows * width / height).max(1);
            let crop_rows = rows.min(columns * height / width).max(1);
            ((rows - crop_rows) / 2, (columns - crop_columns) / 2, crop_rows, crop_columns)
        }
    }
}

/// The first source position and the weights of each of `made` results along an axis of `size` elements, of which `count` from `start` are resampled.
fn weights(size: u64, start: u64, count: u64, made: u64) -> Vec<(usize, Vec<f32>)> {
    let scale = count as f32 / made as f32;
    let support = scale.max(1.0);
    (0..made)
        .map(|index| {
            let centre = start as f32 + (index as f32 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(size as usize);
            let triangle = |at: usize| (1.0 - ((at as f32 - centre + 0.5) / support).abs()).max(0.0);
            let raw: Vec<f32> = (first..end).map(triangle).collect();
            let sum: f32 = raw.iter().sum();
            (first, raw.into_iter().map(|weight| weight / sum).collect())
        })
        .collect()
}

pub(crate) fn eval(height: u64, width: u64, fit: Fit, x: &Tensor) -> Tensor {
    let (rows, columns) = (x.shape()[0], x.shape()[1]);
    let (top, left, crop_rows, crop_columns) = fitted(rows, columns, height, width, fit);
    let pixels = x.bytes();
    let mut narrow = Vec::with_capacity((rows * width * 3) as usize);
    let across = weights(columns, left, crop_columns, width);
    for row in 0..rows as usize {
        for (first, weights) in &across {
            for channel in 0..3 {
                let pixel = |offset: usize| f64::from(pixels[(row * columns as usize + first + offset) * 4 + channel]);
                narrow.push(weights.iter().enumerate().map(|(offset, &weight)| f64::from(weight) * pixel(offset)).sum::<f64>() as f32);
            }
        }
    }
    let line = width as usize * 3;
    let mut result = Vec::with_capacity(height as usize * line);
    for (first, weights) in weights(rows, top, crop_rows, height) {
        for at in 0..line {
            let value = |offset: usize| f64::from(narrow[(first + offset) * line + at]);
            result.push(weights.iter().enumerate().map(|(offset, &weight)| f64::from(weight) * value(offset)).sum::<f64>() as f32);
        }
    }
    Tensor::from_f32(&[height, width, 3], &result).expect("three values a pixel")
}
