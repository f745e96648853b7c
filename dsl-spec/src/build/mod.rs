//! From pest's pairs to the syntax tree. Where a pair is not what the grammar promises, the item is broken; nothing here panics.

mod block;
mod control;
mod expr;
mod item;
mod ty;

use crate::ast::{Name, Path, Text};
use crate::diagnostic::{Code, Diagnostic};
use crate::grammar::{Cursor, Rule};
use crate::span::{FileId, Location, Span};
use pest::iterators::Pair;

/// Builds the nodes of one file.
pub(crate) struct Builder<'a> {
    pub(crate) source: &'a str,
    /// Where the item that is being built starts in the file; pest counts from there.
    base: usize,
    /// An expression of this item was too high, which is reported.
    overgrown: bool,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(source: &'a str, diagnostics: Vec<Diagnostic>) -> Builder<'a> {
        Builder { source, base: 0, overgrown: false, diagnostics }
    }

    /// Sets where the next item starts.
    pub(crate) fn at(&mut self, base: usize) -> &mut Builder<'a> {
        self.base = base;
        self.overgrown = false;
        self
    }

    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Drops what was said of places in a span.
    pub(crate) fn forget(&mut self, span: Span) {
        let inside = |at: Location| span.start <= at.span.start && at.span.end <= span.end;
        self.diagnostics.retain(|diagnostic| !diagnostic.primary().is_some_and(inside));
    }

    /// The diagnostics, by where they point.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.diagnostics.sort_by_key(|diagnostic| diagnostic.primary());
        self.diagnostics
    }

    /// The bytes of a pair, without the white space and comments that pest may count at its end.
    fn span(&self, pair: &Pair<'_, Rule>) -> Span {
        let at = pair.as_span();
        Span::new(self.base + at.start(), self.base + at.end())
    }

    /// The span of a pair without trailing white space and comments, which pest counts in where the pair's last part may be absent.
    fn trimmed(&self, pair: &Pair<'_, Rule>) -> Span {
        let span = self.span(pair);
        let last = pair.clone().into_inner().filter(|child| child.as_rule() != Rule::end).last();
        last.map_or(span, |last| Span { end: self.trimmed(&last).end, ..span })
    }

    fn location(&self, span: Span) -> Location {
        Location { file: FileId(0), span }
    }

    fn name(&self, pair: Pair<'_, Rule>) -> Name {
        let text = match pair.as_str() {
            "ε" | "ϵ" => "epsilon",
            "δ" => "delta",
            text => text,
        };
        Name { text: text.to_owned(), span: self.span(&pair) }
    }

    fn take_name(&self, cursor: &mut Cursor<'_>) -> Option<Name> {
        cursor.seek(Rule::word).map(|pair| self.name(pair))
    }

    fn path(&self, pair: Pair<'_, Rule>) -> Option<Path> {
        let names: Vec<Name> = Cursor::new(pair).filter(|child| child.as_rule() == Rule::word).map(|word| self.name(word)).collect();
        let span = names.first()?.span.to(names.last()?.span);
        Some(Path { names, span })
    }

    /// A string literal, its escapes resolved.
    fn text(&mut self, pair: &Pair<'_, Rule>) -> Text {
        let span = self.span(pair);
        let raw = pair.as_str();
        let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or("");
        let mut value = String::with_capacity(inner.len());
        let mut chars = inner.char_indices();
        while let Some((at, c)) = chars.next() {
            if c != '\\' {
                value.push(c);
                continue;
            }
            match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, c @ ('"' | '\\'))) => value.push(c),
                other => {
                    let escaped = other.map_or(0, |(_, c)| c.len_utf8());
                    let start = span.start as usize + 1 + at;
                    self.report(
                        Diagnostic::new(Code::E0012, format!("`\\{}` is no escape", other.map(|(_, c)| c.to_string()).unwrap_or_default()))
                            .mark(Span::new(start, start + 1 + escaped), "unknown escape")
                            .fix(self.location(Span::new(start, start + 1)), "\\\\")
                            .help("write `\\\\` for a backslash; the others are `\\\"`, `\\n` and `\\t`"),
                    );
                }
            }
        }
        Text { value, span }
    }

    /// The value of a run of digits; reported and 0 where it does not fit.
    fn whole(&mut self, digits: &str, span: Span) -> u64 {
        digits.parse().unwrap_or_else(|_| {
            self.report(
                Diagnostic::new(Code::E0011, format!("`{digits}` is too large"))
                    .mark(span, format!("a whole number is at most {}", u64::MAX))
                    .help("write a smaller number"),
            );
            0
        })
    }
}
