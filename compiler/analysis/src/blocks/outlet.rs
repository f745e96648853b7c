//! `outlet Name from Pipeline.field { ... }`

use super::{MECHANISMS, OUTLET_KEYS, Reader};
use crate::declared::{Argument, BudgetId, Declared, Mechanism, Outlet};
use crate::scope::Symbol;
use crate::types::Type;
use mlp_syntax::ast::{Declaration, DeclarationKind, Expr};
use mlp_syntax::{Code, Diagnostic};

pub(super) fn check(reader: &mut Reader<'_, '_>, node: &Declaration, declared: Declared) -> Outlet {
    let from = reader.place(node.target.as_ref().map_or(node.name.span, |target| target.span));
    let mut outlet = Outlet {
        declared,
        pipeline: None,
        fields: Vec::new(),
        ty: Type::Unknown,
        from,
        spend: None,
        mechanism: None,
        at_most: None,
        broken: false,
        span: node.span,
        released: None,
    };
    if let Some((pipeline, fields, ty)) = node.target.as_ref().and_then(|target| reader.answer(target)) {
        if let Type::Record(parts) = &ty {
            let path = node.target.as_ref().map(mlp_syntax::ast::Path::text).unwrap_or_default();
            let first = parts.first().map(|(name, _)| format!("{path}.{name}"));
            let diagnostic = Diagnostic::new(Code::E0201, "an outlet releases one value").label(from, "this is a record");
            let diagnostic = diagnostic.help("name one of its fields; each value that leaves has its own outlet");
            reader.report(match first {
                Some(first) => diagnostic.fix(from, first),
                None => diagnostic,
            });
        } else {
            (outlet.pipeline, outlet.fields, outlet.ty) = (Some(pipeline), fields, ty);
        }
    }
    let entries = reader.only_entries(&node.members);
    for (key, entry) in reader.entries(entries.into_iter(), OUTLET_KEYS) {
        match key {
            "spend" => {
                let found =
                    reader.reference(&entry.value, "a budget", |symbol| matches!(symbol, Symbol::Block(DeclarationKind::Budget, _)));
                if let Some(Symbol::Block(_, id)) = found {
                    outlet.spend = Some((BudgetId(id), reader.place(entry.value.span)));
                }
            }
            "mechanism" => outlet.mechanism = mechanism(reader, &entry.value).map(|found| (found, reader.place(entry.value.span))),
            _ => outlet.at_most = reader.whole(&entry.value).map(|count| (count, reader.place(entry.value.span))),
        }
    }
    outlet.broken = node.members.len()
        != usize::from(outlet.spend.is_some()) + usize::from(outlet.mechanism.is_some()) + usize::from(outlet.at_most.is_some());
    outlet
}

fn mechanism(reader: &mut Reader<'_, '_>, value: &Expr) -> Option<Mechanism> {
    let (method, arguments) = reader.method(value, "mechanism", MECHANISMS)?;
    let number = |name: &str| {
        arguments.iter().find(|(known, _)| *known == name).and_then(|(_, argument)| match argument {
            Argument::Number(number) => Some(*number),
            Argument::Text(_) => None,
        })
    };
    match (method.name, number("epsilon"), number("delta"), number("noise")) {
        ("randomized_response", Some(epsilon), ..) => Some(Mechanism::RandomizedResponse { epsilon }),
        ("laplace", Some(epsilon), ..) => Some(Mechanism::Laplace { epsilon }),
        ("exponential", Some(epsilon), ..) => Some(Mechanism::Exponential { epsilon }),
        ("permute_and_flip", Some(epsilon), ..) => Some(Mechanism::PermuteAndFlip { epsilon }),
        ("gaussian", Some(epsilon), Some(delta), None) => Some(Mechanism::Gaussian { epsilon, delta }),
        ("gaussian", None, None, Some(noise)) => Some(Mechanism::GaussianNoise { noise }),
        _ => {
            let place = reader.place(value.span);
            let diagnostic = Diagnostic::new(Code::E0204, "`gaussian` needs `epsilon` and `delta`, or `noise` alone")
                .label(place, "expected one of both");
            reader.report(
                diagnostic
                    .help("write `gaussian(noise = 10.0)`, in standard deviations over the sensitivity")
                    .fix(place, "gaussian(noise = 10.0)"),
            );
            None
        }
    }
}
