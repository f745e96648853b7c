//! Memory: what may share bytes does, what may not does not, and errors say what to do.

mod support;

use mlp_bundle::loops::{Body, BufferId};
use mlp_bundle::plan::{Place, Plan};
use mlp_plan::{PlanError, PlanOptions, plan};
use std::collections::BTreeMap;
use support::{check, graph, kernels};

/// First and last kernel of each arena buffer, worked out from the plan alone.
fn lives(plan: &Plan) -> BTreeMap<BufferId, (usize, usize)> {
    let mut lives: BTreeMap<BufferId, (usize, usize)> = BTreeMap::new();
    let mut touch = |id: BufferId, time: usize| {
        let life = lives.entry(id).or_insert((time, time));
        *life = (life.0.min(time), life.1.max(time));
    };
    plan.inputs.iter().for_each(|port| touch(port.buffer, 0));
    for (time, kernel) in plan.kernels.iter().enumerate() {
        let text = format!("{:?}", kernel.body);
        for id in plan.buffers.keys() {
            // Entities print as `b3`: whole words only.
            let name = id.to_string();
            if text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == name) {
                touch(id, time);
            }
        }
    }
    plan.outputs.iter().for_each(|port| touch(port.buffer, plan.kernels.len()));
    lives.retain(|&id, _| matches!(plan.buffers[id].place, Place::Arena { .. }));
    lives
}

#[test]
fn buffers_needed_together_lie_apart() {
    let mut text = String::from("input %0 \"x\": f32[1, 8, 8, 8]\n");
    for index in 1..40 {
        // Each sums two earlier ones, as far back as six, after a reduction that nothing fuses with.
        let (a, b) = (index - 1, if index > 6 { index - 1 - index % 6 } else { 0 });
        let (left, right) = (3 * a, 3 * b);
        let value = 3 * index;
        text.push_str(&format!("%{} = constant noise({index}): f32[8, 8, 1, 1]\n", value - 2));
        let attributes =
            "kernel=[1, 1], strides=[1, 1], dilations=[1, 1], pads_begin=[0, 0], pads_end=[0, 0], groups=1, layout=channels_last";
        text.push_str(&format!("%{} = conv %{left}, %{} {{{attributes}}}: f32[1, 8, 8, 8]\n", value - 1, value - 2));
        text.push_str(&format!("%{value} = max %{}, %{right}: f32[1, 8, 8, 8]\n", value - 1));
    }
    text.push_str("%118 = tanh %117: f32[1, 8, 8, 8]\noutput \"y\" %118\n");
    let planned = check(&text);
    let lives = lives(&planned.plan);
    assert!(lives.len() > 30);
    for (&a, x) in &lives {
        for (&b, y) in lives.range(a..).skip(1) {
            let together = x.0 <= y.1 && y.0 <= x.1;
            assert!(!together || !planned.plan.overlap(a, b), "{a} and {b} overlap");
        }
    }
    assert!(planned.report.arena_bytes < 12 * 2048 + 64, "{}", planned.report);
    assert!(planned.report.arena_bytes >= planned.report.lower_bound);
}

#[test]
fn a_map_overwrites_what_nobody_reads_again() {
    let planned = check(
        r#"input %0 "x": f32[16, 16]
        %1 = transpose %0 {perm=[1, 0]}: f32[16, 16]
        %2 = softmax %1 {axis=0}: f32[16, 16]
        %3 = reduce %2 {kind=sum, axes=[1], keep=true}: f32[16, 1]
        %4 = sub %2, %3: f32[16, 16]
        output "y" %4"#,
    );
    let last = planned.plan.kernels.last().unwrap();
    let Body::Nest(nest) = &last.body else { panic!("{}", planned.plan) };
    let loaded = nest.exprs.values().any(|expr| matches!(expr, mlp_bundle::loops::Expr::Load(load) if *load == nest.stores[0].access));
    assert!(loaded, "{}", planned.plan);
}

