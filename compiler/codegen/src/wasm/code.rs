//! The body of one function under construction, and the table of finished ones.
//!
//! A number that differs between the layers of a model (an address, a size, a zero point) is asked for as a *parameter* ([`Code::param`]); what shapes the
//! code is emitted as it is. Functions that come out equal are then kept once ([`Functions::intern`]), and every layer calls the
//! shared one with its own numbers.

use std::collections::HashMap;
use wasm_encoder::{BlockType, Function, Instruction, MemArg, MemArgTarget, ValType};

/// A local variable or parameter of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Local(u32);

/// Locals are numbered from here until the number of parameters is known.
const FIRST_LOCAL: u32 = 1 << 20;

/// What a call passes for a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arg {
    /// A constant of 32 bits.
    I32(i32),
    /// The value of the plan's n-th symbol.
    Symbol(u32),
    /// The first byte of the thread's scratch.
    Scratch,
    /// The first of the bytes that the thread spills lanes to.
    Spill,
    /// Where the function's n-th range begins.
    First(usize),
    /// Where the function's n-th range ends.
    Last(usize),
}

/// A loop of a function whose turns wait for none of the others, so that threads can share them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// Where all turns begin and end.
    pub(crate) bounds: (u32, u32),
    /// What a part of the range begins at a multiple of.
    pub(crate) unit: u32,
    /// Whether what is left at the end may be less than a unit; else the last part takes it.
    pub(crate) ragged: bool,
}

impl Range {
    /// The most parts that it can be cut into.
    pub(crate) fn units(&self) -> u32 {
        let (first, last) = self.bounds;
        if self.ragged { (last - first).div_ceil(self.unit) } else { (last - first) / self.unit }
    }
}

/// A function under construction.
#[derive(Default)]
pub(crate) struct Code {
    params: Vec<ValType>,
    args: Vec<Arg>,
    locals: Vec<ValType>,
    body: Vec<Instruction<'static>>,
    symbols: HashMap<u32, Local>,
    ranges: Vec<Range>,
}

impl Code {
    /// A function with parameters that its callers name themselves.
    pub(crate) fn with_params(params: &[ValType]) -> (Code, Vec<Local>) {
        let locals = (0..params.len() as u32).map(Local).collect();
        (Code { params: params.to_vec(), ..Code::default() }, locals)
    }

    /// A new parameter, for which this layer passes `value`.
    pub(crate) fn param(&mut self, value: i32) -> Local {
        self.parameter(Arg::I32(value))
    }

    /// The parameter that carries a symbol.
    pub(crate) fn symbol(&mut self, symbol: u32) -> Local {
        if let Some(&local) = self.symbols.get(&symbol) {
            return local;
        }
        let local = self.parameter(Arg::Symbol(symbol));
        self.symbols.insert(symbol, local);
        local
    }

    /// Parameters that carry where the turns of a loop begin and end.
    pub(crate) fn range(&mut self, range: Range) -> (Local, Local) {
        self.ranges.push(range);
        let number = self.ranges.len() - 1;
        (self.parameter(Arg::First(number)), self.parameter(Arg::Last(number)))
    }

    /// The parameter that carries where the thread's scratch is.
    pub(crate) fn scratch(&mut self) -> Local {
        self.parameter(Arg::Scratch)
    }

    /// The parameter that carries where the thread may spill lanes to.
    pub(crate) fn spill(&mut self) -> Local {
        self.parameter(Arg::Spill)
    }

    fn parameter(&mut self, arg: Arg) -> Local {
        self.params.push(ValType::I32);
        self.args.push(arg);
        Local(self.params.len() as u32 - 1)
    }

    /// A new local variable.
    pub(crate) fn local(&mut self, ty: ValType) -> Local {
        self.locals.push(ty);
        Local(FIRST_LOCAL + self.locals.len() as u32 - 1)
    }

    /// A new `i32` variable.
    pub(crate) fn local_i32(&mut self) -> Local {
        self.local(ValType::I32)
    }

    /// A new `v128` variable.
    pub(crate) fn local_v128(&mut self) -> Local {
        self.local(ValType::V128)
    }

    /// Appends an instruction.
    pub(crate) fn op(&mut self, instruction: Instruction<'static>) {
        self.body.push(instruction);
    }

