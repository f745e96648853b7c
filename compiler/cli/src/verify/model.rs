//! A case's model, compiled on first need and run on a backend.

use super::case::{Case, Data, Recorded};
use crate::Failure;
use crate::sizes::Sizes;
use mlp_bundle::DType;
use mlp_bundle::manifest::WasmModules;
use mlp_driver::compile::{self, Code, Compiled, Sharing};
use mlp_driver::host::{Disk, Host};
use mlp_driver::onnx;
use mlp_driver::sources::{self, ModelError};
use mlp_driver::varying;
use mlp_engine::BackendKind;
use mlp_engine::backend::{self, Artifacts};
use mlp_graph::ir::Definition;
use mlp_graph::{Graph, Op, Tensor, ValueId};
use mlp_import::onnx::{ImportOptions, ModelSignature};
use std::collections::BTreeMap;
use std::path::Path;

/// Why a model cannot be judged.
pub(super) struct Refused {
    /// It asks for something that this compiler or backend does not do, rather than being wrong.
    pub(super) unsupported: bool,
    /// The reason.
    pub(super) detail: String,
}

impl From<Failure> for Refused {
    fn from(Failure(detail): Failure) -> Refused {
        Refused { unsupported: false, detail }
    }
}

fn unsupported(detail: impl ToString) -> Refused {
    Refused { unsupported: true, detail: detail.to_string() }
}

/// A model with its data.
pub(super) struct Model {
    graph: Graph,
    compiled: Option<Compiled>,
    code: Option<Code>,
    /// The module for several threads, which share every kernel of it.
    shared: Option<(Vec<u8>, WasmModules)>,
    /// Inputs and expected outputs.
    pub(super) recorded: Recorded,
    /// The model's outputs.
    pub(super) output_names: Vec<String>,
    /// An output's quantization step, where it has one.
    pub(super) steps: Vec<Option<f64>>,
    /// All arithmetic is on integers, so backends must agree bit for bit.
    pub(super) integer: bool,
    /// What holds only for these inputs; empty mostly.
    pub(super) remark: String,
    /// The variant that GPU kernels run as, where one is asked for.
    variant: Option<String>,
}

impl Model {
    /// Reads, imports and optimizes the model of a case for the sizes of its inputs.
    pub(super) fn load(case: &Case, sizes: &Sizes, variant: Option<&str>) -> Result<Model, Refused> {
        let failed = |error: mlp_import::ImportError| Refused { unsupported: error.is_unsupported(), detail: error.to_string() };
        let model = sources::read_model(&Disk::default(), &case.model).map_err(|error| match error {
            ModelError::Read(error) => Refused::from(Failure(format!("{}: {error}", case.model.display()))),
            ModelError::Import(error) => failed(error),
        })?;
        let signature = model.signature().map_err(failed)?;
        let names = |ports: &[mlp_import::onnx::PortSignature]| ports.iter().map(|port| port.name.clone()).collect::<Vec<_>>();
        let output_names = names(&signature.outputs);
        let mut recorded = case.read(&names(&signature.inputs), &output_names)?;
        let shapes: Vec<&[u64]> = recorded.inputs.iter().map(Tensor::shape).collect();
        let dims = onnx::dims_of(&signature, &shapes).map_err(Failure)?;
        let (mut graph, compiled_in) = onnx::import_for(&model, &dims, &signature, &recorded.inputs).map_err(failed)?;
        let remark = if compiled_in.is_empty() {
            String::new()
        } else {
            let names: Vec<String> = compiled_in.iter().map(|&position| format!("`{}`", signature.inputs[position].name)).collect();
            format!("for these {}, which are compiled in", names.join(", "))
        };
        for &position in compiled_in.iter().rev() {
            recorded.inputs.remove(position);
        }
        let mut sizes = sizes.clone();
        if matches!(case.data, Data::Npz(_)) {
            sizes.complete(&signature, &dims)?;
        }
        sizes.keep(&dims);
        if !sizes.varying.is_empty() {
            let fixed = recorded_values(&signature, &recorded, &compiled_in);
            sizes.fixed = dims;
            let mut member = |host: &dyn Host, point: &[u64]| {
                let dims = sizes.at(point);
                model.import(&ImportOptions { dims, family: host.family(Path::new("")) }, &fixed)
            };
            graph = varying::graph(&Disk::default(), &sizes.varying, &mut member).map_err(unsupported)?;
        }
        mlp_graph::passes::optimize(&mut graph).map_err(|error| Failure(format!("the optimizer failed; please report this: {error}")))?;
        let quantized = graph.order.iter().any(|op| is_quantized(&graph.ops[*op].op));
        let steps = graph.outputs.iter().map(|port| if quantized { step(&graph, port.value) } else { None }).collect();
        let integer = quantized && graph.order.iter().all(|op| is_exact(&graph, &graph.ops[*op].op, &graph.ops[*op].results));
        Ok(Model {
            graph,
            compiled: None,
            code: None,
            shared: None,
            recorded,
            output_names,
            steps,
            integer,
            remark,
            variant: variant.map(str::to_owned),
        })
    }

