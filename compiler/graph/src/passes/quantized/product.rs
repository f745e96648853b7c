//! Convolutions and matrix products with constant weights, in integers.

use super::Target;
use super::params::{Bounds, PerTensor, activation, fixed_point, scalar};
use crate::eval::evaluate;
use crate::infer::InferError;
use crate::ir::{Graph, OpId, Origin, Type, ValueId};
use crate::numbers::requantize;
use crate::op::{BinaryOp, Op};
use crate::shape::{Dim, Shape};
use crate::tensor::Tensor;
use cranelift_entity::SecondaryMap;
use mlp_bundle::DType;

/// Constant 8-bit weights, their zero point taken off.
struct Weights {
    /// `I8`.
    tensor: Tensor,
    /// One scale, or one a position of `axis`.
    scales: Vec<f64>,
    axis: usize,
}

impl Weights {
    /// Reads `dequantize(constant)`, possibly transposed after.
    fn of(graph: &Graph, value: ValueId) -> Option<Weights> {
        let node = graph.defining(value)?;
        match &node.op {
            Op::Dequantize { axis } => Weights::read(graph, &node.operands, *axis as usize),
            Op::Transpose { perm } => {
                let (inner, _) = graph.definition(node.operands[0])?;
                let Op::Dequantize { axis } = graph.ops[inner].op else { return None };
                let weights = Weights::read(graph, &graph.ops[inner].operands, axis as usize)?;
                let shape: Vec<u64> = perm.iter().map(|&axis| weights.tensor.shape()[axis as usize]).collect();
                let turned = evaluate(&node.op, &[&weights.tensor], &[Type::fixed(DType::I8, &shape)]).ok()?.pop()?;
                let axis = perm.iter().position(|&from| from as usize == weights.axis)?;
                Some(Weights { tensor: turned, axis, ..weights })
            }
            _ => None,
        }
    }

    fn read(graph: &Graph, operands: &[ValueId], axis: usize) -> Option<Weights> {
        let data = graph.constant_of(operands[0])?;
        let (scale, zero) = (graph.constant_of(operands[1])?, graph.constant_of(operands[2])?);
        if !matches!(data.dtype(), DType::U8 | DType::I8) || scale.shape().len() > 1 || axis >= data.shape().len() {
            return None;
        }
        let scales = scale.to_f64();
        if !scales.iter().all(|scale| scale.is_finite() && *scale > 0.0) {
            return None;
        }
        let zeros = zero.to_i64()?;
        if data.dtype() == DType::I8 && zeros.iter().all(|&zero| zero == 0) {
            return Some(Weights { tensor: data.clone(), scales, axis });
        }
        let inner: u64 = data.shape()[axis + 1..].iter().product();
        let along = data.shape()[axis];
        let centred = data.to_i64()?.into_iter().enumerate().map(|(index, value)| {
            let position = (index as u64 / inner.max(1) % along.max(1)) as usize;
            i8::try_from(value - zeros[if zeros.len() == 1 { 0 } else { position }]).ok()
        });
        let tensor = Tensor::from_values(data.shape(), &centred.collect::<Option<Vec<i8>>>()?).ok()?;
        Some(Weights { tensor, scales, axis })
    }

    /// One scale each of `count` channels along `axis`; none if scales go along another axis.
    fn scales_along(&self, axis: usize, count: usize) -> Option<Vec<f64>> {
        match self.scales.as_slice() {
            &[one] => Some(vec![one; count]),
            several if self.axis == axis && several.len() == count => Some(several.to_vec()),
            _ => None,
        }
    }

    /// What the weights of each channel along `axis` can sum up to.
    fn reaches_along(&self, axis: usize, count: usize, input: &PerTensor) -> Vec<Reach> {
        let (least, most) = (i64::from(input.range().0), i64::from(input.range().1));
        let mut reaches = vec![Reach::default(); count];
        let inner: usize = self.tensor.shape()[axis + 1..].iter().product::<u64>() as usize;
        for (index, weights) in self.tensor.bytes().chunks(inner.max(1)).enumerate() {
            let weights = || weights.iter().map(|&byte| i64::from(byte as i8));
            let sum: i64 = weights().sum();
            let above: i64 = weights().map(|weight| weight.max(0)).sum();
            let below = sum - above;
            let reach = &mut reaches[index % count];
            reach.weights += sum;
            reach.least += above * least + below * most;
            reach.most += above * most + below * least;
        }
        reaches
    }
}

