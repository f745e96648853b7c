//! What models keep from one run to the next: that it fits their files, and that they are called where every run calls them once.

use crate::checker::{Checker, at, unknown_name};
use crate::program::{AttributeKind, Body, Callee, Expr, ExprKind, Model, Pipeline};
use crate::types::{Dim, TensorType};
use crate::world::{ModelSignature, SignaturePort};
use mlp_syntax::ast;
use mlp_syntax::{Code, Diagnostic, FileId, Location};

/// Layers keep nothing.
pub(crate) fn no_layers(checker: &mut Checker<'_>, file: FileId, node: &ast::Model) {
    if let Some(state) = node.states.first() {
        let diagnostic = Diagnostic::new(Code::E0311, format!("the layers of `{}` keep no state", node.name.text));
        let diagnostic = diagnostic.label(at(file, state.port.span), "a state is an input and an output of an ONNX file");
        checker.report(diagnostic.help("declare an input and an output, and give the one what the other gave in the run before"));
    }
}

/// That a state becomes something that the file does not give.
pub(crate) fn no_output(checker: &mut Checker<'_>, file: FileId, node: &ast::State, signature: &ModelSignature) {
    let message = format!("the model's file has no output `{}`", node.next.text);
    let known = signature.outputs.iter().map(|port| port.name.as_str());
    checker.report(unknown_name(Code::E0311, message, &node.next.text, at(file, node.next.span), known));
}

/// Whether all sizes of a state are numbers; reports where not.
pub(crate) fn is_fixed(checker: &mut Checker<'_>, file: FileId, node: &ast::State, kept: &TensorType) -> bool {
    let Some(open) = kept.dims.iter().find(|dim| !matches!(dim, Dim::Const(_))) else { return true };
    let diagnostic = Diagnostic::new(Code::E0311, format!("the size `{open}` of the state `{}` is not known", node.port.name.text));
    let diagnostic = diagnostic.label(at(file, node.port.ty.span), "memory for it is set aside before the first run");
    checker.report(diagnostic.help("write numbers: a state has the same sizes in every run"));
    false
}

/// That the next run cannot read what a run leaves.
pub(crate) fn other_type(checker: &mut Checker<'_>, file: FileId, node: &ast::State, actual: &SignaturePort, remark: String) {
    let name = &node.port.name.text;
    let diagnostic = Diagnostic::new(Code::E0311, format!("`{}` is `{actual}`, which the state `{name}` cannot become", node.next.text));
    let diagnostic = diagnostic.label(at(file, node.next.span), remark).label(at(file, node.port.ty.span), "what the next run reads");
    checker.report(diagnostic.help("name the output that has what the model is to remember"));
}

/// Reports calls of models with state, and of pipelines that call some, where a run may make them never or several times, or not at all since an answer is kept.
pub(crate) fn check_uses(checker: &mut Checker<'_>) {
    if checker.models.iter().all(|model| model.states.is_empty()) {
        return;
    }
    let keeping = Keeping::new(&checker.pipelines, &checker.models);
    let mut found = Vec::new();
    for pipeline in &checker.pipelines {
        let Body::Steps { locals, result, attributes } = &pipeline.body else { continue };
        let statements = locals.iter().map(|local| (&local.value, &local.attributes)).chain([(result, attributes)]);
        for (value, attributes) in statements {
            let cached = attributes.iter().any(|attribute| matches!(attribute.kind, AttributeKind::Cache(_)));
            keeping.misplaced(value, cached.then_some(&CACHED), &mut found);
        }
    }
    for (place, callee, reason) in found {
        let name = match callee {
            Callee::Model(id) => &checker.models[id.0 as usize].name,
            Callee::Pipeline(id) => &checker.pipelines[id.0 as usize].name,
        };
        let diagnostic = Diagnostic::new(Code::E0312, format!("`{name}` remembers what it was given, and is called {}", reason.called));
        checker.report(diagnostic.label(place, reason.label).help(reason.help));
    }
}

/// Why a place is none for a model with state.
struct Reason {
    called: &'static str,
    label: &'static str,
    help: &'static str,
}

const CHOICE: Reason = Reason {
    called: "in a part of a choice",
    label: "both parts of a choice are computed, so that it would remember what it is not asked",
    help: "call it before `when`, and choose among its answers",
};

const ROUND: Reason =
    Reason { called: "in a loop", label: "each round would have a memory of its own", help: "call it outside of the loop" };

const CACHED: Reason =
    Reason { called: "where answers are kept", label: "the same input has another answer in the next run", help: "remove `@cache`" };

/// Which models and pipelines keep something from one run to the next.
struct Keeping<'a> {
    models: &'a [Model],
    pipelines: Vec<bool>,
}

impl<'a> Keeping<'a> {
    fn new(pipelines: &[Pipeline], models: &'a [Model]) -> Keeping<'a> {
        let mut keeping = Keeping { models, pipelines: vec![false; pipelines.len()] };
        // Pipelines call no circle, so that as many rounds as calls are nested find all.
        loop {
            let now = pipelines.iter().map(|pipeline| match &pipeline.body {
                Body::Steps { locals, result, .. } => {
                    locals.iter().map(|local| &local.value).chain([result]).any(|expr| keeping.within(expr))
                }
                Body::Intrinsic(_) | Body::Broken => false,
            });
            let now: Vec<bool> = now.collect();
            if now == keeping.pipelines {
                return keeping;
            }
            keeping.pipelines = now;
        }
    }

    fn is_kept_by(&self, callee: Callee) -> bool {
        match callee {
            Callee::Model(id) => self.models.get(id.0 as usize).is_some_and(|model| !model.states.is_empty()),
            Callee::Pipeline(id) => self.pipelines.get(id.0 as usize) == Some(&true),
        }
    }

    /// Whether an expression calls something that keeps state.
    fn within(&self, expr: &Expr) -> bool {
        let mut found = matches!(expr.kind, ExprKind::Call { callee, .. } if self.is_kept_by(callee));
        expr.children(&mut |child| found = found || self.within(child));
        found
    }

    /// Finds the calls that stand where they must not; `reason` says why that is so of the whole expression.
    fn misplaced(&self, expr: &Expr, reason: Option<&'static Reason>, found: &mut Vec<(Location, Callee, &'static Reason)>) {
        match (&expr.kind, reason) {
            (ExprKind::Call { callee, at, .. }, Some(reason)) if self.is_kept_by(*callee) => found.push((*at, *callee, reason)),
            // The first condition is always asked for.
            (ExprKind::When { arms, otherwise }, None) => {
                for (number, (condition, value)) in arms.iter().enumerate() {
                    self.misplaced(condition, (number > 0).then_some(&CHOICE), found);
                    self.misplaced(value, Some(&CHOICE), found);
                }
                return self.misplaced(otherwise, Some(&CHOICE), found);
            }
            (ExprKind::Loop(node), None) => {
                self.misplaced(&node.start, None, found);
                return node.until.iter().chain([&node.body]).for_each(|part| self.misplaced(part, Some(&ROUND), found));
            }
            (ExprKind::ForEach { list, body }, None) => {
                self.misplaced(list, None, found);
                return self.misplaced(body, Some(&ROUND), found);
            }
            _ => {}
        }
        expr.children(&mut |child| self.misplaced(child, reason, found));
    }
}
