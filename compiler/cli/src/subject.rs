//! What `mlpc bench` and `mlpc profile` measure: a model, a source file or a bundle, with inputs.

use crate::args;
use crate::{Failure, build};
use mlp_bundle::manifest::WasmModules;
use mlp_bundle::plan::{Plan, Port};
use mlp_bundle::{Bundle, DType, Scalar};
use mlp_driver::compile::{self, Compiled};
use mlp_driver::onnx;
use mlp_engine::backend::{self, Artifacts};
use mlp_engine::{Backend, BackendKind};
use mlp_graph::Tensor;
use mlp_import::onnx::ModelSignature;
use std::path::Path;
use std::sync::Arc;

/// What is measured, ready to be loaded.
pub(crate) struct Subject {
    /// The model's or pipeline's name.
    pub(crate) name: String,
    /// Its plan.
    pub(crate) plan: Plan,
    /// Its weights.
    pub(crate) weights: Arc<[u8]>,
    /// The bytes of each input port.
    pub(crate) inputs: Vec<Vec<u8>>,
    /// The value of each symbol.
    pub(crate) symbols: Vec<u32>,
    /// The code for the backend, as a bundle has it or as it was emitted.
    code: Code,
}

/// What one backend runs beside the plan and the weights.
enum Code {
    Native,
    Wasm { module: Vec<u8>, modules: WasmModules },
    Gpu(Result<Box<mlp_bundle::gpu::GpuProgram>, String>),
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

/// Compiles or opens what was chosen, for one backend.
pub(crate) fn open(choice: &Choice<'_>, kind: BackendKind) -> Result<Subject, Failure> {
    let extension = choice.path.extension().and_then(|extension| extension.to_str());
    match extension {
        Some("onnx") => of_model(choice, kind),
        Some("mlp") => {
            let (name, compiled) = build::compile_pipeline(choice.path, choice.pipeline)?;
            of_compiled(name, compiled, choice.data, kind)
        }
        _ => of_bundle(choice, kind),
    }
}

fn of_model(choice: &Choice<'_>, kind: BackendKind) -> Result<Subject, Failure> {
    let stem = choice.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = std::fs::read(choice.path).map_err(|error| Failure(format!("{}: {error}", choice.path.display())))?;
    let dims = model_dims(&mlp_import::onnx::signature(&bytes)?, choice.dims, choice.data)?;
    let compiled = compile::compile(onnx::import(&bytes, &dims)?)?;
    of_compiled(stem, compiled, choice.data, kind)
}

/// The sizes of a model's symbolic dims: those of recorded inputs, or those that are given.
pub(crate) fn model_dims(signature: &ModelSignature, given: &[String], data: Option<&Path>) -> Result<onnx::Dims, Failure> {
    let Some(file) = data else { return onnx::default_dims(signature, &args::dims(given)?).map_err(Failure) };
    let names: Vec<&str> = signature.inputs.iter().map(|input| input.name.as_str()).collect();
    let inputs = recorded(file, &names)?;
    onnx::dims_of(signature, &inputs.iter().map(Tensor::shape).collect::<Vec<_>>()).map_err(Failure)
}

fn of_compiled(name: String, compiled: Compiled, data: Option<&Path>, kind: BackendKind) -> Result<Subject, Failure> {
    let code = match kind {
        BackendKind::Native => Code::Native,
        _ => {
            let code = compile::emit(&compiled.plan)?;
            match kind {
                BackendKind::Gpu => Code::Gpu(code.gpu.map(Box::new).map_err(|error| error.to_string())),
                BackendKind::WasmRelaxed => Code::Wasm { module: code.relaxed, modules: code.wasm },
                BackendKind::Native | BackendKind::Wasm => Code::Wasm { module: code.simd128, modules: code.wasm },
            }
        }
    };
    with_inputs(name, compiled.plan, compiled.weights, data, code)
}

fn of_bundle(choice: &Choice<'_>, kind: BackendKind) -> Result<Subject, Failure> {
    let refused = |error| Failure(format!("{}: {error}; give an .onnx model, a .mlp file or a bundle", choice.path.display()));
    let bundle = Bundle::open(choice.path).map_err(refused)?;
    let names: Vec<&str> = bundle.manifest.pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
    let name = build::the_one(choice.pipeline, &names)?;
    let pipeline =
        bundle.pipeline(name).ok_or_else(|| Failure(format!("there is no pipeline `{name}`; the bundle has {}", names.join(", "))))?;
    let plan = bundle.plan(pipeline)?;
    let module =
        |name: &str| -> Result<Code, Failure> { Ok(Code::Wasm { module: bundle.file(name)?.to_vec(), modules: pipeline.wasm.clone() }) };
    let code = match kind {
        BackendKind::Native => Code::Native,
        BackendKind::Wasm => module(&pipeline.wasm.simd128)?,
        BackendKind::WasmRelaxed => module(&pipeline.wasm.relaxed)?,
        BackendKind::Gpu => {
            let program = bundle.gpu(pipeline, &plan)?;
            Code::Gpu(program.map(Box::new).ok_or_else(|| "the bundle has no GPU program for it".to_string()))
        }
    };
    let weights = Arc::clone(bundle.file(&pipeline.weights)?);
    with_inputs(name.to_string(), plan, weights, choice.data, code)
}

/// Gives a plan its inputs: recorded ones, or noise. Symbols take their upper bound, at most 512.
fn with_inputs(name: String, plan: Plan, weights: Arc<[u8]>, data: Option<&Path>, code: Code) -> Result<Subject, Failure> {
    let symbols: Vec<u32> = plan.symbols.values().map(|symbol| symbol.max.min(512)).collect();
    let inputs = match data {
        Some(file) => {
            let names: Vec<&str> = plan.inputs.iter().map(|port| port.name.as_str()).collect();
            recorded(file, &names)?.iter().map(|tensor| tensor.bytes().to_vec()).collect()
        }
        None => plan.inputs.iter().map(|port| noise(&plan, port, &symbols)).collect(),
    };
    Ok(Subject { name, plan, weights, inputs, symbols, code })
}

impl Subject {
    /// Gives a WebAssembly backend a module that exports each kernel on its own, whatever a bundle has.
    pub(crate) fn export_steps(&mut self, kind: BackendKind) -> Result<(), Failure> {
        if let Code::Wasm { .. } = self.code {
            let (module, modules) = compile::emit_steps(&self.plan, kind == BackendKind::WasmRelaxed)?;
            self.code = Code::Wasm { module, modules };
        }
        Ok(())
    }

