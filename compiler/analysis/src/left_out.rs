//! What is checked but not built yet, said at the place.

use crate::program::{Attribute, AttributeKind, Body, Callee, Expr, ExprKind, LeftOut, Local, Pipeline, PipelineId, Program};
use crate::types::Type;
use mlp_syntax::{Code, Diagnostic, Location};
use std::collections::HashMap;

/// The most rounds of a loop that are compiled.
const MAX_ROUNDS: u64 = 256;

/// Looks through everything of the root file that an application could ask for.
pub(crate) fn find(program: &Program, labels: &[String]) -> LeftOut {
    let mut finder = Finder { program, labels, out: LeftOut::default(), known: HashMap::new() };
    for (index, pipeline) in program.pipelines.iter().enumerate() {
        if pipeline.at.file.0 == 0 && matches!(pipeline.body, Body::Steps { .. }) {
            finder.pipeline(PipelineId(index as u32), pipeline);
        }
    }
    finder.declarations();
    finder.out.diagnostics.sort_by(|a, b| (a.primary(), &a.message).cmp(&(b.primary(), &b.message)));
    finder.out.diagnostics.dedup();
    finder.out
}

/// A warning that something is left out.
pub(crate) fn warning(what: &str, place: Location, remark: &str) -> Diagnostic {
    Diagnostic::new(Code::E0901, format!("{what} is checked, but a build leaves it out yet"))
        .label(place, remark)
        .help("the rest is built without it; a later version of the compiler will have it")
}

struct Finder<'p> {
    program: &'p Program,
    labels: &'p [String],
    out: LeftOut,
    /// What is in the way of each pipeline that was looked into.
    known: HashMap<PipelineId, Option<(Location, String)>>,
}

impl<'p> Finder<'p> {
    fn pipeline(&mut self, id: PipelineId, pipeline: &'p Pipeline) {
        if let Some(param) = pipeline.params.iter().find(|param| is_later(&param.ty)) {
            let shown = param.ty.quoted(self.labels);
            let what = format!("the pipeline `{}`", pipeline.name);
            self.out.diagnostics.push(warning(&what, pipeline.at, &format!("it takes {shown}, which no application can give yet")));
            self.out.pipelines.push(id);
            return;
        }
        if !pipeline.params.iter().all(|param| pipeline.takes(&param.ty)) {
            // It is a part of others, which say what they lack.
            return;
        }
        let mut obstacle = self.body(id);
        if obstacle.is_none() {
            obstacle = self.answer(&pipeline.result).map(|remark| (pipeline.at, remark));
        }
        if let Some((place, remark)) = obstacle {
            let what = format!("the pipeline `{}`", pipeline.name);
            self.out.diagnostics.push(warning(&what, place, &remark));
            self.out.pipelines.push(id);
        }
    }

    /// Declarations are checked, and acted upon later.
    fn declarations(&mut self) {
        let all = &self.program.declarations;
        let budgets = all.budgets.iter().map(|node| (&node.declared, "budget"));
        let outlets = all.outlets.iter().map(|node| (&node.declared, "outlet"));
        let monitors = all.monitors.iter().map(|node| (&node.declared, "monitor"));
        let explains = all.explains.iter().map(|node| (&node.declared, "explanation"));
        let experiments = all.experiments.iter().map(|node| (&node.declared, "experiment"));
        let devices = all.devices.iter().map(|node| (&node.declared, "device"));
        let declared = budgets.chain(outlets).chain(monitors).chain(explains).chain(experiments).chain(devices);
        for (declared, noun) in declared.filter(|(declared, _)| declared.at.file.0 == 0) {
            let what = format!("the {noun} `{}`", declared.name);
            self.out.diagnostics.push(warning(&what, declared.at, "nothing in the bundle does this yet"));
        }
        for hook in &self.program.hooks {
            for (key, place) in &hook.later {
                self.out.diagnostics.push(warning(&format!("`{key}` of a hook"), *place, "the hook runs as if this were not here"));
            }
        }
        for model in &self.program.models {
            for place in &model.quantize {
                self.out.diagnostics.push(warning("`quantize`", *place, "the model runs as its file has it"));
            }
        }
    }

