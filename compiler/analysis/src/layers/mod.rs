//! Models whose layers are written in the language.
//!
//! A layer is a function of tensors and of numbers that are known when compiling. Its signature and its names are checked once ([`names`]), whether anything calls it or not.
//! What it computes is found where a model calls it ([`elaborate`]): every call is inlined with its numbers, every loop unrolled, every choice made, so that shapes and
//! weights are compared with what the model's file holds ([`weights`]). What is left is a [`Network`](crate::Network): a list of operations without control flow.

mod arguments;
mod calls;
mod elaborate;
mod keys;
mod model;
mod names;
mod operators;
mod rules;
mod weights;

use crate::checker::{Checker, at};
use crate::network::{LayerBody, LayerIntrinsic};
use crate::pipelines::{self, Signature};
use crate::types::{Dim, Type};
use crate::{cycles, intrinsic, models};
use mlp_syntax::ast::{self, Item, PipelineKind};
use mlp_syntax::{Code, Diagnostic, FileId, Location};

/// The argument of every call of a layer that says where its weights are.
pub(crate) const WEIGHTS: &str = "weights";

/// Fills in every layer, then the network of every model that has layers.
pub(crate) fn check_all(checker: &mut Checker<'_>) {
    let all = pipelines::each(checker, PipelineKind::Layer);
    for (index, file, tree, item) in &all {
        if let Some(Item::Pipeline(node)) = tree.items.get(*item) {
            declare(checker, *file, *index, node);
        }
    }
    let mut calls: Vec<Vec<(usize, Location)>> = Vec::with_capacity(all.len());
    for (index, file, tree, item) in &all {
        let Some(Item::Pipeline(node)) = tree.items.get(*item) else { continue };
        let (body, callees) = body(checker, *file, *index, node);
        checker.layers[*index].body = body;
        calls.push(callees);
    }
    for (circle, place) in cycles::circles(&calls, |index| index) {
        let names = circle.iter().map(|index| checker.layers[*index].name.as_str()).collect::<Vec<_>>();
        let diagnostic = cycles::diagnostic("layers", &names, place, "a layer never calls itself; repeat a layer with `loop`");
        checker.report(diagnostic);
        if let Some(&last) = circle.last() {
            checker.layers[last].body = LayerBody::Broken;
        }
    }
    models::each(checker, model::check);
}

fn declare(checker: &mut Checker<'_>, file: FileId, index: usize, node: &ast::Pipeline) {
    let Signature { params, result, bounds } = pipelines::signature(checker, file, node);
    for param in node.params.iter().filter(|param| param.name.text == WEIGHTS) {
        checker.report(
            Diagnostic::new(Code::E0102, "every layer takes `weights` already")
                .label(at(file, param.name.span), "this would be the second")
                .help("remove it: every call of a layer may say `weights = \"path\"`"),
        );
    }
    for (param, node) in params.iter().zip(&node.params) {
        let fits = match &param.ty {
            Type::Tensor(_) | Type::Unknown => true,
            Type::Optional(inner) => matches!(inner.as_ref(), Type::Tensor(_)),
            ty => ty.is_constant(),
        };
        if !fits {
            let shown = checker.show(&param.ty);
            checker.report(
                Diagnostic::new(Code::E0201, format!("a layer takes tensors and what is known when compiling, not {shown}"))
                    .label(at(file, node.ty.span), "expected a tensor, a number, a size or a word")
                    .help("write a type such as `f32[N, C, H, W]` or `number`"),
            );
        }
    }
    let layer = &mut checker.layers[index];
    (layer.params, layer.result, layer.bounds) = (params, result, bounds);
}

/// What a layer does, and the layers that it calls.
fn body(checker: &mut Checker<'_>, file: FileId, index: usize, node: &ast::Pipeline) -> (LayerBody, Vec<(usize, Location)>) {
    let Some(statements) = &node.body else {
        let provided = intrinsic::provided(checker, file, node, LayerIntrinsic::ALL);
        return (provided.map_or(LayerBody::Broken, LayerBody::Intrinsic), Vec::new());
    };
    let before = checker.error_count();
    let layer = checker.layers[index].clone();
    let params = layer.params.iter().map(|param| (param.name.clone(), Some(param.ty.clone()))).collect();
    let mut sizes = Vec::new();
    layer.params.iter().for_each(|param| pipelines::symbols(&param.ty, &mut sizes));
    let sizes = sizes.into_iter().filter_map(|dim| if let Dim::Symbol(name) = dim { Some(name) } else { None }).collect();
    let calls = names::check(checker, file, params, sizes, (&node.name.text, node.name.span), statements);
    let broken =
        checker.error_count() > before || layer.result == Type::Unknown || layer.params.iter().any(|param| param.ty == Type::Unknown);
    (if broken { LayerBody::Broken } else { LayerBody::Written }, calls)
}
