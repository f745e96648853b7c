//! Models whose weights lie in files beside them: found from the model's folder, checked, and part of what a build depends on.

#[path = "../../compiler/import/tests/support/build.rs"]
mod build;

use build::*;
use mlp_driver::cache::DiskCache;
use mlp_driver::host::{Disk, Host};
use mlp_driver::onnx::{Dims, prepared};
use mlp_driver::sources;
use mlp_graph::{Tensor, eval};
use mlp_import::onnx::proto::{ModelProto, StringStringEntryProto, TensorProto};
use std::path::{Path, PathBuf};

/// `y = x + w`, with the two numbers of `w` in `weights.bin`.
fn model_of(location: &str, length: &str) -> ModelProto {
    let entry = |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into() };
    let weights = TensorProto {
        name: "w".into(),
        data_type: FLOAT,
        dims: vec![2],
        data_location: 1,
        external_data: vec![entry("location", location), entry("offset", "4"), entry("length", length)],
        ..Default::default()
    };
    model(17, vec![port("x", FLOAT, &[2])], vec![weights], vec![node("Add", &["x", "w"], &["y"], vec![])], &["y"])
}

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new(model: &ModelProto) -> Files {
        let files = Files { folder: tempfile::tempdir().expect("a folder") };
        std::fs::write(files.model(), bytes(model)).expect("the model is written");
        files.weigh(&[0.0, 10.0, 20.0]);
        files
    }

    fn model(&self) -> PathBuf {
        self.folder.path().join("model.onnx")
    }

    fn weigh(&self, weights: &[f32]) {
        let bytes: Vec<u8> = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
        std::fs::write(self.folder.path().join("weights.bin"), bytes).expect("the weights are written");
    }

    fn cached(&self) -> Disk {
        Disk::cached(DiskCache::new(self.folder.path().join("cache"), "this compiler".into()))
    }
}

/// What the model makes of `[1, 2]`, or why it cannot be prepared; and whether it was found in the cache.
fn run(disk: &Disk, path: &Path) -> Result<(Vec<f64>, bool), String> {
    let sha256 = sources::sha256(disk, path).expect("the model is there");
    let graph = prepared(disk, path, &sha256, &Dims::new()).map_err(|error| error.to_string())?;
    let x = Tensor::from_f32(&[2], &[1.0, 2.0]).expect("two numbers");
    let found = disk.times().iter().any(|(phase, _)| *phase == "import (cached)");
    Ok((eval::run(&graph, &[x]).expect("it runs")[0].to_f64(), found))
}

#[test]
fn weights_come_from_the_file_beside_the_model() {
    let files = Files::new(&model_of("weights.bin", "8"));
    assert_eq!(run(&Disk::default(), &files.model()), Ok((vec![11.0, 22.0], false)));
    let known = sources::model(&Disk::default(), &files.model()).expect("a model");
    assert_eq!(known.files, ["weights.bin"]);
    let read = sources::read_model(&Disk::default(), &files.model()).expect("a model with its weights");
    assert!(read.import(&Default::default(), &Default::default()).is_ok());
}

#[test]
fn other_weights_are_another_model() {
    let files = Files::new(&model_of("weights.bin", "8"));
    assert_eq!(run(&files.cached(), &files.model()), Ok((vec![11.0, 22.0], false)));
    assert_eq!(run(&files.cached(), &files.model()), Ok((vec![11.0, 22.0], true)));
    files.weigh(&[0.0, 30.0, 40.0]);
    assert_eq!(run(&files.cached(), &files.model()), Ok((vec![31.0, 42.0], false)));
}

#[test]
fn files_that_are_missing_cut_short_or_elsewhere_are_named() {
    let files = Files::new(&model_of("weights.bin", "8"));
    files.weigh(&[0.0, 10.0]);
    let error = run(&Disk::default(), &files.model()).expect_err("the file is cut short");
    assert!(error.contains("tensor `w`") && error.contains("`weights.bin`") && error.contains("cut short"), "{error}");
    std::fs::remove_file(files.folder.path().join("weights.bin")).expect("the file goes");
    let error = run(&Disk::default(), &files.model()).expect_err("the file is missing");
    assert!(error.contains("no such file beside the model"), "{error}");
    let outside = Files::new(&model_of("../weights.bin", "8"));
    let error = run(&Disk::default(), &outside.model()).expect_err("the file lies elsewhere");
    assert!(error.contains("only files in the model's folder are read"), "{error}");
    let absurd = Files::new(&model_of("weights.bin", "99999999999999"));
    let error = run(&Disk::default(), &absurd.model()).expect_err("the file is not so long");
    assert!(error.contains("cut short"), "{error}");
}

/// A file that tensors share many times over must not fill the memory.
#[test]
fn tensors_share_bytes_only_so_often() {
    let mut model = model_of("weights.bin", "8");
    let graph = model.graph.as_mut().expect("a graph");
    for index in 0..100 {
        graph.initializer.push(TensorProto { name: format!("w{index}"), ..graph.initializer[0].clone() });
    }
    let files = Files::new(&model);
    let error = run(&Disk::default(), &files.model()).expect_err("the tensors share too much");
    assert!(error.contains("share its bytes too often"), "{error}");
    assert!(Disk::default().length(&files.model()).expect("a size") > 0);
}