    /// Why an application cannot receive an answer.
    fn answer(&self, ty: &Type) -> Option<String> {
        let fits = |ty: &Type| matches!(ty, Type::Tensor(_) | Type::Label(_) | Type::Ranking { .. } | Type::Unknown);
        let part = match ty {
            Type::Record(fields) => fields.iter().map(|(_, ty)| ty).find(|ty| !fits(ty))?,
            ty if fits(ty) => return None,
            ty => ty,
        };
        Some(format!("it gives {}, which no application can receive yet", part.quoted(self.labels)))
    }

    /// The first thing in a pipeline, or in what it calls, that is not compiled yet.
    fn body(&mut self, id: PipelineId) -> Option<(Location, String)> {
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        // One that calls itself adds nothing by it.
        self.known.insert(id, None);
        let Body::Steps { locals, result, attributes } = &self.program.pipeline(id)?.body else { return None };
        let mut obstacle = None;
        self.locals(locals, &mut obstacle);
        self.attributes(attributes);
        self.expr(result, &mut obstacle);
        self.known.insert(id, obstacle.clone());
        obstacle
    }

    fn locals(&mut self, locals: &'p [Local], obstacle: &mut Option<(Location, String)>) {
        for local in locals {
            self.attributes(&local.attributes);
            self.expr(&local.value, obstacle);
        }
    }

    fn attributes(&mut self, attributes: &[Attribute]) {
        for attribute in attributes {
            let name = match attribute.kind {
                AttributeKind::Timeout(_) => "timeout",
                AttributeKind::Retry(_) => "retry",
                AttributeKind::Cache(_) => "cache",
            };
            self.out.diagnostics.push(warning(&format!("`@{name}`"), attribute.at, "the value is computed as if this were not here"));
        }
    }

    fn expr(&mut self, expr: &'p Expr, obstacle: &mut Option<(Location, String)>) {
        let remark = match &expr.kind {
            ExprKind::ForEach { .. } => Some("`for each` is not compiled yet"),
            ExprKind::List(_) => Some("a list is not compiled yet"),
            ExprKind::None => Some("a value that may be missing is not compiled yet"),
            ExprKind::Field(value, _) if matches!(value.ty, Type::Optional(_) | Type::List { .. }) => Some("this is not compiled yet"),
            ExprKind::Index(value, _) if matches!(value.ty, Type::List { .. }) => Some("an element of a list is not compiled yet"),
            ExprKind::Loop(node) if node.at_most > MAX_ROUNDS => Some("loops are compiled up to 256 rounds"),
            ExprKind::When { .. } | ExprKind::Loop(_) if !is_choosable(&expr.ty) => {
                Some("such values cannot be chosen among when running yet")
            }
            ExprKind::Compare { left, .. } if matches!(left.ty, Type::Text | Type::String) => Some("text is not compared yet"),
            ExprKind::Call { callee: Callee::Pipeline(id), .. } => {
                let found = self.body(*id);
                *obstacle = obstacle.take().or(found);
                None
            }
            ExprKind::Block(block) => {
                block.locals.iter().for_each(|local| self.attributes(&local.attributes));
                None
            }
            _ => None,
        };
        if let (Some(remark), None) = (remark, &obstacle) {
            *obstacle = Some((expr.at, remark.to_owned()));
        }
        expr.children(&mut |child| self.expr(child, obstacle));
    }
}

/// True for a type whose values nothing can hold yet.
fn is_later(ty: &Type) -> bool {
    match ty {
        Type::Optional(_) | Type::List { .. } | Type::Stream(_) => true,
        Type::Audio { rate, channels } => *channels != 1 || rate.is_some() && !ty.is_input(),
        Type::Record(fields) => fields.iter().any(|(_, ty)| is_later(ty)),
        _ => false,
    }
}

fn is_choosable(ty: &Type) -> bool {
    match ty {
        Type::Tensor(_) | Type::Label(_) | Type::Ranking { .. } | Type::Unknown => true,
        Type::Record(fields) => fields.iter().all(|(_, ty)| is_choosable(ty)),
        _ => false,
    }
}
