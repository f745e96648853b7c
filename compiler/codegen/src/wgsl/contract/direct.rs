//! A contraction without workgroup memory: an invocation computes a tile of `pixels` x `4 * quads` outputs in registers.
//!
//! Integers are multiplied and summed as floats: as long as no partial sum exceeds 2^24 that is exact in any order, and it uses the one unit that every
//! device has many of. Longer sums are carried over to `i32` in time. Where a device has the packed dot product, it sums in `i32` at once.

use super::super::binding::Bindings;
use super::super::groups::Groups;
use super::super::module::{self, Emitted, Module};
use super::super::window::{Source, Unit, is_padded};
use super::{DOT, Operands, dots, sign, taps};
use mlp_bundle::loops::{Contract, Window};
use mlp_bundle::plan::Plan;
use std::fmt::Write;

/// Words of four products each whose sum is below 2^24 with 255 * 128 a product.
const EXACT_WORDS: u32 = 128;

/// Invocations in a workgroup. Few, so that small layers are work for every processor of a device.
const GROUP: u32 = 32;

/// Columns of tiles that neighbouring invocations go through before they turn to the next row.
const BLOCK: u32 = 8;

/// What one invocation computes.
struct Tile {
    pixels: u32,
    quads: u32,
}

/// The tile for a shape: 64 sums an invocation, which is what small GPUs have registers for. Bytes of weights cost more to unpack than bytes of pixels,
/// so integer tiles are longer. Rows of a tile are whole: the quads of channels are a multiple of its own.
fn tile(window: &Window, float: bool) -> Tile {
    let (pixels, quads) = (window.pixels(), window.out_c.div_ceil(4));
    if pixels < 8 {
        return Tile { pixels: pixels.min(4), quads: 1 };
    }
    let widest = if float { 4 } else { 2 };
    let wide = [4, 2, 1].into_iter().find(|&wide| wide <= widest && quads % wide == 0).unwrap_or(1);
    let long = match pixels {
        ..48 => 2,
        _ if wide == 4 => 4,
        _ => 8,
    };
    Tile { pixels: long, quads: wide }
}

/// Emits a contraction; `dot` asks for the packed dot product of bytes.
pub(super) fn emit(plan: &Plan, contract: &Contract, groups: Groups, dot: bool) -> Result<Emitted, String> {
    let window = &contract.window;
    // Single floats: a step is one channel, so that the loop is short code. A quad a load is no faster on anything that was measured.
    let operands = Operands::prepare(plan, contract, groups, Unit::Float)?;
    let tile = tile(window, operands.float);
    let (pixels, quads) = (window.pixels(), window.out_c.div_ceil(4));
    let columns = pixels.div_ceil(tile.pixels);
    // Long rows are cut into blocks, so that an invocation's neighbours share both pixels and weights with it.
    let block = if columns < 8 * BLOCK { columns } else { BLOCK };
    let grid = Grid { block, rows: quads / tile.quads };
    let invocations = u64::from(columns.next_multiple_of(block)) * u64::from(grid.rows) * u64::from(groups.count);
    let workgroups = module::fold(invocations.div_ceil(u64::from(GROUP)))?;

    let mut module = Module::default();
    // Kept where it always fails: kernels of all sizes are then one module.
    let guard = format!("a0>={pixels}");
    let mut body = operands.epilogue.function(&operands.bindings, &mut module, (tile.pixels > 1).then_some(guard.as_str()))?;
    body.push_str(&operands.weights_function(&mut module.helpers, contract));
    let Operands { bindings, source, float, .. } = &operands;
    let mut writer = Writer {
        operands: &operands,
        bindings,
        module: &mut module,
        source,
        window,
        tile: &tile,
        contract,
        float: *float,
        dot,
        out: String::new(),
    };
    writer.main(workgroups, &grid, pixels);
    body.push_str(&writer.out);
    let emitted = module.finish(plan, bindings, &body, workgroups);
    Ok(if dot { emitted.variant("dot", &[DOT]) } else { emitted })
}

/// How invocations are numbered: along a block of columns, then from row to row through all groups, then from block to block. Rows are those of one group.
struct Grid {
    block: u32,
    rows: u32,
}

struct Writer<'a> {
    operands: &'a Operands<'a>,
    bindings: &'a Bindings,
    module: &'a mut Module,
    source: &'a Source,
    window: &'a Window,
    tile: &'a Tile,
    contract: &'a Contract,
    float: bool,
    dot: bool,
    out: String,
}

