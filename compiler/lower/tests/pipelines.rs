//! Pipelines lowered with a hand-made model, run by the reference interpreter, against the same computed by hand.

use mlp_analysis::{Checked, ModelSignature, Program, SignatureDim, SignaturePort, Weights, World, check};
use mlp_graph::ir::Type;
use mlp_graph::op::ReduceKind;
use mlp_graph::{DType, Graph, Op, Origin, Tensor, eval};
use mlp_lower::{LowerError, Lowered, ModelRequest, SignatureType, lower};

/// A world of one source file, a file of three labels and a model of the mean of each channel.
struct Tiny<'a>(&'a str);

impl World for Tiny<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        match path {
            "app/main.mlp" => Ok(self.0.to_owned()),
            "app/colours.txt" => Ok("red\ngreen\nblue\n".to_owned()),
            _ => Err("no such file".to_owned()),
        }
    }

    fn exists(&self, _path: &str) -> bool {
        false
    }

    fn signature(&self, path: &str) -> Result<ModelSignature, String> {
        assert_eq!(path, "app/means.onnx");
        let batch = SignatureDim::Symbol("batch".to_owned());
        let sizes = |sizes: &[u64]| std::iter::once(batch.clone()).chain(sizes.iter().copied().map(SignatureDim::Const)).collect();
        let port = |name: &str, dims| SignaturePort { name: name.to_owned(), dtype: DType::F32, dims };
        Ok(ModelSignature { inputs: vec![port("x", sizes(&[3, 2, 2]))], outputs: vec![port("y", sizes(&[3]))], sha256: String::new() })
    }

    fn weights(&self, path: &str) -> Result<Weights, String> {
        Err(format!("there is no {path}"))
    }
}

fn means(request: &ModelRequest) -> Result<Graph, String> {
    let batch = *request.sizes.get("batch").ok_or("the batch is not bound")?;
    let mut graph = Graph::new("means");
    let x = graph.add_input("x", Type::fixed(DType::F32, &[batch, 3, 2, 2]));
    let op = Op::Reduce { kind: ReduceKind::Mean, axes: vec![2, 3], keep: false };
    let y = graph.append_one(op, &[x], Origin::new("mean")).map_err(|error| error.to_string())?;
    graph.add_output("y", y);
    Ok(graph)
}

const HEAD: &str = r#"edition 2026
use std.vision.{ resize, normalize, to_nchw }
use std.tensor.{ unbatch, softmax, top_k, argmax }
model Means {
  source = onnx("./means.onnx")
  input image: f32[N, 3, 2, 2]
  output means: f32[N, 3] @labels("./colours.txt")
}
"#;

fn checked(body: &str) -> Checked<Program> {
    let source = format!("{HEAD}{body}");
    let analysis = check(&Tiny(&source), "app/main.mlp");
    let errors: Vec<_> = analysis.diagnostics().iter().filter(|diagnostic| diagnostic.is_error()).cloned().collect();
    analysis.into_checked().unwrap_or_else(|_| panic!("{errors:#?}"))
}

fn lowered(body: &str) -> Lowered {
    let program = checked(body);
    let (id, _) = program.entries().last().expect("an entry");
    lower(&program, id, &means).unwrap_or_else(|error| panic!("{error}"))
}

const CLASSIFY: &str = r#"
pipeline Classify(photo: image<rgb>) -> { top: ranking<label<Means.means>, 2>, best: label<Means.means>, scores: f32[3] } {
  scores = photo |> resize(2x2, crop = center) |> normalize(mean = 10, std = 4) |> to_nchw |> Means |> unbatch |> softmax
  return { best = argmax(scores), scores, top = top_k(scores, 2) }
}
"#;

