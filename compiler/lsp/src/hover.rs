//! What is under the pointer.

use crate::completion::vocabulary;
use crate::names::{Definition, Kind};
use crate::navigation::named;
use crate::session::{Session, Snapshot};
use crate::typed;
use ls_types::{Hover, HoverContents, MarkupContent, MarkupKind, Position, Uri};
use mlp_syntax::units::{self, Dimension};
use mlp_syntax::{Span, TokenClass, highlight};

/// The most lines of an item that are shown.
const MAX_LINES: usize = 24;

impl Session {
    /// What is known of what stands at a position.
    pub fn hover(&self, uri: &Uri, position: Position) -> Option<Hover> {
        let snapshot = self.readable(uri)?;
        let text = snapshot.text(0)?;
        let (value, span) = match named(&snapshot, position) {
            Some((occurrence, definition)) => (describe(&snapshot, definition, occurrence.span), occurrence.span),
            None => {
                let offset = text.offset(position) as u32;
                let tokens = highlight(text.as_str());
                let (span, class) = tokens.into_iter().find(|(span, _)| span.start <= offset && offset <= span.end)?;
                (word(class, span.text(text.as_str()))?, span)
            }
        };
        Some(Hover { contents: HoverContents::Markup(MarkupContent { kind: MarkupKind::Markdown, value }), range: Some(text.range(span)) })
    }
}

/// A definition as code, with its type, what a call of it gives here, and its doc comment.
fn describe(snapshot: &Snapshot, definition: &Definition, here: Span) -> String {
    let program = snapshot.package.program();
    let source = snapshot.text(definition.file).map_or("", |text| text.as_str());
    let typed = typed::of_definition(program, definition);
    let code = match (definition.kind, typed) {
        (Kind::Local, Some(ty)) => format!("{}: {ty}", definition.name),
        (Kind::Parameter, Some(ty)) => format!("(parameter) {}: {ty}", definition.name),
        (Kind::Symbol, _) => format!("{}  // a size, or labels, that this signature leaves open", definition.name),
        _ => excerpt(definition.shown.text(source)),
    };
    let mut value = format!("```mlp\n{code}\n```");
    let result = typed::calls(program, 0).into_iter().find(|call| call.callee == here).map(|call| call.result);
    if let Some(result) = result {
        value += &format!("\n\nHere it gives `{result}`.");
    }
    if !definition.doc.is_empty() {
        value += &format!("\n\n{}", definition.doc);
    }
    value
}

/// The first lines of a text, without the indent that all but the first share.
fn excerpt(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let indent = lines.iter().skip(1).filter(|line| !line.trim().is_empty()).map(|line| line.len() - line.trim_start().len()).min();
    let cut = |(index, line): (usize, &&str)| if index == 0 { *line } else { line.get(indent.unwrap_or(0)..).unwrap_or("") }.to_owned();
    let mut shown: Vec<String> = lines.iter().take(MAX_LINES).enumerate().map(cut).collect();
    if lines.len() > MAX_LINES {
        shown.push("// ...".to_owned());
    }
    shown.join("\n")
}

/// What a word of the language or a number means.
fn word(class: TokenClass, text: &str) -> Option<String> {
    match class {
        TokenClass::Number => number(text),
        TokenClass::Comment | TokenClass::DocComment | TokenClass::Text | TokenClass::Operator => None,
        _ => vocabulary::describe(text).map(|doc| format!("`{text}`\n\n{doc}")),
    }
}

/// A number with a unit in the unit's base.
fn number(text: &str) -> Option<String> {
    let at = text.find(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E') || c == '%')?;
    let (digits, symbol) = text.split_at(at);
    let unit = units::find(symbol)?;
    let value = digits.parse::<f64>().ok()? * unit.scale;
    let base = match unit.dimension {
        Dimension::Time => "seconds",
        Dimension::Bytes => "bytes",
        Dimension::Rate => "per second",
        Dimension::Ratio => "of the whole",
    };
    Some(format!("`{text}`: {}, {value} {base}", unit.dimension.name()))
}
