//! Runs a bundle's WebAssembly module natively, under the contract that browsers run it under.
//!
//! A module imports nothing, so it can reach nothing but its own memory; the memory's size is fixed by the module and checked
//! against the plan's before anything runs. A trap is an error of that run, never of the host.

use mlp_bundle::plan::{Place, Plan, Port};
use wasmtime::{Config, Engine, Func, Instance, Memory, Module, Store, StoreLimits, StoreLimitsBuilder, Val};

/// Where a module keeps the weights and the arena; see [`mlp_bundle::manifest::WasmModules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// First byte of the weights in memory.
    pub weights: u64,
    /// First byte of the arena in memory.
    pub arena: u64,
}

/// How modules are compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Gives relaxed instructions the one result that every machine can compute, at some cost in speed.
    pub deterministic_relaxed_simd: bool,
}

/// Why a module could not be loaded or a run gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum WasmError {
    /// The plan is refused.
    #[error("{0}")]
    Plan(#[from] mlp_bundle::plan::verify::PlanError),
    /// The module is not one that belongs to the plan.
    #[error("the WebAssembly module does not fit its plan: {0}; build the bundle again")]
    Module(String),
    /// The caller's inputs, symbols or weights are not those of the plan.
    #[error("{0}")]
    Arguments(String),
    /// The module stopped in the middle of a run.
    #[error("the WebAssembly module failed while it ran: {0}")]
    Trap(String),
}

/// One instance of a module, with its weights in place.
pub struct WasmSession {
    store: Store<StoreLimits>,
    memory: Memory,
    run: Func,
    /// The kernels one by one, of a module that exports them.
    steps: Vec<Func>,
    plan: Plan,
    weights_bytes: usize,
    arena: usize,
}

impl WasmSession {
    /// Compiles a module and copies the weights into its memory.
    pub fn new(module: &[u8], plan: &Plan, weights: &[u8], offsets: Offsets) -> Result<WasmSession, WasmError> {
        WasmSession::with_options(module, plan, weights, offsets, Options::default())
    }

    /// [`WasmSession::new`] with a choice of options.
    pub fn with_options(module: &[u8], plan: &Plan, weights: &[u8], offsets: Offsets, options: Options) -> Result<WasmSession, WasmError> {
        mlp_bundle::plan::verify::verify(plan)?;
        if weights.len() as u64 != plan.weights_bytes {
            let reason = format!("the weights have {} bytes, the plan asks for {}", weights.len(), plan.weights_bytes);
            return Err(WasmError::Arguments(reason));
        }
        let refused = |error: wasmtime::Error| WasmError::Module(format!("{error:#}"));
        let mut config = Config::new();
        config.wasm_simd(true).wasm_relaxed_simd(true).relaxed_simd_deterministic(options.deterministic_relaxed_simd);
        let engine = Engine::new(&config).map_err(refused)?;
        let module = Module::new(&engine, module).map_err(refused)?;
        if let Some(import) = module.imports().next() {
            return Err(WasmError::Module(format!("it imports `{}.{}`, and a module may import nothing", import.module(), import.name())));
        }
        let limits = StoreLimitsBuilder::new().instances(1).memories(1).tables(0).memory_size(1 << 32).build();
        let mut store = Store::new(&engine, limits);
        store.limiter(|limits| limits);
        let instance = Instance::new(&mut store, &module, &[]).map_err(refused)?;
        let memory = instance.get_memory(&mut store, "memory").ok_or_else(|| WasmError::Module("it exports no `memory`".into()))?;
        let run = instance.get_func(&mut store, "run").ok_or_else(|| WasmError::Module("it exports no `run`".into()))?;
        let steps = (0..plan.kernels.len()).map_while(|n| instance.get_func(&mut store, &format!("step{n}"))).collect();
        let size = memory.data_size(&store) as u64;
        let fits = |offset: u64, bytes: u64| offset.checked_add(bytes).is_some_and(|end| end <= size);
        if !fits(offsets.weights, plan.weights_bytes) || !fits(offsets.arena, plan.arena_bytes) {
            return Err(WasmError::Module(format!("its memory of {size} bytes does not hold the weights and the arena")));
        }
        if offsets.weights < offsets.arena + plan.arena_bytes && offsets.arena < offsets.weights + plan.weights_bytes {
            return Err(WasmError::Module("its weights and its arena overlap".into()));
        }
        memory.write(&mut store, offsets.weights as usize, weights).map_err(|error| WasmError::Module(error.to_string()))?;
        let arena = offsets.arena as usize;
        Ok(WasmSession { store, memory, run, steps, plan: plan.clone(), weights_bytes: weights.len(), arena })
    }

    /// Runs once: inputs and outputs are dense little-endian bytes in the order of the plan's ports, symbols in the plan's order.
    pub fn run(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<Vec<u8>>, WasmError> {
        let sizes = self.plan.check_arguments(self.weights_bytes, inputs, symbols).map_err(WasmError::Arguments)?;
        let arguments = self.write(inputs, symbols);
        self.run.call(&mut self.store, &arguments, &mut []).map_err(|error| WasmError::Trap(format!("{error:#}")))?;
        let data = self.memory.data(&self.store);
        let read = |(port, bytes): (&Port, usize)| data[self.start(port)..self.start(port) + bytes].to_vec();
        Ok(self.plan.outputs.iter().zip(sizes).map(read).collect())
    }

    /// Runs once, kernel by kernel, and answers the nanoseconds that each took, in the plan's order. Only of a module that exports each kernel.
    pub fn profile(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<u64>, WasmError> {
        self.plan.check_arguments(self.weights_bytes, inputs, symbols).map_err(WasmError::Arguments)?;
        if self.steps.len() != self.plan.kernels.len() {
            return Err(WasmError::Module("it does not export its kernels one by one".into()));
        }
        let arguments = self.write(inputs, symbols);
        let mut times = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let start = std::time::Instant::now();
            step.call(&mut self.store, &arguments, &mut []).map_err(|error| WasmError::Trap(format!("{error:#}")))?;
            times.push(start.elapsed().as_nanos() as u64);
        }
        Ok(times)
    }

    /// Writes the inputs, and answers the arguments of the module's functions.
    fn write(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Vec<Val> {
        for (port, bytes) in self.plan.inputs.iter().zip(inputs) {
            let start = self.start(port);
            self.memory.data_mut(&mut self.store)[start..start + bytes.len()].copy_from_slice(bytes);
        }
        symbols.iter().map(|&symbol| Val::I32(symbol as i32)).collect()
    }

    /// First byte of a port's buffer. The verifier has placed it, whole, in the arena.
    fn start(&self, port: &Port) -> usize {
        match self.plan.buffers[port.buffer].place {
            Place::Arena { offset } | Place::Weights { offset } => self.arena + offset as usize,
        }
    }
}
