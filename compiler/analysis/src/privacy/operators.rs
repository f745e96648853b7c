//! What the operators of the standard library keep bounded. An operator that stands in no table here can give any number.

use super::bound::Bound;
use super::flow::{Flow, count_of, of_type, rows_of, size};
use crate::intrinsic::Intrinsic;
use crate::program::{Expr, Value};
use crate::types::{TensorType, Type};
use mlp_syntax::Location;

/// What an operator of the standard library keeps bounded.
pub(super) fn intrinsic_flow(intrinsic: Intrinsic, args: Vec<Flow>, expr: &Expr, at: Location, name: &str) -> Flow {
    let private = args.iter().any(Flow::private);
    let mut args = args.into_iter();
    let anything = || of_type(&expr.ty, private, at, &format!("`{name}` can give any number"));
    if let (Intrinsic::PadTokens, Type::Record(fields)) = (intrinsic, &expr.ty) {
        return tokens(fields, private, at, name);
    }
    let Some(Flow::Tensor(x)) = args.next() else { return anything() };
    let rest: Vec<Flow> = args.collect();
    match intrinsic {
        Intrinsic::Argmax => return Flow::Opaque { private },
        Intrinsic::TopK => {
            return match rest.first() {
                Some(Flow::Constant(Value::Number(count, _))) => Flow::Ranking { private, scores: x.part(*count) },
                _ => anything(),
            };
        }
        _ => {}
    }
    let bound = map(intrinsic, &x, &rest).or_else(|| movement(intrinsic, &x, &rest, expr)).or_else(|| reduction(intrinsic, &x, expr));
    match bound.or_else(|| of_range(intrinsic, private, &x, &rest, expr)) {
        Some(bound) => Flow::Tensor(bound),
        None => anything(),
    }
}

/// The numbers of a text's tokens can be any; what says where they are is 0 or 1.
fn tokens(fields: &[(String, Type)], private: bool, at: Location, name: &str) -> Flow {
    let flow = |(field, ty): &(String, Type)| {
        let flow = match field.as_str() {
            "ids" => of_type(ty, private, at, &format!("`{name}` can give any number")),
            _ => Flow::Tensor(Bound::within(private, 0.0, 1.0, count_of(ty))),
        };
        (field.clone(), flow)
    };
    Flow::Record(fields.iter().map(flow).collect())
}

/// Functions of single elements that stretch distances by no more than is known.
fn map(intrinsic: Intrinsic, x: &Bound, rest: &[Flow]) -> Option<Bound> {
    let x = x.clone();
    let (low, high) = (x.low, x.high);
    let most = low.abs().max(high.abs());
    Some(match (intrinsic, rest) {
        (Intrinsic::Clip, [Flow::Constant(Value::Number(low, _)), Flow::Constant(Value::Number(high, _))]) if low <= high => {
            x.clip(*low, *high)
        }
        (Intrinsic::Relu, _) => x.relu(),
        (Intrinsic::Tanh, _) => x.map(low.tanh(), high.tanh(), 1.0),
        (Intrinsic::Abs, _) => x.map(if low > 0.0 { low } else { (-high).max(0.0) }, most, 1.0),
        (Intrinsic::Sin | Intrinsic::Cos, _) => x.map(-1.0, 1.0, 1.0),
        // Steepest where it starts.
        (Intrinsic::Sqrt, _) if low >= 0.0 => x.map(low.sqrt(), high.sqrt(), 0.5 / low.sqrt()),
        (Intrinsic::Log, _) if low > 0.0 => x.map(low.ln(), high.ln(), 1.0 / low),
        // Steepest where it ends.
        (Intrinsic::Exp, _) => x.map(low.exp(), high.exp(), high.exp()),
        _ => return None,
    })
}

