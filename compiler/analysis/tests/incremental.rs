//! A check that takes over what an earlier one knows gives what a check from scratch gives, whatever was edited in between.

mod world;

use mlp_analysis::{Analysis, check, recheck};
use proptest::prelude::*;
use world::TestWorld;

const MAIN: &str = r#"edition 2026

use std.tensor.{ argmax, softmax, unbatch }
use "./other.mlp".{ Triple, rate }

const limit = 0.5

type Scores = f32[3]

model Colours {
  source = onnx("./colours.onnx")
  input  x: f32[N, 3]
  output y: f32[N, 3] @labels("./colours.txt")
}

/// Twice.
pipeline Double(x: f32[3]) -> f32[3] {
  return x + x
}

pipeline Name(x: f32[1, 3]) -> { best: label<Colours.y>, scores: f32[3] } {
  scores = x |> Colours |> unbatch |> softmax
  return { best = argmax(scores), scores }
}

pipeline Chain(x: f32[3]) -> Scores {
  unread = x
  y = when x.max() > limit { Double(x) } else { x |> Triple }
  return y * rate
}

budget Clinic {
  unit    = user
  window  = lifetime
  epsilon = 1.0
}

outlet Usage from Name.best {
  spend     = Clinic
  mechanism = randomized_response(epsilon = 0.02)
  at_most   = 4
}

monitor Health for Chain {
  latency p95 < 16ms
  drift Chain { test = psi }
}

const share = 0.25

budget Trial {
  unit    = device
  epsilon = share
}

outlet Scores2 from Name.scores {
  spend     = Trial
  mechanism = laplace(epsilon = 0.1)
  at_most   = 2
}

hook useChain for Chain { prefer = [wasm], monitor = Health }

hook useName for Name { outlet = Usage }
"#;

const OTHER: &str = "edition 2026\n\nconst rate = 2.0\n\npipeline Triple(x: f32[3]) -> f32[3] {\n  return x + x + x\n}\n";

fn world(main: &str, other: &str) -> TestWorld {
    TestWorld::new().file("main.mlp", main).file("other.mlp", other).file("colours.txt", "red\ngreen\nblue\n").model(
        "colours.onnx",
        "c0ffee",
        "x f32[batch, 3]",
        "y f32[batch, 3]",
    )
}

/// Everything that a check gives, as text.
fn shown(analysis: &Analysis) -> String {
    let program = analysis.program();
    format!(
        "{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}",
        analysis.diagnostics(),
        program.pipelines,
        program.models,
        program.declarations,
        program.hooks,
        program.consts,
        (&program.labels, &program.aliases, &program.layers, &program.tests, program.left_out())
    )
}

/// The analysis after an edit, made from the one before, which must be what a check from scratch gives.
fn step(before: Analysis, main: &str, other: &str) -> Result<Analysis, TestCaseError> {
    let world = world(main, other);
    let again = recheck(&world, "main.mlp", before);
    let anew = check(&world, "main.mlp");
    prop_assert_eq!(shown(&again), shown(&anew), "of\n{}", main);
    Ok(again)
}

/// A place to edit, as a part of the text, how much is left out there, and what is written instead.
fn edits() -> impl Strategy<Value = Vec<(bool, f64, usize, &'static str)>> {
    let texts = vec![
        "",
        "",
        "x",
        "y",
        " ",
        "\n",
        "{",
        "}",
        "(",
        ")",
        "\"",
        "//",
        "= 1",
        "limit",
        "Double",
        "Triple",
        "f32",
        "3",
        "4",
        ".max()",
        "|> softmax",
        "\npipeline New(x: f32[3]) -> f32[3] {\n  return Double(x)\n}\n",
        "const more = 3\n",
        "labels Kinds = [\"a\"]\n",
        "type T = f32[4]\n",
        "ü",
        "Name",
        "Chain",
        "Trial",
        "share",
        "\nmonitor First for Double {\n  latency p50 < 9ms\n}\n",
        "\nbudget More {\n  unit = user\n  epsilon = 2.0\n}\n",
        "\nhook useDouble for Double { monitor = First }\n",
    ];
    proptest::collection::vec(
        (prop::bool::weighted(0.8), 0.0..1.0f64, prop_oneof![Just(0usize), 0..4usize, 0..30usize], prop::sample::select(texts)),
        1..8,
    )
}

