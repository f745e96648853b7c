//! Expressions of a pipeline's body.

use crate::checker::{Checker, at, later, unknown_name};
use crate::program::{Expr, ExprKind, Param, Value};
use crate::scope::Symbol;
use crate::stdlib;
use crate::types::{Dim, Labels, Type};
use crate::unify::{Misfit, assignable};
use mlp_syntax::ast::{self, Attribute, Name, Operator};
use mlp_syntax::{Code, Diagnostic, FileId, Location, Span};

/// Checks the expressions of one pipeline.
pub(crate) struct BodyChecker<'c, 'w> {
    pub(crate) checker: &'c mut Checker<'w>,
    pub(crate) file: FileId,
    params: &'c [Param],
    locals: Vec<Binding>,
}

struct Binding {
    name: String,
    ty: Type,
    at: Location,
    used: bool,
}

impl<'c, 'w> BodyChecker<'c, 'w> {
    pub(crate) fn new(checker: &'c mut Checker<'w>, file: FileId, params: &'c [Param]) -> BodyChecker<'c, 'w> {
        BodyChecker { checker, file, params, locals: Vec::new() }
    }

    pub(crate) fn param_names(&self) -> Vec<String> {
        self.params.iter().map(|param| param.name.clone()).collect()
    }

    /// True for a binding or parameter of this pipeline; a binding counts as used from now on.
    pub(crate) fn knows(&mut self, name: &str) -> bool {
        if let Some(local) = self.locals.iter_mut().find(|local| local.name == name) {
            local.used = true;
            return true;
        }
        self.params.iter().any(|param| param.name == name)
    }

    pub(crate) fn place(&self, span: Span) -> Location {
        at(self.file, span)
    }

    /// Adds a binding; its name must be new.
    pub(crate) fn bind(&mut self, name: &Name, ty: Type) {
        let place = self.place(name.span);
        let first = self.locals.iter().find(|local| local.name == name.text).map(|local| local.at);
        let is_param = self.params.iter().any(|param| param.name == name.text);
        if first.is_some() || is_param {
            let mut diagnostic =
                Diagnostic::new(Code::E0102, format!("`{}` is defined twice", name.text)).label(place, "defined again here");
            if let Some(first) = first {
                diagnostic = diagnostic.label(first, "first defined here");
            }
            self.checker.report(diagnostic.help("a name keeps its value; give this one another name"));
        }
        self.locals.push(Binding { name: name.text.clone(), ty, at: place, used: false });
    }

    /// Warns of bindings that nothing reads.
    pub(crate) fn report_unused(&mut self) {
        for local in self.locals.iter().filter(|local| !local.used && !local.name.starts_with('_')) {
            self.checker.report(
                Diagnostic::new(Code::E0109, format!("`{}` is never used", local.name))
                    .label(local.at, "nothing reads it")
                    .help("remove it, or start its name with `_`"),
            );
        }
    }

    /// Attributes of statements belong to a later compiler.
    pub(crate) fn attributes(&mut self, attributes: &[Attribute]) {
        for attribute in attributes {
            let name = &attribute.name.text;
            let place = self.place(attribute.span);
            let diagnostic = if ["timeout", "cache", "retry", "deadline", "memory"].contains(&name.as_str()) {
                Diagnostic::new(Code::E0009, format!("`@{name}` is not supported by this version of the compiler"))
                    .label(place, "not read yet")
                    .help("remove it, or use a newer compiler")
            } else {
                Diagnostic::new(Code::E0107, format!("there is no attribute `@{name}` here"))
                    .label(place, "unknown attribute")
                    .help("remove it")
            };
            self.checker.report(diagnostic);
        }
    }