#[test]
fn a_value_read_again_is_not_overwritten() {
    let planned = check(
        r#"input %0 "x": f32[16, 16]
        %1 = softmax %0 {axis=0}: f32[16, 16]
        %2 = reduce %1 {kind=sum, axes=[1], keep=true}: f32[16, 1]
        %3 = sub %1, %2: f32[16, 16]
        %4 = softmax %3 {axis=1}: f32[16, 16]
        %5 = mul %4, %1: f32[16, 16]
        output "y" %5
        output "z" %3"#,
    );
    assert_eq!(kernels(&planned).iter().filter(|name| *name == "map").count(), 1);
}

#[test]
fn equal_constants_are_kept_once_and_aligned() {
    let planned = check(
        r#"input %0 "x": f32[4, 8]
        %1 = constant noise(1): f32[8]
        %2 = constant noise(1): f32[8]
        %3 = constant noise(2): f32[8]
        %4 = add %0, %1: f32[4, 8]
        %5 = mul %4, %2: f32[4, 8]
        %6 = add %5, %3: f32[4, 8]
        output "y" %6"#,
    );
    let weights: Vec<_> = planned.plan.buffers.values().filter(|buffer| matches!(buffer.place, Place::Weights { .. })).collect();
    assert_eq!(weights.len(), 2);
    assert!(weights.iter().all(|buffer| matches!(buffer.place, Place::Weights { offset } if offset % 256 == 0)));
}

#[test]
fn outputs_that_are_inputs_constants_or_one_value_twice_are_copied() {
    let planned = check(
        r#"input %0 "x": f32[4, 8]
        %1 = constant noise(1): f32[3]
        %2 = reshape %0: f32[32]
        %3 = exp %0: f32[4, 8]
        %4 = reshape %3: f32[8, 4]
        output "a" %0
        output "b" %1
        output "c" %2
        output "d" %3
        output "e" %4
        output "f" %3"#,
    );
    let buffers: std::collections::BTreeSet<BufferId> = planned.plan.outputs.iter().map(|port| port.buffer).collect();
    assert_eq!(buffers.len(), 6);
}

#[test]
fn errors_name_the_place_and_the_remedy() {
    let plan_of = |text: &str| plan(&graph(text), &PlanOptions::default()).unwrap_err();
    let error = plan_of(
        r#"symbol sym0 "N" max 8
        input %0 "x": f32[sym0, 4]
        %1 = exp %0: f32[sym0, 4] @ "layer/exp"
        output "y" %1"#,
    );
    assert_eq!(error.to_string(), "the result of `layer/exp` has the size `N`, which is not known: bind `N` to a number");
    let error = plan_of(
        r#"symbol sym0 "height"
        input %0 "photo": u8[sym0, 4, 4]
        %1 = image_resize %0 {height=2, width=2, fit=stretch, filter=triangle, fill=0x00000000}: f32[2, 2, 3]
        output "y" %1"#,
    );
    assert!(matches!(&error, PlanError::Unbounded { symbol, .. } if symbol == "height"), "{error}");
    let error = plan_of(
        r#"input %0 "x": f32[40000, 1]
        input %1 "y": f32[1, 40000]
        %2 = add %0, %1: f32[40000, 40000] @ "outer"
        output "z" %2"#,
    );
    assert!(error.to_string().starts_with("the result of `outer` takes 1600000000 elements"), "{error}");
    let error = plan_of("input %0 \"x\": f32[4]\n%1 = exp %0: f32[4]\noutput \"x\" %1");
    assert_eq!(error, PlanError::DuplicatePort { name: "x".into() });
}

#[test]
fn the_report_counts_and_prints() {
    let planned = check(
        r#"input %0 "x": f32[1, 4, 4, 8]
        %1 = constant noise(1): f32[6, 8, 3, 3]
        %2 = conv %0, %1 {kernel=[3, 3], strides=[1, 1], dilations=[1, 1], pads_begin=[1, 1], pads_end=[1, 1], groups=1, layout=channels_last}: f32[1, 4, 4, 6] @ "conv"
        output "y" %2"#,
    );
    assert_eq!(planned.report.macs, 16 * 6 * 8 * 9);
    // The input, the weights padded to 16 outputs, and the result.
    assert_eq!(planned.report.bytes_moved, 4 * (16 * 8 + 16 * 8 * 9 + 16 * 6));
    let text = planned.report.to_string();
    assert!(text.contains("plan `test`: 1 kernels") && text.contains("conv_0"), "{text}");
}
