//! A token that is missing somewhere: nothing panics, what no longer parses is reported, and every other block keeps its diagnostics.
//!
//! Of each file some tokens are left out, one at a time; with `MLP_DAMAGE=all` in the environment each of them is.

mod world;

use mlp_analysis::check;
use mlp_syntax::ast::Item;
use mlp_syntax::{Diagnostic, File, Location, Span, dump, format, parse};
use std::collections::BTreeSet;
use std::ops::Range;
use world::TestWorld;

/// The size in bytes up to which a file counts as small.
const SMALL: usize = 500;

fn sources() -> Vec<(String, String)> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let patterns = ["dsl-spec/corpus/*/*.mlp", "examples/*/*.mlp", "stdlib/*.mlp", "compiler/analysis/tests/mistakes/*.mlp"];
    let paths = patterns.iter().flat_map(|pattern| glob::glob(&format!("{root}/{pattern}")).unwrap()).map(Result::unwrap);
    let text = |path: &std::path::Path| std::fs::read_to_string(path).unwrap().replace(['«', '»'], "");
    let name = |path: &std::path::Path| {
        path.components().rev().take(2).map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join(" of ")
    };
    paths.map(|path| (name(&path), text(&path))).collect()
}

/// The tokens of a text that are left out; a string and a comment are one.
fn tokens(source: &str, seldom: usize) -> Vec<Range<usize>> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        let length = match c {
            _ if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '/' if rest.starts_with("//") => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            '"' => rest[1..].find(['"', '\n']).map_or(rest.len(), |end| 1 + end + usize::from(rest[1 + end..].starts_with('"'))),
            _ if word(c) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            _ if ["->", "|>", "==", "!=", "<=", ">=", ".."].iter().any(|mark| rest.starts_with(mark)) => 2,
            _ => c.len_utf8(),
        };
        tokens.push(at..at + length);
        at += length;
    }
    let all = std::env::var_os("MLP_DAMAGE").is_some_and(|which| which == "all");
    let step = if all { 1 } else { seldom * if source.len() <= SMALL { 1 } else { 4 } };
    tokens.into_iter().step_by(step).collect()
}

/// The text without a token, and how many bytes that is less: words stay apart.
fn without(source: &str, token: &Range<usize>) -> (String, Range<usize>) {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let joins = source[..token.start].ends_with(word) && source[token.end..].starts_with(word);
    let gap = if joins { " " } else { "" };
    ([&source[..token.start], gap, &source[token.end..]].concat(), token.start..token.end - gap.len())
}

/// True where an item or one beside it is broken already, so that errors may run together.
fn among_broken(file: &File, item: Span) -> bool {
    let at = file.items.iter().position(|one| one.span() == item).unwrap_or(0);
    let near = &file.items[at.saturating_sub(1)..(at + 2).min(file.items.len())];
    near.iter().any(|one| matches!(one, Item::Broken(_)))
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect()
}

/// The spans of the items that name an item, or that name one that does.
fn dependents(source: &str, file: &File, item: Span) -> Vec<Span> {
    let declared = |span: Span| {
        let text = span.text(source);
        // An import declares what it names, anything else the name in its head.
        let head = if text.starts_with("use") { text } else { text.split(['{', '(', '=']).next().unwrap_or("") };
        words(head).into_iter().filter(|word| !mlp_syntax::KEYWORDS.contains(word)).collect::<BTreeSet<_>>()
    };
    let (mut names, mut found) = (declared(item), vec![item]);
    loop {
        let next = file.items.iter().map(Item::span).find(|span| !found.contains(span) && !names.is_disjoint(&words(span.text(source))));
        let Some(next) = next else { return found };
        names.extend(declared(next));
        found.push(next);
    }
}

/// The item that a token lies in.
fn item_of(file: &File, token: &Range<usize>) -> Option<Span> {
    file.items.iter().map(Item::span).find(|span| span.range().contains(&token.start))
}

/// A place of the damaged text in the sound one.
fn moved(at: Location, token: &Range<usize>) -> Location {
    let place = |place: u32| if place as usize > token.start && at.file.0 == 0 { place + token.len() as u32 } else { place };
    Location { span: Span { start: place(at.span.start), end: place(at.span.end) }, ..at }
}

/// What was said outside of an item, in order; places of the sound text.
fn said(diagnostics: &[Diagnostic], item: Span, gone: &Range<usize>) -> Vec<String> {
    let places = diagnostics.iter().filter_map(|one| Some((moved(one.primary()?, gone), one)));
    let outside = places.filter(|(at, _)| at.file.0 != 0 || at.span.end < item.start || at.span.start > item.end);
    let mut said: Vec<String> =
        outside.map(|(at, one)| format!("{}:{}..{} {}: {}", at.file.0, at.span.start, at.span.end, one.code, one.message)).collect();
    said.sort();
    said
}

