//! Products of integers less their zero points: constant weights as bytes, so that contractions of bytes compute what is left of them.

use super::matmul::less_zero;
use crate::onnx::node::{NodeImport, One, Problem, invalid};
use mlp_graph::op::{BinaryOp, ReduceKind};
use mlp_graph::{DType, Op, Tensor, ValueId};

/// Weights in `I8`.
pub(super) struct ByteWeights {
    /// The bytes: for the weights of a channel that do not all fit less their zero point, as they were kept, moved to signed bytes.
    pub(super) tensor: Tensor,
    /// By how much the bytes of each channel are above what they stand for; empty where they are what they stand for.
    pub(super) zeros: Vec<i32>,
    /// What the bytes of each channel add up to; integers wrap, as they do where they are computed.
    pub(super) sums: Vec<i32>,
}

impl ByteWeights {
    /// Weights of a channel at each position of `axis`, less their zero points: one number or one a channel. None where they are not known when compiling, or no bytes.
    pub(super) fn of(node: &NodeImport<'_>, weights: ValueId, zero: Option<ValueId>, axis: usize) -> Result<Option<ByteWeights>, Problem> {
        let Some(stored) = node.builder.known(weights).filter(|stored| matches!(stored.dtype(), DType::U8 | DType::I8)) else {
            return Ok(None);
        };
        let zeros = match zero.map(|zero| node.builder.known(zero)) {
            None => vec![0],
            Some(known) => match known.filter(|zero| zero.dtype() == stored.dtype()).and_then(Tensor::to_i64) {
                Some(zeros) => zeros,
                None => return Ok(None),
            },
        };
        let (Some(&channels), Some(values)) = (stored.shape().get(axis), stored.to_i64()) else { return Ok(None) };
        if zeros.len() != 1 && zeros.len() as u64 != channels {
            return invalid(format!("{} zero points are given for {channels} channels", zeros.len()));
        }
        let inner = stored.shape()[axis + 1..].iter().product::<u64>().max(1) as usize;
        let channel = |index: usize| index / inner % channels.max(1) as usize;
        // What comes off the weights of each channel so that they are signed bytes: their zero point, where all of them then are.
        let mut taken: Vec<i64> = (0..channels as usize).map(|channel| zeros[if zeros.len() == 1 { 0 } else { channel }]).collect();
        let own = taken.clone();
        for (index, &value) in values.iter().enumerate() {
            if i8::try_from(value - own[channel(index)]).is_err() {
                taken[channel(index)] = if stored.dtype() == DType::U8 { 128 } else { 0 };
            }
        }
        let bytes: Vec<i8> = values.iter().enumerate().map(|(index, &value)| (value - taken[channel(index)]) as i8).collect();
        let mut sums = vec![0_i32; channels as usize];
        bytes.iter().enumerate().for_each(|(index, &byte)| sums[channel(index)] = sums[channel(index)].wrapping_add(byte.into()));
        let above: Vec<i32> = own.iter().zip(&taken).map(|(own, taken)| (own - taken) as i32).collect();
        let zeros = if above.iter().all(|&above| above == 0) { Vec::new() } else { above };
        let tensor = Tensor::from_values(stored.shape(), &bytes).map_err(|error| error.to_string())?;
        Ok(Some(ByteWeights { tensor, zeros, sums }))
    }
}

/// The zero point of a run-time operand.
pub(super) enum Zero {
    /// It is known when compiling.
    Known(i32),
    /// A scalar of `I32`.
    Computed(ValueId),
}

impl Zero {
    /// Of an input that is one number, or left out.
    pub(super) fn of(node: &mut NodeImport<'_>, zero: Option<ValueId>) -> Result<Zero, Problem> {
        let Some(zero) = zero else { return Ok(Zero::Known(0)) };
        let known = node.builder.known(zero).and_then(Tensor::to_i64);
        if let Some(known) = known.and_then(|zero| i32::try_from(*zero.first()?).ok()) {
            return Ok(Zero::Known(known));
        }
        let zero = node.as_scalar(zero, "the zero point of the input")?;
        Ok(Zero::Computed(node.cast(DType::I32, zero)?))
    }

