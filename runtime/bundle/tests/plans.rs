//! The text form, the verifier and the evaluator, on plans written by hand.

mod support;

use mlp_bundle::loops::eval;
use mlp_bundle::plan::Plan;
use support::refuses;

/// A 1x1 convolution with bias and relu, an average that reads what lies outside as 0, and a gather at run-time indices.
const PLAN: &str = r#"
plan "sample" version 1 arena 1024 weights 384
symbol s0 "photo.height" 1 to 4
buffer b0 "x" f32 x 8 arena 0
buffer b1 "w" f32 x 32 weights 0
buffer b2 "bias" f32 x 2 weights 128
buffer b3 "y" f32 x 8 arena 64
buffer b4 "mean" f32 x 8 arena 128
buffer b5 "index" i64 x 2 arena 256
buffer b6 "picked" u8 x 2 arena 320
input "x" b0 [4, 2]
input "index" b5 [2]
output "y" b3 [4, 2]
output "mean" b4 [4, 2]
output "picked" b6 [2]

kernel conv "Conv_0" "Relu_1" {
  contract f32 b0 * b1 batch 1 in 1 x 4 x 2 pixel 2 offset 0 out 1 x 4 x 2 kernel 1 x 1 stride 1 x 1 dilation 1 x 1 pad 0 x 0
  v0 = total 0
  v1 = load b2 at 0 [1*i1 of 2 by 1]
  v2 = add v0 v1
  v3 = const f32 0.0
  v4 = max v2 v3
  store b3 at 0 [1*i0 of 4 by 2, 1*i1 of 2 by 1] = v4
}

kernel mean {
  nest parallel [4, 2]
  reduce [3]
  v0 = load b3 at 0 [1*i0 + 1*i2 + -1 of 4 by 2, 1*i1 of 2 by 1] else f32 0.0
  v1 = acc 0
  v2 = add v1 v0
  v3 = total 0
  v4 = const f32 3.0
  v5 = div v3 v4
  acc f32 0.0 then v2
  store b4 at 0 [1*i0 of 4 by 2, 1*i1 of 2 by 1] = v5
}

kernel pick {
  nest parallel [2]
  reduce [v7 to 4]
  v0 = load b5 at 0 [1*i0 of 2 by 1]
  v1 = cast i32 v0
  v2 = load b3 at 0 [v1 of 8 by 1] clamp
  v3 = cast i32 v2
  v4 = acc 0
  v5 = add v4 v3
  v6 = total 0
  v7 = symbol s0
  acc i32 0 then v5
  store b6 at 0 [1*i0 of 2 by 1] = v6
}
"#;

fn plan() -> Plan {
    PLAN.parse().unwrap()
}

fn bytes<T: Copy, const N: usize>(values: &[T], to_le: fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| to_le(value)).collect()
}

fn weights() -> Vec<u8> {
    let mut weights = vec![0.0f32; 96];
    // Packed [1][1][1][in_c = 2][16]: y0 = x0 + 2 x1, y1 = -x0.
    (weights[0], weights[16], weights[1]) = (1.0, 2.0, -1.0);
    (weights[32], weights[33]) = (0.5, 1.0);
    bytes(&weights, f32::to_le_bytes)
}

#[test]
fn printing_and_parsing_are_inverse() {
    let plan = plan();
    assert_eq!(plan.to_string().parse::<Plan>().unwrap(), plan);
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
}

#[test]
fn evaluates_contractions_padding_and_dynamic_indices() {
    let x = bytes(&[1.0f32, 2.0, 3.0, 4.0, -5.0, 0.0, 7.0, 1.0], f32::to_le_bytes);
    let index = bytes(&[0i64, 99], i64::to_le_bytes);
    let outputs = eval::run(&plan(), &weights(), &[&x, &index], &[3]).unwrap();
    assert_eq!(outputs[0], bytes(&[5.5f32, 0.0, 11.5, 0.0, 0.0, 6.0, 9.5, 0.0], f32::to_le_bytes));
    let thirds = [17.0f32, 0.0, 17.0, 6.0, 21.0, 6.0, 9.5, 6.0].map(|sum| sum / 3.0);
    assert_eq!(outputs[1], bytes(&thirds, f32::to_le_bytes));
    assert_eq!(outputs[2], [15, 0]);
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let x = [0; 32];
    let error = eval::run(&plan(), &weights(), &[&x, &[0; 8]], &[3]).unwrap_err();
    assert_eq!(error.to_string(), "input `index` has 8 bytes, its shape takes 16");
    let error = eval::run(&plan(), &weights(), &[&x, &[0; 16]], &[5]).unwrap_err();
    assert_eq!(error.to_string(), "`photo.height` is 5, outside 1..=4");
}

