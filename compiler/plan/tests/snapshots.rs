//! The kernels of common patterns, as text: what is fused, and in which order an epilogue stands.

mod support;

use support::check;

const PLAIN: &str = "kernel=[1, 1], strides=[1, 1], dilations=[1, 1], pads_begin=[0, 0], pads_end=[0, 0], groups=1, layout=channels_last";

#[test]
fn convolution_with_bias_and_clamp() {
    let planned = check(
        r#"input %0 "x": f32[1, 3, 6, 6]
        %1 = transpose %0 {perm=[0, 2, 3, 1]}: f32[1, 6, 6, 3]
        %2 = constant noise(1): f32[20, 3, 3, 3]
        %3 = constant noise(2): f32[20]
        %4 = conv %1, %2, %3 {kernel=[3, 3], strides=[2, 2], dilations=[1, 1], pads_begin=[0, 0], pads_end=[1, 1], groups=1, layout=channels_last}: f32[1, 3, 3, 20] @ "stem"
        %5 = constant splat(0): f32[]
        %6 = constant splat(6): f32[]
        %7 = max %4, %5: f32[1, 3, 3, 20]
        %8 = min %7, %6: f32[1, 3, 3, 20]
        output "y" %8"#,
    );
    insta::assert_snapshot!(planned.plan);
}

#[test]
fn residual_sum_in_the_epilogue() {
    let planned = check(&format!(
        r#"input %0 "x": f32[2, 4, 4, 8]
        %1 = constant noise(1): f32[8, 8, 1, 1]
        %2 = constant noise(2): f32[8]
        %3 = conv %0, %1, %2 {{{PLAIN}}}: f32[2, 4, 4, 8]
        %4 = add %3, %0: f32[2, 4, 4, 8]
        %5 = constant splat(0): f32[]
        %6 = max %4, %5: f32[2, 4, 4, 8]
        output "y" %6"#
    ));
    insta::assert_snapshot!(planned.plan);
}

#[test]
fn integer_convolution_and_sum() {
    let planned = check(&format!(
        r#"input %0 "x": u8[1, 4, 4, 6]
        %1 = constant noise(1): i8[6, 6, 1, 1]
        %2 = constant noise(2): i32[6]
        %3 = constant splat(77): i32[6]
        %4 = quantized_conv %0, %1, %2, %3 {{{PLAIN}, in_zero=9, out_zero=128, shift=11, to=u8, lo=0, hi=255}}: u8[1, 4, 4, 6]
        %5 = quantized_add %4, %0 {{x_zero=128, y_zero=9, x_mult=900, y_mult=1300, out_zero=30, shift=10, to=u8, lo=30, hi=255}}: u8[1, 4, 4, 6]
        output "y" %5"#
    ));
    insta::assert_snapshot!(planned.plan);
}

#[test]
fn swish_stays_in_the_epilogue() {
    let planned = check(&format!(
        r#"input %0 "x": f32[1, 4, 4, 8]
        %1 = constant noise(1): f32[8, 8, 1, 1]
        %3 = conv %0, %1 {{{PLAIN}}}: f32[1, 4, 4, 8]
        %4 = neg %3: f32[1, 4, 4, 8]
        %5 = exp %4: f32[1, 4, 4, 8]
        %6 = constant splat(1): f32[]
        %7 = add %5, %6: f32[1, 4, 4, 8]
        %8 = div %3, %7: f32[1, 4, 4, 8]
        output "y" %8"#
    ));
    insta::assert_snapshot!(planned.plan);
}

#[test]
fn softmax_in_three_passes() {
    let planned = check(
        r#"input %0 "x": f32[4, 10]
        %1 = softmax %0 {axis=1}: f32[4, 10] @ "probabilities"
        output "y" %1"#,
    );
    insta::assert_snapshot!(planned.plan);
}

