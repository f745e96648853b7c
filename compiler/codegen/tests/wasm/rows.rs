//! Kernels over rows: softmax, normalizations and other reductions, of every length, along and across lanes, in place and apart.

use crate::support::{Random, check};
use mlp_bundle::plan::Plan;

/// A plan of one kernel over rows. Row `r` of `x` starts at `r * by[0]`, its elements are `by[1]` apart; results go to `y`, or over `x` where `in_place`.
struct Case {
    rows: u32,
    length: u32,
    by: [u32; 2],
    in_place: bool,
}

impl Case {
    /// The plan. Expressions may read `v0`, an element of `x`, `v1`, one of a vector along the row, and `v2`, one of a vector along the rows.
    fn plan(&self, body: &str, value: &str) -> String {
        let (rows, length) = (self.rows, self.length);
        let count = rows * length;
        let room = (count * 4).next_multiple_of(64) + 64;
        let place = format!("at 0 [1*i0 of {rows} by {}, 1*i1 of {length} by {}]", self.by[0], self.by[1]);
        let (out, outputs) = if self.in_place { ("b0", "output \"z\" b0") } else { ("b3", "output \"z\" b3") };
        format!(
            r#"
plan "rows" version 1 arena {} weights 64
buffer b0 "x" f32 x {count} arena 0
buffer b1 "along" f32 x {length} arena {room}
buffer b2 "across" f32 x {rows} arena {}
buffer b3 "z" f32 x {count} arena {}
input "x" b0 [{rows}, {length}]
input "along" b1 [{length}]
input "across" b2 [{rows}]
{outputs} [{rows}, {length}]

kernel rows {{
  rows parallel [{rows}] length {length}
  v0 = load b0 {place}
  v1 = load b1 at 0 [1*i1 of {length} by 1]
  v2 = load b2 at 0 [1*i0 of {rows} by 1]
{body}
  store {out} {place} = {value}
}}
"#,
            room * 4,
            room * 2,
            room * 3
        )
    }

    fn check(&self, body: &str, value: &str) {
        let text = self.plan(body, value);
        let plan: Plan = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut random = Random(u64::from(self.rows * 1000 + self.length) | 1 << 40);
        let mut floats = |count: u32| -> Vec<u8> { (0..count).flat_map(|_| (random.unit() * 3.0).to_le_bytes()).collect() };
        let inputs = [floats(self.rows * self.length), floats(self.length), floats(self.rows)];
        let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        check(&plan, &[0; 64], &inputs, &[]);
    }
}

const SOFTMAX: (&str, &str) =
    ("  v3 = total 0\n  v4 = sub v0 v3\n  v5 = exp v4\n  v6 = total 1\n  v7 = div v5 v6\n  reduce max v0\n  reduce sum v5", "v7");

/// The variance is kept away from 0, where rounding of the sums decides.
fn layer_norm(length: u32) -> (String, &'static str) {
    let body = format!(
        "  v3 = const f32 {}\n  v4 = total 0\n  v5 = mul v4 v3\n  v6 = sub v0 v5\n  v7 = mul v6 v6\n  v8 = total 1\n  v9 = mul v8 v3\n  v10 = const f32 0.1
  v11 = add v9 v10\n  v12 = sqrt v11\n  v13 = div v6 v12\n  v14 = mul v13 v1\n  v15 = add v14 v2\n  reduce sum v0\n  reduce sum v7",
        (1.0 / length as f32) as f64
    );
    (body, "v15")
}

/// Several reductions of one walk, one that waits for two of them, and values of other types.
const MANY: (&str, &str) = (
    "  v3 = axis 1\n  v4 = cast f32 v3\n  v5 = const f32 0.125\n  v6 = mul v4 v5\n  v7 = add v0 v6\n  v8 = mul v7 v1\n  v9 = total 0\n  v10 = total 1
  v11 = total 2\n  v12 = sub v9 v10\n  v13 = add v7 v12\n  v14 = erf v13\n  v15 = total 3\n  v16 = lt v0 v2\n  v17 = select v16 v14 v15\n  v18 = add v17 v11
  v19 = abs v12\n  v20 = add v18 v19\n  reduce max v7\n  reduce min v8\n  reduce sum v8\n  reduce max v14",
    "v20",
);

