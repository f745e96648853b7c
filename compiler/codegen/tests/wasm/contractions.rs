//! Convolutions and matrix products: odd sizes, padding, strides, dilations, channels that fill no panel, residuals, requantization.

use crate::support::{Random, check_beside};
use mlp_bundle::DType;
use mlp_bundle::plan::Plan;
use mlp_bundle::plan::verify::verify;
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Case {
    depthwise: bool,
    int8: bool,
    signed: bool,
    batch: u32,
    size: [u32; 2],
    in_c: u32,
    spare: [u32; 2],
    out_c: u32,
    kernel: [u32; 2],
    stride: [u32; 2],
    dilation: [u32; 2],
    pad: [u32; 2],
    beyond: [u32; 2],
    residual: bool,
    in_place: bool,
    by_columns: bool,
    shift: u8,
    /// Channels that the residual has; the others are as if it had zeros there.
    narrow: Option<u32>,
}

impl Case {
    fn plain(in_c: u32, out_c: u32) -> Case {
        Case {
            depthwise: false,
            int8: false,
            signed: false,
            batch: 1,
            size: [5, 7],
            in_c,
            spare: [0, 0],
            out_c,
            kernel: [1, 1],
            stride: [1, 1],
            dilation: [1, 1],
            pad: [0, 0],
            beyond: [0, 0],
            residual: false,
            in_place: false,
            by_columns: false,
            shift: 37,
            narrow: None,
        }
    }

    fn out(&self, axis: usize) -> u32 {
        let span = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
        let room = self.size[axis] + self.pad[axis] + self.beyond[axis];
        if room < span { 0 } else { (room - span) / self.stride[axis] + 1 }
    }

    /// The epilogue in the planner's order; `by_columns` stores channel by channel, which no lanes can do.
    fn epilogue(&self, pixels: u32, out_c: u32) -> String {
        let linear = if self.by_columns {
            format!("[1*i1 of {out_c} by {pixels}, 1*i0 of {pixels} by 1]")
        } else {
            format!("[1*i0 of {pixels} by {out_c}, 1*i1 of {out_c} by 1]")
        };
        let channel = format!("[1*i1 of {out_c} by 1]");
        let (zeros, from) = match (self.narrow, self.int8) {
            (Some(channels), true) => (channels, " else i32 0"),
            (Some(channels), false) => (channels, " else f32 0.0"),
            (None, _) => (out_c, ""),
        };
        let narrow =
            if self.narrow.is_some() { format!("[1*i0 of {pixels} by {zeros}, 1*i1 of {zeros} by 1]{from}") } else { linear.clone() };
        let residual = if self.in_place { "b5" } else { "b4" };
        let (zero, low, high) = if self.signed { (-5, -128, 127) } else { (7, 0, 255) };
        let mut lines = vec!["v0 = total 0".to_owned(), format!("v1 = load b2 at 0 {channel}"), "v2 = add v0 v1".to_owned()];
        if self.int8 {
            lines.extend([
                format!("v3 = load b3 at 0 {channel}"),
                format!("v4 = requantize v2 v3 {}", self.shift),
                format!("v5 = const i32 {zero}"),
                "v6 = add v4 v5".into(),
                format!("v7 = const i32 {low}"),
                "v8 = max v6 v7".into(),
                format!("v9 = const i32 {high}"),
                "v10 = min v8 v9".into(),
            ]);
            if self.residual {
                lines.extend([
                    "v11 = const i32 23170".into(),
                    "v12 = mul v10 v11".into(),
                    format!("v13 = load {residual} at 0 {narrow}"),
                    "v14 = const i32 -15000".into(),
                    "v15 = mul v13 v14".into(),
                    "v16 = add v12 v15".into(),
                    "v17 = const i32 1".into(),
                    "v18 = requantize v16 v17 15".into(),
                    "v19 = max v18 v7".into(),
                    "v20 = min v19 v9".into(),
                    format!("store b5 at 0 {linear} = v20"),
                ]);
            } else {
                lines.push(format!("store b5 at 0 {linear} = v10"));
            }
        } else if self.residual {
            lines.extend([format!("v3 = load {residual} at 0 {narrow}"), "v4 = add v2 v3".into(), format!("store b5 at 0 {linear} = v4")]);
        } else {
            lines.extend([
                "v3 = const f32 0.0".into(),
                "v4 = max v2 v3".into(),
                "v5 = const f32 6.0".into(),
                "v6 = min v4 v5".into(),
                format!("store b5 at 0 {linear} = v6"),
            ]);
        }
        lines.iter().map(|line| format!("  {line}\n")).collect()
    }

