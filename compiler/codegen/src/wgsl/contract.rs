//! Convolutions and matrix products over packed weights, as an implicit matrix product.
//!
//! An invocation computes a tile of `pixels` x `4 * quads` outputs in registers.
//!
//! Integers are multiplied and summed as floats: as long as no partial sum exceeds 2^24 that is exact in any order, and it uses the one
//! unit that every device has many of. Longer sums are carried over to `i32` in time.

use super::binding::{Bindings, Need};
use super::epilogue;
use super::module::{self, Emitted, Module};
use super::window::{Source, is_padded};
use mlp_bundle::dtype::DType;
use mlp_bundle::loops::{Contract, Window};
use mlp_bundle::plan::Plan;
use std::fmt::Write;

/// Words of four products each whose sum is below 2^24 with 255 * 128 a product.
const EXACT_WORDS: u32 = 128;

/// Invocations in a workgroup.
const GROUP: u32 = 64;

/// What one invocation computes, and how invocations are grouped.
struct Tile {
    pixels: u32,
    quads: u32,
    /// Invocations along pixels and along channels.
    group: [u32; 2],
}

/// The tile for a shape: 64 sums an invocation, which is what small GPUs have registers for. Bytes of weights cost more to unpack than bytes of pixels,
/// so integer tiles are longer. A workgroup is as square as the shape allows, so that neighbours share what they read.
fn tile(window: &Window, float: bool) -> Tile {
    let (pixels, quads) = (window.pixels(), window.out_c.div_ceil(4));
    if pixels < 8 {
        return Tile { pixels: pixels.min(4), quads: 1, group: [1, 64] };
    }
    let (long, widest) = match pixels {
        _ if !float && pixels >= 48 => (8, 2),
        48.. => (4, 4),
        _ => (2, 4),
    };
    let wide = [4, 2, 1].into_iter().find(|&wide| wide <= widest && quads % wide == 0).unwrap_or(1);
    let (columns, rows) = (pixels.div_ceil(long), quads / wide);
    // The most invocations along the channels that leave few idle.
    let along = [8, 4, 2, 1].into_iter().find(|&along| rows.next_multiple_of(along) * 8 <= rows * 9).unwrap_or(1);
    let across = (GROUP / along).min(columns.next_power_of_two());
    Tile { pixels: long, quads: wide, group: [across, (GROUP / across).min(rows.next_power_of_two())] }
}

/// Emits a contraction.
pub(super) fn emit(plan: &Plan, contract: &Contract) -> Result<Emitted, String> {
    let window = &contract.window;
    let mut bindings = Bindings::default();
    let source = Source::prepare(plan, window, contract.arithmetic, contract.input, &mut bindings)?;
    let float = source.dtype == DType::F32;
    bindings.note(plan, contract.weights, if float { Need::Quad } else { Need::Sixteen }, false)?;
    let total = if float { DType::F32 } else { DType::I32 };
    let epilogue = epilogue::prepare(plan, &contract.epilogue, window, total, &mut bindings)?;
    let tile = tile(window, float);
    let (pixels, quads) = (window.pixels(), window.out_c.div_ceil(4));
    let columns = u64::from(pixels.div_ceil(tile.pixels)).div_ceil(u64::from(tile.group[0]));
    let [x, z, _] = module::fold(columns)?;
    let groups = [x, quads.div_ceil(tile.quads).div_ceil(tile.group[1]), z];

    let mut module = Module::default();
    let mut guards = Vec::new();
    if pixels % tile.pixels != 0 {
        guards.push(format!("a0>={pixels}"));
    }
    if quads % tile.quads != 0 {
        guards.push(format!("q1>={quads}"));
    }
    let guard = (!guards.is_empty()).then(|| guards.join("||"));
    let mut body = epilogue.function(&bindings, &mut module, guard.as_deref())?;
    let mut writer =
        Writer { bindings: &bindings, module: &mut module, source: &source, window, tile: &tile, contract, float, out: String::new() };
    writer.main(groups, pixels, quads);
    body.push_str(&writer.out);
    Ok(module.finish(plan, &bindings, &body, groups))
}

struct Writer<'a> {
    bindings: &'a Bindings,
    module: &'a mut Module,
    source: &'a Source,
    window: &'a Window,
    tile: &'a Tile,
    contract: &'a Contract,
    float: bool,
    out: String,
}

