//! What `mlpc bench` and `mlpc profile` measure: a model, a source file or a bundle, with inputs.

use crate::args::{Choice, assignment};
use crate::sizes::Sizes;
use crate::{Failure, build};
use mlp_bundle::contents::Bytes;
use mlp_bundle::gpu::GpuProgram;
use mlp_bundle::manifest::{Pipeline, WasmModules};
use mlp_bundle::plan::{Plan, Port};
use mlp_bundle::{Bundle, DType, Scalar};
use mlp_driver::compile::{self, Compiled, Sharing};
use mlp_driver::host::{Disk, Host};
use mlp_driver::sources::{self, ModelError};
use mlp_driver::{onnx, varying};
use mlp_engine::backend::{self, Artifacts};
use mlp_engine::{Backend, BackendKind, Storage};
use mlp_graph::Tensor;
use mlp_import::onnx::{ImportOptions, Model};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is measured: compiled already where it was a model or a source, once for all backends, and not yet opened where it is a bundle.
pub(crate) enum Subject {
    /// What the compiler made, in memory.
    Compiled { name: String, compiled: Box<Compiled> },
    /// A bundle and the pipeline asked for.
    Bundle { path: PathBuf, pipeline: Option<String> },
}

/// How the code is emitted.
#[derive(Clone, Copy, Default)]
pub(crate) struct Options<'a> {
    /// A WebAssembly module exports each kernel on its own too, whatever a bundle has.
    pub(crate) steps: bool,
    /// The variant that every GPU kernel runs as which has it.
    pub(crate) gpu_variant: Option<&'a str>,
}

/// A subject with the code that one backend runs.
pub(crate) enum Target<'s> {
    /// In memory.
    Made(Box<Made<'s>>),
    /// In a bundle, which is opened when it is loaded.
    Bundle { path: &'s Path, pipeline: Option<&'s str> },
}

/// A pipeline and its code.
pub(crate) struct Made<'s> {
    name: String,
    plan: Cow<'s, Plan>,
    weights: Bytes,
    code: Code,
}

/// What one backend runs beside the plan and the weights.
pub(crate) enum Code {
    Native,
    Wasm { module: Vec<u8>, modules: WasmModules },
    Gpu(Result<Box<GpuProgram>, String>),
}

/// A subject on a backend, ready to run.
pub(crate) struct Loaded<'t> {
    /// The model's or pipeline's name.
    pub(crate) name: String,
    /// Its plan.
    pub(crate) plan: Cow<'t, Plan>,
    /// What runs it.
    pub(crate) backend: Box<dyn Backend>,
}

/// What a plan is run on.
pub(crate) struct Inputs {
    /// The bytes of each input port.
    ports: Vec<Vec<u8>>,
    /// The value of each symbol.
    pub(crate) symbols: Vec<u32>,
}

/// Compiles what was chosen, unless it is a bundle.
pub(crate) fn open(choice: &Choice) -> Result<Subject, Failure> {
    let path = &choice.path;
    let extension = path.extension().and_then(|extension| extension.to_str());
    match extension {
        Some("onnx") => {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let model = read_model(path)?;
            let sizes = Sizes::of_model(&model.signature()?, &choice.dims, choice.data.as_deref())?;
            let states = states(&choice.states)?;
            let mut member = |host: &dyn Host, point: &[u64]| {
                let options = ImportOptions { dims: sizes.at(point), family: host.family(path) };
                onnx::keeping(model.import(&options, &BTreeMap::new())?, &states)
            };
            let compiled = varying::compile(&Disk::default(), &sizes.varying, &mut member)?;
            Ok(Subject::Compiled { name, compiled: Box::new(compiled) })
        }
        Some("mlp") => {
            no_states(path, &choice.states)?;
            let (name, compiled) = build::compile_pipeline(path, choice.pipeline.as_deref())?;
            Ok(Subject::Compiled { name, compiled: Box::new(compiled) })
        }
        _ => {
            no_states(path, &choice.states)?;
            Ok(Subject::Bundle { path: path.clone(), pipeline: choice.pipeline.clone() })
        }
    }
}

/// The states of a bare model, as `--state INPUT=OUTPUT` says them.
pub(crate) fn states(texts: &[String]) -> Result<Vec<onnx::State>, Failure> {
    let read = |text: &String| assignment(text).map(|(input, output)| onnx::State { input: input.into(), output: output.into() });
    texts.iter().map(read).collect()
}

/// Refuses states of what says itself what it keeps.
pub(crate) fn no_states(path: &Path, texts: &[String]) -> Result<(), Failure> {
    match texts {
        [] => Ok(()),
        _ => Err(Failure(format!(
            "{}: --state is of .onnx models; a .mlp file says it in the model, as `state h: f32[1, 64] = hn`, and a bundle has it already",
            path.display()
        ))),
    }
}

/// The model at a path, with the weights that lie beside it.
pub(crate) fn read_model(path: &Path) -> Result<Model, Failure> {
    sources::read_model(&Disk::default(), path).map_err(|error| match error {
        ModelError::Read(error) => Failure(format!("{}: {error}", path.display())),
        ModelError::Import(error) => Failure::from(error),
    })
}

