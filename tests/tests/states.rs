//! What a run leaves for the next one: sequences of calls give, on every runtime, what ONNX Runtime gave where the states were carried by hand
//! (`conformance/states.py`).

use mlp_bundle::contents::Bytes;
use mlp_bundle::loops::eval::Evaluator;
use mlp_bundle::plan::Plan;
use mlp_bundle::{Bundle, DType};
use mlp_driver::compile::{self, Compiled, Sharing};
use mlp_driver::host::Disk;
use mlp_driver::onnx;
use mlp_driver::package::Package;
use mlp_engine::backend::{self, Artifacts};
use mlp_engine::value::Tensor;
use mlp_engine::{Backend, BackendKind, Session, Value};
use mlp_import::testdata::read_npz;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const LISTENER: &[(&str, &str)] = &[("h", "hn"), ("c", "cn"), ("tail", "tail_n")];
const ODD: &[(&str, &str)] = &[("a", "same"), ("b", "moved"), ("k", "fixed"), ("count", "counted"), ("marks", "marked")];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/states")
}

/// What was recorded of a model: an array a call, by `in:NAME` and `out:NAME`.
fn recorded(model: &str) -> BTreeMap<String, Vec<Tensor>> {
    let bytes = std::fs::read(folder().join(format!("{model}.npz"))).expect("the recording is there");
    let arrays = read_npz(&bytes).expect("the recording can be read");
    let calls = |array: &mlp_graph::Tensor| {
        let size = array.bytes().len() / array.shape()[0] as usize;
        let call = |bytes: &[u8]| Tensor { dtype: array.dtype(), shape: array.shape()[1..].to_vec(), bytes: bytes.to_vec() };
        array.bytes().chunks_exact(size).map(call).collect()
    };
    arrays.iter().map(|(name, array)| (name.clone(), calls(array))).collect()
}

/// A bare model with these states.
fn compiled(model: &str, states: &[(&str, &str)]) -> Compiled {
    let bytes = std::fs::read(folder().join(format!("{model}.onnx"))).expect("the model is there");
    let graph = onnx::import(&bytes, &onnx::Dims::new()).expect("the model can be imported");
    let states: Vec<onnx::State> =
        states.iter().map(|&(input, output)| onnx::State { input: input.into(), output: output.into() }).collect();
    compile::compile(onnx::keeping(graph, &states).expect("the states fit")).expect("the model compiles")
}

/// Every runtime with its name; a software adapter will do for a GPU.
fn runtimes(compiled: &Compiled) -> Vec<(String, Box<dyn Backend>)> {
    let (plan, weights) = (&compiled.plan, &compiled.weights);
    let code = compile::emit(plan).expect("the plan becomes code");
    let shared = compile::emit_threads(plan, Sharing::Everywhere).expect("it becomes code for several threads").expect("everywhere");
    let program = code.gpu.as_ref().expect("it runs on a GPU");
    program.verify(plan).expect("the program fits the plan");
    let mut found = Vec::new();
    for (kind, threads) in [
        (BackendKind::Native, 1),
        (BackendKind::Native, 2),
        (BackendKind::Wasm, 1),
        (BackendKind::WasmRelaxed, 1),
        (BackendKind::WasmThreads, 3),
        (BackendKind::Gpu, 1),
    ] {
        let wasm = match kind {
            BackendKind::Wasm => Some((&code.simd128[..], &code.wasm)),
            BackendKind::WasmRelaxed => Some((&code.relaxed[..], &code.wasm)),
            BackendKind::WasmThreads => Some((&shared.0[..], &shared.1)),
            _ => None,
        };
        let artifacts = Artifacts { plan, weights: weights.clone(), wasm, gpu: Ok(program) };
        let backend = backend::open(kind, &artifacts, threads).unwrap_or_else(|error| panic!("{kind}: {error}"));
        found.push((format!("{kind} with {threads} threads"), backend));
    }
    found
}

fn inputs<'r>(plan: &Plan, recorded: &'r BTreeMap<String, Vec<Tensor>>, call: usize) -> Vec<&'r [u8]> {
    plan.inputs.iter().map(|port| &recorded[&format!("in:{}", port.name)][call].bytes[..]).collect()
}

fn compare(place: &str, expected: &Tensor, actual: &[u8]) {
    let actual = Tensor { bytes: actual.to_vec(), ..expected.clone() };
    assert_eq!(expected.numbers().count(), actual.numbers().count(), "{place}");
    for (expected, actual) in expected.numbers().zip(actual.numbers()) {
        assert!((expected - actual).abs() <= 1e-4 + 1e-3 * expected.abs(), "{place}: {actual}, not {expected}");
    }
}

