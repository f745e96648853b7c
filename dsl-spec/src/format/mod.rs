//! The formatter: one way to write every file.
//!
//! It has no options. What fits in [`WIDTH`] columns stands on one line; what does not is broken outermost first, one element a line. Pipelines, layers,
//! models and tests always have a line for each statement; a block of entries and a record type have one where a newline follows the brace, or where they
//! do not fit. In consecutive lines of entries the `=` stand under each other. Blank lines between statements and items stay, at most one at a time, and
//! an item of several lines has one on both sides. Nothing is sorted and no parenthesis is removed.
//!
//! The layout works on the grammar's own pairs rather than on the syntax tree, because those still have every token as it is written: parentheses, `1e-3`,
//! the escapes of a string. Comments are no pairs; each belongs to a token beside it (`tokens.rs`). The printer (`doc.rs`) is Wadler's, of our own: a `//`
//! comment ends its line whatever stands behind it, takes no part in deciding what fits, and lets a comma go before it, none of which the printing libraries
//! know.
//!
//! Whatever it writes is read again: a text that would have other tokens, other comments or another tree is never given out.

mod block;
mod control;
mod doc;
mod expr;
mod item;
mod layout;
mod tokens;
mod ty;

use crate::ast::File;
use crate::diagnostic::Diagnostic;
use crate::dump::dump;
use crate::parse::parse;
use doc::Doc;
use layout::Layout;
use std::fmt;
use tokens::{Source, Token};

/// The columns of a line.
pub(crate) const WIDTH: usize = 100;

/// Why a text is not formatted.
#[derive(Clone, Debug, PartialEq)]
pub enum FormatError {
    /// It does not parse; places are of file 0.
    Syntax(Vec<Diagnostic>),
    /// What would have been written means something else than what was read. It is the formatter's fault, and nothing was lost by it.
    Unsound,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormatError::Syntax(_) => f.write_str("it does not parse"),
            FormatError::Unsound => {
                f.write_str("formatting it would change what it says, which is a fault of the formatter; please report it with the file")
            }
        }
    }
}

impl std::error::Error for FormatError {}

/// The text in the language's one style. Lines end as the first line of the text does.
pub fn format(source: &str) -> Result<String, FormatError> {
    let (file, diagnostics) = parse(source);
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(FormatError::Syntax(diagnostics));
    }
    let read = tokens::read(source).ok_or(FormatError::Unsound)?;
    let text = write(&read);
    if !same(&file, &read, &text) {
        return Err(FormatError::Unsound);
    }
    let windows = source.find('\n').is_some_and(|at| source[..at].ends_with('\r'));
    Ok(if windows { text.replace('\n', "\r\n") } else { text })
}

fn write(source: &Source<'_>) -> String {
    let mut layout = Layout::new(&source.tokens);
    let bodies: Vec<String> = source.items.iter().map(|item| doc::print(&layout.item(item))).collect();
    let mut out = String::new();
    let mut was_long = false;
    for (item, body) in source.items.iter().zip(&bodies) {
        let first = &source.tokens[item.first];
        let is_long = body.trim_end().contains('\n');
        let apart = first.blank || first.lead.iter().any(|comment| comment.blank);
        if !out.is_empty() && !apart && (is_long || was_long) {
            out.push('\n');
        }
        comments(&mut out, first);
        out.push_str(body);
        was_long = is_long;
    }
    comments(&mut out, &source.end);
    out
}

/// Writes the comments above a token outside all blocks, and the blank lines among them.
fn comments(out: &mut String, token: &Token<'_>) {
    for comment in &token.lead {
        if comment.blank && !out.is_empty() {
            out.push('\n');
        }
        out.push_str(comment.text);
        out.push('\n');
    }
    if token.blank && !token.text.is_empty() && !out.is_empty() {
        out.push('\n');
    }
}

/// Whether a written text has the tokens, the comments and the tree of what was read. Commas are the formatter's own.
fn same(file: &File, read: &Source<'_>, text: &str) -> bool {
    let Some(written) = tokens::read(text) else { return false };
    let words = |source: &Source<'_>| -> Vec<String> {
        source.tokens.iter().map(|token| token.text).filter(|text| *text != ",").map(str::to_owned).collect()
    };
    let (again, diagnostics) = parse(text);
    let sound = !diagnostics.iter().any(Diagnostic::is_error);
    sound && words(read) == words(&written) && read.comments() == written.comments() && dump(file) == dump(&again)
}

/// What a piece of layout is made of.
type Docs = Vec<Doc>;
