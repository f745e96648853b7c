//! A file's tree that is kept from one text to the next, so that reading an edit costs what the edit touches.

use crate::ast::{File, Shift as _};
use crate::diagnostic::Diagnostic;
use crate::parse::{MAX_SOURCE_BYTES, blocks, parse, read};
use crate::span::Span;
use crate::split::{Piece, split_between, starts_block};
use std::sync::Arc;

/// A file that was parsed, and where its blocks stand.
#[derive(Clone, Debug)]
pub struct Parsed {
    file: Arc<File>,
    blocks: Vec<Block>,
}

/// A block with what fell off it; what is made of it depends on its own text and the comment above it alone.
#[derive(Clone, Debug)]
struct Block {
    span: Span,
    /// How many items it became.
    items: usize,
    diagnostics: Vec<Diagnostic>,
}

/// How many items at both ends of a file are those of the text before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Same {
    /// So many first items stand where they stood.
    pub front: usize,
    /// So many last items stand as far from the end as they stood.
    pub back: usize,
}

impl Parsed {
    /// Parses a text, as [`parse`] does.
    pub fn new(text: &str) -> Parsed {
        Parsed { file: Arc::default(), blocks: Vec::new() }.update("", text).0
    }

    /// The tree.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// What was found, by place; places are of file 0.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.blocks.iter().flat_map(|block| &block.diagnostics)
    }

    /// What [`new`](Parsed::new) makes of `text`, where this was made of `before`; blocks that both texts have at their ends are taken from here.
    pub fn update(self, before: &str, text: &str) -> (Parsed, Same) {
        if text.len() > MAX_SOURCE_BYTES || before.len() > MAX_SOURCE_BYTES {
            let (file, diagnostics) = parse(text);
            let block = Block { span: Span::new(0, text.len()), items: file.items.len(), diagnostics };
            return (Parsed { file: Arc::new(file), blocks: vec![block] }, Same::default());
        }
        if before == text && !self.blocks.is_empty() {
            let front = self.file.items.len();
            return (self, Same { front, back: 0 });
        }
        let edit = Edit::between(before, text);
        let Window { first, last, pieces, diagnostics } = self.window(edit, text);
        let found = blocks(text, &pieces);
        let spans = self.spans(edit, first, last, found.iter().filter_map(|range| span_of(&pieces[range.clone()])));
        let (front, back) = self.common(edit, &spans);
        let count = |blocks: &[Block]| blocks.iter().map(|block| block.items).sum::<usize>();
        let same = Same { front: count(&self.blocks[..front]), back: count(&self.blocks[self.blocks.len() - back..]) };

        let mut old_blocks = self.blocks;
        let mut last_blocks = old_blocks.split_off(old_blocks.len() - back);
        old_blocks.truncate(front);
        let mut items = Arc::try_unwrap(self.file).unwrap_or_else(|file| (*file).clone()).items;
        let mut last_items = items.split_off(items.len() - same.back);
        items.truncate(same.front);

        let mut diagnostics = diagnostics.into_iter().peekable();
        for (range, span) in found.iter().zip(&spans[first..]).take(spans.len() - back - first).skip(front - first) {
            let mut own = Vec::new();
            while let Some(one) = diagnostics.next_if(|one| one.primary().is_none_or(|at| at.span.start < span.end)) {
                if one.primary().is_some_and(|at| at.span.start >= span.start) {
                    own.push(one);
                }
            }
            let (read, diagnostics) = read(text, &pieces[range.clone()], own);
            old_blocks.push(Block { span: *span, items: read.len(), diagnostics });
            items.extend(read);
        }
        if edit.by() != 0 {
            last_items.shift(edit.by());
            last_blocks.iter_mut().for_each(|block| block.shift(edit.by()));
        }
        old_blocks.append(&mut last_blocks);
        items.append(&mut last_items);
        (Parsed { file: Arc::new(File { items }), blocks: old_blocks }, same)
    }

    /// Cuts what an edit can have changed into pieces: from the last block before it to the second that stands after it as it stood.
    fn window(&self, edit: Edit, text: &str) -> Window {
        let starts = |block: &Block| block.span.start as usize;
        let mut first = self.blocks.partition_point(|block| starts(block) <= edit.prefix).saturating_sub(1);
        while first > 0 && !starts_block(text, starts(&self.blocks[first])) {
            first -= 1;
        }
        let from = if first == 0 { 0 } else { starts(&self.blocks[first]) };
        let (mut last, mut before) = (self.blocks.len(), None);
        let (pieces, diagnostics) = split_between(text, from, &mut |at| {
            let stood = (at >= edit.new - edit.suffix).then(|| (at as i64 - edit.by()) as usize);
            let block = stood.and_then(|stood| self.blocks.binary_search_by_key(&stood, starts).ok());
            let settled = block.is_some_and(|block| before.is_some_and(|before: usize| before + 1 == block));
            before = block;
            last = block.filter(|_| settled).unwrap_or(last);
            settled
        });
        Window { first, last, pieces, diagnostics }
    }

    /// The spans of all blocks after an edit, of which those from `first` to `last` were read again.
    fn spans(&self, edit: Edit, first: usize, last: usize, read: impl Iterator<Item = Span>) -> Vec<Span> {
        let moved = |block: &Block| {
            let mut span = block.span;
            span.shift(edit.by());
            span
        };
        self.blocks[..first].iter().map(|block| block.span).chain(read).chain(self.blocks[last..].iter().map(moved)).collect()
    }

    /// How many blocks at the start and at the end are the same in both texts, what stands between them included.
    fn common(&self, edit: Edit, spans: &[Span]) -> (usize, usize) {
        let most = self.blocks.len().min(spans.len());
        let Edit { prefix, suffix, old, new } = edit;
        let front = self.blocks.iter().zip(spans).take_while(|(block, span)| block.span == **span && span.end as usize <= prefix).count();
        let mut back = 0;
        while front + back < most {
            let (at, now) = (self.blocks.len() - 1 - back, spans.len() - 1 - back);
            let from_end = |length: usize, place: u32| length - (place as usize).min(length);
            let (block, span) = (self.blocks[at].span, spans[now]);
            let stands = from_end(old, block.start) == from_end(new, span.start) && from_end(old, block.end) == from_end(new, span.end);
            // The comment above a block belongs to it, so the text has to be the same up to the block before.
            let above = |index: usize, ends: &dyn Fn(usize) -> u32| index.checked_sub(1).map_or(0, ends);
            let old_gap = from_end(old, above(at, &|index| self.blocks[index].span.end));
            let new_gap = from_end(new, above(now, &|index| spans[index].end));
            // What stands at the start of a text begins a line; after a block it may go on with one, and a comment that does belongs to what is before it.
            let starts_line = (at == 0) == (now == 0);
            if !stands || !starts_line || old_gap > suffix || new_gap > suffix {
                break;
            }
            back += 1;
        }
        (front, back)
    }
}

