//! What checking says of programs that parse but mean nothing, and that no damaged program makes it panic.

mod world;

use mlp_analysis::{Analysis, check};
use mlp_syntax::LineIndex;
use std::fmt::Write as _;
use std::fs;
use world::TestWorld;

fn analyse(source: &str) -> Analysis {
    let world = TestWorld::new()
        .with_weights()
        .file("main.mlp", source)
        .file("colours.txt", "red\ngreen\nblue\n")
        .file("photo.png", "")
        .model("colours.onnx", "c0ffee", "x f32[batch, 3]", "y f32[batch, 3]")
        .model("voice.onnx", "f00d", "audio f32[1, 512]; h f32[1, 64]", "speech f32[1, 1]; hn f32[1, 64]");
    check(&world, "main.mlp")
}

fn render(source: &str, analysis: &Analysis) -> String {
    let lines = LineIndex::new(source);
    let mut out = String::new();
    for diagnostic in analysis.diagnostics() {
        let warning = if diagnostic.is_error() { "" } else { " (warning)" };
        writeln!(out, "{}{warning}: {}", diagnostic.code, diagnostic.message).unwrap();
        for label in &diagnostic.labels {
            assert_eq!(label.at.file.0, 0, "{diagnostic:?}");
            let place = lines.line_column(source, label.at.span.start);
            writeln!(out, "  {place} `{}`: {}", label.at.span.text(source).replace('\n', "\\n"), label.text).unwrap();
        }
        diagnostic.help.iter().for_each(|help| writeln!(out, "  help: {help}").unwrap());
        diagnostic.fix.iter().for_each(|fix| writeln!(out, "  fix: `{}`", fix.replacement).unwrap());
    }
    out
}

#[test]
fn meaningless_programs_are_explained() {
    insta::glob!("../../../dsl-spec/corpus", "check/*.mlp", |path| {
        let source = fs::read_to_string(path).unwrap();
        let analysis = analyse(&source);
        assert!(!analysis.diagnostics().is_empty());
        insta::assert_snapshot!(render(&source, &analysis));
    });
}

#[test]
fn no_damaged_program_makes_it_panic() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut programs = 0;
    for pattern in ["dsl-spec/corpus/*/*.mlp", "examples/*/*.mlp"] {
        for path in glob::glob(&format!("{root}/{pattern}")).unwrap() {
            let source = fs::read_to_string(path.unwrap()).unwrap();
            let lines: Vec<&str> = source.lines().collect();
            for skipped in 0..=lines.len() {
                let kept: Vec<&str> = lines.iter().enumerate().filter(|(index, _)| *index != skipped).map(|(_, line)| *line).collect();
                analyse(&kept.join("\n"));
                programs += 1;
            }
            let words: Vec<&str> = source.split_inclusive(' ').collect();
            for skipped in 0..words.len() {
                let kept: Vec<&str> = words.iter().enumerate().filter(|(index, _)| *index != skipped).map(|(_, word)| *word).collect();
                analyse(&kept.concat());
                programs += 1;
            }
        }
    }
    assert!(programs > 1000, "{programs}");
}

/// Whoever gives the proof of checking has no errors, in whatever was checked.
#[test]
fn only_programs_without_errors_are_checked() {
    let good = analyse("edition 2026\n\npipeline Same(x: f32[3]) -> f32[3] {\n  return x\n}\n");
    assert!(good.into_checked().is_ok());
    let bad = analyse("edition 2026\n\npipeline Same(x: f32[3]) -> f32[3] {\n  return y\n}\n");
    assert!(bad.into_checked().is_err());
}
