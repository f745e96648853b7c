//! The reference lists every function of the standard library with its signature and its comment, as the library itself has them.

use mlp_analysis::STD_MODULES;
use mlp_syntax::ast::{Item, PipelineKind};
use mlp_syntax::{Span, parse};
use std::fmt::Write as _;
use std::path::Path;

const HEAD: &str = "# Functions of the standard library

What each takes and gives, and what its comment says. A parameter with `=` may be left out; `..S` stands for any number of dimensions. What stands left of `|>` is the first parameter, and every
function of `std.tensor` is a method too: `scores.max()`. The list is made from the library's sources.
";

/// The comment of a module: the first lines of `///` of which no item follows right behind.
fn comment(source: &str) -> String {
    let paragraphs = source.split("\n\n").filter(|paragraph| paragraph.lines().all(|line| line.starts_with("///")));
    let lines = paragraphs.flat_map(|paragraph| paragraph.lines().map(|line| line.trim_start_matches("///").trim_start().to_owned()));
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

fn chapter() -> String {
    let mut page = HEAD.to_owned();
    for module in STD_MODULES {
        writeln!(page, "\n## {}\n\n{}", module.name, comment(module.source)).unwrap();
        for item in &parse(module.source).0.items {
            let Item::Pipeline(node) = item else { continue };
            let word = if node.kind == PipelineKind::Layer { "layer " } else { "" };
            let signature = Span { start: node.name.span.start, end: node.result.span.end }.text(module.source);
            writeln!(page, "\n### `{}`\n\n```text\n{word}{signature}\n```\n\n{}", node.name.text, node.doc).unwrap();
        }
    }
    page
}

#[test]
fn the_chapter_of_functions_is_what_the_library_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dsl-spec/spec/13-functions.md");
    let made = chapter();
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "dsl-spec/spec/13-functions.md is not what the library says: run this test with INSTA_UPDATE=always");
}
