//! The formatter: what it writes, and that it loses nothing and changes nothing, whatever the layout it is given.

use mlp_syntax::{FormatError, dump, format, parse};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

#[test]
fn files_come_out_in_one_style() {
    insta::glob!("../corpus", "fmt/*.mlp", |path| {
        let source = fs::read_to_string(path).unwrap();
        let text = format(&source).unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
        check(&source, &text);
        insta::assert_snapshot!(text);
    });
}

/// A piece of text that is no white space: a comment, or a token, roughly; marks of two characters are whole.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bit<'a> {
    text: &'a str,
    start: usize,
    /// How many brackets are open before it.
    depth: usize,
}

impl Bit<'_> {
    fn is_comment(&self) -> bool {
        self.text.starts_with("//")
    }
}

fn bits(source: &str) -> Vec<Bit<'_>> {
    let (mut found, mut at, mut depth) = (Vec::new(), 0, 0usize);
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = match c {
            _ if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' => {
                let mut escaped = false;
                let close = rest[1..].find(|c| {
                    let closes = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    closes
                });
                close.unwrap() + 2
            }
            '0'..='9' => {
                let end = rest.find(|c: char| !word(c) && c != '.' && c != '%').unwrap_or(rest.len());
                // `2.5E+3`: the sign belongs to the exponent.
                let signed = rest[..end].ends_with(['e', 'E']) && rest[end..].starts_with(['+', '-']);
                if signed { end + 1 + rest[end + 1..].find(|c: char| !word(c)).unwrap_or(rest.len() - end - 1) } else { end }
            }
            _ if word(c) => rest.find(|c: char| !word(c)).unwrap_or(rest.len()),
            _ if ["->", "|>", "==", "!=", "<=", ">=", ".."].iter().any(|mark| rest.starts_with(mark)) => 2,
            _ => c.len_utf8(),
        };
        depth -= usize::from(matches!(c, ')' | ']' | '}'));
        found.push(Bit { text: rest[..length].trim_end(), start: at, depth });
        depth += usize::from(matches!(c, '(' | '[' | '{'));
        at += length;
    }
    found
}

/// The tokens without commas, Greek letters spelt out.
fn words(source: &str) -> Vec<&str> {
    let tokens = bits(source).into_iter().filter(|bit| !bit.is_comment() && bit.text != ",");
    tokens
        .map(|bit| match bit.text {
            "ε" | "ϵ" => "epsilon",
            "δ" => "delta",
            text => text,
        })
        .collect()
}

fn comments(source: &str) -> Vec<&str> {
    bits(source).into_iter().filter(Bit::is_comment).map(|bit| bit.text).collect()
}

/// What holds of every formatted text.
fn check(source: &str, text: &str) {
    assert_eq!(words(source), words(text), "tokens of\n{source}\n{text}");
    assert_eq!(comments(source), comments(text), "comments of\n{source}\n{text}");
    assert_eq!(dump(&parse(source).0), dump(&parse(text).0), "the tree of\n{source}\n{text}");
    let again = format(text).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    let differing = text.lines().zip(again.lines()).find(|(once, twice)| once != twice);
    assert!(again == text, "formatting once more changes {differing:#?} of\n{text}");
    for line in text.split_inclusive('\n') {
        assert_eq!(
            line.trim_end_matches(['\n', '\r']).trim_end().len(),
            line.trim_end_matches(['\n', '\r']).len(),
            "white space ends `{line}`"
        );
        assert!(line.ends_with('\n'), "the last line is not ended");
    }
    assert!(!text.contains("\n\n\n"), "two blank lines in\n{text}");
}

fn files(patterns: &[&str]) -> Vec<(PathBuf, String)> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let paths = patterns.iter().flat_map(|pattern| glob::glob(&format!("{root}/{pattern}")).unwrap()).map(Result::unwrap);
    paths
        .filter(|path| !path.components().any(|part| part.as_os_str() == "node_modules"))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect()
}

static GOOD: LazyLock<Vec<(PathBuf, String)>> = LazyLock::new(good_sources);

/// Every file that parses: corpora, examples, the standard library, and the examples of the error pages.
fn good_sources() -> Vec<(PathBuf, String)> {
    let mut sources = files(&[
        "dsl-spec/corpus/ok/*.mlp",
        "dsl-spec/corpus/check/*.mlp",
        "dsl-spec/corpus/fmt/*.mlp",
        "examples/**/*.mlp",
        "stdlib/*.mlp",
    ]);
    for (path, page) in files(&["dsl-spec/errors/*.md", "dsl-spec/spec/*.md"]) {
        let blocks = page.split("```mlp").skip(1).filter_map(|rest| rest.split("```").next());
        sources.extend(blocks.filter_map(|block| block.split_once('\n')).map(|(_, text)| (path.clone(), text.to_owned())));
    }
    sources.retain(|(_, source)| !parse(source).1.iter().any(mlp_syntax::Diagnostic::is_error));
    sources
}

#[test]
fn nothing_is_lost_or_changed() {
    assert!(GOOD.len() >= 150, "only {} sources", GOOD.len());
    for (path, source) in GOOD.iter() {
        let text = format(source).unwrap_or_else(|error| panic!("{}: {error:?}\n{source}", path.display()));
        check(source, &text);
    }
}

