//! Plans of real models compute what ONNX Runtime computes.
//!
//! The environment variable `MLP_MODELS` names a folder of `NAME.onnx` with `NAME.npz` (arrays `in:<input>` and `out:<output>`). Without it the folder is
//! `examples/objects`, and of the models below those are checked that it holds with a recording.

mod support;

use mlp_bundle::loops::eval;
use mlp_graph::{DType, Graph, Tensor};
use mlp_import::onnx::{DimSignature, ImportOptions, import, signature};
use mlp_import::testdata::read_npz;
use mlp_plan::{PlanOptions, Planned};
use std::collections::HashMap;
use std::path::PathBuf;

fn folder() -> PathBuf {
    match std::env::var_os("MLP_MODELS") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/objects"),
    }
}

/// A model as it is planned, with its recording.
struct Recorded {
    graph: Graph,
    inputs: Vec<Tensor>,
    arrays: HashMap<String, Tensor>,
}

/// The model of that name, optimized; none where the folder lacks it.
fn load(name: &str) -> Option<Recorded> {
    let path = folder().join(name).with_extension("onnx");
    let (Ok(model), Ok(recording)) = (std::fs::read(&path), std::fs::read(path.with_extension("npz"))) else {
        assert!(std::env::var_os("MLP_MODELS").is_none(), "{} or its recording is missing", path.display());
        return None;
    };
    let arrays: HashMap<String, Tensor> = read_npz(&recording).unwrap().into_iter().collect();
    let signature = signature(&model).unwrap();
    let inputs: Vec<Tensor> = signature.inputs.iter().map(|port| arrays[&format!("in:{}", port.name)].clone()).collect();
    let mut options = ImportOptions::default();
    for (port, tensor) in signature.inputs.iter().zip(&inputs) {
        for (dim, &size) in port.dims.iter().flatten().zip(tensor.shape()) {
            if let DimSignature::Symbol(symbol) = dim {
                options.dims.insert(symbol.clone(), size);
            }
        }
    }
    let mut graph = import(&model, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
    mlp_graph::passes::optimize(&mut graph).unwrap_or_else(|error| panic!("{name}: {error}"));
    Some(Recorded { graph, inputs, arrays })
}

/// Plans a graph and runs the plan.
fn run(graph: &Graph, inputs: &[Tensor]) -> (Planned, Vec<Vec<u8>>) {
    let planned = support::planned(graph);
    let bytes: Vec<&[u8]> = inputs.iter().map(|input| input.bytes()).collect();
    let outputs = eval::run(&planned.plan, &planned.weights, &bytes, &[]).unwrap_or_else(|error| panic!("{error}"));
    (planned, outputs)
}

/// Compares a run of the model of that name with its recording; none where the folder lacks it.
fn check(name: &str) -> Option<Planned> {
    let Recorded { graph, inputs, arrays } = load(name)?;
    let (planned, outputs) = run(&graph, &inputs);
    for (port, actual) in planned.plan.outputs.iter().zip(outputs) {
        let expected = &arrays[&format!("out:{}", port.name)];
        let actual = Tensor::new(expected.dtype(), expected.shape().to_vec(), actual).unwrap();
        let (got, want) = (actual.to_f64(), expected.to_f64());
        let far = |a: f64, b: f64| (a - b).abs() > 1e-4 + 1e-3 * b.abs();
        let wrong = got.iter().zip(&want).filter(|&(&a, &b)| far(a, b)).count();
        assert_eq!(wrong, 0, "{name}: {wrong} of {} elements of `{}` differ", got.len(), port.name);
    }
    Some(planned)
}

/// Integers leave no room: a plan computes the very bits that the reference interpreter computes.
fn check_exact(name: &str) -> Option<Planned> {
    let Recorded { graph, inputs, .. } = load(name)?;
    let expected = mlp_graph::eval::run(&graph, &inputs).unwrap();
    let (planned, outputs) = run(&graph, &inputs);
    for (expected, actual) in expected.iter().zip(&outputs) {
        assert_eq!(expected.bytes(), actual.as_slice(), "{name}");
    }
    Some(planned)
}

#[test]
fn efficientnet_is_one_kernel_a_convolution() {
    if let Some(planned) = check("efficientnet_lite0") {
        // 49 convolutions, the pooling, the classifier, and the input's way to channels last.
        assert_eq!(planned.plan.kernels.len(), 52);
        assert_eq!(planned.report.macs / 1_000_000, 385);
    }
}

#[test]
fn quantized_efficientnets_are_one_integer_kernel_a_convolution() {
    for name in ["efficientnet_lite0_qdq", "efficientnet_lite0_qop"] {
        if let Some(planned) = check_exact(name) {
            // As above; the input is quantized on its way to channels last, sums of residuals are epilogues.
            assert_eq!(planned.plan.kernels.len(), 52, "{}", planned.report);
            assert_eq!(planned.report.macs / 1_000_000, 385);
        }
    }
}

#[test]
fn a_sentence_encoder_is_seven_kernels_a_layer() {
    let Some(Recorded { graph, inputs, arrays }) = load("minilm_l6_int8w") else { return };
    let planned = support::planned_with(&graph, &PlanOptions::all());
    // Query, key and value; attention; projection and residual; norm; two of the feed-forward part; norm. Before them embeddings, their norm, and the mask.
    assert_eq!(planned.plan.kernels.len(), 46, "{}", planned.report);
    let bytes: Vec<&[u8]> = inputs.iter().map(|input| input.bytes()).collect();
    let outputs = eval::run(&planned.plan, &planned.weights, &bytes, &[]).unwrap();
    let expected = arrays["out:last_hidden_state"].to_f64();
    let actual = Tensor::new(DType::F32, arrays["out:last_hidden_state"].shape().to_vec(), outputs[0].clone()).unwrap().to_f64();
    assert!(actual.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1e-4 + 1e-3 * b.abs()));
}

#[test]
fn blazeface() {
    check("blazeface_front128");
}

#[test]
fn squeezenet() {
    check("light_squeezenet");
}

#[test]
fn shufflenet() {
    check("light_shufflenet");
}

#[test]
fn digits_mlp() {
    check("sk_digits_mlp");
}
