//! Readers of what others wrote, each given any bytes. They may refuse, but not panic, hang, or allocate beyond measure. The fuzz targets call these, and
//! so does the test `hostile`, which runs a corpus and its mutations every time.

use mlp_bundle::contents::Bytes;
use mlp_bundle::manifest::{Encoding, Side, Truncate};
use mlp_bundle::plan::Plan;
use mlp_driver::cache::{Cache, Key, Stamp};
use mlp_driver::host::{Host, Memory};
use mlp_driver::package::Package;
use mlp_engine::Encoder;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A source file: parsed and checked.
pub fn source(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let (_, diagnostics) = mlp_syntax::parse(&text);
    for label in diagnostics.iter().flat_map(|diagnostic| &diagnostic.labels) {
        assert!(label.at.span.range().end <= text.len(), "a label points past the text");
        assert!(text.get(label.at.span.range()).is_some(), "a label splits a character");
    }
    let host = Memory([(PathBuf::from("main.mlp"), text.into_bytes())].into());
    Package::check(&host, Path::new("main.mlp"));
}

/// An ONNX model: its signature is read, and where it imports with small dims, so does its optimization and planning.
pub fn onnx(data: &[u8]) {
    let Ok(signature) = mlp_import::onnx::signature(data) else { return };
    let Ok(dims) = mlp_driver::onnx::default_dims(&signature, &Default::default()) else { return };
    if let Ok(graph) = mlp_driver::onnx::import(data, &dims) {
        // A graph may be too much for the planner, and then it says so.
        let _ = mlp_driver::compile::compile(graph);
    }
}

/// A file of weights: every tensor that it says it holds is there.
pub fn safetensors(data: &[u8]) {
    let Ok(read) = mlp_import::safetensors::Safetensors::read(Bytes::copy_from_slice(data)) else { return };
    for entry in read.entries() {
        let tensor = read.tensor(&entry.name).expect("what is listed is there");
        assert_eq!((tensor.dtype(), tensor.shape()), (entry.dtype, &entry.shape[..]));
        let _ = read.floats(&entry.name);
    }
}

/// A tokenizer, as it is published and as a bundle has it: what is accepted makes tokens of any text, or says why not.
pub fn tokenizer(data: &[u8]) {
    let Ok(read) = mlp_bundle::tokenizer::Tokenizer::read(&String::from_utf8_lossy(data)) else { return };
    let encoding = |texts: &[&str]| Encoding {
        texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        tokenizer: "tokenizer.json".to_owned(),
        special: true,
        length: 64,
        truncate: Some(Truncate { most: 16, side: Side::Right }),
        pad: 0,
        pad_side: Side::Right,
        ids: None,
        mask: None,
        types: None,
    };
    let packed = read.packed();
    if let Ok(encoder) = Encoder::new(&encoding(&["x"]), &packed) {
        let _ = encoder.encode(&["A text \u{fb01} with\u{301} letters, 東京 \u{1f600} and [SEP] a <mask>."]);
        let _ = encoder.encode(&[""]);
    }
    if let Ok(encoder) = Encoder::new(&encoding(&["x", "y"]), &packed) {
        let _ = encoder.encode(&["one two three four five six seven", "eight"]);
    }
}

/// An entry of the cache, whatever is asked for: what is said of a model, and a prepared model, which is optimized and planned. True where that was taken for one.
pub fn entry(data: &[u8]) -> bool {
    let host = Poisoned(Entry(Bytes::copy_from_slice(data)));
    let path = Path::new("model.onnx");
    let _ = mlp_driver::sources::model(&host, path);
    let prepared = mlp_driver::onnx::prepared(&host, path, "", &Default::default());
    prepared.map(mlp_driver::compile::compile).is_ok()
}

/// A cache that has one entry under every key but one: it says of a model that no files with weights lie beside it.
struct Entry(Bytes);

