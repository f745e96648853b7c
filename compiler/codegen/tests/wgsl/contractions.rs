//! Convolutions, matrix products and their epilogues.

use crate::harness::agree;
use std::fmt::Write;

/// One contraction to be written as a plan.
#[derive(Clone, Copy)]
struct Case {
    /// `f32`, `u8` or `i8`.
    input: &'static str,
    output: &'static str,
    depthwise: bool,
    batch: u32,
    size: [u32; 3],
    pixel: u32,
    offset: u32,
    out_c: u32,
    kernel: [u32; 2],
    stride: [u32; 2],
    dilation: [u32; 2],
    pad: [u32; 2],
    /// Elements from one output pixel to the next, and before the first channel.
    out: [u32; 2],
    residual: bool,
}

const BASE: Case = Case {
    input: "f32",
    output: "f32",
    depthwise: false,
    batch: 1,
    size: [5, 7, 8],
    pixel: 8,
    offset: 0,
    out_c: 16,
    kernel: [1, 1],
    stride: [1, 1],
    dilation: [1, 1],
    pad: [0, 0],
    out: [16, 0],
    residual: false,
};

impl Case {
    fn out_size(&self, n: usize) -> u32 {
        // As much padding behind as before.
        (self.size[n] + 2 * self.pad[n] - (self.kernel[n] - 1) * self.dilation[n] - 1) / self.stride[n] + 1
    }

    fn text(&self) -> String {
        let Case { batch, size: [h, w, c], kernel: [kh, kw], stride, dilation, pad, .. } = *self;
        let (oh, ow) = (self.out_size(0), self.out_size(1));
        let pixels = batch * oh * ow;
        let float = self.input == "f32";
        let panels = self.out_c.div_ceil(16) * 16;
        let depth = if self.depthwise {
            1
        } else if float {
            c
        } else {
            c.next_multiple_of(4)
        };
        let taken = panels * kh * kw * depth;
        let (weight, bytes) = if float { ("f32", 4) } else { ("i8", 1) };
        let bias = (taken * bytes).next_multiple_of(256);
        let factor = bias + (self.out_c * 4).next_multiple_of(256);
        let end = factor + (self.out_c * 4).next_multiple_of(256) + 64;
        let input = batch * h * w * self.pixel;
        let output = pixels * self.out[0];
        let align = |bytes: u32| bytes.next_multiple_of(64);
        let at = [0, align(input * 4), align(input * 4) + align(output * 4), align(input * 4) + 2 * align(output * 4)];
        let sum = if float { "f32" } else { "i32" };
        let mut text = format!("plan \"case\" version 1 arena {} weights {end}\n", at[3] + 64);
        let _ = write!(
            text,
            "buffer b0 \"x\" {} x {input} arena 0\nbuffer b1 \"w\" {weight} x {taken} weights 0\nbuffer b2 \"bias\" {sum} x {} weights {bias}\n\
             buffer b3 \"factor\" i32 x {} weights {factor}\nbuffer b4 \"r\" {} x {output} arena {}\nbuffer b5 \"y\" {} x {output} arena {}\n\
             input \"x\" b0 [{input}]\noutput \"y\" b5 [{output}]\n",
            self.input, self.out_c, self.out_c, self.output, at[1], self.output, at[2],
        );
        if self.residual {
            let _ = writeln!(text, "input \"r\" b4 [{output}]");
        }
        let body = match (self.depthwise, float) {
            (false, true) => "contract f32".to_owned(),
            (true, true) => "depthwise f32".to_owned(),
            (false, false) => "contract int8 pad 3".to_owned(),
            (true, false) => "depthwise int8 pad 3".to_owned(),
        };
        let _ = writeln!(
            text,
            "kernel k {{ {body} b0 * b1 batch {batch} in {h} x {w} x {c} pixel {} offset {} out {oh} x {ow} x {} kernel {kh} x {kw} stride {} x {} \
             dilation {} x {} pad {} x {}",
            self.pixel, self.offset, self.out_c, stride[0], stride[1], dilation[0], dilation[1], pad[0], pad[1],
        );
        let mut place = format!("at {} [1*i0 of {pixels} by {}, 1*i1 of {} by 1]", self.out[1], self.out[0], self.out_c);
        if self.out_c == 1 {
            // An axis of one point need not be named.
            place = place.replace(", 1*i1 of 1 by 1", "");
        }
        text.push_str(&self.epilogue(&place));
        text
    }

