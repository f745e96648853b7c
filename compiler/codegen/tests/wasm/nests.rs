//! Loop nests: every operation on every type, every kind of access, lanes and their ends.

use crate::support::{check, check_random};
use mlp_bundle::DType;
use mlp_bundle::plan::Plan;

/// A plan of one map over `count` elements; the body defines the stored value from `v0` and `v1`.
fn map(dtype: DType, result: DType, count: usize, body: &str) -> String {
    let room = (count * 8).next_multiple_of(64) + 64;
    format!(
        r#"
plan "map" version 1 arena {} weights 64
buffer b0 "x" {dtype} x {count} arena 0
buffer b1 "y" {dtype} x {count} arena {room}
buffer b2 "z" {result} x {count} arena {}
input "x" b0 [{count}]
input "y" b1 [{count}]
output "z" b2 [{count}]

kernel map {{
  nest parallel [{count}]
  v0 = load b0 at 0 [1*i0 of {count} by 1]
  v1 = load b1 at 0 [1*i0 of {count} by 1]
{body}
}}
"#,
        room * 3,
        room * 2
    )
}

fn stored(value: &str, count: usize) -> String {
    format!("  store b2 at 0 [1*i0 of {count} by 1] = {value}")
}

const COMPUTE: [DType; 7] = [DType::Bool, DType::I32, DType::U32, DType::I64, DType::U64, DType::F32, DType::F64];

#[test]
fn operations_of_one_operand() {
    for dtype in COMPUTE {
        for op in ["neg", "abs", "not", "sqrt", "round_even", "floor", "ceil", "trunc", "exp", "log", "tanh", "erf", "sin", "cos"] {
            let fits = match op {
                "neg" | "abs" => dtype != DType::Bool,
                "not" => !dtype.is_float(),
                _ => dtype.is_float(),
            };
            for count in [3, 11] {
                if fits {
                    check_random(&map(dtype, dtype, count, &format!("  v2 = {op} v0\n{}", stored("v2", count))), &[]);
                }
            }
        }
    }
}

#[test]
fn operations_of_two_operands() {
    for dtype in COMPUTE {
        for op in ["add", "sub", "mul", "div", "rem", "min", "max", "pow", "and", "or", "xor", "shl", "shr"] {
            let fits = match op {
                "add" | "mul" => true,
                "sub" | "div" | "rem" | "min" | "max" => dtype != DType::Bool,
                "pow" => dtype.is_float(),
                "and" | "or" | "xor" => !dtype.is_float(),
                _ => dtype.is_int(),
            };
            for count in [2, 9] {
                if fits {
                    check_random(&map(dtype, dtype, count, &format!("  v2 = {op} v0 v1\n{}", stored("v2", count))), &[]);
                }
            }
        }
        for op in ["eq", "ne", "lt", "le"] {
            let body = format!("  v2 = {op} v0 v1\n  v3 = select v2 v0 v1\n{}", stored("v3", 10));
            check_random(&map(dtype, dtype, 10, &body), &[]);
            check_random(&map(dtype, DType::Bool, 10, &format!("  v2 = {op} v0 v1\n{}", stored("v2", 10))), &[]);
        }
    }
}

#[test]
fn conversions_between_all_types() {
    for from in DType::ALL {
        for to in DType::ALL {
            let body = format!("  v2 = cast {} v0\n{}", to.compute(), stored("v2", 13));
            check_random(&map(from, to, 13, &body), &[]);
        }
    }
    for (from, to) in [(DType::F32, DType::I32), (DType::U32, DType::F32), (DType::F64, DType::I64), (DType::I32, DType::U32)] {
        check_random(&map(from, to, 6, &format!("  v2 = bitcast {to} v0\n{}", stored("v2", 6))), &[]);
    }
}