fn compare_all(place: &str, plan: &Plan, recorded: &BTreeMap<String, Vec<Tensor>>, call: usize, outputs: &[Vec<u8>]) {
    assert_eq!(plan.outputs.len(), outputs.len(), "{place}");
    for (port, output) in plan.outputs.iter().zip(outputs) {
        compare(&format!("{place}, call {call}, {}", port.name), &recorded[&format!("out:{}", port.name)][call], output);
    }
}

/// Six calls, a reset, and the first calls again; the inputs and outputs that became states are no arguments and no answers.
fn carries(model: &str, states: &[(&str, &str)], given: &[&str], answers: &[&str]) {
    let (compiled, recorded) = (compiled(model, states), recorded(model));
    let plan = &compiled.plan;
    let names = |ports: &[mlp_bundle::plan::Port]| ports.iter().map(|port| port.name.clone()).collect::<Vec<_>>();
    assert_eq!(
        (names(&plan.inputs), names(&plan.outputs)),
        (given.iter().map(|s| s.to_string()).collect(), answers.iter().map(|s| s.to_string()).collect())
    );
    assert_eq!(plan.states.len(), states.len());
    let mut evaluator = Evaluator::new(plan, &compiled.weights).expect("the plan is safe");
    for call in 0..6 {
        let outputs = evaluator.run(&inputs(plan, &recorded, call), &[]).expect("it runs");
        compare_all("the evaluator", plan, &recorded, call, &outputs);
    }
    for (name, mut backend) in runtimes(&compiled) {
        for call in (0..6).chain([usize::MAX, 0, 1, 2]) {
            if call == usize::MAX {
                backend.reset().expect("it begins anew");
                continue;
            }
            // What is refused changes nothing.
            assert!(backend.run(&[&[0; 3]], &[]).is_err(), "{name}");
            let outputs = backend.run(&inputs(plan, &recorded, call), &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
            compare_all(&name, plan, &recorded, call, &outputs);
            // Measuring variants runs kernels, and is no run.
            backend.tune().expect("it can be measured");
        }
    }
}

#[test]
fn a_detector_remembers_what_it_heard() {
    carries("listener", LISTENER, &["audio"], &["score"]);
}

#[test]
fn states_change_places_and_become_constants() {
    carries("odd", ODD, &["x"], &["y"]);
}

/// A model without states gives them instead.
#[test]
fn a_state_is_what_the_model_says_it_is() {
    let recorded = recorded("odd");
    // Were it not carried, each call would be as the first one.
    let y = &recorded["out:y"];
    assert!(y[1].numbers().zip(y[0].numbers()).all(|(later, first)| (later - first).abs() > 1.0));
    let plain = compiled("odd", &[]);
    assert!(plain.plan.states.is_empty() && plain.plan.inputs.len() == 6 && plain.plan.outputs.len() == 6);
}

#[test]
fn what_cannot_be_a_state_is_refused() {
    let bytes = std::fs::read(folder().join("odd.onnx")).expect("the model is there");
    let graph = onnx::import(&bytes, &onnx::Dims::new()).expect("the model can be imported");
    let refusal = |input: &str, output: &str| {
        let state = onnx::State { input: input.into(), output: output.into() };
        onnx::keeping(graph.clone(), &[state]).expect_err("it is refused").to_string()
    };
    assert_eq!(refusal("z", "y"), "there is no input `z` that could be a state; there are `x`, `a`, `b`, `k`, `count`, `marks`");
    assert!(refusal("a", "z").starts_with("there is no output `z` that could be a state"));
    assert_eq!(refusal("a", "counted"), "`a` is f32[5] and `counted` is i64[1]: what a run leaves must be what the next one reads");
    let twice = [("a", "same"), ("a", "moved")].map(|(input, output)| onnx::State { input: input.into(), output: output.into() });
    assert!(onnx::keeping(graph.clone(), &twice).is_err());
}

fn bundle() -> Bundle {
    let host = Disk::default();
    let package = Package::check(&host, &folder().join("states.mlp"));
    assert!(package.diagnostics().is_empty() && package.left_out().is_empty(), "{:#?} {:#?}", package.diagnostics(), package.left_out());
    let built = package.build(&host, "states", false, &|_| {}).expect("it builds");
    assert!(built.remarks.is_empty(), "{:?}", built.remarks);
    let bytes = built.bundle.to_archive().expect("it can be packed");
    Bundle::from_archive(Bytes::from(bytes)).expect("it can be read")
}

fn call(session: &mut Session, inputs: &[(&str, &Tensor)]) -> BTreeMap<String, Value> {
    let inputs = inputs.iter().map(|(name, tensor)| ((*name).to_owned(), Value::Tensor((*tensor).clone()))).collect();
    match session.run(&inputs).expect("it runs") {
        Value::Record(fields) => fields,
        other => panic!("{other:?} is no record"),
    }
}

fn is(place: &str, fields: &BTreeMap<String, Value>, name: &str, expected: &Tensor) {
    let Value::Tensor(actual) = &fields[name] else { panic!("{name} is no tensor") };
    compare(place, expected, &actual.bytes);
}

#[test]
fn sessions_and_calls_have_memories_of_their_own() {
    let (bundle, listener, odd) = (bundle(), recorded("listener"), recorded("odd"));
    let (audio, score) = (&listener["in:audio"], &listener["out:score"]);
    for kind in [BackendKind::Native, BackendKind::Wasm, BackendKind::WasmRelaxed] {
        let open = |name: &str| Session::open(&bundle, name, kind, 2).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let (mut one, mut other, mut turn, mut both) = (open("Listen"), open("Listen"), open("Turn"), open("Both"));
        assert!(one.has_state() && both.has_state());
        for at in 0..4 {
            is(&format!("one on {kind}"), &call(&mut one, &[("audio", &audio[at])]), "score", &score[at]);
            if at < 2 {
                is(&format!("other on {kind}"), &call(&mut other, &[("audio", &audio[at])]), "score", &score[at]);
            }
            let turned = call(&mut turn, &[("x", &odd["in:x"][at])]);
            is(&format!("y on {kind}"), &turned, "y", &odd["out:y"][at]);
            is(&format!("counted on {kind}"), &turned, "counted", &odd["out:counted"][at]);
        }
        // The one call hears every sound, the other one the same sound again and again.
        let still = Tensor { dtype: DType::F32, shape: vec![1, 1, 16], bytes: vec![0; 64] };
        let mut alone = open("Listen");
        for at in 0..3 {
            let heard = call(&mut both, &[("left", &audio[at]), ("right", &still)]);
            is(&format!("left on {kind}"), &heard, "near", &score[at]);
            let Value::Tensor(silence) = &call(&mut alone, &[("audio", &still)])["score"] else { panic!("no tensor") };
            is(&format!("right on {kind}"), &heard, "far", silence);
        }
        both.reset().expect("it begins anew");
        is(&format!("after a reset on {kind}"), &call(&mut both, &[("left", &audio[0]), ("right", &still)]), "near", &score[0]);
        // The other session went on from where it was.
        is(&format!("other later on {kind}"), &call(&mut other, &[("audio", &audio[2])]), "score", &score[2]);
    }
}

/// A detector of voices was recorded over all pieces of a sound at once; piece by piece, with its state carried, it says the same. The model lies in the folder that the
/// environment variable `MLP_MODELS` names; without it there is nothing to check.
#[test]
fn a_detector_of_voices_hears_a_sound_piece_by_piece() {
    let Some(models) = std::env::var_os("MLP_MODELS").map(PathBuf::from) else { return };
    let model = models.join("silero_vad_16k_sequence.onnx");
    let bytes = std::fs::read(&model).expect("the model is there");
    let recording = std::fs::read(model.with_extension("npz")).expect("the recording is there");
    let arrays: BTreeMap<String, mlp_graph::Tensor> = read_npz(&recording).expect("the recording can be read").into_iter().collect();
    let dims = onnx::Dims::from([("sequence_length".to_owned(), 1)]);
    let graph = onnx::import(&bytes, &dims).expect("the model can be imported");
    let states = [("h", "hn"), ("c", "cn")].map(|(input, output)| onnx::State { input: input.into(), output: output.into() });
    let compiled = compile::compile(onnx::keeping(graph, &states).expect("the states fit")).expect("the model compiles");
    let expected = arrays["out:speech_probs"].to_f64();
    for (name, mut backend) in runtimes(&compiled) {
        for (call, piece) in arrays["in:input"].bytes().chunks_exact(576 * 4).enumerate() {
            let outputs = backend.run(&[piece], &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
            let speech = f32::from_le_bytes(outputs[0][..].try_into().expect("one number"));
            assert!((f64::from(speech) - expected[call]).abs() < 1e-4, "{name}, call {call}: {speech}, not {}", expected[call]);
        }
    }
}
