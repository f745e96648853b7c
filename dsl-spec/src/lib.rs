//! Grammar, syntax tree, parser and diagnostics of the mlp language.
//!
//! [`parse`] takes any text and always gives a [`File`] with the [`Diagnostic`]s found on the way. Names, types and shapes are checked by `mlp-analysis`.

pub mod ast;
mod build;
mod codes;
mod diagnostic;
mod docs;
mod dump;
mod expected;
mod format;
mod grammar;
mod highlight;
mod incremental;
mod parse;
mod repair;
mod span;
mod split;
mod suggest;
pub mod units;

pub use ast::File;
pub use diagnostic::{Code, Diagnostic, Fix, Label, Severity};
pub use dump::dump;
pub use format::{FormatError, format};
pub use highlight::{Colours, Highlighted, TokenClass, highlight};
pub use incremental::{Parsed, Same};
pub use parse::{MAX_SOURCE_BYTES, parse};
pub use span::{FileId, LineColumn, LineIndex, Location, Span};
pub use split::KEYWORDS;
pub use suggest::closest;
