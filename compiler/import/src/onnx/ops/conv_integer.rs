//! `ConvInteger`: what dynamic quantization makes of convolutions.

use super::Row;
use super::conv::convolution;
use super::matmul::less_zero;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid};
use mlp_graph::op::{BinaryOp, Layout, Spatial};
use mlp_graph::{DType, Op, Tensor, ValueId};

pub(super) const TABLE: &[Row] = &[("", "ConvInteger", conv_integer)];

/// Sums of products of integers less their zero points, in `I32`.
fn conv_integer(node: &mut NodeImport<'_>) -> Imported {
    let (x, weights) = (node.input(0)?, node.input(1)?);
    let op = convolution(node, x, weights)?;
    if let (Op::Conv { spatial, groups, .. }, Some(weights)) = (&op, stored_weights(node, weights)?) {
        return Ok(vec![of_bytes(node, x, &weights, spatial, *groups)?]);
    }
    let x = centred(node, x, 2)?;
    let weights = centred(node, weights, 3)?;
    Ok(vec![node.emit(op, &[x, weights])?])
}

/// `x` less the zero point at input `zero`, which is one number or one a position of its first axis, in `I32`.
fn centred(node: &mut NodeImport<'_>, x: ValueId, zero: usize) -> One {
    let zero = node.optional(zero);
    let dims = zero.map(|zero| node.dims(zero)).unwrap_or_default();
    if dims.len() > 1 {
        return invalid(format!("a zero point has shape {dims:?}"));
    }
    less_zero(node, x, zero, node.rank(x) - 1)
}

/// Weights that are known, in `I8` less their zero points; none where they are not, or do not fit.
fn stored_weights(node: &NodeImport<'_>, weights: ValueId) -> Result<Option<Tensor>, Problem> {
    let Some(stored) = node.builder.known(weights).filter(|stored| matches!(stored.dtype(), DType::U8 | DType::I8)) else {
        return Ok(None);
    };
    let zeros = match node.optional(3) {
        None => vec![0],
        Some(zero) => match node.builder.known(zero).filter(|zero| zero.dtype() == stored.dtype()).and_then(Tensor::to_i64) {
            Some(zeros) => zeros,
            None => return Ok(None),
        },
    };
    let filters = stored.shape()[0] as usize;
    if zeros.len() != 1 && zeros.len() != filters {
        return invalid(format!("{} zero points are given for {filters} filters", zeros.len()));
    }
    let Some(values) = stored.to_i64() else { return Ok(None) };
    let filter = values.len() / filters.max(1);
    let zero = |index: usize| zeros[if zeros.len() == 1 { 0 } else { index / filter.max(1) }];
    let centred = values.iter().enumerate().map(|(index, value)| i8::try_from(value - zero(index)).ok());
    let Some(centred) = centred.collect::<Option<Vec<i8>>>() else { return Ok(None) };
    Ok(Tensor::from_values(stored.shape(), &centred).ok())
}

/// The convolution of bytes as they stand: the zero point of the input comes off the sums, as often as the weights of each filter add up to.
fn of_bytes(node: &mut NodeImport<'_>, x: ValueId, weights: &Tensor, spatial: &Spatial, groups: u64) -> One {
    let filters = weights.shape()[0];
    // Integers wrap, as they do where they are computed.
    let filter = weights.bytes().len() / filters.max(1) as usize;
    let sum = |filter: &[u8]| filter.iter().fold(0i32, |sum, &byte| sum.wrapping_add(i32::from(byte as i8)));
    let sums: Vec<i32> = (0..filters as usize).map(|index| sum(&weights.bytes()[index * filter..(index + 1) * filter])).collect();
    let zero = node.optional(2).map(|zero| node.as_scalar(zero, "the zero point of the input")).transpose()?;
    let known = match zero {
        None => Some(0),
        Some(zero) => node.builder.known(zero).and_then(Tensor::to_i64).and_then(|zero| i32::try_from(*zero.first()?).ok()),
    };
    let mut spatial = spatial.clone();
    let mut x = x;
    if let (None, Some(zero)) = (known, zero) {
        // Padding reads the zero point, which only a run tells.
        let with_channels = |pads: &mut Vec<u64>| [vec![0, 0], std::mem::take(pads)].concat();
        let (before, after) = (with_channels(&mut spatial.pads_begin), with_channels(&mut spatial.pads_end));
        (spatial.pads_begin, spatial.pads_end) = (vec![0; before.len() - 2], vec![0; after.len() - 2]);
        if before.iter().chain(&after).any(|&pad| pad > 0) {
            x = node.emit(Op::Pad { before, after }, &[x, zero])?;
        }
    }
    let taken: Vec<i32> = sums.iter().map(|sum| sum.wrapping_mul(-known.unwrap_or(0))).collect();
    let channels = |node: &mut NodeImport<'_>, shape: &[u64], values: &[i32]| -> One {
        Ok(node.constant(Tensor::from_i32(shape, values).map_err(|error| error.to_string())?))
    };
    let bias = channels(node, &[filters], &taken)?;
    let weights = node.constant(weights.clone());
    let op = Op::QuantizedConv {
        spatial,
        groups,
        layout: Layout::ChannelsFirst,
        in_zero: known.unwrap_or(0),
        out_zero: 0,
        shift: 1,
        dtype: DType::I32,
        lo: i32::MIN,
        hi: i32::MAX,
    };
    let result = node.emit(op, &[x, weights, bias])?;
    let (None, Some(zero)) = (known, zero) else { return Ok(result) };
    let mut shape = vec![1; node.rank(result)];
    shape[1] = filters;
    let sums = channels(node, &shape, &sums)?;
    let zero = node.cast(DType::I32, zero)?;
    let off = node.binary(BinaryOp::Mul, sums, zero)?;
    node.binary(BinaryOp::Sub, result, off)
}
