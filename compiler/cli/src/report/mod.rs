//! Diagnostics as programs read them: one JSON object a line, annotations of GitHub's actions, SARIF.

mod github;
mod json;
mod sarif;

pub(crate) use github::github;
pub(crate) use json::{JsonDiagnostic, json};
pub(crate) use sarif::sarif;

use crate::render::Sources;
use mlp_syntax::{LineColumn, LineIndex, Location};

/// A place in words of lines and columns.
pub(crate) struct Place<'a> {
    /// The file's path; empty where there is no file.
    pub(crate) path: &'a str,
    /// Where it starts.
    pub(crate) start: LineColumn,
    /// One past where it ends.
    pub(crate) end: LineColumn,
}

/// The place of a location.
pub(crate) fn place<'a>(at: Location, sources: &Sources<'a>) -> Place<'a> {
    let (path, text) = sources(at.file.0).unwrap_or(("", ""));
    let lines = LineIndex::new(text);
    Place { path, start: lines.line_column(text, at.span.start), end: lines.line_column(text, at.span.end) }
}
