//! Sums of two tensors, and means over axes, in integers.

use super::Target;
use super::params::{activation, fixed_point};
use crate::infer::InferError;
use crate::ir::{Graph, Type, ValueId};
use crate::op::{BinaryOp, Op, ReduceKind};

/// A sum or difference of two quantized tensors.
pub(super) fn add(graph: &mut Graph, value: ValueId, target: &Target) -> Result<Option<ValueId>, InferError> {
    let Some(node) = graph.defining(value) else { return Ok(None) };
    let sign = match node.op {
        Op::Binary(BinaryOp::Add) => 1,
        Op::Binary(BinaryOp::Sub) => -1,
        _ => return Ok(None),
    };
    let (Some((x, x_params)), Some((y, y_params))) = (activation(graph, node.operands[0]), activation(graph, node.operands[1])) else {
        return Ok(None);
    };
    let out = &target.out;
    let factors = [x_params, y_params].map(|params| f64::from(params.scale) / f64::from(out.scale));
    let Some((shift, [x_mult, y_mult])) = factors_for(factors, [x_params.reach(), y_params.reach()]) else { return Ok(None) };
    let op = Op::QuantizedAdd {
        x_zero: x_params.zero,
        y_zero: y_params.zero,
        x_mult,
        y_mult: sign * y_mult,
        out_zero: out.zero,
        shift,
        dtype: out.dtype,
        lo: target.bounds.lo,
        hi: target.bounds.hi,
    };
    let origin = graph.definition(value).map_or(target.origin, |(id, _)| id);
    let origin = graph.origins[origin].clone();
    graph.append_one(op, &[x, y], origin).map(Some)
}

/// The two factors over the greatest power of two with which all of the sum, rounding included, stays inside 31 bits.
fn factors_for(factors: [f64; 2], reaches: [i32; 2]) -> Option<(u8, [i32; 2])> {
    (1..=30u8).rev().find_map(|shift| {
        let mults = factors.map(|factor| (factor * f64::from(1u32 << shift)).round());
        let greatest = mults[0] * f64::from(reaches[0]) + mults[1] * f64::from(reaches[1]) + f64::from(1u32 << (shift - 1));
        (greatest < f64::from(i32::MAX)).then(|| (shift, mults.map(|mult| mult as i32)))
    })
}

/// A mean over axes of a quantized tensor.
pub(super) fn mean(graph: &mut Graph, value: ValueId, target: &Target) -> Result<Option<ValueId>, InferError> {
    let Some((id, _)) = graph.definition(value) else { return Ok(None) };
    let node = graph.ops[id].clone();
    let Op::Reduce { kind: ReduceKind::Mean, axes, .. } = node.op else { return Ok(None) };
    let Some((x, params)) = activation(graph, node.operands[0]) else { return Ok(None) };
    let Some(dims) = graph.dims(x) else { return Ok(None) };
    let count: u64 = axes.iter().map(|&axis| dims[axis as usize]).product();
    if count == 0 || count.saturating_mul(params.reach() as u64) >= i32::MAX as u64 {
        return Ok(None);
    }
    let factor = f64::from(params.scale) / (f64::from(target.out.scale) * count as f64);
    let Some((multipliers, shift)) = fixed_point(&[factor]) else { return Ok(None) };
    let op = Op::QuantizedMean {
        axes,
        in_zero: params.zero,
        multiplier: multipliers[0],
        shift,
        out_zero: target.out.zero,
        dtype: target.out.dtype,
        lo: target.bounds.lo,
        hi: target.bounds.hi,
    };
    let origin = graph.origins[id].clone();
    let kept = graph.append_one(op, &[x], origin.clone())?;
    let shape = Type::new(target.out.dtype, graph.ty(value).shape.clone()).shape;
    graph.reshape(kept, shape, origin).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_stay_inside_31_bits() {
        for (factors, reaches) in [([1.0, 1.0], [255, 255]), ([0.001, 40.0], [128, 255]), ([3e5, 2e5], [255, 255])] {
            let (shift, mults) = factors_for(factors, reaches).expect("a shift");
            let most = i64::from(mults[0]) * i64::from(reaches[0]) + i64::from(mults[1]) * i64::from(reaches[1]) + (1i64 << (shift - 1));
            assert!(most < i64::from(i32::MAX), "{factors:?}: {most}");
        }
        assert_eq!(factors_for([1.0, 1.0], [255, 255]).map(|(shift, _)| shift), Some(22));
        assert_eq!(factors_for([1e10, 1.0], [255, 255]), None);
    }
}
