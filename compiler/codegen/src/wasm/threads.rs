//! What threads agree by: functions of a module whose memory several instances share.
//!
//! `run` computes on the caller's thread, as in any other module. Where a kernel is cut, it publishes the parts, and whoever is there takes them one by one:
//! the caller from the first on, helpers from the first or the last on by turns, so that a thread finds near what it wrote before. The caller goes on
//! when all parts are done. It waits for nobody who has not taken a part, and never sleeps: browsers forbid that to a page's main thread. So a
//! helper that comes late, or never, costs nothing. Helpers (`work`) wait for parts spinning at first, then asleep, until `stop`.
//!
//! One atomic number has the kernel and the parts that are left, so that nobody can take a part of a kernel that is over:
//! bits 48 and up the kernel, 24 to 47 the end of the parts left, 0 to 23 the first of them.

use super::code::{Arg, Code, Local};
use super::cut::Cut;
use super::layout::{LINE, Layout, PAGE, RESERVED};
use super::math::Library;
use super::module::{Areas, Call, push_call};
use std::borrow::Cow;
use wasm_encoder::Instruction as I;
use wasm_encoder::{BlockType, Ieee64, MemArg, MemArgTarget, ValType};

/// Kernels that are shared, at most.
const MOST_KERNELS: usize = 1 << 16;

/// The number of a part, at most.
const PART_BITS: i64 = 24;

/// Bits of the end of the parts left, and of the first of them.
const KERNEL_BITS: i64 = 2 * PART_BITS;

/// Turns of waiting before a helper sleeps: some tens of microseconds, the time between two shared kernels of a run.
const SPINS: i32 = 4_000;

/// Turns of waiting for a part that somebody has taken before the run fails: many seconds. Whoever took it is gone for good.
const PATIENCE: i32 = 1 << 30;

// Distances in the bytes of control. What is written often has a cache line of its own.
const PARTS: u64 = 0;
const DONE: u64 = LINE;
const EPOCH: u64 = 2 * LINE;
const SLEEPERS: u64 = EPOCH + 4;
const STOPPED: u64 = EPOCH + 8;
const JOINED: u64 = EPOCH + 12;
const SYMBOLS: u64 = 3 * LINE;

/// Bytes of control.
pub(crate) fn control_bytes(symbols: u64) -> u64 {
    SYMBOLS + 4 * symbols
}

/// A kernel of a module for threads.
pub(crate) struct Step {
    /// Calls that the running thread makes alone, first.
    pub(crate) alone: Vec<Call>,
    /// Calls that are shared.
    pub(crate) shared: Vec<(Call, Cut)>,
}

impl Step {
    /// A kernel in at most that many parts. Where nothing can be cut, one thread makes all calls.
    pub(crate) fn new(calls: Vec<Call>, parts: u32) -> Step {
        let (alone, ranged): (Vec<Call>, Vec<Call>) = calls.into_iter().partition(|call| parts < 2 || call.ranges.is_empty());
        let cuts: Option<Vec<Cut>> = ranged.iter().map(|call| Cut::of(call, parts)).collect();
        match cuts {
            Some(cuts) if cuts.iter().any(|cut| cut.parts > 1) => Step { alone, shared: ranged.into_iter().zip(cuts).collect() },
            _ => Step { alone: alone.into_iter().chain(ranged).collect(), shared: Vec::new() },
        }
    }

    fn parts(&self) -> u32 {
        self.shared.iter().map(|shared| shared.1.parts).max().unwrap_or(0)
    }
}

