//! Attention and kernels over rows: the text form, the verifier and the evaluator.

mod support;

use mlp_bundle::loops::eval;
use mlp_bundle::plan::{Plan, verify};
use support::refuses;

/// Attention of two heads over a packed product `[3, 3 * 4]`, then softmax and layer normalization of its result's rows.
const PLAN: &str = r#"
plan "sample" version 1 arena 1024 weights 64
buffer b0 "qkv" f32 x 36 arena 0
buffer b1 "mask" f32 x 3 arena 192
buffer b2 "out" f32 x 12 arena 256
buffer b3 "softmax" f32 x 12 arena 320
buffer b4 "norm" f32 x 12 arena 384
input "qkv" b0 [3, 12]
input "mask" b1 [3]
output "out" b2 [3, 4]
output "softmax" b3 [3, 4]
output "norm" b4 [3, 4]

kernel attention {
  attention batch 1 heads 2 rows 3 keys 3 depth 2 width 2 scale f32 0.5 guarded
  query b0 at 0 by [36, 2, 12]
  key b0 at 4 by [36, 2, 12]
  value b0 at 8 by [36, 2, 12]
  out b2 at 0 by [12, 2, 4]
  mask b1 at 0 by [0, 0, 0, 1]
}

kernel softmax {
  rows parallel [3] length 4
  v0 = load b2 at 0 [4*i0 + 1*i1 of 12 by 1]
  v1 = total 0
  v2 = sub v0 v1
  v3 = exp v2
  v4 = total 1
  v5 = div v3 v4
  reduce max v0
  reduce sum v3
  store b3 at 0 [4*i0 + 1*i1 of 12 by 1] = v5
}

kernel norm {
  rows parallel [3] length 4
  v0 = load b2 at 0 [4*i0 + 1*i1 of 12 by 1]
  v1 = total 0
  v2 = const f32 0.25
  v3 = mul v1 v2
  v4 = sub v0 v3
  v5 = mul v4 v4
  v6 = total 1
  v7 = mul v6 v2
  v8 = const f32 0.01
  v9 = add v7 v8
  v10 = sqrt v9
  v11 = div v4 v10
  reduce sum v0
  reduce sum v5
  store b4 at 0 [4*i0 + 1*i1 of 12 by 1] = v11
}
"#;

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn run(text: &str, qkv: &[f32], mask: &[f32]) -> Vec<Vec<f32>> {
    let plan: Plan = text.parse().unwrap();
    eval::run(&plan, &[0; 64], &[&bytes(qkv), &bytes(mask)], &[]).unwrap().iter().map(|output| floats(output)).collect()
}

fn qkv() -> Vec<f32> {
    (0..36).map(|i| ((i * 7919) % 23) as f32 * 0.25 - 2.5).collect()
}

/// The formula, over explicit indices.
fn expected(qkv: &[f32], mask: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; 12];
    for (row, head) in (0..3).flat_map(|row| (0..2).map(move |head| (row, head))) {
        let at = |row: usize, part: usize, d: usize| qkv[row * 12 + part * 4 + head * 2 + d];
        let weight = |key: usize| (0.5 * (0..2).map(|d| at(row, 0, d) * at(key, 1, d)).sum::<f32>() + mask[key]).exp();
        let sum: f32 = (0..3).map(weight).sum();
        for d in 0..2 {
            out[row * 4 + head * 2 + d] = (0..3).map(|key| weight(key) * at(key, 2, d)).sum::<f32>() / sum;
        }
    }
    out
}

fn assert_close(actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len());
    for (a, b) in actual.iter().zip(expected) {
        assert!((a - b).abs() <= 1e-5, "{actual:?} is not {expected:?}");
    }
}

#[test]
fn printing_and_parsing_are_inverse() {
    let plan: Plan = PLAN.parse().unwrap();
    assert_eq!(plan.to_string().parse::<Plan>().unwrap(), plan);
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    assert_eq!(plan.kernels[0].macs(), 2 * 3 * 3 * (2 + 2));
}

#[test]
fn evaluates_the_formulas() {
    let mask = [0.0, -1.5, f32::NEG_INFINITY];
    let outputs = run(PLAN, &qkv(), &mask);
    assert_close(&outputs[0], &expected(&qkv(), &mask));
    for (row, (softmax, norm)) in outputs[0].chunks(4).zip(outputs[1].chunks(4).zip(outputs[2].chunks(4))) {
        let powers: Vec<f32> = row.iter().map(|x| x.exp()).collect();
        let sum: f32 = powers.iter().sum();
        assert_close(softmax, &powers.iter().map(|power| power / sum).collect::<Vec<_>>());
        let mean = row.iter().sum::<f32>() / 4.0;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 4.0;
        assert_close(norm, &row.iter().map(|x| (x - mean) / (variance + 0.01).sqrt()).collect::<Vec<_>>());
    }
}