/// What a channel's sum of products can be.
#[derive(Clone, Copy, Default)]
struct Reach {
    /// The sum of the weights.
    weights: i64,
    /// The least sum of products, not above 0.
    least: i64,
    /// The greatest sum of products, not below 0.
    most: i64,
}

impl Reach {
    /// Whether all sums over this bias are 32-bit integers.
    fn fits(&self, bias: i64) -> bool {
        bias + self.least >= i64::from(i32::MIN) && bias + self.most <= i64::from(i32::MAX)
    }

    /// A bias with which all sums are 32-bit integers and all results are what they would be with `bias` and unbounded sums. Quantizers give a
    /// channel that is always off a bias near the end of the range: there the bias may move as long as every result stays at its bound.
    fn fitting(&self, bias: i64, multiplier: i32, shift: u8, out: &PerTensor, bounds: Bounds) -> Option<i32> {
        if self.fits(bias) {
            return i32::try_from(bias).ok();
        }
        let below = bias + self.least < i64::from(i32::MIN);
        let moved = if below { i64::from(i32::MIN) - self.least } else { i64::from(i32::MAX) - self.most };
        if !self.fits(moved) {
            return None;
        }
        let nearest = i32::try_from(if below { moved + self.most } else { moved + self.least }).ok()?;
        let result = requantize(nearest, multiplier, shift).saturating_add(out.zero);
        let off = if below { result <= bounds.lo } else { result >= bounds.hi };
        if off { i32::try_from(moved).ok() } else { None }
    }

    /// The bias and the multiplier of a channel, or others with the same results where all of those are one number and its sums take more than binary32's 24 bits for it.
    /// Quantizers give channels that are off such factors; with others, binary32 rounds all channels as integers do.
    fn settled(&self, bias: i32, multiplier: i32, shift: u8, out: &PerTensor, bounds: Bounds) -> (i32, i32) {
        let ends = |bias: i64| [bias + self.least, bias + self.most];
        let result = |sum: i64, multiplier: i32| {
            let sum = i32::try_from(sum).ok()?;
            Some(requantize(sum, multiplier, shift).saturating_add(out.zero).clamp(bounds.lo, bounds.hi))
        };
        let both = |bias: i64, multiplier: i32| {
            let [least, most] = ends(bias).map(|sum| result(sum, multiplier));
            least.filter(|_| least == most)
        };
        let small = f64::from(multiplier) * 2f64.powi(24 - i32::from(shift)) < f64::from(bounds.hi - bounds.lo + 1);
        if !small || ends(bias.into()).iter().all(|sum| sum.abs() <= 1 << 24) {
            return (bias, multiplier);
        }
        let Some(one) = both(bias.into(), multiplier) else { return (bias, multiplier) };
        let quotient = i64::from(one - out.zero);
        // Sums move the quotient of a number between the bounds by less than 1 in 64; one at a bound may move beyond it.
        let still = 70 - u32::from(((self.most - self.least) as u64 | 1).leading_zeros() as u8);
        let places = if one == bounds.lo || one == bounds.hi { 12 } else { still }.max(u32::from(shift).saturating_sub(30));
        let moved = match one {
            _ if one == bounds.lo => ((quotient - 1) << places) - self.most,
            _ if one == bounds.hi => ((quotient + 1) << places) - self.least,
            _ => (quotient << places) - (self.least + self.most) / 2,
        };
        let other = u32::from(shift).checked_sub(places).map_or(0, |left| 1 << left);
        match i32::try_from(moved) {
            Ok(moved) if both(moved.into(), other) == Some(one) => (moved, other),
            _ => (bias, multiplier),
        }
    }
}

