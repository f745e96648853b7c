//! Edits that several diagnostics offer.

use crate::checker::{Checker, at};
use crate::types::Type;
use mlp_syntax::ast::{Item, UseSource};
use mlp_syntax::units::Dimension;
use mlp_syntax::{Diagnostic, FileId, Location, Span};

/// The diagnostic with what imports `name` of a module of the standard library into a file.
pub(crate) fn with_import(checker: &Checker<'_>, file: FileId, diagnostic: Diagnostic, module: &str, name: &str) -> Diagnostic {
    match import(checker, file, module, name) {
        Some((at, text)) if text.starts_with(',') => diagnostic.help(format!("add it to the names of `use {module}` above")).fix(at, text),
        found => {
            let diagnostic = diagnostic.help(format!("write `use {module}.{{ {name} }}` below the edition"));
            found.into_iter().fold(diagnostic, |diagnostic, (at, text)| diagnostic.fix(at, text))
        }
    }
}

/// Where and how `name` of a module of the standard library is imported into a file.
fn import(checker: &Checker<'_>, file: FileId, module: &str, name: &str) -> Option<(Location, String)> {
    let tree = checker.trees.get(file.0 as usize)?;
    let mut after = None;
    for item in &tree.items {
        match item {
            Item::Use(import) => {
                let is_module = matches!(&import.source, UseSource::Module(path) if path.text() == module);
                if let (true, Some(last)) = (is_module, import.names.last()) {
                    return Some((at(file, Span { start: last.span.end, ..last.span }), format!(", {name}")));
                }
                after = Some((import.span.end, "\n"));
            }
            Item::Edition(edition) if after.is_none() => after = Some((edition.span.end, "\n\n")),
            _ => {}
        }
    }
    let (end, space) = after?;
    Some((at(file, Span { start: end, end }), format!("{space}use {module}.{{ {name} }}")))
}

/// An element of a list together with the comma before it, or else the one after it.
pub(crate) fn listed(checker: &Checker<'_>, place: Location) -> Location {
    let source = checker.files.get(place.file.0 as usize).map_or("", |file| file.text.as_str());
    let before = source.get(..place.span.start as usize).unwrap_or("").trim_end();
    if before.ends_with(',') {
        return Location { span: Span { start: before.len() as u32 - 1, ..place.span }, ..place };
    }
    let rest = source.get(place.span.end as usize..).unwrap_or("");
    let comma = rest.trim_start().strip_prefix(',').map_or(0, |after| rest.len() - after.trim_start_matches(' ').len());
    Location { span: Span { end: place.span.end + comma as u32, ..place.span }, ..place }
}

/// `text.method()`, with parentheses around what is more than a name or a call.
pub(crate) fn method(text: &str, method: &str) -> String {
    let simple = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
    if simple { format!("{text}.{method}") } else { format!("({text}).{method}") }
}

/// A value that a constant parameter may have, to be replaced by the one that is meant; none where nothing is likely.
pub(crate) fn example(ty: &Type) -> Option<String> {
    Some(match ty {
        Type::Number => "1".to_owned(),
        Type::Size => "224x224".to_owned(),
        Type::Choice(options) => options.first()?.clone(),
        Type::Quantity(Dimension::Time) => "16ms".to_owned(),
        Type::Quantity(Dimension::Bytes) => "64MiB".to_owned(),
        Type::Quantity(Dimension::Rate) => "60fps".to_owned(),
        Type::Quantity(Dimension::Ratio) => "50%".to_owned(),
        _ => return None,
    })
}

/// The element type that another language calls so.
pub(crate) fn element_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "float" | "float32" | "Float" | "single" | "fp32" => "f32",
        "double" | "float64" | "fp64" => "f64",
        "half" | "float16" | "fp16" => "f16",
        "int" | "int32" | "Int" | "integer" => "i32",
        "long" | "int64" => "i64",
        "byte" | "uint8" => "u8",
        "int8" => "i8",
        "boolean" => "bool",
        _ => return None,
    })
}
