//! What goes wrong is said in words that name the place, with exit code 1; a wrong command line exits with 2. Nothing panics.

use std::path::Path;
use std::process::Command;

/// Runs the compiler in a folder; its exit code and what it complained of.
fn mlpc(arguments: &[&str], folder: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mlpc"))
        .args(arguments)
        .current_dir(folder)
        .env("MLP_CACHE_DIR", folder.join("cache"))
        .output()
        .expect("mlpc runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn failures_name_the_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("the file is written");
    write("text.txt", "no bundle");
    write("broken.onnx", "no model");
    write("broken.mlp", "edition 2026\n\npipeline P(x: f32[1]) -> f32[1] {\n  return x |> nothing\n}\n");
    for (arguments, code, complaint) in [
        (&["run", "text.txt", "--input", "a=b"][..], 1, "text.txt: "),
        (&["inspect", "missing"], 1, "missing: "),
        (&["build", "broken.onnx", "-o", "out"], 1, "not a readable ONNX model"),
        (&["check", "missing.mlp"], 1, "missing.mlp"),
        (&["check", "broken.mlp"], 1, "there is no `nothing`"),
        (&["build", "broken.mlp", "-o", "out"], 1, "there is no `nothing`"),
        (&["verify", "broken.onnx"], 1, "--data FILE.npz"),
        (&["verify", "text.txt", "--backend", "abacus"], 2, "abacus"),
        (&["bench", "broken.onnx", "--seconds", "0"], 1, "--seconds"),
        (&["profile", "text.txt"], 1, "give an .onnx model, a .mlp file or a bundle"),
        (&["profile", "broken.onnx"], 1, "not a readable ONNX model"),
        (&["profile", "broken.onnx", "--runs", "0"], 2, "--runs"),
        (&["paint"], 2, "paint"),
    ] {
        let (status, complaints) = mlpc(arguments, folder.path());
        assert_eq!(status, Some(code), "{arguments:?}: {complaints}");
        assert!(complaints.contains(complaint), "{arguments:?} complains of `{complaints}`");
        assert!(!complaints.contains("panicked"), "{complaints}");
    }
    assert!(!folder.path().join("out").exists(), "nothing is written where the input is wrong");
}