/// The same elements in another order or shape, some of them, or several times.
fn movement(intrinsic: Intrinsic, x: &Bound, rest: &[Flow], expr: &Expr) -> Option<Bound> {
    let x = x.clone();
    let count = count_of(&expr.ty);
    Some(match (intrinsic, rest) {
        (Intrinsic::Unbatch | Intrinsic::Batch | Intrinsic::ToNchw | Intrinsic::ToNhwc | Intrinsic::Transpose, _) => x,
        (Intrinsic::MergeFirst | Intrinsic::MergeLast | Intrinsic::SplitFirst | Intrinsic::SplitLast, _) => x,
        (Intrinsic::ToNumbers | Intrinsic::ToF32 | Intrinsic::SeenTokens, _) => x,
        // Sorting brings two rows no further apart in any norm.
        (Intrinsic::Sort | Intrinsic::ReverseFirst | Intrinsic::ReverseLast | Intrinsic::ExpandLast, _) => x,
        (Intrinsic::FlipHorizontal | Intrinsic::FromNchw, _) => x,
        (Intrinsic::Crop | Intrinsic::CenterCrop, _) => x.part(count),
        (Intrinsic::SliceFirst | Intrinsic::SliceLast | Intrinsic::WithoutLast, _) => x.part(count),
        (Intrinsic::ConcatFirst | Intrinsic::ConcatLast, [Flow::Tensor(y)]) => x.joined(y.clone()),
        (Intrinsic::StretchFirst | Intrinsic::StretchLast | Intrinsic::StretchRow | Intrinsic::Spread, _) => {
            // What is repeated says nothing of the tensor whose shape it takes.
            let many = if count.is_finite() && x.count.is_finite() { count / x.count } else { f64::INFINITY };
            x.repeated(many)
        }
        _ => return None,
    })
}

fn reduction(intrinsic: Intrinsic, x: &Bound, expr: &Expr) -> Option<Bound> {
    let x = x.clone();
    let count = count_of(&expr.ty);
    let group = if count.is_finite() && x.count.is_finite() { x.count / count } else { f64::INFINITY };
    Some(match intrinsic {
        Intrinsic::Max | Intrinsic::Min => x.extreme(),
        Intrinsic::Sum => x.sum(),
        Intrinsic::Mean => x.mean(),
        // The greatest of a group moves no further than the element that moves most.
        Intrinsic::MaxFirst | Intrinsic::MinFirst | Intrinsic::MaxLast | Intrinsic::MinLast => x.part(count),
        Intrinsic::SumFirst | Intrinsic::SumLast => x.sums(group, count),
        Intrinsic::MeanFirst | Intrinsic::MeanLast if group.is_finite() => x.sums(group, count).scale(1.0 / group),
        Intrinsic::MeanFirst | Intrinsic::MeanLast => x.part(count),
        Intrinsic::Softmax => {
            let classes = match &expr.ty {
                Type::Tensor(TensorType { dims, .. }) => dims.last().map_or(1.0, size),
                _ => 1.0,
            };
            let rows = if classes.is_finite() && x.count.is_finite() { (x.count / classes).max(1.0) } else { rows_of(&expr.ty) };
            x.softmax(rows)
        }
        _ => return None,
    })
}

/// What is known by its range alone, whatever it depends on.
fn of_range(intrinsic: Intrinsic, private: bool, x: &Bound, rest: &[Flow], expr: &Expr) -> Option<Bound> {
    let count = count_of(&expr.ty);
    let within = |low: f64, high: f64| (high - low).is_finite().then(|| Bound::within(private, low, high, count));
    match (intrinsic, rest) {
        (Intrinsic::Greater | Intrinsic::Above | Intrinsic::IsNan | Intrinsic::Missing, _) => within(0.0, 1.0),
        (Intrinsic::OneHot | Intrinsic::Iou, _) => within(0.0, 1.0),
        (Intrinsic::Bucketize, [Flow::Tensor(edges)]) => within(0.0, edges.count),
        (Intrinsic::Floor, _) => within(x.low.floor(), x.high.floor()),
        (Intrinsic::Round, _) => within(x.low.round_ties_even(), x.high.round_ties_even()),
        (Intrinsic::Take, _) => within(x.low, x.high),
        (Intrinsic::Larger, [Flow::Tensor(y)]) => within(x.low.max(y.low), x.high.max(y.high)),
        (Intrinsic::Smaller, [Flow::Tensor(y)]) => within(x.low.min(y.low), x.high.min(y.high)),
        (Intrinsic::Choose, [Flow::Tensor(yes), Flow::Tensor(no)]) => within(yes.low.min(no.low), yes.high.max(no.high)),
        // A position along a dimension whose size is not known here is below 2^31 all the same.
        (Intrinsic::Argsort, _) => match &expr.ty {
            Type::Tensor(TensorType { dims, .. }) => within(0.0, dims.last().map_or(0.0, size).min(2f64.powi(31)) - 1.0),
            _ => None,
        },
        (Intrinsic::ArgmaxLast, _) if x.count.is_finite() && count.is_finite() => within(0.0, x.count / count - 1.0),
        _ => None,
    }
}