/// Opens a bundle, and finds the pipeline asked for or the only one.
fn open_bundle(path: &Path, name: Option<&str>) -> Result<(Bundle, Pipeline), Failure> {
    let refused = |error| Failure(format!("{}: {error}; give an .onnx model, a .mlp file or a bundle", path.display()));
    let bundle = mlp_engine::bundle::open(path, Storage::Mapped).map_err(refused)?;
    let names: Vec<&str> = bundle.manifest.pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
    let name = build::the_one(name, &names, || Failure("there is no pipeline; see what there is with mlpc inspect".into()))?;
    let found = bundle.pipeline(name).cloned();
    let pipeline = found.ok_or_else(|| Failure(format!("there is no pipeline `{name}`; the bundle has {}", names.join(", "))))?;
    Ok((bundle, pipeline))
}

impl Subject {
    /// Emits the code for a backend, unless a bundle has it.
    pub(crate) fn target(&self, kind: BackendKind, options: Options<'_>) -> Result<Target<'_>, Failure> {
        match self {
            Subject::Compiled { name, compiled } => {
                let code = Code::emit(&compiled.plan, kind, options)?;
                let (plan, weights) = (Cow::Borrowed(&compiled.plan), compiled.weights.clone());
                Ok(Target::Made(Box::new(Made { name: name.clone(), plan, weights, code })))
            }
            Subject::Bundle { path, pipeline } => {
                let stored = Target::Bundle { path, pipeline: pipeline.as_deref() };
                let emits_steps = options.steps && matches!(kind, BackendKind::Wasm | BackendKind::WasmRelaxed);
                let forces = options.gpu_variant.filter(|_| kind == BackendKind::Gpu);
                if !emits_steps && forces.is_none() {
                    return Ok(stored);
                }
                let (bundle, pipeline) = open_bundle(path, pipeline.as_deref())?;
                let plan = bundle.plan(&pipeline)?;
                let code = match forces {
                    Some(variant) => {
                        let program = bundle.gpu(&pipeline, &plan)?.map(|program| Box::new(program.forced(variant)));
                        Code::Gpu(program.ok_or_else(|| "the bundle has no GPU program for it".to_string()))
                    }
                    None => Code::emit(&plan, kind, options)?,
                };
                let weights = bundle.file(&pipeline.weights)?;
                Ok(Target::Made(Box::new(Made { name: pipeline.name, plan: Cow::Owned(plan), weights, code })))
            }
        }
    }
}

impl Code {
    /// Emits what a backend of that kind runs.
    pub(crate) fn emit(plan: &Plan, kind: BackendKind, options: Options<'_>) -> Result<Code, Failure> {
        Ok(match kind {
            BackendKind::Native => Code::Native,
            BackendKind::Wasm | BackendKind::WasmRelaxed => {
                let relaxed = kind == BackendKind::WasmRelaxed;
                let (module, modules) = if options.steps { compile::emit_steps(plan, relaxed) } else { compile::emit_wasm(plan, relaxed) }?;
                Code::Wasm { module, modules }
            }
            BackendKind::WasmThreads => {
                let made = compile::emit_threads(plan, Sharing::WherePays)?;
                let (module, modules) =
                    made.ok_or_else(|| Failure("several threads would save too little on it; take wasm-relaxed".into()))?;
                Code::Wasm { module, modules }
            }
            BackendKind::Gpu => {
                let forced =
                    |program: GpuProgram| Box::new(options.gpu_variant.map_or_else(|| program.clone(), |name| program.forced(name)));
                Code::Gpu(compile::emit_gpu(plan).map(forced).map_err(|error| error.to_string()))
            }
        })
    }

