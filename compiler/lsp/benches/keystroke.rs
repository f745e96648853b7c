//! How long a package of 10,000 lines takes to be checked, and how long after each key until the editor has the diagnostics.
//!
//! `cargo bench -p mlp-lsp --bench keystroke`. It prints the least, the median and the worst of each kind of edit; nothing is asserted. The least is what the work
//! takes; what is above it, others on the machine took. Colours and hints are what editors ask for after a key.

use ls_types::{Position, Range, TextDocumentContentChangeEvent, Uri};
use mlp_driver::host::Memory;
use mlp_lsp::Session;
use std::fmt::Write as _;
use std::str::FromStr;
use std::time::{Duration, Instant};

const LINES: usize = 10_000;

/// A package as people write them: pipelines that call each other, constants, types, monitors, budgets with outlets, hooks.
fn package() -> String {
    let mut text = String::from("edition 2026\n\nuse std.tensor.{ relu, softmax }\n\n");
    let mut lines = text.lines().count();
    let mut index = 0;
    while lines < LINES {
        let before = if index == 0 { "x".to_owned() } else { format!("Step{}(x).scores", index - 1) };
        // Chains are eight long, so that calls reach far without all of them being one chain.
        let start = if index % 8 == 0 { "x".to_owned() } else { before };
        write!(
            text,
            "/// Step {index}.\npipeline Step{index}(x: f32[16]) -> {{ scores: f32[16], best: f32[] }} {{\n  first  = {start}\n  second = first |> relu |> softmax\n  third  = \
             when second.max() > limit{index} {{\n    wide = second + first\n    wide * 0.5\n  }} else {{\n    second\n  }}\n  scores = loop y = third at_most 4 \
             {{ (y + third) / 2.0 }}\n  return {{ scores = scores |> softmax, best = scores.max() }} @timeout(8ms)\n}}\n\nconst limit{index} = 0.{}\n\nmonitor Health{index} for \
             Step{index} {{\n  latency p95 < 16ms\n  memory peak < 64MiB\n  drift Step{index}.scores {{ test = psi, alpha = 1% over lifetime }}\n}}\n\nbudget \
             Budget{index} {{\n  unit    = user\n  window  = lifetime\n  epsilon = 1.0\n}}\n\noutlet Usage{index} from Step{index}.scores {{\n  spend     = \
             Budget{index}\n  mechanism = laplace(epsilon = 0.02)\n  at_most   = 4\n}}\n\nhook useStep{index} for Step{index} {{ prefer = [webgpu, wasm], \
             monitor = Health{index} }}\n\n",
            index % 9 + 1
        )
        .expect("a string takes every text");
        lines = text.lines().count();
        index += 1;
    }
    text
}

/// The position of a byte.
fn position(text: &str, at: usize) -> Position {
    let before = &text[..at];
    let line = before.matches('\n').count();
    Position::new(line as u32, (at - before.rfind('\n').map_or(0, |at| at + 1)) as u32)
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let (least, median, worst) = (ms(times[0]), ms(times[times.len() / 2]), ms(times[times.len() - 1]));
    println!("{what:<44} least {least:7.2} ms   median {median:7.2} ms   worst {worst:7.2} ms");
}

/// Types a text at a place in the middle of the package, a key at a time, and takes it out again.
fn typing(what: &str, text: &str, needle: &str, keys: &str) {
    let uri = Uri::from_str("file:///package/main.mlp").expect("a URI");
    let mut session = Session::new(Box::new(Memory::default()));
    session.open(uri.clone(), 1, text.to_owned());
    let middle = text.len() / 2;
    let at = middle + text[middle..].find(needle).expect("the text is there") + needle.len();
    let start = position(text, at);
    let (mut typed, mut erased, mut coloured, mut hinted) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let screen = Range::new(Position::new(start.line.saturating_sub(30), 0), Position::new(start.line + 30, 0));
    for round in 0..5 {
        for (count, key) in keys.chars().enumerate() {
            let here = Position::new(start.line, start.character + count as u32);
            let change = TextDocumentContentChangeEvent { range: Some(Range::new(here, here)), range_length: None, text: key.to_string() };
            let began = Instant::now();
            session.change(&uri, 2 + round, vec![change]);
            typed.push(began.elapsed());
            let began = Instant::now();
            assert!(session.semantic_tokens(&uri).is_some());
            coloured.push(began.elapsed());
            let began = Instant::now();
            assert!(session.hints(&uri, screen).is_some());
            hinted.push(began.elapsed());
        }
        for count in (0..keys.chars().count()).rev() {
            let here = Position::new(start.line, start.character + count as u32);
            let next = Position::new(here.line, here.character + 1);
            let change = TextDocumentContentChangeEvent { range: Some(Range::new(here, next)), range_length: None, text: String::new() };
            let began = Instant::now();
            session.change(&uri, 2 + round, vec![change]);
            erased.push(began.elapsed());
        }
    }
    report(&format!("{what}, a key typed"), typed);
    report(&format!("{what}, a key erased"), erased);
    report("    then the colours of all of it", coloured);
    report("    then the hints on the screen", hinted);
}

fn main() {
    let text = package();
    println!("{} lines, {} bytes", text.lines().count(), text.len());
    let uri = Uri::from_str("file:///package/main.mlp").expect("a URI");
    let mut times = Vec::new();
    let mut found = 0;
    for _ in 0..10 {
        let mut session = Session::new(Box::new(Memory::default()));
        let began = Instant::now();
        let published = session.open(uri.clone(), 1, text.clone());
        times.push(began.elapsed());
        found = published.iter().map(|one| one.diagnostics.len()).sum();
    }
    println!("{found} diagnostics");
    report("all of it, from scratch", times);
    typing("inside a body", &text, "wide = second + first", " * 2.0 + first");
    typing("in a comment", &text, "/// Step", " or so");
    typing("in a signature", &text, "-> { scores: f32[16]", ", more: f32[16]");
    typing("a new block", &text, "[webgpu, wasm], monitor = Health", "9");
    typing("in the name of a constant", &text, "const limit", "x");
}
