//! Operations that move elements and compute nothing: constants, `Reshape`, `Transpose`, `Broadcast`, `Slice`, `Pad`, `Concat`, `Gather`.

use crate::infer::{Inferred, broadcast, check_axis, constant_dim, expect_shape};
use crate::ir::Type;
use crate::shape::{Dim, Shape};
use crate::tensor::Tensor;
use mlp_bundle::DType;

pub(crate) fn infer_constant(declared: &Type) -> Inferred {
    if declared.shape.constants().is_none() {
        return Err(format!("data has constant sizes, but {declared} is declared"));
    }
    Ok(declared.clone())
}

pub(crate) fn infer_reshape(x: &Type, declared: &Type) -> Inferred {
    // Sizes must have one product whatever the symbols are: the same symbols as often, and the same product of constants.
    let split = |shape: &Shape| {
        let mut symbols: Vec<Dim> = shape.0.iter().copied().filter(|dim| dim.constant().is_none()).collect();
        symbols.sort_by_key(|dim| format!("{dim}"));
        let product = shape.0.iter().filter_map(|dim| dim.constant()).try_fold(1u64, u64::checked_mul);
        (symbols, product)
    };
    let (from, to) = (split(&x.shape), split(&declared.shape));
    if from != to || from.1.is_none() {
        return Err(format!("{} and {} do not have as many elements", x.shape, declared.shape));
    }
    Ok(Type::new(x.dtype, declared.shape.clone()))
}

pub(crate) fn infer_broadcast(x: &Type, declared: &Type) -> Inferred {
    if broadcast(&x.shape, &declared.shape)? != declared.shape {
        return Err(format!("{} does not stretch to {}", x.shape, declared.shape));
    }
    Ok(Type::new(x.dtype, declared.shape.clone()))
}

pub(crate) fn infer_slice(starts: &[i64], steps: &[i64], x: &Type, declared: &Type) -> Inferred {
    let rank = x.shape.rank();
    if starts.len() != rank || steps.len() != rank || declared.shape.rank() != rank {
        return Err(format!("starts, steps and the result must have the operand's rank {rank}"));
    }
    for axis in 0..rank {
        let (size, count, start, step) = (x.shape.0[axis], declared.shape.0[axis], starts[axis], steps[axis]);
        if step == 0 {
            return Err(format!("the step of axis {axis} is 0"));
        }
        // A whole axis may stay symbolic; a part of one needs to be known.
        if size == count && start == 0 && step == 1 {
            continue;
        }
        let size = constant_dim(&format!("axis {axis}"), size)? as i128;
        let count = constant_dim(&format!("the count of axis {axis}"), count)? as i128;
        let last = i128::from(start) + (count - 1) * i128::from(step);
        if count > 0 && (start < 0 || i128::from(start) >= size || last < 0 || last >= size) {
            return Err(format!("axis {axis} of size {size} has no elements {start} to {last}"));
        }
    }
    Ok(Type::new(x.dtype, declared.shape.clone()))
}

pub(crate) fn infer_transpose(perm: &[u32], x: &Type) -> Inferred {
    let mut sorted = perm.to_vec();
    sorted.sort_unstable();
    if sorted.iter().enumerate().any(|(index, &axis)| index as u32 != axis) || perm.len() != x.shape.rank() {
        return Err(format!("{perm:?} is no permutation of the axes of {}", x.shape));
    }
    Ok(Type::new(x.dtype, Shape(perm.iter().map(|&axis| x.shape.0[axis as usize]).collect())))
}

pub(crate) fn infer_pad(before: &[u64], after: &[u64], x: &Type, y: &Type) -> Inferred {
    if before.len() != x.shape.rank() || after.len() != x.shape.rank() {
        return Err(format!("needs as many paddings as axes, {}", x.shape.rank()));
    }
    if y.dtype != x.dtype {
        return Err(format!("the padding value must be {}, but is {y}", x.dtype));
    }
    expect_shape("the padding value", y, &[])?;
    let mut dims = Vec::new();
    for (axis, &dim) in x.shape.0.iter().enumerate() {
        let added = before[axis].checked_add(after[axis]);
        dims.push(match (dim, added) {
            (_, Some(0)) => dim,
            (Dim::Const(size), Some(added)) => {
                Dim::Const(size.checked_add(added).ok_or_else(|| format!("the size of axis {axis} overflows"))?)
            }
            (Dim::Const(_), None) => return Err(format!("the size of axis {axis} overflows")),
            (Dim::Symbol(_), _) => Dim::Const(constant_dim(&format!("padded axis {axis}"), dim)?),
        });
    }
    Ok(Type::new(x.dtype, Shape(dims)))
}

pub(crate) fn infer_extend(x: &Type, declared: &Type) -> Inferred {
    within(&x.shape, &declared.shape).map_err(|axis| format!("axis {axis} of {x} does not fit into {declared}"))?;
    Ok(Type::new(x.dtype, declared.shape.clone()))
}