    /// Appends instructions.
    pub(crate) fn ops<const N: usize>(&mut self, instructions: [Instruction<'static>; N]) {
        self.body.extend(instructions);
    }

    /// Pushes a variable.
    pub(crate) fn get(&mut self, local: Local) {
        self.op(Instruction::LocalGet(local.0));
    }

    /// Pops into a variable.
    pub(crate) fn set(&mut self, local: Local) {
        self.op(Instruction::LocalSet(local.0));
    }

    /// Copies the top of the stack into a variable.
    pub(crate) fn tee(&mut self, local: Local) {
        self.op(Instruction::LocalTee(local.0));
    }

    /// Pops into a new variable.
    pub(crate) fn take(&mut self, ty: ValType) -> Local {
        let local = self.local(ty);
        self.set(local);
        local
    }

    /// Pushes a constant.
    pub(crate) fn i32(&mut self, value: i32) {
        self.op(Instruction::I32Const(value));
    }

    /// Pushes a constant.
    pub(crate) fn i64(&mut self, value: i64) {
        self.op(Instruction::I64Const(value));
    }

    /// Pushes a vector of four equal lanes.
    pub(crate) fn splat_bits(&mut self, bits: u32) {
        let lane = u128::from(bits);
        self.op(Instruction::V128Const((lane | lane << 32 | lane << 64 | lane << 96) as i128));
    }

    /// `local = local + value`, nothing for 0.
    pub(crate) fn add_const(&mut self, local: Local, value: i32) {
        if value != 0 {
            self.get(local);
            self.i32(value);
            self.op(Instruction::I32Add);
            self.set(local);
        }
    }

    /// `local = local + other`.
    pub(crate) fn add_local(&mut self, local: Local, other: Local) {
        self.get(local);
        self.get(other);
        self.op(Instruction::I32Add);
        self.set(local);
    }

    /// Opens a loop; `br 0` inside repeats it.
    pub(crate) fn begin_loop(&mut self) {
        self.op(Instruction::Loop(BlockType::Empty));
    }

    /// Opens a block that runs where the popped value is not 0.
    pub(crate) fn begin_if(&mut self) {
        self.op(Instruction::If(BlockType::Empty));
    }

    /// Closes a block or loop.
    pub(crate) fn end(&mut self) {
        self.op(Instruction::End);
    }

    /// The values that this layer passes, in the order of the parameters.
    pub(crate) fn args(&self) -> &[Arg] {
        &self.args
    }

    /// The loops that threads can share.
    pub(crate) fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    fn finish(&self) -> Function {
        let params = self.params.len() as u32;
        let place = |local: u32| if local >= FIRST_LOCAL { local - FIRST_LOCAL + params } else { local };
        let mut function = Function::new_with_locals_types(self.locals.iter().copied());
        for instruction in &self.body {
            match instruction {
                Instruction::LocalGet(local) => function.instruction(&Instruction::LocalGet(place(*local))),
                Instruction::LocalSet(local) => function.instruction(&Instruction::LocalSet(place(*local))),
                Instruction::LocalTee(local) => function.instruction(&Instruction::LocalTee(place(*local))),
                other => function.instruction(other),
            };
        }
        function.instruction(&Instruction::End);
        function
    }
}

/// A memory operand at a constant offset. Nothing is promised of its alignment.
pub(crate) fn at(offset: u64) -> MemArg {
    MemArg { offset, align: 0, target: MemArgTarget::Memory(0), ordering: None }
}

/// The signature and body of a finished function.
#[derive(PartialEq, Eq, Hash, Clone)]
pub(crate) struct Finished {
    pub(crate) params: Vec<ValType>,
    pub(crate) results: Vec<ValType>,
    pub(crate) body: Vec<u8>,
}

/// All functions of a module, equal ones once.
#[derive(Default)]
pub(crate) struct Functions {
    list: Vec<Finished>,
    known: HashMap<Finished, u32>,
}

impl Functions {
    /// The index of a function, a new one if there is none like it.
    pub(crate) fn intern(&mut self, code: &Code, results: &[ValType]) -> u32 {
        let finished = Finished { params: code.params.clone(), results: results.to_vec(), body: code.finish().into_raw_body() };
        if let Some(&index) = self.known.get(&finished) {
            return index;
        }
        let index = self.list.len() as u32;
        self.known.insert(finished.clone(), index);
        self.list.push(finished);
        index
    }

    /// The functions in the order of their indices.
    pub(crate) fn list(&self) -> &[Finished] {
        &self.list
    }
}
