//! The GPU program of a plan: WGSL modules, buffers and the dispatch list that browsers (WebGPU) and native hosts (wgpu) replay alike.
//!
//! Buffers of the plan are placed into *slots*, one GPU buffer each, because WebGPU forbids one buffer to be read and written in one dispatch. All weights lie in one
//! read-only buffer, uploaded as the weights file is. A replay creates every pipeline asynchronously, makes the bind groups once, and
//! encodes each run as one command buffer: uploads, dispatches, copies of the outputs to one readback buffer.
//!
//! A dispatch may have *variants*: other ways to compute the same, of which the device is asked by a timed probe. All of them bind the same buffers.

use crate::loops::{BufferId, SymbolId};
use serde::{Deserialize, Serialize};

/// The GPU form of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GpuProgram {
    /// WGSL sources; an entry point is named in each dispatch.
    pub modules: Vec<ShaderModule>,
    /// Sizes in bytes of the storage buffers that are read and written; a multiple of 16 each.
    pub slots: Vec<u64>,
    /// Symbols whose values are written, as `u32`s in this order, to the uniform buffer before a run.
    pub uniforms: Vec<SymbolId>,
    /// Where each input is uploaded.
    pub inputs: Vec<Transfer>,
    /// Where each output is read.
    pub outputs: Vec<Transfer>,
    /// What is copied from buffer to buffer after the dispatches of a run, so that the next run reads it; zeros before the first one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<StateTransfer>,
    /// The dispatches, in order.
    pub dispatches: Vec<Dispatch>,
    /// WGSL or device features that must be there, such as `packed_4x8_integer_dot_product`, `subgroups`.
    pub features: Vec<String>,
}

/// One WGSL source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShaderModule {
    /// A readable label.
    pub label: String,
    /// The source.
    pub wgsl: String,
    /// Which variant of its kernels it is: `tiled`, `split`, `dot`, `team`, `subgroup`; empty where it is what every device runs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// WGSL or device features that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

/// An input's or output's place, in the order of the plan's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// The plan's buffer.
    pub buffer: BufferId,
    /// The slot.
    pub slot: u32,
    /// Bytes from the slot's start.
    pub offset: u64,
    /// Bytes; the transfer itself is rounded up to a multiple of 4.
    pub bytes: u64,
}

/// A state's place, in the order of the plan's states. Two slots, as WebGPU copies from one buffer to another alone; no dispatch binds the slot that a state lies in for
/// writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateTransfer {
    /// What a run leaves.
    pub from: Transfer,
    /// Where the next one reads it.
    pub to: Transfer,
}

/// One dispatch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispatch {
    /// The kernel's name in the plan.
    pub kernel: String,
    /// The index of its module.
    pub module: u32,
    /// The entry point.
    pub entry: String,
    /// What stands at `@group(0) @binding(i)`, in order.
    pub bindings: Vec<Binding>,
    /// Whole numbers that the module is given as a uniform struct of `i32`s; where there are any, [`Binding::Params`] is bound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<i32>,
    /// Workgroups in x, y and z, each at most 65535.
    pub workgroups: [u32; 3],
    /// Other ways to compute the same, for devices that have what their modules need; the one that fits a GPU best by the kernel's shape first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
}

/// Another way to compute what a dispatch does. Its entry point and the buffers bound are the dispatch's; [`Binding::Params`] stands last where it has parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// The index of its module.
    pub module: u32,
    /// Its parameters, as those of a dispatch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<i32>,
    /// Workgroups in x, y and z, each at most 65535.
    pub workgroups: [u32; 3],
}

impl Dispatch {
    /// The variant with that number as a dispatch of its own; number 0 is what every device runs.
    pub fn variant(&self, number: usize) -> Option<Dispatch> {
        let own = Dispatch { variants: Vec::new(), ..self.clone() };
        let Some(index) = number.checked_sub(1) else { return Some(own) };
        let Variant { module, params, workgroups } = self.variants.get(index)?.clone();
        let mut bindings: Vec<Binding> = self.bindings.iter().copied().filter(|binding| *binding != Binding::Params).collect();
        if !params.is_empty() {
            bindings.push(Binding::Params);
        }
        Some(Dispatch { module, params, workgroups, bindings, ..own })
    }
}