/// What two texts have in common at their ends.
#[derive(Clone, Copy, Debug)]
struct Edit {
    prefix: usize,
    suffix: usize,
    /// The lengths of the texts.
    old: usize,
    new: usize,
}

impl Edit {
    fn between(before: &str, text: &str) -> Edit {
        let (old, new) = (before.as_bytes(), text.as_bytes());
        let prefix = common_length(old.chunks(CHUNK).zip(new.chunks(CHUNK)), |(a, b)| a.iter().zip(b).take_while(|(a, b)| a == b).count());
        let back = old.rchunks(CHUNK).zip(new.rchunks(CHUNK));
        let suffix = common_length(back, |(a, b)| a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count());
        Edit { prefix, suffix: suffix.min(old.len().min(new.len()) - prefix), old: old.len(), new: new.len() }
    }

    /// By how many bytes what stands after it moves.
    fn by(self) -> i64 {
        self.new as i64 - self.old as i64
    }
}

/// Texts are compared by so many bytes.
const CHUNK: usize = 256;

/// The length of the chunks that are equal, with what is of the first that are not.
fn common_length<'t>(chunks: impl Iterator<Item = (&'t [u8], &'t [u8])>, part: impl Fn((&[u8], &[u8])) -> usize) -> usize {
    let mut length = 0;
    for (old, new) in chunks {
        if old != new {
            return length + part((old, new));
        }
        length += old.len();
    }
    length
}

/// What is cut anew after an edit.
struct Window {
    /// The blocks before it, which stay.
    first: usize,
    /// The blocks from here on stay too.
    last: usize,
    pieces: Vec<Piece>,
    diagnostics: Vec<Diagnostic>,
}

fn span_of(pieces: &[Piece]) -> Option<Span> {
    Some(pieces.first()?.span.to(pieces.last()?.span))
}

impl Block {
    fn shift(&mut self, by: i64) {
        self.span.shift(by);
        self.diagnostics.iter_mut().for_each(|diagnostic| diagnostic.shift(by));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "edition 2026\n\n/// One.\npipeline A(x: f32[3]) -> f32[3] {\n  return x\n}\n\nmodel B {\n  source = onnx(\"b\"\n}\n\n/// Two.\nbudget C\n  \
                        unit = user\n}\n\ntest \"d\" {\n  expect A(x) == 1\n}\n";

    /// After an edit the kept tree is the one that the whole text gives.
    fn same_as_anew(before: &str, text: &str) -> Result<Same, TestCaseError> {
        let (updated, same) = Parsed::new(before).update(before, text);
        let (file, diagnostics) = parse(text);
        prop_assert_eq!(&**updated.file(), &file);
        prop_assert_eq!(updated.diagnostics().cloned().collect::<Vec<_>>(), diagnostics);
        Ok(same)
    }

    proptest! {
        #[test]
        fn edits_give_what_reading_gives(
            edits in proptest::collection::vec(
                (0usize..400, 0usize..12, prop::sample::select(vec![
                    "", "x", " ", "\n", "{", "}", "(", "\"", "/// ", "//", "pipeline ", "\ntest \"e\" {\n}\n", "= 1", "é", "use a.{ b }\n", "\r\n", "'",
                ])), 1..6)) {
            let mut text = TEXT.to_owned();
            for (at, length, with) in edits {
                let mut start = at.min(text.len());
                while !text.is_char_boundary(start) { start -= 1; }
                let mut end = (start + length).min(text.len());
                while !text.is_char_boundary(end) { end += 1; }
                let mut after = text.clone();
                after.replace_range(start..end, with);
                same_as_anew(&text, &after)?;
                text = after;
            }
        }
    }

    #[test]
    fn a_comment_that_no_line_starts_with_any_more_is_no_documentation() {
        let before = "/// A constant.\nconst a = 1\n";
        assert_eq!(same_as_anew(before, &format!("const b = 2 {before}")).unwrap(), Same::default());
    }

    #[test]
    fn an_edit_inside_one_block_keeps_the_others() {
        let after = TEXT.replace("return x", "return x + x");
        assert_eq!(same_as_anew(TEXT, &after).unwrap(), Same { front: 1, back: 3 });
        assert_eq!(same_as_anew(TEXT, TEXT).unwrap(), Same { front: 5, back: 0 });
        let comment = TEXT.replace("/// Two.", "/// Three.");
        assert_eq!(same_as_anew(TEXT, &comment).unwrap(), Same { front: 3, back: 1 });
    }
}