    /// A backend that runs it.
    pub(crate) fn open(&self, plan: &Plan, weights: Bytes, kind: BackendKind, threads: usize) -> Result<Box<dyn Backend>, Failure> {
        let wasm = match self {
            Code::Wasm { module, modules } => Some((&module[..], modules)),
            _ => None,
        };
        let gpu = match self {
            Code::Gpu(Ok(program)) => Ok(&**program),
            Code::Gpu(Err(reason)) => Err(reason.clone()),
            _ => Err(String::new()),
        };
        Ok(backend::open(kind, &Artifacts { plan, weights, wasm, gpu }, threads)?)
    }
}

impl Target<'_> {
    /// Loads it: of a bundle, from its files.
    pub(crate) fn load(&self, kind: BackendKind, threads: usize) -> Result<Loaded<'_>, Failure> {
        match self {
            Target::Made(made) => {
                let backend = made.code.open(&made.plan, made.weights.clone(), kind, threads)?;
                Ok(Loaded { name: made.name.clone(), plan: Cow::Borrowed(&made.plan), backend })
            }
            Target::Bundle { path, pipeline } => {
                let (bundle, pipeline) = open_bundle(path, *pipeline)?;
                let (plan, backend) = mlp_engine::bundle::load(&bundle, &pipeline, kind, threads)?;
                Ok(Loaded { name: pipeline.name, plan: Cow::Owned(plan), backend })
            }
        }
    }

    /// Bytes of what the backend is given as code: the module, the shaders, or the plan.
    pub(crate) fn code_bytes(&self, kind: BackendKind) -> Result<u64, Failure> {
        let shaders = |program: &GpuProgram| program.modules.iter().map(|module| module.wgsl.len() as u64).sum();
        Ok(match self {
            Target::Made(made) => match &made.code {
                Code::Wasm { module, .. } => module.len() as u64,
                Code::Gpu(Ok(program)) => shaders(program),
                Code::Gpu(Err(_)) | Code::Native => serde_json::to_vec(&*made.plan)?.len() as u64,
            },
            Target::Bundle { path, pipeline } => {
                let (bundle, pipeline) = open_bundle(path, *pipeline)?;
                let size = |name: &str| bundle.manifest.files.get(name).map_or(0, |entry| entry.bytes);
                match kind {
                    BackendKind::Native => size(&pipeline.plan),
                    BackendKind::Wasm => size(&pipeline.wasm.simd128),
                    BackendKind::WasmRelaxed => size(&pipeline.wasm.relaxed),
                    BackendKind::WasmThreads => pipeline.wasm.threads.as_ref().map_or(0, |files| size(&files.relaxed)),
                    BackendKind::Gpu => bundle.gpu(&pipeline, &bundle.plan(&pipeline)?)?.as_ref().map_or(0, shaders),
                }
            }
        })
    }
}

impl Inputs {
    /// What a plan is given: recorded arrays, or noise. Symbols take their upper bound, at most 512.
    pub(crate) fn of(plan: &Plan, data: Option<&Path>) -> Result<Inputs, Failure> {
        let Some(file) = data else {
            let greatest: Vec<u32> = plan.symbols.values().map(|symbol| symbol.max.min(512)).collect();
            let shapes: Vec<Vec<u64>> = plan.inputs.iter().map(|port| plan.port_shape(port, &greatest)).collect();
            let symbols = symbols_of(plan, &shapes)?;
            return Ok(Inputs { ports: plan.inputs.iter().map(|port| noise(plan, port, &symbols)).collect(), symbols });
        };
        let names: Vec<&str> = plan.inputs.iter().map(|port| port.name.as_str()).collect();
        let tensors = recorded(file, &names)?;
        let shapes: Vec<Vec<u64>> = tensors.iter().map(|tensor| tensor.shape().to_vec()).collect();
        Ok(Inputs { ports: tensors.iter().map(|tensor| tensor.bytes().to_vec()).collect(), symbols: symbols_of(plan, &shapes)? })
    }

    /// The inputs as a backend takes them.
    pub(crate) fn ports(&self) -> Vec<&[u8]> {
        self.ports.iter().map(Vec::as_slice).collect()
    }
}

/// The symbols of a run on inputs of these shapes.
fn symbols_of(plan: &Plan, shapes: &[Vec<u64>]) -> Result<Vec<u32>, Failure> {
    plan.symbols_of(&shapes.iter().map(Vec::as_slice).collect::<Vec<_>>(), |_| None).map_err(Failure)
}

/// The arrays `in:NAME` of a file, in the order of the names.
pub(crate) fn recorded(file: &Path, names: &[&str]) -> Result<Vec<Tensor>, Failure> {
    let bytes = std::fs::read(file).map_err(|error| Failure(format!("{}: {error}", file.display())))?;
    let arrays = mlp_import::testdata::read_npz(&bytes).map_err(|error| Failure(format!("{}: {error}", file.display())))?;
    let find = |name: &&str| {
        let array = arrays.iter().find(|(array, _)| array.strip_prefix("in:") == Some(name));
        array.map(|(_, tensor)| tensor.clone()).ok_or_else(|| Failure(format!("{}: there is no array `in:{name}`", file.display())))
    };
    names.iter().map(find).collect()
}

/// The same pseudo-random bytes each time: floats between -1 and 1, small integers.
fn noise(plan: &Plan, port: &Port, symbols: &[u32]) -> Vec<u8> {
    let dtype = plan.buffers[port.buffer].dtype;
    let count = plan.port_bytes(port, symbols) / dtype.size();
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
            DType::F32 => Scalar::f32((unit * 2.0 - 1.0) as f32),
            DType::F64 => Scalar::f64(unit * 2.0 - 1.0),
            DType::Bool => Scalar::Bool(unit > 0.5),
            DType::I32 => Scalar::I32((unit * 255.0) as i32),
            DType::U32 => Scalar::U32((unit * 2.0) as u32),
            DType::U64 => Scalar::U64((unit * 2.0) as u64),
            _ => Scalar::I64((unit * 2.0) as i64),
        };
        let mut element = [0; 8];
        mlp_bundle::loops::scalar::store(dtype, value, &mut element).expect("the value is of the compute type");
        bytes.extend(&element[..dtype.size()]);
    }
    bytes
}
