//! A graph to a plan, and a plan to the code of every target.

use mlp_bundle::contents::Bytes;
use mlp_bundle::gpu::GpuProgram;
use mlp_bundle::manifest::{WasmModules, WasmThreads};
use mlp_bundle::plan::{Place, Plan};
use mlp_codegen::wasm::{self, Sharing, Target, WasmModule};
use mlp_codegen::{CodegenError, wgsl};
use mlp_graph::Graph;

pub use mlp_plan::{KernelCost, costs};

/// Why a graph could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// A pass left the graph broken: a defect of this compiler.
    #[error("the optimizer made an invalid graph; please report this: {0}")]
    Optimize(String),
    /// The graph cannot be planned.
    #[error(transparent)]
    Plan(#[from] mlp_plan::PlanError),
    /// The plan cannot be turned into code.
    #[error(transparent)]
    Codegen(#[from] CodegenError),
}

/// A planned graph.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The plan.
    pub plan: Plan,
    /// Its weights.
    pub weights: Bytes,
    /// What it takes.
    pub report: mlp_plan::Report,
}

/// The code of a plan for every target.
#[derive(Clone, Debug)]
pub struct Code {
    /// The module for fixed-width SIMD.
    pub simd128: Vec<u8>,
    /// The module for relaxed SIMD.
    pub relaxed: Vec<u8>,
    /// The modules for several threads, for fixed-width and relaxed SIMD, where those pay.
    pub threads: Option<[Vec<u8>; 2]>,
    /// How the modules are used; the names of their files are not set.
    pub wasm: WasmModules,
    /// The GPU program, or why the plan cannot run on a GPU.
    pub gpu: Result<GpuProgram, CodegenError>,
}

/// Optimizes and plans a graph.
pub fn compile(mut graph: Graph) -> Result<Compiled, CompileError> {
    mlp_graph::passes::optimize(&mut graph).map_err(|error| CompileError::Optimize(error.to_string()))?;
    plan(&graph)
}

/// Plans a graph that is optimized already.
pub fn plan(graph: &Graph) -> Result<Compiled, CompileError> {
    let planned = mlp_plan::plan(graph, &mlp_plan::PlanOptions::all())?;
    Ok(Compiled { plan: planned.plan, weights: planned.weights.into(), report: planned.report })
}

/// Emits one WebAssembly module that exports each kernel on its own too, for a profiler.
pub fn emit_steps(plan: &Plan, relaxed: bool) -> Result<(Vec<u8>, WasmModules), CompileError> {
    let module = wasm::emit_steps(plan, if relaxed { Target::Relaxed } else { Target::Simd128 })?;
    let modules = modules(plan, &module);
    Ok((module.bytes, modules))
}

/// Emits the code of every target.
pub fn emit(plan: &Plan) -> Result<Code, CompileError> {
    let simd128 = wasm::emit(plan, Target::Simd128)?;
    let relaxed = wasm::emit(plan, Target::Relaxed)?;
    let mut wasm = modules(plan, &simd128);
    let mut threads = None;
    if let Some(simd128) = wasm::emit_threads(plan, Target::Simd128, Sharing::WherePays)?
        && let Some(relaxed) = wasm::emit_threads(plan, Target::Relaxed, Sharing::WherePays)?
    {
        let (memory_pages, helper_pages) = (simd128.memory_pages, simd128.helper_pages);
        wasm.threads = Some(WasmThreads { simd128: String::new(), relaxed: String::new(), memory_pages, helper_pages });
        threads = Some([simd128.bytes, relaxed.bytes]);
    }
    Ok(Code { simd128: simd128.bytes, relaxed: relaxed.bytes, threads, wasm, gpu: wgsl::emit(plan) })
}

/// How a module of the plan is used.
fn modules(plan: &Plan, module: &WasmModule) -> WasmModules {
    let ports = plan.inputs.iter().chain(&plan.outputs).map(|port| (port.name.clone(), offset(plan, port.buffer))).collect();
    WasmModules {
        simd128: String::new(),
        relaxed: String::new(),
        memory_pages: module.memory_pages,
        weights_offset: module.weights_offset,
        arena_offset: module.arena_offset,
        ports,
        threads: None,
    }
}

fn offset(plan: &Plan, buffer: mlp_bundle::loops::BufferId) -> u64 {
    match plan.buffers[buffer].place {
        Place::Arena { offset } | Place::Weights { offset } => offset,
    }
}
