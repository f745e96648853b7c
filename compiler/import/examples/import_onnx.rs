//! Imports a model and prints what it became: `cargo run --release -p mlp-import --example import_onnx -- model.onnx N=1`.
use mlp_import::onnx::{ImportOptions, import};
use std::collections::BTreeMap;

fn main() {
    let mut args = std::env::args().skip(1);
    let path = args.next().expect("usage: import_onnx MODEL [SYMBOL=SIZE ...]");
    let bytes = std::fs::read(&path).expect("the model can be read");
    let dims: BTreeMap<String, u64> =
        args.filter_map(|arg| arg.split_once('=').and_then(|(name, size)| Some((name.to_owned(), size.parse().ok()?)))).collect();
    match import(&bytes, &ImportOptions { dims }) {
        Ok(graph) => {
            let mut ops: BTreeMap<&str, usize> = BTreeMap::new();
            for &op in &graph.order {
                *ops.entry(graph.ops[op].op.name()).or_default() += 1;
            }
            println!("{ops:?}");
            for port in graph.inputs.iter().chain(&graph.outputs) {
                println!("{}: {}", port.name, graph.ty(port.value));
            }
        }
        Err(error) => println!("{error}"),
    }
}
