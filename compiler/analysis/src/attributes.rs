//! Attributes of statements: how a value is computed, not what it is.

use crate::checker::unknown_name;
use crate::expressions::BodyChecker;
use crate::program::{Attribute, AttributeKind, ExprKind, Value};
use crate::types::Type;
use mlp_syntax::ast;
use mlp_syntax::units::Dimension;
use mlp_syntax::{Code, Diagnostic};

/// An attribute of statements.
#[derive(Clone, Copy, Debug)]
pub struct AttributeForm {
    /// Its name.
    pub name: &'static str,
    /// The parameter, which may also be given without its name.
    pub parameter: &'static str,
    /// How it is written.
    pub form: &'static str,
    /// What it does, in a sentence.
    pub doc: &'static str,
}

/// Every attribute of statements.
pub const STATEMENT_ATTRIBUTES: &[AttributeForm] = &[
    AttributeForm {
        name: "timeout",
        parameter: "after",
        form: "@timeout(8ms)",
        doc: "An error where the value is not there after this time.",
    },
    AttributeForm { name: "retry", parameter: "times", form: "@retry(times = 2)", doc: "After an error it is tried again, so many times." },
    AttributeForm {
        name: "cache",
        parameter: "entries",
        form: "@cache(entries = 64)",
        doc: "So many answers are kept, by what they were made of.",
    },
];

impl BodyChecker<'_, '_> {
    /// The attributes that make sense; others are reported.
    pub(crate) fn attributes(&mut self, nodes: &[ast::Attribute]) -> Vec<Attribute> {
        let mut found: Vec<(&'static str, Attribute)> = Vec::new();
        for node in nodes {
            let place = self.place(node.span);
            let Some(form) = STATEMENT_ATTRIBUTES.iter().find(|form| form.name == node.name.text) else {
                let message = format!("there is no attribute `@{}` here", node.name.text);
                let known = STATEMENT_ATTRIBUTES.iter().map(|form| form.name);
                let diagnostic = unknown_name(Code::E0107, message, &node.name.text, self.place(node.name.span), known);
                self.checker.report(diagnostic);
                continue;
            };
            if found.iter().any(|(name, _)| *name == form.name) {
                let diagnostic = Diagnostic::new(Code::E0102, format!("`@{}` is given twice", form.name)).label(place, "given again here");
                self.checker.report(diagnostic.help("remove one of them").fix(place, ""));
                continue;
            }
            if let Some(kind) = self.attribute(node, form) {
                found.push((form.name, Attribute { kind, at: place }));
            }
        }
        found.into_iter().map(|(_, attribute)| attribute).collect()
    }

    fn attribute(&mut self, node: &ast::Attribute, form: &AttributeForm) -> Option<AttributeKind> {
        let argument = match node.arguments.as_slice() {
            [argument] => argument,
            [] => {
                let diagnostic = Diagnostic::new(Code::E0204, format!("`@{}` needs `{}`", form.name, form.parameter))
                    .label(self.place(node.span), "nothing is given");
                self.checker.report(diagnostic.help(format!("write `{}`", form.form)).fix(self.place(node.span), form.form));
                return None;
            }
            [_, second, ..] => {
                let diagnostic = Diagnostic::new(Code::E0205, format!("`@{}` takes one argument", form.name))
                    .label(self.place(second.value.span), "one too many");
                self.checker.report(diagnostic.help(format!("write `{}`", form.form)));
                return None;
            }
        };
        if let Some(name) = argument.name.as_ref().filter(|name| name.text != form.parameter) {
            let message = format!("`@{}` has no parameter `{}`", form.name, name.text);
            let diagnostic = unknown_name(Code::E0205, message, &name.text, self.place(name.span), [form.parameter]);
            self.checker.report(diagnostic.help(format!("write `{}`", form.form)));
            return None;
        }
        let is_time = form.name == "timeout";
        let wanted = if is_time { Type::Quantity(Dimension::Time) } else { Type::Number };
        let value = self.expr(&argument.value, Some(&wanted));
        if value.ty == Type::Unknown {
            return None;
        }
        if value.ty != wanted {
            let diagnostic = self.misfit(&crate::unify::Misfit::Type, &wanted, &value);
            self.checker.report(diagnostic);
            return None;
        }
        let fits = |number: f64| if is_time { number > 0.0 } else { (1.0..=1e9).contains(&number) && number.fract() == 0.0 };
        match (&value.kind, form.name) {
            (ExprKind::Value(Value::Number(number, _)), "timeout") if fits(*number) => Some(AttributeKind::Timeout(*number)),
            (ExprKind::Value(Value::Number(number, _)), "retry") if fits(*number) => Some(AttributeKind::Retry(*number as u64)),
            (ExprKind::Value(Value::Number(number, _)), "cache") if fits(*number) => Some(AttributeKind::Cache(*number as u64)),
            _ => {
                let expected = if is_time {
                    "expected a time above 0, known when compiling"
                } else {
                    "expected a whole number from 1, known when compiling"
                };
                let diagnostic = Diagnostic::new(Code::E0211, format!("`@{}` cannot be this", form.name)).label(value.at, expected);
                self.checker.report(diagnostic.help(format!("write `{}`", form.form)));
                None
            }
        }
    }
}