    /// Bias, then requantization where the output is of bytes, then the residual, then a clamp.
    fn epilogue(&self, place: &str) -> String {
        let mut lines = vec!["total 0".to_owned(), format!("load b2 at 0 [1*i1 of {} by 1]", self.out_c), "add v0 v1".to_owned()];
        let float = self.input == "f32";
        if self.output.ends_with('8') {
            // Factors of any sign; shifts on both sides of a word.
            lines.push(format!("load b3 at 0 [1*i1 of {} by 1]", self.out_c));
            lines.push(format!("requantize v2 v3 {}", if self.residual { 24 } else { 40 }));
            lines.push("const i32 7".to_owned());
            lines.push("add v4 v5".to_owned());
        }
        if self.residual {
            let last = lines.len() - 1;
            lines.push(format!("load b4 {place}"));
            lines.push(format!("add v{last} v{}", last + 1));
        }
        let last = lines.len() - 1;
        let (low, high) = match self.output {
            "u8" => ("i32 0", "i32 255"),
            "i8" => ("i32 -128", "i32 127"),
            _ if float => ("f32 -6.5", "f32 30.0"),
            _ => ("i32 -2147483648", "i32 2147483647"),
        };
        lines.push(format!("const {low}"));
        lines.push(format!("max v{last} v{}", last + 1));
        lines.push(format!("const {high}"));
        lines.push(format!("min v{} v{}", last + 2, last + 3));
        let mut text = String::new();
        for (n, line) in lines.iter().enumerate() {
            let _ = writeln!(text, "v{n} = {line}");
        }
        let _ = writeln!(text, "store b5 {place} = v{} }}", lines.len() - 1);
        text
    }
}

fn check(cases: &[Case]) {
    for (seed, case) in cases.iter().enumerate() {
        agree(&case.text(), &[], seed as u64 + 1);
    }
}

fn in_types(cases: &[Case]) -> Vec<Case> {
    let types = [("f32", "f32"), ("u8", "u8"), ("i8", "i8"), ("u8", "i32")];
    types.iter().flat_map(|&(input, output)| cases.iter().map(move |case| Case { input, output, ..*case })).collect()
}

#[test]
fn images_with_weights_of_their_own() {
    (0..).zip(crate::images::plans()).for_each(|(seed, text)| agree(&text, &[], seed));
}

#[test]
fn pointwise_convolutions() {
    check(&in_types(&[
        BASE,
        // Odd channels, in and out.
        Case { size: [3, 3, 5], pixel: 5, out_c: 6, out: [6, 0], ..BASE },
        // A part of the input's channels, written into a part of the output's.
        Case { size: [4, 6, 12], pixel: 24, offset: 8, out_c: 20, out: [36, 16], ..BASE },
        Case { size: [4, 6, 7], pixel: 13, offset: 3, out_c: 5, out: [11, 3], ..BASE },
        // Many channels, so that integer sums are carried over.
        Case { size: [3, 5, 700], pixel: 700, out_c: 8, out: [8, 0], ..BASE },
        Case { batch: 3, stride: [2, 2], residual: true, ..BASE },
        Case { out_c: 1, out: [1, 0], residual: true, ..BASE },
    ]));
}

#[test]
fn windowed_convolutions() {
    let three = Case { kernel: [3, 3], pad: [1, 1], ..BASE };
    check(&in_types(&[
        three,
        Case { size: [9, 9, 3], pixel: 3, out_c: 32, out: [32, 0], stride: [2, 2], ..three },
        Case { size: [9, 9, 6], pixel: 8, out_c: 7, out: [7, 0], dilation: [2, 1], ..three },
        Case { batch: 2, size: [6, 10, 4], pixel: 4, kernel: [5, 2], pad: [2, 0], ..three },
        Case { size: [4, 4, 160], pixel: 160, out_c: 24, out: [24, 0], residual: true, ..three },
        Case { size: [11, 13, 4], pixel: 4, kernel: [3, 3], pad: [0, 0], stride: [3, 2], ..BASE },
    ]));
}

#[test]
fn matrix_products_of_few_rows() {
    check(&in_types(&[
        Case { size: [1, 1, 64], pixel: 64, out_c: 100, out: [100, 0], ..BASE },
        Case { size: [1, 1, 65], pixel: 65, out_c: 101, out: [101, 0], ..BASE },
        Case { size: [1, 5, 33], pixel: 33, out_c: 18, out: [18, 0], ..BASE },
        Case { size: [1, 7, 24], pixel: 24, out_c: 50, out: [52, 1], residual: true, ..BASE },
    ]));
}