#[test]
fn the_standard_library_and_the_examples_are_formatted() {
    let sources = files(&["examples/**/*.mlp", "stdlib/*.mlp"]);
    assert!(sources.len() >= 3);
    for (path, source) in sources {
        assert_eq!(format(&source).as_deref(), Ok(&*source), "{}", path.display());
    }
}

#[test]
fn what_does_not_parse_is_refused_with_its_diagnostics() {
    let sources = files(&["dsl-spec/corpus/err/*.mlp"]);
    assert!(sources.len() >= 50);
    for (path, source) in sources {
        match format(&source) {
            Err(FormatError::Syntax(diagnostics)) => assert_eq!(diagnostics, parse(&source).1),
            other => panic!("{}: {other:?}", path.display()),
        }
    }
}

#[test]
fn lines_end_as_the_first_one_does() {
    assert_eq!(format("edition   2026\r\nconst a = 1\n").as_deref(), Ok("edition 2026\r\nconst a = 1\r\n"));
    assert_eq!(format("edition   2026\nconst a = 1\r\n").as_deref(), Ok("edition 2026\nconst a = 1\n"));
    assert_eq!(format("").as_deref(), Ok(""));
    assert_eq!(format(" \n\n ").as_deref(), Ok(""));
}

/// A line is broken at its hundredth column and not before.
#[test]
fn the_width_is_a_hundred_columns() {
    for (length, broken) in [(30, false), (90, true)] {
        let name = "x".repeat(length);
        let text = format(&format!("const a = [{name}, 22222222222222222222222222222222222222222222222222]\n")).unwrap();
        assert_eq!(text.lines().count() > 1, broken, "{text}");
    }
    let exactly = format!("const a = [{}, 1]\n", "x".repeat(85));
    assert_eq!(exactly.trim_end().len(), 100);
    assert_eq!(format(&exactly).unwrap(), exactly);
    let wider = exactly.replace("xx,", "xxx,");
    assert_eq!(format(&wider).unwrap(), wider.replace('[', "[\n  ").replace(", 1", ",\n  1,\n"));
}

/// Where the items of each of those files start.
static STARTS: LazyLock<Vec<Vec<usize>>> = LazyLock::new(|| {
    let starts = |source: &str| parse(source).0.items.iter().map(|item| item.span().start as usize).collect();
    GOOD.iter().map(|(_, source)| starts(source)).collect()
});

/// Some items of a file that follow each other, and what stands between them.
fn stretch(which: prop::sample::Index, first: prop::sample::Index, count: usize) -> (&'static Path, &'static str) {
    let which = which.index(GOOD.len());
    let ((path, source), starts) = (&GOOD[which], &STARTS[which]);
    if starts.is_empty() {
        return (path, source);
    }
    let first = first.index(starts.len());
    let end = starts.get(first + count).copied().unwrap_or(source.len());
    (path, &source[starts[first]..end])
}

/// A source with something put before some of its tokens: white space anywhere, newlines and comments inside brackets, where any of them may stand.
fn disturbed(source: &str, choices: &[u8]) -> String {
    let mut out = String::new();
    let mut at = 0;
    for (index, bit) in bits(source).into_iter().enumerate() {
        out.push_str(&source[at..bit.start]);
        at = bit.start;
        // Now and then one that looks like documentation.
        let mark = if index % 5 == 0 { "///" } else { "//" };
        // Up to what makes a line longer than it may be.
        let long = " and more".repeat(index % 13);
        match choices[index % choices.len()] {
            0 if bit.depth > 0 => out.push_str("\n  "),
            1 if bit.depth > 0 => out.push_str(&format!(" {mark} c{index}\n  ")),
            2 if bit.depth > 0 => out.push_str(&format!("\n\n  {mark} c{index}\n  // and more\n\n  ")),
            3 => out.push_str("   "),
            4 if bit.depth > 0 => out.push_str(&format!(" {mark} c{index}{long}\n  ")),
            5 if bit.depth > 0 => out.push_str(&format!("\n  {mark} c{index}{long}\n  ")),
            6 if bit.depth > 0 => out.push_str("\n\n  "),
            _ => {}
        }
    }
    out.push_str(&source[at..]);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_layout_changes_what_is_said(
        which in any::<prop::sample::Index>(),
        first in any::<prop::sample::Index>(),
        count in 1usize..6,
        choices in proptest::collection::vec(0u8..16, 1..60),
    ) {
        let (path, source) = stretch(which, first, count);
        let source = disturbed(source, &choices);
        let parsed = parse(&source).1;
        prop_assert!(!parsed.iter().any(mlp_syntax::Diagnostic::is_error), "{}: {parsed:?}\n{source}", path.display());
        let text = format(&source);
        prop_assert!(text.is_ok(), "{}: {text:?}\n{source}", path.display());
        check(&source, &text.unwrap());
    }
}

/// Layout alone, without comments and blank lines, decides nothing but whether a brace stays open.
#[test]
fn two_layouts_of_one_text_come_out_alike() {
    let one = "pipeline P(x:f32[1],y : f32[ 2 ,3 ])->f32[1]{a=x|>f(1,k=2)\n  bb=a+\n  y\n  return{c=a,d=bb}@cache}";
    let other = "pipeline P(\n  x: f32[1],\n  y: f32[2, 3],\n) -> f32[1] {\n  a = x\n    |> f(\n    1,\n    k = 2,\n  )\n  bb = a + y,\n  return { c = a, d = bb }\n    @cache\n}\n";
    assert_eq!(format(one), format(other));
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/fmt").is_dir());
}
