//! Every reader against a corpus and its mutations: truncated, bit-flipped, spliced. `tests/fuzz` does the same without end.

#[path = "../../compiler/import/tests/support/build.rs"]
mod build;
#[path = "support/networks.rs"]
mod networks;

use mlp_tests::{hostile, language};
use std::panic::RefUnwindSafe;
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
fn run(reader: impl Fn(&[u8]) + RefUnwindSafe, files: &[(PathBuf, Vec<u8>)], mutations: usize) {
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
    corpus.extend(files("tests/fuzz/corpus/language/*.mlp"));
    run(language::parser, &corpus, 4);
    run(language::checker, &corpus, 4);
}

#[test]
fn damaged_models_are_refused() {
    run(hostile::onnx, &files("tests/fuzz/corpus/onnx/*"), 300);
    let short = networks::in_short(&mut networks::Noise(0x2545_f491));
    assert!(mlp_driver::onnx::import(&short, &Default::default()).is_ok(), "the sound one imports");
    run(hostile::onnx, &[("in_short".into(), short)], 3000);
}

#[test]
fn damaged_weights_files_are_refused() {
    let mut corpus = files("tests/data/layers/*.safetensors");
    corpus.extend(files("examples/transformer/*.safetensors").into_iter().filter(|(_, bytes)| bytes.len() < 1 << 20));
    // Half of the mutations go where they are read: into the header.
    let header = |(path, bytes): &(PathBuf, Vec<u8>)| {
        let length = bytes.first_chunk::<8>().map_or(0, |length| u64::from_le_bytes(*length) as usize);
        (path.clone(), bytes[..bytes.len().min(8 + length)].to_vec())
    };
    let headers: Vec<(PathBuf, Vec<u8>)> = corpus.iter().map(header).collect();
    run(hostile::safetensors, &corpus, 200);
    run(hostile::safetensors, &headers, 2000);
}

#[test]
fn damaged_tokenizers_are_refused() {
    let mut corpus = files("tests/library/text/*.json");
    corpus.retain(|(path, _)| !path.ends_with("cases.json") && !path.ends_with("patterns.json"));
    assert!(corpus.len() >= 8, "{} tokenizers", corpus.len());
    run(hostile::tokenizer, &corpus, 100);
    // What is not the vocabulary is little, and is where the parts are.
    let mut random = Random(0x6d6c70);
    let small = |(path, bytes): &(PathBuf, Vec<u8>)| {
        let mut file: serde_json::Value = serde_json::from_slice(bytes).expect("the corpus is JSON");
        if let Some(vocab) = file["model"]["vocab"].as_array_mut() {
            vocab.truncate(24);
        }
        (path.clone(), file.to_string().into_bytes())
    };
    let short: Vec<(PathBuf, Vec<u8>)> = corpus.iter().map(small).collect();
    for (path, bytes) in &short {
        for round in 0..100 {
            let changed = renumber(&String::from_utf8_lossy(bytes), &mut random);
            let outcome = std::panic::catch_unwind(|| hostile::tokenizer(changed.as_bytes()));
            assert!(outcome.is_ok(), "change {round} of {} panics", path.display());
        }
    }
}

/// Whole numbers in a text become others: sizes, ids, attributes.
fn renumber(text: &str, random: &mut Random) -> String {
    let digits: Vec<(usize, &str)> = text.match_indices(|c: char| c.is_ascii_digit()).collect();
    let mut text = text.to_string();
    let (at, _) = digits[random.below(digits.len())];
    let length = text[at..].find(|c: char| !c.is_ascii_digit()).unwrap_or(1);
    let number = ["0", "1", "2", "3", "7", "65536", "2147483648", "4294967295", "9223372036854775807"][random.below(9)];
    text.replace_range(at..at + length, number);
    text
}

/// A cache's entries have digests, which a damaged one does not pass; here is what happens to one that somebody made.
#[test]
fn forged_entries_of_a_cache_are_refused_or_compiled() {
    let noise = &mut networks::Noise(0x2545_f491);
    let models = [networks::network(noise), networks::encoder(noise)];
    let mut random = Random(0x6d6c70);
    for model in models {
        let signature = mlp_import::onnx::signature(&model).expect("the model has a signature");
        let given = mlp_driver::onnx::Dims::from([("d0".into(), 5)]);
        let dims = mlp_driver::onnx::default_dims(&signature, &given).expect("there is no other open size");
        let mut graph = mlp_driver::onnx::import(&model, &dims).expect("the model imports");
        mlp_graph::passes::prepare(&mut graph).expect("the model is prepared");
        let entry = mlp_graph::archive::write(&graph).concat();
        let reader = |entry: &[u8]| {
            hostile::entry(entry);
        };
        run(reader, &[("entry".into(), entry.clone())], 1000);
        let end = 8 + u64::from_le_bytes(entry[..8].try_into().expect("eight bytes")) as usize;
        let header = std::str::from_utf8(&entry[8..end]).expect("the header is text");
        let mut taken = 0;
        for round in 0..4000 {
            let forged = renumber(header, &mut random);
            let rest = entry[end.next_multiple_of(64).min(entry.len())..].to_vec();
            let mut bytes = [&(forged.len() as u64).to_le_bytes()[..], forged.as_bytes()].concat();
            bytes.resize(bytes.len().next_multiple_of(64), 0);
            bytes.extend(rest);
            let outcome = std::panic::catch_unwind(|| hostile::entry(&bytes));
            taken += usize::from(outcome.unwrap_or_else(|_| panic!("number {round} panics: {forged}")));
        }
        assert!((1..4000).contains(&taken), "{taken} of the forged entries were taken for prepared models");
        let said =
            serde_json::to_vec(&mlp_driver::sources::Model { sha256: "0".repeat(64), signature, files: Vec::new() }).expect("plain data");
        run(reader, &[("model".into(), said)], 300);
    }
}

#[test]
fn damaged_plans_and_bundles_are_refused() {
    let plan: mlp_bundle::plan::Plan = include_str!("../fuzz/corpus/plan.txt").parse().expect("the plan parses");
    let json = serde_json::to_vec(&plan).expect("a plan is plain data");
    run(hostile::bundle, &[("plan.json".into(), json)], 2000);
    let compiled = mlp_driver::compile::Compiled {
        weights: vec![0; plan.weights_bytes as usize].into(),
        report: Default::default(),
        counted: Vec::new(),
        plan,
    };
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
