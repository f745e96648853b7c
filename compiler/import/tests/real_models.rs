//! Real models against what ONNX Runtime computes, through the reference interpreter.
//!
//! The environment variable `MLP_MODELS` names a folder of `NAME.onnx` with `NAME.npz` (arrays `in:<input>` and `out:<output>`), all of which must be there. Without
//! it, those models are checked that the tree carries: the quantized EfficientNet of `examples/objects`, and what lies in `tests/data`.

mod support;

use mlp_graph::{Graph, Op, Tensor, eval, passes, verify};
use mlp_import::testdata::{import_case, read_npz};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use support::difference;

/// What the tree carries.
const CARRIED: [&str; 5] = ["efficientnet_lite0_qdq", "sk_breast_cancer_rf", "sk_diabetes_gbr", "sk_digits_mlp", "sk_wine_logreg"];

struct Recorded {
    graph: Graph,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

/// Where a model and its recording are.
fn files(name: &str) -> (PathBuf, PathBuf) {
    if let Some(folder) = std::env::var_os("MLP_MODELS").map(PathBuf::from) {
        return (folder.join(name).with_extension("onnx"), folder.join(name).with_extension("npz"));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = root.join("tests/data").join(name);
    let model = match name {
        "efficientnet_lite0_qdq" => root.join("examples/objects/efficientnet_lite0.onnx"),
        _ => data.with_extension("onnx"),
    };
    (model, data.with_extension("npz"))
}

/// The model of that name with its recording; none where it is not at hand.
fn load(name: &str) -> Option<Recorded> {
    let (model_file, recording) = files(name);
    let carried = CARRIED.contains(&name);
    let (Ok(model), Ok(recording)) = (std::fs::read(&model_file), std::fs::read(&recording)) else {
        assert!(!carried && std::env::var_os("MLP_MODELS").is_none(), "{} or its recording is missing", model_file.display());
        eprintln!("{name} is not here: set MLP_MODELS to check it");
        return None;
    };
    let arrays: HashMap<String, Tensor> = read_npz(&recording).expect("a readable recording").into_iter().collect();
    let signature = mlp_import::onnx::signature(&model).expect("a readable signature");
    let inputs: Vec<Tensor> = signature.inputs.iter().map(|port| arrays[&format!("in:{}", port.name)].clone()).collect();
    let outputs = signature.outputs.iter().map(|port| arrays[&format!("out:{}", port.name)].clone()).collect();
    let graph = import_case(&model, &inputs).unwrap_or_else(|error| panic!("{name}: {error}")).graph;
    verify::verify(&graph).unwrap_or_else(|error| panic!("{name}: {error}"));
    Some(Recorded { graph, inputs, outputs })
}

/// Compares a model with its recording, as imported and as optimized. `transposes` are those that the optimized graph still has.
fn check(name: &str, transposes: usize) {
    let Some(Recorded { graph, inputs, outputs }) = load(name) else { return };
    compare(name, &graph, &inputs, &outputs);
    let mut optimized = graph;
    passes::optimize(&mut optimized).unwrap_or_else(|error| panic!("{name}: {error}"));
    compare(&format!("{name} optimized"), &optimized, &inputs, &outputs);
    let left = optimized.order.iter().filter(|&&id| matches!(optimized.ops[id].op, Op::Transpose { .. })).count();
    assert_eq!(left, transposes, "{name}");
}

fn compare(name: &str, graph: &Graph, inputs: &[Tensor], outputs: &[Tensor]) {
    let results = eval::run(graph, inputs).unwrap_or_else(|error| panic!("{name}: {error}"));
    for ((port, result), expected) in graph.outputs.iter().zip(&results).zip(outputs) {
        if let Some(difference) = difference(result, expected, 1e-3, 1e-4) {
            panic!("{name}: output `{}` {difference}", port.name);
        }
    }
}

#[test]
fn efficientnet_computes_the_recorded_logits() {
    // The input has its channels first.
    check("efficientnet_lite0", 1);
}

#[test]
fn blazeface_computes_the_recorded_boxes_and_scores() {
    check("blazeface_front128", 0);
}

#[test]
fn squeezenet_and_shufflenet_compute_the_recorded_probabilities() {
    check("light_squeezenet", 1);
    // Sixteen shuffles of channels.
    check("light_shufflenet", 5);
}

#[test]
fn a_sentence_encoder_computes_the_recorded_states() {
    // All turns of attention are views.
    check("minilm_l6_int8w", 0);
}

#[test]
fn a_text_detector_computes_the_recorded_map() {
    // The input has its channels first; two transposed convolutions lay their phases side by side.
    check("ppocrv4_det", 3);
}

#[test]
fn a_voice_detector_computes_the_recorded_probabilities() {
    // A recurrent layer over the frames of a recording.
    check("silero_vad_16k_sequence", 0);
}

#[test]
fn digits_mlp_computes_the_recorded_labels_and_probabilities() {
    check("sk_digits_mlp", 0);
}

#[test]
fn trees_vectors_and_lines_compute_the_recorded_labels_and_scores() {
    // Walks over trees, and distances from support vectors, have their rows side by side.
    for (name, transposes) in [("sk_breast_cancer_rf", 1), ("sk_diabetes_gbr", 1), ("sk_wine_logreg", 0), ("sk_digits_svc", 0)] {
        check(name, transposes);
    }
}

/// All that is left between the first `quantize` and the last `dequantize` computes in integers, and gives the recorded logits.
///
/// Results that fall between two steps may be rounded either way, by ONNX Runtime as by the plain evaluation of the model in floats, and what differs by
/// one step in an early layer goes on to the next. So logits are compared with both, and may be two steps away.
fn check_quantized(name: &str) {
    let Some(Recorded { mut graph, inputs, outputs }) = load(name) else { return };
    let plain = eval::run(&graph, &inputs).unwrap_or_else(|error| panic!("{name}: {error}"));
    passes::optimize(&mut graph).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for &op in &graph.order {
        *counts.entry(graph.ops[op].op.name()).or_default() += 1;
    }
    for float in ["conv", "matmul", "add", "reduce", "mul"] {
        assert_eq!(counts.get(float), None, "{name} still computes in floats: {counts:?}");
    }
    assert_eq!((counts["quantize"], counts["dequantize"]), (1, 1), "{name}: {counts:?}");
    assert_eq!((counts["quantized_conv"], counts["quantized_add"], counts["quantized_matmul"]), (49, 9, 1), "{name}: {counts:?}");

    let step = graph.order.iter().find_map(|&op| match graph.ops[op].op {
        Op::Dequantize { .. } => graph.constant_of(graph.ops[op].operands[1]).map(|scale| scale.to_f64()[0]),
        _ => None,
    });
    let step = step.expect("the output's scale");
    let results = eval::run(&graph, &inputs).unwrap_or_else(|error| panic!("{name}: {error}"));
    for (other, expected) in [("the recording", &outputs[0]), ("the evaluation in floats", &plain[0])] {
        let steps: Vec<f64> =
            results[0].to_f64().iter().zip(expected.to_f64()).map(|(got, want)| ((got - want) / step).abs().round()).collect();
        let furthest = steps.iter().copied().fold(0.0, f64::max);
        let mean = steps.iter().sum::<f64>() / steps.len() as f64;
        assert!(furthest <= 2.0 && mean < 0.5, "{name}: {furthest} steps from {other}, {mean} on average");
    }
}

#[test]
fn efficientnet_with_quantized_values_computes_in_integers() {
    check_quantized("efficientnet_lite0_qdq");
}

#[test]
fn efficientnet_with_quantized_operators_computes_in_integers() {
    check_quantized("efficientnet_lite0_qop");
}
