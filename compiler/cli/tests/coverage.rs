//! What `mlpc coverage` says is what the importers do.

use serde::Deserialize;
use std::process::Command;

fn coverage(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_mlpc")).arg("coverage").args(arguments).output().expect("mlpc runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[derive(Deserialize)]
struct Row {
    domain: String,
    operator: String,
    imported: bool,
    reason: Option<String>,
    types: Option<Types>,
}

#[derive(Deserialize)]
struct Types {
    native: Vec<String>,
    wasm: Vec<String>,
    gpu: Vec<String>,
}

#[test]
fn every_operator_has_types_or_a_reason() {
    let text = coverage(&["--json"]);
    let rows: Vec<Row> = text.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    assert!(rows.iter().filter(|row| row.domain.is_empty()).count() >= 203, "all of ONNX's operators are there");
    for row in &rows {
        assert_ne!(row.imported, row.reason.is_some(), "{}", row.operator);
        if let Some(types) = &row.types {
            assert!(!types.native.is_empty() && !types.wasm.is_empty(), "{} is imported, and no element type of it compiles", row.operator);
        }
    }
    let of = |name: &str| rows.iter().find(|row| row.operator == name && row.domain.is_empty()).expect("an operator");
    let conv = of("Conv").types.as_ref().expect("a sample");
    assert!(conv.native.iter().any(|name| name == "f32") && conv.gpu.iter().any(|name| name == "f32"));
    let random = of("RandomNormal").reason.as_deref().expect("a reason");
    assert!(random.contains("random"), "{random}");
}
#[test]
fn the_page_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operators.md");
    let page = std::fs::read_to_string(path).expect("docs/operators.md");
    let made = coverage(&[]);
    let differs = page.lines().zip(made.lines()).find(|(old, new)| old != new);
    assert!(page == made, "write docs/operators.md anew: mlpc coverage > docs/operators.md; the first difference: {differs:?}");
}
