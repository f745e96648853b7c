//! File tests: `filetests/*.mlpg` hold a graph, the passes to run on it (`; pass: name` lines), and after `; ---` the graph that comes out.
//!
//! Each graph is also evaluated before and after, on the same inputs; `; tolerance: x` allows outputs to differ by that much, absolutely. To write the
//! expected parts anew from what the passes do, run with `UPDATE_FILETESTS=1` and read the difference.

use mlp_graph::{Graph, Tensor, eval, passes, text};
use std::path::Path;

const RULE: &str = "; ---\n";

#[test]
fn passes_make_what_the_files_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/filetests");
    let mut paths: Vec<_> = glob::glob(folder.join("*.mlpg").to_str().unwrap()).unwrap().map(Result::unwrap).collect();
    paths.sort();
    assert!(paths.len() >= 8, "the file tests are found");
    let failures: Vec<String> =
        paths.iter().filter_map(|path| check(path).err().map(|message| format!("{}: {message}", path.display()))).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn check(path: &Path) -> Result<(), String> {
    let source = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let (input, expected) = source.split_once(RULE).unwrap_or((&source, ""));
    let header = |key: &str| {
        input
            .lines()
            .filter_map(move |line| line.strip_prefix("; ")?.strip_prefix(key)?.strip_prefix(": ").map(str::trim).map(String::from))
            .collect::<Vec<_>>()
    };
    let before = text::parse(input).map_err(|error| error.to_string())?;
    let mut after = before.clone();
    for name in header("pass") {
        let pass = passes::by_name(&name).ok_or_else(|| format!("there is no pass `{name}`"))?;
        passes::run(pass, &mut after).map_err(|error| error.to_string())?;
    }
    let tolerance = header("tolerance").first().map_or(Ok(0.0), |number| number.parse()).map_err(|_| "a tolerance is a number")?;
    same_outputs(&before, &after, tolerance)?;
    let text = text::brief(&after);
    if std::env::var_os("UPDATE_FILETESTS").is_some() {
        return std::fs::write(path, format!("{input}{RULE}{text}")).map_err(|error| error.to_string());
    }
    if text == expected { Ok(()) } else { Err(format!("expected\n{expected}\nbut got\n{text}")) }
}

fn same_outputs(before: &Graph, after: &Graph, tolerance: f64) -> Result<(), String> {
    let inputs: Vec<Tensor> = before
        .inputs
        .iter()
        .zip(1..)
        // Symbols are tried at 2.
        .map(|(port, seed)| {
            let ty = before.ty(port.value);
            let shape: Vec<u64> = ty.shape.0.iter().map(|dim| dim.constant().unwrap_or(2)).collect();
            Tensor::noise(ty.dtype, &shape, seed).unwrap()
        })
        .collect();
    let outputs = |graph| eval::run(graph, &inputs).map_err(|error| error.to_string());
    for ((left, right), port) in outputs(before)?.iter().zip(&outputs(after)?).zip(&before.outputs) {
        if left.dtype() != right.dtype() || left.shape() != right.shape() {
            return Err(format!("output `{}` has another type", port.name));
        }
        // Exactly equal numbers (infinities among them) are as good as close ones.
        let close = |(a, b): (&f64, &f64)| a == b || (a - b).abs() <= tolerance || (a.is_nan() && b.is_nan());
        if !left.to_f64().iter().zip(&right.to_f64()).all(close) {
            return Err(format!("output `{}` differs: {left:?} and {right:?}", port.name));
        }
    }
    Ok(())
}