/// A bias in units of the sums, rounded: `real / unit`, a channel. None where it is no constant of one number a channel.
fn integer_bias(graph: &Graph, bias: Option<ValueId>, units: &[f64]) -> Option<Vec<i64>> {
    let Some(bias) = bias else { return Some(vec![0; units.len()]) };
    let node = graph.defining(bias)?;
    let spread = |values: Vec<f64>| match values.as_slice() {
        &[one] => Some(vec![one; units.len()]),
        several if several.len() == units.len() => Some(several.to_vec()),
        _ => None,
    };
    let real = match node.op {
        Op::Constant(tensor) => spread(graph.tensors[tensor].to_f64())?,
        Op::Dequantize { .. } => {
            let part = |index: usize| graph.constant_of(node.operands[index]).map(Tensor::to_f64).and_then(spread);
            let (values, scales, zeros) = (part(0)?, part(1)?, part(2)?);
            // Stored in the units of the sums, as quantizers do, up to the rounding of a product of `F32`: then the integers are exact as they stand.
            let same = scales.iter().zip(units).all(|(scale, unit)| (scale / unit - 1.0).abs() < 1e-6);
            if same {
                return Some(values.iter().zip(&zeros).map(|(value, zero)| (value - zero) as i64).collect());
            }
            values.iter().zip(&zeros).zip(&scales).map(|((value, zero), scale)| (value - zero) * scale).collect()
        }
        _ => return None,
    };
    let steps: Vec<f64> = real.iter().zip(units).map(|(real, unit)| (real / unit).round_ties_even()).collect();
    steps.iter().all(|step| step.abs() < 2f64.powi(31)).then(|| steps.iter().map(|&step| step as i64).collect())
}

/// The bias with what the input's zero point adds taken off. None if a sum could leave 32 bits.
fn folded_bias(bias: &[i64], reaches: &[Reach], input: &PerTensor) -> Option<Vec<i32>> {
    let fold = |(&bias, reach): (&i64, &Reach)| {
        let folded = bias - i64::from(input.zero) * reach.weights;
        reach.fits(folded).then(|| i32::try_from(folded).ok()).flatten()
    };
    bias.iter().zip(reaches).map(fold).collect()
}

/// Everything that an integer product needs beside its input.
struct Constants {
    bias: Vec<i32>,
    multipliers: Vec<i32>,
    shift: u8,
}

impl Constants {
    fn new(graph: &Graph, weights: &Weights, axis: usize, input: &PerTensor, around: &Around, target: &Target) -> Option<Constants> {
        let count = *weights.tensor.shape().get(axis)? as usize;
        let scale = f64::from(input.scale) * around.alpha;
        let units: Vec<f64> = weights.scales_along(axis, count)?.iter().map(|weight| weight * scale).collect();
        let bias = integer_bias(graph, around.bias, &units)?;
        let factors: Vec<f64> = units.iter().map(|unit| unit / f64::from(target.out.scale)).collect();
        let (multipliers, shift) = fixed_point(&factors)?;
        let (out, bounds) = (&target.out, target.bounds);
        let fit = |((&bias, reach), &multiplier): ((&i64, &Reach), &i32)| {
            let folded = bias - i64::from(input.zero) * reach.weights;
            let fitting = reach.fitting(folded, multiplier, shift, out, bounds)?;
            Some(reach.settled(fitting, multiplier, shift, out, bounds))
        };
        let reaches = weights.reaches_along(axis, count, input);
        let (bias, multipliers) = bias.iter().zip(&reaches).zip(&multipliers).map(fit).collect::<Option<Vec<_>>>()?.into_iter().unzip();
        Some(Constants { bias, multipliers, shift })
    }
}

/// What stands around a product of input and weights: `product * alpha + bias`.
struct Around {
    alpha: f64,
    bias: Option<ValueId>,
}

fn channel_constant(graph: &mut Graph, values: &[i32], origin: Origin) -> ValueId {
    let tensor = Tensor::from_i32(&[values.len() as u64], values).expect("one number a channel");
    graph.constant(tensor, origin)
}

/// Where a constant comes from that was stored quantized; `near` where there is none, or it does not say.
fn origin_of(graph: &Graph, mut value: ValueId, near: OpId) -> Origin {
    while let Some((id, _)) = graph.definition(value) {
        match &graph.ops[id].op {
            Op::Constant(_) if graph.origins[id] != Origin::default() => return graph.origins[id].clone(),
            Op::Dequantize { .. } | Op::Transpose { .. } => value = graph.ops[id].operands[0],
            _ => break,
        }
    }
    graph.origins[near].clone()
}

