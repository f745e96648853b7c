//! Calls of pipelines and models: arguments to parameters, then types.

use crate::checker::unknown_name;
use crate::expressions::{BodyChecker, is_side};
use crate::program::{Bound, Callee, Expr, ExprKind, Param};
use crate::scope::Symbol;
use crate::types::{Dim, Type};
use crate::unify::{Bindings, Unbound};
use crate::{edits, stdlib};
use mlp_syntax::ast::{self, Argument};
use mlp_syntax::{Code, Diagnostic, Location, Span, closest};

/// What is called: its parameters and its result.
struct Target {
    name: String,
    callee: Callee,
    params: Vec<Param>,
    result: Type,
    bounds: Vec<Bound>,
}

impl BodyChecker<'_, '_> {
    pub(crate) fn call(&mut self, call: &ast::Call, span: Span) -> (ExprKind, Type) {
        // `value.max()` is `max(value)` of `std.tensor`.
        let method = match &call.callee.kind {
            ast::ExprKind::Field(value, name) if call.piped.is_none() => Some((value.as_ref(), name)),
            _ => None,
        };
        let target = match method {
            Some((_, name)) => self.method(name),
            None => self.target(call),
        };
        let piped = call.piped.as_ref().or(method.map(|(value, _)| value));
        let Some(target) = target else {
            // The arguments are checked all the same: names in them count as used, and errors in them are shown.
            piped.into_iter().chain(call.arguments.iter().map(|argument| &argument.value)).for_each(|value| {
                if !matches!(value.kind, ast::ExprKind::Name(_)) || self.is_local(value) {
                    self.expr(value, None);
                }
            });
            return (ExprKind::Broken, Type::Unknown);
        };
        let callee = method.map_or(call.callee.span, |(_, name)| name.span);
        if let Some(size) = self.two_numbers(piped.is_some(), &call.arguments, &target) {
            piped.into_iter().chain(call.arguments.iter().map(|argument| &argument.value)).for_each(|value| _ = self.expr(value, None));
            self.checker.report(size);
            return (ExprKind::Broken, Type::Unknown);
        }
        let places = self.places(piped, &call.arguments, &target);
        let mut args: Vec<Option<Expr>> = target.params.iter().map(|_| None).collect();
        for (index, value) in places {
            args[index] = Some(self.expr(value, Some(&target.params[index].ty)));
        }
        // A name that no parameter has was meant for one that seems missing.
        let mut names = call.arguments.iter().filter_map(|argument| argument.name.as_ref());
        let misnamed = names.any(|name| target.params.iter().all(|param| param.name != name.text));
        self.fill_defaults(&target, &mut args, span, callee, !misnamed);
        let Some(mut args) = args.into_iter().collect::<Option<Vec<Expr>>>() else { return (ExprKind::Broken, Type::Unknown) };
        let ty = self.call_type(&target, &args, self.place(span));
        self.check_range(target.callee, &args);
        if !self.text_call(target.callee, &mut args, self.place(callee)) {
            return (ExprKind::Broken, Type::Unknown);
        }
        (ExprKind::Call { callee: target.callee, at: self.place(callee), args }, ty)
    }

    /// The pipeline of `std.tensor` that a method is.
    fn method(&mut self, name: &ast::Name) -> Option<Target> {
        let file = self.checker.files.iter().position(|file| file.path == stdlib::TENSOR)?;
        let scope = &self.checker.scopes[file];
        if let Some(Symbol::Pipeline(id)) = scope.peek(&name.text) {
            return self.pipeline_target(id);
        }
        let known = scope.names_of(|symbol| matches!(symbol, Symbol::Pipeline(_)));
        let (message, place) = (format!("there is no method `{}`", name.text), self.place(name.span));
        let diagnostic = unknown_name(Code::E0206, message, &name.text, place, known.iter().map(String::as_str));
        self.checker.report(diagnostic.help("methods are the pipelines of `std.tensor`: `scores.max()` is `max(scores)`"));
        None
    }

    fn pipeline_target(&self, id: crate::PipelineId) -> Option<Target> {
        let pipeline = self.checker.pipelines.get(id.0 as usize)?;
        let (name, params, result) = (pipeline.name.clone(), pipeline.params.clone(), pipeline.result.clone());
        Some(Target { name, callee: Callee::Pipeline(id), params, result, bounds: pipeline.bounds.clone() })
    }

    fn is_local(&mut self, value: &ast::Expr) -> bool {
        matches!(&value.kind, ast::ExprKind::Name(name) if self.knows(name))
    }