#[test]
fn a_photo_becomes_a_ranking() {
    let lowered = lowered(CLASSIFY);
    // A photo of the wanted size is its own resizing.
    let pixels: [u8; 16] = [10, 20, 30, 255, 12, 22, 10, 255, 14, 24, 20, 0, 16, 26, 12, 7];
    let photo = Tensor::new(DType::U8, vec![2, 2, 4], pixels.to_vec()).unwrap();
    let outputs = eval::run(&lowered.graph, &[photo]).unwrap_or_else(|error| panic!("{error}"));

    let channel = |c: usize| (0..4).map(|pixel| (f64::from(pixels[pixel * 4 + c]) - 10.0) / 4.0).sum::<f64>() / 4.0;
    let exponents: Vec<f64> = (0..3).map(|c| channel(c).exp()).collect();
    let sum: f64 = exponents.iter().sum();
    let expected: Vec<f64> = exponents.iter().map(|e| e / sum).collect();

    let names: Vec<&str> = lowered.graph.outputs.iter().map(|port| port.name.as_str()).collect();
    assert_eq!(names, ["top.indices", "top.scores", "best", "scores"]);
    assert_eq!(outputs[0].as_i32().unwrap(), [1, 2]);
    assert_eq!(outputs[2].as_i32().unwrap(), [1]);
    let close = |a: f32, b: f64| (f64::from(a) - b).abs() < 1e-6;
    assert!(outputs[3].as_f32().unwrap().iter().zip(&expected).all(|(a, b)| close(*a, *b)), "{:?} {expected:?}", outputs[3].as_f32());
    assert!(outputs[1].as_f32().unwrap().iter().zip([expected[1], expected[2]]).all(|(a, b)| close(*a, b)));
}

#[test]
fn the_signature_names_the_ports() {
    let lowered = lowered(CLASSIFY);
    let signature = &lowered.signature;
    assert!(signature.record);
    assert!(matches!(
        &signature.inputs[0].ty,
        SignatureType::Image { max_height: 2048, max_width: 2048, port, height, width } if port == "photo" && height == "photo.height" && width == "photo.width"
    ));
    let symbols: Vec<(&str, Option<u64>)> = lowered.graph.symbols.values().map(|symbol| (symbol.name.as_str(), symbol.max)).collect();
    assert_eq!(symbols, [("photo.height", Some(2048)), ("photo.width", Some(2048))]);
    assert!(
        matches!(&signature.outputs[0].ty, SignatureType::Ranking { count: 2, indices, scores, .. } if indices == "top.indices" && scores == "top.scores")
    );
    assert!(matches!(&signature.outputs[1].ty, SignatureType::Label { port, .. } if port == "best"));
    assert!(matches!(&signature.outputs[2].ty, SignatureType::Tensor { shape, labels: None, .. } if shape == &[3]));
}

#[test]
fn operations_know_their_place_in_the_package() {
    let lowered = lowered(CLASSIFY);
    let origins: Vec<String> = lowered.graph.order.iter().map(|op| lowered.graph.origins[*op].name.clone()).collect();
    let line = HEAD.lines().count() + 3;
    assert!(origins.contains(&"mean".to_owned()));
    assert!(
        origins.iter().all(|origin| origin == "mean"
            || origin.starts_with(&format!("main.mlp:{line}:"))
            || origin.starts_with(&format!("main.mlp:{}:", line + 1))),
        "{origins:?}"
    );
    // `normalize` is two operations, both at its name.
    let normalize = CLASSIFY.lines().nth(2).and_then(|text| text.find("normalize")).expect("normalize") + 1;
    assert!(origins.iter().filter(|origin| **origin == format!("main.mlp:{line}:{normalize}")).count() >= 2, "{origins:?}");
}

#[test]
fn pipelines_call_pipelines() {
    let lowered = lowered(
        r#"
pipeline Scale(x: f32[..S], by: number) -> f32[..S] { return x * by - -1 }
pipeline Twice(x: f32[2]) -> f32[2] { a = Scale(x, by = 3), return Scale(a, 1 / 2) / x }
"#,
    );
    let x = Tensor::from_f32(&[2], &[2.0, 4.0]).unwrap();
    let outputs = eval::run(&lowered.graph, &[x]).unwrap();
    assert_eq!(lowered.graph.outputs[0].name, "value");
    assert!(!lowered.signature.record);
    assert_eq!(outputs[0].as_f32().unwrap(), [(7.0 * 0.5 + 1.0) / 2.0, (13.0 * 0.5 + 1.0) / 4.0]);
}

