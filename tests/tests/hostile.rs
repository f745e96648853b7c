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
