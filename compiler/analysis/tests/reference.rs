//! The reference says what is so: each of its examples raises what it states, has the types that it states, and is written in the language's style.

mod world;

use mlp_analysis::{Analysis, Body, check};
use mlp_syntax::{Code, format};
use std::path::Path;
use world::TestWorld;

const SHAPES: &str = "edition 2026

pipeline Double(x: f32[3]) -> f32[3] {
  return x + x
}

pipeline Triple(x: f32[3]) -> f32[3] {
  return x + x + x
}
";

/// An example: where it stands, what follows `mlp` on its first line, and its text as a whole file.
struct Example {
    place: String,
    info: String,
    text: String,
}

fn examples() -> Vec<Example> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dsl-spec/spec");
    let mut chapters: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    chapters.sort();
    let mut examples = Vec::new();
    for chapter in chapters {
        let page = std::fs::read_to_string(&chapter).unwrap();
        let name = chapter.file_name().unwrap().to_string_lossy().into_owned();
        for (line, rest) in page.match_indices("```mlp").map(|(at, mark)| (page[..at].matches('\n').count() + 1, &page[at + mark.len()..]))
        {
            let (info, text) = rest.split_once('\n').unwrap();
            let text = text.split("```").next().unwrap();
            let text = if text.starts_with("edition") { text.to_owned() } else { format!("edition 2026\n\n{text}") };
            examples.push(Example { place: format!("{name}:{line}"), info: info.trim().to_owned(), text });
        }
    }
    examples
}

fn analyze(text: &str) -> Analysis {
    let labels: String = (0..1000).map(|label| format!("label {label}\n")).collect();
    let world = TestWorld::new()
        .file("main.mlp", text)
        .file("shapes.mlp", SHAPES)
        .file("imagenet.txt", &labels)
        .file("colours.txt", "red\ngreen\nblue\n")
        .file("photo.png", "")
        .with_tokenizers()
        .file("reference.npy", "")
        .with_weights()
        .model("objects.onnx", "0b1ec7", "image f32[batch, 3, 224, 224]", "logits f32[batch, 1000]")
        .model("colours.onnx", "c0ffee", "x f32[batch, 3]", "y f32[batch, 3]")
        .model("voice.onnx", "f00d", "audio f32[1, 512]; h f32[1, 64]", "speech f32[1, 1]; hn f32[1, 64]");
    check(&world, "main.mlp")
}

/// The statements `name = value //: type` of a text: line from 0, name and type.
fn stated(text: &str) -> Vec<(usize, String, String)> {
    let one = |(line, source): (usize, &str)| {
        let (code, ty) = source.split_once("//: ")?;
        Some((line, code.split('=').next()?.trim().to_owned(), ty.trim().to_owned()))
    };
    text.lines().enumerate().filter_map(one).collect()
}

#[test]
fn every_example_holds() {
    let examples = examples();
    assert!(examples.len() >= 40, "only {} examples", examples.len());
    let mut failures = Vec::new();
    let mut types = 0;
    for Example { place, info, text } in &examples {
        let analysis = analyze(text);
        let found = analysis.diagnostics();
        let holds = match info.split_once('=') {
            Some(("error", code)) => {
                let code = Code::from_name(code).unwrap_or_else(|| panic!("{place}: no code {code}"));
                found.iter().any(|one| one.code == code) && found.iter().all(|one| one.code == code || !one.is_error())
            }
            None if info == "later" => found.iter().all(|one| one.code == Code::E0009 || !one.is_error()),
            None if info.is_empty() => found.is_empty(),
            _ => panic!("{place}: what is `{info}`?"),
        };
        if !holds {
            failures.push(format!("{place} ({info}): {found:#?}"));
        }
        for (line, name, ty) in stated(text) {
            types += 1;
            let program = analysis.program();
            let start = |at: mlp_analysis::Location| program.line_column(at).map(|place| place.line as usize - 1);
            let bodies = program.pipelines.iter().filter(|pipeline| pipeline.at.file.0 == 0).filter_map(|pipeline| match &pipeline.body {
                Body::Steps { locals, .. } => Some(locals),
                _ => None,
            });
            let local = bodies.flatten().find(|local| local.name == name && start(local.value.at) == Some(line));
            let actual = local.map(|local| program.show(&local.value.ty));
            if actual.as_deref() != Some(&*ty) {
                failures.push(format!("{place}: `{name}` is {actual:?}, not `{ty}`"));
            }
        }
        match format(text) {
            Ok(formatted) if formatted != *text => failures.push(format!("{place} is not in the style:\n{formatted}")),
            Err(error) if info.is_empty() || info == "later" => failures.push(format!("{place}: {error:?}")),
            _ => {}
        }
    }
    assert!(types >= 5, "only {types} types are stated");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn the_index_names_every_chapter() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dsl-spec/spec");
    let index = std::fs::read_to_string(folder.join("README.md")).unwrap();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(name == "README.md" || index.contains(&format!("({name})")), "{name} is not in the index");
    }
}
