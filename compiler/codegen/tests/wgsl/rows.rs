//! Kernels over rows: softmax, normalizations, and whatever else reduces rows.

use crate::harness::{agree, agree_on, parse};
use mlp_codegen::wgsl::emit;

/// A plan of one kernel over rows from `x` (b0) to `y` (b1), with scale and bias (b2, b3) of one row in the weights; `rest` is everything after the load `v0`.
fn over_rows(dtypes: [&str; 2], rows: u32, length: u32, rest: &str) -> String {
    let len = rows * length;
    let [from, to] = dtypes;
    let bytes = (len * 4).next_multiple_of(64);
    let weights = (length * 4).next_multiple_of(64);
    format!(
        "plan \"case\" version 1 arena {} weights {}\nbuffer b0 \"x\" {from} x {len} arena 0\nbuffer b1 \"y\" {to} x {len} arena {bytes}\n\
         buffer b2 \"scale\" f32 x {length} weights 0\nbuffer b3 \"bias\" f32 x {length} weights {weights}\n\
         input \"x\" b0 [{rows}, {length}]\noutput \"y\" b1 [{rows}, {length}]\nkernel k {{ rows parallel [{rows}] length {length}\n\
         v0 = load b0 at 0 [1*i0 of {rows} by {length}, 1*i1 of {length} by 1]\n{rest}\n\
         store b1 at 0 [1*i0 of {rows} by {length}, 1*i1 of {length} by 1] = v99 }}\n",
        2 * bytes + 64,
        2 * weights + 64
    )
    .replace("v99", &format!("v{}", rest.lines().filter(|line| line.trim_start().starts_with('v')).count()))
}

const SOFTMAX: &str = "v1 = total 0\nv2 = sub v0 v1\nv3 = exp v2\nv4 = total 1\nv5 = div v3 v4\nreduce max v0\nreduce sum v3";

fn norm(length: u32) -> String {
    let part = 1.0 / length as f32;
    format!(
        "v1 = total 0\nv2 = const f32 {part:?}\nv3 = mul v1 v2\nv4 = sub v0 v3\nv5 = mul v4 v4\nv6 = total 1\nv7 = mul v6 v2\nv8 = const f32 0.01\n\
         v9 = add v7 v8\nv10 = sqrt v9\nv11 = div v4 v10\nv12 = load b2 at 0 [1*i1 of {length} by 1]\nv13 = mul v11 v12\n\
         v14 = load b3 at 0 [1*i1 of {length} by 1]\nv15 = add v13 v14\nreduce sum v0\nreduce sum v5"
    )
}

/// Lengths for teams of every size, in quads and in elements.
const SHAPES: [(u32, u32); 16] = [
    (1, 1),
    (5, 3),
    (3, 4),
    (70, 10),
    (130, 16),
    (9, 31),
    (33, 32),
    (17, 100),
    (128, 128),
    (6, 129),
    (11, 384),
    (3, 511),
    (5, 1024),
    (2, 2500),
    (1, 5001),
    (1, 20000),
];

#[test]
fn softmax() {
    for (seed, (rows, length)) in (1..).zip(SHAPES) {
        agree(&over_rows(["f32", "f32"], rows, length, SOFTMAX), &[], seed);
    }
}

#[test]
fn layer_normalization() {
    for (seed, (rows, length)) in (1..).zip(SHAPES) {
        agree(&over_rows(["f32", "f32"], rows, length, &norm(length)), &[], seed);
    }
}

#[test]
fn in_place() {
    for (seed, (rows, length)) in (1..).zip(SHAPES) {
        for rest in [SOFTMAX, &norm(length)] {
            let apart = over_rows(["f32", "f32"], rows, length, rest);
            agree(&apart.replace("store b1", "store b0").replace("output \"y\" b1", "output \"y\" b0"), &[], seed);
        }
    }
}

#[test]
fn narrow_elements() {
    for dtype in ["f16", "u8", "i8", "bf16"] {
        for (rows, length) in [(5, 64), (3, 37), (70, 8), (2, 1030)] {
            let integer = dtype.ends_with('8');
            // Doubled and doubled again, or one more: exact on both sides.
            let rest = match integer {
                true => {
                    "v1 = cast f32 v0\nv2 = total 0\nv3 = lt v1 v2\nv4 = const i32 1\nv5 = add v0 v4\nv6 = select v3 v5 v0\nreduce max v1"
                }
                false => "v1 = total 0\nv2 = lt v0 v1\nv3 = add v0 v0\nv4 = select v2 v3 v0\nreduce max v0",
            };
            agree(&over_rows([dtype, dtype], rows, length, rest), &[], u64::from(length));
        }
    }
}