/// Each edit breaks one invariant, and the message says which.
#[test]
fn the_verifier_refuses_broken_plans() {
    let cases = [
        ("version 1 arena", "version 2 arena", "its version is 2"),
        ("f32 x 8 arena 64", "f32 x 8 arena 60", "not a multiple of 64"),
        ("u8 x 2 arena 320", "u8 x 2 arena 960", "do not fit"),
        ("arena 1024", "arena 99999999999", "more than"),
        ("1*i0 of 4 by 2, 1*i1 of 2 by 1] = v4", "1*i0 of 4 by 2, 1*i1 of 2 by 2] = v4", "reaches past"),
        ("1*i0 of 4 by 2, 1*i1 of 2 by 1] = v4", "1*i0 of 4 by 1, 1*i1 of 2 by 1] = v4", "two points store"),
        ("1*i0 of 4 by 2, 1*i1 of 2 by 1] = v5", "1*i0 of 4 by 2] = v5", "two points store"),
        ("load b2 at 0 [1*i1 of 2 by 1]", "load b2 at 0 [1*i1 of 1 by 1]", "an index runs over 0..=1"),
        ("[v1 of 8 by 1] clamp", "[v1 of 8 by 1]", "an index runs over"),
        ("v2 = add v0 v1\n  v3 = const", "v2 = add v0 v9\n  v3 = const", "v9 is not defined before it"),
        ("v3 = const f32 0.0", "v3 = const i32 0", "not of one type"),
        ("in 1 x 4 x 2 pixel 2", "in 1 x 4 x 3 pixel 2", "exceed a pixel"),
        ("out 1 x 4 x 2 kernel 1 x 1", "out 1 x 4 x 2 kernel 3 x 1", "its weights have 32 elements"),
        ("store b3 at 0 [1*i0 of 4", "store b0 at 0 [1*i0 of 4", "stores over its input"),
        ("acc f32 0.0 then v2", "acc f32 0.0 then v5", "a total is read inside"),
        ("reduce [v7 to 4]", "reduce [v6 to 4]", "depends on the reduction"),
        ("output \"mean\"", "output \"x\"", "another port has the same name"),
        ("kernel mean", "kernel conv", "another kernel has the same name"),
    ];
    refuses(PLAN, &cases);
}

/// A product of three pixels of four channels: weights of four bits, two inputs a scale, in one panel.
const NARROW: &str = r#"
plan "narrow" version 1 arena 320 weights 448
buffer b0 "x" f32 x 12 arena 0
buffer b1 "w" u8 x 32 weights 0
buffer b2 "scales" f32 x 32 weights 128
buffer b3 "y" f32 x 27 arena 64
input "x" b0 [3, 4]
output "y" b3 [3, 9]

kernel product {
  contract f32 b0 * b1 scales b2 per 2 bits 4 batch 1 in 1 x 3 x 4 pixel 4 offset 0 out 1 x 3 x 9 kernel 1 x 1 stride 1 x 1 dilation 1 x 1 pad 0 x 0
  v0 = total 0
  store b3 at 0 [1*i0 of 3 by 9, 1*i1 of 9 by 1] = v0
}
"#;

