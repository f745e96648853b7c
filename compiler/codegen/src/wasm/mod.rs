//! WebAssembly from a plan: one module that imports nothing and computes one pipeline. A form for several threads imports the memory that they share.
//!
//! Every kernel becomes a function; kernels that differ only in addresses and sizes share one. `run` calls them in order. See
//! [`mlp_bundle::manifest::WasmModules`] for what a host has to do.

mod address;
mod attention;
mod checks;
mod code;
mod contract;
mod cut;
mod eval;
mod layout;
mod math;
mod math_f64;
mod memory;
mod module;
mod nest;
mod scalar;
mod threads;
mod vector;

use crate::CodegenError;
pub use cut::Sharing;
use layout::Layout;
use math::Library;
use mlp_bundle::loops::{Arithmetic, Body, Kernel, Window};
use mlp_bundle::plan::Plan;
use module::{Call, Memory};

/// What a module may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// WebAssembly 3.0 with fixed-width SIMD: every current browser.
    Simd128,
    /// The same and relaxed SIMD: fused multiply-add.
    Relaxed,
}

/// A finished module and its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WasmModule {
    /// The module's bytes, validated.
    pub bytes: Vec<u8>,
    /// Pages of 64 KiB.
    pub memory_pages: u32,
    /// First byte of the weights in memory.
    pub weights_offset: u64,
    /// First byte of the arena in memory.
    pub arena_offset: u64,
    /// Pages that each further thread needs; 0 of a module for one thread.
    pub helper_pages: u32,
}

/// Emits the module of a plan for a target.
pub fn emit(plan: &Plan, target: Target) -> Result<WasmModule, CodegenError> {
    emit_with(plan, target, false)
}

/// Emits the same code with more exports, for a profiler: `step0` is the plan's first kernel, and so on. Each takes the symbols, and all of them in order do
/// what `run` does.
pub fn emit_steps(plan: &Plan, target: Target) -> Result<WasmModule, CodegenError> {
    emit_with(plan, target, true)
}

/// Emits a module for several threads, which computes the same bits as that of [`emit`] for the same target; none where threads do not pay. See
/// [`mlp_bundle::manifest::WasmThreads`] for what a host has to do.
pub fn emit_threads(plan: &Plan, target: Target, sharing: Sharing) -> Result<Option<WasmModule>, CodegenError> {
    mlp_bundle::plan::verify::verify(plan).map_err(|error| CodegenError::Internal(error.to_string()))?;
    let Some(parts) = cut::parts(plan, sharing) else { return Ok(None) };
    let symbols = plan.symbols.len() as u32;
    let layout = layout(plan, Some(threads::control_bytes(symbols.into())))?;
    let mut library = Library { relaxed: target == Target::Relaxed, ..Library::default() };
    let kernels = emit_kernels(plan, &layout, &mut library, Some(&parts))?;
    let steps: Vec<threads::Step> = kernels.into_iter().zip(parts).map(|(calls, parts)| threads::Step::new(calls, parts)).collect();
    let exports = threads::functions(&mut library, &layout, &steps, symbols).map_err(|what| refused(plan, what))?;
    finish(&library, &exports, &layout, target, Memory::Shared).map(Some)
}

fn emit_with(plan: &Plan, target: Target, steps: bool) -> Result<WasmModule, CodegenError> {
    mlp_bundle::plan::verify::verify(plan).map_err(|error| CodegenError::Internal(error.to_string()))?;
    let layout = layout(plan, None)?;
    let mut library = Library { relaxed: target == Target::Relaxed, ..Library::default() };
    let kernels = emit_kernels(plan, &layout, &mut library, None)?;
    let symbols = plan.symbols.len() as u32;
    let mut exports = vec![("run".to_owned(), module::runner(&mut library.functions, &layout, symbols, kernels.iter().flatten()))];
    for (n, calls) in kernels.iter().enumerate().filter(|_| steps) {
        exports.push((format!("step{n}"), module::runner(&mut library.functions, &layout, symbols, calls)));
    }
    finish(&library, &exports, &layout, target, Memory::Own)
}

