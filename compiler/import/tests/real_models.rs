//! Real models against what ONNX Runtime computes, through the reference interpreter.
//!
//! The environment variable `MLP_MODELS` names a folder of `NAME.onnx` with `NAME.npz` (arrays `in:<input>` and `out:<output>`). Without it the folder is
//! `examples/objects`, and of the models below those are checked that it holds with a recording.

mod support;

use mlp_graph::{Graph, Op, Tensor, eval, passes, verify};
use mlp_import::testdata::read_npz;
use std::collections::HashMap;
use std::path::PathBuf;
use support::{difference, import_for};

struct Recorded {
    graph: Graph,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

fn folder() -> PathBuf {
    match std::env::var_os("MLP_MODELS") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/objects"),
    }
}

/// The model of that name with its recording; none where the folder lacks it, which is an error if `MLP_MODELS` is set.
fn load(name: &str) -> Option<Recorded> {
    let model = folder().join(name).with_extension("onnx");
    let (Ok(model), Ok(recording)) = (std::fs::read(&model), std::fs::read(model.with_extension("npz"))) else {
        assert!(std::env::var_os("MLP_MODELS").is_none(), "{} or its recording is missing", model.display());
        eprintln!("{name} is not here: set MLP_MODELS to check it");
        return None;
    };
    let arrays: HashMap<String, Tensor> = read_npz(&recording).expect("a readable recording").into_iter().collect();
    let signature = mlp_import::onnx::signature(&model).expect("a readable signature");
    let inputs: Vec<Tensor> = signature.inputs.iter().map(|port| arrays[&format!("in:{}", port.name)].clone()).collect();
    let outputs = signature.outputs.iter().map(|port| arrays[&format!("out:{}", port.name)].clone()).collect();
    let graph = import_for(&model, &inputs).unwrap_or_else(|error| panic!("{name}: {error}"));
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
    check("light_shufflenet", 17);
}

#[test]
fn digits_mlp_computes_the_recorded_labels_and_probabilities() {
    check("sk_digits_mlp", 0);
}