#[test]
fn rows_without_a_finite_score_are_zero_where_guarded() {
    let mask = [f32::NEG_INFINITY; 3];
    assert_eq!(run(PLAN, &qkv(), &mask)[0], [0.0; 12]);
    let open = PLAN.replace(" guarded", "");
    assert!(run(&open, &qkv(), &mask)[0].iter().all(|value| value.is_nan()));
    // A NaN in one query spoils its row and no other.
    let mut spoiled = qkv();
    spoiled[12] = f32::NAN;
    let out = &run(&open, &spoiled, &[0.0; 3])[0];
    assert!(out[4].is_nan() && out[5].is_nan());
    assert_close(&[&out[..4], &out[6..]].concat(), &{
        let all = expected(&qkv(), &[0.0; 3]);
        [&all[..4], &all[6..]].concat()
    });
}

#[test]
fn the_verifier_refuses_broken_plans() {
    let cases = [
        ("query b0 at 0 by [36, 2, 12]", "query b0 at 9 by [36, 2, 12]", "its query reaches past the 36 elements"),
        ("key b0 at 4 by [36, 2, 12]", "key b0 at 4 by [36, 2, 18446744073709551615]", "its key reaches past"),
        ("value b0 at 8", "value b9 at 8", "its value has no buffer"),
        ("f32 x 3 arena 192", "i32 x 3 arena 192", "its mask is i32"),
        ("mask b1 at 0 by [0, 0, 0, 1]", "mask b1 at 0 by [0, 0, 1, 1]", "its mask reaches past"),
        ("out b2 at 0 by [12, 2, 4]", "out b2 at 0 by [12, 1, 4]", "two points store"),
        ("out b2 at 0 by [12, 2, 4]", "out b0 at 0 by [12, 2, 4]", "it stores over what it reads"),
        ("buffer b2 \"out\" f32 x 12 arena 256", "buffer b2 \"out\" f32 x 12 weights 0", "do not fit"),
        ("heads 2", "heads 0", "a size of it is 0"),
        ("scale f32 0.5", "scale f32 bits:7f800000", "no finite number"),
        ("v5 = div v3 v4\n  reduce max v0", "v5 = div v3 v4\n  reduce max v3", "reduction 0 reads the total"),
        ("reduce sum v5", "reduce sum v9", "reduction 1 reads the total"),
        ("reduce max v0\n  reduce sum v3", "reduce max v0", "there is no total 1"),
        ("of 12 by 1] = v5", "of 12 by 2] = v5", "reaches past"),
        ("4*i0 + 1*i1 of 12 by 1] = v11", "4*i0 of 12 by 1] = v11", "two points store"),
        (
            "rows parallel [3] length 4\n  v0 = load b2 at 0 [4*i0 + 1*i1 of 12 by 1]\n  v1 = total 0\n  v2 = sub",
            "rows parallel [3] length 0\n  v0 = load b2 at 0 [4*i0 + 1*i1 of 12 by 1]\n  v1 = total 0\n  v2 = sub",
            "a loop is empty",
        ),
    ];
    verify::verify(&PLAN.parse().unwrap()).unwrap();
    refuses(PLAN, &cases);
}

#[test]
fn rows_may_be_stored_in_place() {
    let apart = run(PLAN, &qkv(), &[0.0; 3]);
    let in_place = PLAN
        .replace("store b3", "store b2")
        .replace("output \"softmax\" b3", "output \"softmax\" b2")
        .replace("output \"out\" b2 [3, 4]\n", "");
    let in_place = in_place.split("kernel norm").next().unwrap();
    assert_eq!(run(in_place, &qkv(), &[0.0; 3])[0], apart[1]);
}

/// A product whose weights an earlier kernel packs into the arena.
#[test]
fn float_weights_may_lie_in_the_arena() {
    let text = r#"
plan "product" version 1 arena 512 weights 64
buffer b0 "x" f32 x 4 arena 0
buffer b1 "w" f32 x 4 arena 64
buffer b2 "packed" f32 x 32 arena 128
buffer b3 "y" f32 x 4 arena 320
input "x" b0 [2, 2]
input "w" b1 [2, 2]
output "y" b3 [2, 2]
kernel pack {
  nest parallel [2, 16]
  v0 = load b1 at 0 [1*i0 of 2 by 2, 1*i1 of 2 by 1] else f32 0.0
  store b2 at 0 [16*i0 + 1*i1 of 32 by 1] = v0
}
kernel product {
  contract f32 b0 * b2 batch 1 in 1 x 2 x 2 pixel 2 offset 0 out 1 x 2 x 2 kernel 1 x 1 stride 1 x 1 dilation 1 x 1 pad 0 x 0
  v0 = total 0
  store b3 at 0 [1*i0 of 2 by 2, 1*i1 of 2 by 1] = v0
}
"#;
    assert_eq!(run(text, &[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0])[0], [19.0, 22.0, 43.0, 50.0]);
    let over = text.replace("store b3 at 0", "store b2 at 0");
    let error = verify::verify(&over.parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("it stores over its weights"), "{error}");
}
