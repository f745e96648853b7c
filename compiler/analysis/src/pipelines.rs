//! Pipelines: signatures first, then bodies, so that order in a file does not matter.

use crate::checker::{Checker, at};
use crate::cycles;
use crate::expressions::BodyChecker;
use crate::intrinsic::{self, Intrinsic};
use crate::program::{Body, Bound, Local, Param};
use crate::reuse::Reuse;
use crate::signature::{self, SignatureNames};
use crate::types::{Dim, Type};
use mlp_syntax::ast::{self, Item, PipelineKind};
use mlp_syntax::{Code, Diagnostic, FileId, Span};
use std::sync::Arc;

/// Every pipeline's place in `Checker::pipelines`, or every layer's in `Checker::layers`, with its file and the position of its syntax there.
pub(crate) fn each(checker: &Checker<'_>, kind: PipelineKind) -> Vec<(usize, FileId, Arc<ast::File>, usize)> {
    let mut found = Vec::new();
    for (file, tree) in checker.trees.iter().enumerate() {
        for (item, node) in tree.items.iter().enumerate() {
            if matches!(node, Item::Pipeline(pipeline) if pipeline.kind == kind) {
                found.push((found.len(), FileId(file as u32), Arc::clone(tree), item));
            }
        }
    }
    found
}

/// Fills in what every pipeline takes and gives.
pub(crate) fn declare_all(checker: &mut Checker<'_>) {
    for (index, file, tree, item) in each(checker, PipelineKind::Pipeline) {
        if let Some(Item::Pipeline(node)) = tree.items.get(item) {
            let Signature { params, result, bounds } = signature(checker, file, node);
            let pipeline = &mut checker.pipelines[index];
            (pipeline.params, pipeline.result, pipeline.bounds) = (params, result, bounds);
        }
    }
}

/// What a pipeline or a layer takes and gives.
pub(crate) struct Signature {
    pub(crate) params: Vec<Param>,
    pub(crate) result: Type,
    pub(crate) bounds: Vec<Bound>,
}

/// Resolves what a pipeline or a layer takes and gives.
pub(crate) fn signature(checker: &mut Checker<'_>, file: FileId, node: &ast::Pipeline) -> Signature {
    let mut names = SignatureNames { declaring: true, ..SignatureNames::default() };
    let mut params: Vec<Param> = Vec::new();
    for param in &node.params {
        let ty = signature::resolve(checker, file, &param.ty, &mut names);
        if params.iter().any(|known| known.name == param.name.text) {
            let diagnostic = Diagnostic::new(Code::E0102, format!("the parameter `{}` is defined twice", param.name.text));
            checker.report(diagnostic.label(at(file, param.name.span), "defined again here").help("give one of them another name"));
        }
        if ty.is_constant() {
            names.constants.push((param.name.text.clone(), ty.clone()));
        }
        let default = match &param.default {
            Some(value) => BodyChecker::new(checker, file, &[]).default_value(value, &ty),
            None => None,
        };
        params.push(Param { name: param.name.text.clone(), public: param.public, ty, default });
    }
    names.declaring = false;
    let result = signature::resolve(checker, file, &node.result, &mut names);
    let result = if is_bound(checker, file, &params, &result, node) { result } else { Type::Unknown };
    Signature { params, result, bounds: names.bounds }
}

/// True where every symbol of the result is a symbol of a parameter; others are reported.
fn is_bound(checker: &mut Checker<'_>, file: FileId, params: &[Param], result: &Type, node: &ast::Pipeline) -> bool {
    let mut bound = Vec::new();
    params.iter().for_each(|param| symbols(&param.ty, &mut bound));
    let mut used = Vec::new();
    symbols(result, &mut used);
    used.retain(|dim| !bound.contains(dim));
    for dim in &used {
        let names: Vec<String> = bound.iter().map(|dim| format!("`{dim}`")).collect();
        let help = if names.is_empty() { "write a number".to_owned() } else { format!("the parameters have {}", names.join(", ")) };
        checker.report(
            Diagnostic::new(Code::E0212, format!("no parameter says how large `{dim}` is"))
                .label(at(file, node.result.span), format!("`{dim}` stands only here"))
                .help(help),
        );
    }
    used.is_empty()
}

