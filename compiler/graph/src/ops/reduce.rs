//! Reductions over whole axes: `Reduce`, `ArgReduce`, `TopK`.

use crate::infer::{Inferred, check_axes, check_axis, constant_dim};
use crate::ir::Type;
use crate::op::ReduceKind;
use crate::shape::{Dim, Shape};
use mlp_bundle::DType;

pub(crate) fn infer_reduce(kind: ReduceKind, axes: &[u32], keep: bool, x: &Type) -> Inferred {
    check_axes(axes, &x.shape)?;
    if x.dtype == DType::Bool {
        return Err("is not defined for bool".into());
    }
    if kind == ReduceKind::Mean && !x.dtype.is_float() {
        return Err(format!("a mean of {} is not defined", x.dtype));
    }
    let empty = axes.iter().any(|&axis| x.shape.0[axis as usize] == Dim::Const(0));
    if empty && matches!(kind, ReduceKind::Max | ReduceKind::Min | ReduceKind::Mean) {
        return Err(format!("{} has nothing along axes {axes:?} to take", x.shape));
    }
    Ok(Type::new(x.dtype, reduced(&x.shape, axes, keep)))
}

/// The shape without `axes`, or with size 1 there.
pub(crate) fn reduced(shape: &Shape, axes: &[u32], keep: bool) -> Shape {
    let dims = shape.0.iter().enumerate().filter_map(|(axis, &dim)| match axes.contains(&(axis as u32)) {
        false => Some(dim),
        true if keep => Some(Dim::Const(1)),
        true => None,
    });
    Shape(dims.collect())
}

pub(crate) fn infer_arg(axis: u32, keep: bool, x: &Type) -> Inferred {
    let index = check_axis(axis, &x.shape)?;
    if x.dtype == DType::Bool || x.shape.0[index] == Dim::Const(0) {
        return Err(format!("is not defined for {x}"));
    }
    Ok(Type::new(DType::I64, reduced(&x.shape, &[axis], keep)))
}

pub(crate) fn infer_top_k(k: u64, axis: u32, x: &Type) -> Result<Vec<Type>, String> {
    let index = check_axis(axis, &x.shape)?;
    let size = constant_dim(&format!("axis {axis}"), x.shape.0[index])?;
    if x.dtype == DType::Bool {
        return Err("is not defined for bool".into());
    }
    if k > size {
        return Err(format!("{k} elements are asked for, but axis {axis} has {size}"));
    }
    let mut shape = x.shape.clone();
    shape.0[index] = Dim::Const(k);
    Ok(vec![Type::new(x.dtype, shape.clone()), Type::new(DType::I64, shape)])
}