    /// Runs the model on a backend, or in the reference interpreter.
    pub(super) fn run(&mut self, kind: Option<BackendKind>) -> Result<Vec<Tensor>, Refused> {
        let Some(kind) = kind else {
            let outputs = mlp_graph::eval::run(&self.graph, &self.recorded.inputs).map_err(|error| Failure(error.to_string()))?;
            return self.graph.shown(outputs).map_err(|error| Failure(error).into());
        };
        if self.compiled.is_none() {
            self.compiled = Some(compile::plan(&self.graph).map_err(unsupported)?);
        }
        let plan = &self.compiled.as_ref().expect("it was made above").plan;
        match kind {
            BackendKind::Native => {}
            BackendKind::WasmThreads if self.shared.is_some() => {}
            BackendKind::WasmThreads => self.shared = compile::emit_threads(plan, Sharing::Everywhere).map_err(unsupported)?,
            _ if self.code.is_some() => {}
            _ => self.code = Some(self.emit(plan)?),
        }
        let compiled = self.compiled.as_ref().expect("it was made above");
        let code = self.code.as_ref();
        let wasm = match kind {
            BackendKind::Wasm => code.map(|code| (&code.simd128[..], &code.wasm)),
            BackendKind::WasmRelaxed => code.map(|code| (&code.relaxed[..], &code.wasm)),
            BackendKind::WasmThreads => self.shared.as_ref().map(|(module, modules)| (&module[..], modules)),
            _ => None,
        };
        let gpu = match self.code.as_ref().map(|code| &code.gpu) {
            Some(Ok(program)) => Ok(program),
            Some(Err(error)) if kind == BackendKind::Gpu => return Err(unsupported(error)),
            _ => Err(String::new()),
        };
        let artifacts = Artifacts { plan: &compiled.plan, weights: compiled.weights.clone(), wasm, gpu };
        let mut backend = backend::open(kind, &artifacts, 1).map_err(|error| Failure(error.to_string()))?;
        let inputs: Vec<&[u8]> = self.recorded.inputs.iter().map(Tensor::bytes).collect();
        let shapes: Vec<&[u64]> = self.recorded.inputs.iter().map(Tensor::shape).collect();
        let symbols = compiled.plan.symbols_of(&shapes, |_| None).map_err(Failure)?;
        let outputs = backend.run(&inputs, &symbols).map_err(|error| Failure(error.to_string()))?;
        let tensor = |(port, bytes): (&mlp_bundle::plan::Port, Vec<u8>)| {
            let shape = compiled.plan.port_shape(port, &symbols);
            Tensor::new(compiled.plan.buffers[port.buffer].dtype, shape, bytes).map_err(|error| Failure(error.to_string()))
        };
        let outputs = compiled.plan.outputs.iter().zip(outputs).map(tensor).collect::<Result<Vec<_>, _>>()?;
        self.graph.shown(outputs).map_err(|error| Failure(error).into())
    }

    fn emit(&self, plan: &mlp_bundle::plan::Plan) -> Result<Code, Refused> {
        let mut code = compile::emit(plan).map_err(unsupported)?;
        if let (Some(variant), Ok(program)) = (&self.variant, &mut code.gpu) {
            *program = program.forced(variant);
        }
        Ok(code)
    }

    /// The compiled model and its code, for writing elsewhere.
    pub(super) fn into_parts(self) -> Result<(Compiled, Code, Recorded), Refused> {
        let compiled = compile::plan(&self.graph).map_err(unsupported)?;
        let code = self.emit(&compiled.plan)?;
        Ok((compiled, code, self.recorded))
    }
}

/// The values of the inputs that are compiled in, by name.
fn recorded_values(signature: &ModelSignature, recorded: &Recorded, positions: &[usize]) -> BTreeMap<String, Tensor> {
    positions.iter().map(|&position| (signature.inputs[position].name.clone(), recorded.inputs[position].clone())).collect()
}

fn is_quantized(op: &Op) -> bool {
    matches!(op, Op::QuantizedConv { .. } | Op::QuantizedMatMul { .. } | Op::QuantizedAdd { .. } | Op::QuantizedMean { .. })
}

/// Whether an operation gives the same bits everywhere: no float arithmetic but one rounding.
fn is_exact(graph: &Graph, op: &Op, results: &[ValueId]) -> bool {
    let float = results.iter().any(|result| graph.values[*result].ty.dtype.is_float());
    let moves = matches!(
        op,
        Op::Constant(_)
            | Op::Quantize { .. }
            | Op::Dequantize { .. }
            | Op::Reshape
            | Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Concat { .. }
            | Op::Pad { .. }
            | Op::Extend
            | Op::Trim
            | Op::Select
    );
    !float || moves
}

/// One quantization step of an output: the scale it is dequantized with, 1 where it is an integer, the greatest scale where channels differ.
fn step(graph: &Graph, value: ValueId) -> Option<f64> {
    let ty = &graph.values[value].ty;
    if matches!(ty.dtype, DType::U8 | DType::I8) {
        return Some(1.0);
    }
    let Definition::Result(op, _) = graph.values[value].definition else { return None };
    let node = &graph.ops[op];
    match &node.op {
        Op::Reshape | Op::Transpose { .. } | Op::Slice { .. } | Op::Trim => step(graph, node.operands[0]),
        Op::Dequantize { .. } => {
            let Definition::Result(scale, _) = graph.values[node.operands[1]].definition else { return None };
            let Op::Constant(id) = graph.ops[scale].op else { return None };
            let scales = graph.tensors[id].bytes().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap_or_default()));
            scales.map(f64::from).reduce(f64::max)
        }
        _ => None,
    }
}