    fn check(&self, seed: u64) {
        let out_c = if self.depthwise { self.in_c } else { self.out_c };
        let (oh, ow) = (self.out(0), self.out(1));
        if oh == 0 || ow == 0 {
            return;
        }
        let pixels = self.batch * oh * ow;
        let in_pixel = self.in_c + self.spare[0] + self.spare[1];
        let input = self.batch * self.size[0] * self.size[1] * in_pixel;
        let padded = out_c.next_multiple_of(16);
        let depth = match (self.depthwise, self.int8) {
            (true, _) => 1,
            (_, false) => self.in_c,
            _ => self.in_c.next_multiple_of(4),
        };
        let weights = padded * self.kernel[0] * self.kernel[1] * depth;
        let (x, w, y) = match (self.int8, self.signed) {
            (false, _) => ("f32", "f32", "f32"),
            (true, true) => ("i8", "i8", "i8"),
            (true, false) => ("u8", "i8", "u8"),
        };
        let bias = if self.int8 { "i32" } else { "f32" };
        let room = |count: u32, size: u32| (count * size).next_multiple_of(64) + 64;
        let size = if self.int8 { 1 } else { 4 };
        let at = [0, room(weights, size), room(weights, size) + room(out_c, 4)];
        let places = [0, room(input, size), room(input, size) + room(pixels * out_c, size)];
        let arithmetic = if self.int8 { "int8 pad 9" } else { "f32" };
        let residual = if self.in_place { "input \"r\" b5" } else { "input \"r\" b4" };
        let text = format!(
            r#"
plan "window" version 1 arena {arena} weights {bytes}
buffer b0 "x" {x} x {input} arena 0
buffer b1 "w" {w} x {weights} weights 0
buffer b2 "bias" {bias} x {out_c} weights {}
buffer b3 "multiplier" i32 x {out_c} weights {}
buffer b4 "r" {y} x {outputs} arena {}
buffer b5 "y" {y} x {outputs} arena {}
input "x" b0 [{input}]
{residual} [{outputs}]
output "y" b5 [{outputs}]

kernel window {{
  {op} {arithmetic} b0 * b1 batch {batch} in {ih} x {iw} x {in_c} pixel {in_pixel} offset {offset} out {oh} x {ow} x {out_c} kernel {kh} x {kw} stride {sy} x {sx} dilation {dy} x {dx} pad {py} x {px}
{epilogue}}}
"#,
            at[1],
            at[2],
            places[1],
            places[2],
            arena = places[2] + room(pixels * out_c, size),
            bytes = at[2] + room(out_c, 4),
            outputs = pixels * out_c,
            op = if self.depthwise { "depthwise" } else { "contract" },
            batch = self.batch,
            ih = self.size[0],
            iw = self.size[1],
            in_c = self.in_c,
            offset = self.spare[0],
            kh = self.kernel[0],
            kw = self.kernel[1],
            sy = self.stride[0],
            sx = self.stride[1],
            dy = self.dilation[0],
            dx = self.dilation[1],
            py = self.pad[0],
            px = self.pad[1],
            epilogue = self.epilogue(pixels, out_c),
        );
        let plan: Plan = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut random = Random(seed | 1);
        let bytes = self.weights(&plan, &mut random, at, out_c, depth);
        let dtype = |id: &str| plan.buffers.values().find(|buffer| buffer.name == id).map_or(DType::F32, |buffer| buffer.dtype);
        let x = random.elements(dtype("x"), input as usize);
        let r = random.elements(dtype("y"), (pixels * out_c) as usize);
        check_beside(&plan, &bytes, &[&x, &r], &[], 4.0);
    }