    /// The default value of a parameter: a value that needs no other name.
    pub(crate) fn default_value(&mut self, value: &ast::Expr, ty: &Type) -> Option<Value> {
        let typed = self.expr(value, Some(ty));
        if matches!(typed.kind, ExprKind::Broken) || *ty == Type::Unknown {
            return None;
        }
        self.expect_type(ty, &typed, value.span);
        match typed.kind {
            ExprKind::Value(value) => Some(value),
            _ => {
                let place = self.place(value.span);
                let diagnostic = Diagnostic::new(Code::E0211, "a default is not known when compiling")
                    .label(place, "expected a number, a size, a string or a word");
                self.checker.report(diagnostic.help("leave the default away"));
                None
            }
        }
    }

    /// Types an expression. `wanted` is the type that its place asks for, where there is one: a choice needs it to know its words.
    pub(crate) fn expr(&mut self, node: &ast::Expr, wanted: Option<&Type>) -> Expr {
        let place = self.place(node.span);
        let (kind, ty) = match &node.kind {
            ast::ExprKind::Name(name) => self.name(name, place, wanted),
            ast::ExprKind::Number(number) => {
                let dimension = number.unit.map(|unit| unit.dimension);
                let value = Value::Number(number.value * number.unit.map_or(1.0, |unit| unit.scale), dimension);
                (ExprKind::Value(value), dimension.map_or(Type::Number, Type::Quantity))
            }
            ast::ExprKind::Size { width, height } => (ExprKind::Value(Value::Size { width: *width, height: *height }), Type::Size),
            ast::ExprKind::Text(text) => (ExprKind::Value(Value::Text(text.clone())), Type::Text),
            ast::ExprKind::Record(entries) => self.record(entries, wanted),
            ast::ExprKind::Field(value, name) => self.field(value, name),
            ast::ExprKind::Call(call) => self.call(call, node.span),
            ast::ExprKind::Negate(value) => self.negate(value),
            ast::ExprKind::Binary(binary) => self.binary(binary),
            ast::ExprKind::List(_) => self.misplaced(place, "a list", "lists stand in hooks and tests"),
            ast::ExprKind::Index(..) => self.misplaced(place, "an index", "parts of an answer are read in tests and by the application"),
            ast::ExprKind::Over(_) => self.later("a value over a stretch of time", node.span),
            ast::ExprKind::When(_) => self.later("`when`", node.span),
            ast::ExprKind::ForEach(_) => self.later("`for each`", node.span),
            ast::ExprKind::Parallel(_) => self.later("`parallel`", node.span),
            ast::ExprKind::Loop(_) => self.later("`loop`", node.span),
            ast::ExprKind::Broken => (ExprKind::Broken, Type::Unknown),
        };
        Expr { kind, ty, at: place }
    }

    fn later(&mut self, what: &str, span: Span) -> (ExprKind, Type) {
        let diagnostic = later(what, self.place(span));
        self.checker.report(diagnostic);
        (ExprKind::Broken, Type::Unknown)
    }

    fn misplaced(&mut self, place: Location, what: &str, help: &str) -> (ExprKind, Type) {
        self.checker.report(
            Diagnostic::new(Code::E0009, format!("{what} is not supported here by this version of the compiler"))
                .label(place, "not read here")
                .help(help),
        );
        (ExprKind::Broken, Type::Unknown)
    }

    fn name(&mut self, name: &str, place: Location, wanted: Option<&Type>) -> (ExprKind, Type) {
        if let Some(index) = self.locals.iter().rposition(|local| local.name == name) {
            self.locals[index].used = true;
            return (ExprKind::Local(index), self.locals[index].ty.clone());
        }
        if let Some(index) = self.params.iter().position(|param| param.name == name) {
            return (ExprKind::Param(index), self.params[index].ty.clone());
        }
        if let Some(Type::Choice(options)) = wanted {
            if options.iter().any(|option| option == name) {
                return (ExprKind::Value(Value::Choice(name.to_owned())), Type::Choice(options.clone()));
            }
            let message = format!("`{name}` is none of the words that fit here");
            let diagnostic = unknown_name(Code::E0201, message, name, place, options.iter().map(String::as_str));
            self.checker.report(diagnostic);
            return (ExprKind::Broken, Type::Unknown);
        }
        match self.checker.scopes[self.file.0 as usize].find(name) {
            Some(Symbol::Broken) => {}
            Some(Symbol::Model(_) | Symbol::Pipeline(_)) => {
                let diagnostic = Diagnostic::new(Code::E0201, format!("`{name}` is called, it is no value"));
                self.checker
                    .report(diagnostic.label(place, "expected a value").help(format!("write `value |> {name}` or `{name}(value)`")));
            }
            None => self.unknown(name, place),
        }
        (ExprKind::Broken, Type::Unknown)
    }

