//! Every error page's wrong example raises its code, and no other error; its right example raises nothing.
//!
//! The examples share a small world: a model `colours.onnx` with the file `colours.txt` of its three labels, a photo, and `shapes.mlp` with two pipelines.

mod world;

use mlp_analysis::{Diagnostic, check};
use mlp_syntax::Code;
use world::TestWorld;

const SHAPES: &str = "edition 2026
use std.vision.{ resize }

pipeline Double(x: f32[3]) -> f32[3] {
  return x + x
}

pipeline Mean(photo: image<rgb>) -> f32[1, 3] {
  return resize(photo, 1x1) |> Row
}

pipeline Row(pixels: f32[1, W, C]) -> f32[W, C] {
  return unbatch(pixels)
}

use std.tensor.{ unbatch }
";

/// The fenced examples of a page, each with what follows `mlp` on its first line.
fn examples(page: &str) -> Vec<(String, String)> {
    let blocks = page.split("```mlp").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter_map(|block| block.split_once('\n')).map(|(info, text)| (info.trim().to_owned(), text.to_owned())).collect()
}

fn diagnostics(source: &str) -> Vec<Diagnostic> {
    let world = TestWorld::new()
        .file("main.mlp", source)
        .file("shapes.mlp", SHAPES)
        .file("colours.txt", "red\ngreen\nblue\n")
        .file("photo.png", "")
        .with_tokenizers()
        .with_weights()
        .model("colours.onnx", "c0ffee", "x f32[batch, 3]", "y f32[batch, 3]")
        .model("voice.onnx", "f00d", "audio f32[1, 512]; h f32[1, 64]", "speech f32[1, 1]; hn f32[1, 64]");
    let analysis = check(&world, "main.mlp");
    analysis.diagnostics().to_vec()
}

/// With what a build would add, for the pages of its codes.
fn diagnostics_for(code: Code, source: &str) -> Vec<Diagnostic> {
    let mut found = diagnostics(source);
    if code == Code::E0901 {
        let world = TestWorld::new().file("main.mlp", source);
        found.extend(check(&world, "main.mlp").program().left_out().diagnostics.iter().cloned());
    }
    found
}

#[test]
fn every_page_holds() {
    let mut failures = Vec::new();
    for &code in Code::ALL {
        let page = code.page();
        if !page.starts_with(&format!("# {code}: {}\n", code.title())) {
            failures.push(format!("{code}: the page's title is another"));
        }
        let examples = examples(page);
        let [(info, wrong), (_, right)] = examples.as_slice() else {
            failures.push(format!("{code}: {} examples", examples.len()));
            continue;
        };
        let mut wrong = wrong.clone();
        if let Some(count) = info.strip_prefix("repeat=").and_then(|count| count.parse().ok()) {
            let last = wrong.lines().last().unwrap_or("").to_owned() + "\n";
            wrong.push_str(&last.repeat(count));
        }
        let found = diagnostics_for(code, &wrong);
        let raised = found.iter().any(|diagnostic| diagnostic.code == code);
        let others = found.iter().any(|diagnostic| diagnostic.is_error() && diagnostic.code != code);
        if !raised || others {
            failures.push(format!("{code}, wrong: {found:#?}"));
        }
        let found = diagnostics_for(code, right);
        if !found.is_empty() {
            failures.push(format!("{code}, right: {found:#?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_finding_says_where_and_what_to_do() {
    for &code in Code::ALL {
        let Some((_, wrong)) = examples(code.page()).into_iter().next() else { continue };
        for diagnostic in diagnostics(&wrong) {
            assert!(!diagnostic.labels.is_empty(), "{code}: {diagnostic:?}");
            let remedy = diagnostic.help.is_some() || diagnostic.fix.is_some() || code == Code::E0006;
            assert!(remedy, "{code}: {diagnostic:?}");
            assert!(!diagnostic.message.ends_with('.'), "{code}: {diagnostic:?}");
        }
    }
}

/// Applies the first fix that each wrong example is offered; the code must be gone.
#[test]
fn fixes_remove_their_cause() {
    let mut fixed = 0;
    for &code in Code::ALL {
        let Some((_, wrong)) = examples(code.page()).into_iter().next() else { continue };
        let found = diagnostics(&wrong);
        let Some(fix) = found.iter().filter(|diagnostic| diagnostic.code == code).find_map(|diagnostic| diagnostic.fix.clone()) else {
            continue;
        };
        let mut text = wrong.clone();
        text.replace_range(fix.at.span.range(), &fix.replacement);
        let after = diagnostics(&text);
        assert!(after.iter().all(|diagnostic| diagnostic.code != code), "{code}: {text}\n{after:#?}");
        fixed += 1;
    }
    assert!(fixed >= 12, "only {fixed} pages show a fix");
}
