//! Sets of labels: `labels` items, and the files at outputs of models.

use crate::checker::{Checker, at};
use crate::scope::Symbol;
use crate::world;
use mlp_syntax::ast::{Expr, ExprKind, Item, LabelsItem};
use mlp_syntax::{Code, Diagnostic, FileId, Location};

/// The most labels of one set.
const MAX_LABELS: usize = 1 << 20;

/// Fills in every `labels` item.
pub(crate) fn check_all(checker: &mut Checker<'_>) {
    let mut index = 0;
    for file in 0..checker.trees.len() {
        let tree = checker.trees[file].clone();
        for item in &tree.items {
            if let Item::Labels(node) = item {
                let lines = lines(checker, FileId(file as u32), node, index).unwrap_or_default();
                if let Some(set) = checker.labels.get_mut(index) {
                    set.lines = lines;
                }
                index += 1;
            }
        }
    }
}

fn lines(checker: &mut Checker<'_>, file: FileId, node: &LabelsItem, index: usize) -> Option<Vec<String>> {
    let place = at(file, node.value.span);
    match &node.value.kind {
        ExprKind::Text(reference) => {
            let path = world::join(&checker.files[file.0 as usize].path, reference);
            let lines = read(checker, &path, place)?;
            if let Some(set) = checker.labels.get_mut(index) {
                set.path = path;
            }
            Some(lines)
        }
        ExprKind::List(items) => listed(checker, file, items),
        ExprKind::Broken => None,
        _ => {
            let diagnostic =
                Diagnostic::new(Code::E0303, "these are no labels").label(place, "expected a list of strings, or the path of a file");
            checker.report(diagnostic.help("write `[\"first\", \"second\"]` or `\"./labels.txt\"`"));
            None
        }
    }
}

fn listed(checker: &mut Checker<'_>, file: FileId, items: &[Expr]) -> Option<Vec<String>> {
    let mut lines: Vec<String> = Vec::with_capacity(items.len());
    let mut known = std::collections::HashSet::new();
    for item in items {
        let place = at(file, item.span);
        let ExprKind::Text(text) = &item.kind else {
            let diagnostic = Diagnostic::new(Code::E0303, "a label is a string").label(place, "expected a string");
            checker.report(diagnostic.help("write the label between quotes"));
            return None;
        };
        if !known.insert(text.clone()) {
            let diagnostic =
                Diagnostic::new(Code::E0102, format!("the label \"{text}\" is listed twice")).label(place, "listed again here");
            checker.report(diagnostic.help("remove one of them"));
        }
        lines.push(text.clone());
    }
    Some(lines)
}

/// The lines of a file of labels.
pub(crate) fn read(checker: &mut Checker<'_>, path: &str, place: Location) -> Option<Vec<String>> {
    match checker.world.read(path) {
        Ok(text) => Some(text.trim_end().lines().take(MAX_LABELS).map(|line| line.trim().to_owned()).collect()),
        Err(reason) => {
            let diagnostic = Diagnostic::new(Code::E0303, format!("the labels `{path}` cannot be read: {reason}"));
            checker.report(diagnostic.label(place, "one label a line is expected there").help("the path is relative to this file"));
            None
        }
    }
}

/// The `labels` item of that name.
pub(crate) fn item(checker: &mut Checker<'_>, file: FileId, name: &str) -> Option<crate::LabelsId> {
    match checker.scopes[file.0 as usize].peek(name) {
        Some(Symbol::Labels(_)) => match checker.scopes[file.0 as usize].find(name, &[]) {
            Some(Symbol::Labels(id)) => Some(id),
            _ => None,
        },
        _ => None,
    }
}
