//! Diagnostics as the protocol has them.

use crate::session::Snapshot;
use ls_types::{self as lsp, DiagnosticRelatedInformation, DiagnosticSeverity, DiagnosticTag, NumberOrString};
use mlp_syntax::{Diagnostic, Severity};

/// The diagnostics that point into a file; those that point nowhere belong to the root.
pub(crate) fn of_file(snapshot: &Snapshot, file: usize) -> Vec<lsp::Diagnostic> {
    let here = |diagnostic: &&Diagnostic| diagnostic.primary().map_or(0, |at| at.file.0 as usize) == file;
    snapshot.package.diagnostics().iter().filter(here).map(|diagnostic| convert(snapshot, diagnostic)).collect()
}

/// One diagnostic.
pub(crate) fn convert(snapshot: &Snapshot, diagnostic: &Diagnostic) -> lsp::Diagnostic {
    let first = diagnostic.labels.first();
    let range = first.and_then(|label| Some(snapshot.text(label.at.file.0 as usize)?.range(label.at.span))).unwrap_or_default();
    let mut message = diagnostic.message.clone();
    message.extend(first.filter(|label| !label.text.is_empty()).map(|label| format!("\n{}", label.text)));
    message.extend(diagnostic.help.as_ref().map(|help| format!("\nhelp: {help}")));
    let related = diagnostic
        .labels
        .iter()
        .skip(1)
        .filter_map(|label| Some(DiagnosticRelatedInformation { location: snapshot.location(label.at)?, message: label.text.clone() }));
    let related: Vec<_> = related.collect();
    lsp::Diagnostic {
        range,
        severity: Some(match diagnostic.severity {
            Severity::Error => DiagnosticSeverity::ERROR,
            Severity::Warning => DiagnosticSeverity::WARNING,
        }),
        code: Some(NumberOrString::String(diagnostic.code.to_string())),
        source: Some("mlp".to_owned()),
        message,
        related_information: (!related.is_empty()).then_some(related),
        tags: (diagnostic.code == mlp_syntax::Code::E0109).then(|| vec![DiagnosticTag::UNNECESSARY]),
        ..lsp::Diagnostic::default()
    }
}