impl Writer<'_> {
    fn main(&mut self, workgroups: [u32; 3], grid: &Grid, pixels: u32) {
        let Tile { pixels: p, quads: q } = *self.tile;
        let linear = match workgroups {
            [_, 1, _] => "g.x".to_owned(),
            [x, ..] => format!("(g.x+g.y*{}u)", u64::from(x) * u64::from(GROUP)),
        };
        let Grid { block, rows } = *grid;
        let groups = self.operands.groups;
        let all = rows * groups.count;
        let (group, row) = match groups.several() {
            true => (format!("let y=i32(o%{all}u)/{rows};"), format!("(i32(o%{all}u)%{rows})")),
            false => (String::new(), format!("i32(o%{rows}u)")),
        };
        let _ = writeln!(
            self.out,
            "@compute @workgroup_size({GROUP})\nfn m(@builtin(global_invocation_id) g:vec3u){{\n\
             let i={linear};let o=i/{block}u;let m=i32(o/{all}u*{block}u+i%{block}u)*{p};{group}let q={row}*{q};\nif(m>={pixels}){{return;}}"
        );
        // Quads of weights in one panel of sixteen channels.
        let panel = self.window.taps() * u64::from(self.steps_k()) * 4;
        let shift = match self.operands.first_weights(self.contract) {
            none if none == "0" => String::new(),
            first => format!("+{first}"),
        };
        let _ = match q {
            1 | 2 => writeln!(self.out, "var j=(q>>2u)*{panel}+(q&3){shift};"),
            _ => writeln!(self.out, "var j=(q>>2u)*{panel}{shift};"),
        };
        for (p, q) in self.tiles() {
            let _ = writeln!(self.out, "var a{p}{q}=vec4{}();", if self.dot { "i" } else { "f" });
            if self.carries() {
                let _ = writeln!(self.out, "var s{p}{q}=vec4i();");
            }
        }
        if self.dot && self.source.is_unsigned() {
            (0..self.tile.quads).for_each(|q| self.out.push_str(&format!("var z{q}=vec4i();\n")));
        }
        if taps::is_pointwise(self.window) {
            self.pointwise(pixels);
        } else {
            self.windowed(pixels);
        }
        self.results();
        self.out.push_str("}\n");
    }

    /// Hands the sums to the epilogue, in loops: its code is there once.
    fn results(&mut self) {
        let sums: Vec<String> = self
            .tiles()
            .into_iter()
            .map(|(p, q)| match (self.float, self.carries()) {
                _ if self.dot => sign::corrected(self.source, &format!("a{p}{q}"), q),
                (true, _) => format!("a{p}{q}"),
                (false, false) => format!("vec4i(a{p}{q})"),
                (false, true) => format!("s{p}{q}+vec4i(a{p}{q})"),
            })
            .collect();
        let Tile { pixels: p, quads: q } = *self.tile;
        let y = self.operands.groups.argument();
        if let [sum] = sums.as_slice() {
            let _ = writeln!(self.out, "E(m,{y}q,{sum});");
            return;
        }
        let _ = writeln!(self.out, "var t=array({});", sums.join(","));
        let _ = match q {
            1 => writeln!(self.out, "for(var i=0;i<{p};i++){{E(m+i,{y}q,t[i]);}}"),
            _ => writeln!(self.out, "for(var i=0;i<{};i++){{E(m+i/{q},{y}q+i%{q},t[i]);}}", p * q),
        };
    }

    fn tiles(&self) -> Vec<(u32, u32)> {
        (0..self.tile.pixels).flat_map(|p| (0..self.tile.quads).map(move |q| (p, q))).collect()
    }

    /// Steps of packed weights a tap: channels, or words of four channels.
    fn steps_k(&self) -> u32 {
        if self.float { self.window.in_c } else { self.window.in_c.div_ceil(4) }
    }

    /// Whether float sums are carried over to integers now and then.
    fn carries(&self) -> bool {
        !self.float && !self.dot && self.window.taps() * u64::from(self.steps_k()) > u64::from(EXACT_WORDS)
    }

    /// The output pixel of each row of the tile, kept inside.
    fn pixel(&self, p: u32, pixels: u32) -> String {
        match p {
            0 => "m".to_owned(),
            _ => format!("min(m+{p},{})", pixels - 1),
        }
    }

    fn pointwise(&mut self, pixels: u32) {
        let (pixel, start) = self.operands.layout(self.window);
        for p in 0..self.tile.pixels {
            let _ = writeln!(self.out, "let i{p}={}*{pixel}+{start};", self.pixel(p, pixels));
        }
        self.channels(false);
    }

    fn windowed(&mut self, pixels: u32) {
        let w = self.window;
        let (pixel, start) = self.operands.layout(w);
        let padded = is_padded(w);
        for p in 0..self.tile.pixels {
            let o = self.pixel(p, pixels);
            self.out.push_str(&taps::origin(w, p, &o));
        }
        let _ = writeln!(self.out, "for(var u=0;u<{};u++){{for(var v=0;v<{};v++){{", w.kernel[0], w.kernel[1]);
        for p in 0..self.tile.pixels {
            self.out.push_str(&taps::place(w, p, pixel, &start));
        }
        self.channels(padded);
        self.out.push_str("}}\n");
    }

    /// The sum over the input channels of one tap.
    fn channels(&mut self, padded: bool) {
        let steps = self.steps_k();
        if self.float {
            self.floats(padded);
        } else if self.dot {
            self.packed(&steps.to_string(), padded);
        } else if self.carries() {
            // One more level of loop, so that a carry comes in time.
            let _ = writeln!(self.out, "for(var h=0;h<{steps};h+={EXACT_WORDS}){{let e=min(h+{EXACT_WORDS},{steps});");
            self.words("h", "e", padded);
            for (p, q) in self.tiles() {
                let _ = writeln!(self.out, "s{p}{q}+=vec4i(a{p}{q});a{p}{q}=vec4f();");
            }
            self.out.push_str("}\n");
        } else {
            self.words("0", &steps.to_string(), padded);
        }
    }

    /// A loop over input channels of floats.
    fn floats(&mut self, padded: bool) {
        let _ = writeln!(self.out, "for(var k=0;k<{};k++){{", self.window.in_c);
        for p in 0..self.tile.pixels {
            let load = self.bindings.read(self.source.buffer, &format!("(i{p}+k)"));
            let _ = match padded {
                true => writeln!(self.out, "let x{p}x=select(0f,{load},k{p});"),
                false => writeln!(self.out, "let x{p}x={load};"),
            };
        }
        for q in 0..self.tile.quads {
            let weight = self.operands.weight(self.contract, &format!("j+{q}"));
            let _ = writeln!(self.out, "let w{q}={weight};");
        }
        for (p, q) in self.tiles() {
            let _ = writeln!(self.out, "a{p}{q}+=x{p}x*w{q};");
        }
        self.out.push_str("j+=4;}\n");
    }

    /// A loop over words of four input channels.
    fn words(&mut self, from: &str, to: &str, padded: bool) {
        let weights = self.bindings.name(self.contract.weights);
        let quads = self.tile.quads;
        let _ = writeln!(self.out, "for(var k={from};k<{to};k++){{");
        for p in 0..self.tile.pixels {
            let index = if self.source.aligned { format!("(i{p}+k)") } else { format!("(i{p}+k*4)") };
            let load = self.source.quad(self.bindings, &mut self.module.helpers, &index);
            let _ = match padded {
                true => writeln!(self.out, "let x{p}x=select({},{load},k{p});", self.source.padding()),
                false => writeln!(self.out, "let x{p}x={load};"),
            };
        }
        for q in 0..quads {
            let _ = writeln!(self.out, "let g{q}=bitcast<vec4i>({weights}[j+{q}]);");
        }
        for k in 0..4 {
            self.out.push_str("{\n");
            for q in 0..quads {
                let _ = match k {
                    3 => writeln!(self.out, "let w{q}=vec4f(g{q}>>vec4u(24));"),
                    _ => writeln!(self.out, "let w{q}=vec4f((g{q}<<vec4u({}))>>vec4u(24));", 24 - 8 * k),
                };
            }
            for (p, q) in self.tiles() {
                let _ = writeln!(self.out, "a{p}{q}+=x{p}x.{}*w{q};", ["x", "y", "z", "w"][k]);
            }
            self.out.push_str("}\n");
        }
        self.out.push_str("j+=4;}\n");
    }

    /// The same by packed dot products.
    fn packed(&mut self, to: &str, padded: bool) {
        let weights = self.bindings.name(self.contract.weights);
        let unsigned = self.source.is_unsigned();
        let _ = writeln!(self.out, "for(var k=0;k<{to};k++){{");
        for p in 0..self.tile.pixels {
            let index = if self.source.aligned { format!("(i{p}+k)") } else { format!("(i{p}+k*4)") };
            let load = self.source.word(self.bindings, &mut self.module.helpers, &index);
            let load = if padded { format!("select({},{load},k{p})", self.source.padding_word()) } else { load };
            let _ = writeln!(self.out, "let x{p}x={};", sign::word(self.source, &load));
        }
        let dot = dots(&mut self.module.helpers);
        for q in 0..self.tile.quads {
            let _ = writeln!(self.out, "let w{q}={weights}[j+{q}];");
            if unsigned {
                let _ = writeln!(self.out, "z{q}+={dot}({},w{q});", sign::ONES);
            }
        }
        for (p, q) in self.tiles() {
            let _ = writeln!(self.out, "a{p}{q}+={dot}(x{p}x,w{q});");
        }
        self.out.push_str("j+=4;}\n");
    }
}
