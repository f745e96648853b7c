//! `mlpc build`: a source file or a bare model to a bundle; and how pipelines of source files are chosen and opened.

use crate::args::Build;
use crate::progress::Progress;
use crate::render::{self, BOLD, DIM, PLAIN};
use crate::{Failure, Outcome, check, subject};
use mlp_analysis::PipelineId;
use mlp_bundle::Bundle;
use mlp_bundle::bundle::write_whole;
use mlp_driver::compile::{self, Compiled};
use mlp_driver::host::Disk;
use mlp_driver::package::{CompiledEntry, Package};
use mlp_driver::{bundle, onnx};
use mlp_engine::backend::{self, Artifacts};
use mlp_engine::{BackendKind, Session, Signature};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What was written, as programs read it.
#[derive(Serialize)]
struct Report<'a> {
    bundle: &'a Path,
    files: Vec<String>,
    dependencies: Vec<PathBuf>,
    diagnostics: Vec<render::JsonDiagnostic<'a>>,
}

/// Runs the command.
pub(crate) fn build(arguments: &Build) -> Outcome {
    if arguments.file.extension().is_some_and(|extension| extension == "onnx") {
        return build_model(arguments);
    }
    let package = Package::check(&Disk, &arguments.file);
    let sources = check::sources(&package);
    if !arguments.json {
        check::report(&package);
    }
    let mut report = Report {
        bundle: &arguments.output,
        files: Vec::new(),
        dependencies: package.dependencies().iter().cloned().collect(),
        diagnostics: package.diagnostics().iter().map(|diagnostic| render::json(diagnostic, &sources)).collect(),
    };
    if package.has_errors() {
        if arguments.json {
            anstream::println!("{}", serde_json::to_string(&report)?);
        }
        return Ok(false);
    }
    let progress = Progress::start("compiling");
    let stem = arguments.file.file_stem().unwrap_or_default().to_string_lossy();
    let built = package.build(&Disk, &stem, arguments.compress_weights, &|doing| progress.next(doing))?;
    drop(progress);
    write(&built.bundle, &arguments.output)?;
    if !is_archive(&arguments.output) {
        write_whole(&arguments.output.join("index.js"), built.typescript.js.as_bytes())?;
        write_whole(&arguments.output.join("index.d.ts"), built.typescript.dts.as_bytes())?;
    }
    for remark in &built.remarks {
        anstream::eprintln!("{remark}");
    }
    report.files = built.bundle.names().map(str::to_string).collect();
    finish(&built.bundle, &report, arguments.json)
}

fn build_model(arguments: &Build) -> Outcome {
    let bytes = std::fs::read(&arguments.file).map_err(|error| Failure(format!("{}: {error}", arguments.file.display())))?;
    let progress = Progress::start("compiling");
    let signature = mlp_import::onnx::signature(&bytes)?;
    let dims = subject::model_dims(&signature, &arguments.dims, arguments.data.as_deref())?;
    let compiled = compile::compile(onnx::import(&bytes, &dims)?)?;
    progress.next("emitting");
    let code = compile::emit(&compiled.plan)?;
    if let Err(error) = &code.gpu {
        anstream::eprintln!("the bundle gets no GPU program: {error}");
    }
    let stem = arguments.file.file_stem().unwrap_or_default().to_string_lossy();
    let mut bundle = bundle::of_model(&stem, &bytes, compiled, code);
    if arguments.compress_weights {
        progress.next("compressing weights");
        bundle.compress_weights()?;
    }
    drop(progress);
    write(&bundle, &arguments.output)?;
    let files = bundle.names().map(str::to_string).collect();
    let report = Report { bundle: &arguments.output, files, dependencies: vec![arguments.file.clone()], diagnostics: Vec::new() };
    finish(&bundle, &report, arguments.json)
}

fn is_archive(output: &Path) -> bool {
    output.extension().is_some_and(|extension| extension == "mlpb")
}

fn write(bundle: &Bundle, output: &Path) -> Result<(), Failure> {
    if is_archive(output) {
        write_whole(output, &bundle.to_archive()?)?;
    } else {
        bundle.write_folder(output)?;
    }
    Ok(())
}

