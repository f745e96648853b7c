//! Builds with a cache: what they write is what builds without one write, byte for byte, whatever the cache holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/objects");

/// What a build wrote, by name, and the phases that it went through.
#[derive(Debug)]
struct Built {
    files: BTreeMap<String, Vec<u8>>,
    phases: Vec<String>,
}

impl Built {
    fn went_through(&self, phase: &str) -> bool {
        self.phases.iter().any(|known| known == phase)
    }
}

/// What a build wrote.
fn build(folder: &Path, source: &str, options: &[&str]) -> Built {
    build_with(folder, source, options, &[]).0
}

/// Builds into a new folder, with these variables in the environment.
fn build_with(folder: &Path, source: &str, options: &[&str], variables: &[(&str, &str)]) -> (Built, String) {
    let out = tempfile::tempdir_in(folder).expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mlpc"));
    command.args(["build", source, "--json", "--timings", "-o"]).arg(out.path()).args(options).current_dir(folder);
    let output = command.env_remove("MLP_CACHE_DIR").envs(variables.iter().copied()).output().expect("mlpc runs");
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{complaints}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
    let phases = report["timings"].as_array().expect("timings").iter().map(|timing| {
        assert!(timing["ms"].as_f64().is_some_and(|ms| ms >= 0.0), "{timing}");
        timing["phase"].as_str().expect("a name").to_string()
    });
    let phases = phases.collect();
    let files = std::fs::read_dir(out.path()).expect("the bundle").map(|file| file.expect("a file").path());
    let read = |path: PathBuf| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).expect("a file"));
    (Built { files: files.map(read).collect(), phases }, complaints)
}

fn example() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["objects.mlp", "labels.txt", "efficientnet_lite0.onnx", "espresso.png", "chelsea.png"] {
        std::fs::copy(Path::new(EXAMPLE).join(file), folder.path().join(file)).expect("the example is there");
    }
    folder
}

#[test]
fn a_build_is_the_same_with_and_without_a_cache() {
    let folder = example();
    let folder = folder.path();
    let cached = ["--cache-dir", "cache"];
    let plain = build(folder, "objects.mlp", &["--no-cache"]);
    let cold = build(folder, "objects.mlp", &cached);
    let warm = build(folder, "objects.mlp", &cached);
    assert!(plain.went_through("import") && cold.went_through("import") && !warm.went_through("import"), "{warm:?}");
    assert!(!cold.went_through("import (cached)") && warm.went_through("import (cached)"));
    assert!(plain.files == cold.files && plain.files == warm.files);

    // Another pipeline around the same model.
    let source = std::fs::read_to_string(folder.join("objects.mlp")).expect("the source");
    let changed = source.replace("Objects.logits>, 5>", "Objects.logits>, 3>").replace("count = 5", "count = 3");
    std::fs::write(folder.join("three.mlp"), &changed).expect("the source is written");
    let (plain_three, warm_three) = (build(folder, "three.mlp", &["--no-cache"]), build(folder, "three.mlp", &cached));
    assert!(warm_three.went_through("import (cached)") && warm_three.files == plain_three.files && warm_three.files != plain.files);

    // The model by itself shares the entry: its dims and bytes are the same.
    let plain_model = build(folder, "efficientnet_lite0.onnx", &["--no-cache"]);
    let warm_model = build(folder, "efficientnet_lite0.onnx", &cached);
    assert!(warm_model.went_through("import (cached)") && warm_model.files == plain_model.files);
}

#[test]
fn compressed_weights_are_the_same_with_and_without_a_cache() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/corpus/onnx/light_squeezenet.onnx");
    std::fs::copy(model, folder.join("model.onnx")).expect("the model is there");
    let plain = build(folder, "model.onnx", &["--no-cache", "--compress-weights"]);
    assert!(plain.files.keys().any(|name| name.ends_with(".weights.zz")), "{:?}", plain.files.keys());
    for found in [false, true] {
        let built = build(folder, "model.onnx", &["--cache-dir", "cache", "--compress-weights"]);
        assert_eq!((built.went_through("import (cached)"), built.files == plain.files), (found, true));
    }
    // Who does not ask for them does not get them.
    assert_eq!(build(folder, "model.onnx", &["--cache-dir", "cache"]).files, build(folder, "model.onnx", &["--no-cache"]).files);
}