#[test]
fn what_cannot_be_lowered_is_said() {
    let program = checked("pipeline Keep(photo: image<rgb>) -> image<rgb> { return photo }\n");
    assert_eq!(program.entries().count(), 0, "a build leaves it out");
    assert!(program.left_out().diagnostics[0].labels[0].text.contains("`image<rgb>`"), "{:?}", program.left_out());
    let keep = program.pipelines.iter().position(|pipeline| pipeline.name == "Keep").unwrap();
    let error = lower(&program, mlp_analysis::PipelineId(keep as u32), &means).unwrap_err();
    assert_eq!(error.to_string(), "main.mlp:9:10: the answer's `value` is a photo; give a tensor, a label or a ranking");

    let program = checked(CLASSIFY);
    let (id, _) = program.entries().next().unwrap();
    let error = lower(&program, id, &|_| Err("it is broken".to_owned())).unwrap_err();
    assert!(matches!(&error, LowerError::Model { model, .. } if model == "Means"), "{error}");

    let other = |_: &ModelRequest| {
        let mut graph = Graph::new("other");
        let x = graph.add_input("x", Type::fixed(DType::F32, &[1, 3, 2, 2]));
        graph.add_output("y", x);
        Ok(graph)
    };
    let error = lower(&program, id, &other).unwrap_err();
    assert!(error.to_string().contains("f32[1, 3, 2, 2], but is declared f32[1, 3]"), "{error}");
}

#[test]
fn inlining_that_explodes_is_refused() {
    let mut body = String::from("pipeline P0(x: f32[1]) -> f32[1] { return x }\n");
    for n in 1..30 {
        body += &format!("pipeline P{n}(x: f32[1]) -> f32[1] {{ return P{}(x) + P{}(x) }}\n", n - 1, n - 1);
    }
    let program = checked(&body);
    let (id, _) = program.entries().last().unwrap();
    assert!(matches!(lower(&program, id, &means), Err(LowerError::TooLarge { .. })));
}

/// The numbers that the last pipeline gives for `x`.
fn run(body: &str, x: &[f32]) -> Vec<f64> {
    let lowered = lowered(body);
    let x = Tensor::from_f32(&[x.len() as u64], x).unwrap();
    eval::run(&lowered.graph, &[x]).unwrap_or_else(|error| panic!("{error}"))[0].to_f64()
}

#[test]
fn the_first_arm_that_holds_is_taken() {
    let body = "
pipeline Pick(x: f32[2]) -> f32[2] {
  return when x[0] > x[1] { doubled = x + x, doubled - 1 } else when x.sum() == 0.0 { [7.0, 8.0] } else { -x }
}
";
    assert_eq!(run(body, &[3.0, 1.0]), [5.0, 1.0]);
    assert_eq!(run(body, &[-2.0, 2.0]), [7.0, 8.0]);
    assert_eq!(run(body, &[1.0, 4.0]), [-1.0, -4.0]);
}