    /// Reports a name that stands for nothing.
    pub(crate) fn unknown(&mut self, name: &str, place: Location) {
        if name == "image" {
            let diagnostic = Diagnostic::new(Code::E0101, "`image(...)` reads a photo only in tests")
                .label(place, "a pipeline takes its photo as a parameter");
            return self.checker.report(diagnostic.help("write a parameter `photo: image<rgb>`"));
        }
        if let Some(module) = stdlib::module_of(name) {
            let diagnostic = Diagnostic::new(Code::E0101, format!("there is no `{name}` in this file"));
            let diagnostic = diagnostic.label(place, format!("`{module}` has one"));
            return self.checker.report(diagnostic.help(format!("write `use {module}.{{ {name} }}` below the edition")));
        }
        let locals = self.locals.iter().map(|local| local.name.clone());
        let params = self.params.iter().map(|param| param.name.clone());
        let globals = self.checker.scopes[self.file.0 as usize].names().map(str::to_owned);
        let known: Vec<String> = locals.chain(params).chain(globals).collect();
        let diagnostic = unknown_name(Code::E0101, format!("there is no `{name}`"), name, place, known.iter().map(String::as_str));
        self.checker.report(diagnostic);
    }

    fn record(&mut self, entries: &[ast::RecordEntry], wanted: Option<&Type>) -> (ExprKind, Type) {
        let wanted_fields: &[(String, Type)] = match wanted {
            Some(Type::Record(fields)) => fields,
            _ => &[],
        };
        let mut values: Vec<(String, Expr)> = Vec::new();
        for entry in entries {
            let name = &entry.name.text;
            if values.iter().any(|(known, _)| known == name) {
                let diagnostic = Diagnostic::new(Code::E0102, format!("the field `{name}` is given twice"));
                self.checker.report(diagnostic.label(self.place(entry.name.span), "given again here").help("remove one of them"));
                continue;
            }
            let wanted = wanted_fields.iter().find(|(field, _)| field == name).map(|(_, ty)| ty);
            let value = match &entry.value {
                Some(value) => self.expr(value, wanted),
                None => {
                    let place = self.place(entry.name.span);
                    let (kind, ty) = self.name(name, place, wanted);
                    Expr { kind, ty, at: place }
                }
            };
            values.push((name.clone(), value));
        }
        let ty = Type::Record(values.iter().map(|(name, value)| (name.clone(), value.ty.clone())).collect());
        (ExprKind::Record(values), ty)
    }

    fn field(&mut self, value: &ast::Expr, name: &Name) -> (ExprKind, Type) {
        let value = self.expr(value, None);
        let place = self.place(name.span);
        match &value.ty {
            Type::Record(fields) => {
                if let Some((_, ty)) = fields.iter().find(|(field, _)| *field == name.text) {
                    let ty = ty.clone();
                    return (ExprKind::Field(Box::new(value), name.text.clone()), ty);
                }
                let known = fields.iter().map(|(field, _)| field.as_str());
                let diagnostic = unknown_name(Code::E0206, format!("the record has no field `{}`", name.text), &name.text, place, known);
                self.checker.report(diagnostic);
            }
            Type::Unknown => {}
            other => {
                let shown = self.checker.show(other);
                let diagnostic = Diagnostic::new(Code::E0206, format!("{shown} has no field `{}`", name.text))
                    .label(place, "only records have fields here");
                self.checker.report(diagnostic.help("use the whole value"));
            }
        }
        (ExprKind::Broken, Type::Unknown)
    }

