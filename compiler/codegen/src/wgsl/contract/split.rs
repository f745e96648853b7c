//! A contraction whose channels are split over a workgroup: sixteen parts, for a panel of sixteen channels of up to four pixels.
//!
//! Neighbouring invocations load neighbouring weights, and the parts are added up in workgroup memory.

use super::super::groups::Groups;
use super::super::module::{self, Emitted, Module};
use super::super::window::Unit;
use super::{DOT, Operands, dots, sign, taps};
use mlp_bundle::loops::Contract;
use mlp_bundle::plan::Plan;
use std::fmt::Write;

/// Invocations in a workgroup, and parts that the channels are split into.
const GROUP: u32 = 64;
const PARTS: u32 = GROUP / 4;

/// Pixels of a workgroup.
const PIXELS: u32 = 4;

/// The most outputs for which splitting their sums may pay, and the fewest products of one.
const MOST_OUTPUTS: u64 = 1 << 16;
const LEAST_PRODUCTS: u64 = 64;

/// Emits a contraction, where its outputs are few and their sums long.
pub(super) fn emit(plan: &Plan, contract: &Contract, groups: Groups) -> Result<Option<Emitted>, String> {
    let window = &contract.window;
    let outputs = window.outputs() * u64::from(groups.count);
    if outputs > MOST_OUTPUTS || window.taps() * u64::from(window.in_c) < LEAST_PRODUCTS {
        return Ok(None);
    }
    let operands = Operands::prepare(plan, contract, groups, Unit::Float)?;
    let pixels = window.pixels().min(PIXELS);
    let columns = window.pixels().div_ceil(pixels);
    let workgroups = module::fold(u64::from(columns) * u64::from(window.out_c.div_ceil(16)) * u64::from(groups.count))?;
    let mut module = Module::default();
    let guard = format!("a0>={}", window.pixels());
    let mut body = operands.epilogue.function(&operands.bindings, &mut module, (pixels > 1).then_some(guard.as_str()))?;
    body.push_str(&operands.weights_function(&mut module.helpers, contract));
    let mut writer = Writer { operands: &operands, module: &mut module, contract, pixels, out: String::new() };
    writer.main(workgroups, columns);
    body.push_str(&writer.out);
    let emitted = module.finish(plan, &operands.bindings, &body, workgroups);
    Ok(Some(emitted.variant("split", if operands.float { &[] } else { &[DOT] })))
}

struct Writer<'a> {
    operands: &'a Operands<'a>,
    module: &'a mut Module,
    contract: &'a Contract,
    pixels: u32,
    out: String,
}

impl Writer<'_> {
    fn main(&mut self, workgroups: [u32; 3], columns: u32) {
        let w = &self.contract.window;
        let sum = if self.operands.float { "vec4f" } else { "vec4i" };
        let linear = if workgroups[1] == 1 { "w.x".to_owned() } else { format!("(w.x+w.y*{}u)", workgroups[0]) };
        // Panels are numbered from group to group.
        let (panels, count) = (w.out_c.div_ceil(16), self.operands.groups.count);
        let (group, panel) = match self.operands.groups.several() {
            true => (format!("let y=g/{columns}/{panels};"), format!("(g/{columns}%{panels})")),
            false => (String::new(), format!("g/{columns}")),
        };
        let _ = writeln!(
            self.out,
            "var<workgroup> A:array<{sum},{}>;\n\
             @compute @workgroup_size({GROUP})\nfn m(@builtin(workgroup_id) w:vec3u,@builtin(local_invocation_id) l:vec3u){{\n\
             let t=i32(l.x);let g=i32({linear});let m=g%{columns}*{};{group}let q={panel}*4+t%4;\nvar j={panel}*{}+t%4+{};",
            GROUP * self.pixels,
            self.pixels,
            w.taps() * u64::from(self.operands.steps(w)) * 4,
            self.operands.first_weights(self.contract)
        );
        for p in 0..self.pixels {
            let _ = write!(self.out, "var s{p}={sum}();");
        }
        self.out.push_str(if self.operands.source.is_unsigned() { "var z0=vec4i();\n" } else { "\n" });
        self.taps();
        for p in 0..self.pixels {
            let value = sign::corrected(&self.operands.source, &format!("s{p}"), 0);
            let _ = writeln!(self.out, "A[t+{}]={value};", p * GROUP);
        }
        // A workgroup beyond the last panel or group, where the grid was folded, meets the others at the barrier and stores nothing.
        let inside = if count > 1 { format!("&&y<{count}") } else { String::new() };
        let _ = writeln!(
            self.out,
            "workgroupBarrier();\nif(t<{}&&q<{}{inside}){{let i=t/4*{GROUP}+t%4;var s=A[i];for(var k=1;k<{PARTS};k++){{s+=A[i+k*4];}}\nE(m+t/4,{}q,s);}}\n}}",
            4 * self.pixels,
            w.out_c.div_ceil(4),
            self.operands.groups.argument()
        );
    }

    fn taps(&mut self) {
        let (before, after, padded) = taps::around(self.operands, &self.contract.window, self.pixels);
        self.out.push_str(&before);
        self.steps_of_tap(padded);
        self.out.push_str(&after);
    }

    /// An invocation's part of one tap.
    fn steps_of_tap(&mut self, padded: bool) {
        let Operands { source, float, .. } = self.operands;
        let helpers = &mut self.module.helpers;
        let (weight, steps) = (self.operands.weight(self.contract, "j+k*4"), self.operands.steps(&self.contract.window));
        let _ = writeln!(self.out, "for(var k=t/4;k<{steps};k+={PARTS}){{let w0={weight};");
        if source.is_unsigned() {
            let _ = writeln!(self.out, "z0+={}({},w0);", dots(helpers), sign::ONES);
        }
        for p in 0..self.pixels {
            let input = self.operands.load(helpers, p, "k", padded);
            let _ = match float {
                true => writeln!(self.out, "s{p}+={input}*w0;"),
                false => writeln!(self.out, "s{p}+={}({input},w0);", dots(helpers)),
            };
        }
        self.out.push_str("}\n");
    }
}
