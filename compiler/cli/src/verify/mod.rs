//! `mlpc verify`: does a model come out right everywhere?

mod case;
mod compare;
mod emit;
mod known;
mod model;

use crate::args::{Verify, VerifyBackend};
use crate::sizes::Sizes;
use crate::{Failure, Outcome, render};
use case::Case;
use compare::{Tolerance, bit_difference, compare};
use known::Known;
use mlp_engine::BackendKind;
use mlp_graph::Tensor;
use model::Model;
use serde::Serialize;

/// What a case and backend came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Pass,
    Fail,
    Unsupported,
    /// Failed or unsupported, as the list of known gaps says.
    Known,
}

/// A line of the report.
#[derive(Debug, Serialize)]
struct Line<'a> {
    name: &'a str,
    backend: &'static str,
    status: Status,
    max_abs: f64,
    max_rel: f64,
    detail: String,
}

/// The backends asked for, the reference as none, each once and in a fixed order.
fn backends(asked: &[VerifyBackend]) -> Vec<Option<BackendKind>> {
    let all = [
        (VerifyBackend::Reference, None),
        (VerifyBackend::Native, Some(BackendKind::Native)),
        (VerifyBackend::Gpu, Some(BackendKind::Gpu)),
        (VerifyBackend::Wasm, Some(BackendKind::Wasm)),
        (VerifyBackend::WasmRelaxed, Some(BackendKind::WasmRelaxed)),
        (VerifyBackend::WasmThreads, Some(BackendKind::WasmThreads)),
    ];
    let wanted = |one: &VerifyBackend| asked.contains(one) || asked.contains(&VerifyBackend::All);
    all.into_iter().filter(|(one, _)| wanted(one)).map(|(_, kind)| kind).collect()
}

/// Runs the command.
pub(crate) fn verify(arguments: &Verify) -> Outcome {
    let cases = case::find(&arguments.path, arguments.data.as_deref())?;
    let sizes = Sizes::read(&arguments.dims)?;
    if let Some(folder) = &arguments.emit {
        return emit::emit(&cases, folder, &sizes, arguments.gpu_variant.as_deref());
    }
    let mut known = arguments.known.as_deref().map(Known::read).transpose()?.unwrap_or_default();
    let (mut counts, mut totals) = ([0usize; 4], Vec::new());
    for case in &cases {
        for line in judge(case, &backends(&arguments.backends), &sizes, arguments) {
            let line = known.apply(line);
            counts[line.status as usize] += 1;
            print_line(&line, arguments.json)?;
            totals.push(line.status);
        }
    }
    let stale = known.stale(&cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>());
    for row in &stale {
        anstream::eprintln!("{}error:{} {row}", render::RED, render::PLAIN);
    }
    if !arguments.json {
        let [pass, fail, unsupported, known] = counts;
        anstream::println!("\n{pass} passed, {fail} failed, {unsupported} unsupported, {known} known gaps");
    }
    Ok(counts[Status::Fail as usize] == 0 && counts[Status::Unsupported as usize] == 0 && stale.is_empty())
}

fn print_line(line: &Line<'_>, json: bool) -> Result<(), Failure> {
    if json {
        anstream::println!("{}", serde_json::to_string(line)?);
        return Ok(());
    }
    let (word, colour) = match line.status {
        Status::Pass => ("pass", render::GREEN),
        Status::Fail => ("fail", render::RED),
        Status::Unsupported => ("unsupported", render::YELLOW),
        Status::Known => ("known", render::DIM),
    };
    let detail = if line.detail.is_empty() { String::new() } else { format!("  {}", line.detail) };
    anstream::println!(
        "{colour}{word:<11}{} {:<12} {}  max_abs {:.2e} max_rel {:.2e}{detail}",
        render::PLAIN,
        line.backend,
        line.name,
        line.max_abs,
        line.max_rel
    );
    Ok(())
}

/// Compiles a case once and judges it on each backend.
fn judge<'c>(case: &'c Case, backends: &[Option<BackendKind>], sizes: &Sizes, arguments: &Verify) -> Vec<Line<'c>> {
    let name = |kind: &Option<BackendKind>| kind.map_or("reference", BackendKind::name);
    let line = |kind: &Option<BackendKind>, status, detail| Line {
        name: &case.name,
        backend: name(kind),
        status,
        max_abs: 0.0,
        max_rel: 0.0,
        detail,
    };
    let mut model = match Model::load(case, sizes, arguments.gpu_variant.as_deref()) {
        Ok(model) => model,
        Err(model::Refused { unsupported, detail }) => {
            let status = if unsupported { Status::Unsupported } else { Status::Fail };
            return backends.iter().map(|kind| line(kind, status, detail.clone())).collect();
        }
    };
    let mut first: Option<(&'static str, Vec<Tensor>)> = None;
    let mut lines = Vec::new();
    for kind in backends {
        let outputs = match model.run(*kind) {
            Ok(outputs) => outputs,
            Err(model::Refused { unsupported, detail }) => {
                lines.push(line(kind, if unsupported { Status::Unsupported } else { Status::Fail }, detail));
                continue;
            }
        };
        let mut result = line(kind, Status::Pass, String::new());
        let expected = model.recorded.outputs.iter().zip(&model.steps);
        for ((name, actual), (expected, step)) in model.output_names.iter().zip(&outputs).zip(expected) {
            let tolerance = Tolerance { rtol: arguments.rtol, atol: arguments.atol, step: *step };
            let comparison = compare(name, actual, expected, tolerance);
            result.max_abs = result.max_abs.max(comparison.max_abs);
            result.max_rel = result.max_rel.max(comparison.max_rel);
            if let (Some(fault), true) = (comparison.fault, result.detail.is_empty()) {
                (result.status, result.detail) = (Status::Fail, fault);
            }
        }
        if model.integer {
            match &first {
                None => first = Some((result.backend, outputs)),
                Some((other, first)) => {
                    if let Some(difference) = bit_difference(&model.output_names, &outputs, first) {
                        (result.status, result.detail) = (Status::Fail, format!("{difference} from {other}, and should be bit-equal"));
                    }
                }
            }
        }
        if result.status == Status::Pass {
            result.detail.clone_from(&model.remark);
        }
        lines.push(result);
    }
    lines
}
