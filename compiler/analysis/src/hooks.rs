//! Hooks of the root file.

use crate::blocks::{HOOK_KEYS, Reader};
use crate::checker::{Checker, at, unknown_name};
use crate::declared::{Declarations, ExplainId, MonitorId, OutletId};
use crate::program::{Backend, Hook};
use crate::reuse::Reuse;
use crate::scope::Symbol;
use mlp_syntax::ast::{self, DeclarationKind, ExprKind, Item};
use mlp_syntax::units::Dimension;
use mlp_syntax::{Code, Diagnostic, FileId, Location};
use std::collections::HashMap;

const ROOT: FileId = FileId(0);

/// Every hook that makes sense; what is as it was before is taken over.
pub(crate) fn check_all(checker: &mut Checker<'_>, declarations: &Declarations, reuse: &mut Option<Reuse>) -> Vec<Hook> {
    let Some(tree) = checker.trees.first().cloned() else { return Vec::new() };
    let mut hooks: Vec<Hook> = Vec::new();
    let mut names: HashMap<&str, Location> = HashMap::new();
    for (item, node) in tree.items.iter().enumerate() {
        let Item::Hook(node) = node else { continue };
        let place = at(ROOT, node.name.span);
        if let Some(first) = names.get(node.name.text.as_str()) {
            let diagnostic =
                Diagnostic::new(Code::E0102, format!("`{}` is defined twice", node.name.text)).label(place, "defined again here");
            checker.report(diagnostic.label(*first, "first defined here").help("give one of them another name"));
        }
        let before = hooks.len();
        if !reuse.as_mut().is_some_and(|reuse| reuse.hook(checker, item, node.span.start, declarations, &mut hooks)) {
            let hook = checker.traced(ROOT, item, node.span.start, |checker| {
                let hook = check(checker, node, declarations);
                let index = hook.as_ref().map(|_| before);
                (hook, index)
            });
            hooks.extend(hook);
        }
        if hooks.len() > before {
            names.entry(&node.name.text).or_insert(place);
        }
    }
    hooks
}

impl Hook {
    /// Whether everything that it names is of the pipeline that it runs.
    pub(crate) fn fits(&self, declarations: &Declarations) -> bool {
        let monitor = self.monitor.and_then(|id| declarations.monitors.get(id.0 as usize)?.pipeline);
        let outlet = self.outlet.and_then(|id| declarations.outlets.get(id.0 as usize)?.pipeline);
        let explain = self.explain.and_then(|id| declarations.explains.get(id.0 as usize)?.pipeline);
        [monitor, outlet, explain].into_iter().flatten().all(|of| of == self.pipeline)
    }
}

fn check(checker: &mut Checker<'_>, node: &ast::Hook, declarations: &Declarations) -> Option<Hook> {
    let place = at(ROOT, node.name.span);
    let name = &node.name.text;
    if !name.strip_prefix("use").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase())) {
        let stem = name.strip_prefix("use").unwrap_or(name).trim_start_matches('_');
        let mut letters = stem.chars();
        let fixed = letters
            .next()
            .map_or_else(|| format!("use{}", node.pipeline.text), |first| format!("use{}{}", first.to_ascii_uppercase(), letters.as_str()));
        checker.report(
            Diagnostic::new(Code::E0404, format!("`{name}` is no name of a hook"))
                .label(place, "React knows a hook by `use` and a capital letter")
                .help(format!("write `{fixed}`"))
                .fix(place, fixed),
        );
    }
    let pipeline = pipeline(checker, &node.pipeline);
    let mut hook = Hook {
        name: name.clone(),
        doc: node.doc.clone(),
        at: place,
        pipeline: pipeline.unwrap_or(crate::PipelineId(0)),
        prefer: Vec::new(),
        monitor: None,
        outlet: None,
        explain: None,
        realtime: None,
        later: Vec::new(),
    };
    entries(checker, node, declarations, pipeline, &mut hook);
    if hook.prefer.is_empty() {
        hook.prefer = Backend::ALL.iter().map(|(_, backend)| *backend).collect();
    }
    pipeline.map(|_| hook)
}

fn entries(checker: &mut Checker<'_>, node: &ast::Hook, declarations: &Declarations, pipeline: Option<crate::PipelineId>, hook: &mut Hook) {
    let mut reader = Reader { checker, file: ROOT, noun: "a hook", name: node.name.span, span: node.span };
    for (key, entry) in reader.entries(node.entries.iter(), HOOK_KEYS) {
        let place = at(ROOT, entry.value.span);
        match key {
            "prefer" => hook.prefer = backends(reader.checker, ROOT, "prefer", &entry.value),
            "realtime" => hook.realtime = reader.positive(&entry.value, Some(Dimension::Rate)),
            _ => {
                let (kind, noun) = match key {
                    "monitor" => (DeclarationKind::Monitor, "a monitor"),
                    "outlet" => (DeclarationKind::Outlet, "an outlet"),
                    _ => (DeclarationKind::Explain, "an explanation"),
                };
                let found = reader.reference(&entry.value, noun, |symbol| matches!(symbol, Symbol::Block(found, _) if found == kind));
                let Some(Symbol::Block(_, id)) = found else { continue };
                let index = id as usize;
                let of = match kind {
                    DeclarationKind::Monitor => {
                        hook.monitor = Some(MonitorId(id));
                        declarations.monitors.get(index).and_then(|monitor| monitor.pipeline)
                    }
                    DeclarationKind::Outlet => {
                        hook.outlet = Some(OutletId(id));
                        declarations.outlets.get(index).and_then(|outlet| outlet.pipeline)
                    }
                    _ => {
                        hook.explain = Some(ExplainId(id));
                        declarations.explains.get(index).and_then(|explain| explain.pipeline)
                    }
                };
                if let (Some(of), Some(pipeline)) = (of, pipeline)
                    && of != pipeline
                {
                    other_pipeline(&mut reader, place, noun, of, pipeline);
                }
            }
        }
        if key != "prefer" {
            hook.later.push((key, at(ROOT, entry.span)));
        }
    }
}