/// Adds the functions that run these kernels; answers the names and numbers of those that hosts call.
pub(crate) fn functions(library: &mut Library, layout: &Layout, steps: &[Step], symbols: u32) -> Result<Vec<(String, u32)>, String> {
    let shared: Vec<&Step> = steps.iter().filter(|step| !step.shared.is_empty()).collect();
    if shared.len() >= MOST_KERNELS {
        return Err(format!("it has {} kernels to share, and threads can agree on {MOST_KERNELS}", shared.len()));
    }
    let control = Control { start: layout.control as u32 as i32 };
    let part = control.part(library, &shared, symbols);
    let help = control.help(library, part);
    let share = control.share(library, help);
    let run = control.run(library, share, steps, symbols);
    let work = control.work(library, help, layout);
    let stop = control.stop(library);
    let helpers = control.helpers(library);
    let exports = [("run", run), ("work", work), ("stop", stop), ("helpers", helpers)];
    Ok(exports.map(|(name, function)| (name.to_owned(), function)).to_vec())
}

/// An aligned place of so many bytes.
fn atomic(offset: u64, bytes: u32) -> MemArg {
    MemArg { offset, align: bytes.trailing_zeros(), target: MemArgTarget::Memory(0), ordering: None }
}

struct Control {
    start: i32,
}

impl Control {
    fn load(&self, code: &mut Code, offset: u64) {
        code.ops([I::I32Const(self.start), I::I32AtomicLoad(atomic(offset, 4))]);
    }

    fn store(&self, code: &mut Code, offset: u64, value: i32) {
        code.ops([I::I32Const(self.start), I::I32Const(value), I::I32AtomicStore(atomic(offset, 4))]);
    }

    fn add(&self, code: &mut Code, offset: u64, value: i32) {
        code.ops([I::I32Const(self.start), I::I32Const(value), I::I32AtomicRmwAdd(atomic(offset, 4)), I::Drop]);
    }

    /// Wakes all who sleep.
    fn wake(&self, code: &mut Code) {
        code.ops([I::I32Const(self.start), I::I32Const(-1), I::MemoryAtomicNotify(atomic(EPOCH, 4)), I::Drop]);
    }

    /// `(kernel, part)`: computes one part.
    fn part(&self, library: &mut Library, shared: &[&Step], symbols: u32) -> u32 {
        let (mut code, params) = Code::with_params(&[ValType::I32; 2]);
        let symbols = self.symbols(&mut code, shared, symbols);
        let (first, last) = (code.local_i32(), code.local_i32());
        for _ in 0..shared.len() {
            code.op(I::Block(BlockType::Empty));
        }
        code.get(params[0]);
        let targets: Vec<u32> = (0..shared.len() as u32).collect();
        code.op(I::BrTable(Cow::Owned(targets), shared.len().saturating_sub(1) as u32));
        for step in shared {
            code.end();
            let mut now: Option<Cut> = None;
            for (call, cut) in &step.shared {
                let fewer = cut.parts < step.parts();
                if fewer {
                    code.get(params[1]);
                    code.ops([I::I32Const(cut.parts as i32), I::I32LtU]);
                    code.begin_if();
                }
                if now != Some(*cut) {
                    push_bounds(&mut code, cut, params[1], (first, last));
                    now = (!fewer).then_some(*cut);
                }
                push_call(&mut code, call, &symbols, Areas::Own, Some((cut.range, (first, last))));
                if fewer {
                    code.end();
                }
            }
            code.op(I::Return);
        }
        library.functions.intern(&code, &[])
    }

    /// The symbols' values, those in variables that some shared call passes on.
    fn symbols(&self, code: &mut Code, shared: &[&Step], symbols: u32) -> Vec<Local> {
        let calls = || shared.iter().flat_map(|step| &step.shared);
        let used = |symbol: u32| calls().any(|(call, _)| call.args.contains(&Arg::Symbol(symbol)));
        let value = |symbol: u32| {
            let local = code.local_i32();
            if used(symbol) {
                self.load(code, SYMBOLS + 4 * u64::from(symbol));
                code.set(local);
            }
            local
        };
        (0..symbols).map(value).collect()
    }

