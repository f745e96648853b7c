use super::{Backend, Hook, emit};
use mlp_bundle::DType;
use mlp_bundle::compressed::Compressed;
use mlp_bundle::manifest::{Capabilities, Dim, Field, FileEntry, Manifest, Pipeline, Report, StateMove, ValueType, WasmModules};
use mlp_bundle::plan::Symbol;
use std::collections::BTreeMap;

fn field(name: &str, ty: ValueType) -> Field {
    Field { name: name.to_owned(), ty }
}

fn tensor(name: &str, dtype: DType, shape: &[u64]) -> Field {
    field(name, ValueType::Tensor { dtype, shape: shape.iter().copied().map(Dim::Const).collect(), port: name.to_owned(), rows: None })
}

fn pipeline(name: &str, inputs: Vec<Field>, outputs: Vec<Field>) -> Pipeline {
    let wasm = WasmModules {
        simd128: format!("{name}-simd128.wasm"),
        relaxed: format!("{name}-relaxed.wasm"),
        memory_pages: 3,
        weights_offset: 1024,
        arena_offset: 2048,
        ports: inputs.iter().chain(&outputs).enumerate().map(|(i, field)| (field.name.clone(), 64 * i as u64)).collect(),
        states: Vec::new(),
        threads: None,
    };
    Pipeline {
        name: name.to_owned(),
        doc: String::new(),
        input_ports: inputs.iter().map(|field| field.name.clone()).collect(),
        output_ports: outputs.iter().map(|field| field.name.clone()).collect(),
        encodings: Vec::new(),
        record: !matches!(&outputs[..], [field] if field.name == "value"),
        inputs,
        outputs,
        symbols: Vec::new(),
        plan: format!("{name}.plan.json"),
        weights: format!("{name}.weights"),
        wasm,
        gpu: None,
        report: Report::default(),
    }
}

fn bundle(pipelines: Vec<Pipeline>) -> Manifest {
    let entry = |bytes| FileEntry { sha256: "00".repeat(32), blake3: Some("11".repeat(32)), bytes, pieces: Vec::new(), compressed: None };
    let mut files = BTreeMap::from([("labels.txt".to_owned(), entry(10))]);
    for pipeline in &pipelines {
        let all = [&pipeline.plan, &pipeline.weights, &pipeline.wasm.simd128, &pipeline.wasm.relaxed];
        files.extend(all.into_iter().chain(&pipeline.gpu).enumerate().map(|(i, file)| (file.clone(), entry(100 + i as u64))));
    }
    Manifest {
        format: 1,
        name: "objects".to_owned(),
        compiler: semver(),
        edition: 2026,
        pipelines,
        files,
        capabilities: Capabilities::default(),
        provenance: Vec::new(),
    }
}

fn semver() -> semver::Version {
    semver::Version::new(0, 1, 0)
}

/// The photo classifier of the examples, with everything that a photo pipeline has.
fn classifier() -> Manifest {
    let photo = ValueType::Image {
        max_height: 2048,
        max_width: 2048,
        port: "photo".to_owned(),
        height: "photo.height".to_owned(),
        width: "photo.width".to_owned(),
    };
    let top = ValueType::Ranking {
        labels: "labels.txt".to_owned(),
        count: 5,
        indices: "top.indices".to_owned(),
        scores: "top.scores".to_owned(),
    };
    let mut classify = pipeline("Classify", vec![field("photo", photo)], vec![field("top", top), tensor("scores", DType::F32, &[1000])]);
    classify.doc = "What is in this photo?\n\nThe answer never leaves the page. */ alert(1)".to_owned();
    classify.gpu = Some("Classify.gpu.json".to_owned());
    classify.output_ports = vec!["top.indices".to_owned(), "top.scores".to_owned(), "scores".to_owned()];
    classify.symbols =
        ["photo.height", "photo.width"].map(|name| Symbol { name: name.to_owned(), min: 1, max: 2048, formula: None }).to_vec();
    bundle(vec![classify])
}

