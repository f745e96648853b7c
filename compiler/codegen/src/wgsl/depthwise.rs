//! Depthwise convolutions: an invocation computes four channels of a few neighbouring pixels of one row, and loads each input pixel once a tap row.

use super::binding::{Bindings, Need};
use super::epilogue;
use super::module::{self, Emitted, Module};
use super::window::{Source, Unit, is_padded};
use mlp_bundle::dtype::DType;
use mlp_bundle::loops::{Depthwise, Window};
use mlp_bundle::plan::Plan;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Invocations in a workgroup.
const GROUP: u32 = 64;

/// Products of one byte each whose sum is below 2^24.
const EXACT_PRODUCTS: u64 = 512;

/// Pixels of a row that an invocation computes: four or seven, whichever loads less in a row. Few choices, so that layers share modules.
fn tile(window: &Window) -> u32 {
    let loads = |pixels: u32| {
        let columns = (pixels - 1) * window.stride[1] + (window.kernel[1] - 1) * window.dilation[1] + 1;
        u64::from(window.out_w.div_ceil(pixels)) * u64::from(columns + window.kernel[1])
    };
    [7, 4].into_iter().min_by_key(|&pixels| loads(pixels)).unwrap_or(4).min(window.out_w)
}

/// Emits a depthwise convolution.
pub(super) fn emit(plan: &Plan, depthwise: &Depthwise) -> Result<Emitted, String> {
    let window = &depthwise.window;
    let mut bindings = Bindings::default();
    let source = Source::prepare(plan, (window, 0), depthwise.arithmetic, depthwise.input, Unit::Quad, &mut bindings)?;
    let float = source.dtype == DType::F32;
    bindings.note(plan, depthwise.weights, Need::Quad, false)?;
    let total = if float { DType::F32 } else { DType::I32 };
    let epilogue = epilogue::prepare(plan, &depthwise.epilogue, (window, 1), total, &mut bindings)?;
    let pixels = tile(window);
    let columns = window.out_w.div_ceil(pixels);
    let quads = window.out_c.div_ceil(4);
    let invocations = u64::from(quads) * u64::from(columns) * u64::from(window.out_h) * u64::from(window.batch);
    let groups = module::fold(invocations.div_ceil(u64::from(GROUP)))?;

    let mut module = Module::default();
    let mut body = epilogue.function(&bindings, &mut module, None)?;
    let mut writer = Writer { bindings: &bindings, module: &mut module, source: &source, window, depthwise, pixels, out: String::new() };
    writer.main(groups, invocations, columns, quads);
    body.push_str(&writer.out);
    Ok(module.finish(plan, &bindings, &body, groups))
}

struct Writer<'a> {
    bindings: &'a Bindings,
    module: &'a mut Module,
    source: &'a Source,
    window: &'a Window,
    depthwise: &'a Depthwise,
    pixels: u32,
    out: String,
}

impl Writer<'_> {
    fn main(&mut self, groups: [u32; 3], invocations: u64, columns: u32, quads: u32) {
        let w = self.window;
        let linear = if groups[1] == 1 { "g.x".to_owned() } else { format!("(g.x+g.y*{}u)", u64::from(groups[0]) * u64::from(GROUP)) };
        let _ = writeln!(
            self.out,
            "@compute @workgroup_size({GROUP})\nfn m(@builtin(global_invocation_id) g:vec3u){{\nlet i={linear};if(i>={invocations}u){{return;}}\n\
             let q=i32(i%{quads}u);let t=i/{quads}u;let x=i32(t%{columns}u)*{};let y=i32(t/{columns}u);",
            self.pixels
        );
        // `y` counts the rows of all images; `f` is the first tap's row in its image, `n` the image's first row.
        let _ = match w.batch {
            1 => writeln!(self.out, "let f=y*{}-{};let n=0;", w.stride[0], w.pad[0]),
            _ => writeln!(self.out, "let f=y%{}*{}-{};let n=y/{}*{};", w.out_h, w.stride[0], w.pad[0], w.out_h, w.in_h),
        };
        let float = self.source.dtype == DType::F32;
        let carries = !float && w.taps() > EXACT_PRODUCTS;
        for p in 0..self.pixels {
            let _ = writeln!(self.out, "var a{p}=vec4f();");
            if carries {
                let _ = writeln!(self.out, "var s{p}=vec4i();");
            }
        }
        self.rows(carries);
        let sums: Vec<String> = (0..self.pixels)
            .map(|p| match (float, carries) {
                (true, _) => format!("a{p}"),
                (false, false) => format!("vec4i(a{p})"),
                (false, true) => format!("s{p}"),
            })
            .collect();
        // A loop, so that the epilogue's code is there once. A tile may run over the end of its row.
        let _ = writeln!(
            self.out,
            "var d=array({});\nfor(var i=0;i<min({},{}-x);i++){{E(y*{}+x+i,q,d[i]);}}",
            sums.join(","),
            self.pixels,
            w.out_w,
            w.out_w
        );
        self.out.push_str("}\n");
    }

    fn rows(&mut self, carries: bool) {
        let w = self.window;
        let (pixel, start) = self.source.layout(self.bindings, w);
        let padded = is_padded(w);
        let _ = writeln!(self.out, "for(var u=0;u<{};u++){{let r=f+u*{};", w.kernel[0], w.dilation[0]);
        let unit = if self.source.aligned { "q" } else { "q*4" };
        let _ = match padded {
            true => writeln!(
                self.out,
                "let o=u32(r)<{}u;let b=(n+clamp(r,0,{}))*{}+{start}+{unit};",
                w.in_h,
                w.in_h - 1,
                u64::from(w.in_w) * u64::from(pixel)
            ),
            false => writeln!(self.out, "let b=(n+r)*{}+{start}+{unit};", u64::from(w.in_w) * u64::from(pixel)),
        };
        // Input columns, from that of the first pixel's first tap on.
        let columns: BTreeSet<u32> =
            (0..self.pixels).flat_map(|p| (0..w.kernel[1]).map(move |v| p * w.stride[1] + v * w.dilation[1])).collect();
        for column in columns {
            let _ = writeln!(self.out, "let h{column}=x*{}+{column}-{};", w.stride[1], w.pad[1]);
            // A tile may run over the end of its row, so columns are clamped in any case.
            let _ = writeln!(self.out, "let i{column}=b+clamp(h{column},0,{})*{pixel};", w.in_w - 1);
            let load = self.source.quad(self.bindings, &mut self.module.helpers, &format!("i{column}"));
            let _ = match padded {
                true => writeln!(self.out, "let x{column}=select({},{load},o&&u32(h{column})<{}u);", self.source.padding(), w.in_w),
                false => writeln!(self.out, "let x{column}={load};"),
            };
        }
        let panel = w.out_c.div_ceil(16) * 4;
        let weights = self.depthwise.weights;
        let first = self.bindings.get(weights).shift / 4;
        for v in 0..w.kernel[1] {
            let _ = writeln!(self.out, "let j{v}=(u*{}+{v})*{panel}+q+{first};", w.kernel[1]);
            let load = self.bindings.read_quad(&mut self.module.helpers, weights, &format!("j{v}"));
            let _ = writeln!(self.out, "let w{v}=vec4f({load});");
            for p in 0..self.pixels {
                let _ = writeln!(self.out, "a{p}+=x{}*w{v};", p * w.stride[1] + v * w.dilation[1]);
            }
        }
        if carries {
            for p in 0..self.pixels {
                let _ = writeln!(self.out, "s{p}+=vec4i(a{p});a{p}=vec4f();");
            }
        }
        self.out.push_str("}\n");
    }
}