    /// `(step) -> i32`: takes parts until none is left, `step` is what taking one adds; whether there was any.
    fn help(&self, library: &mut Library, part: u32) -> u32 {
        let (mut code, params) = Code::with_params(&[ValType::I64]);
        let (left, first, end, any) = (code.local(ValType::I64), code.local_i32(), code.local_i32(), code.local_i32());
        let mask = I::I32Const((1 << PART_BITS) - 1);
        code.begin_loop();
        code.ops([I::I32Const(self.start), I::I64AtomicLoad(atomic(PARTS, 8))]);
        code.tee(left);
        code.ops([I::I32WrapI64, mask.clone(), I::I32And]);
        code.tee(first);
        code.get(left);
        code.ops([I::I64Const(PART_BITS), I::I64ShrU, I::I32WrapI64, mask, I::I32And]);
        code.tee(end);
        code.op(I::I32LtU);
        code.begin_if();
        code.i32(self.start);
        code.get(left);
        code.get(left);
        code.get(params[0]);
        code.ops([I::I64Add, I::I64AtomicRmwCmpxchg(atomic(PARTS, 8))]);
        code.get(left);
        code.op(I::I64Eq);
        code.begin_if();
        code.get(left);
        code.ops([I::I64Const(KERNEL_BITS), I::I64ShrU, I::I32WrapI64]);
        code.get(end);
        code.ops([I::I32Const(1), I::I32Sub]);
        code.get(first);
        code.get(params[0]);
        code.ops([I::I64Const(0), I::I64LtS, I::Select, I::Call(part)]);
        self.add(&mut code, DONE, 1);
        code.i32(1);
        code.set(any);
        code.end();
        code.op(I::Br(1));
        code.end();
        code.end();
        code.get(any);
        library.functions.intern(&code, &[ValType::I32])
    }

    /// `(kernel, parts)`: publishes the parts of a kernel, helps, and returns when all are done.
    fn share(&self, library: &mut Library, help: u32) -> u32 {
        let (mut code, params) = Code::with_params(&[ValType::I32; 2]);
        self.store(&mut code, DONE, 0);
        code.i32(self.start);
        code.get(params[0]);
        code.ops([I::I64ExtendI32U, I::I64Const(KERNEL_BITS), I::I64Shl]);
        code.get(params[1]);
        code.ops([I::I64ExtendI32U, I::I64Const(PART_BITS), I::I64Shl, I::I64Or, I::I64AtomicStore(atomic(PARTS, 8))]);
        // Who falls asleep meanwhile finds another epoch, or is counted.
        self.add(&mut code, EPOCH, 1);
        self.load(&mut code, SLEEPERS);
        code.begin_if();
        self.wake(&mut code);
        code.end();
        code.ops([I::I64Const(1), I::Call(help), I::Drop]);
        let mut patience = Patience::new(&mut code, PATIENCE);
        code.begin_loop();
        self.load(&mut code, DONE);
        code.get(params[1]);
        code.op(I::I32Ne);
        code.begin_if();
        patience.turn(&mut code);
        code.op(I::BrIf(1));
        // A part that was begun and never ends: an error is better than a page that hangs.
        code.op(I::Unreachable);
        code.end();
        code.end();
        library.functions.intern(&code, &[])
    }

    /// `(symbol..)`: computes all kernels.
    fn run(&self, library: &mut Library, share: u32, steps: &[Step], symbols: u32) -> u32 {
        let (mut code, params) = Code::with_params(&vec![ValType::I32; symbols as usize]);
        for (symbol, &param) in (0u64..).zip(&params) {
            code.i32(self.start);
            code.get(param);
            code.op(I::I32AtomicStore(atomic(SYMBOLS + 4 * symbol, 4)));
        }
        let mut shared = 0;
        for step in steps {
            step.alone.iter().for_each(|call| push_call(&mut code, call, &params, Areas::Own, None));
            if !step.shared.is_empty() {
                code.ops([I::I32Const(shared), I::I32Const(step.parts() as i32), I::Call(share)]);
                shared += 1;
            }
        }
        library.functions.intern(&code, &[])
    }

