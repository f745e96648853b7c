//! Elementwise operations: `Unary`, `Binary`, `Compare`, `Select`, `Cast`, `Bitcast`.

use crate::infer::{Inferred, broadcast, expect_dtype};
use crate::ir::Type;
use crate::numbers::Elements;
use crate::op::{BinaryOp, CompareOp, UnaryOp};
use crate::ops::movement::broadcast_to;
use crate::tensor::Tensor;
use mlp_bundle::DType;

/// The text form's name.
pub(crate) fn unary_name(op: UnaryOp) -> &'static str {
    match op {
        UnaryOp::Neg => "neg",
        UnaryOp::Abs => "abs",
        UnaryOp::Not => "not",
        UnaryOp::Sqrt => "sqrt",
        UnaryOp::RoundEven => "round_even",
        UnaryOp::Floor => "floor",
        UnaryOp::Ceil => "ceil",
        UnaryOp::Trunc => "trunc",
        UnaryOp::Exp => "exp",
        UnaryOp::Log => "log",
        UnaryOp::Tanh => "tanh",
        UnaryOp::Erf => "erf",
        UnaryOp::Sin => "sin",
        UnaryOp::Cos => "cos",
    }
}

/// The text form's name.
pub(crate) fn binary_name(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "add",
        BinaryOp::Sub => "sub",
        BinaryOp::Mul => "mul",
        BinaryOp::Div => "div",
        BinaryOp::Rem => "rem",
        BinaryOp::Min => "min",
        BinaryOp::Max => "max",
        BinaryOp::Pow => "pow",
        BinaryOp::And => "and",
        BinaryOp::Or => "or",
        BinaryOp::Xor => "xor",
        BinaryOp::Shl => "shl",
        BinaryOp::Shr => "shr",
    }
}

/// The text form's name.
pub(crate) fn compare_name(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Eq => "eq",
        CompareOp::Ne => "ne",
        CompareOp::Lt => "lt",
        CompareOp::Le => "le",
    }
}

pub(crate) fn infer_unary(op: UnaryOp, x: &Type) -> Inferred {
    let fits = match op {
        UnaryOp::Neg | UnaryOp::Abs => x.dtype != DType::Bool,
        UnaryOp::Not => !x.dtype.is_float(),
        _ => x.dtype.is_float(),
    };
    if fits { Ok(x.clone()) } else { Err(format!("is not defined for {}", x.dtype)) }
}

pub(crate) fn infer_bitcast(to: DType, x: &Type) -> Inferred {
    // Narrower types are widened where they are computed, and have other bits there.
    let fits = to.size() == x.dtype.size() && to.size() >= 4;
    if fits { Ok(Type::new(to, x.shape.clone())) } else { Err(format!("{} and {to} do not both have 32 or 64 bits", x.dtype)) }
}

pub(crate) fn eval_bitcast(to: DType, x: &Tensor) -> Tensor {
    Tensor::of_shared(to, x.shape().to_vec(), x.shared_bytes()).expect("both types have as many bits")
}

pub(crate) fn infer_binary(op: BinaryOp, x: &Type, y: &Type) -> Inferred {
    same_dtype(x, y)?;
    let dtype = x.dtype;
    let fits = match op {
        BinaryOp::Add | BinaryOp::Mul => true,
        BinaryOp::Sub | BinaryOp::Div | BinaryOp::Rem | BinaryOp::Min | BinaryOp::Max => dtype != DType::Bool,
        BinaryOp::Pow => dtype.is_float(),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor => !dtype.is_float(),
        BinaryOp::Shl | BinaryOp::Shr => dtype.is_int(),
    };
    if !fits {
        return Err(format!("is not defined for {dtype}"));
    }
    Ok(Type::new(dtype, broadcast(&x.shape, &y.shape)?))
}

pub(crate) fn infer_compare(op: CompareOp, x: &Type, y: &Type) -> Inferred {
    same_dtype(x, y)?;
    if x.dtype == DType::Bool && matches!(op, CompareOp::Lt | CompareOp::Le) {
        return Err("is not defined for bool".into());
    }
    Ok(Type::new(DType::Bool, broadcast(&x.shape, &y.shape)?))
}

pub(crate) fn infer_select(x: &Type, y: &Type, z: &Type) -> Inferred {
    expect_dtype("the condition", x, &[DType::Bool])?;
    same_dtype(y, z)?;
    Ok(Type::new(y.dtype, broadcast(&broadcast(&x.shape, &y.shape)?, &z.shape)?))
}

fn same_dtype(x: &Type, y: &Type) -> Result<(), String> {
    if x.dtype == y.dtype { Ok(()) } else { Err(format!("operands have different element types, {} and {}", x.dtype, y.dtype)) }
}

pub(crate) fn eval_binary(op: BinaryOp, x: &Tensor, y: &Tensor, shape: &[u64]) -> Tensor {
    let (left, right) = (Elements::load(&broadcast_to(x, shape)), Elements::load(&broadcast_to(y, shape)));
    left.binary(op, right).store(x.dtype(), shape)
}

pub(crate) fn eval_compare(op: CompareOp, x: &Tensor, y: &Tensor, shape: &[u64]) -> Tensor {
    let (left, right) = (Elements::load(&broadcast_to(x, shape)), Elements::load(&broadcast_to(y, shape)));
    left.compare(op, &right).store(DType::Bool, shape)
}

pub(crate) fn eval_select(operands: &[&Tensor], shape: &[u64]) -> Tensor {
    let [condition, yes, no] = [0, 1, 2].map(|index| broadcast_to(operands[index], shape));
    let size = yes.dtype().size();
    let mut bytes = Vec::with_capacity(yes.bytes().len());
    for ((&take, yes), no) in condition.bytes().iter().zip(yes.bytes().chunks_exact(size)).zip(no.bytes().chunks_exact(size)) {
        bytes.extend_from_slice(if take != 0 { yes } else { no });
    }
    Tensor::new(yes.dtype(), shape.to_vec(), bytes).expect("one element for each condition")
}
