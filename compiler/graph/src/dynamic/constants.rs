//! Constants: what is the same in every member, what is the start of the greatest one, and numbers that go by the sizes.

use super::writer::{Ruled, Writer, is_fixed, refuse};
use crate::ir::{OpId, ValueId};
use crate::op::{BinaryOp, Op};
use crate::ops::movement::eval_slice;
use crate::tensor::Tensor;
use mlp_bundle::DType;

/// The most numbers of one constant that may each go by the sizes.
const MOST_NUMBERS: usize = 64;

/// The constant that stands for one in every member.
pub(super) fn constant(writer: &mut Writer<'_>, id: OpId) -> Ruled {
    let result = writer.node(id).results[0];
    let tensors: Vec<&Tensor> = writer.family.members.iter().map(|graph| data(graph, id)).collect();
    let first = tensors[0];
    if tensors.iter().all(|tensor| same(tensor, first)) {
        return Ok(writer.constant(first.clone()));
    }
    let axes = writer.axes(result)?;
    if is_fixed(&axes) {
        return numbers(writer, &tensors);
    }
    let starts = tensors.iter().all(|tensor| is_start(tensor, first));
    if starts { Ok(writer.constant(first.clone())) } else { refuse("its numbers are others at other sizes; give it a constant size") }
}

/// What stands for a size of every member.
pub(super) fn size(writer: &mut Writer<'_>, id: OpId) -> Ruled {
    let of = |op: &Op| match op {
        Op::Size { value, .. } => i64::from(*value),
        _ => unreachable!("members have the same operations"),
    };
    let values = writer.family.members.iter().map(|graph| of(&graph.ops[id].op)).collect();
    writer.counted(values)
}

fn data(graph: &crate::ir::Graph, id: OpId) -> &Tensor {
    match graph.ops[id].op {
        Op::Constant(tensor) => &graph.tensors[tensor],
        _ => unreachable!("members have the same operations"),
    }
}

/// Whether two tensors are equal; those that share their bytes are not compared.
fn same(a: &Tensor, b: &Tensor) -> bool {
    a.shape() == b.shape() && a.dtype() == b.dtype() && (std::ptr::eq(a.bytes(), b.bytes()) || a.bytes() == b.bytes())
}

/// Whether a tensor is the start of another along every axis.
fn is_start(tensor: &Tensor, of: &Tensor) -> bool {
    let rank = of.shape().len();
    let fits = tensor.shape().iter().zip(of.shape()).all(|(size, most)| size <= most);
    fits && eval_slice(&vec![0; rank], &vec![1; rank], of, tensor.shape()).bytes() == tensor.bytes()
}

/// A constant of one shape whose numbers go by the sizes.
fn numbers(writer: &mut Writer<'_>, tensors: &[&Tensor]) -> Ruled {
    let first = tensors[0];
    if first.len() > MOST_NUMBERS {
        return refuse("its numbers are others at other sizes; give it a constant size");
    }
    let values: Vec<Vec<f64>> = tensors.iter().map(|tensor| tensor.to_f64()).collect();
    let mut parts = Vec::new();
    for index in 0..first.len() {
        let number = number(writer, first.dtype(), values.iter().map(|values| values[index]).collect())?;
        parts.push(writer.reshape(number, &[1]));
    }
    let joined = if parts.len() == 1 { parts[0] } else { writer.append(Op::Concat { axis: 0 }, &parts)? };
    Ok(writer.reshape(joined, first.shape()))
}

/// One number: a whole one by a formula, or one divided by such.
fn number(writer: &mut Writer<'_>, dtype: DType, values: Vec<f64>) -> Ruled {
    if values.iter().all(|value| value.to_bits() == values[0].to_bits()) {
        return Ok(writer.number(dtype, values[0]));
    }
    let whole = |values: &[f64]| {
        values.iter().map(|&value| (value.fract() == 0.0 && value.abs() < 2e9).then_some(value as i64)).collect::<Option<Vec<i64>>>()
    };
    if let Some(values) = whole(&values) {
        let scalar: ValueId = writer.counted(values)?;
        return writer.cast(dtype, scalar);
    }
    let divisors: Vec<f64> = values.iter().map(|value| (1.0 / value).round()).collect();
    let exact = |(&value, &divisor): (&f64, &f64)| match dtype {
        DType::F32 => 1.0 / divisor as f32 == value as f32,
        DType::F64 => 1.0 / divisor == value,
        _ => false,
    };
    match whole(&divisors).filter(|_| values.iter().zip(&divisors).all(exact)) {
        Some(divisors) => {
            let scalar = writer.counted(divisors)?;
            let (one, scalar) = (writer.number(dtype, 1.0), writer.cast(dtype, scalar)?);
            writer.binary(BinaryOp::Div, one, scalar)
        }
        None => refuse("its numbers follow from the sizes by no formula that is known; give it a constant size"),
    }
}
