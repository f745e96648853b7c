//! Places in source text.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// A range of bytes of one file, on character boundaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes from `start` up to `end`.
    pub fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end.max(start) as u32 }
    }

    /// The least span that covers both.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The range of bytes, for indexing.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The text it covers; empty where it does not belong to `source`.
    pub fn text(self, source: &str) -> &str {
        source.get(self.range()).unwrap_or("")
    }
}

/// A file among the files of one compilation, in the order they were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId(pub u32);

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Location {
    /// The file.
    pub file: FileId,
    /// The bytes.
    pub span: Span,
}

/// A line and a column, both from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LineColumn {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
}

impl fmt::Display for LineColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Where the lines of a text start.
#[derive(Clone, Debug)]
pub struct LineIndex {
    starts: Vec<u32>,
}

impl LineIndex {
    /// The index of a text.
    pub fn new(source: &str) -> LineIndex {
        // As many lines as code has mostly; what is found is more than a length by far.
        let mut starts = Vec::with_capacity(source.len() / 24 + 1);
        starts.push(0);
        starts.extend(memchr::memchr_iter(b'\n', source.as_bytes()).map(|at| at as u32 + 1));
        LineIndex { starts }
    }

    /// The lines, from 0, and where each starts; the first starts at 0.
    pub fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// The line of a byte, from 0.
    pub fn line(&self, offset: u32) -> usize {
        self.starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// The line and column of a byte of `source`, the text the index was made of. An offset past the end is the end.
    pub fn line_column(&self, source: &str, offset: u32) -> LineColumn {
        let offset = (offset as usize).min(source.len());
        let line = self.line(offset as u32);
        let start = self.starts.get(line).map_or(0, |start| *start as usize);
        let before = source.bytes().take(offset).skip(start);
        // A character is counted at its first byte; UTF-8 continuation bytes are 10xxxxxx.
        let column = before.filter(|byte| byte & 0xC0 != 0x80).count();
        LineColumn { line: line as u32 + 1, column: column as u32 + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_not_bytes() {
        let source = "a\né = ß\n";
        let index = LineIndex::new(source);
        let at = source.find('ß').unwrap_or(0) as u32;
        assert_eq!(index.line_column(source, at), LineColumn { line: 2, column: 5 });
        assert_eq!(index.line_column(source, 0), LineColumn { line: 1, column: 1 });
        assert_eq!(index.line_column(source, 999), LineColumn { line: 3, column: 1 });
    }
}
