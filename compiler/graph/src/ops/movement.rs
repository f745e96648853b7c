//! Operations that move elements and compute nothing: constants, `Reshape`, `Transpose`, `Broadcast`, `Slice`, `Pad`, `Concat`, `Gather`.

use crate::infer::{Inferred, broadcast, check_axis, constant_dim, expect_shape};
use crate::ir::Type;
use crate::shape::{Dim, Shape};

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
