//! Names inside layers: what each stands for, and what a body must have whatever numbers it is called with.

use super::arguments::{Callee, NoTarget, arguments, callee_name, target};
use super::keys::{Part, parts};
use crate::checker::{Checker, at, unknown_name};
use crate::scope::Symbol;
use crate::types::Type;
use crate::{edits, stdlib};
use mlp_syntax::ast::{self, Arm, Expr, ExprKind, Name, Operator, Statement};
use mlp_syntax::{Code, Diagnostic, FileId, Location, Span};

/// Checks the names of a body, the layer's or the model's called `owner`; gives the layers that it calls.
pub(super) fn check(
    checker: &mut Checker<'_>,
    file: FileId,
    params: Vec<(String, Option<Type>)>,
    sizes: Vec<String>,
    owner: (&str, Span),
    statements: &[Statement],
) -> Vec<(usize, Location)> {
    let known = params.into_iter().map(|(name, ty)| Known { name, ty, at: None, used: true }).collect();
    let mut names = Names { checker, file, known, sizes, calls: Vec::new() };
    names.body(owner, statements);
    names.calls
}

/// A name of a body.
struct Known {
    name: String,
    /// The type of a parameter.
    ty: Option<Type>,
    /// Where a binding stands.
    at: Option<Location>,
    used: bool,
}

struct Names<'c, 'w> {
    checker: &'c mut Checker<'w>,
    file: FileId,
    known: Vec<Known>,
    /// The sizes that the signature names.
    sizes: Vec<String>,
    calls: Vec<(usize, Location)>,
}

impl Names<'_, '_> {
    fn place(&self, span: Span) -> Location {
        at(self.file, span)
    }

    fn body(&mut self, (owner, span): (&str, Span), statements: &[Statement]) {
        let base = self.known.len();
        let mut returned = false;
        for (position, statement) in statements.iter().enumerate() {
            self.statement(statement);
            if statement.binds.is_none() {
                returned = true;
                if let Some(next) = statements.get(position + 1) {
                    self.checker.mention(self.place(next.span.to(statements[statements.len() - 1].span)));
                    let diagnostic = Diagnostic::new(Code::E0209, "nothing runs after `return`");
                    let diagnostic = diagnostic.label(self.place(next.span), "this is never reached");
                    self.checker.report(diagnostic.help("move it above the `return`, or remove it"));
                }
                break;
            }
        }
        if !returned {
            let diagnostic = Diagnostic::new(Code::E0209, format!("`{owner}` returns nothing"));
            let diagnostic = diagnostic.label(self.place(span), "expected a `return` at its end");
            self.checker.report(diagnostic.help("write `return value` as the last statement"));
        }
        self.leave(base);
    }

    fn statement(&mut self, statement: &Statement) {
        if let Some(attribute) = statement.attributes.first() {
            let diagnostic = Diagnostic::new(Code::E0107, format!("there is no attribute `@{}` in layers", attribute.name.text));
            let diagnostic = diagnostic.label(self.place(attribute.span), "layers have no attributes");
            self.checker.report(diagnostic.help("attributes stand in pipelines; write it where the model is called"));
        }
        self.expr(&statement.value, None);
        if let Some(name) = &statement.binds {
            self.bind(name);
        }
    }

    fn bind(&mut self, name: &Name) {
        let place = self.place(name.span);
        if let Some(known) = self.known.iter().find(|known| known.name == name.text) {
            let mut diagnostic = Diagnostic::new(Code::E0102, format!("`{}` is defined twice", name.text));
            diagnostic = diagnostic.label(place, "defined again here");
            if let Some(first) = known.at {
                diagnostic = diagnostic.label(first, "first defined here");
            }
            self.checker.report(diagnostic.help("a name keeps its value; give this one another name"));
        }
        self.known.push(Known { name: name.text.clone(), ty: None, at: Some(place), used: false });
    }

    /// Forgets the bindings from `base` on, with a warning of those that nothing reads.
    fn leave(&mut self, base: usize) {
        for known in self.known.split_off(base.min(self.known.len())) {
            let (Some(place), false) = (known.at, known.used || known.name.starts_with('_')) else { continue };
            let diagnostic = Diagnostic::new(Code::E0109, format!("`{}` is never used", known.name));
            self.checker.report(diagnostic.label(place, "nothing reads it").help("remove it, or start its name with `_`"));
        }
    }

