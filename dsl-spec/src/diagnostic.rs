//! Diagnostics as data: what is wrong, where, and what to write instead. Rendering is the caller's.

use crate::ast::Shift as _;
use crate::span::{FileId, Location, Span};
use serde::Serialize;

pub use crate::codes::Code;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The program compiles.
    Warning,
    /// The program does not compile.
    Error,
}

/// A place with a remark. The first label of a diagnostic is where it points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Label {
    /// The place.
    pub at: Location,
    /// What this is, or what was expected.
    pub text: String,
}

/// An edit that removes the cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// The text to replace.
    pub at: Location,
    /// What to write there.
    pub replacement: String,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Its stable code.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where, most important first.
    pub labels: Vec<Label>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The edit that does it, where there is exactly one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
}

impl Diagnostic {
    /// A diagnostic of the code's own severity.
    pub fn new(code: Code, message: impl Into<String>) -> Diagnostic {
        Diagnostic { code, severity: code.severity(), message: message.into(), labels: Vec::new(), help: None, fix: None }
    }

    /// With one more label.
    pub fn label(mut self, at: Location, text: impl Into<String>) -> Diagnostic {
        self.labels.push(Label { at, text: text.into() });
        self
    }

    /// With one more label in the first file, for parsers that know only one.
    pub(crate) fn mark(self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.label(Location { file: FileId(0), span }, text)
    }

    /// With a remedy.
    pub fn help(mut self, text: impl Into<String>) -> Diagnostic {
        self.help = Some(text.into());
        self
    }

    /// With an edit.
    pub fn fix(mut self, at: Location, replacement: impl Into<String>) -> Diagnostic {
        self.fix = Some(Fix { at, replacement: replacement.into() });
        self
    }

    /// The same finding in another file: every place is moved there.
    pub fn in_file(mut self, file: FileId) -> Diagnostic {
        for label in &mut self.labels {
            label.at.file = file;
        }
        if let Some(fix) = &mut self.fix {
            fix.at.file = file;
        }
        self
    }

    /// The same finding after so many bytes were inserted before it in its file, or left out where the number is negative.
    pub fn shift(&mut self, by: i64) {
        self.labels.iter_mut().for_each(|label| label.at.span.shift(by));
        self.fix.iter_mut().for_each(|fix| fix.at.span.shift(by));
    }

    /// True for an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Where it points, where it points anywhere.
    pub fn primary(&self) -> Option<Location> {
        self.labels.first().map(|label| label.at)
    }
}
