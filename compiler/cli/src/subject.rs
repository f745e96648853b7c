//! What `mlpc bench` and `mlpc profile` measure: a model, a source file or a bundle, with inputs.

use crate::args;
use crate::{Failure, build};
use mlp_bundle::contents::Bytes;
use mlp_bundle::manifest::{Pipeline, WasmModules};
use mlp_bundle::plan::{Plan, Port};
use mlp_bundle::{Bundle, DType, Scalar};
use mlp_driver::compile::{self, Compiled};
use mlp_driver::onnx;
use mlp_engine::backend::{self, Artifacts};
use mlp_engine::{Backend, BackendKind, Storage};
use mlp_graph::Tensor;
use mlp_import::onnx::ModelSignature;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// What is measured: compiled already where it was a model or a source, and not yet opened where it is a bundle.
pub(crate) enum Subject {
    /// What the compiler made, in memory.
    Made(Box<Made>),
    /// A bundle and the pipeline asked for.
    Bundle { path: PathBuf, pipeline: Option<String> },
}

/// A compiled pipeline.
pub(crate) struct Made {
    name: String,
    plan: Plan,
    weights: Bytes,
    code: Code,
}

/// What one backend runs beside the plan and the weights.
enum Code {
    Native,
    Wasm { module: Bytes, modules: WasmModules },
    Gpu(Result<Box<mlp_bundle::gpu::GpuProgram>, String>),
}

/// A subject on a backend, ready to run.
pub(crate) struct Loaded<'s> {
    /// The model's or pipeline's name.
    pub(crate) name: String,
    /// Its plan.
    pub(crate) plan: Cow<'s, Plan>,
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

/// Which model or pipeline, and what it is given.
pub(crate) struct Choice<'a> {
    /// An .onnx model, a .mlp file or a bundle.
    pub(crate) path: &'a Path,
    /// The pipeline of a .mlp file or bundle that has several.
    pub(crate) pipeline: Option<&'a str>,
    /// `NAME=SIZE`, for an .onnx model.
    pub(crate) dims: &'a [String],
    /// Recorded inputs.
    pub(crate) data: Option<&'a Path>,
}

/// Compiles what was chosen for one backend, unless it is a bundle.
pub(crate) fn open(choice: &Choice<'_>, kind: BackendKind) -> Result<Subject, Failure> {
    let extension = choice.path.extension().and_then(|extension| extension.to_str());
    match extension {
        Some("onnx") => of_model(choice, kind),
        Some("mlp") => {
            let (name, compiled) = build::compile_pipeline(choice.path, choice.pipeline)?;
            of_compiled(name, compiled, kind)
        }
        _ => Ok(Subject::Bundle { path: choice.path.into(), pipeline: choice.pipeline.map(str::to_string) }),
    }
}

fn of_model(choice: &Choice<'_>, kind: BackendKind) -> Result<Subject, Failure> {
    let stem = choice.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = std::fs::read(choice.path).map_err(|error| Failure(format!("{}: {error}", choice.path.display())))?;
    let dims = model_dims(&mlp_import::onnx::signature(&bytes)?, choice.dims, choice.data)?;
    let compiled = compile::compile(onnx::import(&bytes, &dims)?)?;
    of_compiled(stem, compiled, kind)
}

/// The sizes of a model's symbolic dims: those of recorded inputs, or those that are given.
pub(crate) fn model_dims(signature: &ModelSignature, given: &[String], data: Option<&Path>) -> Result<onnx::Dims, Failure> {
    let Some(file) = data else { return onnx::default_dims(signature, &args::dims(given)?).map_err(Failure) };
    let names: Vec<&str> = signature.inputs.iter().map(|input| input.name.as_str()).collect();
    let inputs = recorded(file, &names)?;
    onnx::dims_of(signature, &inputs.iter().map(Tensor::shape).collect::<Vec<_>>()).map_err(Failure)
}

fn of_compiled(name: String, compiled: Compiled, kind: BackendKind) -> Result<Subject, Failure> {
    let code = match kind {
        BackendKind::Native => Code::Native,
        _ => {
            let code = compile::emit(&compiled.plan)?;
            match kind {
                BackendKind::Gpu => Code::Gpu(code.gpu.map(Box::new).map_err(|error| error.to_string())),
                BackendKind::WasmRelaxed => Code::Wasm { module: code.relaxed.into(), modules: code.wasm },
                BackendKind::Native | BackendKind::Wasm => Code::Wasm { module: code.simd128.into(), modules: code.wasm },
            }
        }
    };
    Ok(Subject::Made(Box::new(Made { name, plan: compiled.plan, weights: compiled.weights, code })))
}

/// Opens a bundle, and finds the pipeline asked for or the only one.
fn open_bundle(path: &Path, name: Option<&str>) -> Result<(Bundle, Pipeline), Failure> {
    let refused = |error| Failure(format!("{}: {error}; give an .onnx model, a .mlp file or a bundle", path.display()));
    let bundle = mlp_engine::bundle::open(path, Storage::Mapped).map_err(refused)?;
    let names: Vec<&str> = bundle.manifest.pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
    let name = build::the_one(name, &names)?;
    let found = bundle.pipeline(name).cloned();
    let pipeline = found.ok_or_else(|| Failure(format!("there is no pipeline `{name}`; the bundle has {}", names.join(", "))))?;
    Ok((bundle, pipeline))
}