    fn target(&mut self, call: &ast::Call) -> Option<Target> {
        let place = self.place(call.callee.span);
        let ast::ExprKind::Name(name) = &call.callee.kind else {
            if !matches!(call.callee.kind, ast::ExprKind::Broken) {
                let diagnostic = Diagnostic::new(Code::E0207, "only pipelines and models are called").label(place, "this is neither");
                self.checker.report(diagnostic.help("write the name of a pipeline or model"));
            }
            return None;
        };
        if self.knows(name) {
            let diagnostic = Diagnostic::new(Code::E0207, format!("`{name}` cannot be called")).label(place, "this is a value");
            self.checker.report(diagnostic.help("call a pipeline or model"));
            return None;
        }
        match self.checker.scopes[self.file.0 as usize].find(name, &["pipeline", "model", "layer", "intrinsic"]) {
            Some(Symbol::Pipeline(id)) => self.pipeline_target(id),
            Some(Symbol::Model(id)) => {
                let model = self.checker.models.get(id.0 as usize)?;
                let params: Vec<Param> = model
                    .inputs
                    .iter()
                    .map(|port| Param { name: port.name.clone(), public: false, ty: port.ty.clone(), default: None })
                    .collect();
                let result = match model.outputs.as_slice() {
                    [] => Type::Unknown,
                    [only] => only.ty.clone(),
                    several => Type::Record(several.iter().map(|port| (port.name.clone(), port.ty.clone())).collect()),
                };
                // A model without inputs is broken, which is reported there.
                let bounds = model.bounds.clone();
                (!params.is_empty()).then(|| Target { name: name.clone(), callee: Callee::Model(id), params, result, bounds })
            }
            Some(Symbol::Broken) => None,
            Some(Symbol::Layer(_)) => {
                let diagnostic = Diagnostic::new(Code::E0207, format!("`{name}` cannot be called here")).label(place, "this is a layer");
                self.checker
                    .report(diagnostic.help("layers are parts of models: call it in the `layers` block of a model, or in a `layer`"));
                None
            }
            Some(symbol) => {
                let diagnostic =
                    Diagnostic::new(Code::E0207, format!("`{name}` cannot be called")).label(place, format!("this is {}", symbol.noun()));
                self.checker.report(diagnostic.help("call a pipeline or model"));
                None
            }
            None => {
                self.unknown(name, place);
                None
            }
        }
    }

