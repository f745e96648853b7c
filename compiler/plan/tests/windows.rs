//! Convolutions and pools of every form equal the graph's reference interpreter.

mod support;

use mlp_plan::PlanOptions;
use support::{check, compare_with, graph, inputs, kernels};

/// Attributes of windows over two axes.
const PLAIN: &str = "kernel=[1, 1], strides=[1, 1], dilations=[1, 1], pads_begin=[0, 0], pads_end=[0, 0]";
const SAME: &str = "kernel=[3, 3], strides=[1, 1], dilations=[1, 1], pads_begin=[1, 1], pads_end=[1, 1]";
const ODD: &str = "kernel=[3, 2], strides=[2, 1], dilations=[1, 2], pads_begin=[1, 0], pads_end=[0, 2]";

/// `(window, taps, output size)` over a 6 by 5 picture.
const WINDOWS: [(&str, &str, &str); 3] = [(PLAIN, "1, 1", "6, 5"), (SAME, "3, 3", "6, 5"), (ODD, "3, 2", "3, 5")];

#[test]
fn float_convolutions_become_contractions() {
    for (window, taps, size) in WINDOWS {
        // Groups of few outputs are joined.
        for (groups, inputs, outputs, kind) in [
            (1, 6, 18, vec!["conv"]),
            (2, 6, 8, vec!["conv"]),
            (2, 6, 34, vec!["conv", "conv"]),
            (6, 6, 6, vec!["depthwise"]),
            (20, 20, 40, vec!["conv", "conv"]),
        ] {
            let planned = check(&format!(
                r#"input %0 "x": f32[2, 6, 5, {inputs}]
                %1 = constant noise(1): f32[{outputs}, {per}, {taps}]
                %2 = constant noise(2): f32[{outputs}]
                %3 = conv %0, %1, %2 {{{window}, groups={groups}, layout=channels_last}}: f32[2, {size}, {outputs}]
                %4 = constant splat(0): f32[]
                %5 = constant splat(6): f32[]
                %6 = max %3, %4: f32[2, {size}, {outputs}]
                %7 = min %6, %5: f32[2, {size}, {outputs}]
                output "a" %7"#,
                per = inputs / groups
            ));
            assert_eq!(kernels(&planned), kind);
        }
    }
}

#[test]
fn other_layouts_ranks_and_types_become_nests() {
    for dtype in ["f32", "f64", "f16"] {
        for groups in [1, 2] {
            check(&format!(
                r#"input %0 "x": {dtype}[2, 4, 6, 5]
                %1 = constant noise(1): {dtype}[6, {per}, 3, 2]
                %2 = conv %0, %1 {{{ODD}, groups={groups}, layout=channels_first}}: {dtype}[2, 6, 3, 5]
                output "a" %2"#,
                per = 4 / groups
            ));
        }
    }
    check(
        r#"input %0 "x": f32[2, 4, 5, 4, 3]
        %1 = constant noise(1): f32[6, 3, 2, 2, 2]
        %2 = conv %0, %1 {kernel=[2, 2, 2], strides=[1, 1, 1], dilations=[1, 1, 1], pads_begin=[0, 1, 0], pads_end=[0, 0, 0], groups=1, layout=channels_last}: f32[2, 3, 5, 3, 6]
        output "a" %2"#,
    );
    let planned = check(
        r#"input %0 "x": f32[2, 9, 4]
        %1 = constant noise(1): f32[6, 4, 3]
        %2 = conv %0, %1 {kernel=[3], strides=[2], dilations=[1], pads_begin=[1], pads_end=[1], groups=1, layout=channels_last}: f32[2, 5, 6]
        output "a" %2"#,
    );
    assert_eq!(kernels(&planned), ["conv"]);
    check(
        r#"input %0 "x": f32[1, 4, 4, 3]
        input %1 "w": f32[6, 3, 1, 1]
        %2 = conv %0, %1 {kernel=[1, 1], strides=[1, 1], dilations=[1, 1], pads_begin=[0, 0], pads_end=[0, 0], groups=1, layout=channels_last}: f32[1, 4, 4, 6]
        output "a" %2"#,
    );
}

#[test]
fn integer_convolutions_are_exact() {
    for (x, zero) in [("u8", 128), ("i8", -5)] {
        for (window, taps, size) in WINDOWS {
            for (groups, inputs, outputs) in [(1, 6, 18), (2, 6, 8), (2, 6, 34), (6, 6, 6), (20, 20, 20), (20, 20, 40)] {
                for layout in ["channels_last", "channels_first"] {
                    let (from, to) = match layout {
                        "channels_last" => (format!("[2, 6, 5, {inputs}]"), format!("[2, {size}, {outputs}]")),
                        _ => (format!("[2, {inputs}, 6, 5]"), format!("[2, {outputs}, {size}]")),
                    };
                    check(&format!(
                        r#"input %0 "x": {x}{from}
                        %1 = constant noise(1): i8[{outputs}, {per}, {taps}]
                        %2 = constant noise(2): i32[{outputs}]
                        %3 = constant noise(3): i32[{outputs}]
                        %4 = quantized_conv %0, %1, %2, %3 {{{window}, groups={groups}, layout={layout}, in_zero={zero}, out_zero=7, shift=9, to={x}, lo=-120, hi=127}}: {x}{to}
                        output "a" %4"#,
                        per = inputs / groups
                    ).replace("lo=-120", if x == "u8" { "lo=3" } else { "lo=-120" }));
                }
            }
        }
    }
}

