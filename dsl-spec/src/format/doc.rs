//! What is to be printed, with the places where lines may be broken, and the printer that decides which are.

use super::{Docs, WIDTH};

/// A piece of text or a place where it may be broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Doc {
    /// Text without a newline.
    Text(String),
    /// A space, except where a line starts.
    Space,
    /// A space, or a newline where the group is broken.
    Line,
    /// Nothing, or a newline where the group is broken.
    Soft,
    /// A newline.
    Hard,
    /// `, `, or a newline where the group is broken; then with a blank line, if so told.
    Entry { blank: bool },
    /// `,`, before a comment that stands behind what it follows.
    Comma,
    /// The same where the group is broken, else nothing.
    BrokenComma,
    /// That many spaces where the group is broken, else nothing.
    Pad(usize),
    /// A comment behind what it follows. It ends the line.
    Trailing(String),
    /// A comment on a line of its own, with a blank line before it, if so told.
    Own { text: String, blank: bool },
    /// A blank line.
    Blank,
    /// Two columns further in.
    Indent(Docs),
    /// Is broken where it does not fit into the line.
    Group(Docs),
    /// The same, and is broken before a group in front of it on the line is.
    Late(Docs),
    /// A group that is broken in any case.
    Broken(Docs),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Flat,
    Broken,
}

/// The columns that docs take on one line; none where they need several.
pub(super) fn flat_width(docs: &[Doc]) -> Option<usize> {
    let mut line = Measure::new(usize::MAX);
    docs.iter().all(|doc| line.flat(doc)).then(|| usize::MAX - line.left)
}

/// Measures what is to stand on one line.
struct Measure {
    left: usize,
    /// A comment has ended the line.
    ended: bool,
}

impl Measure {
    fn new(left: usize) -> Measure {
        Measure { left, ended: false }
    }

    fn take(&mut self, width: usize) -> bool {
        match self.left.checked_sub(width) {
            Some(left) if !self.ended => {
                self.left = left;
                true
            }
            _ => width == 0,
        }
    }

    /// Adds a doc that must not be broken; false where it does not fit.
    fn flat(&mut self, doc: &Doc) -> bool {
        match doc {
            Doc::Text(text) => self.take(text.chars().count()),
            Doc::Space | Doc::Line => self.ended || self.take(1),
            Doc::Comma => self.left.checked_sub(1).map(|left| self.left = left).is_some(),
            Doc::Entry { .. } => self.take(2),
            Doc::Soft | Doc::BrokenComma | Doc::Pad(_) => true,
            Doc::Hard | Doc::Own { .. } | Doc::Blank | Doc::Broken(_) => false,
            Doc::Trailing(_) => !std::mem::replace(&mut self.ended, true),
            Doc::Indent(docs) | Doc::Group(docs) | Doc::Late(docs) => docs.iter().all(|doc| self.flat(doc)),
        }
    }

    /// Adds what follows up to its first newline: `Some(true)` where that was reached, `Some(false)` where the line is too long, else none.
    fn rest(&mut self, doc: &Doc, mode: Mode) -> Option<bool> {
        if self.ended {
            return Some(true);
        }
        let fits = match (doc, mode) {
            (Doc::Line | Doc::Soft | Doc::Entry { .. }, Mode::Broken) => return Some(true),
            (Doc::Hard | Doc::Own { .. } | Doc::Blank | Doc::Trailing(_), _) => return Some(true),
            (Doc::BrokenComma, Mode::Broken) => self.take(1),
            (Doc::Pad(width), Mode::Broken) => self.take(*width),
            (Doc::Indent(docs), _) => return docs.iter().find_map(|doc| self.rest(doc, mode)),
            (Doc::Group(docs), _) => return docs.iter().find_map(|doc| self.rest(doc, Mode::Flat)),
            (Doc::Late(docs) | Doc::Broken(docs), _) => return docs.iter().find_map(|doc| self.rest(doc, Mode::Broken)),
            _ => self.flat(doc),
        };
        if fits { None } else { Some(false) }
    }
}

