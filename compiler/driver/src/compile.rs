//! A graph to a plan, and a plan to the code of every target.

use crate::host::{Host, timed};
use crate::weights;
use mlp_bundle::contents::Bytes;
use mlp_bundle::gpu::GpuProgram;
use mlp_bundle::manifest::{FileEntry, StateMove, WasmModules, WasmThreads};
use mlp_bundle::plan::{Move, Place, Plan, State};
use mlp_codegen::wasm::{self, Target, WasmModule};
use mlp_codegen::{CodegenError, wgsl};
use mlp_graph::Graph;
use mlp_graph::ir::Counted;
use std::time::Duration;
use web_time::Instant;

pub use mlp_codegen::wasm::Sharing;
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
    /// The outputs of which a run says how many rows they have.
    pub counted: Vec<Counted>,
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
    optimize(&mut graph)?;
    plan(&graph)
}

/// [`compile`], with a host that hears of the time it takes.
pub fn compile_for(host: &dyn Host, mut graph: Graph) -> Result<Compiled, CompileError> {
    timed(host, "optimize", || optimize(&mut graph))?;
    timed(host, "plan", || plan(&graph))
}

pub(crate) fn optimize(graph: &mut Graph) -> Result<(), CompileError> {
    mlp_graph::passes::optimize(graph).map_err(|error| CompileError::Optimize(error.to_string()))
}

/// Plans a graph that is optimized already.
pub fn plan(graph: &Graph) -> Result<Compiled, CompileError> {
    let planned = mlp_plan::plan(graph, &mlp_plan::PlanOptions::all())?;
    Ok(Compiled { plan: planned.plan, weights: planned.weights.into(), report: planned.report, counted: graph.counted.clone() })
}

/// Emits one WebAssembly module.
pub fn emit_wasm(plan: &Plan, relaxed: bool) -> Result<(Vec<u8>, WasmModules), CompileError> {
    let module = wasm::emit(plan, target(relaxed))?;
    let modules = modules(plan, &module);
    Ok((module.bytes, modules))
}

/// Emits one WebAssembly module that exports each kernel on its own too, for a profiler.
pub fn emit_steps(plan: &Plan, relaxed: bool) -> Result<(Vec<u8>, WasmModules), CompileError> {
    let module = wasm::emit_steps(plan, target(relaxed))?;
    let modules = modules(plan, &module);
    Ok((module.bytes, modules))
}

/// Emits the module for relaxed SIMD and several threads; none where `sharing` finds that threads do not pay.
pub fn emit_threads(plan: &Plan, sharing: Sharing) -> Result<Option<(Vec<u8>, WasmModules)>, CompileError> {
    let Some(module) = wasm::emit_threads(plan, Target::Relaxed, sharing)? else { return Ok(None) };
    let modules = WasmModules { threads: Some(sizes(&module)), ..modules(plan, &module) };
    Ok(Some((module.bytes, modules)))
}

fn target(relaxed: bool) -> Target {
    if relaxed { Target::Relaxed } else { Target::Simd128 }
}

/// Emits the GPU program, or says why the plan cannot run on a GPU.
pub fn emit_gpu(plan: &Plan) -> Result<GpuProgram, CodegenError> {
    wgsl::emit(plan)
}

/// Emits the code of every target.
pub fn emit(plan: &Plan) -> Result<Code, CompileError> {
    Ok(WebAssembly::emit(plan)?.with(wgsl::emit(plan)))
}

/// [`emit`], and the weights' size and digests, side by side on threads; the host hears of the time each takes.
pub fn emit_for(host: &dyn Host, compiled: &Compiled) -> Result<(Code, FileEntry), CompileError> {
    let (plan, cache) = (&compiled.plan, host.cache());
    let gpu = || clocked(|| wgsl::emit(plan));
    let weights = || clocked(|| weights::entry(cache, &compiled.weights));
    let ((gpu, weights), wasm) = beside(|| beside(gpu, weights), || clocked(|| WebAssembly::emit(plan)));
    host.took("emit wasm", wasm.1);
    host.took("emit webgpu", gpu.1);
    host.took("digest weights", weights.1);
    Ok((wasm.0?.with(gpu.0), weights.0))
}

/// The WebAssembly modules of a plan.
struct WebAssembly {
    simd128: Vec<u8>,
    relaxed: Vec<u8>,
    threads: Option<[Vec<u8>; 2]>,
    modules: WasmModules,
}

impl WebAssembly {
    fn emit(plan: &Plan) -> Result<WebAssembly, CodegenError> {
        let simd128 = wasm::emit(plan, Target::Simd128)?;
        let relaxed = wasm::emit(plan, Target::Relaxed)?.bytes;
        let mut modules = modules(plan, &simd128);
        let mut threads = None;
        if let Some(simd128) = wasm::emit_threads(plan, Target::Simd128, Sharing::WherePays)?
            && let Some(relaxed) = wasm::emit_threads(plan, Target::Relaxed, Sharing::WherePays)?
        {
            modules.threads = Some(sizes(&simd128));
            threads = Some([simd128.bytes, relaxed.bytes]);
        }
        Ok(WebAssembly { simd128: simd128.bytes, relaxed, threads, modules })
    }

    fn with(self, gpu: Result<GpuProgram, CodegenError>) -> Code {
        let WebAssembly { simd128, relaxed, threads, modules } = self;
        Code { simd128, relaxed, threads, wasm: modules, gpu }
    }
}

fn clocked<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (work(), start.elapsed())
}

/// Does one thing on a thread of its own and the other meanwhile; one after the other where there are no threads. A panic of either goes on here.
pub(crate) fn beside<A: Send, B>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B) -> (A, B) {
    if cfg!(target_family = "wasm") {
        return (one(), other());
    }
    std::thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        (one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), other)
    })
}

/// How a module of the plan is used.
fn modules(plan: &Plan, module: &WasmModule) -> WasmModules {
    let ports = plan.inputs.iter().chain(&plan.outputs).map(|port| (port.name.clone(), offset(plan, port.buffer))).collect();
    let moved = |(state, place): (&State, Move)| StateMove {
        name: state.name.clone(),
        from: place.from as u64,
        to: place.to as u64,
        bytes: place.bytes as u64,
    };
    let states = plan.states.iter().zip(plan.moves()).map(moved).collect();
    WasmModules {
        simd128: String::new(),
        relaxed: String::new(),
        memory_pages: module.memory_pages,
        weights_offset: module.weights_offset,
        arena_offset: module.arena_offset,
        ports,
        states,
        threads: None,
    }
}

/// What memory a module for several threads needs; the names of its files are not set.
fn sizes(module: &WasmModule) -> WasmThreads {
    let WasmModule { memory_pages, helper_pages, .. } = *module;
    WasmThreads { simd128: String::new(), relaxed: String::new(), memory_pages, helper_pages }
}

fn offset(plan: &Plan, buffer: mlp_bundle::loops::BufferId) -> u64 {
    match plan.buffers[buffer].place {
        Place::Arena { offset } | Place::Weights { offset } => offset,
    }
}