    fn negate(&mut self, value: &ast::Expr) -> (ExprKind, Type) {
        let value = self.expr(value, None);
        match (&value.kind, &value.ty) {
            (ExprKind::Value(Value::Number(number, dimension)), ty) => (ExprKind::Value(Value::Number(-number, *dimension)), ty.clone()),
            (_, Type::Number | Type::Quantity(_)) => {
                let ty = value.ty.clone();
                (ExprKind::Negate(Box::new(value)), ty)
            }
            (_, Type::Tensor(tensor)) if tensor.dtype.is_float() || tensor.dtype.is_signed_int() => {
                // The order of scores is turned round, but positions mean what they meant.
                let ty = value.ty.clone();
                (ExprKind::Negate(Box::new(value)), ty)
            }
            (_, Type::Unknown) => (ExprKind::Broken, Type::Unknown),
            (_, ty) => {
                let shown = self.checker.show(ty);
                let diagnostic = Diagnostic::new(Code::E0208, format!("`-` takes no {shown}"))
                    .label(value.at, "expected a number or a tensor of signed numbers");
                self.checker.report(diagnostic.help("remove the sign"));
                (ExprKind::Broken, Type::Unknown)
            }
        }
    }

    fn binary(&mut self, binary: &ast::Binary) -> (ExprKind, Type) {
        let left = self.expr(&binary.left, None);
        let right = self.expr(&binary.right, None);
        if !matches!(binary.op, Operator::Add | Operator::Sub | Operator::Mul | Operator::Div) {
            let place = self.place(binary.op_span);
            return self.misplaced(place, "a comparison", "comparisons stand in tests");
        }
        let ty = match (&left.ty, &right.ty) {
            (Type::Unknown, _) | (_, Type::Unknown) => return (ExprKind::Broken, Type::Unknown),
            (Type::Number, Type::Number) => Some(Type::Number),
            (Type::Tensor(tensor), Type::Number) | (Type::Number, Type::Tensor(tensor)) if tensor.dtype.is_float() => {
                Some(Type::Tensor(tensor.clone()))
            }
            (Type::Tensor(a), Type::Tensor(b)) if a.dtype == b.dtype && a.dtype.is_float() && a.dims == b.dims => {
                let labels = if a.labels == b.labels { a.labels.clone() } else { Labels::None };
                Some(Type::Tensor(crate::types::TensorType { labels, ..a.clone() }))
            }
            _ => None,
        };
        match ty {
            Some(ty) => match fold(binary.op, &left, &right) {
                Some(value) => (ExprKind::Value(value), ty),
                None => (ExprKind::Arithmetic { op: binary.op, left: Box::new(left), right: Box::new(right) }, ty),
            },
            None => {
                let (a, b) = (self.checker.show(&left.ty), self.checker.show(&right.ty));
                self.checker.report(
                    Diagnostic::new(Code::E0208, format!("`{}` does not take {a} and {b}", binary.op.symbol()))
                        .label(self.place(binary.op_span), "expected tensors of floats of one shape, or a tensor and a number")
                        .help("nothing is converted or stretched by itself; bring both sides to one type"),
                );
                (ExprKind::Broken, Type::Unknown)
            }
        }
    }

    /// Reports a value that is not of the wanted type; `declared` is where that type is written.
    pub(crate) fn expect_type(&mut self, wanted: &Type, value: &Expr, declared: Span) {
        if let Err(misfit) = assignable(wanted, &value.ty) {
            let remark = self.place(declared);
            let diagnostic = self.misfit(&misfit, wanted, value).label(remark, format!("{} is asked for here", self.checker.show(wanted)));
            self.checker.report(diagnostic);
        }
    }

