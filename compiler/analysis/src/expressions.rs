//! Expressions of a pipeline's body.

use crate::aliases::MAX_WEIGHT;
use crate::checker::{Checker, at, unknown_name};
use crate::pixels::PixelRange;
use crate::program::{Bound, Callee, Expr, ExprKind, Param, Value};
use crate::scope::Symbol;
use crate::types::{Dim, Labels, TensorType, Type};
use crate::unify::{Misfit, assignable};
use crate::{constants, edits, shapes, stdlib};
use mlp_bundle::DType;
use mlp_syntax::ast::{self, Name};
use mlp_syntax::units::Dimension;
use mlp_syntax::{Code, Diagnostic, FileId, Location, Span};

/// The most elements of a tensor that is written out.
const MAX_ELEMENTS: usize = 1 << 16;

/// Checks the expressions of one pipeline.
pub(crate) struct BodyChecker<'c, 'w> {
    pub(crate) checker: &'c mut Checker<'w>,
    pub(crate) file: FileId,
    params: &'c [Param],
    locals: Vec<Binding>,
    /// The largest sizes of the signature's symbols.
    pub(crate) bounds: Vec<Bound>,
}

struct Binding {
    name: String,
    ty: Type,
    at: Location,
    used: bool,
    /// The operation that made it, and where that stands.
    maker: Option<(String, Location)>,
    /// The range of its numbers, where it is known to be pixels.
    range: Option<PixelRange>,
}