impl Writer<'_> {
    fn main(&mut self, groups: [u32; 3], pixels: u32, quads: u32) {
        let Tile { pixels: p, quads: q, group: [gx, gy] } = *self.tile;
        let column = if groups[2] == 1 { "w.x".to_owned() } else { format!("(w.x+w.z*{}u)", groups[0]) };
        let row = if gy == 1 { "w.y".to_owned() } else { format!("(w.y*{gy}u+l.y)") };
        let column = if gx == 1 { column } else { format!("({column}*{gx}u+l.x)") };
        let _ = writeln!(
            self.out,
            "@compute @workgroup_size({gx},{gy})\nfn m(@builtin(workgroup_id) w:vec3u,@builtin(local_invocation_id) l:vec3u){{\n\
             let m=i32({column})*{p};let q=i32({row})*{q};\nif(m>={pixels}||q>={quads}){{return;}}"
        );
        // Quads of weights in one panel of sixteen channels.
        let panel = self.window.taps() * u64::from(self.steps_k()) * 4;
        let shift = self.bindings.get(self.contract.weights).shift / if self.float { 4 } else { 16 };
        let shift = if shift == 0 { String::new() } else { format!("+{shift}") };
        let _ = match q {
            1 | 2 => writeln!(self.out, "var j=(q>>2u)*{panel}+(q&3){shift};"),
            _ => writeln!(self.out, "var j=(q>>2u)*{panel}{shift};"),
        };
        for (p, q) in self.tiles() {
            let _ = writeln!(self.out, "var a{p}{q}=vec4f();");
            if self.carries() {
                let _ = writeln!(self.out, "var s{p}{q}=vec4i();");
            }
        }
        if self.is_pointwise() {
            self.pointwise(pixels);
        } else {
            self.windowed(pixels);
        }
        for (p, q) in self.tiles() {
            let sum = match (self.float, self.carries()) {
                (true, _) => format!("a{p}{q}"),
                (false, false) => format!("vec4i(a{p}{q})"),
                (false, true) => format!("s{p}{q}+vec4i(a{p}{q})"),
            };
            let _ = writeln!(self.out, "E(m+{p},q+{q},{sum});");
        }
        self.out.push_str("}\n");
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
        !self.float && self.window.taps() * u64::from(self.steps_k()) > u64::from(EXACT_WORDS)
    }

    fn is_pointwise(&self) -> bool {
        let w = self.window;
        w.kernel == [1, 1] && w.stride == [1, 1] && !is_padded(w) && (w.in_h, w.in_w) == (w.out_h, w.out_w)
    }

    /// The output pixel of each row of the tile, kept inside.
    fn pixel(&self, p: u32, pixels: u32) -> String {
        match (p, pixels % self.tile.pixels) {
            (0, _) => "m".to_owned(),
            (_, 0) => format!("(m+{p})"),
            _ => format!("min(m+{p},{})", pixels - 1),
        }
    }

    fn pointwise(&mut self, pixels: u32) {
        let (pixel, start) = self.source.layout(self.bindings, self.window);
        for p in 0..self.tile.pixels {
            let _ = writeln!(self.out, "let i{p}={}*{pixel}+{start};", self.pixel(p, pixels));
        }
        self.channels(false);
    }

    fn windowed(&mut self, pixels: u32) {
        let w = self.window;
        let (pixel, start) = self.source.layout(self.bindings, w);
        let padded = is_padded(w);
        for p in 0..self.tile.pixels {
            let o = self.pixel(p, pixels);
            let row = if w.batch == 1 { format!("o{p}/{}", w.out_w) } else { format!("o{p}/{}%{}", w.out_w, w.out_h) };
            let _ = write!(
                self.out,
                "let o{p}={o};let y{p}={row}*{}-{};let x{p}=o{p}%{}*{}-{};",
                w.stride[0], w.pad[0], w.out_w, w.stride[1], w.pad[1]
            );
            if w.batch != 1 {
                let _ = write!(self.out, "let n{p}=o{p}/{}*{};", u64::from(w.out_w) * u64::from(w.out_h), w.in_h);
            }
            self.out.push('\n');
        }
        let _ = writeln!(self.out, "for(var u=0;u<{};u++){{for(var v=0;v<{};v++){{", w.kernel[0], w.kernel[1]);
        for p in 0..self.tile.pixels {
            let image = if w.batch == 1 { String::new() } else { format!("n{p}+") };
            let at = format!("(({image}r{p})*{}+c{p})*{pixel}+{start}", w.in_w);
            let _ = write!(self.out, "let r{p}=y{p}+u*{};let c{p}=x{p}+v*{};", w.dilation[0], w.dilation[1]);
            let _ = match padded {
                true => writeln!(self.out, "let k{p}=u32(r{p})<{}u&&u32(c{p})<{}u;let i{p}=select({start},{at},k{p});", w.in_h, w.in_w),
                false => writeln!(self.out, "let i{p}={at};"),
            };
        }
        self.channels(padded);
        self.out.push_str("}}\n");
    }

    /// The sum over the input channels of one tap.
    fn channels(&mut self, padded: bool) {
        let whole = if self.float { self.window.in_c / 4 } else { self.steps_k() };
        if self.carries() {
            // One more level of loop, so that a carry comes in time.
            let _ = writeln!(self.out, "for(var h=0;h<{whole};h+={EXACT_WORDS}){{let e=min(h+{EXACT_WORDS},{whole});");
            self.quads("h", "e", padded);
            for (p, q) in self.tiles() {
                let _ = writeln!(self.out, "s{p}{q}+=vec4i(a{p}{q});a{p}{q}=vec4f();");
            }
            self.out.push_str("}\n");
        } else if whole > 0 {
            self.quads("0", &whole.to_string(), padded);
        }
        if self.float && !self.window.in_c.is_multiple_of(4) {
            self.rest(whole, padded);
        }
    }

    /// A loop over quads of input channels.
    fn quads(&mut self, from: &str, to: &str, padded: bool) {
        let _ = writeln!(self.out, "for(var k={from};k<{to};k++){{");
        for p in 0..self.tile.pixels {
            let index = if self.source.aligned { format!("(i{p}+k)") } else { format!("(i{p}+k*4)") };
            let load = self.source.quad(self.bindings, &mut self.module.helpers, &index);
            let _ = match padded {
                true => writeln!(self.out, "let x{p}x=select({},{load},k{p});", self.source.padding()),
                false => writeln!(self.out, "let x{p}x={load};"),
            };
        }
        self.products(4);
        let _ = writeln!(self.out, "j+={};}}", if self.float { 16 } else { 4 });
    }

    /// The last one to three channels of floats.
    fn rest(&mut self, whole: u32, padded: bool) {
        let count = self.window.in_c % 4;
        self.out.push_str("{\n");
        for p in 0..self.tile.pixels {
            let load = if self.source.aligned {
                self.source.quad(self.bindings, &mut self.module.helpers, &format!("(i{p}+{whole})"))
            } else {
                let read = |n: u32| self.bindings.read(self.source.buffer, &format!("(i{p}+{})", whole * 4 + n));
                let elements: Vec<String> = (0..4).map(|n| if n < count { read(n) } else { "0f".to_owned() }).collect();
                format!("vec4f({})", elements.join(","))
            };
            let _ = match padded {
                true => writeln!(self.out, "let x{p}x=select(vec4f(),{load},k{p});"),
                false => writeln!(self.out, "let x{p}x={load};"),
            };
        }
        self.products(count);
        let _ = writeln!(self.out, "j+={};}}", count * 4);
    }

    /// Products of `count` channels of the pixels `x0x`, `x1x`, ... with the weights at `j`.
    fn products(&mut self, count: u32) {
        let weights = self.bindings.name(self.contract.weights);
        let quads = self.tile.quads;
        if !self.float {
            for q in 0..quads {
                let _ = writeln!(self.out, "let g{q}=bitcast<vec4i>({weights}[j+{q}]);");
            }
        }
        for k in 0..count {
            self.out.push_str("{\n");
            for q in 0..quads {
                let _ = match (self.float, k) {
                    (true, _) => writeln!(self.out, "let w{q}={weights}[j+{}];", k * 4 + q),
                    (false, 3) => writeln!(self.out, "let w{q}=vec4f(g{q}>>vec4u(24));"),
                    (false, _) => writeln!(self.out, "let w{q}=vec4f((g{q}<<vec4u({}))>>vec4u(24));", 24 - 8 * k),
                };
            }
            for (p, q) in self.tiles() {
                let lane = ["x", "y", "z", "w"][k as usize];
                let _ = writeln!(self.out, "a{p}{q}=fma(vec4f(x{p}x.{lane}),w{q},a{p}{q});");
            }
            self.out.push_str("}\n");
        }
    }
}
