//! Functions and calls put together as a module.

use super::Target;
use super::code::{Arg, Code, Functions, Local, Range};
use super::layout::{Layout, PAGE, RESERVED};
use super::math::Library;
use wasm_encoder::{
    CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, FunctionSection, GlobalSection, GlobalType, ImportSection, Instruction,
    MemorySection, MemoryType, Module, TypeSection, ValType,
};
use wasmparser::{Validator, WasmFeatures};

/// One step of `run`.
pub(crate) struct Call {
    /// The function's index.
    pub(crate) function: u32,
    /// What it is passed.
    pub(crate) args: Vec<Arg>,
    /// The loops of it that threads can share.
    pub(crate) ranges: Vec<Range>,
}

impl Call {
    /// A call of a finished function, which is added.
    pub(crate) fn new(library: &mut Library, code: &Code) -> Call {
        Call { function: library.functions.intern(code, &[]), args: code.args().to_vec(), ranges: code.ranges().to_vec() }
    }
}

/// Where a thread's scratch and the bytes that it spills lanes to are.
#[derive(Clone, Copy)]
pub(crate) enum Areas {
    /// The scratch at this address, and what is spilled at the start of memory: of the only thread.
    At(i32),
    /// Both by the instance's global number 0.
    Own,
}

/// Makes a call, with one of its ranges cut to what is between two variables.
pub(crate) fn push_call(code: &mut Code, call: &Call, symbols: &[Local], areas: Areas, cut: Option<(usize, (Local, Local))>) {
    let part = |range: usize| cut.filter(|cut| cut.0 == range).map(|cut| cut.1);
    for arg in &call.args {
        match (*arg, areas) {
            (Arg::I32(value), _) => code.i32(value),
            (Arg::Symbol(symbol), _) => code.get(symbols[symbol as usize]),
            (Arg::Scratch, Areas::At(scratch)) => code.i32(scratch),
            (Arg::Scratch, Areas::Own) => code.op(Instruction::GlobalGet(0)),
            (Arg::Spill, Areas::At(_)) => code.i32(0),
            (Arg::Spill, Areas::Own) => code.ops([Instruction::GlobalGet(0), Instruction::I32Const(RESERVED as i32), Instruction::I32Sub]),
            (Arg::First(range), _) => match part(range) {
                Some((first, _)) => code.get(first),
                None => code.i32(call.ranges[range].bounds.0 as i32),
            },
            (Arg::Last(range), _) => match part(range) {
                Some((_, last)) => code.get(last),
                None => code.i32(call.ranges[range].bounds.1 as i32),
            },
        }
    }
    code.op(Instruction::Call(call.function));
}

/// Adds a function that takes the symbols and makes these calls.
pub(crate) fn runner<'c>(functions: &mut Functions, layout: &Layout, symbols: u32, calls: impl IntoIterator<Item = &'c Call>) -> u32 {
    let (mut code, symbols) = Code::with_params(&vec![ValType::I32; symbols as usize]);
    let areas = Areas::At(layout.scratch as u32 as i32);
    calls.into_iter().for_each(|call| push_call(&mut code, call, &symbols, areas, None));
    functions.intern(&code, &[])
}

/// Where a module's memory comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// It has its own, and exports it.
    Own,
    /// It is given one that several instances share.
    Shared,
}

/// The module with these functions, some of them exported by a name.
pub(crate) fn assemble(functions: &Functions, exported: &[(String, u32)], layout: &Layout, memory: Memory) -> Vec<u8> {
    debug_assert!(layout.pages <= PAGE);
    let (mut types, mut declared, mut bodies) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    let mut signatures: Vec<(Vec<ValType>, Vec<ValType>)> = Vec::new();
    for function in functions.list() {
        let signature = (function.params.clone(), function.results.clone());
        let known = signatures.iter().position(|other| *other == signature).unwrap_or_else(|| {
            types.ty().function(signature.0.iter().copied(), signature.1.iter().copied());
            signatures.push(signature);
            signatures.len() - 1
        });
        declared.function(known as u32);
        bodies.raw(&function.body);
    }
    let shared = memory == Memory::Shared;
    // How large a shared memory is depends on the number of threads.
    let maximum = if shared { PAGE } else { layout.pages };
    let ty = MemoryType { minimum: layout.pages, maximum: Some(maximum), memory64: false, shared, page_size_log2: None };
    let mut exports = ExportSection::new();
    let mut module = Module::new();
    module.section(&types);
    if shared {
        let mut imports = ImportSection::new();
        imports.import("env", "memory", EntityType::Memory(ty));
        module.section(&imports).section(&declared);
        let mut globals = GlobalSection::new();
        let scratch = ConstExpr::i32_const(layout.scratch as u32 as i32);
        globals.global(GlobalType { val_type: ValType::I32, mutable: true, shared: false }, &scratch);
        module.section(&globals);
    } else {
        let mut memories = MemorySection::new();
        memories.memory(ty);
        module.section(&declared).section(&memories);
        exports.export("memory", ExportKind::Memory, 0);
    }
    for (name, function) in exported {
        exports.export(name, ExportKind::Func, *function);
    }
    module.section(&exports).section(&bodies);
    module.finish()
}

/// Checks a module against what its target may use.
pub(crate) fn validate(bytes: &[u8], target: Target, memory: Memory) -> Result<(), String> {
    let mut features = WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::SIMD
        | WasmFeatures::FLOATS;
    if target == Target::Relaxed {
        features |= WasmFeatures::RELAXED_SIMD;
    }
    if memory == Memory::Shared {
        features |= WasmFeatures::THREADS;
    }
    Validator::new_with_features(features).validate_all(bytes).map(|_| ()).map_err(|error| error.to_string())
}
