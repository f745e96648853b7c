//! Plans a model and prints its report, or (`--text`) the whole plan: `cargo run --release -p mlp-plan --example plan_onnx -- model.onnx N=1`.
use mlp_import::onnx::{ImportOptions, import};
use mlp_plan::{PlanOptions, plan};
use std::collections::BTreeMap;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let text = args.iter().any(|arg| arg == "--text");
    args.retain(|arg| arg != "--text");
    let path = args.first().ok_or("usage: plan_onnx MODEL [SYMBOL=SIZE ...] [--text]")?;
    let mut dims = BTreeMap::new();
    for arg in &args[1..] {
        let (name, size) = arg.split_once('=').ok_or("sizes are written SYMBOL=SIZE")?;
        dims.insert(name.to_owned(), size.parse()?);
    }
    let mut graph = import(&std::fs::read(path)?, &ImportOptions { dims, family: None })?;
    mlp_graph::passes::optimize(&mut graph)?;
    let planned = plan(&graph, &PlanOptions::default())?;
    mlp_bundle::plan::verify::verify(&planned.plan)?;
    if text {
        println!("{}", planned.plan);
    } else {
        println!("{}", planned.report);
    }
    Ok(())
}