impl<'c, 'w> BodyChecker<'c, 'w> {
    pub(crate) fn new(checker: &'c mut Checker<'w>, file: FileId, params: &'c [Param]) -> BodyChecker<'c, 'w> {
        BodyChecker { checker, file, params, locals: Vec::new(), bounds: Vec::new() }
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

    /// How many bindings can be seen.
    pub(crate) fn depth(&self) -> usize {
        self.locals.len()
    }

    /// Adds a binding of a value; its name must be new.
    pub(crate) fn bind(&mut self, name: &Name, value: &Expr) {
        let (maker, range) = (self.maker(value), self.pixel_range(value));
        self.bind_type(name, value.ty.clone());
        if let Some(binding) = self.locals.last_mut() {
            (binding.maker, binding.range) = (maker, range);
        }
    }

    /// Adds a binding of a type; its name must be new.
    pub(crate) fn bind_type(&mut self, name: &Name, ty: Type) {
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
        self.locals.push(Binding { name: name.text.clone(), ty, at: place, used: false, maker: None, range: None });
    }

    /// Counts the bindings from `base` on as used.
    pub(crate) fn use_all(&mut self, base: usize) {
        self.locals.iter_mut().skip(base).for_each(|local| local.used = true);
    }

    /// Forgets the bindings from `base` on, with a warning of those that nothing reads.
    pub(crate) fn leave(&mut self, base: usize) {
        for local in self.locals.split_off(base.min(self.locals.len())) {
            if local.used || local.name.starts_with('_') {
                continue;
            }
            self.checker.report(
                Diagnostic::new(Code::E0109, format!("`{}` is never used", local.name))
                    .label(local.at, "nothing reads it")
                    .help("remove it, or start its name with `_`")
                    .fix(local.at, format!("_{}", local.name)),
            );
        }
    }

    /// The operation that made a value, and where it stands; none where nothing is known.
    pub(crate) fn maker(&self, value: &Expr) -> Option<(String, Location)> {
        match &value.kind {
            ExprKind::Call { callee, at, .. } => {
                let name = match callee {
                    Callee::Pipeline(id) => self.checker.pipelines.get(id.0 as usize)?.name.clone(),
                    Callee::Model(id) => self.checker.models.get(id.0 as usize)?.name.clone(),
                };
                Some((name, *at))
            }
            ExprKind::Arithmetic { op, left, right } => {
                let side = if matches!(left.ty, Type::Tensor(_)) { left } else { right };
                self.maker(side).or_else(|| Some((op.symbol().to_owned(), value.at)))
            }
            ExprKind::Negate(inner) => self.maker(inner),
            ExprKind::Local(index) => self.locals.get(*index)?.maker.clone(),
            _ => None,
        }
    }

    /// The range of the pixels that a binding is, where it is known.
    pub(crate) fn range_of_local(&self, index: usize) -> Option<PixelRange> {
        // Parameters of a pipeline are not among them: nothing says what they hold.
        self.locals.get(index)?.range
    }

    /// A typed expression of a type that is not too large to go on with.
    pub(crate) fn bounded_type(&mut self, (kind, ty): (ExprKind, Type), span: Span) -> (ExprKind, Type) {
        if ty.weight(MAX_WEIGHT) <= MAX_WEIGHT {
            return (kind, ty);
        }
        let diagnostic =
            Diagnostic::new(Code::E0005, "a type is too large").label(self.place(span), format!("it has more than {MAX_WEIGHT} parts"));
        self.checker.report(diagnostic.help("give less in one value"));
        (ExprKind::Broken, Type::Unknown)
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
            ast::ExprKind::Text(text) => (ExprKind::Value(Value::Text(text.clone())), Type::String),
            ast::ExprKind::Record(entries) => {
                let typed = self.record(entries, wanted);
                self.bounded_type(typed, node.span)
            }
            ast::ExprKind::Field(value, name) => self.field(value, name),
            ast::ExprKind::Call(call) => self.call(call, node.span),
            ast::ExprKind::Negate(value) => self.negate(value),
            ast::ExprKind::Binary(binary) => self.binary(binary),
            ast::ExprKind::List(items) => self.list(items, wanted, node.span),
            ast::ExprKind::Index(value, index) => self.index(value, *index, node.span),
            ast::ExprKind::Over(_) => self.misplaced(place, "a value over a stretch of time", "`over` stands in the limits of monitors"),
            ast::ExprKind::When(when) => self.when(when, wanted),
            ast::ExprKind::ForEach(each) => self.for_each(each),
            ast::ExprKind::Parallel(statements) => self.parallel(statements, node.span),
            ast::ExprKind::Loop(node) => self.bounded_loop(node),
            ast::ExprKind::Broken => (ExprKind::Broken, Type::Unknown),
        };
        Expr { kind, ty, at: place }
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
        if let (Some(ty @ Type::Optional(_)), "none") = (wanted, name) {
            return (ExprKind::None, ty.clone());
        }
        let is_const = matches!(self.checker.scopes[self.file.0 as usize].peek(name), Some(Symbol::Const(_)));
        if let Some(Type::Choice(options)) = wanted
            && options.iter().any(|option| option == name)
        {
            return (ExprKind::Value(Value::Choice(name.to_owned())), Type::Choice(options.clone()));
        }
        if let (Some(Type::Choice(options)), false) = (wanted, is_const) {
            let message = format!("`{name}` is none of the words that fit here");
            let diagnostic = unknown_name(Code::E0201, message, name, place, options.iter().map(String::as_str));
            self.checker.report(diagnostic);
            return (ExprKind::Broken, Type::Unknown);
        }
        match self.checker.scopes[self.file.0 as usize].find(name, &["const"]) {
            Some(Symbol::Broken) => {}
            Some(Symbol::Const(id)) => {
                if let Some((value, ty)) = constants::value(self.checker, id) {
                    return (ExprKind::Value(value), ty);
                }
            }
            Some(symbol @ (Symbol::Model(_) | Symbol::Pipeline(_))) => {
                let diagnostic = Diagnostic::new(Code::E0201, format!("`{name}` is {}, it is called and no value", symbol.noun()));
                self.checker
                    .report(diagnostic.label(place, "expected a value").help(format!("write `value |> {name}` or `{name}(value)`")));
            }
            Some(symbol) => {
                let diagnostic = Diagnostic::new(Code::E0201, format!("`{name}` is {}, no value", symbol.noun()));
                self.checker.report(diagnostic.label(place, "expected a value").help("name a value here"));
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
        if let (Some(module), None) = (stdlib::module_of_layer(name), stdlib::module_of(name)) {
            let diagnostic = Diagnostic::new(Code::E0101, format!("there is no pipeline `{name}`"));
            let diagnostic = diagnostic.label(place, format!("`{module}` has a layer of this name"));
            return self.checker.report(diagnostic.help("layers are called in the `layers` block of a model, or in a `layer`"));
        }
        if let Some(module) = stdlib::module_of(name) {
            let diagnostic = Diagnostic::new(Code::E0101, format!("there is no `{name}` in this file"));
            let diagnostic = diagnostic.label(place, format!("`{module}` has one"));
            return self.checker.report(edits::with_import(self.checker, self.file, diagnostic, module, name));
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
                let place = self.place(entry.name.span);
                let end = entry.value.as_ref().map_or(entry.name.span, |value| entry.name.span.to(value.span));
                let removed = edits::listed(self.checker, self.place(end));
                self.checker.report(diagnostic.label(place, "given again here").help("remove one of them").fix(removed, ""));
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

    /// `[1, 2]`: numbers are a tensor; values that are known when running are a list.
    fn list(&mut self, items: &[ast::Expr], wanted: Option<&Type>, span: Span) -> (ExprKind, Type) {
        let place = self.place(span);
        let row = match wanted {
            Some(Type::Tensor(tensor)) if !tensor.dims.is_empty() => {
                let dims = tensor.dims[1..].to_vec();
                Some(if dims.is_empty() { Type::Number } else { Type::Tensor(TensorType { dims, labels: Labels::None, ..tensor.clone() }) })
            }
            Some(Type::List { item, .. }) => Some(item.as_ref().clone()),
            _ => None,
        };
        let values: Vec<Expr> = items.iter().map(|item| self.expr(item, row.as_ref())).collect();
        let Some(first) = values.first() else {
            let diagnostic = Diagnostic::new(Code::E0201, "a list without values has no type").label(place, "expected a value in it");
            self.checker.report(diagnostic.help("write at least one value"));
            return (ExprKind::Broken, Type::Unknown);
        };
        if values.iter().any(|value| value.ty == Type::Unknown) {
            return (ExprKind::Broken, Type::Unknown);
        }
        let ty = first.ty.clone();
        if let Some(other) = values.iter().find(|value| assignable(&ty, &value.ty).is_err()) {
            let (a, b) = (self.checker.show(&ty), self.checker.show(&other.ty));
            let diagnostic = Diagnostic::new(Code::E0201, "the values of a list have one type")
                .label(other.at, format!("this is {b}"))
                .label(first.at, format!("this is {a}"));
            self.checker.report(diagnostic.help("give them one type; nothing is converted by itself"));
            return (ExprKind::Broken, Type::Unknown);
        }
        let dtype = match wanted {
            Some(Type::Tensor(tensor)) => tensor.dtype,
            _ => DType::F32,
        };
        let mut elements: Vec<f64> = Vec::new();
        for value in &values {
            match &value.kind {
                ExprKind::Value(Value::Number(number, None)) => elements.push(*number),
                ExprKind::Value(Value::Tensor(row)) => elements.extend(row),
                _ if !ty.is_constant() => {
                    return (ExprKind::List(values.clone()), Type::List { item: Box::new(ty), most: Some(items.len() as u64) });
                }
                _ => return self.misplaced(place, "a list of such values", "lists hold numbers, or values that are known when running"),
            }
            if elements.len() > MAX_ELEMENTS {
                let diagnostic = Diagnostic::new(Code::E0011, "a tensor is too large to be written out")
                    .label(place, format!("it has more than {MAX_ELEMENTS} elements"));
                self.checker.report(diagnostic.help("put it into a model"));
                return (ExprKind::Broken, Type::Unknown);
            }
        }
        if let (false, Some(at)) = (dtype.is_float(), elements.iter().position(|number| number.fract() != 0.0)) {
            let at = values.get(at).map_or(place, |value| value.at);
            let diagnostic = Diagnostic::new(Code::E0201, format!("`{dtype}` holds whole numbers")).label(at, "this is no whole number");
            self.checker.report(diagnostic.help("write whole numbers, or give the tensor elements of type `f32`"));
            return (ExprKind::Broken, Type::Unknown);
        }
        let mut dims = vec![Dim::Const(items.len() as u64)];
        if let Type::Tensor(row) = &ty {
            dims.extend(row.dims.iter().cloned());
        }
        (ExprKind::Value(Value::Tensor(elements)), Type::Tensor(TensorType { dtype, dims, labels: Labels::None }))
    }

    fn field(&mut self, value: &ast::Expr, name: &Name) -> (ExprKind, Type) {
        let value = self.expr(value, None);
        let place = self.place(name.span);
        if value.ty == Type::Unknown {
            return (ExprKind::Broken, Type::Unknown);
        }
        let fields = fields_of(&value.ty);
        if let Some((_, ty)) = fields.iter().find(|(field, _)| *field == name.text) {
            let ty = ty.clone();
            return match (&value.kind, name.text.as_str()) {
                (ExprKind::Value(Value::Size { width, .. }), "width") => (ExprKind::Value(Value::Number(f64::from(*width), None)), ty),
                (ExprKind::Value(Value::Size { height, .. }), "height") => (ExprKind::Value(Value::Number(f64::from(*height), None)), ty),
                _ => (ExprKind::Field(Box::new(value), name.text.clone()), ty),
            };
        }
        let shown = self.checker.show(&value.ty);
        let known = fields.iter().map(|(field, _)| field.as_str());
        let diagnostic = match &value.ty {
            Type::Record(_) => unknown_name(Code::E0206, format!("the record has no field `{}`", name.text), &name.text, place, known),
            _ if !fields.is_empty() => unknown_name(Code::E0206, format!("{shown} has no field `{}`", name.text), &name.text, place, known),
            _ => {
                let diagnostic = Diagnostic::new(Code::E0206, format!("{shown} has no field `{}`", name.text));
                if stdlib::module_of(&name.text) == Some(stdlib::TENSOR) {
                    let text = format!("{}()", name.text);
                    diagnostic.label(place, "this is a method").help(format!("write `{text}`")).fix(place, text)
                } else {
                    diagnostic.label(place, "only records have fields here").help("use the whole value")
                }
            }
        };
        self.checker.report(diagnostic);
        (ExprKind::Broken, Type::Unknown)
    }

    /// Reports a value that is not of the wanted type; `declared` is where that type is written.
    pub(crate) fn expect_type(&mut self, wanted: &Type, value: &Expr, declared: Span) {
        if let Err(misfit) = assignable(wanted, &value.ty) {
            let remark = self.place(declared);
            let diagnostic = self.misfit(&misfit, wanted, value).label(remark, format!("{} is asked for here", self.checker.show(wanted)));
            // Where nothing brings the value to that type, the type was probably written before the value was known.
            let found = self.checker.show(&value.ty).trim_matches('`').to_owned();
            // A field that was left out is rather added than taken out of the type.
            let left_out = missing_fields(wanted, &value.ty).is_some();
            let can_be_written = !value.ty.is_constant() && !found.contains("unknown") && !found.contains('@') && !left_out;
            self.checker.report(if diagnostic.fix.is_none() && can_be_written { diagnostic.fix(remark, found) } else { diagnostic });
        }
    }

    /// What to say of a value that does not fit.
    pub(crate) fn misfit(&mut self, misfit: &Misfit, wanted: &Type, value: &Expr) -> Diagnostic {
        let (wanted_text, found) = (self.checker.show(wanted), self.checker.show(&value.ty));
        match misfit {
            Misfit::Shape(which) => {
                let lines = shapes::aligned(self.checker, wanted, &value.ty);
                let diagnostic = Diagnostic::new(Code::E0202, format!("expected {wanted_text}, found {found}"))
                    .label(value.at, which.clone())
                    .help(format!("{}\n  {lines}", self.shape_help(wanted, &value.ty)));
                let diagnostic = if is_batched(wanted, &value.ty) {
                    let text = edits::method(self.checker.text(value.at), "unbatch()");
                    diagnostic.fix(value.at, text)
                } else {
                    diagnostic
                };
                match self.maker(value) {
                    Some((maker, place)) if place != value.at => diagnostic.label(place, format!("`{maker}` makes {found}")),
                    _ => diagnostic,
                }
            }
            Misfit::Labels => Diagnostic::new(Code::E0213, "these labels are not the ones that are asked for")
                .label(value.at, format!("this is {found}"))
                .help(format!("labels come from a model's output; {wanted_text} was expected")),
            Misfit::Type => self.type_misfit(wanted, value, &wanted_text, &found),
        }
    }

    fn type_misfit(&self, wanted: &Type, value: &Expr, wanted_text: &str, found: &str) -> Diagnostic {
        match (wanted, &value.ty) {
            (Type::Quantity(dimension), Type::Number) => {
                let unit = unit_of(*dimension);
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
                let diagnostic = Diagnostic::new(Code::E0210, format!("expected {wanted_text}, found a number of {}", dimension.name()))
                    .label(value.at, format!("this measures {}", dimension.name()));
                let text = self.checker.text(value.at);
                let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%');
                match (wanted, &value.kind) {
                    // 1% is 0.01 of a whole; of other units no plain number is the same.
                    (Type::Number, ExprKind::Value(Value::Number(number, _))) if dimension.name() == "ratio" => {
                        diagnostic.help(format!("write `{number}`")).fix(value.at, number.to_string())
                    }
                    _ if digits.is_empty() || digits.parse::<f64>().is_err() => {
                        diagnostic.help("write a number of the dimension that is asked for")
                    }
                    (Type::Quantity(wanted), _) => {
                        let text = format!("{digits}{}", unit_of(*wanted));
                        diagnostic.help(format!("write a number of {}, such as `{text}`", wanted.name())).fix(value.at, text)
                    }
                    _ => diagnostic.help("write a number without a unit").fix(value.at, digits),
                }
            }
            _ => {
                let diagnostic = Diagnostic::new(Code::E0201, format!("expected {wanted_text}, found {found}"))
                    .label(value.at, format!("this is {found}"));
                if let Some(missing) = missing_fields(wanted, &value.ty) {
                    return diagnostic.help(format!("add {missing}, or take it out of the type"));
                }
                match self.respelt(wanted, value) {
                    Some(text) => diagnostic.help(format!("write `{text}`")).fix(value.at, text),
                    None => diagnostic.help(format!("give it {wanted_text}; nothing is converted by itself")),
                }
            }
        }
    }

    /// The value as it is written where its type is wanted: without quotes, or with both sides of a size.
    fn respelt(&self, wanted: &Type, value: &Expr) -> Option<String> {
        match (wanted, &value.kind) {
            (Type::Number, ExprKind::Value(Value::Text(text))) => text.parse::<f64>().ok().filter(|_| digits(text)).map(|_| text.clone()),
            (Type::Size, ExprKind::Value(Value::Text(text))) => {
                let (width, height) = text.split_once('x')?;
                (is_side(width) && is_side(height)).then(|| text.clone())
            }
            (Type::Size, ExprKind::Value(Value::Number(..))) => {
                let side = self.checker.text(value.at);
                is_side(side).then(|| format!("{side}x{side}"))
            }
            (Type::Choice(options), ExprKind::Value(Value::Text(text))) => options.contains(text).then(|| text.clone()),
            (Type::Quantity(dimension), ExprKind::Value(Value::Text(text))) => {
                let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%');
                let unit = mlp_syntax::units::find(&text[number.len()..])?;
                (digits(number) && number.parse::<f64>().is_ok() && unit.dimension == *dimension).then(|| text.clone())
            }
            _ => None,
        }
    }

    /// A remedy for the shapes that are most often confused.
    pub(crate) fn shape_help(&self, wanted: &Type, found: &Type) -> String {
        let general = "change one side so that the shapes agree".to_owned();
        let (Type::Tensor(wanted), Type::Tensor(found)) = (wanted, found) else { return general };
        let is_batch = |dim: Option<&Dim>| dim == Some(&Dim::Const(1));
        if is_batch(found.dims.first()) && found.dims.len() == wanted.dims.len() + 1 {
            return "`|> unbatch` from `std.tensor` takes the only entry of a batch of one".to_owned();
        }
        if is_batch(wanted.dims.first()) && wanted.dims[1..] == found.dims[..] {
            return "`|> batch` from `std.tensor` makes a batch of one".to_owned();
        }
        if is_batch(wanted.dims.first()) && wanted.dims.len() == found.dims.len() + 1 && found.dims.last() == Some(&Dim::Const(3)) {
            return "`|> to_nchw` from `std.vision` makes a batch of one, channels first".to_owned();
        }
        general
    }
}

/// True where a batch of one was given for its only entry.
fn is_batched(wanted: &Type, found: &Type) -> bool {
    let (Type::Tensor(wanted), Type::Tensor(found)) = (wanted, found) else { return false };
    let fits = |(wanted, found): (&Dim, &Dim)| wanted == found || matches!(wanted, Dim::Symbol(_) | Dim::Rest(_));
    let same_rank = found.dims.len() == wanted.dims.len() + 1;
    found.dtype == DType::F32
        && same_rank
        && found.dims.first() == Some(&Dim::Const(1))
        && wanted.dims.iter().zip(&found.dims[1..]).all(fits)
}

fn digits(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_digit() || c == '.')
}

/// True for a side of a size: a whole number from 1 to 65536.
pub(crate) fn is_side(text: &str) -> bool {
    text.parse::<u32>().is_ok_and(|side| (1..=65536).contains(&side)) && text.chars().all(|c| c.is_ascii_digit())
}

/// The unit of a dimension that is most often meant.
fn unit_of(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Time => "ms",
        Dimension::Bytes => "MiB",
        Dimension::Rate => "Hz",
        Dimension::Ratio => "%",
    }
}

/// The fields that values of a type have.
pub(crate) fn fields_of(ty: &Type) -> Vec<(String, Type)> {
    let fields: Vec<(&str, Type)> = match ty {
        Type::Record(fields) => return fields.clone(),
        Type::Ranking { labels, count } => {
            let scores = TensorType { dtype: DType::F32, dims: vec![count.clone()], labels: Labels::None };
            vec![("first", Type::Label(labels.clone())), ("scores", Type::Tensor(scores))]
        }
        Type::Size => vec![("width", Type::Number), ("height", Type::Number)],
        Type::Optional(inner) => vec![("exists", Type::truth()), ("value", inner.as_ref().clone())],
        Type::List { .. } => vec![("count", Type::scalar(DType::I32))],
        _ => Vec::new(),
    };
    fields.into_iter().map(|(name, ty)| (name.to_owned(), ty)).collect()
}

/// The fields of a record that a value lacks which has all others, in the words of a message.
fn missing_fields(wanted: &Type, found: &Type) -> Option<String> {
    let (Type::Record(wanted), Type::Record(found)) = (wanted, found) else { return None };
    let is_in = |name: &str, fields: &[(String, Type)]| fields.iter().any(|(other, _)| other == name);
    let missing: Vec<String> = wanted.iter().filter(|(name, _)| !is_in(name, found)).map(|(name, _)| format!("`{name}`")).collect();
    let known = found.iter().all(|(name, _)| is_in(name, wanted));
    (known && !missing.is_empty()).then(|| missing.join(" and "))
}
