//! Every reader against a corpus and its mutations: truncated, bit-flipped, spliced. `tests/fuzz` does the same without end.

use mlp_tests::hostile;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A small generator of numbers, the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound.max(1)
    }
}

/// A damaged copy.
fn mutate(original: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = original.to_vec();
    match random.below(4) {
        0 => bytes.truncate(random.below(bytes.len() + 1)),
        1 => {
            for _ in 0..=random.below(8) {
                let at = random.below(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
        2 => {
            let (from, to) = (random.below(bytes.len()), random.below(bytes.len()));
            let piece: Vec<u8> = bytes[from..].iter().take(random.below(64)).copied().collect();
            bytes.splice(to..to, piece);
        }
        _ => {
            let at = random.below(bytes.len());
            let end = (at + random.below(32)).min(bytes.len());
            bytes.drain(at..end);
        }
    }
    bytes
}

/// Runs a reader on each file and on mutations of it.
fn run(reader: fn(&[u8]), files: &[(PathBuf, Vec<u8>)], mutations: usize) {
    assert!(!files.is_empty(), "the corpus is empty");
    let mut random = Random(0x6d6c70);
    for (path, bytes) in files {
        reader(bytes);
        for round in 0..mutations {
            let damaged = mutate(bytes, &mut random);
            let outcome = std::panic::catch_unwind(|| reader(&damaged));
            assert!(outcome.is_ok(), "mutation {round} of {} panics", path.display());
        }
    }
}

fn files(pattern: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = glob::glob(&Path::new(ROOT).join(pattern).to_string_lossy()).expect("the pattern is right");
    let read = |path: PathBuf| std::fs::read(&path).map(|bytes| (path, bytes)).ok();
    paths.filter_map(Result::ok).filter_map(read).collect()
}

#[test]
fn damaged_sources_are_refused() {
    let mut corpus = files("dsl-spec/corpus/*/*.mlp");
    corpus.extend(files("examples/*/*.mlp"));
    corpus.extend(files("stdlib/*.mlp"));
    run(hostile::source, &corpus, 40);
}

#[test]
fn damaged_models_are_refused() {
    run(hostile::onnx, &files("tests/fuzz/corpus/onnx/*"), 300);
}

#[test]
fn damaged_plans_and_bundles_are_refused() {
    let plan: mlp_bundle::plan::Plan = include_str!("../fuzz/corpus/plan.txt").parse().expect("the plan parses");
    let json = serde_json::to_vec(&plan).expect("a plan is plain data");
    run(hostile::bundle, &[("plan.json".into(), json)], 2000);
    let compiled = mlp_driver::compile::Compiled { weights: vec![0; plan.weights_bytes as usize].into(), report: Default::default(), plan };
    let code = mlp_driver::compile::emit(&compiled.plan).expect("the plan has code");
    let archive = mlp_driver::bundle::of_model("sample", &[], compiled, code).to_archive().expect("the bundle has an archive");
    run(hostile::bundle, &[("sample.mlpb".into(), archive)], 300);
}

/// Weights are mapped, and their digest is compared while the plan is compiled: what was damaged must not run, however the files come into memory.
#[test]
fn damaged_weights_are_refused_before_they_run() {
    let model = std::fs::read(Path::new(ROOT).join("tests/data/sk_digits_mlp.onnx")).expect("the model is there");
    let signature = mlp_import::onnx::signature(&model).expect("the model has a signature");
    let dims = mlp_driver::onnx::default_dims(&signature, &Default::default()).expect("its batch alone is open");
    let graph = mlp_driver::onnx::import(&model, &dims).expect("the model imports");
    let compiled = mlp_driver::compile::compile(graph).expect("the model compiles");
    let code = mlp_driver::compile::emit(&compiled.plan).expect("the plan has code");
    let bundle = mlp_driver::bundle::of_model("digits", &model, compiled, code);
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    bundle.write_folder(folder.path()).expect("the bundle is written");
    let weights = folder.path().join(&bundle.manifest.pipelines[0].weights);
    let whole = std::fs::read(&weights).expect("the weights are there");
    let load = |storage| {
        let bundle = mlp_engine::bundle::open(folder.path(), storage).map_err(mlp_engine::EngineError::from)?;
        mlp_engine::bundle::load(&bundle, &bundle.manifest.pipelines[0], mlp_engine::BackendKind::Native, 1).map(|_| ())
    };
    for storage in [mlp_engine::Storage::Mapped, mlp_engine::Storage::Copied] {
        load(storage).expect("the bundle loads");
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        std::fs::write(&weights, flipped).expect("the weights are written");
        let error = load(storage).expect_err("a flipped bit is found").to_string();
        assert!(error.contains("its digest is not the manifest's"), "{error}");
        std::fs::write(&weights, &whole[..whole.len() - 1]).expect("the weights are written");
        let error = load(storage).expect_err("a missing byte is found").to_string();
        assert!(error.contains("the manifest says"), "{error}");
        std::fs::write(&weights, &whole).expect("the weights are written");
    }
}