/// Arguments at which functions have no ordinary value.
#[test]
fn special_arguments() {
    let values = [
        0.0f32,
        -0.0,
        1.0,
        -1.0,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        1e-40,
        -1e-40,
        3e38,
        -3e38,
        88.7,
        89.5,
        -87.5,
        -103.0,
        -110.0,
        0.5,
        -0.5,
        1.5,
        2.5,
        -2.5,
        4e9,
        -4e9,
        1e20,
        6e-8,
        65519.0,
        65520.0,
        2.0,
        -3.0,
        1e-3,
        100.0,
        0.7,
    ];
    let count = values.len();
    let x: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    for shift in [0, 3, 5] {
        let y: Vec<u8> = (0..count).flat_map(|n| values[(n * 7 + shift) % count].to_le_bytes()).collect();
        for body in
            ["exp v0", "log v0", "tanh v0", "erf v0", "pow v0 v1", "min v0 v1", "max v0 v1", "rem v0 v1", "round_even v0", "sqrt v0"]
        {
            let plan: Plan = map(DType::F32, DType::F32, count, &format!("  v2 = {body}\n{}", stored("v2", count))).parse().unwrap();
            check(&plan, &[0; 64], &[&x, &y], &[]);
        }
        for to in [DType::I32, DType::U32, DType::U8, DType::I64, DType::U64, DType::F16, DType::BF16, DType::Bool] {
            let body = format!("  v2 = cast {} v0\n{}", to.compute(), stored("v2", count));
            let plan: Plan = map(DType::F32, to, count, &body).parse().unwrap();
            check(&plan, &[0; 64], &[&x, &y], &[]);
        }
    }
}

#[test]
fn requantization_at_every_shift() {
    for shift in 1..=62 {
        for count in [3, 8] {
            let body = format!("  v2 = requantize v0 v1 {shift}\n{}", stored("v2", count));
            check_random(&map(DType::I32, DType::I32, count, &body), &[]);
            let body = format!("  v2 = const i32 1\n  v3 = requantize v0 v2 {shift}\n{}", stored("v3", count));
            check_random(&map(DType::I32, DType::I32, count, &body), &[]);
        }
    }
    let halves: Vec<u8> = (-20..20i32).flat_map(|n| (n * 16).to_le_bytes()).collect();
    let ones: Vec<u8> = (0..40).flat_map(|_| (1i32 << 27).to_le_bytes()).collect();
    for shift in [5, 31, 32, 33, 40] {
        let body = format!("  v2 = requantize v0 v1 {shift}\n{}", stored("v2", 40));
        check(&map(DType::I32, DType::I32, 40, &body).parse().unwrap(), &[0; 64], &[&halves, &ones], &[]);
    }
}

/// In-place maps, broadcasting over either axis, transposition, and a tail of every length.
#[test]
fn accesses_of_every_shape() {
    for width in [1, 3, 4, 5, 6, 7, 8, 12, 17] {
        let plan = format!(
            r#"
plan "shapes" version 1 arena 8192 weights 64
buffer b0 "x" f32 x {n} arena 0
buffer b1 "row" f32 x {width} arena 1024
buffer b2 "column" f32 x 5 arena 2048
buffer b3 "sum" f32 x {n} arena 3072
buffer b4 "turned" f32 x {n} arena 4096
buffer b5 "bytes" u8 x {n} arena 5120
input "x" b0 [5, {width}]
input "row" b1 [{width}]
input "column" b2 [5]
output "x" b0 [5, {width}]
output "sum" b3 [5, {width}]
output "turned" b4 [{width}, 5]
output "bytes" b5 [5, {width}]

kernel sum {{
  nest parallel [5, {width}]
  v0 = load b0 at 0 [1*i0 of 5 by {width}, 1*i1 of {width} by 1]
  v1 = load b1 at 0 [1*i1 of {width} by 1]
  v2 = load b2 at 0 [1*i0 of 5 by 1]
  v3 = add v0 v1
  v4 = mul v3 v2
  v5 = axis 1
  v6 = cast f32 v5
  v7 = add v4 v6
  store b3 at 0 [1*i0 of 5 by {width}, 1*i1 of {width} by 1] = v7
  store b4 at 0 [1*i1 of {width} by 5, 1*i0 of 5 by 1] = v4
}}

kernel place {{
  nest parallel [5, {width}]
  v0 = load b0 at 0 [1*i0 of 5 by {width}, 1*i1 of {width} by 1]
  v1 = load b1 at 0 [1*i1 of {width} by 1]
  v2 = add v0 v1
  store b0 at 0 [1*i0 of 5 by {width}, 1*i1 of {width} by 1] = v2
}}

kernel bytes {{
  nest parallel [1, 5, {width}]
  v0 = load b3 at 0 [1*i1 of 5 by {width}, 1*i2 of {width} by 1]
  v1 = const f32 20.0
  v2 = mul v0 v1
  v3 = round_even v2
  v4 = cast i32 v3
  v5 = const i32 255
  v6 = min v4 v5
  v7 = const i32 0
  v8 = max v6 v7
  store b5 at 0 [1*i1 of 5 by {width}, 1*i2 of {width} by 1] = v8
}}
"#,
            n = 5 * width
        );
        check_random(&plan.replace("input \"x\" b0", "input \"in\" b0"), &[]);
    }
}

