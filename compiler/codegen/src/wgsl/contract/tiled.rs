//! A contraction by workgroup tiles: 32 pixels and 32 or 64 channels a workgroup, four pixels and one or two quads of channels an invocation.
//!
//! Block by block the workgroup loads the input of its pixels and the weights of its channels into workgroup memory, and multiplies from there. A *unit* is
//! four channels of the input: a quad of floats, or a word of bytes. What neighbouring invocations of a subgroup read at once lies in different banks.

use super::super::groups::Groups;
use super::super::module::{self, Emitted, Module};
use super::super::window::{Unit, is_padded};
use super::{DOT, Operands, dots, sign, taps};
use mlp_bundle::dtype::DType;
use mlp_bundle::loops::{Contract, Window};
use mlp_bundle::plan::Plan;
use std::fmt::Write;

/// Invocations in a workgroup: eight columns of quads, eight rows of pixels.
const GROUP: u32 = 64;

/// Pixels of a tile, and of an invocation.
const TALL: u32 = 32;
const ROWS: u32 = 4;

/// Workgroups from which on a device is well occupied.
pub(super) const ENOUGH: u64 = 64;

/// The fewest pixels and channels for which a tile is not mostly empty.
const LEAST: u32 = 16;

/// Quads of channels an invocation.
fn wide(window: &Window) -> u32 {
    if window.out_c > 32 { 2 } else { 1 }
}

/// Tiles along the channels of one group.
fn across(window: &Window) -> u32 {
    window.out_c.div_ceil(4).div_ceil(8 * wide(window))
}

/// How many workgroups a window makes, for each of its groups.
pub(super) fn workgroups(window: &Window, groups: Groups) -> u64 {
    u64::from(window.pixels().div_ceil(TALL)) * u64::from(across(window)) * u64::from(groups.count)
}

/// Emits a contraction, where tiles suit it: enough pixels and channels, and input that lies in whole units.
pub(super) fn emit(plan: &Plan, contract: &Contract, groups: Groups) -> Result<Option<Emitted>, String> {
    let window = &contract.window;
    let operands = Operands::prepare(plan, contract, groups, Unit::Quad)?;
    let whole = operands.source.aligned && (!operands.float || window.in_c.is_multiple_of(4));
    if !whole || window.pixels() < LEAST || window.in_c < LEAST || window.out_c < LEAST {
        return Ok(None);
    }
    let workgroups = module::fold(workgroups(window, groups))?;
    let mut module = Module::default();
    let mut body = operands.epilogue.function(&operands.bindings, &mut module, Some(&format!("a0>={}", window.pixels())))?;
    body.push_str(&operands.weights_function(&mut module.helpers, contract));
    let (units, loads) = if operands.float { (4, 16) } else { (8, 4) };
    let mut writer = Writer { operands: &operands, module: &mut module, contract, units, loads, wide: wide(window), out: String::new() };
    writer.main(workgroups);
    body.push_str(&writer.out);
    let emitted = module.finish(plan, &operands.bindings, &body, workgroups);
    Ok(Some(emitted.variant("tiled", if operands.float { &[] } else { &[DOT] })))
}

struct Writer<'a> {
    operands: &'a Operands<'a>,
    module: &'a mut Module,
    contract: &'a Contract,
    /// Units of a block.
    units: u32,
    /// Quads, or sixteen bytes, of weights of one panel of sixteen channels and one unit.
    loads: u32,
    /// Quads of channels an invocation.
    wide: u32,
    out: String,
}

