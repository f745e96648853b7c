//! The GPU program of a plan: WGSL modules, buffers and the dispatch list that browsers (WebGPU) and native hosts (wgpu) replay alike.
//!
//! Buffers of the plan are placed into *slots*, one GPU buffer each, because WebGPU forbids one buffer to be read and written in one dispatch. All weights lie in one
//! read-only buffer, uploaded as the weights file is. A replay creates every pipeline asynchronously, makes the bind groups once, and
//! encodes each run as one command buffer: uploads, dispatches, copies of the outputs to one readback buffer.

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
    /// Workgroups in x, y and z, each at most 65535.
    pub workgroups: [u32; 3],
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
}
