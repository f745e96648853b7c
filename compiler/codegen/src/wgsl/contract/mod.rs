//! Convolutions and matrix products over packed weights, as an implicit matrix product, in several variants of which the device that runs them chooses.
//!
//! - [`direct`]: an invocation computes a tile in registers, and shares nothing with others: what devices without fast workgroup memory want, and so the
//!   kernel that is there in any case. A variant of it multiplies bytes by packed dot products.
//! - [`tiled`]: a workgroup computes a larger tile, whose pixels and weights it loads together into workgroup memory, block by block.
//! - [`split`]: a workgroup computes a few outputs, each invocation over a part of the channels, and adds the parts up in workgroup memory: for
//!   products whose outputs alone would not occupy a device.
//! - [`subgroup`]: a workgroup computes a few pixels of many channels; invocations of a subgroup hand each other the input, without workgroup memory.
//!
//! Integers come out the same bits in all of them; floats are summed in other orders.

mod direct;
mod sign;
mod split;
mod subgroup;
mod taps;
mod tiled;
mod weights;

use super::binding::{Bindings, Need};
use super::epilogue::{self, Prepared};
use super::groups::Groups;
use super::helpers::Helpers;
use super::module::Emitted;
use super::window::{Source, Unit};
use mlp_bundle::dtype::DType;
use mlp_bundle::loops::{Contract, Window};
use mlp_bundle::plan::Plan;

/// The WGSL language feature that has `dot4I8Packed`.
const DOT: &str = "packed_4x8_integer_dot_product";

/// Emits a contraction, or as many as there are groups of: the kernel that every device runs, then what others may run faster, the one that fits a GPU best by its shape first.
pub(super) fn emit(plan: &Plan, contract: &Contract, groups: Groups) -> Result<Vec<Emitted>, String> {
    let mut kernels = vec![direct::emit(plan, contract, groups, false)?];
    let float = plan.buffers[contract.input].dtype == DType::F32;
    let mut others = Vec::new();
    others.extend(tiled::emit(plan, contract, groups)?);
    others.extend(split::emit(plan, contract, groups)?);
    // Few workgroups leave a device idle, however well each of them does.
    if others.len() == 2 && tiled::workgroups(&contract.window, groups) < tiled::ENOUGH {
        others.reverse();
    }
    kernels.append(&mut others);
    if !float {
        kernels.push(direct::emit(plan, contract, groups, true)?);
    }
    kernels.extend(subgroup::emit(plan, contract, groups)?);
    Ok(kernels)
}

/// What a contraction reads and writes, each variant in its own way, and in the same order.
struct Operands<'a> {
    bindings: Bindings,
    source: Source,
    float: bool,
    /// Whether weights of floats are kept in fewer bits.
    narrow: bool,
    groups: Groups,
    epilogue: Prepared<'a>,
}

impl<'a> Operands<'a> {
    fn prepare(plan: &Plan, contract: &'a Contract, groups: Groups, unit: Unit) -> Result<Operands<'a>, String> {
        let mut bindings = Bindings::default();
        let source = Source::prepare(plan, (&contract.window, groups.channels), contract.arithmetic, contract.input, unit, &mut bindings)?;
        let float = source.dtype == DType::F32;
        bindings.note(plan, contract.weights, if float { Need::Quad } else { Need::Sixteen }, false)?;
        if let Some(scales) = &contract.scales {
            bindings.note(plan, scales.buffer, Need::Quad, false)?;
        }
        let total = if float { DType::F32 } else { DType::I32 };
        let epilogue = epilogue::prepare(plan, &contract.epilogue, (&contract.window, groups.count), total, &mut bindings)?;
        Ok(Operands { bindings, source, float, narrow: plan.stored(contract).is_some(), groups, epilogue })
    }

    /// Quads, or sixteen bytes, of packed weights before the group's first one.
    fn first_weights(&self, contract: &Contract) -> String {
        let shift = self.bindings.get(contract.weights).shift;
        self.groups.place(if self.float { weights::quads(contract, shift) } else { shift / 16 }, self.groups.weights)
    }

    /// The function that [`Operands::weight`] calls, where weights are kept in fewer bits.
    fn weights_function(&self, helpers: &mut Helpers, contract: &Contract) -> String {
        if self.narrow { weights::function(&self.bindings, helpers, contract) } else { String::new() }
    }

    /// A quad of weights of floats, or sixteen bytes of weights.
    fn weight(&self, contract: &Contract, index: &str) -> String {
        if self.narrow { format!("W({index})") } else { format!("{}[{index}]", self.bindings.name(contract.weights)) }
    }

    /// Units of the input from one pixel to the next, and to the group's first channel of the first one.
    fn layout(&self, window: &Window) -> (u32, String) {
        let (pixel, start) = self.source.layout(&self.bindings, window);
        (pixel, self.groups.place(start, u64::from(self.groups.channels / self.source.unit())))
    }

    /// Channels, or words of four channels, of a tap.
    fn steps(&self, window: &Window) -> u32 {
        if self.float { window.in_c } else { window.in_c.div_ceil(4) }
    }

    /// The input of the pixel with number `p` at a step, a name, of a tap: what weights are multiplied with.
    fn load(&self, helpers: &mut Helpers, p: u32, step: &str, padded: bool) -> String {
        let Operands { bindings, source, float, .. } = self;
        let index = if *float || source.aligned { format!("(i{p}+{step})") } else { format!("(i{p}+{step}*4)") };
        let (load, padding) = match float {
            true => (bindings.read(source.buffer, &index), "0f".to_owned()),
            false => (source.word(bindings, helpers, &index), source.padding_word()),
        };
        let load = if padded { format!("select({padding},{load},k{p})") } else { load };
        if *float { load } else { sign::word(source, &load) }
    }
}

/// The helper that multiplies a word of four channels with those of four outputs.
fn dots(helpers: &mut Helpers) -> &'static str {
    helpers.need("dt")
}
