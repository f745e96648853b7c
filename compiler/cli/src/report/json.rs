//! One JSON object a diagnostic. The fields are stable: some may be added, none changes its meaning or goes away. `mlpc check --help` documents them.

use super::place;
use crate::render::Sources;
use mlp_syntax::{Diagnostic, Location, Severity};
use serde::Serialize;

/// A diagnostic; lines and columns count from 1, columns in characters, `start` and `end` in bytes from 0.
#[derive(Serialize)]
pub(crate) struct JsonDiagnostic<'d> {
    code: String,
    severity: Severity,
    message: &'d str,
    /// The first is where it points.
    labels: Vec<JsonLabel<'d>>,
    help: Option<&'d str>,
    fix: Option<JsonFix<'d>>,
}

#[derive(Serialize)]
struct JsonLabel<'d> {
    #[serde(flatten)]
    place: JsonPlace,
    text: &'d str,
}

#[derive(Serialize)]
struct JsonFix<'d> {
    #[serde(flatten)]
    place: JsonPlace,
    replacement: &'d str,
}

#[derive(Serialize)]
struct JsonPlace {
    file: String,
    start: u32,
    end: u32,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
}

/// A diagnostic as an object.
pub(crate) fn json<'d, 'a>(diagnostic: &'d Diagnostic, sources: &Sources<'a>) -> JsonDiagnostic<'d> {
    let place = |at: Location| {
        let place = place(at, sources);
        JsonPlace {
            file: place.path.into(),
            start: at.span.start,
            end: at.span.end,
            line: place.start.line,
            column: place.start.column,
            end_line: place.end.line,
            end_column: place.end.column,
        }
    };
    JsonDiagnostic {
        code: diagnostic.code.to_string(),
        severity: diagnostic.severity,
        message: &diagnostic.message,
        labels: diagnostic.labels.iter().map(|label| JsonLabel { place: place(label.at), text: &label.text }).collect(),
        help: diagnostic.help.as_deref(),
        fix: diagnostic.fix.as_ref().map(|fix| JsonFix { place: place(fix.at), replacement: &fix.replacement }),
    }
}