    fn expr(&mut self, node: &Expr, wanted: Option<&Type>) {
        match &node.kind {
            ExprKind::Name(name) => self.name(name, self.place(node.span), wanted),
            ExprKind::Number(_) | ExprKind::Size { .. } | ExprKind::Text(_) | ExprKind::Broken => {}
            ExprKind::Record(entries) => {
                for entry in entries {
                    match &entry.value {
                        Some(value) => self.expr(value, None),
                        None => self.name(&entry.name.text, self.place(entry.name.span), None),
                    }
                }
            }
            ExprKind::Field(value, _) | ExprKind::Negate(value) => self.expr(value, None),
            ExprKind::Call(call) => self.call(call),
            ExprKind::Binary(binary) => self.binary(binary),
            ExprKind::When(when) => {
                for (condition, arm) in &when.arms {
                    self.expr(condition, None);
                    self.arm(arm, wanted);
                }
                self.arm(&when.otherwise, wanted);
            }
            ExprKind::Loop(node) => self.repeated(node),
            ExprKind::List(_) => self.unsupported(node.span, "a list"),
            ExprKind::Index(..) => self.unsupported(node.span, "an index"),
            ExprKind::Over(_) => self.unsupported(node.span, "a value over a stretch of time"),
            ExprKind::ForEach(_) => self.unsupported(node.span, "`for each`"),
            ExprKind::Parallel(_) => self.unsupported(node.span, "`parallel`"),
        }
    }

    fn unsupported(&mut self, span: Span, what: &str) {
        let diagnostic = Diagnostic::new(Code::E0009, format!("{what} is not supported in layers by this version of the compiler"));
        let diagnostic = diagnostic.label(self.place(span), "not read here");
        self.checker.report(diagnostic.help("layers are calls, arithmetic, `when` and `loop`; `loop ... counting i` repeats a layer"));
    }

    fn arm(&mut self, arm: &Arm, wanted: Option<&Type>) {
        let base = self.known.len();
        arm.statements.iter().for_each(|statement| self.statement(statement));
        self.expr(&arm.value, wanted);
        self.leave(base);
    }

    fn repeated(&mut self, node: &ast::Loop) {
        self.expr(&node.start, None);
        self.expr(&node.at_most, Some(&Type::Number));
        if let Some(until) = &node.until {
            self.unsupported(until.span, "`until`");
        }
        let base = self.known.len();
        self.bind(&node.name);
        node.counting.iter().for_each(|name| self.bind(name));
        self.known.iter_mut().skip(base).for_each(|known| known.used = true);
        self.arm(&node.body, None);
        self.leave(base);
    }

    /// A word beside a parameter that is a choice is one of its words.
    fn binary(&mut self, binary: &ast::Binary) {
        let choice = |names: &Self, side: &Expr| match &side.kind {
            ExprKind::Name(name) => names.known.iter().rev().find(|known| known.name == *name).and_then(|known| known.ty.clone()),
            _ => None,
        };
        let compares = matches!(binary.op, Operator::Eq | Operator::Ne);
        let of = |ty: Option<Type>| ty.filter(|ty| compares && matches!(ty, Type::Choice(_)));
        let (left, right) = (of(choice(self, &binary.left)), of(choice(self, &binary.right)));
        self.expr(&binary.left, right.as_ref());
        self.expr(&binary.right, left.as_ref());
        if binary.op == Operator::In {
            let diagnostic = Diagnostic::new(Code::E0208, "`in` stands in tests alone").label(self.place(binary.op_span), "not read here");
            self.checker.report(diagnostic.help("compare with `==`"));
        }
    }

    fn name(&mut self, name: &str, place: Location, wanted: Option<&Type>) {
        if let Some(known) = self.known.iter_mut().rev().find(|known| known.name == name) {
            known.used = true;
            return;
        }
        let is_const = matches!(self.checker.scopes[self.file.0 as usize].peek(name), Some(Symbol::Const(_)));
        if let (Some(Type::Choice(options)), false) = (wanted, is_const || self.sizes.iter().any(|size| size == name)) {
            if !options.iter().any(|option| option == name) {
                let message = format!("`{name}` is none of the words that fit here");
                let diagnostic = unknown_name(Code::E0201, message, name, place, options.iter().map(String::as_str));
                self.checker.report(diagnostic);
            }
            return;
        }
        if self.sizes.iter().any(|size| size == name) {
            return;
        }
        match self.checker.scopes[self.file.0 as usize].find(name, &["const"]) {
            Some(Symbol::Const(_) | Symbol::Broken) => {}
            Some(symbol) => {
                let diagnostic = Diagnostic::new(Code::E0201, format!("`{name}` is {}, no value", symbol.noun()));
                let help = format!("a layer is called: write `value |> {name}`");
                self.checker.report(diagnostic.label(place, "expected a value").help(help));
            }
            None => self.unknown(name, place, false),
        }
    }

