//! GPU programs from a plan: one WGSL module for all kernels that differ in sizes alone, GPU buffers for the arena, and the dispatch list.
//!
//! - [`nest`] emits loop nests ([`team`] those that reduce much to few points), [`rows`] kernels over rows, [`contract`] convolutions and matrix products
//!   in several variants, [`depthwise`] depthwise convolutions; all take their
//!   expressions from [`expr`], with [`operator`]s, [`literal`]s and [`helpers`] in the subset of WGSL that naga and Tint read alike. [`attention`] has none.
//! - [`binding`] decides how a buffer is declared and how elements narrower than a word are read and written, [`place`] where accesses lie, [`slots`]
//!   which buffers share memory, [`share`] which kernels share a module, [`groups`] which contractions are one dispatch.
//!
//! What WebGPU cannot do is refused with the kernel's name: f64 anywhere, more than eight buffers in a kernel, buffers over 128 MiB.
//! 64-bit integers are pairs of words, exact in all operators. Integer contractions sum in f32 as long as every partial sum is below 2^24, then in
//! i32: exact, and no slower than the float kernels where a device has no packed dot product. A variant uses that one.

mod attention;
mod binding;
mod collapse;
mod contract;
mod depthwise;
mod epilogue;
mod expr;
mod groups;
mod helpers;
mod literal;
mod module;
mod nest;
mod operator;
mod place;
mod rows;
mod share;
mod slots;
mod team;
mod window;

use crate::CodegenError;
use binding::BINDING_ALIGN;
use groups::Groups;
use mlp_bundle::gpu::{Binding, Dispatch, ENABLE_SUBGROUPS, GpuProgram, ShaderModule, StateTransfer, Transfer, Variant};
use mlp_bundle::loops::{Body, BufferId, Kernel};
use mlp_bundle::plan::{Place, Plan, Port, State};
use module::{Emitted, SUBGROUPS};
use slots::{MAX_BYTES, Slots};

/// Storage buffers that every WebGPU device binds at once.
const MAX_BUFFERS: usize = 8;

/// Makes the GPU program of a plan. Every module is validated here.
pub fn emit(plan: &Plan) -> Result<GpuProgram, CodegenError> {
    let (plan, groups) = &groups::join(plan);
    let mut emitted = Vec::new();
    for (kernel, &groups) in plan.kernels.iter().zip(groups) {
        let refuse = |what: String| CodegenError::Unsupported { kernel: kernel.name.clone(), origin: kernel.origin.clone(), what };
        let made = emit_kernel(plan, kernel, groups).map_err(refuse)?;
        if !made[0].groups.contains(&0) {
            emitted.push((kernel, made));
        }
    }
    let touched: Vec<Vec<(BufferId, bool)>> = emitted.iter().map(|(_, made)| made[0].buffers.clone()).collect();
    let slots =
        Slots::assign(plan, &touched).map_err(|what| CodegenError::Unsupported { kernel: plan.name.clone(), origin: Vec::new(), what })?;
    let (modules, chosen) = modules(&emitted)?;
    let mut chosen = chosen.into_iter();
    let dispatches = emitted.iter().map(|(kernel, made)| {
        let mut variants: Vec<Variant> = Vec::new();
        for (variant, (module, params)) in made.iter().zip(&mut chosen) {
            variants.push(Variant { module, params, workgroups: variant.groups });
        }
        let Variant { module, params, workgroups } = variants.remove(0);
        Dispatch {
            kernel: kernel.name.clone(),
            module,
            entry: "m".to_owned(),
            bindings: bindings(plan, &slots, &made[0], !params.is_empty()),
            params,
            workgroups,
            variants,
        }
    });
    let dispatches = dispatches.collect();
    let whole = |buffer: BufferId| Transfer { buffer, slot: slots.of(buffer), offset: 0, bytes: plan.buffers[buffer].bytes() };
    let transfer = |port: &Port| whole(port.buffer);
    let kept = |state: &State| StateTransfer { from: whole(state.next), to: whole(state.buffer) };
    let uses_symbols = emitted.iter().any(|(_, made)| made[0].symbols);
    Ok(GpuProgram {
        modules,
        uniforms: if uses_symbols { plan.symbols.keys().collect() } else { Vec::new() },
        inputs: plan.inputs.iter().map(transfer).collect(),
        outputs: plan.outputs.iter().map(transfer).collect(),
        states: plan.states.iter().map(kept).collect(),
        dispatches,
        features: Vec::new(),
        slots: slots.sizes,
    })
}

/// What a kernel's variants have in the program: a module and its parameters, in the order of kernels and their variants.
type Chosen = Vec<(u32, Vec<i32>)>;