impl Writer<'_> {
    /// Words of weights from one panel of a block to the next in workgroup memory: another half row of banks.
    fn panel(&self) -> u32 {
        self.units * self.loads + 4
    }

    fn unsigned(&self) -> bool {
        self.operands.source.is_unsigned()
    }

    fn main(&mut self, workgroups: [u32; 3]) {
        let w = &self.contract.window;
        let (pixels, quads) = (w.pixels(), w.out_c.div_ceil(4));
        let (pixel, weight) = if self.operands.float { ("vec4f", "vec4f") } else { ("u32", "vec4u") };
        let linear = if workgroups[1] == 1 { "w.x".to_owned() } else { format!("(w.x+w.y*{}u)", workgroups[0]) };
        let columns = pixels.div_ceil(TALL);
        let groups = self.operands.groups;
        let (group, tile, inside) = match groups.several() {
            true => {
                let across = across(w);
                (format!("let y=g/{columns}/{across};"), format!("(g/{columns}%{across})"), format!("&&y<{}", groups.count))
            }
            false => (String::new(), format!("g/{columns}"), String::new()),
        };
        let _ = writeln!(
            self.out,
            "var<workgroup> A:array<{pixel},{}>;var<workgroup> B:array<{weight},{}>;\n\
             @compute @workgroup_size({GROUP})\nfn m(@builtin(workgroup_id) w:vec3u,@builtin(local_invocation_id) l:vec3u){{\n\
             let t=i32(l.x);let g=i32({linear});let m=g%{columns}*{TALL};{group}let q={tile}*{};\n\
             let f=t%{};let c=t%8;let r=t/8;let b=c/4*{}+c%4;",
            TALL * (self.units + 1),
            2 * self.wide * self.panel(),
            8 * self.wide,
            self.units,
            self.panel()
        );
        let sum = if self.operands.float { "vec4f" } else { "vec4i" };
        for (p, n) in self.sums() {
            let _ = write!(self.out, "var s{p}{n}={sum}();");
        }
        if self.unsigned() {
            (0..self.wide).for_each(|n| self.out.push_str(&format!("var z{n}=vec4i();")));
        }
        let _ = writeln!(self.out, "\nvar j={};", self.operands.first_weights(self.contract));
        self.taps();
        let corrected = |(p, n): (u32, u32)| sign::corrected(&self.operands.source, &format!("s{p}{n}"), n);
        let sums: Vec<String> = self.sums().into_iter().map(corrected).collect();
        let _ = writeln!(self.out, "var o=array({});", sums.join(","));
        let y = groups.argument();
        let _ = match self.wide {
            1 => writeln!(self.out, "if(q+c<{quads}{inside}){{for(var i=0;i<{ROWS};i++){{E(m+r+i*8,{y}q+c,o[i]);}}}}"),
            _ => writeln!(
                self.out,
                "for(var i=0;i<{};i++){{let d=q+c+i%2*8;if(d<{quads}{inside}){{E(m+r+i/2*8,{y}d,o[i]);}}}}",
                ROWS * self.wide
            ),
        };
        self.out.push_str("}\n");
    }

    fn sums(&self) -> Vec<(u32, u32)> {
        (0..ROWS).flat_map(|p| (0..self.wide).map(move |n| (p, n))).collect()
    }

    /// Pixels that an invocation loads a unit of.
    fn loaded(&self) -> u32 {
        TALL * self.units / GROUP
    }

    fn taps(&mut self) {
        let w = &self.contract.window;
        let (pixel, start) = self.operands.layout(w);
        let pointwise = taps::is_pointwise(w);
        for p in 0..self.loaded() {
            let o = format!("min(m+t/{}+{},{})", self.units, GROUP / self.units * p, w.pixels() - 1);
            let _ = match pointwise {
                true => writeln!(self.out, "let i{p}={o}*{pixel}+{start};"),
                false => write!(self.out, "{}", taps::origin(w, p, &o)),
            };
        }
        if !pointwise {
            let _ = writeln!(self.out, "for(var u=0;u<{};u++){{for(var v=0;v<{};v++){{", w.kernel[0], w.kernel[1]);
            for p in 0..self.loaded() {
                self.out.push_str(&taps::place(w, p, pixel, &start));
            }
        }
        self.blocks(!pointwise && is_padded(w));
        if !pointwise {
            let _ = writeln!(self.out, "j+={};}}}}", w.in_c.div_ceil(4) * self.loads);
        }
    }

    /// The blocks of one tap. What is loaded beyond the last unit is not used.
    fn blocks(&mut self, padded: bool) {
        let units = self.contract.window.in_c.div_ceil(4);
        let step = self.units;
        let _ = writeln!(self.out, "for(var h=0;h<{units};h+={step}){{workgroupBarrier();");
        for p in 0..self.loaded() {
            let load = self.load(&format!("(i{p}+h+f)"), padded.then_some(p));
            let _ = writeln!(self.out, "A[(t/{step}+{})*{}+f]={load};", GROUP / step * p, step + 1);
        }
        self.weights();
        let _ = writeln!(self.out, "workgroupBarrier();\nlet e=min({step},{units}-h);\nfor(var d=0;d<e;d++){{");
        for p in 0..ROWS {
            let _ = write!(self.out, "let a{p}=A[(r+{})*{}+d];", 8 * p, step + 1);
        }
        self.out.push('\n');
        if self.operands.float {
            self.floats()
        } else {
            self.words()
        }
        self.out.push_str("}}\n");
    }

    /// A unit of the input at an index; of the pixel with that number where there is padding.
    fn load(&mut self, index: &str, padded: Option<u32>) -> String {
        let Operands { bindings, source, .. } = self.operands;
        let helpers = &mut self.module.helpers;
        let (load, padding) = match source.dtype {
            DType::F32 => (source.quad(bindings, helpers, index), source.padding()),
            _ => (source.word(bindings, helpers, index), source.padding_word()),
        };
        let load = padded.map_or(load.clone(), |p| format!("select({padding},{load},k{p})"));
        sign::word(source, &load)
    }

    /// Loads the weights of a block: each panel's lie in a row. Panels beyond the last one are the last one again.
    fn weights(&mut self) {
        let w = &self.contract.window;
        let row = self.units * self.loads;
        let panels = w.out_c.div_ceil(16);
        let all = w.taps() * u64::from(w.in_c.div_ceil(4) * self.loads);
        for n in 0..2 * self.wide * row / GROUP {
            let panel = if row == GROUP { n.to_string() } else { format!("(t/{row}+{})", n * (GROUP / row)) };
            let place = format!("min(q/4+{panel},{})*{all}+j+h*{}+t%{row}", panels - 1, self.loads);
            let weight = self.operands.weight(self.contract, &place);
            let _ = writeln!(self.out, "B[{panel}*{}+t%{row}]={weight};", self.panel());
        }
    }

    /// Where the weights of an invocation's quad `n` and one unit lie, before the quad of a channel.
    fn place(&self, n: u32) -> String {
        format!("b+{}+d*{}", n * 2 * self.panel(), self.loads)
    }

    fn floats(&mut self) {
        for k in 0..4u32 {
            self.out.push('{');
            for n in 0..self.wide {
                let _ = write!(self.out, "let w{n}=B[{}+{}];", self.place(n), k * 4);
            }
            for (p, n) in self.sums() {
                let _ = write!(self.out, "s{p}{n}=fma(vec4f(a{p}.{}),w{n},s{p}{n});", ["x", "y", "z", "w"][k as usize]);
            }
            self.out.push_str("}\n");
        }
    }

    fn words(&mut self) {
        let dot = dots(&mut self.module.helpers);
        for n in 0..self.wide {
            let _ = writeln!(self.out, "let w{n}=B[{}];", self.place(n));
            if self.unsigned() {
                let _ = writeln!(self.out, "z{n}+={dot}({},w{n});", sign::ONES);
            }
        }
        for (p, n) in self.sums() {
            let _ = writeln!(self.out, "s{p}{n}+={dot}(a{p},w{n});");
        }
    }
}
