//! Functions and calls put together as a module.

use super::Target;
use super::code::{Arg, Functions};
use super::layout::PAGE;
use wasm_encoder::{
    CodeSection, ExportKind, ExportSection, Function, FunctionSection, Instruction, MemorySection, MemoryType, Module, TypeSection, ValType,
};
use wasmparser::{Validator, WasmFeatures};

/// One step of `run`.
pub(crate) struct Call {
    /// The function's index.
    pub(crate) function: u32,
    /// What it is passed.
    pub(crate) args: Vec<Arg>,
}

type Signature = (Vec<ValType>, Vec<ValType>);

/// The module with these functions, whose `run` takes the symbols and makes the calls of all kernels; with a function of its own for each kernel
/// where `steps` asks for them.
pub(crate) fn assemble(functions: &Functions, kernels: &[Vec<Call>], symbols: u32, pages: u64, steps: bool) -> Vec<u8> {
    debug_assert!(pages <= PAGE);
    let (mut types, mut declared, mut bodies) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    let mut signatures: Vec<Signature> = Vec::new();
    let mut type_of = |signature: Signature| {
        let known = signatures.iter().position(|other| *other == signature);
        known.unwrap_or_else(|| {
            types.ty().function(signature.0.iter().copied(), signature.1.iter().copied());
            signatures.push(signature);
            signatures.len() - 1
        }) as u32
    };
    for function in functions.list() {
        declared.function(type_of((function.params.clone(), function.results.clone())));
        bodies.raw(&function.body);
    }
    let entry = type_of((vec![ValType::I32; symbols as usize], Vec::new()));
    let first = functions.list().len() as u32;
    declared.function(entry);
    bodies.function(&run(kernels.iter().flatten()));
    let mut memories = MemorySection::new();
    memories.memory(MemoryType { minimum: pages, maximum: Some(pages), memory64: false, shared: false, page_size_log2: None });
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    exports.export("run", ExportKind::Func, first);
    for (calls, n) in kernels.iter().zip(0u32..).filter(|_| steps) {
        declared.function(entry);
        bodies.function(&run(calls));
        exports.export(&format!("step{n}"), ExportKind::Func, first + 1 + n);
    }
    let mut module = Module::new();
    module.section(&types).section(&declared).section(&memories).section(&exports).section(&bodies);
    module.finish()
}

fn run<'c>(calls: impl IntoIterator<Item = &'c Call>) -> Function {
    let mut function = Function::new([]);
    for call in calls {
        for arg in &call.args {
            function.instruction(&match *arg {
                Arg::I32(value) => Instruction::I32Const(value),
                Arg::Symbol(symbol) => Instruction::LocalGet(symbol),
            });
        }
        function.instruction(&Instruction::Call(call.function));
    }
    function.instruction(&Instruction::End);
    function
}

/// Checks a module against what its target may use.
pub(crate) fn validate(bytes: &[u8], target: Target) -> Result<(), String> {
    let base = WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::SIMD
        | WasmFeatures::FLOATS;
    let features = if target == Target::Relaxed { base | WasmFeatures::RELAXED_SIMD } else { base };
    Validator::new_with_features(features).validate_all(bytes).map(|_| ()).map_err(|error| error.to_string())
}