/// The modules of all variants of all kernels, shared where they can be.
fn modules(emitted: &[(&Kernel, Vec<Emitted>)]) -> Result<(Vec<ShaderModule>, Chosen), CodegenError> {
    let all: Vec<(&Kernel, &Emitted)> = emitted.iter().flat_map(|(kernel, made)| made.iter().map(|variant| (*kernel, variant))).collect();
    let kernels: Vec<&Emitted> = all.iter().map(|(_, made)| *made).collect();
    let mut modules = Vec::new();
    let mut chosen: Chosen = vec![(0, Vec::new()); all.len()];
    for shared in share::share(&kernels, &|wgsl, features| validate(wgsl, features).is_ok()) {
        let (kernel, made) = all[shared.kernels[0].0];
        if !shared.valid {
            validate(&shared.wgsl, made.features).map_err(|error| CodegenError::Internal(format!("kernel `{}`: {error}", kernel.name)))?;
        }
        for (n, params) in shared.kernels {
            chosen[n] = (modules.len() as u32, params);
        }
        let features = made.features.iter().map(|&feature| feature.to_owned()).collect();
        let wgsl = if made.features.contains(&SUBGROUPS) { format!("{ENABLE_SUBGROUPS}{}", shared.wgsl) } else { shared.wgsl };
        modules.push(ShaderModule { label: kernel.name.clone(), wgsl, variant: made.variant.to_owned(), features });
    }
    Ok((modules, chosen))
}

/// A kernel's code: what every device runs, then its variants, which bind the same buffers.
fn emit_kernel(plan: &Plan, kernel: &Kernel, groups: Groups) -> Result<Vec<Emitted>, String> {
    let made = match &kernel.body {
        Body::Nest(nest) => nest::emit(plan, nest)?,
        Body::Contract(contract) => contract::emit(plan, contract, groups)?,
        Body::Depthwise(depthwise) => vec![depthwise::emit(plan, depthwise)?],
        Body::Attention(attention) => vec![attention::emit(plan, attention)?],
        Body::Rows(rows) => rows::emit(plan, rows)?,
    };
    if made[0].buffers.len() > MAX_BUFFERS {
        return Err(format!(
            "it touches {} buffers; a GPU kernel has at most {MAX_BUFFERS}: let the planner split it",
            made[0].buffers.len()
        ));
    }
    for &(buffer, _) in &made[0].buffers {
        let (_, bytes) = bound(plan, buffer);
        if bytes > MAX_BYTES {
            return Err(format!("buffer `{}` takes {bytes} bytes; WebGPU binds at most {MAX_BYTES}", plan.buffers[buffer].name));
        }
    }
    let alike = |other: &Emitted| other.buffers == made[0].buffers && other.symbols == made[0].symbols;
    debug_assert!(made.iter().all(alike), "the variants of a kernel bind the same things in the same order");
    Ok(made)
}

/// What is bound of a buffer: from which byte of the weights, if it lies there, and how many bytes.
fn bound(plan: &Plan, buffer: BufferId) -> (u64, u64) {
    let bytes = plan.buffers[buffer].bytes();
    let Place::Weights { offset } = plan.buffers[buffer].place else { return (0, bytes) };
    // Quads may lie partly beyond the buffer, never beyond the weights' slack.
    let start = offset / BINDING_ALIGN * BINDING_ALIGN;
    let bytes = (offset - start + bytes).max(1).next_multiple_of(16);
    (start, bytes.min(plan.weights_bytes.next_multiple_of(4) - start))
}

fn bindings(plan: &Plan, slots: &Slots, made: &Emitted, params: bool) -> Vec<Binding> {
    let bind = |&(buffer, written): &(BufferId, bool)| match plan.buffers[buffer].place {
        Place::Arena { .. } if written => Binding::Write(slots.of(buffer)),
        Place::Arena { .. } => Binding::Read(slots.of(buffer)),
        Place::Weights { .. } => {
            let (offset, bytes) = bound(plan, buffer);
            Binding::Weights { offset, bytes }
        }
    };
    let symbols = made.symbols.then_some(Binding::Symbols);
    made.buffers.iter().map(bind).chain(symbols).chain(params.then_some(Binding::Params)).collect()
}

/// Parses and validates a module, without the directives for its features, against what every WebGPU device has: nothing optional, but 16-bit floats in packing
/// functions, and what the features add.
fn validate(wgsl: &str, features: &[&str]) -> Result<(), String> {
    use naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
    let module = naga::front::wgsl::parse_str(wgsl).map_err(|error| format!("{}\n{wgsl}", error.emit_to_string(wgsl)))?;
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    capabilities.set(Capabilities::SUBGROUP, features.contains(&SUBGROUPS));
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    validator.subgroup_stages(ShaderStages::COMPUTE).subgroup_operations(SubgroupOperationSet::all());
    validator.validate(&module).map(|_| ()).map_err(|error| format!("{}\n{wgsl}", error.emit_to_string(wgsl)))
}