/// What one binding is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Binding {
    /// A whole slot as `var<storage, read>`.
    Read(u32),
    /// A whole slot as `var<storage, read_write>`.
    Write(u32),
    /// The weights as `var<storage, read>`; 256-byte aligned range in bytes.
    Weights {
        /// First byte, a multiple of 256.
        offset: u64,
        /// Bytes, a multiple of 4.
        bytes: u64,
    },
    /// The uniform buffer of the symbols.
    Symbols,
    /// A uniform buffer with the dispatch's own parameters.
    Params,
}

/// The greatest number of workgroups in a dimension, and of dispatches, that a program may ask for.
const MAX_WORKGROUPS: u32 = 65_535;
const MAX_DISPATCHES: usize = 100_000;

/// The most variants of a dispatch.
const MAX_VARIANTS: usize = 15;

/// What a module that uses subgroups begins with, as WGSL asks; a compiler that has them without being asked may not know it. Control flow around their
/// operations is the same for all of a subgroup, but not in a way that browsers' analyses follow: they lose it where invocations count themselves.
pub const ENABLE_SUBGROUPS: &str = "enable subgroups;diagnostic(off,subgroup_uniformity);\n";

/// Bytes from one dispatch's parameters to the next one's in a runtime's buffer: WebGPU's alignment of a uniform binding.
pub const PARAMS_STRIDE: usize = 256;

impl GpuProgram {
    /// Checks that the program is in the limits of WebGPU and matches the plan: slots, bindings, transfers, workgroups. Shaders are
    /// checked by whoever compiles them, and cannot leave their bindings.
    pub fn verify(&self, plan: &crate::plan::Plan) -> Result<(), String> {
        let total = self.slots.iter().try_fold(0u64, |total, &bytes| total.checked_add(bytes));
        let fits = total.is_some_and(|total| total <= crate::plan::verify::MAX_BYTES);
        if !fits || self.slots.iter().any(|bytes| *bytes == 0 || bytes % 16 != 0) {
            return Err("its slots are too large or not a multiple of 16 bytes".into());
        }
        if self.uniforms.iter().any(|symbol| plan.symbols.get(*symbol).is_none()) {
            return Err("it asks for a symbol that the plan has not".into());
        }
        transfers_fit("input", &self.inputs, &plan.inputs, self, plan)?;
        transfers_fit("output", &self.outputs, &plan.outputs, self, plan)?;
        self.states_fit(plan)?;
        if self.dispatches.len() > MAX_DISPATCHES {
            return Err(format!("it has more than {MAX_DISPATCHES} dispatches"));
        }
        for dispatch in &self.dispatches {
            if dispatch.variants.len() > MAX_VARIANTS {
                return Err(format!("dispatch `{}`: it has more than {MAX_VARIANTS} variants", dispatch.kernel));
            }
            (0..).map_while(|number| dispatch.variant(number)).try_for_each(|dispatch| self.verify_dispatch(plan, &dispatch))?;
        }
        Ok(())
    }

    /// Checks that states lie in slots that no dispatch writes to, and are copied from others.
    fn states_fit(&self, plan: &crate::plan::Plan) -> Result<(), String> {
        if self.states.len() != plan.states.len() {
            return Err(format!("it has {} states, the plan {}", self.states.len(), plan.states.len()));
        }
        for (transfer, state) in self.states.iter().zip(&plan.states) {
            let (from, to) = (&transfer.from, &transfer.to);
            if !self.holds(from, state.next, plan) || !self.holds(to, state.buffer, plan) {
                return Err(format!("state `{}` does not fit its slots", state.name));
            }
            let written = self.dispatches.iter().any(|dispatch| dispatch.bindings.contains(&Binding::Write(to.slot)));
            let shared =
                self.inputs.iter().any(|input| input.slot == to.slot) || self.states.iter().any(|other| other.from.slot == to.slot);
            if written || shared {
                return Err(format!("something else is written to the slot of state `{}`", state.name));
            }
        }
        Ok(())
    }