impl Subject {
    /// Gives a WebAssembly backend a module that exports each kernel on its own, whatever a bundle has.
    pub(crate) fn export_steps(&mut self, kind: BackendKind) -> Result<(), Failure> {
        if !matches!(kind, BackendKind::Wasm | BackendKind::WasmRelaxed) {
            return Ok(());
        }
        let with_steps = |plan: &Plan| -> Result<Code, Failure> {
            let (module, modules) = compile::emit_steps(plan, kind == BackendKind::WasmRelaxed)?;
            Ok(Code::Wasm { module: module.into(), modules })
        };
        match self {
            Subject::Made(made) => made.code = with_steps(&made.plan)?,
            Subject::Bundle { path, pipeline } => {
                let (bundle, pipeline) = open_bundle(path, pipeline.as_deref())?;
                let plan = bundle.plan(&pipeline)?;
                let (weights, code) = (bundle.file(&pipeline.weights)?, with_steps(&plan)?);
                *self = Subject::Made(Box::new(Made { name: pipeline.name, plan, weights, code }));
            }
        }
        Ok(())
    }

    /// Lets every GPU kernel that has this variant run as it.
    pub(crate) fn force(&mut self, kind: BackendKind, variant: &str) -> Result<(), Failure> {
        if kind != BackendKind::Gpu {
            return Ok(());
        }
        if let Subject::Bundle { path, pipeline } = self {
            let (bundle, pipeline) = open_bundle(path, pipeline.as_deref())?;
            let plan = bundle.plan(&pipeline)?;
            let program = bundle.gpu(&pipeline, &plan)?.map(Box::new).ok_or_else(|| "the bundle has no GPU program for it".to_string());
            let weights = bundle.file(&pipeline.weights)?;
            *self = Subject::Made(Box::new(Made { name: pipeline.name, plan, weights, code: Code::Gpu(program) }));
        }
        if let Subject::Made(made) = self
            && let Code::Gpu(Ok(program)) = &mut made.code
        {
            **program = program.forced(variant);
        }
        Ok(())
    }

    /// Loads it: of a bundle, from its files.
    pub(crate) fn load(&self, kind: BackendKind, threads: usize) -> Result<Loaded<'_>, Failure> {
        match self {
            Subject::Made(made) => made.load(kind, threads),
            Subject::Bundle { path, pipeline } => {
                let (bundle, pipeline) = open_bundle(path, pipeline.as_deref())?;
                let (plan, backend) = mlp_engine::bundle::load(&bundle, &pipeline, kind, threads)?;
                Ok(Loaded { name: pipeline.name, plan: Cow::Owned(plan), backend })
            }
        }
    }

    /// Bytes of what the backend is given as code: the module, the shaders, or the plan.
    pub(crate) fn code_bytes(&self, kind: BackendKind) -> Result<u64, Failure> {
        let shaders = |program: &mlp_bundle::gpu::GpuProgram| program.modules.iter().map(|module| module.wgsl.len() as u64).sum();
        Ok(match self {
            Subject::Made(made) => match &made.code {
                Code::Wasm { module, .. } => module.len() as u64,
                Code::Gpu(Ok(program)) => shaders(program),
                Code::Gpu(Err(_)) | Code::Native => serde_json::to_vec(&made.plan)?.len() as u64,
            },
            Subject::Bundle { path, pipeline } => {
                let (bundle, pipeline) = open_bundle(path, pipeline.as_deref())?;
                let size = |name: &str| bundle.manifest.files.get(name).map_or(0, |entry| entry.bytes);
                match kind {
                    BackendKind::Native => size(&pipeline.plan),
                    BackendKind::Wasm => size(&pipeline.wasm.simd128),
                    BackendKind::WasmRelaxed => size(&pipeline.wasm.relaxed),
                    BackendKind::Gpu => bundle.gpu(&pipeline, &bundle.plan(&pipeline)?)?.as_ref().map_or(0, shaders),
                }
            }
        })
    }
}

impl Made {
    fn load(&self, kind: BackendKind, threads: usize) -> Result<Loaded<'_>, Failure> {
        let wasm = match &self.code {
            Code::Wasm { module, modules } => Some((&module[..], modules)),
            _ => None,
        };
        let gpu = match &self.code {
            Code::Gpu(Ok(program)) => Ok(&**program),
            Code::Gpu(Err(reason)) => Err(reason.clone()),
            _ => Err(String::new()),
        };
        let artifacts = Artifacts { plan: &self.plan, weights: self.weights.clone(), wasm, gpu };
        Ok(Loaded { name: self.name.clone(), plan: Cow::Borrowed(&self.plan), backend: backend::open(kind, &artifacts, threads)? })
    }
}

impl Inputs {
    /// What a plan is given: recorded arrays, or noise. Symbols take their upper bound, at most 512.
    pub(crate) fn of(plan: &Plan, data: Option<&Path>) -> Result<Inputs, Failure> {
        let symbols: Vec<u32> = plan.symbols.values().map(|symbol| symbol.max.min(512)).collect();
        let ports = match data {
            Some(file) => {
                let names: Vec<&str> = plan.inputs.iter().map(|port| port.name.as_str()).collect();
                recorded(file, &names)?.iter().map(|tensor| tensor.bytes().to_vec()).collect()
            }
            None => plan.inputs.iter().map(|port| noise(plan, port, &symbols)).collect(),
        };
        Ok(Inputs { ports, symbols })
    }

    /// The inputs as a backend takes them.
    pub(crate) fn ports(&self) -> Vec<&[u8]> {
        self.ports.iter().map(Vec::as_slice).collect()
    }
}

/// The arrays `in:NAME` of a file, in the order of the names.
fn recorded(file: &Path, names: &[&str]) -> Result<Vec<Tensor>, Failure> {
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