fn both(manifest: &Manifest, hooks: &[Hook], labels: &[(&str, &str)]) -> String {
    let labels = labels.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    let module = emit(manifest, hooks, &labels);
    format!("===== index.js\n{}\n===== index.d.ts\n{}", module.js, module.dts)
}

#[test]
fn a_photo_classifier_with_a_hook() {
    let hooks = [Hook { name: "useClassify".to_owned(), pipeline: "Classify".to_owned(), prefer: vec![Backend::WebGpu, Backend::Wasm] }];
    insta::assert_snapshot!(both(&classifier(), &hooks, &[("labels.txt", "espresso\ncarpenter's kit\ncrane\ncrane\n")]));
}

#[test]
fn a_model_with_names_that_javascript_does_not_take() {
    let inputs = vec![tensor("images:0", DType::U8, &[1, 3, 224, 224]), tensor("mask", DType::I64, &[]), tensor("half", DType::F16, &[2])];
    let value = field("value", ValueType::Label { labels: "labels.txt".to_owned(), port: "value".to_owned() });
    let odd = bundle(vec![
        pipeline("delete", inputs, vec![value]),
        pipeline("main graph", vec![], vec![tensor("y</script>", DType::Bool, &[4])]),
    ]);
    let hooks = [Hook { name: "useNothing".to_owned(), pipeline: "Missing".to_owned(), prefer: Vec::new() }];
    insta::assert_snapshot!(both(&odd, &hooks, &[]));
}

#[test]
fn long_lists_of_labels_are_strings() {
    let text: String = (0..=super::MAX_LABEL_UNION).map(|i| format!("label {i}\n")).collect();
    let module = emit(&classifier(), &[], &BTreeMap::from([("labels.txt".to_owned(), text)]));
    assert!(module.dts.contains("readonly top: readonly Ranked[];"), "{}", module.dts);
    assert!(!module.dts.contains("label 7"), "{}", module.dts);
    assert!(!module.js.contains("@mlp/react"), "a bundle without hooks needs no React:\n{}", module.js);
}

#[test]
fn a_pipeline_with_state_says_so_and_does_not_suspend() {
    let mut manifest = classifier();
    manifest.pipelines[0].wasm.states = vec![StateMove { name: "Objects:seen".to_owned(), from: 256, to: 320, bytes: 16 }];
    let hooks = [Hook { name: "useClassify".to_owned(), pipeline: "Classify".to_owned(), prefer: Vec::new() }];
    let module = emit(&manifest, &hooks, &BTreeMap::new());
    assert!(module.js.contains(r#""states": ["#) && module.js.contains(r#""from": 256"#), "{}", module.js);
    assert!(module.js.contains("export const useClassify = ") && !module.js.contains("Suspense"), "{}", module.js);
    assert!(
        module.dts.contains("An answer depends on the runs before it; `reset` begins anew.") && !module.dts.contains("Suspense"),
        "{}",
        module.dts
    );
}

#[test]
fn labels_are_types_and_never_code() {
    let module = emit(&classifier(), &[], &BTreeMap::from([("labels.txt".to_owned(), "espresso\n".to_owned())]));
    assert!(module.dts.contains("'espresso'"));
    assert!(!module.js.contains("espresso"));
}

#[test]
fn compressed_weights_are_shipped_beside_the_weights() {
    let mut manifest = classifier();
    let weights = manifest.pipelines[0].weights.clone();
    let file = "Classify.weights.zz".to_owned();
    let entry = FileEntry { bytes: 50, ..manifest.files[&weights].clone() };
    manifest.files.insert(file.clone(), entry);
    manifest.files.get_mut(&weights).unwrap().compressed = Some(Compressed { file, lanes: 4 });
    let js = emit(&manifest, &[], &BTreeMap::new()).js;
    for address in ["new URL('./Classify.weights', import.meta.url)", "new URL('./Classify.weights.zz', import.meta.url)"] {
        assert!(js.contains(address), "{js}");
    }
    assert!(js.contains(r#""compressed": {"#) && js.contains(r#""lanes": 4"#), "{js}");
}
