//! The runtimes that a plan can run on, behind one trait.

use crate::EngineError;
use mlp_bundle::contents::Bytes;
use mlp_bundle::gpu::GpuProgram;
use mlp_bundle::manifest::WasmModules;
use mlp_bundle::plan::Plan;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackendKind {
    /// Machine code made for this processor.
    Native,
    /// WGSL on this machine's GPU.
    Gpu,
    /// The bundle's WebAssembly module for fixed-width SIMD.
    Wasm,
    /// The bundle's WebAssembly module for relaxed SIMD.
    WasmRelaxed,
    /// The bundle's WebAssembly module for relaxed SIMD and several threads, where there is one.
    WasmThreads,
}

impl BackendKind {
    /// Every runtime.
    pub const ALL: [BackendKind; 5] =
        [BackendKind::Native, BackendKind::Gpu, BackendKind::Wasm, BackendKind::WasmRelaxed, BackendKind::WasmThreads];

    /// Whether a number of threads means something to it.
    pub const fn has_threads(self) -> bool {
        matches!(self, BackendKind::Native | BackendKind::WasmThreads)
    }

    /// The name on command lines and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            BackendKind::Native => "native",
            BackendKind::Gpu => "gpu",
            BackendKind::Wasm => "wasm",
            BackendKind::WasmRelaxed => "wasm-relaxed",
            BackendKind::WasmThreads => "wasm-threads",
        }
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for BackendKind {
    type Err = String;

    fn from_str(name: &str) -> Result<BackendKind, String> {
        let known = BackendKind::ALL.map(BackendKind::name).join(", ");
        BackendKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| format!("`{name}` is none of {known}"))
    }
}

