//! Calls of pipelines and models: arguments to parameters, then types.

use crate::expressions::BodyChecker;
use crate::program::{Callee, Expr, ExprKind, Param};
use crate::scope::Symbol;
use crate::types::Type;
use crate::unify::{Bindings, Unbound};
use mlp_syntax::ast::{self, Argument};
use mlp_syntax::{Code, Diagnostic, Location, Span, closest};

/// What is called: its parameters and its result.
struct Target {
    name: String,
    callee: Callee,
    params: Vec<Param>,
    result: Type,
}

impl BodyChecker<'_, '_> {
    pub(crate) fn call(&mut self, call: &ast::Call, span: Span) -> (ExprKind, Type) {
        let Some(target) = self.target(call) else {
            // The arguments are checked all the same: names in them count as used, and errors in them are shown.
            call.piped.iter().chain(call.arguments.iter().map(|argument| &argument.value)).for_each(|value| {
                if !matches!(value.kind, ast::ExprKind::Name(_)) || self.is_local(value) {
                    self.expr(value, None);
                }
            });
            return (ExprKind::Broken, Type::Unknown);
        };
        let places = self.places(call, &target);
        let mut args: Vec<Option<Expr>> = target.params.iter().map(|_| None).collect();
        for (index, value) in places {
            args[index] = Some(self.expr(value, Some(&target.params[index].ty)));
        }
        self.fill_defaults(&target, &mut args, span, call);
        let Some(args) = args.into_iter().collect::<Option<Vec<Expr>>>() else { return (ExprKind::Broken, Type::Unknown) };
        let ty = self.call_type(&target, &args, self.place(span));
        (ExprKind::Call { callee: target.callee, at: self.place(call.callee.span), args }, ty)
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
        match self.checker.scopes[self.file.0 as usize].find(name) {
            Some(Symbol::Pipeline(id)) => {
                let pipeline = self.checker.pipelines.get(id.0 as usize)?;
                let (params, result) = (pipeline.params.clone(), pipeline.result.clone());
                Some(Target { name: name.clone(), callee: Callee::Pipeline(id), params, result })
            }
            Some(Symbol::Model(id)) => {
                let model = self.checker.models.get(id.0 as usize)?;
                let params: Vec<Param> =
                    model.inputs.iter().map(|port| Param { name: port.name.clone(), ty: port.ty.clone(), default: None }).collect();
                let result = match model.outputs.as_slice() {
                    [] => Type::Unknown,
                    [only] => only.ty.clone(),
                    several => Type::Record(several.iter().map(|port| (port.name.clone(), port.ty.clone())).collect()),
                };
                // A model without inputs is broken, which is reported there.
                (!params.is_empty()).then(|| Target { name: name.clone(), callee: Callee::Model(id), params, result })
            }
            Some(Symbol::Broken) => None,
            None => {
                self.unknown(name, place);
                None
            }
        }
    }

    /// The parameter that each argument is for. What stands left of `|>` is the first argument.
    fn places<'e>(&mut self, call: &'e ast::Call, target: &Target) -> Vec<(usize, &'e ast::Expr)> {
        let mut places: Vec<(usize, &ast::Expr)> = Vec::new();
        let mut next = 0;
        if let Some(piped) = &call.piped {
            if target.params.is_empty() {
                self.too_many(target, self.place(piped.span));
            } else {
                places.push((0, piped));
            }
            next = 1;
        }
        for argument in &call.arguments {
            let Some(index) = self.place_of(argument, target, &mut next) else { continue };
            if places.iter().any(|(taken, _)| *taken == index) {
                let name = &target.params[index].name;
                let diagnostic = Diagnostic::new(Code::E0205, format!("`{name}` is given twice"))
                    .label(self.place(argument.value.span), "given again here");
                self.checker.report(diagnostic.help("remove one of them; what stands left of `|>` is the first argument"));
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
                self.too_many(target, self.place(argument.value.span));
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

    fn too_many(&mut self, target: &Target, place: Location) {
        let known: Vec<&str> = target.params.iter().map(|param| param.name.as_str()).collect();
        let diagnostic = Diagnostic::new(
            Code::E0205,
            format!("`{}` takes {} argument{}", target.name, known.len(), if known.len() == 1 { "" } else { "s" }),
        );
        self.checker.report(diagnostic.label(place, "one too many").help(format!("`{}` takes {}", target.name, list(&known))));
    }

    fn fill_defaults(&mut self, target: &Target, args: &mut [Option<Expr>], span: Span, call: &ast::Call) {
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
        if let Some(first) = missing.iter().find(|param| param.ty != Type::Unknown) {
            let names: Vec<&str> = missing.iter().map(|param| param.name.as_str()).collect();
            let shown = self.checker.show(&first.ty);
            self.checker.report(
                Diagnostic::new(Code::E0204, format!("`{}` needs {}", target.name, list(&names)))
                    .label(self.place(call.callee.span), format!("expected `{}`: {shown}", first.name))
                    .help(format!("write `{}({} = ...)`", target.name, first.name)),
            );
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
                self.checker.report(Diagnostic { message, ..diagnostic });
            }
            fits &= arg.ty != Type::Unknown || !param.ty.is_constant();
            bindings.constant(&param.name, &arg.kind, &caller);
        }
        if !fits {
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

    /// No ranking holds more labels than there are.
    fn checked_ranking(&mut self, target: &Target, args: &[Expr], ty: Type, place: Location) -> Type {
        let (Type::Ranking { count: crate::Dim::Const(count), .. }, Some(Type::Tensor(scores))) = (&ty, args.first().map(|arg| &arg.ty))
        else {
            return ty;
        };
        if let Some(crate::Dim::Const(size)) = scores.dims.last()
            && count > size
        {
            self.checker.report(
                Diagnostic::new(Code::E0202, format!("`{}` asks for the best {count} of {size}", target.name))
                    .label(place, format!("there are only {size} scores"))
                    .help(format!("write a count from 1 to {size}")),
            );
            return Type::Unknown;
        }
        ty
    }
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
