//! Reads the members of a block: known keys once each, with values of the kind that is asked for.

use super::forms::{Key, Method, Takes};
use crate::checker::{Checker, at, unknown_name};
use crate::declared::Argument;
use crate::expressions::BodyChecker;
use crate::program::{ExprKind, Value};
use crate::scope::Symbol;
use crate::types::Type;
use crate::unify::Misfit;
use crate::world;
use mlp_syntax::ast::{self, Block, Entry, Expr, Member, Name, Path};
use mlp_syntax::units::Dimension;
use mlp_syntax::{Code, Diagnostic, FileId, Location, Span};

/// One block while it is read.
pub(crate) struct Reader<'c, 'w> {
    pub(crate) checker: &'c mut Checker<'w>,
    pub(crate) file: FileId,
    /// `a budget`
    pub(crate) noun: &'static str,
    /// The word or name that stands for the block where something is missing from it.
    pub(crate) name: Span,
    /// All of the block.
    pub(crate) span: Span,
}

impl<'w> Reader<'_, 'w> {
    /// A reader of a block inside this one.
    pub(crate) fn inner(&mut self, block: &Block, noun: &'static str) -> Reader<'_, 'w> {
        Reader { checker: self.checker, file: self.file, noun, name: block.keyword.span, span: block.span }
    }

    pub(crate) fn place(&self, span: Span) -> Location {
        at(self.file, span)
    }

    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        self.checker.report(diagnostic);
    }

    /// The entries by key. Unknown keys, keys given twice and missing ones are reported.
    pub(crate) fn entries<'m>(&mut self, entries: impl Iterator<Item = &'m Entry>, keys: &'static [Key]) -> Vec<(&'static str, &'m Entry)> {
        let mut found: Vec<(&'static str, &Entry)> = Vec::new();
        let mut misspelt = false;
        for entry in entries {
            let place = self.place(entry.key.span);
            let Some(key) = keys.iter().find(|key| key.name == entry.key.text) else {
                misspelt = true;
                // What is there already is not what was meant.
                let left = keys.iter().map(|key| key.name).filter(|name| !found.iter().any(|(known, _)| known == name));
                let message = format!("{} has no entry `{}`", self.noun, entry.key.text);
                let diagnostic = unknown_name(Code::E0107, message, &entry.key.text, place, left);
                let diagnostic =
                    if diagnostic.fix.is_none() && diagnostic.help.is_none() { diagnostic.help("remove it") } else { diagnostic };
                self.report(diagnostic);
                continue;
            };
            if found.iter().any(|(known, _)| *known == key.name) {
                let diagnostic = Diagnostic::new(Code::E0102, format!("`{}` is given twice", key.name)).label(place, "given again here");
                self.report(diagnostic.help("remove one of them").fix(self.place(entry.span), ""));
                continue;
            }
            found.push((key.name, entry));
        }
        for key in keys.iter().filter(|key| key.required && !misspelt) {
            if !found.iter().any(|(known, _)| *known == key.name) {
                self.missing(key);
            }
        }
        found
    }

    /// Reports a key that the block lacks; the fix writes its example.
    pub(crate) fn missing(&mut self, key: &Key) {
        self.missing_as(key, key.example);
    }

    pub(crate) fn missing_as(&mut self, key: &Key, example: &str) {
        let place = self.place(self.name);
        let diagnostic = Diagnostic::new(Code::E0108, format!("{} needs `{}`", self.noun, key.name))
            .label(place, format!("expected `{} = ...` in this", key.name))
            .help(format!("write `{} = {example}`", key.name));
        let diagnostic = match self.insertion(&format!("{} = {example}", key.name)) {
            Some((at, text)) => diagnostic.fix(at, text),
            None => diagnostic,
        };
        self.report(diagnostic);
    }

    /// Where and how an entry is added to the block: before its closing brace.
    pub(crate) fn insertion(&self, entry: &str) -> Option<(Location, String)> {
        let text = self.checker.text(self.place(self.span));
        let close = text.rfind('}')?;
        let inside = &text[..close];
        let end = self.span.start as usize + close;
        let body = inside.trim_end();
        if inside.contains('\n') {
            let line = inside.rfind('\n').map_or(0, |at| at + 1);
            let indent = " ".repeat(inside[line..].len() + 2);
            let at = self.span.start as usize + line;
            return Some((self.place(Span::new(at, at)), format!("{indent}{entry}\n")));
        }
        let comma = if body.ends_with('{') || body.ends_with(',') { "" } else { "," };
        let at = self.span.start as usize + body.len();
        Some((self.place(Span::new(at, end)), format!("{comma} {entry} ")))
    }

    /// Reports members that this block cannot have.
    pub(crate) fn only_entries<'m>(&mut self, members: &'m [Member]) -> Vec<&'m Entry> {
        let mut entries = Vec::new();
        for member in members {
            match member {
                Member::Entry(entry) => entries.push(entry),
                Member::Limit(limit) if limit.statistic.is_none() => {
                    let message = format!("{} has entries, no limits", self.noun);
                    let diagnostic = Diagnostic::new(Code::E0107, message).label(self.place(limit.op_span), "expected `=`");
                    self.report(diagnostic.help("an entry is written `key = value`").fix(self.place(limit.op_span), "="));
                }
                other => self.unknown_member(other, &[]),
            }
        }
        entries
    }

    /// Reports a member whose first word means nothing here.
    pub(crate) fn unknown_member(&mut self, member: &Member, known: &[&str]) {
        let word = member.keyword();
        let message = format!("{} has no `{}`", self.noun, word.text);
        let diagnostic = unknown_name(Code::E0107, message, &word.text, self.place(word.span), known.iter().copied());
        self.report(if known.is_empty() { diagnostic.help("remove it") } else { diagnostic });
    }

    /// A value of the wanted type that is known when compiling.
    fn constant(&mut self, value: &Expr, wanted: &Type) -> Option<Value> {
        let file = self.file;
        let mut body = BodyChecker::new(self.checker, file, &[]);
        let typed = body.expr(value, Some(wanted));
        if typed.ty == Type::Unknown {
            return None;
        }
        if typed.ty != *wanted {
            let diagnostic = body.misfit(&Misfit::Type, wanted, &typed);
            body.checker.report(diagnostic);
            return None;
        }
        match typed.kind {
            ExprKind::Value(value) => Some(value),
            _ => {
                let diagnostic = Diagnostic::new(Code::E0211, "this is not known when compiling")
                    .label(typed.at, "expected a value, or the name of a constant");
                self.checker.report(diagnostic.help("write the value itself"));
                None
            }
        }
    }

    /// A number in base units: plain where `dimension` is none.
    pub(crate) fn number(&mut self, value: &Expr, dimension: Option<Dimension>) -> Option<f64> {
        let wanted = dimension.map_or(Type::Number, Type::Quantity);
        match self.constant(value, &wanted)? {
            Value::Number(number, _) => Some(number),
            _ => None,
        }
    }

    /// A number that `fits`; `expected` says what that means.
    pub(crate) fn number_that(
        &mut self,
        value: &Expr,
        dimension: Option<Dimension>,
        fits: impl Fn(f64) -> bool,
        expected: &str,
    ) -> Option<f64> {
        let number = self.number(value, dimension)?;
        if fits(number) {
            return Some(number);
        }
        let diagnostic = Diagnostic::new(Code::E0011, format!("{} is out of range", self.checker.text(self.place(value.span))));
        self.report(diagnostic.label(self.place(value.span), format!("expected {expected}")).help(format!("write {expected}")));
        None
    }

    pub(crate) fn positive(&mut self, value: &Expr, dimension: Option<Dimension>) -> Option<f64> {
        self.number_that(value, dimension, |number| number > 0.0 && number.is_finite(), "a number above 0")
    }

    pub(crate) fn whole(&mut self, value: &Expr) -> Option<u64> {
        let fits = |number: f64| (1.0..=1e12).contains(&number) && number.fract() == 0.0;
        self.number_that(value, None, fits, "a whole number from 1").map(|number| number as u64)
    }

    /// One of some words.
    pub(crate) fn word(&mut self, value: &Expr, words: &[&'static str]) -> Option<&'static str> {
        let place = self.place(value.span);
        let found = match &value.kind {
            ast::ExprKind::Name(name) | ast::ExprKind::Text(name) => name.as_str(),
            ast::ExprKind::Broken => return None,
            _ => "",
        };
        let known = words.iter().copied().find(|word| *word == found);
        if let (Some(word), ast::ExprKind::Text(_)) = (known, &value.kind) {
            let diagnostic = Diagnostic::new(Code::E0201, "expected a word, found a string").label(place, "words stand without quotes");
            self.report(diagnostic.help(format!("write `{word}`")).fix(place, word));
            return None;
        }
        if known.is_none() {
            let message = format!("`{}` is none of the words that fit here", self.checker.text(place));
            let diagnostic = unknown_name(Code::E0201, message, found, place, words.iter().copied());
            self.report(diagnostic);
        }
        known
    }

    /// The value before `over`, and the stretch of time after it: none for all of the lifetime, which it also is without `over`.
    pub(crate) fn windowed<'e>(&mut self, value: &'e Expr) -> Option<(&'e Expr, Option<f64>)> {
        let ast::ExprKind::Over(over) = &value.kind else { return Some((value, None)) };
        let window = match &over.window.kind {
            ast::ExprKind::Name(name) if name == "lifetime" => None,
            _ => Some(self.positive(&over.window, Some(Dimension::Time))?),
        };
        Some((&over.value, window))
    }

    /// What a name stands for, where it is one of the wanted; anything else is reported.
    pub(crate) fn reference(&mut self, value: &Expr, noun: &str, fits: impl Fn(Symbol) -> bool) -> Option<Symbol> {
        let ast::ExprKind::Name(name) = &value.kind else {
            if !matches!(value.kind, ast::ExprKind::Broken) {
                let diagnostic =
                    Diagnostic::new(Code::E0201, format!("expected the name of {noun}")).label(self.place(value.span), "this is no name");
                self.report(diagnostic.help(format!("write the name of {noun}")));
            }
            return None;
        };
        self.named(&Name { text: name.clone(), span: value.span }, noun, fits)
    }

    /// As [`reference`](Reader::reference), for a name.
    pub(crate) fn named(&mut self, name: &Name, noun: &str, fits: impl Fn(Symbol) -> bool) -> Option<Symbol> {
        let place = self.place(name.span);
        let scope = &mut self.checker.scopes[self.file.0 as usize];
        let keywords: Vec<&str> = noun.split_once(' ').map_or(noun, |(_, noun)| noun).split(" or ").collect();
        match scope.find(&name.text, &keywords) {
            Some(symbol) if fits(symbol) => Some(symbol),
            Some(Symbol::Broken) => None,
            Some(symbol) => {
                let known = scope.names_of(&fits);
                let diagnostic = Diagnostic::new(Code::E0201, format!("`{}` is {}", name.text, symbol.noun()));
                let diagnostic = diagnostic.label(place, format!("expected {noun}"));
                self.report(match known.as_slice() {
                    [only] => diagnostic.help(format!("write `{only}`")).fix(place, only),
                    _ => diagnostic.help(format!("write the name of {noun}")),
                });
                None
            }
            None => {
                let known = scope.names_of(&fits);
                let message = format!("there is no {} `{}`", noun.split_once(' ').map_or(noun, |(_, noun)| noun), name.text);
                let diagnostic = unknown_name(Code::E0101, message, &name.text, place, known.iter().map(String::as_str));
                let diagnostic = match known.as_slice() {
                    // The only one there is was meant.
                    [only] if diagnostic.fix.is_none() => diagnostic.fix(place, only),
                    [] => diagnostic.help(format!("declare {noun} of this name")),
                    _ => diagnostic,
                };
                self.report(diagnostic);
                None
            }
        }
    }

    /// The pipeline that a block is for.
    pub(crate) fn pipeline(&mut self, name: &Name) -> Option<crate::PipelineId> {
        match self.named(name, "a pipeline", |symbol| matches!(symbol, Symbol::Pipeline(_)))? {
            Symbol::Pipeline(id) => Some(id),
            _ => None,
        }
    }

    /// The pipeline that stands after `for`.
    pub(crate) fn target(&mut self, target: Option<&Path>) -> Option<crate::PipelineId> {
        let target = target?;
        match target.names.as_slice() {
            [name] => self.pipeline(name),
            [name, ..] => {
                let place = self.place(target.span);
                let diagnostic = Diagnostic::new(Code::E0201, format!("{} is for a whole pipeline", self.noun))
                    .label(place, "this is a part of its answer");
                self.report(diagnostic.help(format!("write `{}`", name.text)).fix(place, &name.text));
                None
            }
            [] => None,
        }
    }

    /// The pipeline and the part of its answer that a path names.
    pub(crate) fn answer(&mut self, path: &Path) -> Option<(crate::PipelineId, Vec<String>, Type)> {
        let (first, rest) = path.names.split_first()?;
        let id = self.pipeline(first)?;
        let mut ty = self.checker.pipelines.get(id.0 as usize)?.result.clone();
        let mut fields = Vec::new();
        for name in rest {
            let known = crate::expressions::fields_of(&ty);
            match known.iter().find(|(field, _)| *field == name.text) {
                Some((_, found)) => ty = found.clone(),
                None if ty == Type::Unknown => return None,
                None => {
                    let shown = self.checker.show(&ty);
                    let message = format!("{shown} has no field `{}`", name.text);
                    let names = known.iter().map(|(field, _)| field.as_str());
                    let diagnostic = unknown_name(Code::E0206, message, &name.text, self.place(name.span), names);
                    self.report(if known.is_empty() { diagnostic.help("use the whole answer") } else { diagnostic });
                    return None;
                }
            }
            fields.push(name.text.clone());
        }
        (ty != Type::Unknown).then_some((id, fields, ty))
    }

    /// A method with its arguments: `grad_cam(layer = "features")`.
    pub(crate) fn method(
        &mut self,
        value: &Expr,
        noun: &str,
        methods: &'static [Method],
    ) -> Option<(&'static Method, Vec<(&'static str, Argument)>)> {
        let (name, span, arguments): (&str, Span, &[ast::Argument]) = match &value.kind {
            ast::ExprKind::Name(name) => (name, value.span, &[]),
            ast::ExprKind::Call(call) if call.piped.is_none() => match &call.callee.kind {
                ast::ExprKind::Name(name) => (name, call.callee.span, &call.arguments),
                _ => ("", value.span, &[]),
            },
            ast::ExprKind::Broken => return None,
            _ => ("", value.span, &[]),
        };
        self.applied(name, span, arguments, noun, methods)
    }

    pub(crate) fn applied(
        &mut self,
        name: &str,
        span: Span,
        arguments: &[ast::Argument],
        noun: &str,
        methods: &'static [Method],
    ) -> Option<(&'static Method, Vec<(&'static str, Argument)>)> {
        let Some(method) = methods.iter().find(|method| method.name == name) else {
            let place = self.place(span);
            let message = format!("there is no {noun} `{}`", self.checker.text(place));
            let diagnostic = unknown_name(Code::E0101, message, name, place, methods.iter().map(|method| method.name));
            self.report(diagnostic);
            return None;
        };
        let mut found: Vec<(&'static str, Argument)> = Vec::new();
        let mut complete = true;
        for (index, argument) in arguments.iter().enumerate() {
            let Some(parameter) = (match &argument.name {
                Some(name) => method.parameters.iter().find(|parameter| parameter.name == name.text),
                None => method.parameters.get(index),
            }) else {
                complete = false;
                let span = argument.name.as_ref().map_or(argument.value.span, |name| name.span);
                let text = argument.name.as_ref().map_or("", |name| &name.text);
                let message = match &argument.name {
                    Some(name) => format!("`{}` has no parameter `{}`", method.name, name.text),
                    None => format!("`{}` takes {} arguments", method.name, method.parameters.len()),
                };
                let known = method.parameters.iter().map(|parameter| parameter.name);
                let diagnostic = unknown_name(Code::E0205, message, text, self.place(span), known);
                self.report(if method.parameters.is_empty() { diagnostic.help("remove it") } else { diagnostic });
                continue;
            };
            if found.iter().any(|(known, _)| *known == parameter.name) {
                let diagnostic = Diagnostic::new(Code::E0205, format!("`{}` is given twice", parameter.name));
                self.report(diagnostic.label(self.place(argument.value.span), "given again here").help("remove one of them"));
                continue;
            }
            match self.argument(&argument.value, parameter.takes) {
                Some(value) => found.push((parameter.name, value)),
                None => complete = false,
            }
        }
        for parameter in method.parameters.iter().filter(|parameter| parameter.required) {
            if complete && !found.iter().any(|(known, _)| *known == parameter.name) {
                let place = self.place(span);
                let example = match parameter.takes {
                    Takes::Positive => "0.1",
                    Takes::Chance => "1e-6",
                    Takes::Whole => "1",
                    Takes::Text | Takes::File => "\"name\"",
                };
                let text = format!("{}({} = {example})", method.name, parameter.name);
                let diagnostic = Diagnostic::new(Code::E0204, format!("`{}` needs `{}`", method.name, parameter.name))
                    .label(place, format!("expected `{} = ...`", parameter.name))
                    .help(format!("write `{text}`"));
                // With other arguments there the edit would have to keep them.
                self.report(if arguments.is_empty() { diagnostic.fix(self.whole_call(span), text) } else { diagnostic });
                complete = false;
            }
        }
        complete.then_some((method, found))
    }

    /// A name with the empty parentheses after it, where there are some.
    fn whole_call(&self, name: Span) -> Location {
        let source = self.checker.files.get(self.file.0 as usize).map_or("", |file| file.text.as_str());
        let rest = source.get(name.end as usize..).unwrap_or("");
        let end = if rest.starts_with("()") { name.end + 2 } else { name.end };
        self.place(Span { end, ..name })
    }

    fn argument(&mut self, value: &Expr, takes: Takes) -> Option<Argument> {
        match takes {
            Takes::Positive => self.positive(value, None).map(Argument::Number),
            Takes::Chance => {
                let fits = |number: f64| number > 0.0 && number < 1.0;
                self.number_that(value, None, fits, "a number above 0 and below 1").map(Argument::Number)
            }
            Takes::Whole => self.whole(value).map(|number| Argument::Number(number as f64)),
            Takes::Text => self.text(value).map(Argument::Text),
            Takes::File => self.existing(value).map(Argument::Text),
        }
    }

    pub(crate) fn text(&mut self, value: &Expr) -> Option<String> {
        match self.constant(value, &Type::String)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The path of a file that exists, as the world takes it. A pattern with `*` is not looked up.
    pub(crate) fn existing(&mut self, value: &Expr) -> Option<String> {
        let text = self.text(value)?;
        let path = world::join(&self.checker.files.get(self.file.0 as usize)?.path, &text);
        self.checker.scopes[self.file.0 as usize].outside();
        if text.contains('*') || self.checker.world.exists(&path) {
            return Some(path);
        }
        let diagnostic = Diagnostic::new(Code::E0405, format!("there is no file `{path}`"));
        self.report(diagnostic.label(self.place(value.span), "this file does not exist").help("the path is relative to this file"));
        None
    }
}
