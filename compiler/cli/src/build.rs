//! `mlpc build`: a source file or a bare model to a bundle; and how pipelines of source files are chosen and opened.

use crate::args::Build;
use crate::progress::Progress;
use crate::render::{self, BOLD, DIM, PLAIN};
use crate::sizes::Sizes;
use crate::subject::{self, Code, Options};
use crate::{Failure, Outcome, check, report};
use etcetera::BaseStrategy;
use mlp_analysis::PipelineId;
use mlp_bundle::Bundle;
use mlp_bundle::bundle::write_whole;
use mlp_bundle::manifest::Encoding;
use mlp_driver::cache::DiskCache;
use mlp_driver::compile::{self, Compiled};
use mlp_driver::host::{Disk, Host};
use mlp_driver::package::{CompiledEntry, Package};
use mlp_driver::sources::{self, ModelError};
use mlp_driver::{bundle, onnx, varying, weights};
use mlp_engine::{BackendKind, Encoder, EngineError, Session, Signature};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// What was written, as programs read it.
#[derive(Serialize)]
struct Report<'a> {
    bundle: &'a Path,
    files: Vec<String>,
    dependencies: Vec<PathBuf>,
    diagnostics: Vec<report::JsonDiagnostic<'a>>,
    /// Where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    timings: Vec<Timing>,
}

/// How long a phase took. Code is emitted while weights are digested, so that phases can add up to more than the total.
#[derive(Serialize)]
struct Timing {
    phase: &'static str,
    ms: f64,
}

/// Runs the command.
pub(crate) fn build(arguments: &Build) -> Outcome {
    if arguments.file.extension().is_some_and(|extension| extension == "onnx") {
        return build_model(arguments);
    }
    subject::no_states(&arguments.file, &arguments.states)?;
    let start = Instant::now();
    let disk = disk(arguments);
    let package = Package::check(&disk, &arguments.file);
    let sources = check::sources(&package);
    let left_out = if package.has_errors() { &[] } else { package.left_out() };
    if !arguments.json {
        check::print(&package);
        render::human(left_out, &sources);
    }
    let mut report = Report {
        bundle: &arguments.output,
        files: Vec::new(),
        dependencies: package.dependencies().map(Path::to_path_buf).collect(),
        diagnostics: package.diagnostics().iter().chain(left_out).map(|diagnostic| report::json(diagnostic, &sources)).collect(),
        timings: Vec::new(),
    };
    if package.has_errors() {
        if arguments.json {
            anstream::println!("{}", serde_json::to_string(&report)?);
        }
        return Ok(false);
    }
    let progress = Progress::start("compiling");
    let stem = arguments.file.file_stem().unwrap_or_default().to_string_lossy();
    let built = package.build(&disk, &stem, arguments.compress_weights, &|doing| progress.next(doing))?;
    drop(progress);
    let writing = Instant::now();
    write(&built.bundle, &arguments.output)?;
    if !is_archive(&arguments.output) {
        write_whole(&arguments.output.join("index.js"), built.typescript.js.as_bytes())?;
        write_whole(&arguments.output.join("index.d.ts"), built.typescript.dts.as_bytes())?;
    }
    disk.took("write", writing.elapsed());
    for remark in &built.remarks {
        anstream::eprintln!("{remark}");
    }
    report.files = built.bundle.names().map(str::to_string).collect();
    finish(&built.bundle, report, arguments, &disk, start)
}

/// The files on disk, with the cache that the command line and the environment ask for.
fn disk(arguments: &Build) -> Disk {
    let folder = if arguments.no_cache { None } else { asked_for(arguments).or_else(default_cache) };
    folder.zip(compiler()).map_or_else(Disk::default, |(folder, compiler)| {
        Disk::cached(DiskCache::new(folder, compiler).with_load(mlp_engine::bundle::mapped))
    })
}

/// The cache that the command line or the environment names.
fn asked_for(arguments: &Build) -> Option<PathBuf> {
    let variable = || std::env::var_os("MLP_CACHE_DIR").filter(|folder| !folder.is_empty());
    arguments.cache_dir.clone().or_else(|| variable().map(PathBuf::from))
}

/// Where caches lie on this system (`XDG_CACHE_HOME`, `~/Library/Caches`, `%LOCALAPPDATA%`).
fn default_cache() -> Option<PathBuf> {
    etcetera::base_strategy::choose_native_strategy().ok().map(|base| base.cache_dir().join("mlp"))
}

/// What tells this build of the compiler from others: its version, and place, size and date of the program. None where the system does not tell.
fn compiler() -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let facts = std::fs::metadata(&program).ok()?;
    let made = facts.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(format!("{} {} {} {}", env!("CARGO_PKG_VERSION"), facts.len(), made.as_nanos(), program.display()))
}

