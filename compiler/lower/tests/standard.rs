//! The standard library's pipelines by the reference interpreter, against the same computed by hand, and what they refuse.

use mlp_analysis::{Checked, ModelSignature, Program, Weights, World, check};
use mlp_graph::{Tensor, eval};
use mlp_lower::{LowerError, lower};

/// A world of one source file.
struct One<'a>(&'a str);

impl World for One<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        if path == "main.mlp" { Ok(self.0.to_owned()) } else { Err("no such file".to_owned()) }
    }

    fn exists(&self, _path: &str) -> bool {
        false
    }

    fn signature(&self, path: &str) -> Result<ModelSignature, String> {
        Err(format!("there is no model {path}"))
    }

    fn weights(&self, path: &str) -> Result<Weights, String> {
        Err(format!("there is no {path}"))
    }
}

fn checked(uses: &str, body: &str) -> Checked<Program> {
    let source = format!("edition 2026\n{uses}\n{body}\n");
    let analysis = check(&One(&source), "main.mlp");
    let errors: Vec<_> = analysis.diagnostics().iter().filter(|diagnostic| diagnostic.is_error()).cloned().collect();
    analysis.into_checked().unwrap_or_else(|_| panic!("{errors:#?}"))
}

/// The numbers of each output of the only pipeline.
fn run(uses: &str, body: &str, inputs: &[Tensor]) -> Vec<Vec<f64>> {
    let program = checked(uses, body);
    let (id, _) = program.entries().next().expect("an entry");
    let lowered = lower(&program, id, &|_| Err("no models".to_owned())).unwrap_or_else(|error| panic!("{error}"));
    let outputs = eval::run(&lowered.graph, inputs).unwrap_or_else(|error| panic!("{error}"));
    outputs.iter().map(Tensor::to_f64).collect()
}

