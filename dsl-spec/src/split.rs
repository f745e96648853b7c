//! Cuts a file into items, so that one broken item never hides the others.
//!
//! The splitter knows strings, comments and brackets, and nothing else of the language; it accepts any text. An item begins at a token outside all
//! brackets and ends at a newline outside all brackets, unless what stands beside the newline shows that the item goes on (`->` before it,
//! `{` after it, ...). Where a bracket is never closed, the item ends before the next line that starts with a block keyword in its first column.

use crate::diagnostic::{Code, Diagnostic};
use crate::span::Span;

/// The most brackets inside one another that the parser's recursion is made for.
pub(crate) const MAX_DEPTH: usize = 32;

/// Words that start an item.
pub const KEYWORDS: &[&str] = &[
    "edition",
    "use",
    "const",
    "type",
    "labels",
    "model",
    "layer",
    "intrinsic",
    "pipeline",
    "budget",
    "outlet",
    "monitor",
    "explain",
    "hook",
    "experiment",
    "device",
    "test",
];

/// One item's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// From the first to the last token.
    pub(crate) span: Span,
    /// A bracket, string or depth error inside it is reported already.
    pub(crate) damaged: bool,
}

/// The items of a text, in order.
pub(crate) fn split(source: &str) -> (Vec<Piece>, Vec<Diagnostic>) {
    split_between(source, 0, &mut |_| false)
}

/// The items from a place where a block [may start](starts_block) up to the first such place that is the `end`, or to the text's. Whatever
/// stands before such a place, the items after it are the same.
pub(crate) fn split_between(source: &str, start: usize, end: &mut dyn FnMut(usize) -> bool) -> (Vec<Piece>, Vec<Diagnostic>) {
    let mut splitter = Splitter {
        source,
        at: start,
        open: Vec::new(),
        item: None,
        last: Token::None,
        damaged: false,
        suspect: None,
        string_open: false,
        angles: 0,
        outer_angles: Vec::new(),
        pieces: Vec::new(),
        diagnostics: Vec::new(),
    };
    splitter.run(end);
    (splitter.pieces, splitter.diagnostics)
}

/// True where a line starts with a block keyword and the start of a name or string: an item ends before it, whatever is open.
pub(crate) fn starts_block(source: &str, at: usize) -> bool {
    let bytes = source.as_bytes();
    if !(at == 0 || bytes.get(at - 1) == Some(&b'\n')) {
        return false;
    }
    let rest = bytes.get(at..).unwrap_or(&[]);
    let in_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let (word, after) = rest.split_at(rest.iter().position(|byte| !in_word(byte)).unwrap_or(rest.len()));
    let next = after.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    let named = matches!(after.first(), Some(b' ' | b'\t')) && next.is_some_and(|byte| in_word(byte) || *byte == b'"');
    named && KEYWORDS.iter().any(|keyword| keyword.as_bytes() == word)
}

/// The last token of the item so far, as far as it decides whether the item goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    None,
    /// `->`, `=`, `,` and other marks after which an item goes on.
    Open,
    /// A word.
    Word,
    /// `<`
    Angle,
    /// `}`, after which an item ends where a word follows.
    CloseBrace,
    Other,
}

struct Splitter<'a> {
    source: &'a str,
    at: usize,
    /// Opening brackets that are not closed yet.
    open: Vec<(u8, usize)>,
    /// Start and end of the item so far.
    item: Option<(usize, usize)>,
    last: Token,
    damaged: bool,
    /// The first brace of this item whose closing one stands further left than the line it is on: where one is missing, it is likely this one's.
    suspect: Option<usize>,
    /// A string of this item is not closed; what it swallowed makes brackets meaningless.
    string_open: bool,
    /// How many `word <` follow each other right before here, those around the open brackets counted in: the most that types nest here.
    angles: usize,
    /// `angles` where each open bracket opened.
    outer_angles: Vec<usize>,
    pieces: Vec<Piece>,
    diagnostics: Vec<Diagnostic>,
}

