//! `mlpc coverage`: which operators of ONNX compile, on which backend, over which element types; asked of the compiler itself.

mod page;

use crate::args::Coverage;
use crate::{Failure, Outcome};
use mlp_bundle::DType;
use mlp_driver::compile;
use mlp_engine::BackendKind;
use mlp_engine::backend::{self, Artifacts};
use mlp_graph::passes;
use mlp_import::coverage::{Operator, Standing, operators};
use serde::Serialize;

/// The backends by which coverage is told. Both WebAssembly modules, and that for several threads, take the same kernels.
const BACKENDS: [&str; 3] = ["native", "wasm", "gpu"];

/// What is known of an operator, as programs read it.
#[derive(Debug, Serialize)]
struct Row {
    domain: &'static str,
    operator: &'static str,
    /// The versions of the domain's operator set that changed it.
    since: &'static [i64],
    deprecated: bool,
    imported: bool,
    /// Why it is left out, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The element types that compile on each backend; none where there is no sample to ask with.
    #[serde(skip_serializing_if = "Option::is_none")]
    types: Option<Types>,
    /// The element types that its schema allows and no backend compiles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not: Vec<String>,
}

/// Element types by backend.
#[derive(Debug, Default, Serialize)]
struct Types {
    native: Vec<&'static str>,
    wasm: Vec<&'static str>,
    gpu: Vec<&'static str>,
}

/// Runs the command.
pub(crate) fn coverage(arguments: &Coverage) -> Outcome {
    let rows = operators().iter().map(row).collect::<Result<Vec<Row>, Failure>>()?;
    if arguments.json {
        for row in &rows {
            anstream::println!("{}", serde_json::to_string(row)?);
        }
    } else {
        anstream::print!("{}", page::page(&rows));
    }
    Ok(true)
}

fn row(operator: &'static Operator) -> Result<Row, Failure> {
    let (imported, reason) = match operator.standing() {
        Standing::Imported => (true, None),
        Standing::LeftOut(reason) => (false, Some(reason)),
        Standing::Unknown => (false, Some("it is not imported")),
    };
    let mut types = None;
    if imported && operator.probe.is_some() {
        types = Some(ask(operator)?);
    }
    let mut not = Vec::new();
    if let Some(types) = &types {
        let missing = |name: &&String| ![&types.native, &types.wasm, &types.gpu].iter().any(|list| list.contains(&name.as_str()));
        not = operator.types.iter().filter(missing).cloned().collect();
    }
    let Operator { domain, name, since, deprecated, .. } = operator;
    Ok(Row { domain, operator: name, since, deprecated: *deprecated, imported, reason, types, not })
}

/// Compiles the operator's sample over each element type that its schema allows.
fn ask(operator: &'static Operator) -> Result<Types, Failure> {
    let mut types = Types::default();
    // The usual ones first, in their order.
    let place = |name: &str| DType::ALL.into_iter().position(|dtype| dtype.name() == name).unwrap_or(usize::MAX);
    let mut names: Vec<&'static str> = operator.types.iter().map(String::as_str).collect();
    names.sort_by_key(|name| place(name));
    for element in names {
        let Some(Ok(mut graph)) = operator.graph_for(element) else { continue };
        passes::optimize(&mut graph).map_err(|error| Failure(format!("{} over {element}: {error}; please report this", operator.name)))?;
        let Ok(compiled) = compile::plan(&graph) else { continue };
        let artifacts = Artifacts { plan: &compiled.plan, weights: compiled.weights.clone(), wasm: None, gpu: Err(String::new()) };
        if backend::open(BackendKind::Native, &artifacts, 1).is_ok() {
            types.native.push(element);
        }
        if compile::emit_wasm(&compiled.plan, false).is_ok() {
            types.wasm.push(element);
        }
        if compile::emit_gpu(&compiled.plan).is_ok() {
            types.gpu.push(element);
        }
    }
    Ok(types)
}