/// Lays memory out, with so many bytes for threads to agree by.
fn layout(plan: &Plan, control: Option<u64>) -> Result<Layout, CodegenError> {
    Layout::of(plan, padding(plan), scratch(plan), control).map_err(|what| refused(plan, what))
}

/// The calls of each kernel; `parts` says how many parts it should have.
fn emit_kernels(plan: &Plan, layout: &Layout, library: &mut Library, parts: Option<&[u32]>) -> Result<Vec<Vec<Call>>, CodegenError> {
    let unsupported =
        |kernel: &Kernel, what: String| CodegenError::Unsupported { kernel: kernel.name.clone(), origin: kernel.origin.clone(), what };
    let mut kernels = Vec::new();
    for (n, kernel) in plan.kernels.iter().enumerate() {
        library.shared = parts.is_some_and(|parts| parts[n] > 1);
        let mut calls = Vec::new();
        emit_kernel(plan, layout, library, kernel, &mut calls).map_err(|what| unsupported(kernel, what))?;
        kernels.push(calls);
    }
    Ok(kernels)
}

fn refused(plan: &Plan, what: String) -> CodegenError {
    CodegenError::Unsupported { kernel: plan.name.clone(), origin: Vec::new(), what }
}

fn finish(
    library: &Library,
    exports: &[(String, u32)],
    layout: &Layout,
    target: Target,
    memory: Memory,
) -> Result<WasmModule, CodegenError> {
    let bytes = module::assemble(&library.functions, exports, layout, memory);
    module::validate(&bytes, target, memory).map_err(CodegenError::Internal)?;
    Ok(WasmModule {
        bytes,
        memory_pages: layout.pages as u32,
        weights_offset: layout.weights,
        arena_offset: layout.arena,
        helper_pages: layout.helper_pages as u32,
    })
}

fn emit_kernel(plan: &Plan, layout: &Layout, library: &mut Library, kernel: &Kernel, calls: &mut Vec<Call>) -> Result<(), String> {
    match &kernel.body {
        Body::Nest(nest) => {
            let code = nest::emit(plan, layout, library, nest)?;
            calls.push(Call::new(library, &code));
            Ok(())
        }
        Body::Contract(contract) => {
            calls.extend(contract::emit_dense(plan, layout, library, contract)?);
            Ok(())
        }
        Body::Attention(attention) => {
            calls.push(attention::emit(layout, library, attention)?);
            Ok(())
        }
        Body::Rows(rows) => {
            let code = nest::emit_rows(plan, layout, library, rows)?;
            calls.push(Call::new(library, &code));
            Ok(())
        }
        Body::Depthwise(depthwise) => {
            calls.extend(contract::emit_depthwise(plan, layout, library, depthwise)?);
            Ok(())
        }
    }
}

/// The longest run of channels that some kernel reads as padding, in bytes.
fn padding(plan: &Plan) -> u64 {
    let bytes = |window: &Window, input| {
        let size = plan.buffers[input].dtype.size() as u64;
        if contract::reaches_outside(window) { u64::from(window.in_c) * size } else { 0 }
    };
    let of = |kernel: &Kernel| match &kernel.body {
        Body::Nest(_) | Body::Attention(_) | Body::Rows(_) => 0,
        // Bytes are widened first, and their padding with them.
        Body::Contract(contract) if contract.arithmetic != Arithmetic::F32 => 0,
        Body::Contract(contract) => bytes(&contract.window, contract.input),
        Body::Depthwise(depthwise) => bytes(&depthwise.window, depthwise.input),
    };
    plan.kernels.iter().map(of).max().unwrap_or(0)
}

/// The most bytes of scratch that some kernel uses.
fn scratch(plan: &Plan) -> u64 {
    let of = |kernel: &Kernel| match &kernel.body {
        Body::Contract(contract) => contract::scratch(plan, contract),
        Body::Attention(attention) => attention::scratch(attention),
        Body::Nest(_) | Body::Depthwise(_) | Body::Rows(_) => 0,
    };
    plan.kernels.iter().map(of).max().unwrap_or(0)
}
