//! One WGSL module: declarations, the helpers it needs, and the body.

use super::binding::Bindings;
use super::helpers::Helpers;
use mlp_bundle::loops::BufferId;
use mlp_bundle::plan::Plan;

/// WebGPU's greatest number of workgroups in one dimension.
const MAX_GROUPS: u64 = 65_535;

/// The device feature, and WGSL extension, that has subgroup operations; the language feature that has their numbers in a workgroup.
pub(super) const SUBGROUPS: &str = "subgroups";
pub(super) const SUBGROUP_ID: &str = "subgroup_id";

/// What a module gathers while its body is written.
#[derive(Default)]
pub(super) struct Module {
    pub(super) helpers: Helpers,
    /// True once a symbol is read.
    pub(super) symbols: bool,
}

/// A kernel's code with what its one entry point, `m`, is to be given.
pub(super) struct Emitted {
    /// Declarations and helpers.
    pub(super) head: String,
    /// The entry point, and functions made for this kernel.
    pub(super) body: String,
    /// The buffer and whether it is written, by binding number.
    pub(super) buffers: Vec<(BufferId, bool)>,
    /// Whether the symbols are bound after the buffers.
    pub(super) symbols: bool,
    pub(super) groups: [u32; 3],
    /// What sets it apart from the kernel that every device runs; empty for that one.
    pub(super) variant: &'static str,
    /// Features that it needs.
    pub(super) features: &'static [&'static str],
}

impl Emitted {
    /// The same, as a variant that needs such features.
    pub(super) fn variant(self, variant: &'static str, features: &'static [&'static str]) -> Emitted {
        Emitted { variant, features, ..self }
    }
}

impl Module {
    /// Puts the parts together.
    pub(super) fn finish(self, plan: &Plan, bindings: &Bindings, body: &str, groups: [u32; 3]) -> Emitted {
        let mut head = bindings.declarations();
        if self.symbols {
            let number = bindings.all().len();
            let words = plan.symbols.len().div_ceil(4);
            head.push_str(&format!("@group(0) @binding({number}) var<uniform> sy:array<vec4u,{words}>;\n"));
        }
        head.push_str(&self.helpers.source());
        let buffers = bindings.all().iter().map(|bound| (bound.buffer, bound.written)).collect();
        Emitted { head, body: body.to_owned(), buffers, symbols: self.symbols, groups, variant: "", features: &[] }
    }
}

/// A grid of at least that many workgroups, folded into two dimensions where one is too short.
pub(super) fn fold(groups: u64) -> Result<[u32; 3], String> {
    if groups <= MAX_GROUPS {
        return Ok([groups as u32, 1, 1]);
    }
    let rows = groups.div_ceil(MAX_GROUPS);
    if rows > MAX_GROUPS {
        return Err(format!("it has {groups} workgroups, more than a GPU runs in one dispatch"));
    }
    Ok([groups.div_ceil(rows) as u32, rows as u32, 1])
}
