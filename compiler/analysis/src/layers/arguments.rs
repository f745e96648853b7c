//! Arguments of a layer's call to its parameters.

use super::WEIGHTS;
use crate::checker::{Checker, at};
use crate::intrinsic::Intrinsic;
use crate::network::{LayerBody, LayerId};
use crate::program::{Body, Param, PipelineId};
use crate::scope::Symbol;
use crate::types::Type;
use mlp_syntax::ast::{Argument, Call, Expr, ExprKind};
use mlp_syntax::{Code, Diagnostic, FileId, closest};

/// What is called inside layers.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) callee: Callee,
    pub(super) params: Vec<Param>,
}

/// What can be called inside layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callee {
    Layer(LayerId),
    /// A pipeline of the standard library that the compiler provides.
    Pipeline(PipelineId, Intrinsic),
}

/// Why nothing is called.
pub(super) enum NoTarget {
    /// An error that is reported where the name is defined.
    Hidden,
    /// The name stands for nothing.
    Unknown,
    /// The name stands for something that is not called here; in the words of a message.
    Other(&'static str),
}

/// What a name calls inside layers.
pub(super) fn target(checker: &mut Checker<'_>, file: FileId, name: &str) -> Result<Target, NoTarget> {
    match checker.scopes[file.0 as usize].find(name, &["pipeline", "model", "layer", "intrinsic"]) {
        Some(Symbol::Layer(id)) => {
            let layer = checker.layers.get(id.0 as usize).ok_or(NoTarget::Hidden)?;
            Ok(Target { name: layer.name.clone(), callee: Callee::Layer(id), params: layer.params.clone() })
        }
        Some(Symbol::Pipeline(id)) => {
            let pipeline = checker.pipelines.get(id.0 as usize).ok_or(NoTarget::Hidden)?;
            match pipeline.body {
                Body::Intrinsic(intrinsic) => {
                    Ok(Target { name: pipeline.name.clone(), callee: Callee::Pipeline(id, intrinsic), params: pipeline.params.clone() })
                }
                Body::Broken => Err(NoTarget::Hidden),
                Body::Steps { .. } => Err(NoTarget::Other("a pipeline")),
            }
        }
        Some(Symbol::Broken) => Err(NoTarget::Hidden),
        Some(symbol) => Err(NoTarget::Other(symbol.noun())),
        None => Err(NoTarget::Unknown),
    }
}

/// What a layer does, by its number.
pub(super) fn body_of(checker: &Checker<'_>, id: LayerId) -> LayerBody {
    checker.layers.get(id.0 as usize).map_or(LayerBody::Broken, |layer| layer.body)
}

/// What a call gives for each parameter, and the path of its weights.
pub(super) struct Arguments<'e> {
    pub(super) values: Vec<Option<&'e Expr>>,
    pub(super) weights: Option<&'e Expr>,
}

/// The parameter that each argument is for. What stands left of `|>` is the first argument. The error is what does not fit.
pub(super) fn arguments<'e>(call: &'e Call, target: &Target, file: FileId) -> Result<Arguments<'e>, Diagnostic> {
    let mut found = Arguments { values: vec![None; target.params.len()], weights: None };
    let mut next = 0;
    let piped = call.piped.iter().map(|value| (None, value));
    let named = call.arguments.iter().map(|Argument { name, value }| (name.as_ref(), value));
    for (name, value) in piped.chain(named) {
        let place = at(file, value.span);
        let index = match name {
            Some(name) if name.text == WEIGHTS && matches!(target.callee, Callee::Layer(_)) => {
                if found.weights.replace(value).is_some() {
                    return Err(twice(WEIGHTS).label(place, "given again here").help("remove one of them"));
                }
                continue;
            }
            Some(name) => match target.params.iter().position(|param| param.name == name.text) {
                Some(index) => index,
                None => return Err(unknown_parameter(target, &name.text, at(file, name.span))),
            },
            None => {
                next += 1;
                next - 1
            }
        };
        let Some(slot) = found.values.get_mut(index) else { return Err(too_many(target).label(place, "one too many")) };
        if slot.replace(value).is_some() {
            let diagnostic = twice(&target.params[index].name).label(place, "given again here");
            return Err(diagnostic.help("remove one of them; what stands left of `|>` is the first argument"));
        }
    }
    let lacks = |(param, value): &(&Param, &Option<&Expr>)| {
        value.is_none() && param.default.is_none() && !matches!(param.ty, Type::Optional(_) | Type::Unknown)
    };
    if let Some((param, _)) = target.params.iter().zip(&found.values).find(lacks) {
        return Err(Diagnostic::new(Code::E0204, format!("`{}` needs `{}`", target.name, param.name))
            .label(at(file, call.callee.span), format!("`{}` is not given", param.name))
            .help(format!("write `{}({} = ...)`", target.name, param.name)));
    }
    Ok(found)
}

fn twice(name: &str) -> Diagnostic {
    Diagnostic::new(Code::E0205, format!("`{name}` is given twice"))
}

fn too_many(target: &Target) -> Diagnostic {
    let count = target.params.len();
    let plural = if count == 1 { "" } else { "s" };
    Diagnostic::new(Code::E0205, format!("`{}` takes {count} argument{plural}", target.name)).help(taken(target))
}

fn taken(target: &Target) -> String {
    let names: Vec<String> = target.params.iter().map(|param| format!("`{}`", param.name)).collect();
    format!("`{}` takes {}", target.name, names.join(", "))
}

fn unknown_parameter(target: &Target, name: &str, place: mlp_syntax::Location) -> Diagnostic {
    let known = target.params.iter().map(|param| param.name.as_str()).chain([WEIGHTS]);
    let diagnostic = Diagnostic::new(Code::E0205, format!("`{}` has no parameter `{name}`", target.name));
    match closest(name, known) {
        Some(close) => diagnostic.label(place, format!("did you mean `{close}`?")).fix(place, close),
        None => diagnostic.label(place, "unknown parameter").help(taken(target)),
    }
}

/// The name that a call calls; none where it calls something else.
pub(super) fn callee_name(call: &Call) -> Option<&str> {
    match &call.callee.kind {
        ExprKind::Name(name) => Some(name),
        _ => None,
    }
}