/// A pipeline that is loaded and can run again and again.
pub trait Backend {
    /// Runs once: inputs are the dense little-endian bytes of the plan's input ports at the symbols' values, and so are the outputs.
    fn run(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<Vec<u8>>, EngineError>;

    /// Runs once and answers the nanoseconds that each kernel took, in the plan's order. WebAssembly tells of modules that export each kernel alone.
    fn profile(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<u64>, EngineError>;

    /// Sets the states back to zeros, as they are before the first run.
    fn reset(&mut self) -> Result<(), EngineError>;

    /// What it runs on, for people: the instruction set or the adapter.
    fn description(&self) -> String;

    /// Measures on the device which variants of its kernels are fastest, where it has several, and runs those from then on. Takes a fraction of a second.
    fn tune(&mut self) -> Result<(), EngineError> {
        Ok(())
    }

    /// The variant that each kernel runs as, in the plan's order, empty where there is but one; no names where no kernel has any.
    fn variants(&self) -> Vec<&str> {
        Vec::new()
    }
}

/// Everything that loading a plan can need.
pub struct Artifacts<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The weights file.
    pub weights: Bytes,
    /// The WebAssembly module that the backend asks for, with its offsets.
    pub wasm: Option<(&'a [u8], &'a WasmModules)>,
    /// The GPU program, or why there is none.
    pub gpu: Result<&'a GpuProgram, String>,
}

/// Loads a plan on a backend. `threads` is how many a backend that [has some](BackendKind::has_threads) may use; WebAssembly for several has two at least.
pub fn open(kind: BackendKind, artifacts: &Artifacts<'_>, threads: usize) -> Result<Box<dyn Backend>, EngineError> {
    match kind {
        BackendKind::Native => native(artifacts, threads),
        BackendKind::Gpu => gpu(artifacts),
        BackendKind::Wasm | BackendKind::WasmRelaxed | BackendKind::WasmThreads => wasm(kind, artifacts, threads),
    }
}

fn refused(backend: BackendKind, reason: impl fmt::Display) -> EngineError {
    EngineError::Backend { backend, reason: reason.to_string() }
}

fn native(artifacts: &Artifacts<'_>, threads: usize) -> Result<Box<dyn Backend>, EngineError> {
    let options = mlp_native::Options { threads, isa: None };
    let program = mlp_native::Program::compile(artifacts.plan, artifacts.weights.clone(), &options);
    Ok(Box::new(Native { program: program.map_err(|error| refused(BackendKind::Native, error))?, threads: threads.max(1) }))
}

struct Native {
    program: mlp_native::Program,
    threads: usize,
}

impl Backend for Native {
    fn run(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<Vec<u8>>, EngineError> {
        self.program.run(inputs, symbols).map_err(|error| refused(BackendKind::Native, error))
    }

    fn profile(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<u64>, EngineError> {
        self.program.profile(inputs, symbols).map_err(|error| refused(BackendKind::Native, error))
    }

    fn reset(&mut self) -> Result<(), EngineError> {
        self.program.reset();
        Ok(())
    }

    fn description(&self) -> String {
        let threads = if self.threads == 1 { "1 thread".to_string() } else { format!("{} threads", self.threads) };
        format!("{}, {threads}", self.program.isa())
    }
}

/// How long a GPU is asked which variants it runs fastest.
const TUNING: Duration = Duration::from_millis(200);

fn gpu(artifacts: &Artifacts<'_>) -> Result<Box<dyn Backend>, EngineError> {
    let program = artifacts.gpu.as_ref().map_err(|reason| refused(BackendKind::Gpu, reason))?;
    let session = mlp_gpu::GpuSession::new(program, &artifacts.weights);
    let session = session.map_err(|error| refused(BackendKind::Gpu, error))?;
    Ok(Box::new(Gpu { session, plan: artifacts.plan.clone(), dispatch_of: dispatches(artifacts.plan, program) }))
}

/// The dispatch that computes each kernel of the plan: that of its name or, where a dispatch computes several kernels, the one before.
fn dispatches(plan: &Plan, program: &GpuProgram) -> Vec<Option<usize>> {
    let mut next = 0;
    let by_kernel = plan.kernels.iter().map(|kernel| {
        next += usize::from(program.dispatches.get(next).is_some_and(|dispatch| dispatch.kernel == kernel.name));
        next.checked_sub(1)
    });
    by_kernel.collect()
}

struct Gpu {
    session: mlp_gpu::GpuSession,
    plan: Plan,
    dispatch_of: Vec<Option<usize>>,
}

impl Backend for Gpu {
    fn run(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<Vec<u8>>, EngineError> {
        let fit = self.plan.check_arguments(self.plan.weights_bytes as usize, inputs, symbols);
        let sizes = fit.map_err(|reason| refused(BackendKind::Gpu, reason))?;
        let mut outputs = self.session.run(inputs, symbols).map_err(|error| refused(BackendKind::Gpu, error))?;
        outputs.iter_mut().zip(sizes).for_each(|(output, size)| output.truncate(size));
        Ok(outputs)
    }

    fn profile(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<u64>, EngineError> {
        let fit = self.plan.check_arguments(self.plan.weights_bytes as usize, inputs, symbols);
        fit.map_err(|reason| refused(BackendKind::Gpu, reason))?;
        let times = self.session.profile(inputs, symbols).map_err(|error| refused(BackendKind::Gpu, error))?;
        let mut kernels = vec![0; times.len()];
        self.dispatch_of.iter().flatten().for_each(|&dispatch| kernels[dispatch] += 1);
        // Kernels that are computed together share the time.
        let time = |dispatch: usize| times[dispatch].1.as_nanos() as u64 / kernels[dispatch];
        Ok(self.dispatch_of.iter().map(|dispatch| dispatch.map_or(0, time)).collect())
    }

    fn reset(&mut self) -> Result<(), EngineError> {
        self.session.reset();
        Ok(())
    }

    fn description(&self) -> String {
        self.session.adapter().name.clone()
    }

    fn tune(&mut self) -> Result<(), EngineError> {
        self.session.tune(TUNING).map_err(|error| refused(BackendKind::Gpu, error))
    }

    fn variants(&self) -> Vec<&str> {
        let variants = self.session.variants();
        self.dispatch_of.iter().map(|dispatch| dispatch.map_or("", |dispatch| variants[dispatch])).collect()
    }
}

fn wasm(kind: BackendKind, artifacts: &Artifacts<'_>, threads: usize) -> Result<Box<dyn Backend>, EngineError> {
    let (module, modules) = artifacts.wasm.ok_or_else(|| refused(kind, "there is no WebAssembly module"))?;
    let offsets = mlp_wasm::Offsets { weights: modules.weights_offset, arena: modules.arena_offset };
    let session = if kind == BackendKind::WasmThreads {
        let sizes = modules.threads.as_ref().ok_or_else(|| refused(kind, "there is no module for several threads"))?;
        let count = u32::try_from(threads.max(2)).unwrap_or(u32::MAX);
        let threads = mlp_wasm::Threads { count, pages: sizes.memory_pages, helper_pages: sizes.helper_pages };
        mlp_wasm::WasmSession::with_threads(module, artifacts.plan, &artifacts.weights, offsets, threads)
    } else {
        mlp_wasm::WasmSession::new(module, artifacts.plan, &artifacts.weights, offsets)
    };
    Ok(Box::new(Wasm { session: session.map_err(|error| refused(kind, error))?, kind }))
}

struct Wasm {
    session: mlp_wasm::WasmSession,
    kind: BackendKind,
}

impl Backend for Wasm {
    fn run(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<Vec<u8>>, EngineError> {
        self.session.run(inputs, symbols).map_err(|error| refused(self.kind, error))
    }

    fn profile(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<u64>, EngineError> {
        self.session.profile(inputs, symbols).map_err(|error| refused(self.kind, error))
    }

    fn reset(&mut self) -> Result<(), EngineError> {
        self.session.reset().map_err(|error| refused(self.kind, error))
    }

    fn description(&self) -> String {
        "wasmtime".to_string()
    }
}
