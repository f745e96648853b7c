//! A contraction whose pixels a subgroup shares: an invocation computes a quad of channels of eight pixels, loads a part of their input, and hands it to the others.
//!
//! Nothing lies in workgroup memory, and nobody waits. Subgroups may have any size, so invocations count themselves. Their numbers have no gaps on any device
//! that is known; WGSL does not promise it, so where they have some each invocation loads everything itself.

use super::super::groups::Groups;
use super::super::module::{self, Emitted, Module, SUBGROUPS};
use super::super::window::Unit;
use super::{DOT, Operands, dots, sign, taps};
use mlp_bundle::loops::Contract;
use mlp_bundle::plan::Plan;
use std::fmt::Write;

/// Invocations in a workgroup: a subgroup of most GPUs.
const GROUP: u32 = 32;

/// Pixels of a workgroup.
const PIXELS: u32 = 8;

/// The fewest quads of channels that occupy a workgroup, and products of one output that are worth handing on.
const LEAST_QUADS: u32 = GROUP;
const LEAST_PRODUCTS: u64 = 64;

/// Emits a contraction, where it has channels for whole subgroups.
pub(super) fn emit(plan: &Plan, contract: &Contract, groups: Groups) -> Result<Option<Emitted>, String> {
    let window = &contract.window;
    let quads = window.out_c.div_ceil(4);
    if quads < LEAST_QUADS || window.taps() * u64::from(window.in_c) < LEAST_PRODUCTS {
        return Ok(None);
    }
    let operands = Operands::prepare(plan, contract, groups, Unit::Float)?;
    let pixels = window.pixels().min(PIXELS);
    let (columns, across) = (window.pixels().div_ceil(pixels), quads.div_ceil(GROUP));
    let workgroups = module::fold(u64::from(columns) * u64::from(across) * u64::from(groups.count))?;
    let mut module = Module::default();
    let guard = format!("a0>={}", window.pixels());
    let mut body = operands.epilogue.function(&operands.bindings, &mut module, (pixels > 1).then_some(guard.as_str()))?;
    body.push_str(&operands.weights_function(&mut module.helpers, contract));
    let mut writer = Writer { operands: &operands, module: &mut module, contract, pixels, out: String::new() };
    writer.main(workgroups, columns, across);
    body.push_str(&writer.out);
    let emitted = module.finish(plan, &operands.bindings, &body, workgroups);
    Ok(Some(emitted.variant("subgroup", if operands.float { &[SUBGROUPS] } else { &[SUBGROUPS, DOT] })))
}

struct Writer<'a> {
    operands: &'a Operands<'a>,
    module: &'a mut Module,
    contract: &'a Contract,
    pixels: u32,
    out: String,
}

impl Writer<'_> {
    fn main(&mut self, workgroups: [u32; 3], columns: u32, across: u32) {
        let w = &self.contract.window;
        let quads = w.out_c.div_ceil(4);
        let sum = if self.operands.float { "vec4f" } else { "vec4i" };
        let linear = if workgroups[1] == 1 { "w.x".to_owned() } else { format!("(w.x+w.y*{}u)", workgroups[0]) };
        let groups = self.operands.groups;
        let (group, tile, inside) = match groups.several() {
            true => (format!("let y=g/{columns}/{across};"), format!("(g/{columns}%{across})"), format!("&&y<{}", groups.count)),
            false => (String::new(), format!("g/{columns}"), String::new()),
        };
        // Quads beyond the last one are computed as that one.
        let _ = writeln!(
            self.out,
            "@compute @workgroup_size({GROUP})\nfn m(@builtin(workgroup_id) w:vec3u,@builtin(local_invocation_id) l:vec3u,\
             @builtin(subgroup_invocation_id) id:u32){{\n\
             let f=i32(id);let n=subgroupAdd(1);let b=subgroupAll(f==subgroupExclusiveAdd(1));\n\
             let g=i32({linear});let m=g%{columns}*{};{group}let q={tile}*{GROUP}+i32(l.x);let c=min(q,{});\nvar j=(c>>2u)*{}+(c&3)+{};",
            self.pixels,
            quads - 1,
            w.taps() * u64::from(self.operands.steps(w)) * 4,
            self.operands.first_weights(self.contract)
        );
        for p in 0..self.pixels {
            let _ = write!(self.out, "var s{p}={sum}();");
        }
        self.out.push_str(if self.operands.source.is_unsigned() { "var z0=vec4i();\n" } else { "\n" });
        self.taps();
        let sums: Vec<String> = (0..self.pixels).map(|p| sign::corrected(&self.operands.source, &format!("s{p}"), 0)).collect();
        let y = groups.argument();
        let _ = match sums.as_slice() {
            [sum] => writeln!(self.out, "if(q<{quads}{inside}){{E(m,{y}q,{sum});}}\n}}"),
            sums => writeln!(
                self.out,
                "if(q<{quads}{inside}){{var o=array({});for(var i=0;i<{};i++){{E(m+i,{y}q,o[i]);}}}}\n}}",
                sums.join(","),
                self.pixels
            ),
        };
    }

    fn taps(&mut self) {
        let (before, after, padded) = taps::around(self.operands, &self.contract.window, self.pixels);
        self.out.push_str(&before);
        self.steps_of_tap(padded);
        self.out.push_str(&after);
    }

    /// The sum over one tap: as many steps at once as there are invocations, of which each loads one.
    fn steps_of_tap(&mut self, padded: bool) {
        let steps = self.operands.steps(&self.contract.window);
        let _ = writeln!(self.out, "if(b){{for(var h=0;h<{steps};h+=n){{let k=min(h+f,{});", steps - 1);
        for p in 0..self.pixels {
            let load = self.operands.load(&mut self.module.helpers, p, "k", padded);
            let _ = writeln!(self.out, "let a{p}={load};");
        }
        let _ = writeln!(self.out, "let e=min(n,{steps}-h);for(var d=0;d<e;d++){{");
        self.products("h+d", |p| format!("subgroupShuffle(a{p},u32(d))"));
        let _ = writeln!(self.out, "}}}}}}else{{for(var h=0;h<{steps};h++){{");
        let loads: Vec<String> = (0..self.pixels).map(|p| self.operands.load(&mut self.module.helpers, p, "h", padded)).collect();
        self.products("h", |p| loads[p as usize].clone());
        self.out.push_str("}}\n");
    }

    /// Adds the products of the weights of a step with the pixels' `inputs`.
    fn products(&mut self, step: &str, inputs: impl Fn(u32) -> String) {
        let Operands { source, float, .. } = self.operands;
        let helpers = &mut self.module.helpers;
        let _ = writeln!(self.out, "let w0={};", self.operands.weight(self.contract, &format!("j+({step})*4")));
        if source.is_unsigned() {
            let _ = writeln!(self.out, "z0+={}({},w0);", dots(helpers), sign::ONES);
        }
        for p in 0..self.pixels {
            let input = inputs(p);
            let _ = match float {
                true => writeln!(self.out, "s{p}+={input}*w0;"),
                false => writeln!(self.out, "s{p}+={}({input},w0);", dots(helpers)),
            };
        }
    }
}