/// Pooling with padding, clamped neighbours, gathers, reversed and strided reads, symbols, several accumulators.
#[test]
fn reductions_and_checked_indices() {
    for channels in [1, 4, 6, 9] {
        for bounds in ["else f32 -1.0", "clamp"] {
            let n = 35 * channels;
            let plan = format!(
                r#"
plan "pool" version 1 arena 16384 weights 64
symbol s0 "rows" 1 to 5
buffer b0 "x" f32 x {n} arena 0
buffer b1 "index" i64 x 6 arena 4096
buffer b2 "most" f32 x {out} arena 5120
buffer b3 "picked" f32 x {picked} arena 8192
buffer b4 "mean" f32 x {channels} arena 10240
buffer b5 "place" i32 x {channels} arena 11264
buffer b6 "back" f32 x {n} arena 12288
input "x" b0 [5, 7, {channels}]
input "index" b1 [6]
output "most" b2 [3, 4, {channels}]
output "picked" b3 [6, {channels}]
output "mean" b4 [{channels}]
output "place" b5 [{channels}]
output "back" b6 [5, 7, {channels}]

kernel pool {{
  nest parallel [3, 4, {channels}]
  reduce [3, 3]
  v0 = load b0 at 0 [2*i0 + 1*i3 + -1 of 5 by {row}, 2*i1 + 1*i4 + -1 of 7 by {channels}, 1*i2 of {channels} by 1] {bounds}
  v1 = acc 0
  v2 = max v1 v0
  v3 = total 0
  v4 = axis 0
  v5 = cast f32 v4
  v6 = add v3 v5
  acc f32 -3.0 then v2
  store b2 at 0 [1*i0 of 3 by {four}, 1*i1 of 4 by {channels}, 1*i2 of {channels} by 1] = v6
}}

kernel pick {{
  nest parallel [6, {channels}]
  v0 = load b1 at 0 [1*i0 of 6 by 1]
  v1 = cast i32 v0
  v2 = load b0 at 0 [v1 of 35 by {channels}, 1*i1 of {channels} by 1] {bounds}
  v3 = load b0 at 0 [2*i0 + -3 + v1 of 35 by {channels}, 1*i1 of {channels} by 1] {bounds}
  v4 = add v2 v3
  store b3 at 0 [1*i0 of 6 by {channels}, 1*i1 of {channels} by 1] = v4
}}

kernel mean {{
  nest parallel [{channels}]
  reduce [v7 to 5, 7]
  v0 = load b0 at 0 [1*i1 of 5 by {row}, 1*i2 of 7 by {channels}, 1*i0 of {channels} by 1]
  v1 = acc 0
  v2 = acc 1
  v3 = lt v1 v0
  v4 = axis 2
  v5 = select v3 v4 v2
  v6 = max v1 v0
  v7 = symbol s0
  v8 = total 0
  v9 = total 1
  acc f32 -9.0 then v6
  acc i32 -1 then v5
  store b4 at 0 [1*i0 of {channels} by 1] = v8
  store b5 at 0 [1*i0 of {channels} by 1] = v9
}}

kernel back {{
  nest parallel [5, 7, {channels}]
  v0 = load b0 at 0 [-1*i0 + 4 of 5 by {row}, -1*i1 + 6 of 7 by {channels}, 1*i2 of {channels} by 1]
  store b6 at 0 [1*i0 of 5 by {row}, 1*i1 of 7 by {channels}, 1*i2 of {channels} by 1] = v0
}}
"#,
                out = 12 * channels,
                picked = 6 * channels,
                row = 7 * channels,
                four = 4 * channels,
            );
            let plan: Plan = plan.parse().unwrap();
            let x: Vec<u8> = (0..n).flat_map(|n| ((n * 37 % 101) as f32 / 25.0 - 2.0).to_le_bytes()).collect();
            let index: Vec<u8> =
                [0i64, 34, -1, 35, i64::from(i32::MAX), i64::from(i32::MIN)].iter().flat_map(|n| n.to_le_bytes()).collect();
            for rows in [1, 3, 5] {
                check(&plan, &[0; 64], &[&x, &index], &[rows]);
            }
        }
    }
}
