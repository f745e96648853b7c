//! A text that is being written, as far as it can be read: while one statement is not finished yet, questions about the others have answers.
//!
//! Lines stay what they are, and so do columns: what cannot be read is left out of its lines, and what is missing is added at the end of one.

use mlp_syntax::ast::{File, Item};
use mlp_syntax::{Code, parse};
use std::ops::Range;

/// The most statements of an item that are left out, and brackets that are added.
const MAX_STEPS: usize = 6;

/// The text without what breaks its items; none where that would not help.
pub(crate) fn mended(file: &File, text: &str) -> Option<String> {
    let mut mended = text.to_owned();
    let broken = file.items.iter().rev().filter_map(|item| match item {
        Item::Broken(header) => Some(header.span.range()),
        _ => None,
    });
    // From the last one on, so that the others stay where they are.
    let mut any = false;
    for span in broken {
        if let Some(whole) = text.get(span.clone()).and_then(whole) {
            mended.replace_range(span, &whole);
            any = true;
        }
    }
    any.then_some(mended)
}

/// An item that can be read, out of one that cannot.
fn whole(item: &str) -> Option<String> {
    let mut text = item.to_owned();
    for _ in 0..MAX_STEPS {
        let Some((code, at)) = first_error(&text) else { break };
        text = match code {
            Code::E0003 if text[at..].starts_with('{') => text + "}",
            _ => without_statement(&text, at)?,
        };
    }
    first_error(&text).is_none().then_some(text)
}

/// The first syntax error of a text, and where it is.
fn first_error(text: &str) -> Option<(Code, usize)> {
    let errors = parse(text).1.into_iter().filter(|diagnostic| diagnostic.is_error());
    errors.filter_map(|diagnostic| Some((diagnostic.code, diagnostic.primary()?.span.start as usize))).min_by_key(|(_, at)| *at)
}

/// A text without the statement that an error is about: that at the error, or the one before, which the error may have been found at the end of. The less is left to say
/// afterwards the better.
fn without_statement(text: &str, at: usize) -> Option<String> {
    let lines: Vec<&str> = text.split('\n').collect();
    let here = text[..at.min(text.len())].matches('\n').count();
    let before = (0..here).rev().find(|&line| !lines[line].trim().is_empty());
    let candidates = [before, Some(here)].into_iter().flatten().filter_map(|line| statement(&lines, line));
    let left = candidates.map(|range| {
        let kept = lines.iter().enumerate().map(|(index, line)| if range.contains(&index) { "" } else { *line });
        kept.collect::<Vec<_>>().join("\n")
    });
    left.max_by_key(|text| first_error(text).map_or(usize::MAX, |(_, at)| at)).filter(|left| left != text)
}

/// The lines of the statement that one belongs to; none for the head of an item, and for what opens or closes a block.
fn statement(lines: &[&str], line: usize) -> Option<Range<usize>> {
    let goes_on = |line: usize| lines.get(line).is_some_and(|line| line.trim_start().starts_with("|>"));
    let mut range = line..line + 1;
    while range.start > 0 && goes_on(range.start) {
        range.start -= 1;
    }
    while goes_on(range.end) {
        range.end += 1;
    }
    let count = |bracket: char| lines[range.clone()].iter().map(|line| line.matches(bracket).count()).sum::<usize>();
    (range.start > 0 && count('{') == count('}')).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<String> {
        mended(&parse(text).0, text)
    }

    #[test]
    fn what_is_being_written_is_left_out() {
        let item = |middle: &str| format!("edition 2026\n\npipeline P(x: f32[3]) -> f32[3] {{\n  a = x |> relu\n{middle}  return a\n}}\n");
        for (written, left) in
            [("  b = a |>\n", "\n"), ("  b = a\n    |> relu\n    |>\n\n", "\n\n\n\n"), ("  b =\n", "\n"), ("  b = relu(a,\n", "\n")]
        {
            assert_eq!(of(&item(written)), Some(item(left)), "{written}");
        }
        assert_eq!(of(&item("")), None, "it is whole");
    }

    #[test]
    fn a_brace_that_is_missing_is_added() {
        let text = "pipeline P(x: f32[3]) -> f32[3] {\n  return x\n\npipeline Q(x: f32[3]) -> f32[3] {\n  return x\n}\n";
        assert_eq!(of(text), Some(text.replacen("return x\n", "return x}\n", 1)));
    }

    #[test]
    fn what_cannot_be_mended_stays() {
        assert_eq!(of("pipeline P(x: f32[3] -> f32[3] {\n  return x\n}\n"), None);
        assert_eq!(of("nonsense\n"), None);
    }
}