#[test]
fn a_damaged_cache_changes_nothing() {
    let folder = example();
    let folder = folder.path();
    let cached = ["--cache-dir", "cache"];
    let plain = build(folder, "efficientnet_lite0.onnx", &["--no-cache"]);
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    let halve = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2);
    for damage in [&flip as &dyn Fn(&mut Vec<u8>), &halve, &Vec::clear] {
        build(folder, "efficientnet_lite0.onnx", &cached);
        let mut entries = 0;
        for entry in std::fs::read_dir(folder.join("cache")).expect("the cache").map(|entry| entry.expect("an entry").path()) {
            let mut bytes = std::fs::read(&entry).expect("an entry");
            damage(&mut bytes);
            std::fs::write(&entry, bytes).expect("the entry is written");
            entries += 1;
        }
        assert!(entries > 0, "the build keeps something");
        let (damaged, complaints) = build_with(folder, "efficientnet_lite0.onnx", &cached, &[]);
        assert!(damaged.went_through("import") && damaged.files == plain.files && complaints.is_empty(), "{complaints}");
        let healed = build(folder, "efficientnet_lite0.onnx", &cached);
        assert!(healed.went_through("import (cached)") && healed.files == plain.files);
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_done_without() {
    let folder = example();
    let folder = folder.path();
    let plain = build(folder, "efficientnet_lite0.onnx", &["--no-cache"]);
    std::fs::write(folder.join("file"), "no folder").expect("the file is written");
    for (options, variables) in [(&["--cache-dir", "file"][..], &[][..]), (&[], &[("MLP_CACHE_DIR", "file")])] {
        let (built, complaints) = build_with(folder, "efficientnet_lite0.onnx", options, variables);
        assert!(built.files == plain.files);
        assert!(complaints.starts_with("nothing is kept for the next build in file: "), "{complaints}");
    }
    // Who did not ask for one has nothing to mend.
    let home = folder.join("file").to_string_lossy().into_owned();
    let variables = ["XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"].map(|variable| (variable, home.as_str()));
    let (built, complaints) = build_with(folder, "efficientnet_lite0.onnx", &[], &variables);
    assert!(built.files == plain.files && complaints.is_empty(), "{complaints}");
}

#[test]
fn the_cache_is_where_it_is_asked_for() {
    let folder = example();
    let folder = folder.path();
    let kept = |name: &str| std::fs::read_dir(folder.join(name)).map_or(0, Iterator::count);
    build_with(folder, "efficientnet_lite0.onnx", &["--no-cache"], &[("MLP_CACHE_DIR", "variable")]);
    assert_eq!(kept("variable"), 0);
    build_with(folder, "efficientnet_lite0.onnx", &["--cache-dir", "option"], &[("MLP_CACHE_DIR", "variable")]);
    assert_eq!((kept("variable"), kept("option") > 0), (0, true));
    build_with(folder, "efficientnet_lite0.onnx", &[], &[("MLP_CACHE_DIR", "variable")]);
    assert!(kept("variable") > 0);
    if cfg!(target_os = "linux") {
        let home = folder.join("home").to_string_lossy().into_owned();
        build_with(folder, "efficientnet_lite0.onnx", &[], &[("XDG_CACHE_HOME", &home)]);
        assert!(kept("home/mlp") > 0);
    }
}

#[test]
fn builds_at_once_share_a_cache() {
    let folder = example();
    let folder = folder.path();
    let plain = build(folder, "efficientnet_lite0.onnx", &["--no-cache"]);
    for _ in 0..2 {
        let builds = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(|| build_with(folder, "efficientnet_lite0.onnx", &["--cache-dir", "cache"], &[])));
            threads.map(|thread| thread.join().expect("the build ends"))
        });
        assert!(builds.iter().all(|(built, complaints)| built.files == plain.files && complaints.is_empty()));
    }
    let left = std::fs::read_dir(folder.join("cache"))
        .expect("the cache")
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().extension().is_some()));
    assert_eq!(left.count(), 0, "temporary files are left");
}