#[test]
fn concatenated_convolutions_store_into_one_buffer() {
    let planned = check(&format!(
        r#"input %0 "x": f32[1, 4, 4, 8]
        %1 = constant noise(1): f32[6, 8, 1, 1]
        %2 = constant noise(2): f32[10, 8, 1, 1]
        %3 = conv %0, %1 {{{PLAIN}}}: f32[1, 4, 4, 6] @ "left"
        %4 = conv %0, %2 {{{PLAIN}}}: f32[1, 4, 4, 10] @ "right"
        %5 = constant splat(0): f32[]
        %6 = max %3, %5: f32[1, 4, 4, 6]
        %7 = max %4, %5: f32[1, 4, 4, 10]
        %8 = concat %6, %7 {{axis=3}}: f32[1, 4, 4, 16]
        output "y" %8"#
    ));
    insta::assert_snapshot!(planned.plan);
}

#[test]
fn grouped_convolutions_read_and_write_parts_of_a_pixel() {
    let planned = check(
        r#"input %0 "x": f32[1, 2, 2, 12]
        %1 = slice %0 {starts=[0, 0, 0, 4], steps=[1, 1, 1, 1]}: f32[1, 2, 2, 8]
        %2 = constant noise(1): f32[40, 4, 1, 1]
        %3 = conv %1, %2 {kernel=[1, 1], strides=[1, 1], dilations=[1, 1], pads_begin=[0, 0], pads_end=[0, 0], groups=2, layout=channels_last}: f32[1, 2, 2, 40]
        %4 = reshape %3: f32[4, 40]
        %5 = tanh %4: f32[4, 40]
        output "y" %5"#,
    );
    insta::assert_snapshot!(planned.plan);
}

#[test]
fn layer_norm_takes_three_kernels() {
    let planned = check(
        r#"input %0 "x": f32[4, 32]
        %1 = reduce %0 {kind=mean, axes=[1], keep=true}: f32[4, 1]
        %2 = sub %0, %1: f32[4, 32]
        %3 = mul %2, %2: f32[4, 32]
        %4 = reduce %3 {kind=mean, axes=[1], keep=true}: f32[4, 1]
        %5 = constant splat(0.00001): f32[]
        %6 = add %4, %5: f32[4, 1]
        %7 = sqrt %6: f32[4, 1]
        %8 = div %2, %7: f32[4, 32]
        %9 = constant noise(3): f32[32]
        %10 = mul %8, %9: f32[4, 32]
        output "y" %10"#,
    );
    insta::assert_snapshot!(planned.plan);
}

#[test]
fn a_photo_is_resized_and_normalized_for_a_convolution() {
    let mut graph = support::graph(
        r#"symbol sym0 "photo.height" max 64
        symbol sym1 "photo.width" max 64
        input %0 "photo": u8[sym0, sym1, 4]
        %1 = image_resize %0 {height=8, width=8, fit=crop_center, filter=triangle, fill=0x00000000}: f32[8, 8, 3] @ "resize"
        %2 = constant splat(127): f32[]
        %3 = constant splat(128): f32[]
        %4 = sub %1, %2: f32[8, 8, 3] @ "normalize"
        %5 = div %4, %3: f32[8, 8, 3] @ "normalize"
        %6 = transpose %5 {perm=[2, 0, 1]}: f32[3, 8, 8] @ "to_nchw"
        %7 = reshape %6: f32[1, 3, 8, 8] @ "to_nchw"
        %8 = constant noise(1): f32[4, 3, 3, 3]
        %9 = conv %7, %8 {kernel=[3, 3], strides=[2, 2], dilations=[1, 1], pads_begin=[0, 0], pads_end=[1, 1], groups=1, layout=channels_first}: f32[1, 4, 4, 4] @ "stem"
        %10 = reduce %9 {kind=mean, axes=[2, 3], keep=false}: f32[1, 4] @ "pool"
        output "y" %10"#,
    );
    mlp_graph::passes::optimize(&mut graph).unwrap();
    let inputs = support::inputs(&graph, &[30, 40]);
    let planned = support::compare(&graph, &inputs, &[30, 40]);
    assert_eq!(support::kernels(&planned), ["resize_span", "resize_weights", "resize_span", "resize_weights", "resize", "conv", "reduce"]);
    insta::assert_snapshot!(planned.plan);
}
