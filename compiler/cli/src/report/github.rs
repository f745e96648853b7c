//! Workflow commands of GitHub's actions: an annotation at the place of each diagnostic.

use super::place;
use crate::render::{Sources, remedy};
use mlp_syntax::Diagnostic;

/// `::error file=...,line=...::message`
pub(crate) fn github(diagnostic: &Diagnostic, sources: &Sources<'_>) -> String {
    let kind = if diagnostic.is_error() { "error" } else { "warning" };
    let mut properties = Vec::new();
    if let Some(at) = diagnostic.primary() {
        let place = place(at, sources);
        properties.push(format!("file={}", property(place.path)));
        properties.push(format!("line={},col={}", place.start.line, place.start.column));
        properties.push(format!("endLine={},endColumn={}", place.end.line, place.end.column));
    }
    properties.push(format!("title={}", property(&format!("{}: {}", diagnostic.code, diagnostic.code.title()))));
    let mut message = diagnostic.message.clone();
    for label in diagnostic.labels.iter().filter(|label| !label.text.is_empty()) {
        let place = place(label.at, sources);
        message += &format!("\n{}:{}: {}", place.path, place.start, label.text);
    }
    message.extend(remedy(diagnostic).map(|text| format!("\nhelp: {text}")));
    format!("::{kind} {}::{}", properties.join(","), data(&message))
}

/// A message, in which percent signs and newlines are escaped.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property, which must not have the marks between properties either.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