#[test]
fn arms_are_chosen_field_by_field_and_labels_are_compared() {
    let body = r#"
pipeline Read(x: f32[3]) -> { best: label<Means.means>, score: f32[] } {
  scores = x |> Named
  best   = argmax(scores)
  return when best == "green" { { best, score = scores.max() } } else { { score = scores.min() - 1, best = top_k(scores, 3)[2] } }
}
pipeline Named(x: f32[3]) -> f32[3] @labels(Means.means) {
  return Means(to_nchw(Pixels(x))) |> unbatch |> add(x)
}
pipeline add(a: f32[3] @labels(L), b: f32[3]) -> f32[3] @labels(L) { return a + b * 1 }
pipeline Pixels(x: f32[3]) -> f32[2, 2, 3] { return [[[0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]] }
"#;
    let program = checked_or_explained(body);
    assert!(program.contains("E0213"), "adding loses labels, which is said: {program}");
    let body = r#"
pipeline Read(photo: image<rgb>) -> { best: label<Means.means>, score: f32[] } {
  scores = photo |> resize(2x2) |> to_nchw |> Means |> unbatch
  best   = argmax(scores)
  return when best == "green" { { best, score = scores.max() } } else { { score = scores.min() - 1, best = top_k(scores, 3)[2] } }
}
"#;
    let lowered = lowered(body);
    let read = |pixel: [u8; 3]| {
        let pixels: Vec<u8> = (0..4).flat_map(|_| [pixel[0], pixel[1], pixel[2], 255]).collect();
        let outputs = eval::run(&lowered.graph, &[Tensor::new(DType::U8, vec![2, 2, 4], pixels).unwrap()]).unwrap();
        (outputs[0].to_f64()[0], outputs[1].to_f64()[0])
    };
    assert_eq!(read([10, 90, 20]), (1.0, 90.0));
    assert_eq!(read([80, 9, 20]), (1.0, 8.0));
}

fn checked_or_explained(body: &str) -> String {
    let source = format!("{HEAD}{body}");
    check(&Tiny(&source), "app/main.mlp").diagnostics().iter().map(|diagnostic| diagnostic.code.to_string() + " ").collect()
}

#[test]
fn loops_run_their_rounds_and_end_when_their_condition_holds() {
    let fixed = "pipeline Power(x: f32[2]) -> f32[2] { return loop y = x at_most 3 { y * 2 } }\n";
    assert_eq!(run(fixed, &[1.0, 3.0]), [8.0, 24.0]);
    // The condition is asked of the new value, and later rounds change nothing.
    let ended = "pipeline Power(x: f32[2]) -> f32[2] { return loop y = x at_most 8 until y.max() > 10.0 { y * 2 } }\n";
    assert_eq!(run(ended, &[1.0, 3.0]), [4.0, 12.0]);
    assert_eq!(run(ended, &[-1.0, 0.0]), [-256.0, 0.0]);
    let counted = "pipeline P(x: f32[2]) -> f32[2] { return loop y = x at_most 5 counting i { when i < 2 { y + 1 } else { y } } }\n";
    assert_eq!(run(counted, &[0.0, 1.0]), [2.0, 3.0]);
}

#[test]
fn constants_and_the_maths_of_tensors_run() {
    let body = "
const bias: f32[3] = [1, 2, three]
const three = 2 + 1
const top: number = 4
pipeline P(x: f32[three]) -> { all: f32[3], best: f32[], mean: f32[] } {
  both = parallel { shifted = x + bias, small = x.relu().clip(low = 0.5, high = top) }
  return { all = both.small, best = both.shifted.max(), mean = both.shifted.mean() }
}
";
    let lowered = lowered(body);
    let x = Tensor::from_f32(&[3], &[-4.0, 0.75, 9.0]).unwrap();
    let outputs = eval::run(&lowered.graph, &[x]).unwrap();
    assert_eq!(outputs[0].to_f64(), [0.5, 0.75, 4.0]);
    assert_eq!(outputs[1].to_f64(), [12.0]);
    assert_eq!(outputs[2].as_f32().unwrap(), [11.75f32 / 3.0]);
}

#[test]
fn too_many_rounds_are_refused() {
    let program = checked("pipeline P(x: f32[1]) -> f32[1] { return loop a = x at_most 100 { loop b = a at_most 100 { b + 1 } } }\n");
    let (id, _) = program.entries().next().unwrap();
    let error = lower(&program, id, &means).unwrap_err();
    assert!(error.to_string().contains("256 rounds"), "{error}");
}
