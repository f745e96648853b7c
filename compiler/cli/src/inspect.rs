//! `mlpc inspect`: what is in a bundle, and what it needs.

use crate::args::Inspect;
use crate::render::{self, BOLD, DIM, PLAIN};
use crate::{Failure, Outcome};
use mlp_bundle::Bundle;
use mlp_bundle::manifest::{Field, Pipeline, ValueType};
use mlp_engine::Storage;

/// Runs the command.
pub(crate) fn inspect(arguments: &Inspect) -> Outcome {
    let refused = |error| Failure(format!("{}: {error}; mlpc inspect takes a bundle that mlpc build wrote", arguments.bundle.display()));
    let bundle = mlp_engine::bundle::open(&arguments.bundle, Storage::Mapped).map_err(refused)?;
    bundle.verify_all().map_err(refused)?;
    if arguments.json {
        anstream::println!("{}", serde_json::to_string_pretty(&bundle.manifest)?);
        return Ok(true);
    }
    if let Some(name) = &arguments.plan {
        let known = || bundle.manifest.pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect::<Vec<_>>().join(", ");
        let pipeline =
            bundle.pipeline(name).ok_or_else(|| Failure(format!("there is no pipeline `{name}`; the bundle has {}", known())))?;
        anstream::print!("{}", bundle.plan(pipeline)?);
        return Ok(true);
    }
    let manifest = &bundle.manifest;
    anstream::println!(
        "{BOLD}{}{PLAIN}  format {}, made by mlpc {}, edition {}",
        manifest.name,
        manifest.format,
        manifest.compiler,
        manifest.edition
    );
    let network = if manifest.capabilities.network.is_empty() { "none".to_string() } else { manifest.capabilities.network.join(", ") };
    anstream::println!("network   {network}");
    for source in &manifest.provenance {
        let licence = source.licence.as_deref().map(|licence| format!(", {licence}")).unwrap_or_default();
        anstream::println!("made of   {} {DIM}sha256 {}{licence}{PLAIN}", source.path, &source.sha256[..source.sha256.len().min(16)]);
    }
    for pipeline in &manifest.pipelines {
        print_pipeline(&bundle, pipeline)?;
    }
    anstream::println!("\nfiles");
    for (name, entry) in &manifest.files {
        anstream::println!("  {name:<44} {:>10}", render::bytes(entry.bytes));
    }
    Ok(true)
}

fn print_pipeline(bundle: &Bundle, pipeline: &Pipeline) -> Result<(), Failure> {
    let plan = bundle.plan(pipeline)?;
    let gpu = bundle.gpu(pipeline, &plan)?;
    anstream::println!("\n{BOLD}{}{PLAIN}", pipeline.name);
    if let Some(line) = pipeline.doc.lines().next() {
        anstream::println!("  {line}");
    }
    pipeline.inputs.iter().for_each(|field| anstream::println!("  takes   {}", describe(field)));
    pipeline.outputs.iter().for_each(|field| anstream::println!("  gives   {}", describe(field)));
    for state in &plan.states {
        let buffer = &plan.buffers[state.buffer];
        anstream::println!("  keeps   {}: {} of {} from one run to the next", state.name, render::bytes(buffer.bytes()), buffer.dtype);
    }
    let report = &pipeline.report;
    anstream::println!(
        "  costs   {} kernels, {:.1} M multiply-accumulates, {} of memory{}, {} of weights",
        report.kernels,
        report.macs as f64 / 1e6,
        render::bytes(report.arena_bytes),
        report.arena_ratio().map(|ratio| format!(" ({ratio:.3} of the least possible)")).unwrap_or_default(),
        render::bytes(report.weights_bytes)
    );
    anstream::println!("  wasm    simd128 or relaxed-simd, {} of fixed memory", render::bytes(u64::from(pipeline.wasm.memory_pages) << 16));
    match gpu {
        Some(program) => {
            let needs = if program.features.is_empty() { "no optional feature".into() } else { program.features.join(", ") };
            anstream::println!(
                "  webgpu  {} dispatches, {} of buffers, needs {needs}",
                program.dispatches.len(),
                render::bytes(program.slots.iter().sum())
            );
        }
        None => anstream::println!("  webgpu  not available for this pipeline"),
    }
    Ok(())
}

/// `name: type`, as the language writes it.
fn describe(field: &Field) -> String {
    let ty = match &field.ty {
        ValueType::Tensor { dtype, shape, rows, .. } => {
            let text = format!("{dtype}[{}]", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
            match rows {
                Some(rows) => format!("{text}, of which a run decides how much of axis {} there is", rows.axis),
                None => text,
            }
        }
        ValueType::Image { max_height, max_width, .. } => format!("image<rgb>, at most {max_width}x{max_height}, larger ones are shrunk"),
        ValueType::Sound { rate, samples, .. } => format!("audio<{rate}Hz, mono>, {samples} samples"),
        ValueType::Text => "text".to_string(),
        ValueType::Label { labels, .. } => format!("label of {labels}"),
        ValueType::Ranking { labels, count, .. } => format!("ranking of the best {count} of {labels}"),
    };
    format!("{}: {ty}", field.name)
}
