//! The sizes of tensors as they are written, resolved.

use crate::checker::{Checker, at};
use crate::dims::{Formula, SizeError};
use crate::program::{Bound, Value};
use crate::scope::Symbol;
use crate::signature::SignatureNames;
use crate::types::{Dim, Type};
use mlp_syntax::ast::{self, Name, Operator, Path};
use mlp_syntax::{Code, Diagnostic, FileId, Location};

/// The dimension, or none after an error.
pub(crate) fn dimension(checker: &mut Checker<'_>, file: FileId, dim: &ast::Dim, names: &mut SignatureNames) -> Option<Dim> {
    let place = at(file, dim.span());
    match dim {
        ast::Dim::Const(0, _) => {
            let diagnostic = Diagnostic::new(Code::E0202, "a dimension has no elements").label(place, "at least 1");
            checker.report(diagnostic.help("write the size that the data has"));
            None
        }
        ast::Dim::Const(size, _) => Some(Dim::Const(*size)),
        ast::Dim::Symbol(name) => symbol(checker, file, name, names),
        ast::Dim::Rest(name) => Some(Dim::Rest(name.text.clone())),
        ast::Dim::Field(path) => field(checker, file, path, names),
        ast::Dim::AtMost(name, bound) => bounded(checker, file, name, bound, names),
        ast::Dim::Binary(_) => {
            let formula = formula(checker, file, dim, names)?;
            match formula.dim() {
                Ok(dim) => Some(dim),
                Err(error) => {
                    report(checker, place, error);
                    None
                }
            }
        }
    }
}

fn report(checker: &mut Checker<'_>, place: Location, error: SizeError) {
    let diagnostic = Diagnostic::new(Code::E0216, "a size cannot be computed").label(place, error.remark());
    checker.report(diagnostic.help("sizes are whole numbers from 1; divisions are rounded down"));
}

fn formula(checker: &mut Checker<'_>, file: FileId, dim: &ast::Dim, names: &mut SignatureNames) -> Option<Formula> {
    let ast::Dim::Binary(binary) = dim else {
        // A number in a formula may be 0.
        if let ast::Dim::Const(0, _) = dim {
            return Formula::of(&Dim::Const(0));
        }
        let place = at(file, dim.span());
        let found = dimension(checker, file, dim, names)?;
        if let Dim::Rest(_) = found {
            let diagnostic = Diagnostic::new(Code::E0216, "a size cannot be computed").label(place, "this is any number of dimensions");
            checker.report(diagnostic.help("compute with single sizes"));
            return None;
        }
        let formula = Formula::of(&found);
        if formula.is_none() {
            report(checker, place, SizeError::TooLarge);
        }
        return formula;
    };
    let (left, right) = (formula(checker, file, &binary.left, names), formula(checker, file, &binary.right, names));
    let (left, right) = (left?, right?);
    let result = match binary.op {
        Operator::Add => left.add(&right),
        Operator::Sub => left.sub(&right),
        Operator::Mul => left.mul(&right),
        _ => left.div(&right),
    };
    match result {
        Ok(formula) => Some(formula),
        Err(error) => {
            let place = if error == SizeError::DivisionByZero { binary.right.span() } else { dim.span() };
            report(checker, at(file, place), error);
            None
        }
    }
}

fn symbol(checker: &mut Checker<'_>, file: FileId, name: &Name, names: &SignatureNames) -> Option<Dim> {
    if names.constants.iter().any(|(param, ty)| *param == name.text && *ty == Type::Number) {
        return Some(Dim::Param(name.text.clone()));
    }
    match constant(checker, file, name) {
        Some(size) => size.map(Dim::Const),
        None => Some(Dim::Symbol(name.text.clone())),
    }
}