fn error(uses: &str, body: &str) -> String {
    let program = checked(uses, body);
    let (id, _) = program.entries().next().expect("an entry");
    match lower(&program, id, &|_| Err("no models".to_owned())) {
        Err(error @ LowerError::Operation { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

fn floats(shape: &[u64], values: &[f32]) -> Tensor {
    Tensor::from_f32(shape, values).unwrap()
}

#[test]
fn tensors_are_moved_and_reduced() {
    let uses = "use std.tensor.{ concat_last, mean_last, merge_last, power, reverse_last, slice_last, stretch_last, transpose }";
    let body = "pipeline P(x: f32[2, 3]) -> {
  a: f32[3, 2], b: f32[2], c: f32[2, 3], d: f32[2, 5], e: f32[6], f: f32[2, 3], g: f32[2, 3]
} {
  return {
    a = transpose(x),
    b = mean_last(x),
    c = x - stretch_last(mean_last(x), like = x),
    d = concat_last(x, slice_last(x, start = 1, count = 2)),
    e = merge_last(x),
    f = reverse_last(x),
    g = power(x, -1),
  }
}";
    let outputs = run(uses, body, &[floats(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 8.0, -3.0])]);
    assert_eq!(outputs[0], [1.0, 4.0, 2.0, 8.0, 3.0, -3.0]);
    assert_eq!(outputs[1], [2.0, 3.0]);
    assert_eq!(outputs[2], [-1.0, 0.0, 1.0, 1.0, 5.0, -6.0]);
    assert_eq!(outputs[3], [1.0, 2.0, 3.0, 2.0, 3.0, 4.0, 8.0, -3.0, 8.0, -3.0]);
    assert_eq!(outputs[4], [1.0, 2.0, 3.0, 4.0, 8.0, -3.0]);
    assert_eq!(outputs[5], [3.0, 2.0, 1.0, -3.0, 8.0, 4.0]);
    assert_eq!(outputs[6][..2], [1.0, 0.5]);
}

#[test]
fn functions_of_tensors_are_methods_too() {
    let outputs = run("", "pipeline P(x: f32[4]) -> f32[] { return x.sigmoid().max() }", &[floats(&[4], &[-1.0, 0.0, -3.0, -2.0])]);
    assert_eq!(outputs[0], [0.5]);
}

#[test]
fn what_does_not_fit_is_refused_at_its_place() {
    let slice = error("use std.tensor.{ slice_first }", "pipeline P(x: f32[4]) -> f32[3] { return slice_first(x, start = 2, count = 3) }");
    assert_eq!(slice, "main.mlp:3:42: `slice_first`: there are 4 elements, and 3 from 2 on are asked for; write less");
    let split = error("use std.tensor.{ split_first }", "pipeline P(x: f32[9]) -> f32[2, 4] { return split_first(x, parts = 2) }");
    assert!(split.contains("9 elements are not 2 equal parts"), "{split}");
    let start =
        error("use std.tensor.{ slice_first }", "pipeline P(x: f32[4]) -> f32[3] { return slice_first(x, start = 0.5, count = 3) }");
    assert!(start.contains("`start` is 0.5; write a whole number from 0"), "{start}");
    let center = error("use std.vision.{ center_crop }", "pipeline P(x: f32[4, 4, 3]) -> f32[4, 5, 3] { return center_crop(x, 5x4) }");
    assert!(center.contains("5x4 is cut from 4x4 pixels"), "{center}");
    let count = error(
        "use std.vision.{ nms }",
        "pipeline P(b: f32[9, 4], s: f32[9]) -> f32[999, 4] { found = nms(b, s, count = 999)\n return found.boxes }",
    );
    assert!(count.contains("write a number from 1 to 256"), "{count}");
    let bands =
        error("use std.audio.{ mel }", "pipeline P(x: f32[2, 9]) -> f32[2, 4] { return mel(x, rate = 8kHz, mels = 4, high = 5kHz) }");
    assert!(bands.contains("half the rate, 4000Hz"), "{bands}");
}

#[test]
fn a_class_is_a_row_and_a_value_has_a_range() {
    let uses = "use std.tabular.{ bucketize, one_hot }";
    let body = "pipeline P(x: f32[3]) -> { rows: f32[3, 3], at: i32[3] } {
  at = bucketize(x, edges = [0.0, 1.0])
  return { rows = one_hot(at, classes = 3), at }
}";
    let outputs = run(uses, body, &[floats(&[3], &[-1.0, 0.0, 7.0])]);
    assert_eq!(outputs[0], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(outputs[1], [0.0, 1.0, 2.0]);
}

#[test]
fn the_same_thing_is_found_once() {
    let uses = "use std.vision.{ nms }";
    let body = "pipeline P(b: f32[4, 4], s: f32[4]) -> { boxes: f32[3, 4], scores: f32[3], positions: i32[3], found: i32[] } {
  return nms(b, s, count = 3, overlap = 0.5, least = 0.1)
}";
    let boxes = [0.0, 0.0, 2.0, 2.0, 0.0, 0.0, 2.0, 2.1, 5.0, 5.0, 6.0, 6.0, 8.0, 8.0, 9.0, 9.0];
    let outputs = run(uses, body, &[floats(&[4, 4], &boxes), floats(&[4], &[0.8, 0.9, 0.3, 0.1])]);
    assert_eq!(outputs[2], [1.0, 2.0, -1.0]);
    assert_eq!(outputs[3], [2.0]);
    assert_eq!(outputs[0][8..], [0.0; 4]);
}

#[test]
fn silence_has_no_frequencies_and_a_tone_has_one() {
    let uses = "use std.audio.{ power_spectrogram }";
    let body = "pipeline P(x: f32[64]) -> f32[5, 9] { return power_spectrogram(x, size = 16, hop = 16) }";
    assert!(run(uses, body, &[floats(&[64], &[0.0; 64])])[0].iter().all(|power| *power == 0.0));
    // Four samples a wave: frequency 4 of 8.
    let tone: Vec<f32> = (0..64).map(|n| [0.0, 1.0, 0.0, -1.0][n % 4]).collect();
    let power = &run(uses, body, &[floats(&[64], &tone)])[0][18..27];
    let best = power.iter().copied().fold(0.0, f64::max);
    assert!((power[4] - best).abs() < 1e-9 && (best - 16.0).abs() < 1e-3 && power[7] < 1e-6, "{power:?}");
}
