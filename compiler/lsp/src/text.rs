//! A text with positions as the protocol counts them: lines and UTF-16 code units, both from 0.

use ls_types::{Position, Range};
use mlp_analysis::SourceFile;
use mlp_syntax::{LineIndex, Span};
use std::ops::Range as Bytes;

/// A text and where its lines start.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    text: String,
    lines: LineIndex,
}

impl Text {
    pub(crate) fn new(text: String) -> Text {
        let lines = LineIndex::new(&text);
        Text { text, lines }
    }

    /// A file of a package.
    pub(crate) fn of(file: &SourceFile) -> Text {
        Text { text: file.text.clone(), lines: file.lines.clone() }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The bytes of a line, without its end.
    fn line(&self, line: usize) -> Option<Bytes<usize>> {
        let starts = self.lines.starts();
        let start = *starts.get(line)? as usize;
        let end = starts.get(line + 1).map_or(self.text.len(), |next| *next as usize - 1);
        let text = &self.text[start..end];
        Some(start..start + text.strip_suffix('\r').unwrap_or(text).len())
    }

    /// The byte of a position. One past the end of its line is the line's end, one past the last line the text's; one inside a character is its start.
    pub(crate) fn offset(&self, position: Position) -> usize {
        let Some(line) = self.line(position.line as usize) else { return self.text.len() };
        let mut units = 0;
        for (at, c) in self.text[line.clone()].char_indices() {
            let next = units + c.len_utf16();
            if next > position.character as usize {
                return line.start + at;
            }
            units = next;
        }
        line.end
    }

    /// The bytes of a range; one that ends before it starts is empty.
    pub(crate) fn bytes(&self, range: Range) -> Bytes<usize> {
        let (start, end) = (self.offset(range.start), self.offset(range.end));
        start..end.max(start)
    }

    /// The position of a byte; one past the end is the end, one inside a character is its start.
    pub(crate) fn position(&self, offset: usize) -> Position {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.lines.line(offset as u32);
        let units: usize = self.text[self.lines.starts()[line] as usize..offset].chars().map(char::len_utf16).sum();
        Position::new(line as u32, units as u32)
    }

    pub(crate) fn range(&self, span: Span) -> Range {
        Range::new(self.position(span.start as usize), self.position(span.end as usize))
    }

    /// Everything.
    pub(crate) fn whole(&self) -> Range {
        Range::new(Position::new(0, 0), self.position(self.text.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_utf16_units() {
        let text = Text::new("a😀é\r\nb".to_owned());
        assert_eq!(text.position(5), Position::new(0, 3));
        assert_eq!(text.offset(Position::new(0, 3)), 5);
        assert_eq!(text.offset(Position::new(0, 2)), 1, "inside the pair");
        assert_eq!(text.position(3), Position::new(0, 1), "inside the character");
        assert_eq!(text.offset(Position::new(0, 99)), 7, "before the carriage return");
        assert_eq!(text.offset(Position::new(99, 0)), text.as_str().len());
        assert_eq!(text.position(usize::MAX), Position::new(1, 1));
        let backwards = Range::new(Position::new(1, 1), Position::new(0, 0));
        assert!(text.bytes(backwards).is_empty());
    }
}
