//! Mistakes that people make, each in a file of its own with the place between « and »: the first error has the code that the file's first line states,
//! points at the place, and its fix leaves a program without errors.

mod world;

use mlp_analysis::{Analysis, check};
use mlp_syntax::Diagnostic;
use std::fmt::Write as _;
use world::TestWorld;

const SHAPES: &str = "edition 2026\n\npipeline Triple(x: f32[3]) -> f32[3] {\n  return x + x + x\n}\n";

fn analyse(source: &str) -> Analysis {
    let world = TestWorld::new()
        .file("main.mlp", source)
        .file("shapes.mlp", SHAPES)
        .file("colours.txt", "red\ngreen\nblue\n")
        .file("photo.png", "")
        .with_tokenizers()
        .model("colours.onnx", "c0ffee", "x f32[batch, 3]", "y f32[batch, 3]")
        .model("voice.onnx", "f00d", "audio f32[1, 512]; h f32[1, 64]", "speech f32[1, 1]; hn f32[1, 64]");
    check(&world, "main.mlp")
}

fn first_error(analysis: &Analysis) -> Option<&Diagnostic> {
    analysis.diagnostics().iter().find(|diagnostic| diagnostic.is_error())
}

/// A file's stated code, its text without the marks, and the marked bytes.
fn marked(text: &str) -> Option<(String, String, std::ops::Range<usize>)> {
    let code = text.trim_start_matches(['«', '»']).strip_prefix("// ")?.split(':').next()?.to_owned();
    let start = text.find('«')?;
    let end = text.find('»')? - '«'.len_utf8();
    Some((code, text.replace(['«', '»'], ""), start..end))
}

/// What is wrong with how a mistake is met; what is said of it goes to `said`.
fn examine(name: &str, text: &str, said: &mut String) -> Result<(), String> {
    let (code, source, place) = marked(text).ok_or("the file does not state a code and a place")?;
    let analysis = analyse(&source);
    let found = first_error(&analysis).ok_or("no error is found")?;
    let label = found.labels.first().ok_or("the error points nowhere")?;
    writeln!(said, "{name}\n  {}: {}\n  `{}`: {}", found.code, found.message, label.at.span.text(&source), label.text).unwrap();
    found.help.iter().for_each(|help| writeln!(said, "  help: {help}").unwrap());
    let fix = found.fix.as_ref().ok_or_else(|| format!("there is no fix: {found:#?}"))?;
    writeln!(said, "  fix: {:?} for {:?}", fix.replacement, fix.at.span.text(&source)).unwrap();
    if found.code.name() != code {
        return Err(format!("expected {code}: {found:#?}"));
    }
    if label.at.span.range() != place || label.at.file.0 != 0 {
        return Err(format!("it points at `{}`, not at `{}`: {found:#?}", label.at.span.text(&source), &source[place]));
    }
    let mut fixed = source.clone();
    fixed.replace_range(fix.at.span.range(), &fix.replacement);
    match first_error(&analyse(&fixed)) {
        Some(left) => Err(format!("after the fix: {left:#?}\n{fixed}")),
        None => Ok(()),
    }
}

#[test]
fn every_mistake_is_named_and_can_be_undone() {
    let pattern = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mistakes/*.mlp");
    let mut paths: Vec<_> = glob::glob(pattern).unwrap().map(Result::unwrap).collect();
    paths.sort();
    assert!(paths.len() >= 100, "only {} mistakes", paths.len());
    let mut failures = String::new();
    let mut said = String::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy();
        if let Err(failure) = examine(&name, &text, &mut said) {
            writeln!(failures, "{name}: {failure}").unwrap();
        }
    }
    assert!(failures.is_empty(), "{failures}");
    insta::assert_snapshot!(said);
}
