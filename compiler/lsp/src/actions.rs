//! Fixes, as code actions.

use crate::diagnostics::convert;
use crate::session::{Session, Snapshot};
use ls_types::{CodeAction, CodeActionKind, CodeActionOrCommand, Range, TextEdit, Uri, WorkspaceEdit};
use mlp_syntax::{Diagnostic, Fix};
use std::collections::HashMap;

impl Session {
    /// The fixes of the diagnostics that touch a range of a document.
    pub fn actions(&self, uri: &Uri, range: Range) -> Option<Vec<CodeActionOrCommand>> {
        let snapshot = self.snapshot(uri)?;
        let bytes = snapshot.text(0)?.bytes(range);
        let touches = |diagnostic: &&Diagnostic| {
            let places = diagnostic.labels.first().map(|label| label.at).into_iter().chain(diagnostic.fix.iter().map(|fix| fix.at));
            places.filter(|at| at.file.0 == 0).any(|at| at.span.start as usize <= bytes.end && bytes.start <= at.span.end as usize)
        };
        let actions = snapshot.package.diagnostics().iter().filter(touches).filter_map(|diagnostic| action(&snapshot, diagnostic));
        Some(actions.map(CodeActionOrCommand::CodeAction).collect())
    }
}

fn action(snapshot: &Snapshot, diagnostic: &Diagnostic) -> Option<CodeAction> {
    let fix = diagnostic.fix.as_ref()?;
    let place = snapshot.location(fix.at)?;
    let edit = TextEdit { range: place.range, new_text: fix.replacement.clone() };
    Some(CodeAction {
        title: title(diagnostic, fix),
        kind: Some(CodeActionKind::QUICKFIX),
        diagnostics: Some(vec![convert(snapshot, diagnostic)]),
        edit: Some(WorkspaceEdit { changes: Some(HashMap::from([(place.uri, vec![edit])])), ..WorkspaceEdit::default() }),
        is_preferred: Some(true),
        ..CodeAction::default()
    })
}

/// What the fix does, in a few words.
fn title(diagnostic: &Diagnostic, fix: &Fix) -> String {
    let replacement = fix.replacement.trim();
    match &diagnostic.help {
        _ if replacement.is_empty() => "Remove this".to_owned(),
        Some(help) if replacement.contains('\n') || replacement.len() > 60 => format!("Fix: {help}"),
        _ => format!("Write `{replacement}`"),
    }
}