impl Cache for Entry {
    fn get(&self, key: &Key) -> Option<Bytes> {
        let files = Key::new("files of a model", &[b""]);
        Some(if *key == files { Bytes::from(b"[]".to_vec()) } else { self.0.clone() })
    }

    fn put(&self, _key: &Key, _parts: &[&[u8]]) {}
}

/// A host whose cache somebody wrote to, and with no files.
struct Poisoned(Entry);

impl Host for Poisoned {
    fn read(&self, _path: &Path) -> std::io::Result<Bytes> {
        Err(std::io::ErrorKind::NotFound.into())
    }

    fn stamp(&self, path: &Path) -> Option<Stamp> {
        Some(Stamp::new(path, 1 << 20, Duration::ZERO, ""))
    }

    fn cache(&self) -> Option<&dyn Cache> {
        Some(&self.0)
    }
}

/// A bundle: the archive, and each pipeline's plan and GPU program. A plan that is accepted and small runs.
pub fn bundle(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(plan) = serde_json::from_str::<Plan>(text)
    {
        run_plan(&plan);
    }
    let Ok(bundle) = mlp_bundle::Bundle::from_archive(data.to_vec().into()) else { return };
    let _ = bundle.verify_all();
    for pipeline in &bundle.manifest.pipelines {
        let Ok(plan) = bundle.plan(pipeline) else { continue };
        let _ = bundle.gpu(pipeline, &plan);
        run_plan(&plan);
    }
}

/// Runs a plan that verifies and is small, on the evaluator and on the native runtime, with zeros for input.
fn run_plan(plan: &Plan) {
    const SMALL: u64 = 1 << 16;
    if mlp_bundle::plan::verify::verify(plan).is_err() || plan.arena_bytes > SMALL || plan.weights_bytes > SMALL || work(plan) > SMALL {
        return;
    }
    let symbols: Vec<u32> = plan.symbols.values().map(|symbol| symbol.max).collect();
    let inputs: Vec<Vec<u8>> = plan.inputs.iter().map(|port| vec![0; plan.port_bytes(port, &symbols)]).collect();
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let weights = vec![0; plan.weights_bytes as usize];
    let expected = mlp_bundle::loops::eval::run(plan, &weights, &inputs, &symbols);
    let artifacts = mlp_engine::backend::Artifacts { plan, weights: weights.into(), wasm: None, gpu: Err(String::new()) };
    if let Ok(mut native) = mlp_engine::backend::open(mlp_engine::BackendKind::Native, &artifacts, 1) {
        let actual = native.run(&inputs, &symbols);
        assert_eq!(expected.is_ok(), actual.is_ok(), "the evaluator and the native runtime disagree on whether the plan runs");
    }
}

/// Iterations of all kernels.
fn work(plan: &Plan) -> u64 {
    use mlp_bundle::loops::Body;
    let product = |factors: &mut dyn Iterator<Item = u64>| factors.fold(1u64, u64::saturating_mul);
    plan.kernels.iter().fold(0u64, |total, kernel| {
        let work = match &kernel.body {
            Body::Nest(nest) => {
                product(&mut nest.parallel.iter().copied().chain(nest.reduce.iter().map(|extent| extent.max())).map(u64::from))
            }
            Body::Contract(contract) => contraction(&contract.window).saturating_mul(u64::from(contract.window.in_c)),
            Body::Depthwise(depthwise) => contraction(&depthwise.window),
            Body::Attention(attention) => attention.macs(),
            Body::Rows(rows) => rows.rows().saturating_mul(u64::from(rows.length)).saturating_mul(rows.reductions.len() as u64 + 1),
        };
        total.saturating_add(work)
    })
}

fn contraction(window: &mlp_bundle::loops::Window) -> u64 {
    let factors = [window.batch, window.out_h, window.out_w, window.out_c, window.kernel[0], window.kernel[1]];
    factors.iter().fold(1u64, |product, &factor| product.saturating_mul(u64::from(factor)))
}
