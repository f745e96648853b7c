//! WebAssembly from a plan: one module that imports nothing and computes one pipeline.
//!
//! Every kernel becomes a function; kernels that differ only in addresses and sizes share one. `run` calls them in order. See
//! [`mlp_bundle::manifest::WasmModules`] for what a host has to do.

mod address;
mod attention;
mod checks;
mod code;
mod contract;
mod eval;
mod layout;
mod math;
mod math_f64;
mod memory;
mod module;
mod nest;
mod scalar;
mod vector;

use crate::CodegenError;
use layout::Layout;
use math::Library;
use mlp_bundle::loops::{Arithmetic, Body, Kernel, Window};
use mlp_bundle::plan::Plan;
use module::Call;

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

fn emit_with(plan: &Plan, target: Target, steps: bool) -> Result<WasmModule, CodegenError> {
    mlp_bundle::plan::verify::verify(plan).map_err(|error| CodegenError::Internal(error.to_string()))?;
    let unsupported =
        |kernel: &Kernel, what: String| CodegenError::Unsupported { kernel: kernel.name.clone(), origin: kernel.origin.clone(), what };
    let layout = Layout::of(plan, padding(plan), scratch(plan)).map_err(|what| CodegenError::Unsupported {
        kernel: plan.name.clone(),
        origin: Vec::new(),
        what,
    })?;
    let mut library = Library { relaxed: target == Target::Relaxed, ..Library::default() };
    let mut kernels = Vec::new();
    for kernel in &plan.kernels {
        let mut calls = Vec::new();
        emit_kernel(plan, &layout, &mut library, kernel, &mut calls).map_err(|what| unsupported(kernel, what))?;
        kernels.push(calls);
    }
    let bytes = module::assemble(&library.functions, &kernels, plan.symbols.len() as u32, layout.pages, steps);
    module::validate(&bytes, target).map_err(CodegenError::Internal)?;
    Ok(WasmModule { bytes, memory_pages: layout.pages as u32, weights_offset: layout.weights, arena_offset: layout.arena })
}

fn emit_kernel(plan: &Plan, layout: &Layout, library: &mut Library, kernel: &Kernel, calls: &mut Vec<Call>) -> Result<(), String> {
    match &kernel.body {
        Body::Nest(nest) => {
            let code = nest::emit(plan, layout, library, nest)?;
            calls.push(Call { function: library.functions.intern(&code, &[]), args: code.args().to_vec() });
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
            calls.push(Call { function: library.functions.intern(&code, &[]), args: code.args().to_vec() });
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
        Body::Contract(contract) => contract::scratch(contract),
        Body::Attention(attention) => attention::scratch(attention),
        Body::Nest(_) | Body::Depthwise(_) | Body::Rows(_) => 0,
    };
    plan.kernels.iter().map(of).max().unwrap_or(0)
}
