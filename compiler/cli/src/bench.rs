//! `mlpc bench`: how fast, how large.

use crate::args::{self, Bench};
use crate::render::{self, BOLD, PLAIN};
use crate::{Failure, Outcome};
use mlp_driver::compile::{self, Compiled};
use mlp_driver::onnx;
use mlp_engine::BackendKind;
use mlp_engine::backend::{self, Artifacts};
use mlp_graph::Tensor;
use serde::Serialize;
use std::time::{Duration, Instant};

/// One row of the report.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    backend: &'static str,
    threads: u16,
    median_ms: f64,
    p95_ms: f64,
    /// From plan and weights in memory to ready to run.
    load_ms: f64,
    /// Arena and weights.
    peak_bytes: u64,
    /// The greatest resident memory of this process so far, where the system tells; the compiler is in it.
    resident_bytes: Option<u64>,
    /// The module's or shaders' size; for the native backend, the plan's.
    code_bytes: u64,
    weight_bytes: u64,
    runs: usize,
}

/// What is measured.
struct Subject {
    name: String,
    compiled: Compiled,
    inputs: Vec<Vec<u8>>,
    symbols: Vec<u32>,
}

/// Runs the command.
pub(crate) fn bench(arguments: &Bench) -> Outcome {
    if !(0.01..=600.0).contains(&arguments.seconds) {
        return Err(Failure("--seconds takes 0.01 to 600".into()));
    }
    let subject = subject(arguments)?;
    if !arguments.json {
        anstream::println!("{BOLD}{}{PLAIN}  {}", subject.name, subject.compiled.report);
    }
    for kind in &arguments.backends {
        let row = measure(&subject, (*kind).into(), arguments)?;
        if arguments.json {
            anstream::println!("{}", serde_json::to_string(&row)?);
            continue;
        }
        anstream::println!(
            "{:<13} median {:>9}  p95 {:>9}  load {:>9}  memory {:>9}  code {:>9}  weights {:>9}  {} runs",
            row.backend,
            render::milliseconds(row.median_ms),
            render::milliseconds(row.p95_ms),
            render::milliseconds(row.load_ms),
            render::bytes(row.peak_bytes),
            render::bytes(row.code_bytes),
            render::bytes(row.weight_bytes),
            row.runs
        );
    }
    Ok(true)
}

fn subject(arguments: &Bench) -> Result<Subject, Failure> {
    let stem = arguments.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if arguments.path.extension().is_none_or(|extension| extension != "onnx") {
        let (name, compiled) = crate::build::compile_pipeline(&arguments.path, arguments.pipeline.as_deref())?;
        let symbols: Vec<u32> = compiled.plan.symbols.values().map(|symbol| symbol.max.min(512)).collect();
        let inputs = compiled.plan.inputs.iter().map(|port| noise(&compiled, port, &symbols)).collect();
        return Ok(Subject { name, compiled, inputs, symbols });
    }
    let bytes = std::fs::read(&arguments.path).map_err(|error| Failure(format!("{}: {error}", arguments.path.display())))?;
    let signature = mlp_import::onnx::signature(&bytes)?;
    let given = match &arguments.data {
        Some(file) => Some(recorded(file, &signature)?),
        None => None,
    };
    let dims = match &given {
        Some(tensors) => onnx::dims_of(&signature, &tensors.iter().map(Tensor::shape).collect::<Vec<_>>()).map_err(Failure)?,
        None => onnx::default_dims(&signature, &args::dims(&arguments.dims)?).map_err(Failure)?,
    };
    let compiled = compile::compile(onnx::import(&bytes, &dims)?)?;
    let inputs = match given {
        Some(tensors) => tensors.iter().map(|tensor| tensor.bytes().to_vec()).collect(),
        None => compiled.plan.inputs.iter().map(|port| noise(&compiled, port, &[])).collect(),
    };
    Ok(Subject { name: stem, compiled, inputs, symbols: Vec::new() })
}

/// The arrays `in:NAME` of a file, in the order of the model's inputs.
fn recorded(file: &std::path::Path, signature: &mlp_import::onnx::ModelSignature) -> Result<Vec<Tensor>, Failure> {
    let bytes = std::fs::read(file).map_err(|error| Failure(format!("{}: {error}", file.display())))?;
    let arrays = mlp_import::testdata::read_npz(&bytes).map_err(|error| Failure(format!("{}: {error}", file.display())))?;
    let find = |name: &str| {
        let array = arrays.iter().find(|(array, _)| array.strip_prefix("in:") == Some(name));
        array.map(|(_, tensor)| tensor.clone()).ok_or_else(|| Failure(format!("{}: there is no array `in:{name}`", file.display())))
    };
    signature.inputs.iter().map(|input| find(&input.name)).collect()
}

