//! Runs a bundle's WebAssembly module natively, under the contract that browsers run it under.
//!
//! A module imports nothing, so it can reach nothing but its own memory; the memory's size is fixed by the module and checked
//! against the plan's before anything runs. A trap is an error of that run, never of the host. A module for several threads imports the memory that its
//! instances share, and nothing else.

mod data;
mod helpers;

use data::Data;
use helpers::Helpers;
use mlp_bundle::plan::{Move, Place, Plan, Port};
use wasmtime::{Config, Engine, Extern, Func, Instance, MemoryType, Module, SharedMemory, Store, StoreLimits, StoreLimitsBuilder, Val};

/// Where a module keeps the weights and the arena; see [`mlp_bundle::manifest::WasmModules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// First byte of the weights in memory.
    pub weights: u64,
    /// First byte of the arena in memory.
    pub arena: u64,
}

/// How the threads of a module for several are given memory; see [`mlp_bundle::manifest::WasmThreads`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads {
    /// Threads in all, at least 1.
    pub count: u32,
    /// Pages of memory of the module itself.
    pub pages: u32,
    /// Pages for each thread but the first.
    pub helper_pages: u32,
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

/// One instance of a module, with its weights in place, and those of its helpers.
pub struct WasmSession {
    store: Store<StoreLimits>,
    data: Data,
    run: Func,
    /// The kernels one by one, of a module that exports them.
    steps: Vec<Func>,
    plan: Plan,
    weights_bytes: usize,
    arena: usize,
    helpers: Option<Helpers>,
}

impl WasmSession {
    /// Compiles a module and copies the weights into its memory.
    pub fn new(module: &[u8], plan: &Plan, weights: &[u8], offsets: Offsets) -> Result<WasmSession, WasmError> {
        WasmSession::with_options(module, plan, weights, offsets, Options::default())
    }

    /// [`WasmSession::new`] with a choice of options.
    pub fn with_options(module: &[u8], plan: &Plan, weights: &[u8], offsets: Offsets, options: Options) -> Result<WasmSession, WasmError> {
        let (_, module) = compile(module, options, false)?;
        if let Some(import) = module.imports().next() {
            return Err(WasmError::Module(format!("it imports `{}.{}`, and a module may import nothing", import.module(), import.name())));
        }
        let mut store = store(module.engine());
        let instance = Instance::new(&mut store, &module, &[]).map_err(refused)?;
        let memory = instance.get_memory(&mut store, "memory").ok_or_else(|| WasmError::Module("it exports no `memory`".into()))?;
        WasmSession::start(store, instance, Data::Own(memory), plan, weights, offsets)
    }

    /// [`WasmSession::new`] of a module for several threads. Those that the system does not give are done without.
    pub fn with_threads(module: &[u8], plan: &Plan, weights: &[u8], offsets: Offsets, threads: Threads) -> Result<WasmSession, WasmError> {
        let (engine, module) = compile(module, Options::default(), true)?;
        let mut imports = module.imports().map(|import| (import.module().to_owned(), import.name().to_owned()));
        let expected = ("env".to_owned(), "memory".to_owned());
        if imports.next() != Some(expected) || imports.next().is_some() {
            return Err(WasmError::Module("it imports something else than `env.memory`".into()));
        }
        let helpers = threads.count.max(1) - 1;
        let pages = threads.helper_pages.checked_mul(helpers).and_then(|more| more.checked_add(threads.pages));
        let pages = pages.filter(|&pages| pages <= 1 << 16).ok_or_else(|| WasmError::Module("its memory exceeds 4 GiB".into()))?;
        let shared = SharedMemory::new(&engine, MemoryType::shared(pages, pages)).map_err(refused)?;
        let mut store = store(&engine);
        let instance = Instance::new(&mut store, &module, &[Extern::SharedMemory(shared.clone())]).map_err(refused)?;
        let data = Data::shared(&mut store, shared.clone()).map_err(refused)?;
        let mut session = WasmSession::start(store, instance, data, plan, weights, offsets)?;
        let mut function =
            |name| instance.get_func(&mut session.store, name).ok_or_else(|| WasmError::Module(format!("it exports no `{name}`")));
        let (stop, joined) = (function("stop")?, function("helpers")?);
        session.helpers = Some(Helpers::start(&module, &shared, helpers, stop, joined));
        Ok(session)
    }

    /// Checks an instance against its plan and puts the weights in place.
    fn start(
        mut store: Store<StoreLimits>,
        instance: Instance,
        mut data: Data,
        plan: &Plan,
        weights: &[u8],
        offsets: Offsets,
    ) -> Result<WasmSession, WasmError> {
        mlp_bundle::plan::verify::verify(plan)?;
        if weights.len() as u64 != plan.weights_bytes {
            let reason = format!("the weights have {} bytes, the plan asks for {}", weights.len(), plan.weights_bytes);
            return Err(WasmError::Arguments(reason));
        }
        let run = instance.get_func(&mut store, "run").ok_or_else(|| WasmError::Module("it exports no `run`".into()))?;
        let steps = (0..plan.kernels.len()).map_while(|n| instance.get_func(&mut store, &format!("step{n}"))).collect();
        let size = data.size(&store) as u64;
        let fits = |offset: u64, bytes: u64| offset.checked_add(bytes).is_some_and(|end| end <= size);
        if !fits(offsets.weights, plan.weights_bytes) || !fits(offsets.arena, plan.arena_bytes) {
            return Err(WasmError::Module(format!("its memory of {size} bytes does not hold the weights and the arena")));
        }
        if offsets.weights < offsets.arena + plan.arena_bytes && offsets.arena < offsets.weights + plan.weights_bytes {
            return Err(WasmError::Module("its weights and its arena overlap".into()));
        }
        data.write(&mut store, offsets.weights as usize, weights).map_err(refused)?;
        let arena = offsets.arena as usize;
        Ok(WasmSession { store, data, run, steps, plan: plan.clone(), weights_bytes: weights.len(), arena, helpers: None })
    }