#[test]
fn numbers_of_four_bits_stand_for_weights() {
    let plan: Plan = NARROW.parse().unwrap();
    assert_eq!(plan.to_string().parse::<Plan>().unwrap(), plan);
    assert_eq!(serde_json::from_str::<Plan>(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
    let mut weights = vec![0_u8; 448];
    // Channel 0 of inputs 0 to 3 is 1, -2, 7, -8; channel 8, in the high halves, 3, 0, 0, -1.
    (weights[0], weights[8], weights[16], weights[24]) = (0x31, 0x0e, 0x07, 0xf8);
    for (place, scale) in [(0, 0.5_f32), (16, 0.25), (8, 10.0), (24, 100.0)] {
        weights[128 + place * 4..][..4].copy_from_slice(&scale.to_le_bytes());
    }
    let x = bytes(&[1.0_f32, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0], f32::to_le_bytes);
    let outputs = eval::run(&plan, &weights, &[&x], &[]).unwrap();
    let y: Vec<f32> = outputs[0].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    assert_eq!([y[0], y[9], y[18]], [0.5, -0.5, -0.5 + 0.25 * (7.0 - 8.0)]);
    assert_eq!([y[8], y[17], y[26]], [30.0, 30.0, -70.0]);
    assert!(y.iter().enumerate().all(|(n, &y)| matches!(n % 9, 0 | 8) || y == 0.0));
}

#[test]
fn the_verifier_refuses_broken_scales() {
    let cases = [
        ("per 2", "per 3", "of 3 of 4 channels"),
        ("per 2", "per 0", "of 0 of 4 channels"),
        ("per 2", "per 4", "its scales have 32 elements"),
        ("bits 4", "bits 8", "of 8 bits, its weights are u8"),
        ("bits 4", "bits 7", "numbers of 7 bits"),
        ("\"w\" u8 x 32", "\"w\" u8 x 48", "its weights have 48 elements"),
        ("\"w\" u8 x 32 weights 0", "\"w\" u8 x 32 arena 192", "its weights do not lie in the weights"),
        ("scales b2", "scales b9", "no buffer"),
        ("scales b2", "scales b3", "no f32 in the weights"),
        ("\"scales\" f32", "\"scales\" i32", "no f32 in the weights"),
        (" scales b2 per 2 bits 4", "", "its weights are u8 without scales"),
        ("in 1 x 3 x 4 pixel 4 offset 0 out 1 x 3 x 9", "in 1 x 6 x 4 pixel 4 offset 0 out 1 x 3 x 9", "no product"),
        ("contract f32 b0", "contract int8 pad 0 b0", "no product of f32"),
    ];
    refuses(NARROW, &cases);
}

/// Two products of two rows of three channels, and weights of each that lie in the arena.
const IMAGES: &str = r#"
plan "images" version 1 arena 640 weights 64
buffer b0 "x" f32 x 12 arena 0
buffer b1 "w" f32 x 96 arena 64
buffer b2 "y" f32 x 8 arena 512
input "x" b0 [2, 2, 3]
input "w" b1 [2, 1, 3, 16]
output "y" b2 [2, 2, 2]

kernel product {
  contract f32 b0 * b1 each batch 2 in 1 x 2 x 3 pixel 3 offset 0 out 1 x 2 x 2 kernel 1 x 1 stride 1 x 1 dilation 1 x 1 pad 0 x 0
  v0 = total 0
  store b2 at 0 [1*i0 of 4 by 2, 1*i1 of 2 by 1] = v0
}
"#;

#[test]
fn images_have_weights_of_their_own() {
    let plan: Plan = IMAGES.parse().unwrap();
    assert_eq!(plan.to_string().parse::<Plan>().unwrap(), plan);
    assert_eq!(serde_json::from_str::<Plan>(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
    // Columns 0 and 1 of the weights of the first image are 1 and 10 at each input, those of the second one 100 and 1000.
    let column = |at: usize| if at % 16 < 2 { 10f32.powi((at / 48 * 2 + at % 16) as i32) } else { 0.0 };
    let weights: Vec<f32> = (0..96).map(column).collect();
    let x: Vec<f32> = (0..12).map(|n| n as f32).collect();
    let outputs = eval::run(&plan, &[0; 64], &[&bytes(&x, f32::to_le_bytes), &bytes(&weights, f32::to_le_bytes)], &[]).unwrap();
    assert_eq!(outputs[0], bytes(&[3.0, 30.0, 12.0, 120.0, 2100.0, 21000.0, 3000.0, 30000.0], f32::to_le_bytes));
}

#[test]
fn the_verifier_refuses_broken_images() {
    let matrices = "no matrices of f32";
    let cases = [
        ("\"w\" f32 x 96", "\"w\" f32 x 48", "its shape takes 96 elements"),
        ("b1 each", "b1", "its weights have 96 elements, the window takes 48"),
        ("batch 2 in 1 x 2 x 3 pixel 3 offset 0 out 1 x 2", "batch 2 in 2 x 1 x 3 pixel 3 offset 0 out 2 x 1", matrices),
        ("in 1 x 2 x 3 pixel 3 offset 0 out 1 x 2", "in 1 x 2 x 3 pixel 3 offset 0 out 1 x 1", matrices),
        ("\"w\" f32", "\"w\" f16", "its weights do not lie in the weights"),
        ("= v0", "= v2", "reads the number of a pixel"),
    ];
    let numbered = IMAGES.replace("v0 = total 0", "v0 = total 0\n  v1 = axis 0\n  v2 = cast f32 v1");
    refuses(&numbered, &cases[5..]);
    refuses(IMAGES, &cases[..5]);
}

#[test]
fn broken_text_names_its_line() {
    let error = PLAN.replace("= max v2 v3", "= most v2 v3").parse::<Plan>().unwrap_err();
    assert_eq!(error.to_string(), "line 23: `most` is no operation");
}
