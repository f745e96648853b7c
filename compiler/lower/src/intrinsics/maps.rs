//! Functions of single elements.

use super::{Append, Found, Make, number, tensor};
use crate::body::Lowered;
use mlp_analysis::Intrinsic;
use mlp_graph::op::{BinaryOp, CompareOp, UnaryOp};
use mlp_graph::{DType, Op, ValueId};

pub(super) fn lower(make: &mut Make<'_>, intrinsic: Intrinsic, args: &[Lowered]) -> Found {
    let Some(Lowered::Tensor(x)) = args.first() else { return None };
    if let (Some(op), [_]) = (unary(intrinsic), args) {
        return tensor(make.unary(op, *x));
    }
    match (intrinsic, &args[1..]) {
        (Intrinsic::Relu, []) => tensor(make.with_number(BinaryOp::Max, *x, 0.0)),
        (Intrinsic::Clip, [low, high]) => tensor(clip(make, *x, number(low)?, number(high)?)),
        (Intrinsic::Power, [exponent]) => tensor(power(make, *x, number(exponent)?)),
        (Intrinsic::Larger, [Lowered::Tensor(y)]) => tensor(make.binary(BinaryOp::Max, *x, *y)),
        (Intrinsic::Smaller, [Lowered::Tensor(y)]) => tensor(make.binary(BinaryOp::Min, *x, *y)),
        // `a > b` is `b < a`.
        (Intrinsic::Greater, [Lowered::Tensor(y)]) => tensor(make.compare(CompareOp::Lt, *y, *x)),
        (Intrinsic::Above, [limit]) => {
            let limit = make.scalar_like(*x, number(limit)?);
            tensor(make.compare(CompareOp::Lt, limit, *x))
        }
        // Only a NaN differs from itself.
        (Intrinsic::IsNan, []) => tensor(make.compare(CompareOp::Ne, *x, *x)),
        (Intrinsic::Choose, [Lowered::Tensor(yes), Lowered::Tensor(no)]) => tensor(make.op(Op::Select, &[*x, *yes, *no])),
        (Intrinsic::ToNumbers | Intrinsic::ToF32, []) => tensor(make.cast(DType::F32, *x)),
        _ => None,
    }
}

fn unary(intrinsic: Intrinsic) -> Option<UnaryOp> {
    Some(match intrinsic {
        Intrinsic::Tanh => UnaryOp::Tanh,
        Intrinsic::Abs => UnaryOp::Abs,
        Intrinsic::Sqrt => UnaryOp::Sqrt,
        Intrinsic::Exp => UnaryOp::Exp,
        Intrinsic::Log => UnaryOp::Log,
        Intrinsic::Sin => UnaryOp::Sin,
        Intrinsic::Cos => UnaryOp::Cos,
        Intrinsic::Floor => UnaryOp::Floor,
        Intrinsic::Round => UnaryOp::RoundEven,
        _ => return None,
    })
}

fn clip(make: &mut Make<'_>, x: ValueId, low: f64, high: f64) -> Result<ValueId, String> {
    if low > high {
        return Err(format!("its range is empty: {low} is more than {high}"));
    }
    let raised = make.with_number(BinaryOp::Max, x, low)?;
    make.with_number(BinaryOp::Min, raised, high)
}

/// Small whole powers are products: exact as such, and defined for negative values on every device.
fn power(make: &mut Make<'_>, x: ValueId, exponent: f64) -> Result<ValueId, String> {
    if exponent.fract() == 0.0 && (1.0..=64.0).contains(&exponent.abs()) {
        let mut left = exponent.abs() as u32;
        let (mut square, mut product) = (x, None);
        loop {
            if left % 2 == 1 {
                product = Some(match product {
                    Some(product) => make.binary(BinaryOp::Mul, product, square)?,
                    None => square,
                });
            }
            left /= 2;
            if left == 0 {
                break;
            }
            square = make.binary(BinaryOp::Mul, square, square)?;
        }
        let product = product.unwrap_or(x);
        if exponent > 0.0 {
            return Ok(product);
        }
        let one = make.scalar_like(x, 1.0);
        return make.binary(BinaryOp::Div, one, product);
    }
    if !exponent.is_finite() {
        return Err(format!("`exponent` is {exponent}; write a number"));
    }
    make.with_number(BinaryOp::Pow, x, exponent)
}
