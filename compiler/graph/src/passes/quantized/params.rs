//! Scales and zero points read from the graph, and numbers turned into fixed point.

use crate::ir::{Graph, OpId, ValueId};
use crate::op::{BinaryOp, Op};
use cranelift_entity::SecondaryMap;
use mlp_bundle::DType;

/// One scale and zero point for a whole tensor of 8-bit integers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PerTensor {
    pub(super) scale: f32,
    pub(super) zero: i32,
    pub(super) dtype: DType,
}

impl PerTensor {
    /// The parameters of a `quantize` or `dequantize`, if they are constants and one for the whole tensor.
    pub(super) fn of(graph: &Graph, id: OpId) -> Option<PerTensor> {
        let node = &graph.ops[id];
        let (Op::Quantize { .. } | Op::Dequantize { .. }) = node.op else { return None };
        let (scale, zero) = (graph.constant_of(node.operands[1])?, graph.constant_of(node.operands[2])?);
        let dtype = zero.dtype();
        if !matches!(dtype, DType::U8 | DType::I8) {
            return None;
        }
        // A tensor of equal numbers says the same as one number.
        scale.uniform()?;
        zero.uniform()?;
        let scale = *scale.as_f32()?.first()?;
        let zero = *zero.to_i64()?.first()? as i32;
        (scale.is_finite() && scale > 0.0).then_some(PerTensor { scale, zero, dtype })
    }

    /// The values of the element type.
    pub(super) fn range(&self) -> (i32, i32) {
        if self.dtype == DType::U8 { (0, 255) } else { (-128, 127) }
    }

    /// How far an element can be from the zero point.
    pub(super) fn reach(&self) -> i32 {
        let (least, most) = self.range();
        (self.zero - least).max(most - self.zero)
    }

    /// What `quantize` makes of a number.
    pub(super) fn quantize(&self, number: f32) -> i32 {
        let (least, most) = self.range();
        let scaled = (number * (1.0 / self.scale)).round_ties_even();
        (scaled as i64).saturating_add(self.zero.into()).clamp(least.into(), most.into()) as i32
    }
}

/// The 8-bit integers behind a `dequantize`, with their parameters.
pub(super) fn activation(graph: &Graph, value: ValueId) -> Option<(ValueId, PerTensor)> {
    let (id, _) = graph.definition(value)?;
    let Op::Dequantize { .. } = graph.ops[id].op else { return None };
    Some((graph.ops[id].operands[0], PerTensor::of(graph, id)?))
}

/// The scalar that a value is everywhere.
pub(super) fn scalar(graph: &Graph, value: ValueId) -> Option<f32> {
    let tensor = graph.constant_of(value)?;
    tensor.uniform()?;
    let number = *tensor.as_f32()?.first()?;
    (!number.is_nan()).then_some(number)
}

/// The least and greatest quantized results: those of the element type, narrowed by activations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    pub(super) lo: i32,
    pub(super) hi: i32,
}

impl Bounds {
    /// Takes maxima and minima with scalars off a value that only they read. Quantizing keeps the order of numbers, so that bounds on results say the same.
    pub(super) fn peel(graph: &Graph, uses: &SecondaryMap<ValueId, u32>, value: ValueId, out: &PerTensor) -> Option<(Bounds, ValueId)> {
        let mut outermost_first = Vec::new();
        let mut value = value;
        loop {
            if uses[value] != 1 {
                return None;
            }
            let node = graph.defining(value)?;
            let Op::Binary(op @ (BinaryOp::Max | BinaryOp::Min)) = node.op else { break };
            let Some(bound) = scalar(graph, node.operands[1]).filter(|_| graph.ty(node.operands[0]) == graph.ty(value)) else { break };
            outermost_first.push((op, out.quantize(bound)));
            value = node.operands[0];
        }
        let (mut lo, mut hi) = out.range();
        for (op, bound) in outermost_first.into_iter().rev() {
            match op {
                BinaryOp::Max => (lo, hi) = (lo.max(bound), hi.max(bound)),
                _ => (lo, hi) = (lo.min(bound), hi.min(bound)),
            }
        }
        Some((Bounds { lo, hi }, value))
    }
}

/// Positive factors as integers over one power of two, the greatest in `2^30 .. 2^31`: multipliers and the power. None where a factor is no such number.
///
/// Factors are rounded to binary32 first, whose 24 bits are what the scales that they come from have: one fused multiplication and addition of binary32 then
/// rounds an exact product.
pub(super) fn fixed_point(factors: &[f64]) -> Option<(Vec<i32>, u8)> {
    let factors: Vec<f64> = factors.iter().map(|&factor| f64::from(factor as f32)).collect();
    let greatest = factors.iter().copied().fold(0.0, f64::max);
    if !factors.iter().all(|factor| factor.is_finite() && *factor > 0.0) {
        return None;
    }
    let mut shift = 30 - greatest.log2().floor() as i32;
    // A greatest factor just below a power of two may round up to it.
    if (greatest * 2f64.powi(shift)).round() >= 2f64.powi(31) {
        shift -= 1;
    }
    let shift = shift.min(62);
    if shift < 1 {
        return None;
    }
    let multipliers = factors.iter().map(|factor| (factor * 2f64.powi(shift)).round() as i32).collect();
    Some((multipliers, shift as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_use_31_bits() {
        assert_eq!(fixed_point(&[0.5, 0.25]), Some((vec![1 << 30, 1 << 29], 31)));
        assert_eq!(fixed_point(&[1.0]), Some((vec![1 << 30], 30)));
        // Just below 1: 2^31 * (1 - 2^-40) would round to 2^31.
        let close = 1.0 - 2f64.powi(-40);
        assert_eq!(fixed_point(&[close]), Some((vec![1 << 30], 30)));
        assert_eq!(fixed_point(&[2f64.powi(-40)]), Some((vec![1 << 22], 62)));
        let Some((thirds, _)) = fixed_point(&[2.0 / 3.0, 1.0 / 3000.0]) else { panic!("small factors") };
        assert!(thirds.iter().all(|&multiplier| f64::from(multiplier as f32) == f64::from(multiplier)), "binary32 holds {thirds:?}");
        assert_eq!(fixed_point(&[2f64.powi(30)]), None);
        assert_eq!(fixed_point(&[0.5, 0.0]), None);
        assert_eq!(fixed_point(&[f64::NAN]), None);
    }

    #[test]
    fn numbers_are_quantized_as_the_operation_does() {
        let params = PerTensor { scale: 0.5, zero: 10, dtype: DType::U8 };
        assert_eq!(params.quantize(0.0), 10);
        assert_eq!(params.quantize(0.25), 10, "half to even");
        assert_eq!(params.quantize(0.75), 12, "half to even");
        assert_eq!(params.quantize(f32::INFINITY), 255);
        assert_eq!(params.quantize(-1e30), 0);
        assert_eq!(params.reach(), 245);
    }
}
