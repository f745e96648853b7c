//! Lowers plans to machine code with Cranelift and runs them.
//!
//! A plan is verified first: it comes from a bundle, and a bundle is untrusted. Each loop nest becomes a function of its own, shared by
//! equal nests; contractions go to the tiles of `mlp-kernels`, their epilogue in registers where it has the planner's common form, else by
//! generated code over a block of sums. Machine code never comes from the bundle and never leaves this process.
//!
//! All memory that a run needs is set aside when a [`Program`] is made; a run allocates its results only.
#![allow(unsafe_code)]

mod finish;
mod jit;
mod map;
mod memory;
mod pool;
mod program;
mod step;
mod wave;

pub use map::mapped;
pub use mlp_kernels::{Isa, Peak};

use jit::Jit;
use memory::{Memory, Weights};
use mlp_bundle::contents::Bytes;
use mlp_bundle::loops::BufferId;
use mlp_bundle::plan::verify::{PlanError, verify};
use mlp_bundle::plan::{Move, Place, Plan};
use mlp_kernels::{Kernels, MAX_SCRATCH};
use pool::Pool;
use step::Step;
use wave::Wave;

/// How a program is compiled and run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Threads of a run, the caller's included; 0 counts as 1.
    pub threads: usize,
    /// The instruction set of the contractions' tiles; none for the best of this machine.
    pub isa: Option<Isa>,
}

impl Default for Options {
    fn default() -> Options {
        Options { threads: 1, isa: None }
    }
}

/// Why a plan could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The plan is not safe to run.
    #[error("{0}")]
    Plan(#[from] PlanError),
    /// The weights are not those of the plan.
    #[error("the weights have {got} bytes, the plan asks for {expected}: give the weights file of the same bundle")]
    Weights {
        /// Bytes given.
        got: usize,
        /// Bytes that the plan asks for.
        expected: u64,
    },
    /// This machine lacks the instruction set asked for.
    #[error("this machine does not run {0}: leave the instruction set open to take the best one")]
    Isa(Isa),
    /// There is not memory enough.
    #[error("{0} bytes of memory could not be set aside")]
    Memory(u64),
    /// A convolution's window spreads over more memory than is sensible.
    #[error("kernel `{kernel}` takes more than {MAX_SCRATCH} bytes of working memory: its strides or dilations are too great")]
    Window {
        /// The kernel.
        kernel: String,
    },
    /// The code generator refused a kernel.
    #[error("machine code could not be made: {0}")]
    Codegen(String),
}

/// Why a run could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The caller's inputs or symbols are not those of the plan.
    #[error("{0}")]
    Arguments(String),
}

/// A compiled plan with its memory.
pub struct Program {
    plan: Plan,
    arena: Memory,
    /// Kept for the steps, which hold addresses of it.
    weights: Weights,
    /// Working memory of each thread.
    scratch: Vec<Memory>,
    steps: Vec<Step>,
    waves: Vec<Wave>,
    /// What makes the next run's states of this one's.
    moves: Vec<Move>,
    pool: Option<Pool>,
    isa: Isa,
    /// Last: the steps hold addresses of its code.
    _jit: Jit,
}

// SAFETY: the steps' addresses point into memory and code that the program owns and moves along; a run takes the program for itself.
unsafe impl Send for Program {}

impl Program {
    /// Verifies a plan and compiles it for this machine. Weights that begin at a multiple of [`mlp_bundle::contents::CONTENT_ALIGN`], as those of a bundle's files
    /// do, are used where they lie; others are copied.
    pub fn compile(plan: &Plan, weights: Bytes, options: &Options) -> Result<Program, CompileError> {
        verify(plan)?;
        if weights.len() as u64 != plan.weights_bytes {
            return Err(CompileError::Weights { got: weights.len(), expected: plan.weights_bytes });
        }
        let kernels = match options.isa {
            Some(isa) => Kernels::get(isa).ok_or(CompileError::Isa(isa))?,
            None => Kernels::best(),
        };
        let threads = options.threads.max(1);
        let mut arena = Memory::zeroed(plan.arena_bytes)?;
        let weights = Weights::new(weights)?;
        let mut jit = Jit::new(plan)?;
        let mut builder = step::Builder { plan, kernels, threads, arena: arena.base(), weights: weights.bytes(), jit: &mut jit };
        let pending: Vec<_> = plan.kernels.iter().map(|kernel| builder.prepare(kernel)).collect::<Result<_, _>>()?;
        jit.finish()?;
        let steps: Vec<Step> = pending.into_iter().map(|step| step.link(&mut jit, kernels)).collect();
        let most = steps.iter().map(Step::scratch_bytes).max().unwrap_or(0);
        let scratch = (0..threads).map(|_| Memory::zeroed(most as u64)).collect::<Result<_, _>>()?;
        let pool = (threads > 1).then(|| Pool::new(threads));
        let waves = wave::waves(plan, &steps, pool.as_ref().map_or(1, Pool::size));
        let (plan, moves) = (plan.clone(), plan.moves());
        Ok(Program { plan, arena, weights, scratch, steps, waves, moves, pool, isa: kernels.isa(), _jit: jit })
    }