    /// Runs once: inputs and outputs are dense little-endian bytes in the order of the plan's ports, symbols in the plan's order.
    pub fn run(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<Vec<u8>>, WasmError> {
        let sizes = self.plan.check_arguments(self.weights_bytes, inputs, symbols).map_err(WasmError::Arguments)?;
        let arguments = self.write(inputs, symbols)?;
        self.run.call(&mut self.store, &arguments, &mut []).map_err(|error| WasmError::Trap(format!("{error:#}")))?;
        self.keep_states()?;
        let places: Vec<(usize, usize)> = self.plan.outputs.iter().zip(sizes).map(|(port, bytes)| (self.place(port), bytes)).collect();
        places.into_iter().map(|(place, bytes)| self.data.read(&mut self.store, place, bytes).map_err(refused)).collect()
    }

    /// Runs once, kernel by kernel, and answers the nanoseconds that each took, in the plan's order. Only of a module that exports each kernel.
    pub fn profile(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<u64>, WasmError> {
        self.plan.check_arguments(self.weights_bytes, inputs, symbols).map_err(WasmError::Arguments)?;
        if self.steps.len() != self.plan.kernels.len() {
            return Err(WasmError::Module("it does not export its kernels one by one".into()));
        }
        let arguments = self.write(inputs, symbols)?;
        let mut times = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let start = std::time::Instant::now();
            step.call(&mut self.store, &arguments, &mut []).map_err(|error| WasmError::Trap(format!("{error:#}")))?;
            times.push(start.elapsed().as_nanos() as u64);
        }
        self.keep_states()?;
        Ok(times)
    }

    /// Sets the states back to zeros, as they are before the first run.
    pub fn reset(&mut self) -> Result<(), WasmError> {
        for Move { to, bytes, .. } in self.plan.moves() {
            self.data.write(&mut self.store, self.arena + to, &vec![0; bytes]).map_err(refused)?;
        }
        Ok(())
    }

    /// Moves what a run has made of the states to where the next one reads it.
    fn keep_states(&mut self) -> Result<(), WasmError> {
        for Move { from, to, bytes } in self.plan.moves() {
            self.data.copy(&mut self.store, self.arena + from, self.arena + to, bytes).map_err(refused)?;
        }
        Ok(())
    }

    /// Threads that have come to help with the runs, so far.
    pub fn helpers(&mut self) -> u32 {
        self.helpers.as_ref().map_or(0, |helpers| helpers.joined(&mut self.store))
    }

    /// Writes the inputs, and answers the arguments of the module's functions.
    fn write(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<Val>, WasmError> {
        for (n, bytes) in inputs.iter().enumerate() {
            let place = self.place(&self.plan.inputs[n]);
            self.data.write(&mut self.store, place, bytes).map_err(refused)?;
        }
        Ok(symbols.iter().map(|&symbol| Val::I32(symbol as i32)).collect())
    }

    /// First byte of a port's buffer. The verifier has placed it, whole, in the arena.
    fn place(&self, port: &Port) -> usize {
        match self.plan.buffers[port.buffer].place {
            Place::Arena { offset } | Place::Weights { offset } => self.arena + offset as usize,
        }
    }
}

impl Drop for WasmSession {
    fn drop(&mut self) {
        if let Some(helpers) = &mut self.helpers {
            helpers.stop(&mut self.store);
        }
    }
}

fn refused(error: impl std::fmt::Display) -> WasmError {
    WasmError::Module(format!("{error:#}"))
}

fn compile(module: &[u8], options: Options, threads: bool) -> Result<(Engine, Module), WasmError> {
    let mut config = Config::new();
    config.wasm_simd(true).wasm_relaxed_simd(true).relaxed_simd_deterministic(options.deterministic_relaxed_simd);
    config.wasm_threads(threads).shared_memory(threads).wasm_multi_memory(threads);
    let engine = Engine::new(&config).map_err(refused)?;
    let module = Module::new(&engine, module).map_err(refused)?;
    Ok((engine, module))
}

/// A store for one instance, and the one that moves bytes to and from a shared memory.
fn store(engine: &Engine) -> Store<StoreLimits> {
    let limits = StoreLimitsBuilder::new().instances(2).memories(2).tables(0).memory_size(1 << 32).build();
    let mut store = Store::new(engine, limits);
    store.limiter(|limits| limits);
    store
}