/// The size that a constant of that name is: the outer none where no constant has it, the inner where it is no size, which is reported.
pub(crate) fn constant(checker: &mut Checker<'_>, file: FileId, name: &Name) -> Option<Option<u64>> {
    let Some(Symbol::Const(_)) = checker.scopes[file.0 as usize].peek(&name.text) else { return None };
    let Some(Symbol::Const(id)) = checker.scopes[file.0 as usize].find(&name.text, &["const"]) else { return None };
    let found = checker.consts.get(id.0 as usize)?;
    match &found.value {
        Some(Value::Number(value, None)) if *value >= 1.0 && *value <= 2f64.powi(32) && value.fract() == 0.0 => Some(Some(*value as u64)),
        None => Some(None),
        Some(_) => {
            let first = found.at;
            let diagnostic = Diagnostic::new(Code::E0211, format!("`{}` is no size", name.text))
                .label(at(file, name.span), "expected a whole number from 1")
                .label(first, "its value is another");
            checker.report(diagnostic.help("use a constant that is a whole number, or write the size itself"));
            Some(None)
        }
    }
}

/// `size.height` of a parameter or a constant.
fn field(checker: &mut Checker<'_>, file: FileId, path: &Path, names: &SignatureNames) -> Option<Dim> {
    let found = match path.names.as_slice() {
        [param, side] if names.constants.iter().any(|(name, ty)| *name == param.text && *ty == Type::Size) => match side.text.as_str() {
            "width" => Some(Dim::Width(param.text.clone())),
            "height" => Some(Dim::Height(param.text.clone())),
            _ => None,
        },
        [name, side] => match checker.scopes[file.0 as usize].find(&name.text, &["const"]) {
            Some(Symbol::Const(id)) => match (checker.consts.get(id.0 as usize)?.value.as_ref()?, side.text.as_str()) {
                (Value::Size { width, .. }, "width") => Some(Dim::Const(u64::from(*width))),
                (Value::Size { height, .. }, "height") => Some(Dim::Const(u64::from(*height))),
                _ => None,
            },
            Some(Symbol::Broken) => return None,
            _ => None,
        },
        _ => None,
    };
    if found.is_none() {
        let diagnostic = Diagnostic::new(Code::E0212, format!("`{}` is no size", path.text()))
            .label(at(file, path.span), "expected the `width` or `height` of a parameter or constant of type `size`");
        checker.report(diagnostic.help("write `size.height` after a parameter `size: size`"));
    }
    found
}

/// `N <= 8`
fn bounded(checker: &mut Checker<'_>, file: FileId, name: &Name, bound: &ast::Dim, names: &mut SignatureNames) -> Option<Dim> {
    let place = at(file, bound.span());
    let most = match dimension(checker, file, bound, &mut SignatureNames::default())? {
        Dim::Const(size) => size,
        _ => {
            let diagnostic =
                Diagnostic::new(Code::E0211, "a bound is not known when compiling").label(place, "expected a number or a constant");
            checker.report(diagnostic.help("write `N <= 8`, or name a constant: `const limit = 8`"));
            return None;
        }
    };
    if !names.declaring {
        let diagnostic = Diagnostic::new(Code::E0212, format!("`{}` is bounded where it is no input", name.text))
            .label(at(file, name.span.to(bound.span())), "a bound stands where a size comes in");
        checker.report(
            diagnostic.help("write the bound at a parameter or at a model's input").fix(at(file, name.span.to(bound.span())), &name.text),
        );
        return None;
    }
    let found = symbol(checker, file, name, names)?;
    if let Dim::Const(size) = found {
        if size > most {
            let diagnostic = Diagnostic::new(Code::E0215, format!("`{}` is {size}, more than {most}", name.text));
            checker.report(diagnostic.label(at(file, name.span), format!("at most {most} here")).help("change the constant or the bound"));
        }
        return Some(found);
    }
    match names.bounds.iter_mut().find(|known| known.symbol == name.text) {
        Some(known) => known.most = known.most.min(most),
        None => names.bounds.push(Bound { symbol: name.text.clone(), most }),
    }
    Some(found)
}