/// Shapes that workgroup tiles and split channels take: several tiles in both directions, ends of all kinds, more than one block of channels.
#[test]
fn shared_contractions() {
    let many = Case { size: [7, 9, 72], pixel: 72, out_c: 80, out: [80, 0], ..BASE };
    let cases = [
        many,
        Case { size: [6, 6, 68], pixel: 76, offset: 4, out_c: 50, out: [60, 4], ..many },
        Case { size: [5, 5, 16], pixel: 16, out_c: 18, out: [18, 0], residual: true, ..many },
        Case { size: [9, 11, 24], pixel: 24, out_c: 36, out: [36, 0], kernel: [3, 3], pad: [1, 1], stride: [2, 2], ..many },
        Case { batch: 3, size: [5, 6, 36], pixel: 36, out_c: 33, out: [36, 0], kernel: [3, 2], pad: [1, 0], dilation: [1, 2], ..many },
        Case { size: [1, 33, 112], pixel: 112, out_c: 160, out: [160, 0], residual: true, ..many },
        // Channels for whole subgroups; fewer steps than these have invocations, and rests.
        Case { batch: 2, size: [5, 6, 20], pixel: 20, out_c: 131, out: [131, 0], kernel: [3, 2], pad: [1, 0], ..many },
        Case { size: [1, 3, 77], pixel: 80, offset: 3, out_c: 260, out: [264, 4], ..many },
        Case { size: [1, 1, 100], pixel: 100, out_c: 129, out: [129, 0], ..many },
    ];
    check(&in_types(&cases));
    for case in in_types(&cases) {
        let program = mlp_codegen::wgsl::emit(&crate::harness::parse(&case.text())).expect("the plan is within WebGPU");
        let variants: Vec<&str> = program.variants().into_iter().collect();
        // Sums of few products are not split.
        let long = case.kernel[0] * case.kernel[1] * case.size[2] >= 64;
        let has = |name: &&str| match *name {
            "dot" => case.input != "f32",
            "split" => long,
            "subgroup" => long && case.out_c > 124,
            _ => {
                case.size[0] * case.size[1] >= 16 && (case.input != "f32" || case.pixel.is_multiple_of(4) && case.size[2].is_multiple_of(4))
            }
        };
        let expected: Vec<&str> = ["dot", "split", "subgroup", "tiled"].into_iter().filter(has).collect();
        assert_eq!(variants, expected, "{}", case.text());
    }
}

/// The probe takes some way for every kernel and changes no result.
#[test]
fn tuning_changes_no_result() {
    let case = Case { input: "u8", output: "u8", size: [9, 11, 64], pixel: 64, out_c: 80, out: [80, 0], ..BASE };
    crate::harness::agree_after_tuning(&case.text(), 7);
}

#[test]
fn depthwise_convolutions() {
    let base = Case { depthwise: true, size: [7, 9, 16], pixel: 16, kernel: [3, 3], pad: [1, 1], ..BASE };
    check(&in_types(&[
        base,
        Case { stride: [2, 2], ..base },
        Case { kernel: [5, 5], pad: [2, 2], size: [8, 6, 20], pixel: 20, out_c: 20, out: [20, 0], residual: true, ..base },
        Case { size: [5, 5, 7], pixel: 7, out_c: 7, out: [7, 0], ..base },
        Case { batch: 2, size: [6, 7, 8], pixel: 20, offset: 8, out_c: 8, out: [16, 4], dilation: [2, 2], ..base },
        Case { size: [6, 3, 4], pixel: 4, out_c: 4, out: [4, 0], kernel: [2, 3], pad: [0, 0], ..base },
        Case { size: [30, 30, 4], pixel: 4, out_c: 4, out: [4, 0], kernel: [25, 25], pad: [0, 0], ..base },
    ]));
}

/// Weights that an earlier kernel of the plan has packed, whole panels or not.
#[test]
fn weights_in_the_arena() {
    for (rows, depth, columns) in [(37u32, 24, 32u32), (5, 7, 18), (1, 33, 50), (64, 16, 3)] {
        let panels = columns.div_ceil(16);
        let (input, packed, output) = (rows * depth, panels * depth * 16, rows * columns);
        let at = |bytes: u32| bytes.next_multiple_of(64);
        let (w, p) = (at(input * 4), at(input * 4) + at(depth * columns * 4));
        let y = p + at(packed * 4);
        let text = format!(
            "plan \"product\" version 1 arena {} weights 64\nbuffer b0 \"x\" f32 x {input} arena 0\nbuffer b1 \"w\" f32 x {} arena {w}\n\
             buffer b2 \"packed\" f32 x {packed} arena {p}\nbuffer b3 \"y\" f32 x {output} arena {y}\n\
             input \"x\" b0 [{input}]\ninput \"w\" b1 [{}]\noutput \"y\" b3 [{output}]\n\
             kernel pack {{ nest parallel [{panels}, {depth}, 16]\n\
             v0 = load b1 at 0 [1*i1 of {depth} by {columns}, 16*i0 + 1*i2 of {columns} by 1] else f32 0.0\n\
             store b2 at 0 [1*i0 of {panels} by {}, 1*i1 of {depth} by 16, 1*i2 of 16 by 1] = v0 }}\n\
             kernel product {{ contract f32 b0 * b2 batch 1 in 1 x {rows} x {depth} pixel {depth} offset 0 out 1 x {rows} x {columns} kernel 1 x 1 \
             stride 1 x 1 dilation 1 x 1 pad 0 x 0\nv0 = total 0\n\
             store b3 at 0 [1*i0 of {rows} by {columns}, 1*i1 of {columns} by 1] = v0 }}\n",
            y + at(output * 4) + 64,
            depth * columns,
            depth * columns,
            depth * 16
        );
        agree(&text, &[], u64::from(rows));
    }
}
