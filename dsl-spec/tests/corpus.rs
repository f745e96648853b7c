//! The corpus: what the parser makes of good and of broken files, and that nothing makes it panic.

use mlp_syntax::ast::Item;
use mlp_syntax::{Diagnostic, File, LineIndex, dump, parse};
use proptest::prelude::*;
use std::fmt::Write as _;
use std::fs;

fn render(source: &str, diagnostics: &[Diagnostic]) -> String {
    let lines = LineIndex::new(source);
    let mut out = String::new();
    for diagnostic in diagnostics {
        writeln!(out, "{}: {}", diagnostic.code, diagnostic.message).unwrap();
        for label in &diagnostic.labels {
            let place = lines.line_column(source, label.at.span.start);
            writeln!(out, "  {place} `{}`: {}", label.at.span.text(source).replace('\n', "\\n"), label.text).unwrap();
        }
        diagnostic.help.iter().for_each(|help| writeln!(out, "  help: {help}").unwrap());
        diagnostic.fix.iter().for_each(|fix| writeln!(out, "  fix: `{}`", fix.replacement).unwrap());
    }
    out
}

/// Spans are in bounds, on character boundaries, in order and apart; labels are in bounds.
fn check_spans(source: &str, file: &File, diagnostics: &[Diagnostic]) {
    let mut last = 0;
    for item in &file.items {
        let span = item.span();
        assert!(last <= span.start && span.start < span.end, "{span:?} after {last}");
        assert!(source.get(span.range()).is_some(), "{span:?} of {}", source.len());
        last = span.end;
    }
    let places = diagnostics
        .iter()
        .flat_map(|diagnostic| diagnostic.labels.iter().map(|label| label.at.span).chain(diagnostic.fix.iter().map(|fix| fix.at.span)));
    for span in places {
        assert!(source.get(span.range()).is_some(), "{span:?} of {}", source.len());
    }
    let broken = file.items.iter().any(|item| matches!(item, Item::Broken(_)));
    assert!(!broken || !diagnostics.is_empty(), "a broken item without a diagnostic");
}

#[test]
fn good_files_parse() {
    insta::glob!("../corpus", "ok/*.mlp", |path| {
        let source = fs::read_to_string(path).unwrap();
        let (file, diagnostics) = parse(&source);
        assert_eq!(diagnostics, [], "{}", render(&source, &diagnostics));
        check_spans(&source, &file, &diagnostics);
        insta::assert_snapshot!(dump(&file));
    });
}

#[test]
fn broken_files_are_explained() {
    insta::glob!("../corpus", "err/*.mlp", |path| {
        let source = fs::read_to_string(path).unwrap();
        let (file, diagnostics) = parse(&source);
        assert!(!diagnostics.is_empty(), "{} has no error", path.display());
        check_spans(&source, &file, &diagnostics);
        insta::assert_snapshot!(format!("{}\n{}", render(&source, &diagnostics), dump(&file)));
    });
}

/// Every file of the corpus, of the standard library and of the examples.
fn all_sources() -> Vec<String> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let patterns = ["dsl-spec/corpus/*/*.mlp", "stdlib/*.mlp", "examples/*/*.mlp"];
    let paths = patterns.iter().flat_map(|pattern| glob::glob(&format!("{root}/{pattern}")).unwrap());
    let sources: Vec<String> = paths.map(|path| fs::read_to_string(path.unwrap()).unwrap()).collect();
    assert!(sources.len() >= 70, "only {} files", sources.len());
    sources
}

/// The tokens of a text, roughly: words, and single marks.
fn tokens(source: &str) -> Vec<(usize, usize)> {
    let mut tokens = Vec::new();
    let mut chars = source.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        if c.is_whitespace() {
            continue;
        }
        let mut end = start + c.len_utf8();
        if c.is_alphanumeric() {
            while let Some((at, c)) = chars.next_if(|(_, c)| c.is_alphanumeric() || *c == '_') {
                end = at + c.len_utf8();
            }
        }
        tokens.push((start, end));
    }
    tokens
}

#[test]
fn no_missing_token_makes_it_panic() {
    for source in all_sources() {
        for (start, end) in tokens(&source) {
            let mut damaged = source.clone();
            damaged.replace_range(start..end, "");
            let (file, diagnostics) = parse(&damaged);
            check_spans(&damaged, &file, &diagnostics);
        }
    }
}

#[test]
fn one_broken_item_hides_no_other() {
    let source = include_str!("../../examples/objects/objects.mlp");
    let names = |file: &File| file.items.iter().filter(|item| !matches!(item, Item::Broken(_))).count();
    let whole = names(&parse(source).0);
    for (start, end) in tokens(source) {
        // A line that opens or closes a block may take the line after it along; what lies inside one may not.
        let line = source[..start].rfind('\n').map_or(0, |at| at + 1);
        if !source[line..].starts_with("  ") || "(){}[]\"".contains(&source[start..end]) {
            continue;
        }
        let mut damaged = source.to_owned();
        damaged.replace_range(start..end, "");
        let left = names(&parse(&damaged).0);
        assert!(left + 1 >= whole, "without `{}` at {start} only {left} of {whole} items are left", &source[start..end]);
    }
}

#[test]
fn hostile_nesting_is_refused() {
    for (open, close) in [("(", ")"), ("[", "]"), ("{ a = ", "}"), ("-", ""), ("f(", ")"), ("x |> f(", ")"), ("x + ", ""), ("x.y", "")] {
        let source = format!("pipeline P(x: f32[1]) -> f32[1] {{\n  return {}x{}\n}}\n", open.repeat(20_000), close.repeat(20_000));
        let (file, diagnostics) = parse(&source);
        assert!(!diagnostics.is_empty(), "{open}");
        assert!(diagnostics.len() < 100, "{} for `{open}`", diagnostics.len());
        assert_eq!(file.items.len(), 1);
    }
    let types = format!("pipeline P(x: {}f32[1]{}) -> f32[1] {{\n  return x\n}}\n", "image<".repeat(20_000), ">".repeat(20_000));
    assert!(!parse(&types).1.is_empty());
    assert!(!parse(&"{".repeat(1 << 20)).1.is_empty());
    assert!(!parse(&"a".repeat((1 << 20) + 1)).1.is_empty());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let (file, diagnostics) = parse(&text);
        check_spans(&text, &file, &diagnostics);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes);
        let (file, diagnostics) = parse(&text);
        check_spans(&text, &file, &diagnostics);
    }

    #[test]
    fn no_mixture_of_tokens_makes_it_panic(words in proptest::collection::vec(
        prop::sample::select(vec![
            "pipeline", "model", "test", "hook", "use", "edition", "return", "expect", "input", "output", "in", "for", "x", "f32", "2026", "1.5ms", "224x224",
            "\"a\"", "\"", "(", ")", "[", "]", "{", "}", "<", ">", ",", ":", ".", "..", "@", "=", "==", "->", "|>", "|", "-", "+", "*", "/", "//", "///", "\n", "é",
        ]), 0..60)) {
        let text = words.join(" ");
        let (file, diagnostics) = parse(&text);
        check_spans(&text, &file, &diagnostics);
    }
}
