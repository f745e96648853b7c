//! Shapes in messages: two of them under one another, size under size.

use crate::checker::Checker;
use crate::types::Type;

/// Two types as lines of a help text; the sizes of two tensors stand under one another.
pub(crate) fn aligned(checker: &Checker<'_>, wanted: &Type, found: &Type) -> String {
    lines(checker, ("expected", wanted), ("found", found))
}

/// As [`aligned`], for the two sides of an operator.
pub(crate) fn sides(checker: &Checker<'_>, left: &Type, right: &Type) -> String {
    lines(checker, ("left", left), ("right", right))
}

fn lines(checker: &Checker<'_>, first: (&str, &Type), second: (&str, &Type)) -> String {
    let width = first.0.len().max(second.0.len());
    let (a, b) = columns(checker, first.1, second.1);
    format!("{:<width$}  {a}\n  {:<width$}  {b}", first.0, second.0)
}

fn columns(checker: &Checker<'_>, a: &Type, b: &Type) -> (String, String) {
    let (Type::Tensor(x), Type::Tensor(y)) = (a, b) else {
        return (checker.show(a).trim_matches('`').to_owned(), checker.show(b).trim_matches('`').to_owned());
    };
    let texts = |dims: &[crate::Dim]| dims.iter().map(ToString::to_string).collect::<Vec<String>>();
    let (mut left, mut right) = (texts(&x.dims), texts(&y.dims));
    // Shapes are compared from their last dimension, as batches come and go in front.
    let ranks = left.len().max(right.len());
    for side in [&mut left, &mut right] {
        let missing = ranks - side.len();
        side.splice(0..0, std::iter::repeat_n(String::new(), missing));
    }
    let widths: Vec<usize> = left.iter().zip(&right).map(|(a, b)| a.chars().count().max(b.chars().count())).collect();
    let dtype = x.dtype.name().len().max(y.dtype.name().len());
    let line = |name: &str, dims: &[String]| {
        let mut line = format!("{name:<dtype$}[");
        let mut first = true;
        for (dim, width) in dims.iter().zip(&widths) {
            if dim.is_empty() {
                line.push_str(&" ".repeat(width + 2));
                continue;
            }
            if !first {
                line.push_str(", ");
            }
            first = false;
            line.push_str(&format!("{dim:>width$}"));
        }
        line + "]"
    };
    (line(x.dtype.name(), &left), line(y.dtype.name(), &right))
}