/// The trees of the items that `apart` says are not touched.
fn trees(file: &File, apart: impl Fn(Span) -> bool) -> Vec<String> {
    let untouched = file.items.iter().filter(|item| apart(item.span()));
    untouched.map(|item| dump(&File { items: vec![item.clone()] })).collect()
}

#[test]
fn a_missing_token_costs_one_block() {
    let (mut tried, mut broken, mut failed) = (0, 0, Vec::new());
    for (name, source) in sources() {
        let (file, before) = parse(&source);
        for token in tokens(&source, 3) {
            let (damaged, gone) = without(&source, &token);
            let (after_file, after) = parse(&damaged);
            tried += 1;
            let here = format!("{name} without {:?} at {}", &source[token.clone()], token.start);
            let whole = after_file.items.iter().all(|item| !matches!(item, Item::Broken(_)));
            assert!(whole || !after.is_empty(), "{here}: a broken item, and nothing is said");
            if after.is_empty() {
                assert!(format(&damaged).is_ok(), "{here}: nothing is said, but it cannot be formatted");
                continue;
            }
            broken += 1;
            let Some(item) = item_of(&file, &token).filter(|item| !among_broken(&file, *item)) else { continue };
            let (was, is) = (said(&before, item, &(0..0)), said(&after, item, &gone));
            if was != is {
                failed.push(format!("{here}:\n  {was:?}\n  {is:?}"));
            }
            let mut was = trees(&file, |span| span.end < item.start || span.start > item.end);
            let is = trees(&after_file, |span| {
                let span = moved(Location { span, ..Location::default() }, &gone).span;
                span.end < item.start || span.start > item.end
            });
            was.retain(|tree| !is.contains(tree));
            if !was.is_empty() {
                failed.push(format!("{here} hides {was:?}"));
            }
        }
    }
    assert!(failed.is_empty(), "{} of {tried}:\n{}", failed.len(), failed.join("\n"));
    assert!(tried > 3000 && broken > 2000, "{tried}, {broken}");
}

fn checked(source: &str) -> Vec<Diagnostic> {
    let world = TestWorld::new()
        .file("main.mlp", source)
        .file("colours.txt", "red\ngreen\nblue\n")
        .file("photo.png", "")
        .with_weights()
        .model("colours.onnx", "c0ffee", "x f32[batch, 3]", "y f32[batch, 3]");
    check(&world, "main.mlp").diagnostics().to_vec()
}

/// True where an item lost what it is or what it is called: it may be what another asks for in vain.
fn lost_its_name(source: &str, item: Span, token: &Range<usize>) -> bool {
    let head = item.text(source).split(['{', '(', '=']).next().unwrap_or("");
    token.end <= item.start as usize + head.len()
}

/// What a broken item gives to others cannot be told, so nothing new is said of those others, and what was said of them is still said, but where they depend on it.
#[test]
fn a_broken_block_changes_nothing_that_is_said_of_others() {
    let (mut broken, mut failed) = (0, Vec::new());
    for (name, source) in sources() {
        let (file, _) = parse(&source);
        let before = checked(&source);
        for token in tokens(&source, 6) {
            let Some(item) = item_of(&file, &token).filter(|item| !among_broken(&file, *item)) else { continue };
            let (damaged, gone) = without(&source, &token);
            let after = checked(&damaged);
            let hurt = parse(&damaged).0.items.iter().any(|one| {
                let span = moved(Location { span: one.span(), ..Location::default() }, &gone).span;
                matches!(one, Item::Broken(_)) && span.start <= item.end && item.start <= span.end
            });
            if !hurt {
                continue;
            }
            broken += 1;
            let (was, is) = (said(&before, item, &(0..0)), said(&after, item, &gone));
            // What only that token used is used no more.
            let unused = format!("`{}` is imported but never used", &source[token.clone()]);
            let new: Vec<_> = is.iter().filter(|one| !was.contains(one) && !one.ends_with(&unused)).collect();
            let depend = dependents(&source, &file, item);
            let independent = |one: &&String| {
                let start = one.split([':', '.']).nth(1).and_then(|start| start.parse::<usize>().ok());
                one.starts_with("0:") && start.is_some_and(|start| !depend.iter().any(|span| span.range().contains(&start)))
            };
            let lost = lost_its_name(&source, item, &token);
            let asked = |one: &&String| !lost || !(one.contains(" E0101: there is no ") || one.contains(" E0502: "));
            let gone: Vec<_> = was.iter().filter(|one| !is.contains(one)).filter(independent).filter(asked).collect();
            if !(new.is_empty() && gone.is_empty()) {
                failed.push(format!("{name} without {:?} at {}:\n  new {new:?}\n  gone {gone:?}", &source[token.clone()], token.start));
            }
        }
    }
    assert!(failed.is_empty(), "{} of {broken}:\n{}", failed.len(), failed.join("\n"));
    assert!(broken > 1000, "{broken}");
}
