//! Reductions over whole axes: `Reduce`, `ArgReduce`, `TopK`.

use crate::infer::{Inferred, check_axes, check_axis, constant_dim};
use crate::ir::Type;
use crate::numbers::{Elements, Number};
use crate::op::{BinaryOp, ReduceKind};
use crate::ops::movement;
use crate::shape::{Dim, Shape};
use crate::tensor::Tensor;
use mlp_bundle::DType;
use std::cmp::Ordering;

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

/// Elements with `axes` moved to the end, so that what is reduced together lies together; and how many those are.
fn rows(x: &Tensor, axes: &[u32]) -> (Tensor, usize) {
    let length = axes.iter().map(|&axis| x.shape()[axis as usize]).product::<u64>() as usize;
    (movement::transposed(x, &movement::axes_last(x.shape().len(), axes)), length)
}

pub(crate) fn eval_reduce(kind: ReduceKind, axes: &[u32], x: &Tensor, shape: &[u64]) -> Tensor {
    let (moved, length) = rows(x, axes);
    let count = shape.iter().product::<u64>() as usize;
    let row = |index: usize| index * length..(index + 1) * length;
    let elements = match (kind, Elements::floats(&moved)) {
        (ReduceKind::Max | ReduceKind::Min, _) => return eval_extreme(kind == ReduceKind::Max, &moved, length, shape),
        (ReduceKind::Sum, Some(values)) => Elements::from_floats(x.dtype(), (0..count).map(|i| values[row(i)].iter().sum()).collect()),
        (ReduceKind::Prod, Some(values)) => Elements::from_floats(x.dtype(), (0..count).map(|i| values[row(i)].iter().product()).collect()),
        (_, Some(values)) => {
            let mean = |i: usize| values[row(i)].iter().sum::<f64>() / length as f64;
            Elements::from_floats(x.dtype(), (0..count).map(mean).collect())
        }
        (kind, None) => {
            let values = moved.to_i64().expect("neither floats nor bool");
            let fold = |i: usize| match kind {
                ReduceKind::Prod => values[row(i)].iter().fold(1i64, |a, &b| a.wrapping_mul(b)),
                _ => values[row(i)].iter().fold(0i64, |a, &b| a.wrapping_add(b)),
            };
            Elements::from_ints(x.dtype(), (0..count).map(fold).collect())
        }
    };
    elements.store(x.dtype(), shape)
}

/// Greatest or least elements; a NaN wins.
fn eval_extreme(max: bool, moved: &Tensor, length: usize, shape: &[u64]) -> Tensor {
    fn each<T: Number>(max: bool, values: &[T], length: usize) -> Vec<T> {
        let op = if max { BinaryOp::Max } else { BinaryOp::Min };
        // `y != y` holds of a NaN alone.
        #[allow(clippy::eq_op)]
        let best = |row: &[T]| row.iter().copied().reduce(|x, y| if y != y { y } else { x.binary(op, y) }).expect("a row is not empty");
        values.chunks_exact(length.max(1)).map(best).collect()
    }
    let elements = match Elements::load(moved) {
        Elements::I32(values) => Elements::I32(each(max, &values, length)),
        Elements::U32(values) => Elements::U32(each(max, &values, length)),
        Elements::I64(values) => Elements::I64(each(max, &values, length)),
        Elements::U64(values) => Elements::U64(each(max, &values, length)),
        Elements::F32(values) => Elements::F32(each(max, &values, length)),
        Elements::F64(values) => Elements::F64(each(max, &values, length)),
        Elements::Bool(_) => unreachable!("the shape rule refuses bool"),
    };
    elements.store(moved.dtype(), shape)
}

pub(crate) fn eval_arg(max: bool, axis: u32, last: bool, x: &Tensor, shape: &[u64]) -> Tensor {
    let (moved, length) = rows(x, &[axis]);
    let mut found = Vec::new();
    with_order(&moved, |compare| {
        for start in (0..moved.len()).step_by(length.max(1)) {
            let mut best = start;
            for at in start + 1..start + length {
                let order = compare(at, best).map(|order| if max { order } else { order.reverse() });
                if order == Some(Ordering::Greater) || (last && order == Some(Ordering::Equal)) {
                    best = at;
                }
            }
            found.push((best - start) as i64);
        }
    });
    Tensor::from_i64(shape, &found).expect("one position a row")
}

pub(crate) fn eval_top_k(k: u64, axis: u32, largest: bool, x: &Tensor) -> Vec<Tensor> {
    let (moved, length) = rows(x, &[axis]);
    let size = x.dtype().size();
    let (mut values, mut positions) = (Vec::new(), Vec::new());
    with_order(&moved, |compare| {
        for start in (0..moved.len()).step_by(length.max(1)) {
            let mut order: Vec<usize> = (start..start + length).collect();
            // NaN is equal to itself and behind all else, so that there is an order at all.
            let nan = |at: usize| compare(at, at).is_none();
            order.sort_by(|&a, &b| match compare(b, a) {
                Some(order) if largest => order,
                Some(order) => order.reverse(),
                None => nan(a).cmp(&nan(b)),
            });
            for &at in &order[..k as usize] {
                values.extend_from_slice(&moved.bytes()[at * size..(at + 1) * size]);
                positions.push((at - start) as i64);
            }
        }
    });
    let mut shape = moved.shape().to_vec();
    *shape.last_mut().expect("the axis exists") = k;
    let back = movement::inverse(&movement::axes_last(x.shape().len(), &[axis]));
    let values = Tensor::new(x.dtype(), shape.clone(), values).expect("k elements a row");
    let positions = Tensor::from_i64(&shape, &positions).expect("k positions a row");
    vec![movement::transposed(&values, &back), movement::transposed(&positions, &back)]
}

/// Gives `use_order` a comparison of two elements of `x` by their positions; none where one is NaN.
fn with_order(x: &Tensor, mut use_order: impl FnMut(&dyn Fn(usize, usize) -> Option<Ordering>)) {
    match Elements::load(x) {
        Elements::Bool(values) => use_order(&|a, b| values[a].partial_cmp(&values[b])),
        Elements::I32(values) => use_order(&|a, b| values[a].partial_cmp(&values[b])),
        Elements::U32(values) => use_order(&|a, b| values[a].partial_cmp(&values[b])),
        Elements::I64(values) => use_order(&|a, b| values[a].partial_cmp(&values[b])),
        Elements::U64(values) => use_order(&|a, b| values[a].partial_cmp(&values[b])),
        Elements::F32(values) => use_order(&|a, b| values[a].partial_cmp(&values[b])),
        Elements::F64(values) => use_order(&|a, b| values[a].partial_cmp(&values[b])),
    }
}