pub(crate) fn infer_trim(x: &Type, declared: &Type) -> Inferred {
    within(&declared.shape, &x.shape).map_err(|axis| format!("{x} does not have axis {axis} of {declared}"))?;
    Ok(Type::new(x.dtype, declared.shape.clone()))
}

/// Whether a shape fits into one of constant sizes, as far as sizes are known; the error is the axis at fault.
fn within(inner: &Shape, outer: &Shape) -> Result<(), usize> {
    if inner.rank() != outer.rank() {
        return Err(inner.rank().min(outer.rank()));
    }
    let fits = |(inner, outer): (&Dim, &Dim)| match (inner, outer) {
        (Dim::Const(inner), Dim::Const(outer)) => inner <= outer,
        (Dim::Symbol(_), Dim::Const(_)) => true,
        (_, Dim::Symbol(_)) => false,
    };
    match inner.0.iter().zip(&outer.0).position(|pair| !fits(pair)) {
        Some(axis) => Err(axis),
        None => Ok(()),
    }
}

pub(crate) fn eval_extend(x: &Tensor, shape: &[u64]) -> Tensor {
    let rest = match x.dtype() {
        DType::Bool => Tensor::scalar(true),
        DType::I64 => Tensor::scalar(i64::MAX),
        DType::U64 => Tensor::scalar(u64::MAX),
        dtype if dtype.is_float() => Tensor::scalar_of(dtype, f64::NAN),
        dtype => Tensor::scalar_of(dtype, (1u64 << (8 * dtype.size() - 1)) as f64 - 1.0),
    };
    eval_pad(&vec![0; shape.len()], x, &rest, shape)
}

pub(crate) fn infer_concat(axis: u32, operands: &[Type]) -> Inferred {
    let first = &operands[0];
    let axis = check_axis(axis, &first.shape)?;
    if operands.len() == 1 {
        return Ok(first.clone());
    }
    let mut total = 0u64;
    for ty in operands {
        let alike = ty.dtype == first.dtype && ty.shape.rank() == first.shape.rank();
        let mut others = ty.shape.0.iter().zip(&first.shape.0).enumerate();
        if !alike || others.any(|(index, (a, b))| index != axis && a != b) {
            return Err(format!("{first} and {ty} differ in more than axis {axis}"));
        }
        let size = constant_dim(&format!("axis {axis}"), ty.shape.0[axis])?;
        total = total.checked_add(size).ok_or("the joined size overflows")?;
    }
    let mut shape = first.shape.clone();
    shape.0[axis] = Dim::Const(total);
    Ok(Type::new(first.dtype, shape))
}

pub(crate) fn infer_gather(axis: u32, x: &Type, y: &Type) -> Inferred {
    let axis = check_axis(axis, &x.shape)?;
    if !y.dtype.is_int() {
        return Err(format!("indices must be integers, but are {y}"));
    }
    let mut dims = x.shape.0[..axis].to_vec();
    dims.extend_from_slice(&y.shape.0);
    dims.extend_from_slice(&x.shape.0[axis + 1..]);
    Ok(Type::new(x.dtype, Shape(dims)))
}

/// Row-major strides, in elements.
pub(crate) fn row_major(shape: &[u64]) -> Vec<i64> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis] as i64;
    }
    strides
}

/// Calls `visit` with every position of a shape, in row-major order.
pub(crate) fn for_each_position(shape: &[u64], mut visit: impl FnMut(&[u64])) {
    if shape.contains(&0) {
        return;
    }
    let mut position = vec![0; shape.len()];
    loop {
        visit(&position);
        let Some(axis) = (0..shape.len()).rev().find(|&axis| position[axis] + 1 < shape[axis]) else { return };
        position[axis] += 1;
        position[axis + 1..].fill(0);
    }
}

/// The tensor of `shape` whose element at a position is element `offset + sum(position * stride)` of `x`.
fn strided(x: &Tensor, shape: &[u64], offset: i64, strides: &[i64]) -> Tensor {
    let size = x.dtype().size();
    let count: u64 = shape.iter().product();
    let mut bytes = Vec::with_capacity(count as usize * size);
    let (outer, inner) = shape.split_at(shape.len().saturating_sub(1));
    let (outer_strides, inner_stride) = strides.split_at(outer.len());
    let (length, step) = (inner.first().copied().unwrap_or(1), inner_stride.first().copied().unwrap_or(0));
    for_each_position(outer, |position| {
        let start = offset + position.iter().zip(outer_strides).map(|(&index, stride)| index as i64 * stride).sum::<i64>();
        if step == 1 {
            let start = start as usize * size;
            bytes.extend_from_slice(&x.bytes()[start..start + length as usize * size]);
        } else {
            for index in 0..length as i64 {
                let at = (start + index * step) as usize * size;
                bytes.extend_from_slice(&x.bytes()[at..at + size]);
            }
        }
    });
    Tensor::new(x.dtype(), shape.to_vec(), bytes).expect("one element a position")
}