    /// Whether a transfer moves that buffer of the plan, whole, inside its slot.
    fn holds(&self, transfer: &Transfer, buffer: BufferId, plan: &crate::plan::Plan) -> bool {
        let room = self.slots.get(transfer.slot as usize).copied().unwrap_or(0);
        let end = transfer.offset.checked_add(transfer.bytes.next_multiple_of(4));
        let same = transfer.buffer == buffer && plan.buffers.get(buffer).is_some_and(|known| known.bytes() == transfer.bytes);
        same && transfer.offset.is_multiple_of(4) && end.is_some_and(|end| end <= room)
    }

    fn verify_dispatch(&self, plan: &crate::plan::Plan, dispatch: &Dispatch) -> Result<(), String> {
        let error = |reason: &str| Err(format!("dispatch `{}`: {reason}", dispatch.kernel));
        if dispatch.module as usize >= self.modules.len() {
            return error("it has no shader");
        }
        if dispatch.workgroups.iter().any(|&count| count == 0 || count > MAX_WORKGROUPS) {
            return error("a count of workgroups is 0 or over 65535");
        }
        if dispatch.params.len() * 4 > PARAMS_STRIDE {
            return error("it has more than 64 parameters");
        }
        let bound = |binding: &Binding| match *binding {
            Binding::Read(slot) | Binding::Write(slot) => (slot as usize) < self.slots.len(),
            Binding::Weights { offset, bytes } => {
                let end = offset.checked_add(bytes);
                offset % 256 == 0 && bytes % 4 == 0 && bytes > 0 && end.is_some_and(|end| end <= plan.weights_bytes.next_multiple_of(4))
            }
            Binding::Symbols => !self.uniforms.is_empty(),
            Binding::Params => !dispatch.params.is_empty(),
        };
        if dispatch.bindings.iter().all(bound) { Ok(()) } else { error("a binding leaves its buffer") }
    }

    /// The same program with nothing to choose: each dispatch is its variant of that name, where it has one, or what every device runs.
    pub fn forced(&self, variant: &str) -> GpuProgram {
        let named = |module: u32| self.modules.get(module as usize).is_some_and(|module| module.variant == variant);
        let choose = |dispatch: &Dispatch| {
            let found = dispatch.variants.iter().position(|other| named(other.module));
            dispatch.variant(found.map_or(0, |index| index + 1)).unwrap_or_else(|| dispatch.clone())
        };
        let mut program = GpuProgram { dispatches: self.dispatches.iter().map(choose).collect(), ..self.clone() };
        for dispatch in &program.dispatches {
            let features = self.modules.get(dispatch.module as usize).map_or(&[][..], |module| &module.features);
            for feature in features {
                if !program.features.contains(feature) {
                    program.features.push(feature.clone());
                }
            }
        }
        program
    }

    /// The names of all variants that some dispatch has.
    pub fn variants(&self) -> std::collections::BTreeSet<&str> {
        let modules = self.dispatches.iter().flat_map(|dispatch| &dispatch.variants).map(|variant| variant.module as usize);
        modules.filter_map(|module| self.modules.get(module)).map(|module| module.variant.as_str()).collect()
    }
}

fn transfers_fit(
    kind: &str,
    transfers: &[Transfer],
    ports: &[crate::plan::Port],
    program: &GpuProgram,
    plan: &crate::plan::Plan,
) -> Result<(), String> {
    if transfers.len() != ports.len() {
        return Err(format!("it has {} {kind}s, the plan {}", transfers.len(), ports.len()));
    }
    for (transfer, port) in transfers.iter().zip(ports) {
        if !program.holds(transfer, port.buffer, plan) {
            return Err(format!("{kind} `{}` does not fit its slot", port.name));
        }
    }
    Ok(())
}