fn build_model(arguments: &Build) -> Outcome {
    let (start, disk) = (Instant::now(), disk(arguments));
    let named = |error: ModelError| match error {
        ModelError::Read(error) => Failure(format!("{}: {error}", arguments.file.display())),
        ModelError::Import(error) => Failure::from(error),
    };
    let progress = Progress::start("compiling");
    let reading = Instant::now();
    let sources::Model { sha256, signature, .. } = sources::model(&disk, &arguments.file).map_err(named)?;
    disk.took("check", reading.elapsed());
    let sizes = Sizes::of_model(&signature, &arguments.dims, arguments.data.as_deref())?;
    let states = subject::states(&arguments.states)?;
    let mut member = |host: &dyn Host, point: &[u64]| {
        onnx::prepared(host, &arguments.file, &sha256, &sizes.at(point)).and_then(|graph| onnx::keeping(graph, &states))
    };
    let compiled = varying::compile(&disk, &sizes.varying, &mut member)?;
    progress.next("emitting");
    let (code, entry) = compile::emit_for(&disk, &compiled)?;
    if let Err(error) = &code.gpu {
        anstream::eprintln!("the bundle gets no GPU program: {error}");
    }
    let stem = arguments.file.file_stem().unwrap_or_default().to_string_lossy();
    let mut bundle = bundle::of_digested(&stem, sha256, compiled, code, entry);
    if arguments.compress_weights {
        progress.next("compressing weights");
        weights::compress(&disk, &mut bundle)?;
    }
    drop(progress);
    let writing = Instant::now();
    write(&bundle, &arguments.output)?;
    disk.took("write", writing.elapsed());
    let files = bundle.names().map(str::to_string).collect();
    let report = Report {
        bundle: &arguments.output,
        files,
        dependencies: vec![arguments.file.clone()],
        diagnostics: Vec::new(),
        timings: Vec::new(),
    };
    finish(&bundle, report, arguments, &disk, start)
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

fn finish(bundle: &Bundle, mut report: Report<'_>, arguments: &Build, disk: &Disk, start: Instant) -> Outcome {
    if let Some((folder, error)) = disk.trouble().filter(|_| asked_for(arguments).is_some()) {
        anstream::eprintln!("nothing is kept for the next build in {}: {error}", folder.display());
    }
    if arguments.timings {
        let timing = |(phase, time): (&'static str, Duration)| Timing { phase, ms: time.as_secs_f64() * 1e3 };
        report.timings = disk.times().into_iter().chain([("total", start.elapsed())]).map(timing).collect();
    }
    if arguments.json {
        anstream::println!("{}", serde_json::to_string(&report)?);
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
    for Timing { phase, ms } in &report.timings {
        anstream::println!("  {phase:<16} {:>9}", render::milliseconds(*ms));
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
    let all = package.program().entries();
    let taken = all.map(|(_, pipeline)| (pipeline.name.as_str(), pipeline.params.iter().map(|param| param.name.as_str()).collect()));
    let name = the_one(name, &names, || no_pipeline(taken))?;
    entries.iter().find(|(_, pipeline)| pipeline.name == name).map(|(id, _)| *id).ok_or_else(|| {
        let all: Vec<&str> = package.program().entries().map(|(_, pipeline)| pipeline.name.as_str()).collect();
        Failure(format!("there is no pipeline `{name}` that takes such inputs; the file has {}", all.join(", ")))
    })
}

/// That no pipeline takes inputs of the names that are given; `taken` says what each takes.
pub(crate) fn no_pipeline<'p>(taken: impl Iterator<Item = (&'p str, Vec<&'p str>)>) -> Failure {
    let takes = |(name, inputs): (&str, Vec<&str>)| match inputs.as_slice() {
        [] => format!("`{name}` takes nothing"),
        inputs => format!("`{name}` takes `{}`", inputs.join("`, `")),
    };
    let taken: Vec<String> = taken.map(takes).collect();
    let known = if taken.is_empty() { "there is none that is built".to_owned() } else { taken.join("; ") };
    Failure(format!("no pipeline takes inputs of these names: {known}"))
}

/// The name asked for, or the only one there is; `none` says what is wrong where there is none.
pub(crate) fn the_one<'n>(name: Option<&'n str>, names: &[&'n str], none: impl FnOnce() -> Failure) -> Result<&'n str, Failure> {
    match (name, names) {
        (Some(name), _) => Ok(name),
        (None, [only]) => Ok(only),
        (None, []) => Err(none()),
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
    let CompiledEntry { name, inputs, outputs, record, compiled, labels, encodings, tokenizers, .. } =
        package.compile(&Disk::default(), id)?;
    let encoder = |encoding: &Encoding| Ok(Encoder::new(encoding, &tokenizers[&encoding.tokenizer])?);
    let encoders = encodings.iter().map(encoder).collect::<Result<_, EngineError>>()?;
    progress.next("loading");
    let backend = Code::emit(&compiled.plan, kind, Options::default())?.open(&compiled.plan, compiled.weights, kind, threads)?;
    Ok(Session::new(Signature { name, inputs, outputs, record, labels }, compiled.plan, backend, kind).with_texts(encoders))
}

/// Compiles the pipeline of that name, or the only one.
pub(crate) fn compile_pipeline(file: &Path, name: Option<&str>) -> Result<(String, Compiled), Failure> {
    let package = check::checked(file).ok_or_else(|| Failure(format!("{} has errors", file.display())))?;
    let entry = package.compile(&Disk::default(), choose(&package, name, &[])?)?;
    Ok((entry.name, entry.compiled))
}
