//! `quantize int8 { ... }` inside a model.

use super::{Method, Parameter, QUANTIZE_KEYS, Reader, Takes};
use crate::checker::{Checker, at, unknown_name};
use crate::models;
use crate::scope::Symbol;
use crate::types::Type;
use mlp_syntax::ast::{Block, Expr, ExprKind, Member};
use mlp_syntax::units::Dimension;
use mlp_syntax::{Code, Diagnostic, FileId};

/// What a model can be quantized to.
const KINDS: &[&str] = &["int8"];
/// Where calibration inputs come from.
const SOURCES: &[Method] = &[Method {
    name: "images",
    parameters: &[Parameter { name: "path", takes: Takes::File, required: true }],
    doc: "Photos, by a pattern.",
}];

/// Checks the blocks inside every model.
pub(crate) fn check_all(checker: &mut Checker<'_>) {
    models::each(checker, |checker, file, model, node| node.blocks.iter().for_each(|block| check(checker, file, model, block)));
}

fn check(checker: &mut Checker<'_>, file: FileId, model: usize, block: &Block) {
    let mut reader = Reader { checker, file, noun: "`quantize`", name: block.keyword.span, span: block.span };
    if block.keyword.text != "quantize" {
        let message = format!("a model has no block `{}`", block.keyword.text);
        let place = at(file, block.keyword.span);
        let diagnostic = unknown_name(Code::E0107, message, &block.keyword.text, place, ["quantize"]);
        reader.report(diagnostic);
        return;
    }
    match &block.subject {
        Some(kind) if KINDS.contains(&kind.text().as_str()) => {}
        Some(kind) => {
            let message = format!("a model is not quantized to `{}`", kind.text());
            let place = reader.place(kind.span);
            let diagnostic = unknown_name(Code::E0107, message, &kind.text(), place, KINDS.iter().copied());
            let diagnostic = if diagnostic.fix.is_none() { diagnostic.fix(place, KINDS[0]) } else { diagnostic };
            reader.report(diagnostic);
        }
        None => {
            let place = reader.place(block.keyword.span);
            let diagnostic = Diagnostic::new(Code::E0108, "`quantize` needs to know to what").label(place, "expected `int8` after it");
            reader.report(diagnostic.help("write `quantize int8 { ... }`").fix(place, "quantize int8"));
        }
    }
    let mut entries = Vec::new();
    for member in &block.members {
        match member {
            Member::Entry(entry) => entries.push(entry),
            other => reader.unknown_member(other, &[]),
        }
    }
    for (key, entry) in reader.entries(entries.into_iter(), QUANTIZE_KEYS) {
        match key {
            "calibrate" => calibrate(&mut reader, model, &entry.value),
            "max_drop" => {
                let fits = |number: f64| (0.0..=1.0).contains(&number);
                reader.number_that(&entry.value, Some(Dimension::Ratio), fits, "a part from 0% to 100%");
            }
            _ => keep(&mut reader, &entry.value),
        }
    }
}

/// Photos, through pipelines that make the model's input of one.
fn calibrate(reader: &mut Reader<'_, '_>, model: usize, value: &Expr) {
    let (source, stages) = stages(value);
    if reader.method(source, "source of inputs", SOURCES).is_none() {
        return;
    }
    let mut ty = Type::Image;
    for stage in stages {
        let found = reader.reference(stage, "a pipeline", |symbol| matches!(symbol, Symbol::Pipeline(_)));
        let Some(Symbol::Pipeline(id)) = found else { return };
        let Some(pipeline) = reader.checker.pipelines.get(id.0 as usize) else { return };
        let (takes, gives) = (pipeline.params.first().map(|param| param.ty.clone()), pipeline.result.clone());
        let place = reader.place(stage.span);
        if let Some(first) = takes.filter(|first| *first != ty && *first != Type::Unknown && ty != Type::Unknown) {
            let (wanted, given) = (reader.checker.show(&first), reader.checker.show(&ty));
            let diagnostic =
                Diagnostic::new(Code::E0201, format!("expected {wanted}, found {given}")).label(place, format!("this takes {wanted}"));
            return reader.report(diagnostic.help("name a pipeline that takes a photo"));
        }
        ty = gives;
    }
    let input = reader.checker.models.get(model).and_then(|model| model.inputs.first()).map(|port| port.ty.clone());
    let (Some(Type::Tensor(wanted)), Type::Tensor(found)) = (&input, &ty) else {
        if ty == Type::Image {
            let diagnostic =
                Diagnostic::new(Code::E0201, "photos are no input of a model").label(reader.place(value.span), "this gives photos");
            reader.report(
                diagnostic
                    .help("write `images(\"./calibration/*.jpg\") |> Prepare`, with a pipeline that makes the model's input of a photo"),
            );
        }
        return;
    };
    let mut bindings = crate::unify::Bindings::default();
    if bindings.unify(&Type::Tensor(wanted.clone()), &Type::Tensor(found.clone())).is_err() {
        let lines = crate::shapes::aligned(reader.checker, &Type::Tensor(wanted.clone()), &ty);
        let diagnostic =
            Diagnostic::new(Code::E0202, "what calibrates is no input of the model").label(reader.place(value.span), "this does not fit");
        reader.report(diagnostic.help(format!("change one side so that the shapes agree\n  {lines}")));
    }
}

/// The first value of a pipe, and the names of its stages.
fn stages(value: &Expr) -> (&Expr, Vec<&Expr>) {
    let mut stages = Vec::new();
    let mut value = value;
    while let ExprKind::Call(call) = &value.kind {
        let Some(piped) = &call.piped else { break };
        stages.push(&call.callee);
        value = piped;
    }
    stages.reverse();
    (value, stages)
}

fn keep(reader: &mut Reader<'_, '_>, value: &Expr) {
    let ExprKind::List(items) = &value.kind else {
        if !matches!(value.kind, ExprKind::Broken) {
            let diagnostic =
                Diagnostic::new(Code::E0201, "`keep` is a list").label(reader.place(value.span), "expected a list of names of layers");
            let text = format!("[{}]", reader.checker.text(reader.place(value.span)));
            let place = reader.place(value.span);
            reader.report(diagnostic.help(format!("write `{text}`")).fix(place, text));
        }
        return;
    };
    items.iter().for_each(|item| {
        reader.text(item);
    });
}