impl Splitter<'_> {
    fn run(&mut self, end: &mut dyn FnMut(usize) -> bool) {
        let bytes = self.source.as_bytes();
        let start = self.at;
        let mut newline = true;
        // Some editors begin a file with a byte order mark.
        if start == 0 && self.source.starts_with('\u{feff}') {
            self.at = '\u{feff}'.len_utf8();
        }
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'\n' => {
                    newline = true;
                    self.at += 1;
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'/' if bytes.get(self.at + 1) == Some(&b'/') => self.skip_line(),
                _ => {
                    let starts_block = newline && starts_block(self.source, self.at);
                    if starts_block && self.at > start && end(self.at) {
                        break;
                    }
                    self.before_token(newline, starts_block);
                    newline = false;
                    self.token(byte);
                }
            }
        }
        self.finish();
    }

    fn skip_line(&mut self) {
        let rest = &self.source.as_bytes()[self.at..];
        self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }

    /// Ends the item where the token at `self.at` belongs to the next one.
    fn before_token(&mut self, newline: bool, starts_block: bool) {
        if self.item.is_none() {
            return;
        }
        let byte = self.source.as_bytes()[self.at];
        let starts_word = byte.is_ascii_alphabetic() || byte == b'_';
        let ends = if starts_block {
            true
        } else if !self.open.is_empty() {
            false
        } else if newline {
            !matches!(self.last, Token::Open | Token::Angle) && !self.continues(byte)
        } else {
            self.last == Token::CloseBrace && starts_word
        };
        if ends {
            self.finish();
        }
    }

    /// True for a token that no item begins with and that an item may go on with after a newline.
    fn continues(&self, byte: u8) -> bool {
        let arrow = byte == b'-' && self.source.as_bytes().get(self.at + 1) == Some(&b'>');
        arrow || matches!(byte, b'{' | b'(' | b'[' | b'<' | b'|' | b'.' | b',' | b':' | b'=' | b'@')
    }

    fn token(&mut self, byte: u8) {
        let start = self.at;
        let before = std::mem::replace(&mut self.last, Token::Other);
        let starts_word = byte.is_ascii_alphabetic() || byte == b'_';
        let goes_on = match before {
            Token::Word => matches!(byte, b'<' | b'(' | b'[' | b'{' | b'.'),
            Token::Angle => starts_word || byte == b'{',
            _ => false,
        };
        if !goes_on {
            self.angles = self.outer_angles.last().copied().unwrap_or(0);
        }
        match byte {
            b'"' => self.string(),
            b'(' | b'[' | b'{' => self.open_bracket(byte),
            b')' | b']' | b'}' => self.close_bracket(byte),
            b'-' | b'|' if self.source.as_bytes().get(start + 1) == Some(&b'>') => {
                self.at += 2;
                self.last = Token::Open;
            }
            b'<' if before == Token::Word => {
                self.angles += 1;
                if self.angles + self.open.len() == MAX_DEPTH + 1 {
                    self.too_deep();
                }
                self.at += 1;
                self.last = Token::Angle;
            }
            b'=' | b',' | b'.' | b':' | b'|' | b'<' => {
                self.at += 1;
                self.last = Token::Open;
            }
            _ if byte.is_ascii_alphanumeric() || byte == b'_' => {
                self.last = Token::Word;
                let rest = &self.source.as_bytes()[start..];
                self.at += rest.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').unwrap_or(rest.len());
            }
            _ => self.at += self.source[start..].chars().next().map_or(1, char::len_utf8),
        }
        let end = self.at;
        let first = self.item.map_or(start, |(first, _)| first);
        self.item = Some((first, end));
    }

    fn string(&mut self) {
        let start = self.at;
        let bytes = self.source.as_bytes();
        self.at += 1;
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.at += 1;
                    return;
                }
                b'\n' => break,
                b'\\' if !matches!(bytes.get(self.at + 1), None | Some(b'\n')) => {
                    self.at += 1;
                    self.at += self.source[self.at..].chars().next().map_or(1, char::len_utf8);
                }
                _ => self.at += 1,
            }
        }
        // Brackets at the end of the line were hardly meant to be in the string; counting them keeps this the only error.
        let text = self.source[start + 1..self.at].trim_end_matches([' ', '\t', '\r', ',', '(', ')', '[', ']', '{', '}']);
        self.at = start + 1 + text.len();
        let span = Span::new(start, self.at);
        self.string_open = true;
        self.report(
            Diagnostic::new(Code::E0002, "this string is not closed")
                .mark(span, "a string ends on the line where it starts")
                .help("write `\"` after the last character of the string"),
        );
    }

    fn open_bracket(&mut self, byte: u8) {
        self.open.push((byte, self.at));
        self.outer_angles.push(self.angles);
        if self.open.len() + self.angles == MAX_DEPTH + 1 {
            self.too_deep();
        }
        self.at += 1;
    }

    fn too_deep(&mut self) {
        self.report(
            Diagnostic::new(Code::E0005, format!("brackets are nested more than {MAX_DEPTH} deep"))
                .mark(Span::new(self.at, self.at + 1), "one bracket too many")
                .help("give a part of this a name of its own"),
        );
    }

    fn close_bracket(&mut self, byte: u8) {
        let opener = match byte {
            b')' => b'(',
            b']' => b'[',
            _ => b'{',
        };
        let at = self.at;
        self.at += 1;
        if byte == b'}' {
            self.last = Token::CloseBrace;
        }
        if let Some(found) = self.open.iter().rposition(|(open, _)| *open == opener) {
            // A brace closes what stands open inside it; a parenthesis or square bracket never closes a brace.
            let crosses_brace = self.open[found + 1..].iter().any(|(open, _)| *open == b'{');
            if !crosses_brace {
                let opener = self.open[found].1;
                if byte == b'}' && self.suspect.is_none() && self.leads_line(at) && self.indent(at) < self.indent(opener) {
                    self.suspect = Some(opener);
                }
                self.outer_angles.truncate(found);
                for (open, from) in self.open.split_off(found).into_iter().skip(1) {
                    self.report_unclosed(open, from);
                }
                return;
            }
        }
        if self.string_open {
            return;
        }
        self.report(
            Diagnostic::new(Code::E0004, format!("this `{}` closes nothing", byte as char))
                .mark(Span::new(at, at + 1), format!("no `{}` is open here", opener as char))
                .help("remove it, or open the bracket that it closes"),
        );
    }

    /// The bytes from the start of a place's line up to it.
    fn line_before(&self, at: usize) -> &str {
        let before = &self.source[..at];
        &before[before.rfind('\n').map_or(0, |newline| newline + 1)..]
    }

    /// True where nothing but white space stands before a place on its line.
    fn leads_line(&self, at: usize) -> bool {
        self.line_before(at).trim().is_empty()
    }

    /// The indent of the line that a place is on.
    fn indent(&self, at: usize) -> usize {
        let line = self.line_before(at);
        line.len() - line.trim_start().len()
    }

    fn report_unclosed(&mut self, open: u8, from: usize) {
        if self.string_open {
            return;
        }
        let close = match open {
            b'(' => ')',
            b'[' => ']',
            _ => '}',
        };
        self.report(
            Diagnostic::new(Code::E0003, format!("this `{}` is never closed", open as char))
                .mark(Span::new(from, from + 1), format!("expected a `{close}` for it"))
                .help(format!("write `{close}` where it ends")),
        );
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.damaged = true;
        self.diagnostics.push(diagnostic);
    }

    fn finish(&mut self) {
        // The innermost one is the likeliest to have been forgotten; the ones around it may only look open because of it.
        if let Some((open, from)) = self.open.pop() {
            self.report_unclosed(open, if open == b'{' { self.suspect.unwrap_or(from) } else { from });
        }
        self.suspect = None;
        self.open.clear();
        self.outer_angles.clear();
        self.angles = 0;
        if let Some((start, end)) = self.item.take() {
            self.pieces.push(Piece { span: Span::new(start, end), damaged: self.damaged });
        }
        self.damaged = false;
        self.string_open = false;
        self.last = Token::None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        split(source).0.iter().map(|piece| piece.span.text(source)).collect()
    }

    fn codes(source: &str) -> Vec<Code> {
        split(source).1.iter().map(|diagnostic| diagnostic.code).collect()
    }

    #[test]
    fn items_end_where_lines_end() {
        let source =
            "edition 2026\nuse std.vision.{\n  resize }\n\npipeline A(x: f32[]) ->\n  { y: f32[] }\n{\n}\ntest \"}\" { } test \"b\" { }";
        let expected = [
            "edition 2026",
            "use std.vision.{\n  resize }",
            "pipeline A(x: f32[]) ->\n  { y: f32[] }\n{\n}",
            "test \"}\" { }",
            "test \"b\" { }",
        ];
        assert_eq!(texts(source), expected);
        assert_eq!(codes(source), []);
    }

    #[test]
    fn an_unclosed_brace_costs_one_item() {
        let source = "model A {\n  source = onnx(\"a\"\n\n/// Next.\nmodel B {\n}\n";
        assert_eq!(texts(source), ["model A {\n  source = onnx(\"a\"", "model B {\n}"]);
        assert_eq!(codes(source), [Code::E0003]);
    }

    #[test]
    fn brackets_in_comments_and_strings_do_not_count() {
        let source = "test \"a\\\"{\" {\n  // {{{ \"\n}\nedition 1";
        assert_eq!(texts(source).len(), 2);
        assert_eq!(codes(source), []);
    }

    #[test]
    fn a_byte_order_mark_is_no_text() {
        assert_eq!(texts("\u{feff}edition 2026\n"), ["edition 2026"]);
        assert_eq!(codes("\u{feff}edition 2026\n"), []);
    }

    #[test]
    fn the_block_that_ends_too_far_left_is_the_unclosed_one() {
        let source = "monitor M for P {\n  drift P {\n    test = psi\n}\n\nmodel A {\n}\n";
        assert_eq!(texts(source).len(), 2);
        let places: Vec<Option<usize>> = split(source).1.iter().map(|one| one.primary().map(|at| at.span.start as usize)).collect();
        assert_eq!(places, [source.find("{\n    test")]);
    }

    #[test]
    fn a_stray_bracket_and_an_open_string_are_reported() {
        assert_eq!(codes("model A { } }\nmodel B { )}"), [Code::E0004, Code::E0004]);
        assert_eq!(codes("use \"abc\nmodel B { }"), [Code::E0002]);
    }
}