    /// Runs the plan: inputs are the ports' dense little-endian bytes at the symbols' values, and so are the outputs. States are kept for the next run.
    pub fn run(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<Vec<u8>>, RunError> {
        let sizes = self.plan.check_arguments(self.weights.bytes().len(), inputs, symbols).map_err(RunError::Arguments)?;
        for (port, bytes) in self.plan.inputs.iter().zip(inputs) {
            let start = offset(&self.plan, port.buffer);
            self.arena.bytes_mut()[start..start + bytes.len()].copy_from_slice(bytes);
        }
        for wave in &self.waves {
            let areas = Areas { scratch: &self.scratch, steps: &self.steps, symbols };
            areas.run(wave, self.pool.as_mut());
        }
        self.keep_states();
        let read = |(port, bytes): (&mlp_bundle::plan::Port, usize)| {
            let start = offset(&self.plan, port.buffer);
            self.arena.bytes()[start..start + bytes].to_vec()
        };
        Ok(self.plan.outputs.iter().zip(sizes).map(read).collect())
    }

    /// Runs the plan once as [`Program::run`] does, and answers the nanoseconds that each kernel took, in the plan's order.
    pub fn profile(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<u64>, RunError> {
        self.plan.check_arguments(self.weights.bytes().len(), inputs, symbols).map_err(RunError::Arguments)?;
        for (port, bytes) in self.plan.inputs.iter().zip(inputs) {
            let start = offset(&self.plan, port.buffer);
            self.arena.bytes_mut()[start..start + bytes.len()].copy_from_slice(bytes);
        }
        let mut times = Vec::with_capacity(self.steps.len());
        let threads = self.pool.as_ref().map_or(1, Pool::size);
        for index in 0..self.steps.len() {
            let wave = Wave::new(&self.steps, index..index + 1, threads);
            let areas = Areas { scratch: &self.scratch, steps: &self.steps, symbols };
            let start = std::time::Instant::now();
            areas.run(&wave, self.pool.as_mut());
            times.push(start.elapsed().as_nanos() as u64);
        }
        self.keep_states();
        Ok(times)
    }

    /// Sets the states back to zeros, as they are before the first run.
    pub fn reset(&mut self) {
        for state in &self.moves {
            self.arena.bytes_mut()[state.to..state.to + state.bytes].fill(0);
        }
    }

    /// Moves what a run has made of the states to where the next one reads it.
    fn keep_states(&mut self) {
        for state in &self.moves {
            self.arena.bytes_mut().copy_within(state.from..state.from + state.bytes, state.to);
        }
    }

    /// The plan that was compiled.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The instruction set of the contractions' tiles.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// How often the threads of a run meet: after every run of kernels that do not wait for one another.
    pub fn waves(&self) -> usize {
        self.waves.len()
    }

    /// How each kernel is run, in the plan's order: `nest`, `tiles`, `winograd`, or the latter two with `+code` where an epilogue has no common form.
    pub fn methods(&self) -> Vec<&'static str> {
        self.steps.iter().map(Step::method).collect()
    }
}

/// What the threads of one run share.
struct Areas<'a> {
    scratch: &'a [Memory],
    steps: &'a [Step],
    symbols: &'a [u32],
}

// SAFETY: each thread touches its own scratch memory and its own share of the steps' outputs.
unsafe impl Sync for Areas<'_> {}

impl Areas<'_> {
    /// Runs a wave's shares, each on a thread of its own.
    fn run(&self, wave: &Wave, pool: Option<&mut Pool>) {
        match pool {
            Some(pool) if wave.shares().len() > 1 => {
                pool.run(&|thread| self.run_share(&wave.shares()[thread], thread));
            }
            _ => wave.shares().iter().for_each(|share| self.run_share(share, 0)),
        }
    }

    fn run_share(&self, share: &[(usize, std::ops::Range<usize>)], thread: usize) {
        for (step, items) in share {
            let scratch = self.scratch[thread].start().cast_mut();
            // SAFETY: the plan is verified, so that every access lies inside arena and weights, which live as long as the program; the scratch memory is as large as
            // the largest step asks for. Only one run has the program, shares do not meet, and the steps of a wave do not write what others of it touch.
            unsafe { self.steps[*step].run_items(items.clone(), scratch, self.symbols) };
        }
    }
}

/// A buffer's first byte in the arena or the weights.
pub(crate) fn offset(plan: &Plan, buffer: BufferId) -> usize {
    match plan.buffers[buffer].place {
        Place::Arena { offset } | Place::Weights { offset } => offset as usize,
    }
}