#[test]
fn integer_products_sums_and_means_are_exact() {
    check(
        r#"input %0 "x": u8[5, 7]
        %1 = constant noise(1): i8[7, 19]
        %2 = constant noise(2): i32[19]
        %3 = constant noise(3): i32[19]
        %4 = quantized_matmul %0, %1, %2, %3 {out_zero=100, shift=6, to=u8, lo=10, hi=200}: u8[5, 19]
        %5 = quantized_matmul %0, %1, %2 {out_zero=0, shift=1, to=i32, lo=0, hi=0}: i32[5, 19]
        %6 = constant splat(0.01): f32[]
        %7 = constant splat(0): i32[]
        %8 = dequantize %5, %6, %7 {axis=0}: f32[5, 19]
        input %9 "w": i8[7, 3]
        %10 = constant noise(4): i32[3]
        %11 = quantized_matmul %0, %9, %10, %10 {out_zero=-4, shift=6, to=i8, lo=-128, hi=127}: i8[5, 3]
        output "a" %4
        output "b" %5
        output "c" %8
        output "d" %11"#,
    );
    let planned = check(
        r#"input %0 "x": u8[1, 4, 4, 6]
        %1 = constant noise(1): i8[6, 6, 1, 1]
        %2 = constant noise(2): i32[6]
        %3 = constant splat(77): i32[6]
        %4 = quantized_conv %0, %1, %2, %3 {kernel=[1, 1], strides=[1, 1], dilations=[1, 1], pads_begin=[0, 0], pads_end=[0, 0], groups=1, layout=channels_last, in_zero=9, out_zero=128, shift=11, to=u8, lo=0, hi=255}: u8[1, 4, 4, 6]
        %5 = quantized_add %4, %0 {x_zero=128, y_zero=9, x_mult=900, y_mult=1300, out_zero=30, shift=10, to=u8, lo=30, hi=255}: u8[1, 4, 4, 6]
        %6 = quantized_mean %5 {axes=[1, 2], in_zero=30, multiplier=70000, shift=20, out_zero=3, to=u8, lo=0, hi=255}: u8[1, 1, 1, 6]
        output "a" %5
        output "b" %6"#,
    );
    assert_eq!(kernels(&planned), ["conv", "mean"]);
    check(
        r#"input %0 "x": i8[3, 5]
        input %1 "y": u8[1, 5]
        %2 = quantized_add %0, %0 {x_zero=-3, y_zero=4, x_mult=9, y_mult=11, out_zero=1, shift=4, to=i8, lo=-100, hi=100}: i8[3, 5]
        output "a" %2
        output "b" %1"#
            .replace("\n        output \"b\" %1", "")
            .as_str(),
    );
}

#[test]
fn pools_count_what_is_inside() {
    for layout in ["channels_last", "channels_first"] {
        for (window, _, size) in WINDOWS {
            let (from, to) = match layout {
                "channels_last" => ("[2, 6, 5, 3]".to_owned(), format!("[2, {size}, 3]")),
                _ => ("[2, 3, 6, 5]".to_owned(), format!("[2, 3, {size}]")),
            };
            for kind in ["max", "mean", "mean_with_padding"] {
                check(&format!(
                    r#"input %0 "x": f32{from}
                    %1 = exp %0: f32{from}
                    %2 = pool %1 {{{window}, kind={kind}, layout={layout}}}: f32{to}
                    %3 = neg %2: f32{to}
                    output "a" %3"#
                ));
            }
            check(&format!(
                r#"input %0 "x": u8{from}
                %1 = pool %0 {{{window}, kind=max, layout={layout}}}: u8{to}
                output "a" %1"#
            ));
            if layout == "channels_first" {
                for column_major in [true, false] {
                    check(&format!(
                        r#"input %0 "x": f32{from}
                        %1 = max_pool_indices %0 {{{window}, column_major={column_major}}}: i64{to}
                        output "a" %1"#
                    ));
                }
            }
        }
    }
}

#[test]
fn large_weights_are_read_by_several_kernels() {
    let graph = graph(
        r#"input %0 "x": f32[1, 4, 3, 8]
        %1 = constant noise(1): f32[80, 4, 1, 1]
        %2 = constant noise(2): f32[80]
        %3 = conv %0, %1, %2 {kernel=[1, 1], strides=[1, 1], dilations=[1, 1], pads_begin=[0, 0], pads_end=[0, 0], groups=2, layout=channels_last}: f32[1, 4, 3, 80]
        %4 = tanh %3: f32[1, 4, 3, 80]
        %5 = constant noise(3): f32[80, 50]
        %6 = matmul %4, %5: f32[1, 4, 3, 50]
        %7 = constant noise(4): f32[50]
        %8 = add %6, %7: f32[1, 4, 3, 50]
        input %9 "y": u8[5, 7]
        %10 = constant noise(5): i8[7, 80]
        %11 = constant noise(6): i32[80]
        %12 = quantized_matmul %9, %10, %11 {out_zero=0, shift=1, to=i32, lo=0, hi=0}: i32[5, 80]
        output "a" %8
        output "b" %12"#,
    );
    let inputs = inputs(&graph, &[]);
    let mut options = PlanOptions::all();
    assert_eq!(compare_with(&graph, &inputs, &[], &options).plan.kernels.len(), 4);
    // Two panels of the convolution, none of the product, four of the integers.
    options.kernel_weights = Some(8 * 16 * 4);
    let planned = compare_with(&graph, &inputs, &[], &options);
    let count = |name: &str| kernels(&planned).iter().filter(|kernel| *kernel == name).count();
    assert_eq!((count("conv"), count("matmul")), (2 * 2, 4 + 2), "{}", planned.plan);
}