fn edit(text: &mut String, at: f64, length: usize, with: &str) {
    let mut start = (text.len() as f64 * at) as usize;
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = (start + length).min(text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    text.replace_range(start..end, with);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn edits_give_what_checking_gives(edits in edits()) {
        let (mut main, mut other) = (MAIN.to_owned(), OTHER.to_owned());
        let mut analysis = check(&world(&main, &other), "main.mlp");
        for (in_main, at, length, with) in edits {
            edit(if in_main { &mut main } else { &mut other }, at, length, with);
            analysis = step(analysis, &main, &other)?;
        }
    }
}

/// Edits of one item after another, each undone again: names that appear and vanish, signatures that change, circles.
#[test]
fn what_depends_on_an_edit_is_checked_again() {
    let edits = [
        ("return x + x\n", "return x - x\n"),
        ("Double(x: f32[3]) -> f32[3] {\n  return x + x", "Double(x: f32[4]) -> f32[4] {\n  return x + x"),
        ("pipeline Double", "pipeline Doubled"),
        ("const limit = 0.5", "const limit = 50%"),
        ("const limit = 0.5\n", ""),
        ("type Scores = f32[3]", "type Scores = f32[5]"),
        ("return x + x\n", "return Chain(x)\n"),
        ("/// Twice.", "/// Two times.\n/// Really."),
        ("Triple, rate", "rate"),
        ("pipeline Double(x: f32[3]) -> f32[3] {", "pipeline Double(x: f32[3]) -> f32[3] "),
        ("edition 2026\n", "edition 2026\nlabels First = [\"a\", \"b\"]\npipeline Zero(x: f32[3]) -> f32[3] { return x }\n"),
        ("output y: f32[N, 3]", "output y: f32[N, 4]"),
        ("return y * rate", "unused = y\n  return y * rate"),
        ("monitor Health for Chain", "monitor Health for Double"),
        ("drift Chain", "drift Double"),
        ("const share = 0.25", "const share = 2.0"),
        ("const share = 0.25", "const share = 0.05"),
        ("budget Trial", "budget Trials"),
        ("budget Clinic", "budget Zero {\n  unit    = user\n  epsilon = 1.0\n}\n\nbudget Clinic"),
        ("outlet Usage", "outlet Usages"),
        ("outlet Usage from Name.best", "outlet Usage from Name.scores"),
        ("budget Clinic {", "monitor Clinic for Chain {"),
        ("monitor = Health }", "monitor = Heal }"),
        ("hook useChain for Chain", "hook useName for Chain"),
        ("hook useChain for Chain", "hook useChain for Double"),
        ("scores = x |> Colours |> unbatch |> softmax", "scores = x |> Colours |> unbatch"),
    ];
    let mut analysis = check(&world(MAIN, OTHER), "main.mlp");
    assert!(!analysis.has_errors(), "{:#?}", analysis.diagnostics());
    for (from, to) in edits {
        assert!(MAIN.contains(from), "{from}");
        let edited = MAIN.replacen(from, to, 1);
        analysis = step(analysis, &edited, OTHER).unwrap();
        analysis = step(analysis, MAIN, OTHER).unwrap();
    }
    // A circle that is cut open again gives back what it took.
    let chain = |last: &str| {
        format!(
            "{MAIN}\npipeline X(x: f32[3]) -> f32[3] {{ return Z(x) }}\npipeline W(x: f32[3]) -> f32[3] {{ return Z(x) }}\npipeline Z(x: f32[3]) -> f32[3] {{ return {last} }}\n"
        )
    };
    for last in ["x", "W(x)", "X(x)", "x", "W(x) + X(x)", "x"] {
        analysis = step(analysis, &chain(last), OTHER).unwrap();
    }
    // A block that is imported from now on.
    let block = "budget Trial {\n  unit    = device\n  epsilon = share\n}\n";
    let without = MAIN.replace(block, "").replace(".{ Triple, rate }", ".{ Triple, rate, Trial }");
    assert_ne!(without, MAIN);
    let moved = format!("{OTHER}\n{}", block.replace("share", "0.25"));
    for _ in 0..2 {
        analysis = step(analysis, &without, &moved).unwrap();
        analysis = step(analysis, MAIN, &moved).unwrap();
        analysis = step(analysis, MAIN, OTHER).unwrap();
    }
    for (from, to) in
        [("rate = 2.0", "rate = 3.0"), ("Triple(x: f32[3]) -> f32[3]", "Triple(x: f32[3]) -> f32[3]?"), ("const rate = 2.0", "")]
    {
        analysis = step(analysis, MAIN, &OTHER.replacen(from, to, 1)).unwrap();
        analysis = step(analysis, MAIN, OTHER).unwrap();
    }
}

/// What a file outside the package decides is asked again, though every text is the same.
#[test]
fn what_depends_on_a_file_is_checked_again() {
    let main = "edition 2026\n\npipeline Double(x: f32[3]) -> f32[3] {\n  return x + x\n}\n\nmonitor Health for Double {\n  \
                drift Double { test = psi, reference = samples(\"./before.npy\") }\n}\n";
    let without = || world(main, OTHER);
    let with = || without().file("before.npy", "");
    let missing = check(&without(), "main.mlp");
    assert!(missing.has_errors());
    let there = recheck(&with(), "main.mlp", missing);
    assert!(!there.has_errors(), "{:#?}", there.diagnostics());
    assert!(recheck(&without(), "main.mlp", there).has_errors());
}
