//! Models whose layers are written in the language, run by the reference interpreter, on what other implementations compute with the same weights:
//! `tests/conformance/layers.py` and `examples/transformer/tiny.py` record it with ONNX Runtime and NumPy.

use mlp_analysis::{Checked, ModelSignature, Program, WeightTensor, Weights, World, check};
use mlp_graph::{Graph, Tensor, eval};
use mlp_import::safetensors::{Safetensors, write};
use mlp_import::testdata::read_npz;
use mlp_lower::{ModelRequest, lower, network};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Files of a folder, some of them replaced.
struct Folder {
    root: PathBuf,
    replaced: BTreeMap<String, Vec<u8>>,
}

impl Folder {
    fn of(path: &str) -> Folder {
        Folder { root: Path::new(ROOT).join(path), replaced: BTreeMap::new() }
    }

    fn bytes(&self, path: &str) -> Result<Vec<u8>, String> {
        match self.replaced.get(path) {
            Some(bytes) => Ok(bytes.clone()),
            None => std::fs::read(self.root.join(path)).map_err(|error| error.to_string()),
        }
    }

    fn safetensors(&self, path: &str) -> Result<Safetensors, String> {
        Safetensors::read(self.bytes(path)?.into()).map_err(|error| error.to_string())
    }

    fn check(&self, source: &str) -> Checked<Program> {
        let analysis = check(self, source);
        let errors: Vec<_> = analysis.diagnostics().iter().filter(|diagnostic| diagnostic.is_error()).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        analysis.into_checked().expect("it has no errors")
    }

    fn graph(&self, program: &Checked<Program>) -> Graph {
        let (id, _) = program.entries().next().expect("a pipeline");
        let models = |request: &ModelRequest| {
            let model = program.model(request.model).expect("a model");
            let weights = self.safetensors(&request.source)?;
            let tensor = |key: &str| weights.floats(key).map_err(|error| error.to_string());
            network(model, model.network.as_ref().expect("layers"), &request.sizes, &tensor)
        };
        lower(program, id, &models).unwrap_or_else(|error| panic!("{error}")).graph
    }
}

impl World for Folder {
    fn read(&self, path: &str) -> Result<String, String> {
        String::from_utf8(self.bytes(path)?).map_err(|error| error.to_string())
    }

    fn exists(&self, path: &str) -> bool {
        self.bytes(path).is_ok()
    }

    fn signature(&self, path: &str) -> Result<ModelSignature, String> {
        Err(format!("{path} is no model"))
    }

    fn weights(&self, path: &str) -> Result<Weights, String> {
        let file = self.safetensors(path)?;
        let tensors = file.entries().map(|entry| WeightTensor { name: entry.name, dtype: entry.dtype, shape: entry.shape });
        // The digest that the source names; what the file's is, is the driver's to know.
        let text = self.read("minilm.mlp").unwrap_or_default();
        let named = text.split("sha256 = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("");
        Ok(Weights { tensors: tensors.collect(), sha256: named.to_owned() })
    }
}

type Named = BTreeMap<String, Tensor>;

fn recorded(path: &Path) -> (Named, Named) {
    let arrays = read_npz(&std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).expect("a recording");
    let of =
        |prefix: &str| arrays.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()))).collect();
    (of("in:"), of("out:"))
}

fn answers(graph: &Graph, inputs: &Named) -> Named {
    let given: Vec<Tensor> = graph.inputs.iter().map(|port| inputs[&port.name].clone()).collect();
    let outputs = eval::run(graph, &given).unwrap_or_else(|error| panic!("{error}"));
    graph.outputs.iter().map(|port| port.name.clone()).zip(outputs).collect()
}

/// The first place where two tensors are further apart than `tolerance`, relative to numbers above 1.
fn difference(found: &Tensor, expected: &Tensor, tolerance: f64) -> Option<String> {
    if found.shape() != expected.shape() {
        return Some(format!("the shape is {:?}, not {:?}", found.shape(), expected.shape()));
    }
    let pairs = found.to_f64().into_iter().zip(expected.to_f64());
    let far = |(_, (a, b)): &(usize, (f64, f64))| (a - b).abs() > tolerance * b.abs().max(1.0) || a.is_nan();
    pairs.enumerate().find(far).map(|(index, (a, b))| format!("element {index} is {a}, not {b}"))
}

fn compare(folder: &str, name: &str, tolerance: f64) {
    let folder = Folder::of(folder);
    let (inputs, expected) = recorded(&folder.root.join(format!("{name}.npz")));
    let graph = folder.graph(&folder.check(&format!("{name}.mlp")));
    let mut optimized = graph.clone();
    mlp_graph::passes::optimize(&mut optimized).unwrap_or_else(|error| panic!("{error}"));
    for (graph, what) in [(graph, "as it was made"), (optimized, "optimized")] {
        let found = answers(&graph, &inputs);
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}");
        let wrong = |(name, expected): (&String, &Tensor)| Some(format!("{name}: {}", difference(&found[name], expected, tolerance)?));
        let wrong: Vec<String> = expected.iter().filter_map(wrong).collect();
        assert!(wrong.is_empty(), "{name}, {what}:\n{}", wrong.join("\n"));
    }
}

#[test]
fn every_layer_computes_what_others_do() {
    compare("tests/data/layers", "zoo", 2e-5);
}