/// A convolution of a quantized tensor.
pub(super) fn conv(graph: &mut Graph, value: ValueId, target: &Target) -> Result<Option<ValueId>, InferError> {
    let Some((id, _)) = graph.definition(value) else { return Ok(None) };
    let node = graph.ops[id].clone();
    let Op::Conv { spatial, groups, layout } = node.op else { return Ok(None) };
    let Some((x, input)) = activation(graph, node.operands[0]) else { return Ok(None) };
    let Some(weights) = Weights::of(graph, node.operands[1]) else { return Ok(None) };
    let around = Around { alpha: 1.0, bias: node.operands.get(2).copied() };
    let Some(constants) = Constants::new(graph, &weights, 0, &input, &around, target) else { return Ok(None) };
    let origin = graph.origins[id].clone();
    let weights = graph.constant(weights.tensor, origin_of(graph, node.operands[1], id));
    let bias_origin = around.bias.map_or_else(|| origin.clone(), |bias| origin_of(graph, bias, id));
    let bias = channel_constant(graph, &constants.bias, bias_origin);
    let multiplier = channel_constant(graph, &constants.multipliers, origin.clone());
    let op = Op::QuantizedConv {
        spatial,
        groups,
        layout,
        in_zero: input.zero,
        out_zero: target.out.zero,
        shift: constants.shift,
        dtype: target.out.dtype,
        lo: target.bounds.lo,
        hi: target.bounds.hi,
    };
    graph.append_one(op, &[x, weights, bias, multiplier], origin).map(Some)
}

/// A matrix product of floats, with what may stand around it.
struct Product {
    id: OpId,
    around: Around,
}

impl Product {
    /// Reads `matmul`, `matmul * alpha` and either plus a bias; nothing between may have another reader.
    fn of(graph: &Graph, uses: &SecondaryMap<ValueId, u32>, value: ValueId) -> Option<Product> {
        let node = graph.defining(value)?;
        if node.op != Op::Binary(BinaryOp::Add) {
            let (id, alpha) = Product::scaled(graph, uses, value)?;
            return Some(Product { id, around: Around { alpha, bias: None } });
        }
        [(0, 1), (1, 0)].into_iter().find_map(|(product, bias)| {
            let (product, bias) = (node.operands[product], node.operands[bias]);
            // A bias along the columns, not one that stretches the product.
            let columns = *graph.ty(product).shape.0.last()?;
            let along =
                graph.ty(bias).shape.0.iter().rev().enumerate().all(|(back, &dim)| dim == Dim::Const(1) || back == 0 && dim == columns);
            if !along || uses[product] != 1 || graph.ty(product) != graph.ty(value) {
                return None;
            }
            let (id, alpha) = Product::scaled(graph, uses, product)?;
            Some(Product { id, around: Around { alpha, bias: Some(bias) } })
        })
    }

    fn scaled(graph: &Graph, uses: &SecondaryMap<ValueId, u32>, value: ValueId) -> Option<(OpId, f64)> {
        let (id, _) = graph.definition(value)?;
        let node = &graph.ops[id];
        match node.op {
            Op::MatMul => Some((id, 1.0)),
            Op::Binary(BinaryOp::Mul) if uses[node.operands[0]] == 1 => {
                let alpha = f64::from(scalar(graph, node.operands[1])?);
                let (inner, _) = graph.definition(node.operands[0])?;
                (graph.ops[inner].op == Op::MatMul && alpha > 0.0 && alpha.is_finite()).then_some((inner, alpha))
            }
            _ => None,
        }
    }
}

/// The input of a product as a matrix: leading axes are joined.
fn as_matrix(graph: &mut Graph, x: ValueId, near: OpId) -> Result<Option<ValueId>, InferError> {
    let Some(dims) = graph.dims(x) else { return Ok(None) };
    let Some((&columns, rows)) = dims.split_last() else { return Ok(None) };
    let origin = graph.origins[near].clone();
    graph.reshape(x, Shape::fixed(&[rows.iter().product(), columns]), origin).map(Some)
}

