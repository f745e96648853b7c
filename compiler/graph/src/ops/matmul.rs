//! `MatMul`.

use crate::infer::{Inferred, broadcast, expect_dtype};
use crate::ir::Type;
use crate::numbers::Elements;
use crate::ops::movement::broadcast_to;
use crate::shape::Shape;
use crate::tensor::Tensor;
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

/// A type that contractions accumulate in.
pub(crate) trait Sum: Copy + Default {
    /// `self + a * b`; integers wrap.
    fn add_product(self, a: Self, b: Self) -> Self;

    /// Adds to each `sums[c]` the sum of `x[k] * rows[k][c]`, `k` ascending.
    fn add_products(sums: &mut [Self], x: &[Self], rows: &[Self]) {
        for (&x, row) in x.iter().zip(rows.chunks_exact(sums.len())) {
            sums.iter_mut().zip(row).for_each(|(sum, &y)| *sum = sum.add_product(x, y));
        }
    }
}

impl Sum for f64 {
    fn add_product(self, a: f64, b: f64) -> f64 {
        self + a * b
    }
}

impl Sum for i32 {
    fn add_product(self, a: i32, b: i32) -> i32 {
        self.wrapping_add(a.wrapping_mul(b))
    }
}

impl Sum for i64 {
    fn add_product(self, a: i64, b: i64) -> i64 {
        self.wrapping_add(a.wrapping_mul(b))
    }
}

pub(crate) fn eval(x: &Tensor, y: &Tensor, shape: &[u64]) -> Tensor {
    // Rank 1 operands become a row and a column; the result lacks those axes.
    let row = if x.shape().len() == 1 { x.reshaped(&[1, x.shape()[0]]).expect("as many elements") } else { x.clone() };
    let column = if y.shape().len() == 1 { y.reshaped(&[y.shape()[0], 1]).expect("as many elements") } else { y.clone() };
    let given = usize::from(x.shape().len() > 1) + usize::from(y.shape().len() > 1);
    let batch = &shape[..shape.len() - given];
    let stretch = |tensor: &Tensor| {
        let matrix = &tensor.shape()[tensor.shape().len() - 2..];
        broadcast_to(tensor, &[batch, matrix].concat())
    };
    let (left, right) = (stretch(&row), stretch(&column));
    let depth = x.shape()[x.shape().len() - 1] as usize;
    let columns = column.shape()[column.shape().len() - 1] as usize;
    let matrices = batch.iter().product::<u64>() as usize;
    if depth == 0 {
        return Tensor::splat(x.dtype(), shape, 0.0).expect("the shape rule checked the size");
    }
    let elements = match (Elements::floats(&left), Elements::floats(&right)) {
        (Some(left), Some(right)) => Elements::from_floats(x.dtype(), products(matrices, depth, columns, &left, &right)),
        _ => {
            let ints = |tensor: &Tensor| tensor.to_i64().expect("neither floats nor bool");
            Elements::from_ints(x.dtype(), products(matrices, depth, columns, &ints(&left), &ints(&right)))
        }
    };
    elements.store(x.dtype(), shape)
}

/// The products of pairs of matrices that lie one after another.
fn products<T: Sum>(matrices: usize, depth: usize, columns: usize, left: &[T], right: &[T]) -> Vec<T> {
    let rows = left.len().checked_div(matrices * depth);
    let Some(rows) = rows.filter(|_| columns > 0) else {
        return Vec::new();
    };
    let mut sums = vec![T::default(); matrices * rows * columns];
    for (index, sums) in sums.chunks_exact_mut(columns).enumerate() {
        let matrix = &right[index / rows * depth * columns..][..depth * columns];
        T::add_products(sums, &left[index * depth..][..depth], matrix);
    }
    sums
}
