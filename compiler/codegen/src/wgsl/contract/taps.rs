//! Where the taps of a window lie in the input, as text.

use super::super::window::is_padded;
use super::Operands;
use mlp_bundle::loops::Window;
use std::fmt::Write;

/// Whether output pixels are input pixels, one for one.
pub(super) fn is_pointwise(w: &Window) -> bool {
    w.kernel == [1, 1] && w.stride == [1, 1] && !is_padded(w) && (w.in_h, w.in_w) == (w.out_h, w.out_w)
}

/// Names what is the same for all taps of output pixel `pixel`, a name or expression: its first row `y`, column `x` and image `n`, each with number `p`.
pub(super) fn origin(w: &Window, p: u32, pixel: &str) -> String {
    let row = if w.batch == 1 { format!("o{p}/{}", w.out_w) } else { format!("o{p}/{}%{}", w.out_w, w.out_h) };
    let mut text =
        format!("let o{p}={pixel};let y{p}={row}*{}-{};let x{p}=o{p}%{}*{}-{};", w.stride[0], w.pad[0], w.out_w, w.stride[1], w.pad[1]);
    if w.batch != 1 {
        text += &format!("let n{p}=o{p}/{}*{};", u64::from(w.out_w) * u64::from(w.out_h), w.in_h);
    }
    text + "\n"
}

/// Names, for tap `u`, `v` of the pixel with number `p`, the place `i` of its first channel, and where there is padding whether it is none, `k`.
pub(super) fn place(w: &Window, p: u32, pixel: u32, start: &str) -> String {
    let image = if w.batch == 1 { String::new() } else { format!("n{p}+") };
    let at = format!("(({image}r{p})*{}+c{p})*{pixel}+{start}", w.in_w);
    let text = format!("let r{p}=y{p}+u*{};let c{p}=x{p}+v*{};", w.dilation[0], w.dilation[1]);
    text + &match is_padded(w) {
        true => format!("let k{p}=u32(r{p})<{}u&&u32(c{p})<{}u;let i{p}=select({start},{at},k{p});\n", w.in_h, w.in_w),
        false => format!("let i{p}={at};\n"),
    }
}

/// What stands before and after the steps of a tap where taps are walked over for `pixels` pixels from `m`, and whether a pixel's tap may be none.
pub(super) fn around(operands: &Operands<'_>, w: &Window, pixels: u32) -> (String, String, bool) {
    let (pixel, start) = operands.layout(w);
    let pointwise = is_pointwise(w);
    let mut before = String::new();
    for p in 0..pixels {
        let o = if p == 0 { "m".to_owned() } else { format!("min(m+{p},{})", w.pixels() - 1) };
        let _ = match pointwise {
            true => writeln!(before, "let i{p}={o}*{pixel}+{start};"),
            false => write!(before, "{}", origin(w, p, &o)),
        };
    }
    if pointwise {
        return (before, String::new(), false);
    }
    let _ = writeln!(before, "for(var u=0;u<{};u++){{for(var v=0;v<{};v++){{", w.kernel[0], w.kernel[1]);
    for p in 0..pixels {
        before.push_str(&place(w, p, pixel, &start));
    }
    (before, format!("j+={};}}}}\n", operands.steps(w) * 4), is_padded(w))
}
