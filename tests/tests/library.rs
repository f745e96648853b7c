//! The standard library computes what the libraries compute whose functions it has: every pipeline of `library/*.mlp` on every runtime of processors, against
//! the recordings beside it.

use mlp_bundle::Bundle;
use mlp_bundle::manifest::ValueType;
use mlp_driver::host::Disk;
use mlp_driver::package::Package;
use mlp_engine::photo::Photo;
use mlp_engine::sound::Sound;
use mlp_engine::value::Tensor;
use mlp_engine::{BackendKind, Session, Value};
use mlp_import::testdata::read_npz;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Arrays by name.
type Arrays = BTreeMap<String, Tensor>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("library")
}

/// What a module's pipelines are given and must give, by pipeline.
fn recordings(module: &str) -> BTreeMap<String, [Arrays; 2]> {
    let bytes = std::fs::read(folder().join(format!("{module}.npz"))).expect("the recordings are there");
    let mut found: BTreeMap<String, [Arrays; 2]> = BTreeMap::new();
    for (name, array) in read_npz(&bytes).expect("the recordings can be read") {
        let parts: Vec<&str> = name.splitn(3, '/').collect();
        let [pipeline, side, field] = parts[..] else { panic!("{name} names no field") };
        let tensor = Tensor { dtype: array.dtype(), shape: array.shape().to_vec(), bytes: array.bytes().to_vec() };
        found.entry(pipeline.to_owned()).or_default()[usize::from(side == "out")].insert(field.to_owned(), tensor);
    }
    found
}

fn built(module: &str) -> Bundle {
    let path = folder().join(format!("{module}.mlp"));
    let host = Disk::default();
    let package = Package::check(&host, &path);
    assert!(package.diagnostics().is_empty() && package.left_out().is_empty(), "{:#?} {:#?}", package.diagnostics(), package.left_out());
    let built = package.build(&host, module, false, &|_| {}).unwrap_or_else(|error| panic!("{module}: {error}"));
    assert!(built.remarks.is_empty(), "not every pipeline has a GPU program: {:?}", built.remarks);
    built.bundle
}

/// An array as the input of that type.
fn value(ty: &ValueType, tensor: &Tensor) -> Value {
    match ty {
        ValueType::Image { .. } => {
            let [height, width, 3] = tensor.shape[..] else { panic!("a photo is rows of pixels with three channels") };
            let rgba = tensor.bytes.chunks_exact(3).flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect();
            Value::Photo(Photo { width: width as u32, height: height as u32, rgba })
        }
        ValueType::Text => Value::Text(String::from_utf8(tensor.bytes.clone()).expect("a text is recorded as its bytes")),
        ValueType::Sound { rate, .. } => {
            let samples = tensor.numbers().map(|sample| sample as f32).collect();
            Value::Sound(Sound { rate: *rate, samples })
        }
        _ => Value::Tensor(tensor.clone()),
    }
}

fn compare(place: &str, expected: &Tensor, actual: &Value) {
    let Value::Tensor(actual) = actual else { panic!("{place} is no tensor") };
    assert_eq!((expected.dtype, &expected.shape), (actual.dtype, &actual.shape), "{place}");
    for (at, (expected, actual)) in expected.numbers().zip(actual.numbers()).enumerate() {
        let close = (expected - actual).abs() <= 1e-4 + 1e-3 * expected.abs();
        assert!(close || expected == actual || (expected.is_nan() && actual.is_nan()), "{place}[{at}] is {actual}, not {expected}");
    }
}

fn check(module: &str) {
    let bundle = built(module);
    let recordings = recordings(module);
    let pipelines: Vec<&str> = bundle.manifest.pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
    let mut recorded: Vec<&str> = recordings.keys().map(String::as_str).collect();
    let mut known = pipelines.clone();
    known.sort_unstable();
    recorded.sort_unstable();
    assert_eq!(known, recorded, "pipelines and recordings of {module}");
    for (pipeline, [inputs, outputs]) in &recordings {
        for kind in [BackendKind::Native, BackendKind::Wasm, BackendKind::WasmRelaxed] {
            let mut session = Session::open(&bundle, pipeline, kind, 2).unwrap_or_else(|error| panic!("{pipeline} on {kind}: {error}"));
            let fields = session.pipeline().inputs.clone();
            let given: BTreeMap<String, Value> =
                fields.iter().map(|field| (field.name.clone(), value(&field.ty, &inputs[&field.name]))).collect();
            let answer = session.run(&given).unwrap_or_else(|error| panic!("{pipeline} on {kind}: {error}"));
            let fields = match answer {
                Value::Record(fields) => fields,
                other => BTreeMap::from([("value".to_owned(), other)]),
            };
            assert!(fields.keys().eq(outputs.keys()), "{pipeline}: {:?} {:?}", fields.keys(), outputs.keys());
            for (name, expected) in outputs {
                compare(&format!("{pipeline}.{name} on {kind}"), expected, &fields[name]);
            }
        }
    }
}

#[test]
fn tensors() {
    check("tensor");
}

#[test]
fn photos_and_boxes() {
    check("vision");
}

#[test]
fn sound() {
    check("audio");
}

#[test]
fn texts() {
    check("text");
}

#[test]
fn tables() {
    check("tabular");
}