/// A matrix product of a quantized tensor and constant weights.
pub(super) fn matmul(
    graph: &mut Graph,
    uses: &SecondaryMap<ValueId, u32>,
    value: ValueId,
    target: &Target,
) -> Result<Option<ValueId>, InferError> {
    let Some(product) = Product::of(graph, uses, value) else { return Ok(None) };
    let operands = graph.ops[product.id].operands.clone();
    let Some((x, input)) = activation(graph, operands[0]) else { return Ok(None) };
    let Some(weights) = Weights::of(graph, operands[1]).filter(|weights| weights.tensor.shape().len() == 2) else { return Ok(None) };
    let Some(constants) = Constants::new(graph, &weights, 1, &input, &product.around, target) else { return Ok(None) };
    let Some(matrix) = as_matrix(graph, x, product.id)? else { return Ok(None) };
    let origin = graph.origins[product.id].clone();
    let weights = graph.constant(weights.tensor, origin_of(graph, operands[1], product.id));
    let bias_origin = product.around.bias.map_or_else(|| origin.clone(), |bias| origin_of(graph, bias, product.id));
    let bias = channel_constant(graph, &constants.bias, bias_origin);
    let multiplier = channel_constant(graph, &constants.multipliers, origin.clone());
    let op = Op::QuantizedMatMul {
        out_zero: target.out.zero,
        shift: constants.shift,
        dtype: target.out.dtype,
        lo: target.bounds.lo,
        hi: target.bounds.hi,
    };
    let result = graph.append_one(op, &[matrix, weights, bias, multiplier], origin.clone())?;
    let shape = graph.ty(value).shape.clone();
    graph.reshape(result, shape, origin).map(Some)
}

/// A matrix product of a quantized tensor and constant weights whose result stays float: integer sums, dequantized after.
pub(super) fn dequantized_matmul(graph: &mut Graph, id: OpId) -> Result<Option<ValueId>, InferError> {
    let operands = graph.ops[id].operands.clone();
    let Some((x, input)) = activation(graph, operands[0]) else { return Ok(None) };
    let Some(weights) = Weights::of(graph, operands[1]).filter(|weights| weights.tensor.shape().len() == 2) else { return Ok(None) };
    let columns = weights.tensor.shape()[1] as usize;
    let Some(scales) = weights.scales_along(1, columns) else { return Ok(None) };
    let Some(bias) = folded_bias(&vec![0; columns], &weights.reaches_along(1, columns, &input), &input) else { return Ok(None) };
    let scales: Vec<f32> = scales.iter().map(|scale| (scale * f64::from(input.scale)) as f32).collect();
    let Some(matrix) = as_matrix(graph, x, id)? else { return Ok(None) };
    let origin = graph.origins[id].clone();
    let weights = graph.constant(weights.tensor, origin_of(graph, operands[1], id));
    let bias = channel_constant(graph, &bias, origin.clone());
    let op = Op::QuantizedMatMul { out_zero: 0, shift: 1, dtype: DType::I32, lo: i32::MIN, hi: i32::MAX };
    let sums = graph.append_one(op, &[matrix, weights, bias], origin.clone())?;
    let scales = graph.constant(Tensor::from_f32(&[columns as u64], &scales).expect("one number a column"), origin.clone());
    let zeros = channel_constant(graph, &vec![0; columns], origin.clone());
    let floats = graph.append_one(Op::Dequantize { axis: 1 }, &[sums, scales, zeros], origin.clone())?;
    let shape = graph.ty(graph.ops[id].results[0]).shape.clone();
    graph.reshape(floats, shape, origin).map(Some)
}

