//! A file's tree that is kept from one text to the next, so that reading an edit costs what the edit touches.

use crate::ast::{File, Shift as _};
use crate::diagnostic::Diagnostic;
use crate::parse::{MAX_SOURCE_BYTES, blocks, parse, read};
use crate::span::Span;
use crate::split::split;
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
        let (pieces, diagnostics) = split(text);
        let found = blocks(text, &pieces);
        let spans: Vec<Span> =
            found.iter().filter_map(|range| Some(pieces.get(range.start)?.span.to(pieces.get(range.end - 1)?.span))).collect();
        let (front, back) = self.common(before, text, &spans);
        let count = |blocks: &[Block]| blocks.iter().map(|block| block.items).sum::<usize>();
        let same = Same { front: count(&self.blocks[..front]), back: count(&self.blocks[self.blocks.len() - back..]) };

        let mut old_blocks = self.blocks;
        let mut last_blocks = old_blocks.split_off(old_blocks.len() - back);
        old_blocks.truncate(front);
        let mut items = Arc::try_unwrap(self.file).unwrap_or_else(|file| (*file).clone()).items;
        let mut last_items = items.split_off(items.len() - same.back);
        items.truncate(same.front);

        let mut diagnostics = diagnostics.into_iter().peekable();
        for (range, span) in found.iter().zip(&spans).take(spans.len() - back).skip(front) {
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
        let by = text.len() as i64 - before.len() as i64;
        if by != 0 {
            last_items.shift(by);
            last_blocks.iter_mut().for_each(|block| block.shift(by));
        }
        old_blocks.append(&mut last_blocks);
        items.append(&mut last_items);
        (Parsed { file: Arc::new(File { items }), blocks: old_blocks }, same)
    }

    /// How many blocks at the start and at the end are the same in both texts, what stands between them included.
    fn common(&self, before: &str, text: &str, spans: &[Span]) -> (usize, usize) {
        let most = self.blocks.len().min(spans.len());
        let (old, new) = (before.as_bytes(), text.as_bytes());
        let shortest = old.len().min(new.len());
        let prefix = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        let front = self.blocks.iter().zip(spans).take_while(|(block, span)| block.span == **span && span.end as usize <= prefix).count();
        let suffix = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count().min(shortest - prefix);
        let mut back = 0;
        while front + back < most {
            let (at, now) = (self.blocks.len() - 1 - back, spans.len() - 1 - back);
            let from_end = |length: usize, place: u32| length - (place as usize).min(length);
            let (block, span) = (self.blocks[at].span, spans[now]);
            let stands = from_end(old.len(), block.start) == from_end(new.len(), span.start)
                && from_end(old.len(), block.end) == from_end(new.len(), span.end);
            // The comment above a block belongs to it, so the text has to be the same up to the block before.
            let above = |index: usize, ends: &dyn Fn(usize) -> u32| index.checked_sub(1).map_or(0, ends);
            let old_gap = from_end(old.len(), above(at, &|index| self.blocks[index].span.end));
            let new_gap = from_end(new.len(), above(now, &|index| spans[index].end));
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