    /// The parameter that each argument is for. What stands left of `|>` is the first argument.
    fn places<'e>(&mut self, piped: Option<&'e ast::Expr>, arguments: &'e [Argument], target: &Target) -> Vec<(usize, &'e ast::Expr)> {
        let mut places: Vec<(usize, &ast::Expr)> = Vec::new();
        let mut next = 0;
        if let Some(piped) = piped {
            if target.params.is_empty() {
                self.too_many(target, self.place(piped.span), None);
            } else {
                places.push((0, piped));
            }
            next = 1;
        }
        for argument in arguments {
            let Some(index) = self.place_of(argument, target, &mut next) else { continue };
            if places.iter().any(|(taken, _)| *taken == index) {
                let name = &target.params[index].name;
                let diagnostic = Diagnostic::new(Code::E0205, format!("`{name}` is given twice"))
                    .label(self.place(argument.value.span), "given again here");
                let removed = self.argument(argument);
                let help = "remove one of them; what stands left of `|>` is the first argument";
                self.checker.report(diagnostic.help(help).fix(removed, ""));
                continue;
            }
            places.push((index, &argument.value));
        }
        places
    }

    fn place_of(&mut self, argument: &Argument, target: &Target, next: &mut usize) -> Option<usize> {
        let Some(name) = &argument.name else {
            let index = *next;
            *next += 1;
            if index >= target.params.len() {
                let removed = self.argument(argument);
                self.too_many(target, self.place(argument.value.span), Some(removed));
                return None;
            }
            return Some(index);
        };
        let found = target.params.iter().position(|param| param.name == name.text);
        if found.is_none() {
            let place = self.place(name.span);
            let known: Vec<&str> = target.params.iter().map(|param| param.name.as_str()).collect();
            let diagnostic = Diagnostic::new(Code::E0205, format!("`{}` has no parameter `{}`", target.name, name.text));
            self.checker.report(match closest(&name.text, known.iter().copied()) {
                Some(close) => diagnostic.label(place, format!("did you mean `{close}`?")).fix(place, close),
                None => diagnostic.label(place, "unknown parameter").help(format!("`{}` takes {}", target.name, list(&known))),
            });
        }
        found
    }

    /// All of an argument, with its comma.
    fn argument(&self, argument: &Argument) -> Location {
        let span = argument.name.as_ref().map_or(argument.value.span, |name| name.span.to(argument.value.span));
        edits::listed(self.checker, self.place(span))
    }

    /// What is said of `224, 224` where `224x224` is meant: two numbers, of which one is too many, begin where a size stands.
    fn two_numbers(&self, piped: bool, arguments: &[Argument], target: &Target) -> Option<Diagnostic> {
        let is_number = |argument: &Argument| {
            argument.name.is_none()
                && matches!(argument.value.kind, ast::ExprKind::Number(_))
                && is_side(self.checker.text(self.place(argument.value.span)))
        };
        let before = usize::from(piped);
        let size = target.params.iter().skip(before).position(|param| param.ty == Type::Size)?;
        let [width, height] = arguments.get(size..size + 2)? else { return None };
        let goes_on = target.params.get(before + size + 1).is_some_and(|param| matches!(param.ty, Type::Number));
        if goes_on || arguments[..size].iter().any(|argument| argument.name.is_some()) || ![width, height].into_iter().all(is_number) {
            return None;
        }
        let place = self.place(width.value.span.to(height.value.span));
        let sides = [width, height].map(|side| self.checker.text(self.place(side.value.span)));
        let text = sides.join("x");
        let name = &target.params[before + size].name;
        let message = format!("`{name}` of `{}`: expected a size, found two numbers", target.name);
        let diagnostic = Diagnostic::new(Code::E0201, message).label(place, "a size is written with `x` between its width and its height");
        Some(diagnostic.help(format!("write `{text}`")).fix(place, text))
    }

    fn too_many(&mut self, target: &Target, place: Location, removed: Option<Location>) {
        let known: Vec<&str> = target.params.iter().map(|param| param.name.as_str()).collect();
        let diagnostic = Diagnostic::new(
            Code::E0205,
            format!("`{}` takes {} argument{}", target.name, known.len(), if known.len() == 1 { "" } else { "s" }),
        );
        let diagnostic = diagnostic.label(place, "one too many").help(format!("`{}` takes {}", target.name, list(&known)));
        self.checker.report(match removed {
            Some(removed) => diagnostic.fix(removed, ""),
            None => diagnostic,
        });
    }

    fn fill_defaults(&mut self, target: &Target, args: &mut [Option<Expr>], span: Span, callee: Span, complain: bool) {
        let mut missing: Vec<&Param> = Vec::new();
        for (param, arg) in target.params.iter().zip(args.iter_mut()) {
            if arg.is_some() {
                continue;
            }
            match &param.default {
                Some(value) => *arg = Some(Expr { kind: ExprKind::Value(value.clone()), ty: param.ty.clone(), at: self.place(span) }),
                None => missing.push(param),
            }
        }
        // A parameter of an unknown type may have had a default that could not be read.
        if let (true, Some(first)) = (complain, missing.iter().find(|param| param.ty != Type::Unknown)) {
            let names: Vec<&str> = missing.iter().map(|param| param.name.as_str()).collect();
            let shown = self.checker.show(&first.ty);
            let diagnostic = Diagnostic::new(Code::E0204, format!("`{}` needs {}", target.name, list(&names)))
                .label(self.place(callee), format!("expected `{}`: {shown}", first.name))
                .help(format!("write `{}({} = ...)`", target.name, first.name));
            self.checker.report(match self.added(&missing, span, callee) {
                Some((at, text)) => diagnostic.fix(at, text),
                None => diagnostic,
            });
        }
    }

    /// Where and how missing arguments are added to a call, with values to begin with; none where one of them has no likely value.
    fn added(&self, missing: &[&Param], span: Span, callee: Span) -> Option<(Location, String)> {
        let one = |param: &&Param| Some(format!("{} = {}", param.name, edits::example(&param.ty)?));
        let text = missing.iter().map(one).collect::<Option<Vec<String>>>()?.join(", ");
        let rest = self.checker.text(self.place(Span { start: callee.end, ..span }));
        let at = |end: u32| self.place(Span { start: end, end });
        match rest.strip_suffix(')') {
            Some(inside) if rest.starts_with('(') => {
                let comma = if inside.trim_end().ends_with(['(', ',']) { "" } else { ", " };
                Some((at(span.end - 1), format!("{comma}{text}")))
            }
            _ => Some((at(callee.end), format!("({text})"))),
        }
    }

    /// Fits the arguments to the parameters and gives the type of the call.
    fn call_type(&mut self, target: &Target, args: &[Expr], place: Location) -> Type {
        let mut bindings = Bindings::default();
        let caller = self.param_names();
        let mut fits = true;
        for (param, arg) in target.params.iter().zip(args) {
            if let Err(misfit) = bindings.unify(&param.ty, &arg.ty) {
                fits = false;
                // What the parameter asks for, with the sizes that earlier arguments decided.
                let wanted = bindings.substitute(&param.ty).unwrap_or_else(|_| param.ty.clone());
                let diagnostic = self.misfit(&misfit, &wanted, arg);
                let message = format!("`{}` of `{}`: {}", param.name, target.name, diagnostic.message);
                let diagnostic = Diagnostic { message, ..diagnostic };
                self.checker.report(match self.sibling(target, &param.name, arg) {
                    Some(help) if diagnostic.fix.is_none() => diagnostic.help(help),
                    _ => diagnostic,
                });
            }
            fits &= arg.ty != Type::Unknown || !param.ty.is_constant();
            bindings.constant(&param.name, &arg.kind, &caller);
        }
        if fits && let Err(misfit) = bindings.settle() {
            fits = false;
            if let (Some(param), Some(arg)) = (target.params.first(), args.first()) {
                let diagnostic = self.misfit(&misfit, &param.ty, arg);
                let message = format!("the arguments of `{}` do not fit each other: {}", target.name, diagnostic.message);
                self.checker.report(Diagnostic { message, ..diagnostic });
            }
        }
        if !fits || !self.within_bounds(target, &bindings, args, place) {
            return Type::Unknown;
        }
        match bindings.substitute(&target.result) {
            Ok(ty) => self.checked_ranking(target, args, ty, place),
            Err(_) if args.iter().any(|arg| arg.ty == Type::Unknown) => Type::Unknown,
            Err(Unbound::Labels) => {
                self.checker.report(
                    Diagnostic::new(Code::E0213, format!("`{}` needs scores with labels", target.name))
                        .label(args.first().map_or(place, |arg| arg.at), "nobody says what these positions stand for")
                        .help("write `@labels(\"./labels.txt\")` after the type of the model's output"),
                );
                Type::Unknown
            }
            Err(Unbound::Dim(dim)) => {
                self.checker.report(
                    Diagnostic::new(Code::E0211, format!("`{}` needs a whole number, known when compiling, for `{dim}`", target.name))
                        .label(place, format!("this gives no value for `{dim}`"))
                        .help("write a whole number from 1, or pass on a parameter"),
                );
                Type::Unknown
            }
        }
    }

    /// The pipeline beside the one that is called, of a longer name, that takes such a value for the parameter: `normalize_channels` for `normalize`.
    fn sibling(&self, target: &Target, param: &str, arg: &Expr) -> Option<String> {
        let Callee::Pipeline(id) = target.callee else { return None };
        let called = self.checker.pipelines.get(id.0 as usize)?;
        let others = self.checker.pipelines.iter().filter(|other| other.at.file == called.at.file);
        let mut longer = others.filter(|other| other.name.strip_prefix(&called.name).is_some_and(|rest| rest.starts_with('_')));
        let takes = |ty: &Type| Bindings::default().unify(ty, &arg.ty).is_ok();
        let found = longer.find(|other| other.params.iter().any(|other| other.name == param && takes(&other.ty)))?;
        Some(format!("`{}` takes {} for `{param}`: call it instead", found.name, self.checker.show(&arg.ty)))
    }

    /// True where every bounded size is within its bound; what is not is reported.
    fn within_bounds(&mut self, target: &Target, bindings: &Bindings, args: &[Expr], place: Location) -> bool {
        for bound in &target.bounds {
            let remark = match bindings.size_of(&bound.symbol) {
                Some(Dim::Const(size)) if *size > bound.most => format!("`{}` is {size} here", bound.symbol),
                Some(Dim::Symbol(name)) => match self.bounds.iter().find(|known| known.symbol == *name) {
                    Some(known) if known.most <= bound.most => continue,
                    Some(known) => format!("`{}` is `{name}` here, which may be {}", bound.symbol, known.most),
                    None => format!("`{}` is `{name}` here, which nothing bounds", bound.symbol),
                },
                Some(Dim::Const(_)) | None => continue,
                Some(other) => format!("`{}` is {other} here, which nothing bounds", bound.symbol),
            };
            let at = args.iter().find(|arg| matches!(arg.ty, Type::Tensor(_))).map_or(place, |arg| arg.at);
            self.checker.report(
                Diagnostic::new(Code::E0215, format!("`{}` takes at most {} for `{}`", target.name, bound.most, bound.symbol))
                    .label(at, remark)
                    .help(format!("give it less, or bound the size where it comes in: `{} <= {}`", bound.symbol, bound.most)),
            );
            return false;
        }
        true
    }

    /// No ranking holds more labels than there are.
    fn checked_ranking(&mut self, target: &Target, args: &[Expr], ty: Type, place: Location) -> Type {
        let (Type::Ranking { count: Dim::Const(count), .. }, Some(Type::Tensor(scores))) = (&ty, args.first().map(|arg| &arg.ty)) else {
            return ty;
        };
        if let Some(Dim::Const(size)) = scores.dims.last()
            && count > size
        {
            self.checker.report(
                Diagnostic::new(Code::E0202, format!("`{}` asks for the best {count} of {size}", target.name))
                    .label(place, format!("there are only {size} scores"))
                    .help(format!("write a count from 1 to {size}"))
                    .fix(args.get(1).map_or(place, |count| count.at), size.to_string()),
            );
            return Type::Unknown;
        }
        ty
    }
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