fn other_pipeline(reader: &mut Reader<'_, '_>, place: Location, noun: &str, of: crate::PipelineId, wanted: crate::PipelineId) {
    let name = |id: crate::PipelineId| reader.checker.pipelines.get(id.0 as usize).map_or(String::new(), |pipeline| pipeline.name.clone());
    let (of, wanted) = (name(of), name(wanted));
    let diagnostic = Diagnostic::new(Code::E0407, format!("this hook runs `{wanted}`")).label(place, format!("this is {noun} of `{of}`"));
    reader.report(diagnostic.help(format!("name {noun} of `{wanted}`, or leave the entry away")));
}

fn pipeline(checker: &mut Checker<'_>, name: &ast::Name) -> Option<crate::PipelineId> {
    let place = at(ROOT, name.span);
    match checker.scopes[0].find(&name.text, &["pipeline"]) {
        Some(Symbol::Pipeline(id)) => {
            let pipeline = &checker.pipelines[id.0 as usize];
            let given = pipeline.params.iter().find(|param| !pipeline.takes(&param.ty) && param.ty != crate::Type::Unknown);
            if let Some(param) = given {
                let (name, shown) = (param.name.clone(), checker.show(&param.ty));
                let diagnostic = Diagnostic::new(Code::E0201, format!("a hook cannot give `{name}`, {shown}"));
                let diagnostic =
                    diagnostic.label(place, "expected a pipeline that takes photos, sounds, and tensors of known or bounded shape");
                checker.report(diagnostic.help("write a pipeline that calls this one with a value for it"));
                return None;
            }
            Some(id)
        }
        Some(Symbol::Broken) => None,
        Some(symbol) => {
            let diagnostic =
                Diagnostic::new(Code::E0201, format!("`{}` is {}", name.text, symbol.noun())).label(place, "expected a pipeline");
            checker.report(diagnostic.help("write a pipeline that calls it"));
            None
        }
        None => {
            let known: Vec<String> =
                checker.pipelines.iter().filter(|pipeline| pipeline.at.file == ROOT).map(|pipeline| pipeline.name.clone()).collect();
            let message = format!("there is no pipeline `{}`", name.text);
            let diagnostic = unknown_name(Code::E0101, message, &name.text, place, known.iter().map(String::as_str));
            checker.report(diagnostic);
            None
        }
    }
}

pub(crate) fn backends(checker: &mut Checker<'_>, file: FileId, key: &str, value: &ast::Expr) -> Vec<Backend> {
    let ExprKind::List(items) = &value.kind else {
        if !matches!(value.kind, ExprKind::Broken) {
            let diagnostic = Diagnostic::new(Code::E0201, format!("`{key}` is a list")).label(at(file, value.span), "expected a list");
            let text = format!("[{}]", checker.text(at(file, value.span)));
            checker.report(diagnostic.help(format!("write `{key} = [webgpu, wasm]`")).fix(at(file, value.span), text));
        }
        return Vec::new();
    };
    let mut backends = Vec::new();
    for item in items {
        let found = match &item.kind {
            ExprKind::Name(name) | ExprKind::Text(name) => name.as_str(),
            _ => "",
        };
        let is_quoted = matches!(item.kind, ExprKind::Text(_));
        let known = Backend::ALL.iter().find(|(name, _)| *name == found);
        match known {
            Some((name, _)) if is_quoted => {
                let diagnostic = Diagnostic::new(Code::E0201, "a backend is written without quotes");
                let place = at(file, item.span);
                checker.report(diagnostic.label(place, "this is a text").help(format!("write `{name}`")).fix(place, *name));
            }
            Some((_, backend)) if !backends.contains(backend) => backends.push(*backend),
            Some(_) => {
                let place = at(file, item.span);
                let diagnostic = Diagnostic::new(Code::E0102, format!("`{found}` is listed twice")).label(place, "listed again here");
                let removed = crate::edits::listed(checker, place);
                checker.report(diagnostic.help("remove one of them").fix(removed, ""));
            }
            None => {
                let message = format!("there is no backend `{}`", checker.text(at(file, item.span)));
                let names = Backend::ALL.iter().map(|(name, _)| *name);
                let diagnostic = unknown_name(Code::E0107, message, found, at(file, item.span), names);
                checker.report(diagnostic);
            }
        }
    }
    backends
}
