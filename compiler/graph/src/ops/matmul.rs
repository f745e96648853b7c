//! `MatMul`.

use crate::infer::{Inferred, broadcast, expect_dtype};
use crate::ir::Type;
use crate::shape::Shape;
use mlp_bundle::DType;

pub(crate) fn infer(x: &Type, y: &Type) -> Inferred {
    if x.dtype == DType::Bool {
        return Err("is not defined for bool".into());
    }
    expect_dtype("the right operand", y, &[x.dtype])?;
    let (a, b) = (&x.shape.0, &y.shape.0);
    if a.is_empty() || b.is_empty() {
        return Err("a scalar has no matrix product".into());
    }
    let (rows, inner) = (a.len().checked_sub(2).map(|axis| a[axis]), a[a.len() - 1]);
    let (depth, columns) = if b.len() == 1 { (b[0], None) } else { (b[b.len() - 2], Some(b[b.len() - 1])) };
    if inner != depth {
        return Err(format!("{} x {} sums over {inner} on the left and {depth} on the right", x.shape, y.shape));
    }
    let batch = |dims: &[_]| Shape(dims[..dims.len().saturating_sub(2)].to_vec());
    let mut shape = broadcast(&batch(a), &batch(b))?;
    shape.0.extend(rows);
    shape.0.extend(columns);
    Ok(Type::new(x.dtype, shape))
}