    /// Lets every GPU kernel that has this variant run as it.
    pub(crate) fn force(&mut self, variant: &str) {
        if let Code::Gpu(Ok(program)) = &mut self.code {
            **program = program.forced(variant);
        }
    }

    /// Loads it.
    pub(crate) fn load(&self, kind: BackendKind, threads: usize) -> Result<Box<dyn Backend>, Failure> {
        let wasm = match &self.code {
            Code::Wasm { module, modules } => Some((&module[..], modules)),
            _ => None,
        };
        let gpu = match &self.code {
            Code::Gpu(Ok(program)) => Ok(&**program),
            Code::Gpu(Err(reason)) => Err(reason.clone()),
            _ => Err(String::new()),
        };
        let artifacts = Artifacts { plan: &self.plan, weights: Arc::clone(&self.weights), wasm, gpu };
        Ok(backend::open(kind, &artifacts, threads)?)
    }

    /// Bytes of what the backend is given as code: the module, the shaders, or the plan.
    pub(crate) fn code_bytes(&self) -> u64 {
        match &self.code {
            Code::Wasm { module, .. } => module.len() as u64,
            Code::Gpu(Ok(program)) => program.modules.iter().map(|module| module.wgsl.len() as u64).sum(),
            Code::Gpu(Err(_)) | Code::Native => serde_json::to_vec(&self.plan).map_or(0, |plan| plan.len() as u64),
        }
    }

    /// The inputs as a backend takes them.
    pub(crate) fn ports(&self) -> Vec<&[u8]> {
        self.inputs.iter().map(Vec::as_slice).collect()
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