/// Reductions that share walks, all folds, and values that a whole row shares.
#[test]
fn several_reductions() {
    for (seed, (rows, length)) in (1..).zip(SHAPES) {
        let rest = "v1 = mul v0 v0\nv2 = total 0\nv3 = total 1\nv4 = total 2\nv5 = sub v3 v4\nv6 = axis 0\nv7 = cast f32 v6\nv8 = add v5 v7\nv9 = mul v0 v8\n\
                    v10 = total 3\nv11 = add v9 v10\nv12 = axis 1\nv13 = cast f32 v12\nv14 = add v11 v13\nv15 = add v14 v2\n\
                    reduce sum v1\nreduce max v0\nreduce min v1\nreduce min v9";
        agree(&over_rows(["f32", "f32"], rows, length, rest), &[], seed);
    }
}

/// Rows of several axes, gathered, with borders, stored transposed.
#[test]
fn any_access() {
    for (channels, length) in [(4, 48), (5, 33), (2, 300)] {
        let image = channels * length;
        let len = 3 * image;
        let bytes = (len * 4u32).next_multiple_of(64);
        let text = format!(
            "plan \"case\" version 1 arena {} weights 64\nbuffer b0 \"x\" f32 x {len} arena 0\nbuffer b1 \"y\" f32 x {len} arena {bytes}\n\
             buffer b2 \"index\" u8 x 3 arena {}\ninput \"x\" b0 [{len}]\ninput \"index\" b2 [3]\noutput \"y\" b1 [{len}]\n\
             kernel k {{ rows parallel [3, {channels}] length {length}\nv0 = load b2 at 0 [1*i0 of 3 by 1]\nv1 = const i32 3\nv2 = rem v0 v1\n\
             v3 = load b0 at 0 [v2 of 3 by {image}, 1*i1 of {channels} by {length}, 1*i2 + -2 of {length} by 1] else f32 0.5\nv4 = total 0\nv5 = sub v3 v4\n\
             reduce max v3\nstore b1 at 0 [1*i0 of 3 by {image}, 1*i2 of {length} by {channels}, 1*i1 of {channels} by 1] = v5 }}\n",
            2 * bytes + 128,
            2 * bytes,
        );
        agree(&text, &[], u64::from(length));
    }
}

#[test]
fn more_rows_than_one_dimension_of_workgroups() {
    agree(&over_rows(["f32", "f32"], 70_001, 260, SOFTMAX), &[], 1);
}

#[test]
fn infinities_pass_the_folds() {
    let plan = parse(&over_rows(["f32", "f32"], 3, 64, SOFTMAX));
    let mut row = vec![f32::NEG_INFINITY; 3 * 64];
    (row[5], row[70], row[191]) = (1.0, -3e38, 2.0);
    let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
    agree_on(&plan, &[0; 1024][..plan.weights_bytes as usize], &[bytes], &[]);
}

#[test]
fn small_teams_need_one_barrier_a_walk() {
    let barriers = |length: u32| {
        let program = emit(&parse(&over_rows(["f32", "f32"], 64, length, &norm(length)))).expect("the plan is within WebGPU");
        program.modules[0].wgsl.matches("workgroupBarrier").count()
    };
    assert_eq!([barriers(12), barriers(128), barriers(4096)], [0, 2, 4]);
}

/// Rows that a subgroup takes, and rows that the subgroups of a workgroup share; none where an invocation takes a row.
#[test]
fn shared_rows_have_a_variant_for_subgroups() {
    for (length, expected) in [(4, None), (128, Some(0)), (4096, Some(2))] {
        let program = emit(&parse(&over_rows(["f32", "f32"], 64, length, &norm(length)))).expect("the plan is within WebGPU");
        let module = program.modules.iter().find(|module| module.variant == "subgroup");
        assert_eq!(module.map(|module| module.wgsl.matches("workgroupBarrier").count()), expected, "{length}");
        assert!(
            module.is_none_or(|module| module.wgsl.starts_with("enable subgroups;") && module.features == ["subgroups", "subgroup_id"])
        );
    }
}
