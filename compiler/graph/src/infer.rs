//! Result types from operand types: the shape rule of every operation, and the messages when there is none.
//!
//! The rules themselves stand in `ops/`, one file an operator family, next to the reference evaluation.

use crate::ir::Type;
use crate::op::Op;
use crate::ops;
use crate::shape::{Dim, Shape};
use mlp_bundle::DType;
use std::fmt;

/// Why an operation cannot take its operands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{op}: {message}")]
pub struct InferError {
    /// The operation's name in the text form.
    pub op: &'static str,
    /// What is wrong.
    pub message: String,
}

pub(crate) type Inferred = Result<Type, String>;

/// The result types of an operation over operands of these types.
///
/// `declared` are the types that the results are meant to have. `Constant`, `Reshape`, `Broadcast`, `Slice`, `Extend` and `Trim` need them, since their result's shape is
/// a free choice; for all others the inferred types must equal them.
pub fn result_types(op: &Op, operands: &[Type], declared: Option<&[Type]>) -> Result<Vec<Type>, InferError> {
    let name = op.name();
    let fail = |message: String| InferError { op: name, message };
    let (least, most) = op.arity();
    if operands.len() < least || operands.len() > most {
        let takes = if least == most { format!("{least}") } else { format!("{least} to {most}") };
        return Err(fail(format!("takes {takes} operands, but has {}", operands.len())));
    }
    let shape = match (op, declared) {
        (Op::Constant(_) | Op::Reshape | Op::Broadcast | Op::Slice { .. } | Op::Extend | Op::Trim, None) => {
            return Err(fail("needs an explicit result type".into()));
        }
        (_, Some(types)) if types.len() != op.results() => {
            return Err(fail(format!("has {} results, but {} are declared", op.results(), types.len())));
        }
        (_, Some(types)) => types.first(),
        (_, None) => None,
    };
    let inferred = ops::infer(op, operands, shape).map_err(fail)?;
    if let Some(declared) = declared
        && let Some((found, meant)) = inferred.iter().zip(declared).find(|(found, meant)| found != meant)
    {
        return Err(fail(format!("the result is {found}, but {meant} is declared")));
    }
    Ok(inferred)
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Const(size) => write!(f, "{size}"),
            Dim::Symbol(symbol) => write!(f, "{symbol}"),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, dim) in self.0.iter().enumerate() {
            write!(f, "{}{dim}", if index > 0 { ", " } else { "" })?;
        }
        f.write_str("]")
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

/// The shape that two shapes broadcast to, as NumPy does.
pub fn broadcast(a: &Shape, b: &Shape) -> Result<Shape, String> {
    let rank = a.rank().max(b.rank());
    let at = |shape: &Shape, axis: usize| (axis + shape.rank()).checked_sub(rank).map_or(Dim::Const(1), |axis| shape.0[axis]);
    let dims = (0..rank).map(|axis| match (at(a, axis), at(b, axis)) {
        (x, y) if x == y => Ok(x),
        (Dim::Const(1), other) | (other, Dim::Const(1)) => Ok(other),
        (x, y) => Err(format!("shapes {a} and {b} do not broadcast: {x} meets {y}")),
    });
    Ok(Shape(dims.collect::<Result<_, _>>()?))
}

/// Refuses an axis outside the rank.
pub(crate) fn check_axis(axis: u32, shape: &Shape) -> Result<usize, String> {
    let index = axis as usize;
    if index < shape.rank() { Ok(index) } else { Err(format!("axis {axis} is outside a shape of rank {}", shape.rank())) }
}

/// Refuses axes that do not rise or lie outside the rank.
pub(crate) fn check_axes(axes: &[u32], shape: &Shape) -> Result<(), String> {
    if axes.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(format!("axes {axes:?} do not rise"));
    }
    axes.iter().try_for_each(|&axis| check_axis(axis, shape).map(|_| ()))
}

/// Refuses an operand of another element type.
pub(crate) fn expect_dtype(what: &str, ty: &Type, expected: &[DType]) -> Result<(), String> {
    if expected.contains(&ty.dtype) {
        return Ok(());
    }
    let names: Vec<_> = expected.iter().map(|dtype| dtype.name()).collect();
    Err(format!("{what} must be {}, but is {ty}", names.join(" or ")))
}

/// Refuses an operand of another shape.
pub(crate) fn expect_shape(what: &str, ty: &Type, expected: &[Dim]) -> Result<(), String> {
    if ty.shape.0 == expected { Ok(()) } else { Err(format!("{what} must have shape {}, but is {ty}", Shape(expected.to_vec()))) }
}

/// The constant size of a dimension that cannot stay symbolic.
pub(crate) fn constant_dim(what: &str, dim: Dim) -> Result<u64, String> {
    dim.constant().ok_or_else(|| format!("{what} must be a constant size, but is {dim}: bind that symbol"))
}