    /// What to say of a value that does not fit.
    pub(crate) fn misfit(&mut self, misfit: &Misfit, wanted: &Type, value: &Expr) -> Diagnostic {
        let (wanted_text, found) = (self.checker.show(wanted), self.checker.show(&value.ty));
        match misfit {
            Misfit::Shape(which) => Diagnostic::new(Code::E0202, format!("expected {wanted_text}, found {found}"))
                .label(value.at, which.clone())
                .help(self.shape_help(wanted, &value.ty)),
            Misfit::Labels => Diagnostic::new(Code::E0213, "these labels are not the ones that are asked for")
                .label(value.at, format!("this is {found}"))
                .help(format!("labels come from a model's output; {wanted_text} was expected")),
            Misfit::Type => self.type_misfit(wanted, value, &wanted_text, &found),
        }
    }

    fn type_misfit(&self, wanted: &Type, value: &Expr, wanted_text: &str, found: &str) -> Diagnostic {
        match (wanted, &value.ty) {
            (Type::Quantity(dimension), Type::Number) => {
                let unit = match dimension {
                    mlp_syntax::units::Dimension::Time => "ms",
                    mlp_syntax::units::Dimension::Bytes => "MiB",
                    mlp_syntax::units::Dimension::Rate => "Hz",
                    mlp_syntax::units::Dimension::Ratio => "%",
                };
                let text = match &value.kind {
                    // Half of a whole is 50%.
                    ExprKind::Value(Value::Number(number, None)) if unit == "%" => format!("{}%", number * 100.0),
                    _ => format!("{}{unit}", self.checker.text(value.at)),
                };
                Diagnostic::new(Code::E0210, "a number has no unit")
                    .label(value.at, format!("expected {}", dimension.name()))
                    .help(format!("write `{text}`"))
                    .fix(value.at, text)
            }
            (Type::Number | Type::Quantity(_), Type::Quantity(dimension)) => {
                Diagnostic::new(Code::E0210, format!("expected {wanted_text}, found a number of {}", dimension.name()))
                    .label(value.at, format!("this measures {}", dimension.name()))
                    .help("write a number of the dimension that is asked for")
            }
            _ => {
                let diagnostic = Diagnostic::new(Code::E0201, format!("expected {wanted_text}, found {found}"))
                    .label(value.at, format!("this is {found}"));
                diagnostic.help(format!("give it {wanted_text}; nothing is converted by itself"))
            }
        }
    }

    /// A remedy for the shapes that are most often confused.
    fn shape_help(&self, wanted: &Type, found: &Type) -> String {
        let general = "change one side so that the shapes agree".to_owned();
        let (Type::Tensor(wanted), Type::Tensor(found)) = (wanted, found) else { return general };
        let is_batch = |dim: Option<&Dim>| dim == Some(&Dim::Const(1));
        if is_batch(found.dims.first()) && found.dims.len() == wanted.dims.len() + 1 {
            return "`|> unbatch` from `std.tensor` takes the only entry of a batch of one".to_owned();
        }
        if is_batch(wanted.dims.first()) && wanted.dims.len() == found.dims.len() + 1 && found.dims.last() == Some(&Dim::Const(3)) {
            return "`|> to_nchw` from `std.vision` makes a batch of one, channels first".to_owned();
        }
        general
    }
}

/// The value of arithmetic on two numbers that are known.
fn fold(op: Operator, left: &Expr, right: &Expr) -> Option<Value> {
    let (ExprKind::Value(Value::Number(a, None)), ExprKind::Value(Value::Number(b, None))) = (&left.kind, &right.kind) else { return None };
    let value = match op {
        Operator::Add => a + b,
        Operator::Sub => a - b,
        Operator::Mul => a * b,
        Operator::Div => a / b,
        _ => return None,
    };
    value.is_finite().then_some(Value::Number(value, None))
}
