//! What the documents say is so: their commands run, their samples are the files they speak of.

use mlp_driver::host::Memory;
use mlp_driver::package::Package;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The fenced blocks of a language in a document.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in document.lines() {
        match &mut open {
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some(text) => text.extend([line, "\n"]),
            None if line == format!("```{language}") => open = Some(String::new()),
            None => {}
        }
    }
    blocks
}

/// Runs the compiler; whether it succeeded, what it printed, and what it complained of.
fn mlpc(arguments: &[&str], folder: &Path) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mlpc"))
        .args(arguments)
        .current_dir(folder)
        .env("MLP_CACHE_DIR", folder.join("cache"))
        .output()
        .expect("mlpc runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_first_command_of_the_readme_answers() {
    let readme = read("README.md");
    let commands = blocks(&readme, "sh");
    let command = commands[0].trim().strip_prefix("cargo run --release -- ").expect("the first command runs the compiler");
    let arguments: Vec<&str> = command.split_whitespace().collect();
    let (success, answer, errors) = mlpc(&arguments, Path::new(ROOT));
    assert!(success, "{errors}");
    let first = answer.lines().find(|line| line.trim_start().starts_with("1. ")).unwrap_or_default();
    assert!(first.contains("espresso"), "{answer}");
    assert!(answer.contains(" ms on native"), "the time and the backend are told: {answer}");
    assert_eq!(commands[1], "./test\n", "the second command runs all tests");
}

#[test]
fn the_everyday_commands_of_the_readme_run() {
    let readme = read("README.md");
    let everyday = blocks(&readme, "sh").into_iter().find(|block| block.starts_with("mlpc ")).expect("there is a block of commands");
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(Path::new(ROOT).join("examples/objects")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    std::fs::copy(Path::new(ROOT).join("tests/fuzz/corpus/onnx/sk_digits_mlp.onnx"), folder.path().join("model.onnx")).unwrap();
    std::fs::copy(Path::new(ROOT).join("tests/data/sk_digits_mlp.npz"), folder.path().join("recorded.npz")).unwrap();
    for line in everyday.lines() {
        let command = line.split('#').next().unwrap_or_default();
        let arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
        let (success, answer, errors) = mlpc(&arguments, folder.path());
        assert!(success, "{command}\n{answer}\n{errors}");
        assert!(!answer.is_empty() || !errors.is_empty(), "{command} prints nothing");
    }
}

#[test]
fn the_samples_of_the_readme_are_the_files_it_speaks_of() {
    let readme = read("README.md");
    assert_eq!(blocks(&readme, "mlp"), [read("examples/objects/objects.mlp")]);
    let page: String = blocks(&readme, "tsx").concat();
    let source = read("examples/objects/web/src/App.tsx");
    assert!(!page.is_empty());
    for line in page.lines().filter(|line| !line.trim().is_empty()) {
        assert!(source.contains(line.trim()), "App.tsx has no line `{}`", line.trim());
    }
}

/// Each document's mlp blocks that are whole files, marked by their edition, check without an error.
#[test]
fn whole_files_in_documents_check() {
    for document in ["ARCHITECTURE.md", "CHANGELOG.md"] {
        for block in blocks(&read(document), "mlp").into_iter().filter(|block| block.starts_with("edition")) {
            let host = Memory([(PathBuf::from("main.mlp"), block.into_bytes())].into());
            let package = Package::check(&host, Path::new("main.mlp"));
            assert!(!package.has_errors(), "{document}: {:?}", package.diagnostics());
        }
    }
}

#[test]
fn links_in_documents_lead_somewhere() {
    for document in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        let text = read(document);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|link| !link.contains("://")) {
            assert!(Path::new(ROOT).join(link).exists(), "{document} links to {link}, which is not there");
        }
    }
}