/// The same pseudo-random bytes each time: floats between -1 and 1, small integers.
fn noise(compiled: &Compiled, port: &mlp_bundle::plan::Port, symbols: &[u32]) -> Vec<u8> {
    let dtype = compiled.plan.buffers[port.buffer].dtype;
    let count = compiled.plan.port_bytes(port, symbols) / dtype.size();
    let mut state = 0x9e37_79b9u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let mut bytes = Vec::with_capacity(count * dtype.size());
    for _ in 0..count {
        let unit = next() as f64 / f64::from(u32::MAX);
        let value = match dtype.compute() {
            mlp_bundle::DType::F32 => mlp_bundle::Scalar::f32((unit * 2.0 - 1.0) as f32),
            mlp_bundle::DType::F64 => mlp_bundle::Scalar::f64(unit * 2.0 - 1.0),
            mlp_bundle::DType::Bool => mlp_bundle::Scalar::Bool(unit > 0.5),
            mlp_bundle::DType::I32 => mlp_bundle::Scalar::I32((unit * 255.0) as i32),
            mlp_bundle::DType::U32 => mlp_bundle::Scalar::U32((unit * 2.0) as u32),
            mlp_bundle::DType::U64 => mlp_bundle::Scalar::U64((unit * 2.0) as u64),
            _ => mlp_bundle::Scalar::I64((unit * 2.0) as i64),
        };
        let mut element = [0; 8];
        mlp_bundle::loops::scalar::store(dtype, value, &mut element).expect("the value is of the compute type");
        bytes.extend(&element[..dtype.size()]);
    }
    bytes
}

fn measure<'s>(subject: &'s Subject, kind: BackendKind, arguments: &Bench) -> Result<Row<'s>, Failure> {
    let compiled = &subject.compiled;
    let code = if kind == BackendKind::Native { None } else { Some(compile::emit(&compiled.plan)?) };
    let module =
        code.as_ref().map(|code| (if kind == BackendKind::WasmRelaxed { &code.relaxed[..] } else { &code.simd128[..] }, &code.wasm));
    let gpu = match code.as_ref().map(|code| &code.gpu) {
        Some(Ok(program)) => Ok(program),
        Some(Err(error)) => Err(error.to_string()),
        None => Err(String::new()),
    };
    let code_bytes = match (kind, &gpu, module) {
        (BackendKind::Gpu, Ok(program), _) => program.modules.iter().map(|module| module.wgsl.len() as u64).sum(),
        (BackendKind::Native, ..) | (_, _, None) => serde_json::to_vec(&compiled.plan)?.len() as u64,
        (_, _, Some((module, _))) => module.len() as u64,
    };
    let artifacts = Artifacts { plan: &compiled.plan, weights: compiled.weights.clone(), wasm: module, gpu };
    let start = Instant::now();
    let mut backend = backend::open(kind, &artifacts, arguments.threads.into())?;
    let load_ms = start.elapsed().as_secs_f64() * 1e3;
    let inputs: Vec<&[u8]> = subject.inputs.iter().map(Vec::as_slice).collect();
    let mut times = Vec::new();
    let budget = Duration::from_secs_f64(arguments.seconds);
    for warm_up in [true, false] {
        let (start, budget) = (Instant::now(), if warm_up { budget / 5 } else { budget });
        times.clear();
        while times.len() < 3 || (start.elapsed() < budget && times.len() < 100_000) {
            let run = Instant::now();
            backend.run(&inputs, &subject.symbols)?;
            times.push(run.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(Row {
        name: &subject.name,
        backend: kind.name(),
        threads: if kind == BackendKind::Native { arguments.threads } else { 1 },
        median_ms: times[times.len() / 2],
        p95_ms: times[(times.len() * 95 / 100).min(times.len() - 1)],
        load_ms,
        peak_bytes: compiled.plan.arena_bytes + compiled.plan.weights_bytes,
        resident_bytes: resident_bytes(),
        code_bytes,
        weight_bytes: compiled.plan.weights_bytes,
        runs: times.len(),
    })
}

/// The process's greatest resident memory, where `/proc` tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