fn finish(bundle: &Bundle, report: &Report<'_>, json: bool) -> Outcome {
    if json {
        anstream::println!("{}", serde_json::to_string(report)?);
        return Ok(true);
    }
    let manifest = &bundle.manifest;
    let total: u64 = manifest.files.values().map(|file| file.bytes).sum();
    anstream::println!("{BOLD}{}{PLAIN}  {} files, {}", report.bundle.display(), manifest.files.len() + 1, render::bytes(total));
    for pipeline in &manifest.pipelines {
        let size = |name: &str| manifest.files.get(name).map_or(0, |file| file.bytes);
        anstream::println!(
            "  {}  {} kernels, {:.1} M multiply-accumulates, weights {}, wasm {}, memory {}",
            pipeline.name,
            pipeline.report.kernels,
            pipeline.report.macs as f64 / 1e6,
            render::bytes(pipeline.report.weights_bytes),
            render::bytes(size(&pipeline.wasm.simd128)),
            render::bytes(u64::from(pipeline.wasm.memory_pages) << 16)
        );
    }
    anstream::println!("{DIM}mlpc inspect {} shows what is inside{PLAIN}", report.bundle.display());
    Ok(true)
}

/// The pipeline of that name, or the only one whose inputs have these names.
pub(crate) fn choose(package: &Package, name: Option<&str>, inputs: &[(&str, &str)]) -> Result<PipelineId, Failure> {
    let takes =
        |pipeline: &mlp_analysis::Pipeline| inputs.iter().all(|(input, _)| pipeline.params.iter().any(|param| param.name == *input));
    let entries: Vec<_> = package.program().entries().filter(|(_, pipeline)| takes(pipeline)).collect();
    let names: Vec<&str> = entries.iter().map(|(_, pipeline)| pipeline.name.as_str()).collect();
    let name = the_one(name, &names)?;
    entries.iter().find(|(_, pipeline)| pipeline.name == name).map(|(id, _)| *id).ok_or_else(|| {
        let all: Vec<&str> = package.program().entries().map(|(_, pipeline)| pipeline.name.as_str()).collect();
        Failure(format!("there is no pipeline `{name}` that takes such inputs; the file has {}", all.join(", ")))
    })
}

/// The name asked for, or the only one there is.
pub(crate) fn the_one<'n>(name: Option<&'n str>, names: &[&'n str]) -> Result<&'n str, Failure> {
    match (name, names) {
        (Some(name), _) => Ok(name),
        (None, [only]) => Ok(only),
        (None, []) => Err(Failure("no pipeline takes inputs of these names; see what there is with mlpc check or mlpc inspect".into())),
        (None, several) => Err(Failure(format!("say which with --pipeline: {}", several.join(", ")))),
    }
}

/// Compiles a pipeline for one backend and opens it.
pub(crate) fn session(
    package: &Package,
    id: PipelineId,
    kind: BackendKind,
    threads: usize,
    progress: &Progress,
) -> Result<Session, Failure> {
    let CompiledEntry { name, inputs, outputs, record, compiled, labels, .. } = package.compile(&Disk, id)?;
    progress.next("loading");
    let code = if kind == BackendKind::Native { None } else { Some(compile::emit(&compiled.plan)?) };
    let module =
        code.as_ref().map(|code| (if kind == BackendKind::WasmRelaxed { &code.relaxed[..] } else { &code.simd128[..] }, &code.wasm));
    let gpu = match code.as_ref().map(|code| &code.gpu) {
        Some(Ok(program)) => Ok(program),
        Some(Err(error)) => Err(error.to_string()),
        None => Err(String::new()),
    };
    let artifacts = Artifacts { plan: &compiled.plan, weights: compiled.weights.clone(), wasm: module, gpu };
    let backend = backend::open(kind, &artifacts, threads)?;
    Ok(Session::new(Signature { name, inputs, outputs, record, labels }, compiled.plan, backend, kind))
}

/// Compiles the pipeline of that name, or the only one.
pub(crate) fn compile_pipeline(file: &Path, name: Option<&str>) -> Result<(String, Compiled), Failure> {
    let package = check::checked(file).ok_or_else(|| Failure(format!("{} has errors", file.display())))?;
    let entry = package.compile(&Disk, choose(&package, name, &[])?)?;
    Ok((entry.name, entry.compiled))
}
