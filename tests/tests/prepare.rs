//! A model that was prepared by itself, kept and read again is compiled to the same bundle as one that was not, byte for byte; and what is not the same model is
//! never taken for it.

#[path = "../../compiler/import/tests/support/build.rs"]
mod build;
#[path = "support/networks.rs"]
mod networks;

use mlp_bundle::contents::Bytes;
use mlp_driver::cache::{Cache, DiskCache};
use mlp_driver::host::{Disk, Host};
use mlp_driver::onnx::{Dims, PrepareError};
use mlp_driver::{bundle, compile, onnx, sources};
use networks::{Noise, encoder, network};
use std::cell::Cell;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Models of different kinds, in files.
struct Models {
    folder: tempfile::TempDir,
    files: Vec<PathBuf>,
}

impl Models {
    fn new() -> Models {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let files = ["f32.onnx", "encoder.onnx"].map(|name| folder.path().join(name));
        std::fs::write(&files[0], network(&mut Noise(0x2545_f491))).expect("a model is written");
        std::fs::write(&files[1], encoder(&mut Noise(0x2545_f491))).expect("a model is written");
        let tree = ["examples/objects/efficientnet_lite0.onnx", "tests/data/sk_digits_mlp.onnx"].map(|path| Path::new(ROOT).join(path));
        Models { folder, files: files.into_iter().chain(tree).collect() }
    }

    fn cached(&self) -> Disk {
        Disk::cached(DiskCache::new(self.folder.path().join("cache"), "this compiler".into()))
    }
}

/// The sizes of a model's open dims: 1, or `sequence` where they do not lead.
fn dims(host: &dyn Host, path: &Path, sequence: u64) -> Dims {
    let signature = sources::model(host, path).expect("the model has a signature").signature;
    onnx::default_dims(&signature, &Dims::from([("d0".into(), sequence)])).expect("there is no other open size")
}

/// A bundle's archive, as `mlpc build` makes it, and whether the model was found in the cache.
fn build(host: &Disk, path: &Path, sequence: u64) -> (Vec<u8>, bool) {
    let sha256 = sources::sha256(host, path).expect("the model is there");
    let graph = onnx::prepared(host, path, &sha256, &dims(host, path, sequence)).expect("the model is prepared");
    let compiled = compile::compile_for(host, graph).expect("the model compiles");
    let (code, weights) = compile::emit_for(host, &compiled).expect("the plan has code");
    let bundle = bundle::of_digested("model", sha256, compiled, code, weights);
    let found = host.times().iter().any(|(phase, _)| *phase == "import (cached)");
    (bundle.to_archive().expect("the bundle has an archive"), found)
}

#[test]
fn preparing_a_model_changes_nothing() {
    let models = Models::new();
    for path in &models.files {
        let disk = Disk::default();
        let dims = dims(&disk, path, 10);
        let graph = onnx::import(&std::fs::read(path).expect("the model is there"), &dims).expect("the model imports");
        let prepared = onnx::prepared(&disk, path, &sources::sha256(&disk, path).expect("it is there"), &dims).expect("it is prepared");
        let (expected, actual) = (compile::compile(graph).expect("it compiles"), compile::compile(prepared).expect("it compiles"));
        assert!(expected.plan == actual.plan, "the plans of {} differ", path.display());
        assert!(expected.weights == actual.weights, "the weights of {} differ", path.display());
    }
}

#[test]
fn bundles_are_the_same_without_a_cache_with_an_empty_one_and_with_a_full_one() {
    let models = Models::new();
    for path in &models.files {
        let (plain, found) = build(&Disk::default(), path, 10);
        assert!(!found);
        for expected in [false, true] {
            let (bundle, found) = build(&models.cached(), path, 10);
            assert_eq!(found, expected, "{}", path.display());
            assert!(bundle == plain, "the bundles of {} differ", path.display());
        }
    }
}

#[test]
fn other_sizes_and_other_bytes_are_another_model() {
    let models = Models::new();
    let path = &models.files[1];
    let (ten, _) = build(&models.cached(), path, 10);
    let (twelve, found) = build(&models.cached(), path, 12);
    assert!(!found && twelve != ten && twelve == build(&Disk::default(), path, 12).0);
    assert!(build(&models.cached(), path, 10) == (ten.clone(), true));
    // Another model of that length under that name: the last weights differ.
    std::fs::write(path, encoder(&mut Noise(0x1234_5677))).expect("the model is written");
    let (other, found) = build(&models.cached(), path, 10);
    assert!(!found && other != ten && other == build(&Disk::default(), path, 10).0);
    // And another compiler.
    let upgraded = Disk::cached(DiskCache::new(models.folder.path().join("cache"), "that compiler".into()));
    assert!(build(&upgraded, path, 10) == (other, false));
}

/// A file that changes after its digest was taken, on a host with a cache.
struct Restless<'a> {
    disk: &'a Disk,
    reads: Cell<u32>,
}

impl Host for Restless<'_> {
    fn read(&self, _path: &Path) -> std::io::Result<Bytes> {
        self.reads.set(self.reads.get() + 1);
        Ok(encoder(&mut Noise(self.reads.get())).into())
    }

    fn cache(&self) -> Option<&dyn Cache> {
        self.disk.cache()
    }
}

#[test]
fn a_model_that_changes_while_it_is_compiled_is_an_error() {
    let models = Models::new();
    let disk = models.cached();
    let host = Restless { disk: &disk, reads: Cell::new(0) };
    let path = Path::new("model.onnx");
    let sha256 = sources::sha256(&host, path).expect("the model is there");
    let dims = dims(&Disk::default(), &models.files[1], 10);
    let error = onnx::prepared(&host, path, &sha256, &dims).expect_err("it is another model by now");
    assert!(matches!(error, PrepareError::Changed), "{error}");
    assert!(!models.folder.path().join("cache").exists(), "nothing is kept of it");
}