    /// `(index)`: helps with the parts of all runs until `stop`. Helpers are numbered from 1, and have memory of their own by that number.
    fn work(&self, library: &mut Library, help: u32, layout: &Layout) -> u32 {
        let (mut code, params) = Code::with_params(&[ValType::I32]);
        code.get(params[0]);
        code.ops([I::I32Const(1), I::I32Sub, I::I32Const((layout.helper_pages * PAGE) as i32), I::I32Mul]);
        code.ops([I::I32Const((layout.pages * PAGE + RESERVED) as u32 as i32), I::I32Add, I::GlobalSet(0)]);
        self.add(&mut code, JOINED, 1);
        // From the last part on, or from the first.
        code.ops([I::I64Const(-(1 << PART_BITS)), I::I64Const(1)]);
        code.get(params[0]);
        code.ops([I::I32Const(1), I::I32And, I::Select]);
        let step = code.take(ValType::I64);
        let epoch = code.local_i32();
        let mut patience = Patience::new(&mut code, SPINS);
        code.begin_loop();
        self.load(&mut code, EPOCH);
        code.set(epoch);
        patience.restore(&mut code);
        code.begin_loop();
        self.load(&mut code, STOPPED);
        code.begin_if();
        code.op(I::Return);
        code.end();
        code.get(step);
        code.ops([I::Call(help), I::BrIf(1)]);
        patience.turn(&mut code);
        code.ops([I::BrIf(0), I::End]);
        self.add(&mut code, SLEEPERS, 1);
        code.i32(self.start);
        code.get(epoch);
        code.ops([I::I64Const(-1), I::MemoryAtomicWait32(atomic(EPOCH, 4)), I::Drop]);
        self.add(&mut code, SLEEPERS, -1);
        code.op(I::Br(0));
        code.end();
        library.functions.intern(&code, &[])
    }

    /// `()`: sends all helpers away.
    fn stop(&self, library: &mut Library) -> u32 {
        let mut code = Code::default();
        self.store(&mut code, STOPPED, 1);
        self.add(&mut code, EPOCH, 1);
        self.wake(&mut code);
        library.functions.intern(&code, &[])
    }

    /// `() -> i32`: how many helpers have come.
    fn helpers(&self, library: &mut Library) -> u32 {
        let mut code = Code::default();
        self.load(&mut code, JOINED);
        library.functions.intern(&code, &[ValType::I32])
    }
}

/// Sets two variables to where a part begins and ends.
fn push_bounds(code: &mut Code, cut: &Cut, part: Local, (first, last): (Local, Local)) {
    code.get(part);
    code.ops([I::I32Const(cut.step), I::I32Mul]);
    if cut.bounds.0 != 0 {
        code.ops([I::I32Const(cut.bounds.0), I::I32Add]);
    }
    code.tee(first);
    code.ops([I::I32Const(cut.step), I::I32Add]);
    code.set(last);
    code.i32(cut.bounds.1);
    code.get(last);
    code.get(last);
    code.ops([I::I32Const(cut.bounds.1 - cut.least), I::I32GtS, I::Select]);
    code.set(last);
}

/// Turns of a loop that waits. WebAssembly has no instruction that pauses; square roots take long and leave the core's other units to whoever shares them.
struct Patience {
    turns: i32,
    left: Local,
    root: Local,
}

impl Patience {
    fn new(code: &mut Code, turns: i32) -> Patience {
        let mut patience = Patience { turns, left: code.local_i32(), root: code.local(ValType::F64) };
        patience.restore(code);
        patience
    }

    fn restore(&mut self, code: &mut Code) {
        code.i32(self.turns);
        code.set(self.left);
    }

    /// Pauses, and pushes whether there are turns left.
    fn turn(&mut self, code: &mut Code) {
        code.get(self.root);
        for _ in 0..2 {
            code.ops([I::F64Const(Ieee64::new(2f64.to_bits())), I::F64Add, I::F64Sqrt]);
        }
        code.set(self.root);
        code.get(self.left);
        // Always 1; an engine does not know, and has to compute the roots.
        code.get(self.root);
        code.ops([I::F64Const(Ieee64::new(0)), I::F64Gt, I::I32Sub]);
        code.tee(self.left);
    }
}