/// `dequantize(sums) + dequantize(bias)` with one scale: the bias is added to the sums before.
pub(super) fn add_integer_bias(graph: &mut Graph, uses: &SecondaryMap<ValueId, u32>, id: OpId) -> Result<Option<ValueId>, InferError> {
    for (left, right) in [(0, 1), (1, 0)] {
        let (sums, bias) = (graph.ops[id].operands[left], graph.ops[id].operands[right]);
        let Some(node) = graph.defining(sums).cloned() else { continue };
        let Op::Dequantize { axis: 1 } = node.op else { continue };
        let Some((product, _)) = graph.definition(node.operands[0]) else { continue };
        let Op::QuantizedMatMul { dtype: DType::I32, .. } = graph.ops[product].op else { continue };
        let alone = uses[sums] == 1 && uses[node.operands[0]] == 1 && graph.ty(sums) == graph.ty(graph.ops[id].results[0]);
        let is_stored = graph.defining(bias).is_some_and(|node| matches!(node.op, Op::Dequantize { .. }));
        let along = graph.ty(bias).shape.0.last() == graph.ty(sums).shape.0.last() && graph.ty(bias).shape.rank() == 1;
        if !alone || !is_stored || !along {
            continue;
        }
        let origin = graph.origins[product].clone();
        let product = graph.ops[product].clone();
        let (Some(units), Some(before)) = (graph.constant_of(node.operands[1]), graph.constant_of(product.operands[2])) else { continue };
        let (Some(before), Some(added)) = (before.as_i32(), integer_bias(graph, Some(bias), &units.to_f64())) else { continue };
        let Some(both) = summed_bias(graph, &product.operands, &before, &added) else { continue };
        let bias_origin = origin_of(graph, bias, id);
        let bias = channel_constant(graph, &both, bias_origin);
        let sums = graph.append_one(product.op, &[product.operands[0], product.operands[1], bias], origin.clone())?;
        return graph.append_one(node.op, &[sums, node.operands[1], node.operands[2]], origin).map(Some);
    }
    Ok(None)
}

/// The sum of two biases of an integer product; none if sums could then leave 32 bits.
fn summed_bias(graph: &Graph, operands: &[ValueId], before: &[i32], added: &[i64]) -> Option<Vec<i32>> {
    let tensor = graph.constant_of(operands[1])?.clone();
    let input = PerTensor { scale: 1.0, zero: 0, dtype: graph.ty(operands[0]).dtype };
    let reaches = Weights { tensor, scales: vec![1.0], axis: 1 }.reaches_along(1, before.len(), &input);
    let both: Vec<i64> = before.iter().zip(added).map(|(&before, &added)| i64::from(before) + added).collect();
    folded_bias(&both, &reaches, &input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_that_is_off_may_have_any_bias() {
        let out = PerTensor { scale: 1.0, zero: 0, dtype: DType::U8 };
        let bounds = Bounds { lo: 0, hi: 255 };
        let reach = Reach { weights: 0, least: -1000, most: 1000 };
        // 2^31 times this factor is 128 steps.
        let (multiplier, shift) = (1 << 7, 31);
        assert_eq!(reach.fitting(-5, multiplier, shift, &out, bounds), Some(-5));
        let moved = reach.fitting(i64::from(i32::MIN) - 7, multiplier, shift, &out, bounds);
        assert_eq!(moved, Some(i32::MIN + 1000), "results stay 0");
        assert_eq!(reach.fitting(i64::from(i32::MAX) + 7, multiplier, shift, &out, bounds), None, "results of 128 are no bound");
        let tight = Bounds { lo: 0, hi: 100 };
        assert_eq!(reach.fitting(i64::from(i32::MAX) + 7, multiplier, shift, &out, tight), Some(i32::MAX - 1000), "results stay 100");
    }

    #[test]
    fn a_channel_of_one_result_has_factors_that_binary32_rounds() {
        let out = PerTensor { scale: 1.0, zero: 3, dtype: DType::U8 };
        let bounds = Bounds { lo: 0, hi: 255 };
        let reach = Reach { weights: 0, least: -1000, most: 2000 };
        let shift = 37;
        let result = |sum: i64, multiplier| (requantize(sum as i32, multiplier, shift) + 3).clamp(0, 255);
        for (bias, one) in [(-2_147_000_000, 0), (2_000_000_000, 102), (600_000_000, 33)] {
            let before = 6800;
            let (moved, multiplier) = reach.settled(bias, before, shift, &out, bounds);
            assert_ne!((moved, multiplier), (bias, before));
            for x in [-1000, 0, 2000] {
                assert_eq!(result(i64::from(bias) + x, before), one);
                assert_eq!(result(i64::from(moved) + x, multiplier), one);
            }
        }
        // A tie among the sums, sums that binary32 holds, and a factor that takes longer sums past the bounds stay.
        let tie = ((1_i64 << 37) * 99 / 2 / 6800) as i32;
        for (bias, multiplier) in [(tie, 6800), (1 << 20, 6800), (2_000_000_000, 1 << 22)] {
            assert_eq!(reach.settled(bias, multiplier, shift, &out, bounds), (bias, multiplier));
        }
    }
}
