//! A profile names every kernel on every backend, and its parts add up.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

#[test]
fn every_backend_tells_the_time_of_every_kernel() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/sk_digits_mlp.onnx");
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("profile.html");
    for backend in ["native", "wasm", "wasm-relaxed", "gpu"] {
        let command = Command::new(env!("CARGO_BIN_EXE_mlpc"))
            .args(["profile", "--json", "--runs", "3", "--backend", backend, "--html"])
            .args([&page, &model])
            .output()
            .expect("mlpc runs");
        assert!(command.status.success(), "{backend}: {}", String::from_utf8_lossy(&command.stderr));
        let report: Value = serde_json::from_slice(&command.stdout).expect("JSON");
        assert_eq!((report["backend"].as_str(), report["runs"].as_u64()), (Some(backend), Some(3)));
        let kernels = report["kernels"].as_array().expect("kernels");
        let number = |row: &Value, field: &str| row[field].as_f64().unwrap_or_else(|| panic!("{backend}: no {field} in {row}"));
        let sum = |field: &str| kernels.iter().map(|row| number(row, field)).sum::<f64>();
        assert!((sum("share") - 1.0).abs() < 1e-9, "{backend}: shares add up to {}", sum("share"));
        assert!((sum("median_us") / 1e3 - number(&report, "total_ms")).abs() < 1e-6);
        assert!(sum("macs") > 1e3 && sum("read_bytes") > 1e3 && sum("written_bytes") > 0.0);
        assert_eq!(kernels.iter().all(|row| row["roofline"].is_number()), backend != "gpu", "a GPU's peak is not the processor's");
        let html = std::fs::read_to_string(&page).expect("the page");
        for row in kernels {
            let name = row["name"].as_str().expect("a name");
            assert!(html.contains(&format!("<td>{name}</td>")), "{backend}: {name} is not on the page");
        }
        assert_eq!(html.matches("<tr>").count(), kernels.len() + 1);
    }
}