/// The text of docs, with a newline at its end.
pub(super) fn print(docs: &[Doc]) -> String {
    let mut printer = Printer { out: String::new(), column: 0, at_start: true, indent: 0, resume: None, trailing: None };
    let mut stack: Vec<(usize, Mode, &Doc)> = docs.iter().rev().map(|doc| (0, Mode::Broken, doc)).collect();
    while let Some((indent, mode, doc)) = stack.pop() {
        match doc {
            Doc::Indent(docs) => stack.extend(docs.iter().rev().map(|doc| (indent + 2, mode, doc))),
            Doc::Broken(docs) => stack.extend(docs.iter().rev().map(|doc| (indent, Mode::Broken, doc))),
            Doc::Group(docs) | Doc::Late(docs) => {
                let fits = mode == Mode::Flat || printer.fits(docs, &stack);
                let mode = if fits { Mode::Flat } else { Mode::Broken };
                stack.extend(docs.iter().rev().map(|doc| (indent, mode, doc)));
            }
            _ => printer.put(doc, indent, mode),
        }
    }
    printer.newline(0);
    printer.out
}

struct Printer {
    out: String,
    column: usize,
    /// Nothing stands on this line yet.
    at_start: bool,
    /// The columns before the first text of this line.
    indent: usize,
    /// A comment has ended this line: the columns before whatever text follows.
    resume: Option<usize>,
    /// A comment that goes to the end of this line.
    trailing: Option<String>,
}

impl Printer {
    fn fits(&self, docs: &[Doc], rest: &[(usize, Mode, &Doc)]) -> bool {
        let here = if self.at_start { self.indent } else { self.column };
        // Behind a comment whatever follows starts a line.
        let column = self.resume.unwrap_or(here);
        let mut line = Measure::new(WIDTH.saturating_sub(column));
        if column > WIDTH || !docs.iter().all(|doc| line.flat(doc)) {
            return false;
        }
        rest.iter().rev().find_map(|(_, mode, doc)| line.rest(doc, *mode)).unwrap_or(true)
    }

    fn put(&mut self, doc: &Doc, indent: usize, mode: Mode) {
        match (doc, mode) {
            (Doc::Text(text), _) => self.text(text),
            (Doc::Line, Mode::Flat) | (Doc::Space, _) => self.space(1),
            (Doc::Pad(width), Mode::Broken) => self.space(*width),
            (Doc::Entry { .. }, Mode::Flat) => {
                self.comma();
                self.space(1);
            }
            (Doc::Line | Doc::Soft, Mode::Broken) | (Doc::Hard, _) => self.newline(indent),
            (Doc::Entry { blank }, Mode::Broken) => {
                self.newline(indent);
                self.blank(*blank);
            }
            (Doc::Blank, _) => {
                self.newline(indent);
                self.blank(true);
            }
            (Doc::Comma, _) | (Doc::BrokenComma, Mode::Broken) => self.comma(),
            (Doc::Trailing(text), _) => {
                self.trailing = Some(text.clone());
                self.resume = Some(indent + 2);
            }
            (Doc::Own { text, blank }, _) => self.own(text, *blank, indent),
            // A soft line, a pad or a comma of a flat group, and what `print` takes apart.
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(indent) = self.resume {
            self.newline(indent);
        }
        if self.at_start {
            self.out.extend(std::iter::repeat_n(' ', self.indent));
            self.column = self.indent;
            self.at_start = false;
        }
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn space(&mut self, width: usize) {
        if !self.at_start && self.resume.is_none() {
            self.out.extend(std::iter::repeat_n(' ', width));
            self.column += width;
        }
    }

    /// A comma may stand before a comment that waits for the end of the line.
    fn comma(&mut self) {
        if self.trailing.is_some() {
            self.out.push(',');
        } else {
            self.text(",");
        }
    }

    fn own(&mut self, text: &str, blank: bool, indent: usize) {
        // Amid a line, what follows the comment goes on with that line.
        let indent = match self.resume {
            Some(indent) => indent,
            None if self.at_start => self.indent.max(indent),
            None => indent + 2,
        };
        self.newline(indent);
        self.blank(blank);
        self.text(text);
        self.resume = Some(indent);
    }

    /// Ends the line, where anything stands on it; the next one starts at `indent`.
    fn newline(&mut self, indent: usize) {
        if !self.at_start {
            self.out.truncate(self.out.trim_end_matches(' ').len());
            if let Some(comment) = self.trailing.take() {
                self.out.push(' ');
                self.out.push_str(&comment);
            }
            self.out.push('\n');
            self.at_start = true;
        }
        self.resume = None;
        self.indent = indent;
    }

    fn blank(&mut self, wanted: bool) {
        if wanted && !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }
}