/// The symbols and rests of a type.
pub(crate) fn symbols(ty: &Type, found: &mut Vec<Dim>) {
    match ty {
        Type::Tensor(tensor) => tensor.dims.iter().for_each(|dim| match dim {
            Dim::Symbol(_) | Dim::Rest(_) => found.push(dim.clone()),
            Dim::Formula(formula) => {
                let mut names = Vec::new();
                formula.symbols(&mut names);
                found.extend(names.into_iter().map(Dim::Symbol));
            }
            _ => {}
        }),
        Type::Record(fields) => fields.iter().for_each(|(_, ty)| symbols(ty, found)),
        Type::Optional(inner) | Type::Stream(inner) | Type::List { item: inner, .. } => symbols(inner, found),
        _ => {}
    }
}

/// Checks what every pipeline does; what is as it was before is taken over.
pub(crate) fn check_bodies(checker: &mut Checker<'_>, reuse: &mut Option<Reuse>) {
    for (index, file, tree, item) in each(checker, PipelineKind::Pipeline) {
        let Some(Item::Pipeline(node)) = tree.items.get(item) else { continue };
        let start = node.span.start;
        let (body, calls) = match reuse.as_mut().and_then(|reuse| reuse.body(checker, index, file, item, start)) {
            Some(known) => known,
            None => checker.traced(file, item, start, |checker| {
                let body = match &node.body {
                    Some(statements) => steps(checker, file, index, node, statements),
                    None => intrinsic::provided(checker, file, node, Intrinsic::ALL).map_or(Body::Broken, Body::Intrinsic),
                };
                let calls = cycles::callees(&body);
                ((body, calls), Some(index))
            }),
        };
        checker.pipelines[index].body = body;
        checker.calls.push(calls);
    }
}

fn steps(checker: &mut Checker<'_>, file: FileId, index: usize, node: &ast::Pipeline, statements: &[ast::Statement]) -> Body {
    let params: Vec<Param> = checker.pipelines[index].params.clone();
    let wanted = checker.pipelines[index].result.clone();
    let bounds = checker.pipelines[index].bounds.clone();
    let mut body = BodyChecker::new(checker, file, &params);
    body.bounds = bounds;
    let mut locals: Vec<Local> = Vec::new();
    let mut result = None;
    for (position, statement) in statements.iter().enumerate() {
        let attributes = body.attributes(&statement.attributes);
        match &statement.binds {
            Some(name) => {
                let value = body.expr(&statement.value, None);
                body.bind(name, &value);
                locals.push(Local { name: name.text.clone(), value, attributes });
            }
            None => {
                let value = body.expr(&statement.value, Some(&wanted));
                body.expect_type(&wanted, &value, node.result.span);
                if position + 1 < statements.len() {
                    let rest = at(file, statements[position + 1].span);
                    let last = statements.last().map_or(rest.span, |last| last.span);
                    body.checker.mention(at(file, rest.span.to(last)));
                    body.checker.report(
                        Diagnostic::new(Code::E0209, "nothing runs after `return`")
                            .label(rest, "this is never reached")
                            .help("move it above the `return`, or remove it")
                            .fix(at(file, rest.span.to(last)), ""),
                    );
                }
                result = Some((value, attributes));
                break;
            }
        }
    }
    body.leave(0);
    match result {
        Some((result, attributes)) => Body::Steps { locals, result, attributes },
        None => {
            let diagnostic = Diagnostic::new(Code::E0209, format!("`{}` returns nothing", node.name.text))
                .label(at(file, node.name.span), "expected a `return` at its end")
                .help("write `return value` as the last statement");
            let last = statements.last().and_then(|last| Some((last.binds.as_ref()?, last.span.end)));
            checker.report(match last {
                Some((name, end)) => diagnostic.fix(at(file, Span { start: end, end }), format!("\n  return {}", name.text)),
                None => diagnostic,
            });
            Body::Broken
        }
    }
}