    /// What sums begin with: the known zero point's part of them, less.
    pub(super) fn bias(&self, sums: &[i32]) -> Vec<i32> {
        let zero = if let Zero::Known(zero) = self { *zero } else { 0 };
        sums.iter().map(|sum| sum.wrapping_mul(zero.wrapping_neg())).collect()
    }

    /// `result` less a computed zero point's part of it, `sums` being constants that stretch to the result.
    pub(super) fn taken_off(&self, node: &mut NodeImport<'_>, result: ValueId, sums: Tensor) -> One {
        let Zero::Computed(zero) = *self else { return Ok(result) };
        let sums = node.constant(sums);
        let off = node.binary(BinaryOp::Mul, sums, zero)?;
        node.binary(BinaryOp::Sub, result, off)
    }
}

/// Constants of `I32`.
pub(super) fn integers(shape: &[u64], values: &[i32]) -> Result<Tensor, Problem> {
    Ok(Tensor::from_i32(shape, values).map_err(|error| error.to_string())?)
}

/// `(a - a_zero) x (b - b_zero)` in `I32`; the zero points are one number, or one a row of `a` and a column of `b`.
pub(super) fn integer_product(node: &mut NodeImport<'_>, a: ValueId, a_zero: Option<ValueId>, b: ValueId, b_zero: Option<ValueId>) -> One {
    let dims = node.dims(a);
    let one = a_zero.is_none_or(|zero| node.dims(zero).iter().all(|&size| size == 1));
    let bytes = matches!(node.dtype(a), DType::U8 | DType::I8) && dims.last().copied() == node.dims(b).first().copied();
    if one
        && bytes
        && node.rank(b) == 2
        && let Some(weights) = ByteWeights::of(node, b, b_zero, 1)?
    {
        return product_of_bytes(node, a, a_zero, &weights);
    }
    let a = less_zero(node, a, a_zero, 1)?;
    let b = less_zero(node, b, b_zero, 0)?;
    node.emit(Op::MatMul, &[a, b])
}

/// The product of bytes as they stand. What zero points add comes off: that of `a` as often as the weights of a column add up to, those of columns as often as a row does.
fn product_of_bytes(node: &mut NodeImport<'_>, a: ValueId, a_zero: Option<ValueId>, weights: &ByteWeights) -> One {
    let mut dims = node.dims(a);
    let (inputs, columns) = (weights.tensor.shape()[0], weights.tensor.shape()[1]);
    let zero = Zero::of(node, a_zero)?;
    let rows = dims[..dims.len() - 1].iter().product();
    let matrix = node.reshape(a, &[rows, inputs])?;
    let bias = node.constant(integers(&[columns], &zero.bias(&weights.sums))?);
    let bytes = node.constant(weights.tensor.clone());
    let op = Op::QuantizedMatMul { out_zero: 0, shift: 1, dtype: DType::I32, lo: i32::MIN, hi: i32::MAX };
    let product = node.emit(op, &[matrix, bytes, bias])?;
    if let Some(last) = dims.last_mut() {
        *last = columns;
    }
    let product = node.reshape(product, &dims)?;
    let product = zero.taken_off(node, product, integers(&[columns], &weights.sums)?)?;
    if weights.zeros.is_empty() {
        return Ok(product);
    }
    let wide = node.cast(DType::I32, a)?;
    let sums = node.reduce(ReduceKind::Sum, &[dims.len() - 1], true, wide)?;
    less_columns(node, product, sums, (&zero, inputs), integers(&[columns], &weights.zeros)?)
}

/// `result` less what the zero points of its channels add: each as often as the inputs of a sum, `sums`, add up to less their zero point, which each of `count` has.
pub(super) fn less_columns(node: &mut NodeImport<'_>, result: ValueId, sums: ValueId, (zero, count): (&Zero, u64), zeros: Tensor) -> One {
    let count = count as i32;
    let sums = match *zero {
        Zero::Known(0) => sums,
        Zero::Known(zero) => node.with_number(BinaryOp::Sub, sums, f64::from(zero.wrapping_mul(count)))?,
        Zero::Computed(zero) => {
            let all = node.with_number(BinaryOp::Mul, zero, f64::from(count))?;
            node.binary(BinaryOp::Sub, sums, all)?
        }
    };
    let zeros = node.constant(zeros);
    let off = node.binary(BinaryOp::Mul, sums, zeros)?;
    node.binary(BinaryOp::Sub, result, off)
}