#[test]
fn a_transformer_in_the_language_computes_what_onnx_runtime_does() {
    compare("examples/transformer", "tiny", 1e-5);
}

/// The whole library is in the zoo.
#[test]
fn every_layer_is_in_the_zoo() {
    let read = |path: &str| std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (zoo, library) = (read("tests/data/layers/zoo.mlp"), read("stdlib/nn.mlp"));
    let layers: Vec<&str> = library.lines().filter_map(|line| line.strip_prefix("intrinsic layer ")?.split('(').next()).collect();
    assert!(layers.len() > 30, "{layers:?}");
    let body = zoo.split("layers {").nth(1).expect("the zoo has layers");
    let words: Vec<&str> = body.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let missing: Vec<&&str> = layers.iter().filter(|layer| !words.contains(layer)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The real model, where its weights were fetched and the recording is at hand: 91 MB are too much for the tree.
#[test]
fn minilm_computes_what_was_recorded() {
    let folder = Folder::of("examples/transformer");
    let Some(models) = std::env::var_os("MLP_MODELS").map(PathBuf::from) else { return };
    if !folder.exists("minilm.safetensors") {
        return;
    }
    let (recorded, expected) = recorded(&models.join("minilm_l6_fp32.npz"));
    let renamed = [("ids", "input_ids"), ("mask", "attention_mask"), ("kinds", "token_type_ids")];
    let inputs: Named = renamed.iter().map(|(name, onnx)| ((*name).to_owned(), recorded[*onnx].clone())).collect();
    let found = answers(&folder.graph(&folder.check("minilm.mlp")), &inputs);
    // What padding becomes means nothing.
    let mask = inputs["mask"].to_f64();
    let seen = |tensor: &Tensor| {
        let kept = tensor.to_f64().into_iter().enumerate().map(|(index, value)| (value * mask[index / 384]) as f32);
        Tensor::from_f32(tensor.shape(), &kept.collect::<Vec<_>>()).expect("one number an element")
    };
    assert_eq!(difference(&seen(&found["last"]), &seen(&expected["last_hidden_state"]), 1e-4), None);
}

const MIX: &str = "edition 2026

use std.nn.{ dense, lstm, positions }

model Mix {
  source = safetensors(\"./w.safetensors\")
  input  x: f32[N, S, 2]
  output y: f32[N, S, 2]

  layers {
    return CALL
  }
}

pipeline Run(x: f32[1, 3, 2]) -> f32[1, 3, 2] {
  return x |> Mix
}
";

fn mix(call: &str, weights: &[(&str, &Tensor)]) -> Folder {
    let files = [("main.mlp", MIX.replace("CALL", call).into_bytes()), ("w.safetensors", write(weights))];
    Folder { root: PathBuf::from("nowhere"), replaced: files.into_iter().map(|(path, bytes)| (path.to_owned(), bytes)).collect() }
}

/// The second output is the sum of both inputs, the first the first: weights are `[out, in]`.
#[test]
fn weights_are_the_files_own() {
    let weight = Tensor::from_f32(&[2, 2], &[1.0, 0.0, 1.0, 1.0]).unwrap();
    let folder = mix("x |> dense(2, bias = no, weights = \"mix\")", &[("mix.weight", &weight)]);
    let inputs = BTreeMap::from([("x".to_owned(), Tensor::from_f32(&[1, 3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap())]);
    let found = answers(&folder.graph(&folder.check("main.mlp")), &inputs);
    assert_eq!(found["value"].as_f32().unwrap(), [1.0, 3.0, 3.0, 7.0, 5.0, 11.0]);
}

/// How long a sequence is shows where the model is called.
#[test]
fn a_sequence_that_is_too_long_is_refused() {
    let table = Tensor::from_f32(&[2, 2], &[0.0; 4]).unwrap();
    let folder = mix("x |> positions(weights = \"at\")", &[("at.weight", &table)]);
    let program = folder.check("main.mlp");
    let models = |request: &ModelRequest| {
        let model = program.model(request.model).expect("a model");
        network(model, model.network.as_ref().expect("layers"), &request.sizes, &|_| Ok(table.clone()))
    };
    let error = lower(&program, program.entries().next().expect("a pipeline").0, &models).expect_err("three positions of two").to_string();
    assert!(error.contains("`at positions`") && error.contains("table of 2 positions"), "{error}");
}

/// Weights that are not what was checked are refused, whoever gives them.
#[test]
fn weights_of_another_shape_are_refused() {
    let weight = Tensor::from_f32(&[2, 2], &[0.0; 4]).unwrap();
    let folder = mix("x |> dense(2, bias = no, weights = \"mix\")", &[("mix.weight", &weight)]);
    let program = folder.check("main.mlp");
    let model = &program.models[0];
    let sizes = BTreeMap::from([("N".to_owned(), 1), ("S".to_owned(), 3)]);
    let other = |_: &str| Ok(Tensor::from_f32(&[4, 1], &[0.0; 4]).unwrap());
    let error = network(model, model.network.as_ref().unwrap(), &sizes, &other).expect_err("another shape");
    assert!(error.contains("`mix.weight` is f32[4, 1]"), "{error}");
    let error = network(model, model.network.as_ref().unwrap(), &BTreeMap::new(), &other).expect_err("no sizes");
    assert!(error.contains("its input `x` has the size `N`"), "{error}");
}