    /// Random weights, 0 where there is no channel.
    fn weights(&self, plan: &Plan, random: &mut Random, at: [u32; 3], out_c: u32, depth: u32) -> Vec<u8> {
        let mut bytes = random.elements(DType::U8, plan.weights_bytes as usize);
        let taps = self.kernel[0] * self.kernel[1];
        let padded = out_c.next_multiple_of(16);
        let size = if self.int8 { 1 } else { 4 };
        let group = if self.int8 && !self.depthwise { 4 } else { 1 };
        for n in 0..padded * taps * depth {
            // The channels that an element belongs to, from its place.
            let (channel, k) = if self.depthwise {
                (n % padded, 0)
            } else {
                let (lane, quad) = (n / group % 16, n / group / 16);
                (quad / (taps * (depth / group)) * 16 + lane, quad % (depth / group) * group + n % group)
            };
            let exists = channel < out_c && k < self.in_c;
            let place = n as usize * size;
            if !self.int8 {
                let value = if exists { random.unit() } else { 0.0 };
                bytes[place..place + 4].copy_from_slice(&value.to_le_bytes());
            } else if !exists {
                bytes[place] = 0;
            }
        }
        for channel in 0..out_c as usize {
            let (bias, multiplier) = (at[1] as usize + channel * 4, at[2] as usize + channel * 4);
            let value = if self.int8 { ((random.unit() * 5000.0) as i32).to_le_bytes() } else { random.unit().to_le_bytes() };
            bytes[bias..bias + 4].copy_from_slice(&value);
            // Even ones, by which quotients can lie in the middle of two integers.
            let value = if channel % 3 == 0 { 1 << 30 } else { (1i32 << 30) + (random.next() >> 35) as i32 };
            bytes[multiplier..multiplier + 4].copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }
}

/// A case in both arithmetics, signed and unsigned.
fn check_all(case: Case) {
    for (int8, signed) in [(false, false), (true, false), (true, true)] {
        Case { int8, signed, ..case.clone() }.check(0x1234_5678_9abc_def1);
    }
}

#[test]
fn images_with_weights_of_their_own() {
    for (seed, text) in crate::images::plans().into_iter().enumerate() {
        let plan: Plan = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
        verify(&plan).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut random = Random(0x2545_f491_4f6c_dd1d + seed as u64);
        let bias = random.elements(DType::F32, plan.weights_bytes as usize / 4);
        let inputs = plan.inputs.iter().map(|port| random.elements(DType::F32, plan.buffers[port.buffer].len as usize));
        let inputs: Vec<Vec<u8>> = inputs.collect();
        check_beside(&plan, &bias, &inputs.iter().map(Vec::as_slice).collect::<Vec<_>>(), &[], 16.0);
    }
}

#[test]
fn matrix_products() {
    for (in_c, out_c) in [(8, 16), (1, 1), (3, 5), (17, 24), (36, 33), (10, 9), (64, 40)] {
        check_all(Case::plain(in_c, out_c));
        check_all(Case { size: [1, 1], ..Case::plain(in_c, out_c) });
        check_all(Case { size: [1, 2], batch: 2, residual: true, ..Case::plain(in_c, out_c) });
        check_all(Case { residual: true, in_place: true, batch: 2, ..Case::plain(in_c, out_c) });
        check_all(Case { spare: [3, 2], ..Case::plain(in_c, out_c) });
        check_all(Case { by_columns: true, residual: true, ..Case::plain(in_c, out_c) });
    }
    check_all(Case { size: [40, 37], residual: true, ..Case::plain(24, 20) });
}

#[test]
fn convolutions() {
    for (in_c, out_c) in [(3, 8), (4, 17), (12, 5)] {
        let case = Case { kernel: [3, 3], pad: [1, 1], beyond: [1, 1], size: [9, 11], ..Case::plain(in_c, out_c) };
        check_all(case.clone());
        check_all(Case { stride: [2, 2], batch: 2, ..case.clone() });
        check_all(Case { stride: [2, 1], dilation: [2, 3], ..case.clone() });
        check_all(Case { kernel: [1, 5], pad: [0, 2], beyond: [0, 2], ..case.clone() });
        check_all(Case { kernel: [5, 1], pad: [3, 0], beyond: [4, 0], ..case.clone() });
        check_all(Case { kernel: [2, 2], pad: [0, 0], beyond: [0, 0], residual: true, in_place: true, ..case.clone() });
        check_all(Case { spare: [1, 4], size: [4, 3], ..case.clone() });
        check_all(Case { stride: [3, 2], kernel: [1, 1], pad: [0, 0], beyond: [0, 0], ..case.clone() });
        check_all(Case { by_columns: true, ..case });
    }
}

#[test]
fn residuals_of_fewer_channels() {
    for (narrow, out_c) in [(4, 8), (24, 28), (3, 9), (5, 6), (17, 21), (1, 16)] {
        let case = Case { residual: true, narrow: Some(narrow), size: [4, 5], ..Case::plain(7, out_c) };
        check_all(case.clone());
        check_all(Case { size: [1, 2], ..case.clone() });
        check_all(Case { depthwise: true, in_c: out_c, kernel: [3, 3], pad: [1, 1], beyond: [1, 1], size: [6, 9], ..case });
    }
}

#[test]
fn requantizations_of_any_shift() {
    for shift in 24..=45 {
        check_all(Case { shift, size: [9, 8], ..Case::plain(13, 21) });
        check_all(Case { shift, depthwise: true, kernel: [3, 3], pad: [1, 1], beyond: [1, 1], size: [9, 11], ..Case::plain(9, 9) });
    }
}

fn any_case() -> impl Strategy<Value = Case> {
    let pair = |least: u32, most: u32| [least..=most, least..=most];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    let sizes = (1..=2u32, pair(1, 13), 1..=21u32, pair(0, 3), 1..=35u32);
    // Windows of one pixel have code of their own.
    let point = ([1..=1u32, 1..=1], [1..=1u32, 1..=1], [1..=1u32, 1..=1], [0..=0u32, 0..=0], [0..=0u32, 0..=0]);
    let window = prop_oneof![3 => (pair(1, 4), pair(1, 3), pair(1, 2), pair(0, 3), pair(0, 3)), 1 => point];
    (flags, sizes, window, 28..=42u8).prop_map(
        |(flags, (batch, size, in_c, spare, out_c), (kernel, stride, dilation, pad, beyond), shift)| Case {
            depthwise: flags.0,
            int8: flags.1,
            signed: flags.2,
            batch,
            size,
            in_c,
            spare,
            out_c,
            kernel,
            stride,
            dilation,
            pad,
            beyond,
            residual: flags.3,
            in_place: flags.4,
            by_columns: flags.5,
            shift,
            narrow: None,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_windows(case in any_case(), seed in any::<u64>()) {
        case.check(seed);
    }
}

#[test]
fn depthwise_convolutions() {
    for channels in [1, 4, 6, 19, 24] {
        let plain = Case { depthwise: true, kernel: [3, 3], pad: [1, 1], beyond: [1, 1], size: [9, 11], ..Case::plain(channels, channels) };
        check_all(plain.clone());
        check_all(Case { stride: [2, 2], batch: 2, ..plain.clone() });
        check_all(Case { kernel: [5, 5], pad: [2, 2], beyond: [2, 2], size: [7, 7], ..plain.clone() });
        check_all(Case { kernel: [2, 4], dilation: [2, 3], ..plain.clone() });
        check_all(Case { size: [3, 2], ..plain.clone() });
        check_all(Case { residual: true, in_place: true, spare: [1, 2], ..plain.clone() });
        // A factor for each channel.
        let scale = Case { kernel: [1, 1], pad: [0, 0], beyond: [0, 0], batch: 2, ..plain.clone() };
        check_all(Case { residual: true, in_place: true, ..scale.clone() });
        check_all(Case { size: [3, 1], ..scale.clone() });
        check_all(scale);
        check_all(Case { by_columns: true, pad: [0, 0], beyond: [0, 0], ..plain });
    }
}

/// A product whose weights an earlier kernel packs into the arena, anew in every run.
#[test]
fn float_weights_in_the_arena() {
    for (pixels, in_c, out_c) in [(1, 3, 5), (2, 2, 2), (7, 8, 16), (13, 5, 33)] {
        let padded = u32::next_multiple_of(out_c, 16);
        let (x, w, packed, y) = (pixels * in_c, in_c * out_c, in_c * padded, pixels * out_c);
        let room = |count: u32| (count * 4).next_multiple_of(64) + 64;
        let (w_at, packed_at) = (room(x), room(x) + room(w));
        let y_at = packed_at + room(packed);
        let text = format!(
            r#"
plan "product" version 1 arena {} weights 64
buffer b0 "x" f32 x {x} arena 0
buffer b1 "w" f32 x {w} arena {w_at}
buffer b2 "packed" f32 x {packed} arena {packed_at}
buffer b3 "y" f32 x {y} arena {y_at}
input "x" b0 [{pixels}, {in_c}]
input "w" b1 [{in_c}, {out_c}]
output "y" b3 [{pixels}, {out_c}]
kernel pack {{
  nest parallel [{}, {in_c}, 16]
  v0 = load b1 at 0 [1*i1 of {in_c} by {out_c}, 16*i0 + 1*i2 of {out_c} by 1] else f32 0.0
  store b2 at 0 [1*i0 of {} by {}, 1*i1 of {in_c} by 16, 1*i2 of 16 by 1] = v0
}}
kernel product {{
  contract f32 b0 * b2 batch 1 in 1 x {pixels} x {in_c} pixel {in_c} offset 0 out 1 x {pixels} x {out_c} kernel 1 x 1 stride 1 x 1 dilation 1 x 1 pad 0 x 0
  v0 = total 0
  store b3 at 0 [1*i0 of {pixels} by {out_c}, 1*i1 of {out_c} by 1] = v0
}}
"#,
            y_at + room(y),
            padded / 16,
            padded / 16,
            in_c * 16,
        );
        let plan: Plan = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut random = Random(77);
        let [x, w] = [x, w].map(|count| random.elements(DType::F32, count as usize));
        check_beside(&plan, &[0; 64], &[&x, &w], &[], 16.0);
    }
}