/// `x` stretched to `shape`, which it broadcasts to.
pub(crate) fn broadcast_to(x: &Tensor, shape: &[u64]) -> Tensor {
    if x.shape() == shape || shape.contains(&0) {
        return x.reshaped(shape).unwrap_or_else(|_| Tensor::new(x.dtype(), shape.to_vec(), Vec::new()).expect("nothing has no bytes"));
    }
    let mut strides = vec![0; shape.len() - x.shape().len()];
    strides.extend(row_major(x.shape()).iter().zip(x.shape()).map(|(&stride, &dim)| if dim == 1 { 0 } else { stride }));
    strided(x, shape, 0, &strides)
}

/// `x` with axis `i` of the result being axis `perm[i]`.
pub(crate) fn transposed(x: &Tensor, perm: &[u32]) -> Tensor {
    let strides = row_major(x.shape());
    let shape: Vec<u64> = perm.iter().map(|&axis| x.shape()[axis as usize]).collect();
    let strides: Vec<i64> = perm.iter().map(|&axis| strides[axis as usize]).collect();
    strided(x, &shape, 0, &strides)
}

/// The permutation that moves `axes` to the end, in order.
pub(crate) fn axes_last(rank: usize, axes: &[u32]) -> Vec<u32> {
    (0..rank as u32).filter(|axis| !axes.contains(axis)).chain(axes.iter().copied()).collect()
}

/// The permutation that undoes `perm`.
pub(crate) fn inverse(perm: &[u32]) -> Vec<u32> {
    let mut inverse = vec![0; perm.len()];
    perm.iter().enumerate().for_each(|(index, &axis)| inverse[axis as usize] = index as u32);
    inverse
}

pub(crate) fn eval_slice(starts: &[i64], steps: &[i64], x: &Tensor, shape: &[u64]) -> Tensor {
    let strides = row_major(x.shape());
    let offset = starts.iter().zip(&strides).map(|(start, stride)| start * stride).sum();
    let steps: Vec<i64> = steps.iter().zip(&strides).map(|(step, stride)| step * stride).collect();
    strided(x, shape, offset, &steps)
}

pub(crate) fn eval_pad(before: &[u64], x: &Tensor, value: &Tensor, shape: &[u64]) -> Tensor {
    let size = x.dtype().size();
    let count: u64 = shape.iter().product();
    let mut bytes = value.bytes().repeat(count as usize);
    let strides = row_major(shape);
    let row = x.shape().last().copied().unwrap_or(1) as usize * size;
    let mut rows = x.bytes().chunks_exact(row.max(1));
    for_each_position(&x.shape()[..x.shape().len().saturating_sub(1)], |position| {
        let lead = before.last().copied().unwrap_or(0) as i64;
        let start: i64 =
            lead + position.iter().zip(before).zip(&strides).map(|((&at, &pad), &stride)| (at + pad) as i64 * stride).sum::<i64>();
        if let Some(source) = rows.next() {
            bytes[start as usize * size..][..row].copy_from_slice(source);
        }
    });
    Tensor::new(x.dtype(), shape.to_vec(), bytes).expect("padding fills the shape")
}

pub(crate) fn eval_concat(axis: u32, operands: &[&Tensor], shape: &[u64]) -> Tensor {
    let axis = axis as usize;
    let outer: u64 = shape[..axis].iter().product();
    let chunk = |tensor: &Tensor| tensor.shape()[axis..].iter().product::<u64>() as usize * tensor.dtype().size();
    let mut bytes = Vec::new();
    for index in 0..outer as usize {
        for tensor in operands {
            let size = chunk(tensor);
            bytes.extend_from_slice(&tensor.bytes()[index * size..(index + 1) * size]);
        }
    }
    Tensor::new(operands[0].dtype(), shape.to_vec(), bytes).expect("the parts fill the shape")
}

pub(crate) fn eval_gather(axis: u32, x: &Tensor, indices: &Tensor, shape: &[u64]) -> Tensor {
    let axis = axis as usize;
    let (outer, size) = (x.shape()[..axis].iter().product::<u64>() as usize, x.shape()[axis] as i64);
    let inner = x.shape()[axis + 1..].iter().product::<u64>() as usize * x.dtype().size();
    let indices = indices.to_i64().expect("the shape rule asks for integers");
    let mut bytes = Vec::new();
    for block in 0..outer {
        for &index in &indices {
            // Of an axis of size 0 there is nothing to clamp to; such elements read as zero.
            let Some(index) = (size > 0).then(|| (if index < 0 { index.saturating_add(size) } else { index }).clamp(0, size - 1)) else {
                bytes.resize(bytes.len() + inner, 0);
                continue;
            };
            let start = (block * size as usize + index as usize) * inner;
            bytes.extend_from_slice(&x.bytes()[start..start + inner]);
        }
    }
    Tensor::new(x.dtype(), shape.to_vec(), bytes).expect("one slice an index")
}