    fn unknown(&mut self, name: &str, place: Location, called: bool) {
        if let Some(module) = stdlib::module_of_layer(name).or_else(|| stdlib::module_of(name)).filter(|_| called) {
            let diagnostic = Diagnostic::new(Code::E0101, format!("there is no `{name}` in this file"));
            let diagnostic = diagnostic.label(place, format!("`{module}` has one"));
            return self.checker.report(edits::with_import(self.checker, self.file, diagnostic, module, name));
        }
        let mut known: Vec<String> = self.known.iter().map(|known| known.name.clone()).chain(self.sizes.iter().cloned()).collect();
        known.extend(self.checker.scopes[self.file.0 as usize].names().map(str::to_owned));
        let diagnostic = unknown_name(Code::E0101, format!("there is no `{name}`"), name, place, known.iter().map(String::as_str));
        self.checker.report(diagnostic);
    }

    fn call(&mut self, call: &ast::Call) {
        let place = self.place(call.callee.span);
        let found = callee_name(call).map(|name| (name, target(self.checker, self.file, name)));
        let target = match found {
            Some((_, Ok(target))) => Some(target),
            Some((_, Err(NoTarget::Hidden))) => None,
            Some((name, Err(NoTarget::Unknown))) => {
                self.unknown(name, place, true);
                None
            }
            Some((name, Err(NoTarget::Other(noun)))) => {
                let diagnostic = Diagnostic::new(Code::E0207, format!("`{name}` cannot be called in layers"));
                let diagnostic = diagnostic.label(place, format!("this is {noun}"));
                self.checker.report(
                    diagnostic.help("layers call layers, and pipelines that the compiler provides, such as `relu` of `std.tensor`"),
                );
                None
            }
            None if matches!(call.callee.kind, ExprKind::Broken) => None,
            None => {
                let diagnostic = Diagnostic::new(Code::E0207, "only layers are called here").label(place, "this is no name of a layer");
                self.checker.report(diagnostic.help("write the name of a layer before the parenthesis"));
                None
            }
        };
        let Some(target) = target else {
            let values = call.piped.iter().chain(call.arguments.iter().map(|argument| &argument.value));
            // Of a call that is not understood, names may be words that only the callee knows.
            for value in values {
                if !matches!(&value.kind, ExprKind::Name(name) if !self.knows(name)) {
                    self.expr(value, None);
                }
            }
            return;
        };
        if let Callee::Layer(id) = target.callee {
            self.calls.push((id.0 as usize, place));
        }
        match arguments(call, &target, self.file) {
            Ok(found) => {
                for (param, value) in target.params.iter().zip(found.values) {
                    value.into_iter().for_each(|value| self.expr(value, Some(&param.ty)));
                }
                found.weights.into_iter().for_each(|value| self.weights(value));
            }
            Err(diagnostic) => self.checker.report(diagnostic),
        }
    }

    fn knows(&self, name: &str) -> bool {
        self.known.iter().any(|known| known.name == name)
    }

    /// The path of weights: a string, whose braces hold names of this body.
    fn weights(&mut self, value: &Expr) {
        let place = self.place(value.span);
        let ExprKind::Text(text) = &value.kind else {
            let is_string = matches!(&value.kind, ExprKind::Name(name) if self.known.iter().any(|known| known.name == *name && known.ty == Some(Type::String)));
            if is_string {
                return self.expr(value, None);
            }
            let diagnostic = Diagnostic::new(Code::E0201, "the path of weights is a string").label(place, "expected a string");
            return self.checker.report(diagnostic.help("write `weights = \"features.0\"`; `\"layer.{i}\"` puts a number into it"));
        };
        match parts(text) {
            Ok(parts) => {
                for part in parts {
                    if let Part::Number(expr) = part {
                        self.inside(&expr, place);
                    }
                }
            }
            Err(remark) => {
                let diagnostic = Diagnostic::new(Code::E0201, "this is no path of weights").label(place, remark);
                self.checker.report(diagnostic.help("a path is text in which `{i}` stands for a number, as in `\"layer.{i + 1}\"`"));
            }
        }
    }

    /// An expression between braces, of which only the string has a place.
    fn inside(&mut self, expr: &Expr, place: Location) {
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::Broken => {}
            ExprKind::Name(name) => self.name(name, place, None),
            ExprKind::Field(value, _) | ExprKind::Negate(value) => self.inside(value, place),
            ExprKind::Binary(binary) => {
                self.inside(&binary.left, place);
                self.inside(&binary.right, place);
            }
            _ => {
                let diagnostic =
                    Diagnostic::new(Code::E0201, "this is no number").label(place, "braces hold numbers, names and arithmetic");
                self.checker.report(diagnostic.help("write `\"layer.{i}\"` or `\"layer.{i + 1}\"`"));
            }
        }
    }
}
