//! A token that is missing somewhere: nothing panics, what no longer parses is reported, and every other block keeps its diagnostics.
//!
//! Every third token of files up to [`SMALL`] bytes is left out in turn, every eleventh of larger ones.

mod world;

use mlp_analysis::check;
use mlp_syntax::ast::Item;
use mlp_syntax::{Diagnostic, File, Span, format, parse};
use std::collections::BTreeSet;
use world::TestWorld;

/// The size in bytes up to which a file counts as small.
const SMALL: usize = 500;

fn sources() -> Vec<(String, String)> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let patterns = ["dsl-spec/corpus/*/*.mlp", "examples/*/*.mlp", "stdlib/*.mlp", "compiler/analysis/tests/mistakes/*.mlp"];
    let paths = patterns.iter().flat_map(|pattern| glob::glob(&format!("{root}/{pattern}")).unwrap()).map(Result::unwrap);
    let text = |path: &std::path::Path| std::fs::read_to_string(path).unwrap().replace(['«', '»'], "");
    paths.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), text(&path))).collect()
}

fn tokens(source: &str) -> Vec<(usize, usize)> {
    let mut tokens = Vec::new();
    let mut chars = source.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        if c.is_whitespace() {
            continue;
        }
        let mut end = start + c.len_utf8();
        if c.is_alphanumeric() || c == '_' {
            while let Some((at, c)) = chars.next_if(|(_, c)| c.is_alphanumeric() || *c == '_') {
                end = at + c.len_utf8();
            }
        }
        tokens.push((start, end));
    }
    let step = if source.len() <= SMALL { 3 } else { 11 };
    tokens.into_iter().step_by(step).collect()
}

/// What was said of the items other than those that touch `around`, with places counted as if `removed` bytes after it were still there.
fn elsewhere(file: &File, diagnostics: &[Diagnostic], around: Span, removed: u32) -> BTreeSet<String> {
    let apart = |item: &&Item| item.span().end < around.start || item.span().start > around.end;
    let spans: Vec<Span> = file.items.iter().filter(apart).map(Item::span).collect();
    let mut said = BTreeSet::new();
    for diagnostic in diagnostics {
        let Some(at) = diagnostic.primary().map(|at| at.span) else { continue };
        if spans.iter().any(|span| span.start <= at.start && at.end <= span.end) {
            let moved = if at.start > around.end { removed } else { 0 };
            said.insert(format!("{}..{} {}: {}", at.start + moved, at.end + moved, diagnostic.code, diagnostic.message));
        }
    }
    said
}

/// The item that a byte lies in.
fn item_at(file: &File, at: usize) -> Option<&Item> {
    file.items.iter().find(|item| item.span().range().contains(&at))
}

#[test]
fn a_missing_token_costs_one_block() {
    let (mut tried, mut broken) = (0, 0);
    for (name, source) in sources() {
        let (file, before) = parse(&source);
        for (start, end) in tokens(&source) {
            let mut damaged = source.clone();
            damaged.replace_range(start..end, "");
            let (after_file, after) = parse(&damaged);
            tried += 1;
            let whole = after_file.items.iter().all(|item| !matches!(item, Item::Broken(_)));
            assert!(whole || !after.is_empty(), "{name} without {:?} at {start}: a broken item, and nothing is said", &source[start..end]);
            if after.is_empty() {
                assert!(
                    format(&damaged).is_ok(),
                    "{name} without {:?} at {start}: nothing is said, but it cannot be formatted",
                    &source[start..end]
                );
                continue;
            }
            broken += 1;
            let Some(item) = item_at(&file, start) else { continue };
            let gone = (end - start) as u32;
            let around = item.span();
            let left = Span { start: around.start, end: around.end - gone };
            // Where the token held two items apart, or was what began one, the neighbour is touched too.
            let count = |file: &File| file.items.len();
            if count(&file) != count(&after_file) || start == around.start as usize {
                continue;
            }
            let (was, is) = (elsewhere(&file, &before, around, 0), elsewhere(&after_file, &after, left, gone));
            assert_eq!(was, is, "{name} without {:?} at {start}", &source[start..end]);
        }
    }
    assert!(tried > 3000 && broken > 2000, "{tried}, {broken}");
}

fn errors(source: &str) -> (Vec<Diagnostic>, BTreeSet<String>) {
    let world = TestWorld::new().file("main.mlp", source).file("colours.txt", "red\ngreen\nblue\n").file("photo.png", "").model(
        "colours.onnx",
        "c0ffee",
        "x f32[batch, 3]",
        "y f32[batch, 3]",
    );
    let analysis = check(&world, "main.mlp");
    let said = analysis.diagnostics().iter().filter(|one| one.is_error()).map(|one| format!("{}: {}", one.code, one.message)).collect();
    (analysis.diagnostics().to_vec(), said)
}

/// An item whose inside is broken keeps its name, so what uses it is not called wrong for it.
#[test]
fn a_broken_block_raises_no_error_elsewhere() {
    let mut broken = 0;
    for (name, source) in sources() {
        let (file, _) = parse(&source);
        let (_, before) = errors(&source);
        // Half of them are enough: what is asked depends on the item more than on the token.
        for (start, end) in tokens(&source).into_iter().step_by(2) {
            let Some(item) = item_at(&file, start) else { continue };
            let mut damaged = source.clone();
            damaged.replace_range(start..end, "");
            let (after_file, _) = parse(&damaged);
            let Some(Item::Broken(header)) = item_at(&after_file, item.span().start as usize) else { continue };
            let head = item.span().text(&source).split(['{', '(', '=']).next().unwrap_or("");
            let kept = header.name.as_ref().is_some_and(|name| head.contains(&name.text) && start > name.span.end as usize);
            if !kept || after_file.items.len() != file.items.len() || matches!(item, Item::Use(_) | Item::Edition(_)) {
                continue;
            }
            broken += 1;
            let (found, _) = errors(&damaged);
            let inside = |one: &Diagnostic| {
                one.primary().is_some_and(|at| header.span.start <= at.span.start && at.span.end <= header.span.end || at.file.0 != 0)
            };
            for one in found.iter().filter(|one| one.is_error() && !inside(one)) {
                let said = format!("{}: {}", one.code, one.message);
                assert!(before.contains(&said), "{name} without {:?} at {start}: {one:#?}\n{damaged}", &source[start..end]);
            }
        }
    }
    assert!(broken > 200, "{broken}");
}
