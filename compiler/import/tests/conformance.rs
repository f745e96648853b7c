//! ONNX's own test cases through import and the reference interpreter.
//!
//! `tests/conformance/generate.py` writes them to a folder; the environment variable `MLP_CONFORMANCE` names it. Without it only the list of operators is checked.
//! A case that is listed in `known_gaps.txt` must fail, and any other must pass.

mod support;

use mlp_graph::{Graph, Tensor, eval, passes, verify};
use mlp_import::testdata::{import_case, read_tensor_pb};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use support::difference;

fn beside_generator(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_list_of_operators_is_what_is_supported() {
    let listed: Vec<String> = beside_generator("operators.txt").split_whitespace().map(str::to_owned).collect();
    assert_eq!(listed, mlp_import::onnx::supported_operators(), "write operators.txt anew: cargo run -p mlp-import --example operators");
}

/// The tensors `input_0.pb`, `input_1.pb`, ... of a data set.
fn tensors(folder: &Path, kind: &str) -> Result<Vec<Tensor>, String> {
    let mut tensors = Vec::new();
    while let Ok(bytes) = std::fs::read(folder.join(format!("{kind}_{}.pb", tensors.len()))) {
        tensors.push(read_tensor_pb(&bytes).map_err(|error| error.to_string())?.1);
    }
    Ok(tensors)
}

fn agrees(graph: &Graph, inputs: &[Tensor], expected: &[Tensor]) -> Result<(), String> {
    let results = graph.shown(eval::run(graph, inputs).map_err(|error| error.to_string())?)?;
    for ((port, result), expected) in graph.outputs.iter().zip(&results).zip(expected) {
        if let Some(difference) = difference(result, expected, 1e-3, 1e-6) {
            return Err(format!("output `{}` {difference}", port.name));
        }
    }
    Ok(())
}

/// Runs a case as imported, and after all passes.
fn run(case: &Path) -> Result<(), String> {
    let model = std::fs::read(case.join("model.onnx")).map_err(|error| error.to_string())?;
    let data = case.join("test_data_set_0");
    let (inputs, expected) = (tensors(&data, "input")?, tensors(&data, "output")?);
    let imported = import_case(&model, &inputs).map_err(|error| error.to_string())?;
    let mut graph = imported.graph;
    verify::verify(&graph).map_err(|error| format!("the graph is not valid: {error}"))?;
    agrees(&graph, &imported.inputs, &expected)?;
    passes::optimize(&mut graph).map_err(|error| error.to_string())?;
    agrees(&graph, &imported.inputs, &expected).map_err(|error| format!("optimized: {error}"))
}

#[test]
fn cases_of_onnx_pass_but_for_known_gaps() {
    let Some(folder) = std::env::var_os("MLP_CONFORMANCE").map(PathBuf::from) else {
        eprintln!("set MLP_CONFORMANCE to a folder that tests/conformance/generate.py wrote");
        return;
    };
    let text = beside_generator("known_gaps.txt");
    let rows = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let gaps: BTreeMap<&str, &str> = rows.filter_map(|line| line.split_once(' ')).collect();
    let mut cases: Vec<PathBuf> = std::fs::read_dir(&folder).expect("a folder of cases").map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty(), "{} is empty", folder.display());
    let (mut passed, mut known, mut wrong) = (0, 0, Vec::new());
    for case in &cases {
        let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match (run(case), gaps.get(name.as_str())) {
            (Ok(()), None) => passed += 1,
            (Err(_), Some(_)) => known += 1,
            (Ok(()), Some(_)) => wrong.push(format!("{name} passes: take it off known_gaps.txt")),
            (Err(error), None) => wrong.push(format!("{name} {error}")),
        }
    }
    eprintln!("{passed} of {} cases pass, {known} are known gaps", cases.len());
    assert!(wrong.is_empty(), "{} surprises:\n{}", wrong.len(), wrong.join("\n"));
}
