//! Hooks of the root file.

use crate::checker::{Checker, at, unknown_name};
use crate::program::{Backend, Hook};
use crate::scope::Symbol;
use mlp_syntax::ast::{self, ExprKind, Item};
use mlp_syntax::{Code, Diagnostic, FileId};

const ROOT: FileId = FileId(0);

/// Entries that a later compiler reads.
const LATER_ENTRIES: &[&str] = &["monitor", "outlet", "realtime"];

/// Every hook that makes sense.
pub(crate) fn check_all(checker: &mut Checker<'_>) -> Vec<Hook> {
    let Some(tree) = checker.trees.first().cloned() else { return Vec::new() };
    let mut hooks: Vec<Hook> = Vec::new();
    for item in &tree.items {
        let Item::Hook(node) = item else { continue };
        let place = at(ROOT, node.name.span);
        if let Some(first) = hooks.iter().find(|hook| hook.name == node.name.text) {
            let diagnostic =
                Diagnostic::new(Code::E0102, format!("`{}` is defined twice", node.name.text)).label(place, "defined again here");
            checker.report(diagnostic.label(first.at, "first defined here").help("give one of them another name"));
        }
        hooks.extend(check(checker, node));
    }
    hooks
}

fn check(checker: &mut Checker<'_>, node: &ast::Hook) -> Option<Hook> {
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
    let mut prefer = Vec::new();
    for entry in &node.entries {
        let key = entry.key.text.as_str();
        let key_place = at(ROOT, entry.key.span);
        if key == "prefer" {
            prefer = backends(checker, &entry.value);
        } else if LATER_ENTRIES.contains(&key) {
            let diagnostic = Diagnostic::new(Code::E0009, format!("`{key}` of a hook is not supported by this version of the compiler"));
            checker.report(diagnostic.label(key_place, "not read yet").help("remove the entry, or use a newer compiler"));
        } else {
            let diagnostic = unknown_name(Code::E0107, format!("a hook has no entry `{key}`"), key, key_place, ["prefer"]);
            checker.report(diagnostic);
        }
    }
    if prefer.is_empty() {
        prefer = Backend::ALL.iter().map(|(_, backend)| *backend).collect();
    }
    let pipeline = pipeline(checker, &node.pipeline)?;
    Some(Hook { name: name.clone(), doc: node.doc.clone(), at: place, pipeline, prefer })
}

fn pipeline(checker: &mut Checker<'_>, name: &ast::Name) -> Option<crate::PipelineId> {
    let place = at(ROOT, name.span);
    match checker.scopes[0].find(&name.text) {
        Some(Symbol::Pipeline(id)) => {
            let pipeline = &checker.pipelines[id.0 as usize];
            let given = pipeline.params.iter().find(|param| !param.ty.is_input() && param.ty != crate::Type::Unknown);
            if let Some(param) = given {
                let (name, shown) = (param.name.clone(), checker.show(&param.ty));
                let diagnostic = Diagnostic::new(Code::E0201, format!("a hook cannot give `{name}`, {shown}"));
                let diagnostic = diagnostic.label(place, "expected a pipeline that takes photos and tensors of known shape");
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

fn backends(checker: &mut Checker<'_>, value: &ast::Expr) -> Vec<Backend> {
    let ExprKind::List(items) = &value.kind else {
        if !matches!(value.kind, ExprKind::Broken) {
            let diagnostic = Diagnostic::new(Code::E0201, "`prefer` is a list").label(at(ROOT, value.span), "expected a list");
            checker.report(diagnostic.help("write `prefer = [webgpu, wasm]`"));
        }
        return Vec::new();
    };
    let mut backends = Vec::new();
    for item in items {
        let found = match &item.kind {
            ExprKind::Name(name) => name.as_str(),
            _ => "",
        };
        let known = Backend::ALL.iter().find(|(name, _)| *name == found);
        match known {
            Some((_, backend)) if !backends.contains(backend) => backends.push(*backend),
            Some(_) => {
                let diagnostic =
                    Diagnostic::new(Code::E0102, format!("`{found}` is listed twice")).label(at(ROOT, item.span), "listed again here");
                checker.report(diagnostic.help("remove one of them"));
            }
            None => {
                let message = format!("there is no backend `{}`", checker.text(at(ROOT, item.span)));
                let names = Backend::ALL.iter().map(|(name, _)| *name);
                let diagnostic = unknown_name(Code::E0107, message, found, at(ROOT, item.span), names);
                checker.report(diagnostic);
            }
        }
    }
    backends
}