fn check_all(case: &Case) {
    case.check(SOFTMAX.0, SOFTMAX.1);
    let (body, value) = layer_norm(case.length);
    case.check(&body, value);
    case.check(MANY.0, MANY.1);
}

#[test]
fn rows_of_every_length() {
    for length in (1..=21).chain([32, 33, 47, 64, 130]) {
        for in_place in [false, true] {
            for rows in [1, 3] {
                check_all(&Case { rows, length, by: [length, 1], in_place });
            }
        }
    }
}

/// Elements of a row far apart, rows side by side: lanes go across.
#[test]
fn rows_across_lanes() {
    for rows in [1, 2, 4, 5, 7, 8, 11] {
        for length in [1, 2, 3, 4, 6, 9, 16] {
            for in_place in [false, true] {
                check_all(&Case { rows, length, by: [1, rows], in_place });
            }
        }
    }
}

/// Totals alone, no loop over rows, bytes and halves, checked indices along the row, gathered rows.
#[test]
fn rows_of_other_kinds() {
    for length in [3, 4, 7, 10] {
        for bounds in ["else f32 0.5", "clamp"] {
            let text = format!(
                r#"
plan "rows" version 1 arena 4096 weights 64
buffer b0 "x" f32 x 60 arena 0
buffer b1 "index" i32 x 3 arena 512
buffer b2 "bytes" u8 x {length} arena 1024
buffer b3 "picked" f32 x {n} arena 1536
buffer b4 "halves" f16 x {length} arena 2048
buffer b5 "most" i32 x 1 arena 2560
input "x" b0 [6, 10]
input "index" b1 [3]
input "bytes" b2 [{length}]
output "picked" b3 [3, {length}]
output "halves" b4 [{length}]
output "most" b5 [1]

kernel gathered {{
  rows parallel [3] length {length}
  v0 = load b1 at 0 [1*i0 of 3 by 1]
  v1 = load b0 at 0 [v0 of 6 by 10, 1*i1 of 10 by 1] {bounds}
  v2 = load b0 at 0 [1*i0 of 6 by 10, 2*i1 + -3 of 10 by 1] {bounds}
  v3 = add v1 v2
  v4 = total 0
  v5 = sub v3 v4
  reduce max v3
  store b3 at 0 [1*i0 of 3 by {length}, 1*i1 of {length} by 1] = v5
}}

kernel bytes {{
  rows parallel [] length {length}
  v0 = load b2 at 0 [1*i0 of {length} by 1]
  v1 = cast f32 v0
  v2 = total 0
  v3 = div v1 v2
  v4 = total 1
  v5 = cast i32 v4
  reduce max v1
  reduce sum v1
  store b4 at 0 [1*i0 of {length} by 1] = v3
}}

kernel total {{
  rows parallel [1] length 1
  v0 = load b2 at 0 [1*i1 of {length} by 1]
  v1 = cast f32 v0
  v2 = total 0
  v3 = cast i32 v2
  reduce max v1
  store b5 at 0 [1*i0 of 1 by 1] = v3
}}
"#,
                n = 3 * length
            );
            let plan: Plan = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
            let mut random = Random(0x1234_5678_9abc);
            let x: Vec<u8> = (0..60).flat_map(|_| random.unit().to_le_bytes()).collect();
            let index: Vec<u8> = [4i32, -1, 7].iter().flat_map(|index| index.to_le_bytes()).collect();
            let bytes: Vec<u8> = (0..length).map(|n| 40 + 17 * n as u8).collect();
            check(&plan, &[0; 64], &[&x, &index, &bytes], &[]);
        }
    }
}
