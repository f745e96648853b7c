//! Every operation, planned and run, equals the graph's reference interpreter.

mod support;

use support::{check, check_both, compare, graph, inputs, kernels};

#[test]
fn maps_of_every_kind() {
    check(
        r#"input %0 "x": f32[2, 3, 5]
        input %1 "y": f32[3, 1]
        %2 = constant noise(3): f32[5]
        %3 = add %0, %1: f32[2, 3, 5]
        %4 = mul %3, %2: f32[2, 3, 5]
        %5 = tanh %4: f32[2, 3, 5]
        %6 = lt %5, %0: bool[2, 3, 5]
        %7 = select %6, %0, %1: f32[2, 3, 5]
        %8 = constant splat(0.5): f32[]
        %9 = max %7, %8: f32[2, 3, 5]
        %10 = exp %9: f32[2, 3, 5]
        %11 = erf %10: f32[2, 3, 5]
        output "a" %11
        output "b" %6"#,
    );
}

#[test]
fn narrow_integers_wrap_where_they_are_inlined() {
    for dtype in ["u8", "i8", "u16", "i16", "i32", "i64", "u32", "u64"] {
        check(&format!(
            r#"input %0 "x": {dtype}[40]
            input %1 "y": {dtype}[40]
            %2 = mul %0, %1: {dtype}[40]
            %3 = add %2, %0: {dtype}[40]
            %4 = shl %3, %1: {dtype}[40]
            %5 = sub %0, %4: {dtype}[40]
            %6 = div %5, %1: {dtype}[40]
            %7 = not %6: {dtype}[40]
            %8 = shr %7, %1: {dtype}[40]
            %9 = cast %8 {{to=f32}}: f32[40]
            output "a" %9"#
        ));
    }
}

#[test]
fn casts_between_all_types() {
    let types = ["bool", "u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f16", "f32", "f64"];
    for from in types {
        for to in types.iter().filter(|to| **to != from) {
            check(
                &format!(
                    r#"input %0 "x": {from}[33]
                %1 = cast %0 {{to={to}}}: {to}[33]
                %2 = cast %1 {{to=f32}}: f32[33]
                output "a" %1
                output "b" %2"#
                )
                .replace(if *to == "f32" { "%2 = cast %1 {to=f32}: f32[33]" } else { "never" }, "%2 = neg %1: f32[33]"),
            );
        }
    }
}

#[test]
fn movements_are_index_maps() {
    let planned = check(
        r#"input %0 "x": f32[2, 6, 5]
        %1 = transpose %0 {perm=[2, 0, 1]}: f32[5, 2, 6]
        %2 = slice %1 {starts=[4, 0, 1], steps=[-2, 1, 2]}: f32[3, 2, 3]
        %3 = constant splat(7): f32[]
        %4 = pad %2, %3 {before=[1, 0, 2], after=[0, 1, 1]}: f32[4, 3, 6]
        %5 = exp %4: f32[4, 3, 6]
        output "a" %5"#,
    );
    assert_eq!(kernels(&planned), ["map"]);
    check(
        r#"input %0 "x": f32[2, 6, 5]
        %1 = exp %0: f32[2, 6, 5]
        %2 = constant splat(7): f32[]
        %3 = pad %1, %2 {before=[1, 0, 2], after=[0, 1, 1]}: f32[3, 7, 8]
        %4 = reshape %3: f32[21, 8]
        %5 = transpose %4 {perm=[1, 0]}: f32[8, 21]
        %6 = reshape %5: f32[24, 7]
        %7 = neg %6: f32[24, 7]
        %8 = broadcast %7: f32[3, 24, 7]
        output "a" %8
        output "b" %6
        output "c" %0"#,
    );
}

#[test]
fn concatenation_of_computed_moved_and_constant_parts() {
    check(
        r#"input %0 "x": f32[2, 3, 4]
        %1 = exp %0: f32[2, 3, 4]
        %2 = transpose %0 {perm=[0, 2, 1]}: f32[2, 4, 3]
        %3 = reshape %2: f32[2, 3, 4]
        %4 = constant noise(2): f32[2, 3, 1]
        %5 = concat %1, %3, %4, %1, %0 {axis=2}: f32[2, 3, 17]
        %6 = neg %0: f32[2, 3, 4]
        %7 = concat %6, %5 {axis=2}: f32[2, 3, 21]
        output "a" %7
        output "b" %5"#,
    );
}

#[test]
fn gather_counts_from_the_end_and_clamps() {
    for dtype in ["i32", "i64"] {
        check(
            &format!(
                r#"input %0 "x": f32[3, 5, 4]
            %1 = constant data(0, -1, 9, -9, 2, 1): {dtype}[2, 3]
            %2 = gather %0, %1 {{axis=1}}: f32[3, 2, 3, 4]
            input %3 "i": {dtype}[7]
            %4 = exp %2: f32[3, 2, 3, 4]
            %5 = gather %4, %3 {{axis=0}}: f32[7, 2, 3, 4]
            output "a" %5
            output "b" %2"#
            )
            .replace("            %1", "%1"),
        );
    }
}

#[test]
fn look_ups_that_follow_one_another_are_one_kernel() {
    // Two levels of a tree for seven rows: each reads what the last one found three times.
    let planned = check_both(
        r#"input %0 "x": f32[21]
        input %1 "start": i32[2, 7]
        %2 = constant data(0, 2, 1, 1, 0, 2): i32[6]
        %3 = constant data(0.5, -0.5, 0, 1, -1, 0): f32[6]
        %4 = constant data(5, 3, 7, 9, 8, 2): i32[6]
        %5 = constant data(0, 3, 6, 9, 12, 15, 18): i32[1, 7]
        %6 = constant splat(1): i32[]
        %7 = constant splat(0): i32[]
        %8 = max %1, %7: i32[2, 7]
        %9 = gather %2, %8 {axis=0}: i32[2, 7]
        %10 = add %9, %5: i32[2, 7]
        %11 = gather %0, %10 {axis=0}: f32[2, 7]
        %12 = gather %3, %8 {axis=0}: f32[2, 7]
        %13 = lt %12, %11: bool[2, 7]
        %14 = cast %13 {to=i32}: i32[2, 7]
        %15 = gather %4, %8 {axis=0}: i32[2, 7]
        %16 = shr %15, %6: i32[2, 7]
        %17 = and %14, %15: i32[2, 7]
        %18 = add %16, %17: i32[2, 7]
        %19 = gather %2, %18 {axis=0}: i32[2, 7]
        %20 = add %19, %5: i32[2, 7]
        %21 = gather %0, %20 {axis=0}: f32[2, 7]
        %22 = gather %3, %18 {axis=0}: f32[2, 7]
        %23 = lt %22, %21: bool[2, 7]
        %24 = cast %23 {to=i32}: i32[2, 7]
        %25 = gather %4, %18 {axis=0}: i32[2, 7]
        %26 = shr %25, %6: i32[2, 7]
        %27 = and %24, %25: i32[2, 7]
        %28 = add %26, %27: i32[2, 7]
        output "at" %28"#,
    );
    assert_eq!(kernels(&planned), ["map"]);
    // No index is negative, so that none is counted from the end.
    assert!(!planned.plan.to_string().contains("select"), "{}", planned.plan);
}

#[test]
fn a_look_up_is_no_part_of_a_contraction() {
    let planned = check_both(
        r#"input %0 "x": f32[4, 8]
        %1 = constant noise(1): f32[8, 6]
        %2 = matmul %0, %1: f32[4, 6]
        %3 = cast %2 {to=i32}: i32[4, 6]
        %4 = constant data(1, 2, 3, 4, 5): f32[5]
        %5 = gather %4, %3 {axis=0}: f32[4, 6]
        output "y" %5"#,
    );
    assert_eq!(kernels(&planned), ["matmul", "gather"]);
}

#[test]
fn reductions_over_any_axes() {
    for kind in ["sum", "mean", "prod", "max", "min"] {
        for (axes, kept, dropped) in [("[0, 2]", "[1, 5, 1]", "[5]"), ("[1]", "[3, 1, 4]", "[3, 4]"), ("[0, 1, 2]", "[1, 1, 1]", "[]")] {
            check(&format!(
                r#"input %0 "x": f32[3, 5, 4]
                %1 = constant splat(0.25): f32[]
                %2 = mul %0, %1: f32[3, 5, 4]
                %3 = reduce %2 {{kind={kind}, axes={axes}, keep=true}}: f32{kept}
                %4 = reduce %0 {{kind={kind}, axes={axes}, keep=false}}: f32{dropped}
                %5 = exp %4: f32{dropped}
                output "a" %3
                output "b" %5"#
            ));
        }
    }
    for dtype in ["u8", "i8", "i32", "i64", "u64"] {
        for kind in ["sum", "prod", "max", "min"] {
            check(&format!(
                r#"input %0 "x": {dtype}[6, 5]
                %1 = reduce %0 {{kind={kind}, axes=[0], keep=false}}: {dtype}[5]
                %2 = cast %1 {{to=f32}}: f32[5]
                output "a" %1
                output "b" %2"#
            ));
        }
    }
}

#[test]
fn positions_of_extremes() {
    for (max, last) in [(true, false), (true, true), (false, false), (false, true)] {
        for dtype in ["f32", "i8", "i64"] {
            check(&format!(
                r#"input %0 "x": {dtype}[7, 60, 2]
                %1 = arg_reduce %0 {{max={max}, axis=1, keep=true, last={last}}}: i64[7, 1, 2]
                %2 = arg_reduce %0 {{max={max}, axis=2, keep=false, last={last}}}: i64[7, 60]
                output "a" %1
                output "b" %2"#
            ));
        }
    }
}

#[test]
fn the_best_elements_in_order() {
    for (k, largest) in [(1, true), (5, true), (5, false), (16, true), (20, true), (33, false)] {
        for dtype in ["f32", "i32"] {
            check(&format!(
                r#"input %0 "x": {dtype}[2, 70, 3]
                %1, %2 = top_k %0 {{k={k}, axis=1, largest={largest}}}: {dtype}[2, {k}, 3], i64[2, {k}, 3]
                output "a" %1
                output "b" %2"#
            ));
        }
    }
}

#[test]
fn a_long_ranking_computes_nothing_again() {
    let kernels_with = |k: u64| {
        let planned = check_both(&format!(
            r#"input %0 "x": f32[70]
            input %1 "i": i32[60]
            %2 = exp %0: f32[70]
            %3 = gather %2, %1 {{axis=0}}: f32[60]
            %4, %5 = top_k %3 {{k={k}, axis=0, largest=true}}: f32[{k}], i64[{k}]
            output "a" %4
            output "b" %5"#
        ));
        kernels(&planned)
    };
    // Each element is compared with each other one: what makes it is a kernel of its own. One pass reads each once.
    assert_eq!(kernels_with(40), ["map", "gather", "rank", "top_k"]);
    assert_eq!(kernels_with(4), ["map", "top_k"]);
}

#[test]
fn order_with_nan_and_infinities() {
    let planned = graph(
        r#"input %0 "x": f32[8]
        %1, %2 = top_k %0 {k=8, axis=0, largest=true}: f32[8], i64[8]
        %3, %4 = top_k %0 {k=3, axis=0, largest=false}: f32[3], i64[3]
        %5 = arg_reduce %0 {max=true, axis=0, keep=false, last=false}: i64[]
        %6 = reduce %0 {kind=max, axes=[0], keep=false}: f32[]
        %7 = reduce %0 {kind=min, axes=[0], keep=false}: f32[]
        output "a" %1
        output "b" %2
        output "c" %4
        output "d" %5
        output "e" %6
        output "f" %7"#,
    );
    let infinity = f32::INFINITY;
    for values in [[1.0, f32::NAN, -infinity, infinity, 1.0, -0.0, 0.0, f32::NAN], [-infinity; 8], [f32::NAN; 8]] {
        compare(&planned, &[mlp_graph::Tensor::from_f32(&[8], &values).unwrap()], &[]);
    }
}

#[test]
fn products_of_every_rank() {
    for (x, y, z) in [
        ("[4, 6]", "[6, 5]", "[4, 5]"),
        ("[6]", "[6, 5]", "[5]"),
        ("[4, 6]", "[6]", "[4]"),
        ("[6]", "[6]", "[]"),
        ("[2, 1, 4, 6]", "[3, 6, 5]", "[2, 3, 4, 5]"),
        ("[3, 4, 6]", "[6, 20]", "[3, 4, 20]"),
        ("[3, 4, 6]", "[6]", "[3, 4]"),
    ] {
        for right in [format!(r#"input %1 "y": f32{y}"#), format!("%1 = constant noise(4): f32{y}")] {
            check(&format!(
                r#"input %0 "x": f32{x}
                {right}
                %2 = matmul %0, %1: f32{z}
                %3 = tanh %2: f32{z}
                output "a" %3"#
            ));
        }
    }
    for dtype in ["f16", "f64", "i32", "i64"] {
        check(&format!(
            r#"input %0 "x": {dtype}[4, 6]
            %1 = constant noise(2): {dtype}[6, 5]
            %2 = matmul %0, %1: {dtype}[4, 5]
            output "a" %2"#
        ));
    }
}

#[test]
fn products_of_computed_operands_are_packed() {
    let kernels_of = |x: &str, y: &str, z: &str, transposed: bool| {
        let (given, moved) =
            match (transposed, y.trim_matches(['[', ']']).rsplit_once(", ").map(|(rest, last)| (rest.rsplit_once(", "), last))) {
                (true, Some((Some((stack, inner)), last))) => {
                    let rank = y.matches(',').count() + 1;
                    let perm: Vec<usize> = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
                    (format!("[{stack}, {last}, {inner}]"), format!("%2 = transpose %1 {{perm={perm:?}}}: f32{y}"))
                }
                _ => (y.to_owned(), format!("%2 = neg %1: f32{y}")),
            };
        let planned = check(&format!(
            r#"input %0 "x": f32{x}
            input %1 "y": f32{given}
            {moved}
            %3 = matmul %0, %2: f32{z}
            %4 = constant splat(0.5): f32[]
            %5 = mul %3, %4: f32{z}
            %6 = tanh %5: f32{z}
            output "a" %6"#
        ));
        kernels(&planned).into_iter().filter(|name| name != "map" && name != "move").collect::<Vec<_>>()
    };
    let packed = ["pack", "matmul"];
    for (x, y, z) in [
        ("[40, 30]", "[30, 20]", "[40, 20]"),
        ("[3, 12, 30]", "[30, 20]", "[3, 12, 20]"),
        ("[3, 12, 30]", "[1, 30, 20]", "[3, 12, 20]"),
        ("[3, 12, 30]", "[3, 30, 17]", "[3, 12, 17]"),
        ("[2, 3, 12, 30]", "[2, 3, 30, 20]", "[2, 3, 12, 20]"),
        ("[2, 3, 12, 30]", "[3, 30, 20]", "[2, 3, 12, 20]"),
        ("[2, 3, 12, 30]", "[2, 1, 30, 20]", "[2, 3, 12, 20]"),
    ] {
        assert_eq!(kernels_of(x, y, z, false), packed, "{x} times {y}");
        assert_eq!(kernels_of(x, y, z, true).last().map(String::as_str), Some("matmul"), "{x} times {y}");
    }
    // Few rows, few products, and a first operand that would have to be stretched.
    for (x, y, z) in [("[2, 30]", "[30, 90]", "[2, 90]"), ("[4, 8]", "[8, 8]", "[4, 8]"), ("[12, 30]", "[3, 30, 20]", "[3, 12, 20]")] {
        assert_eq!(kernels_of(x, y, z, false), ["matmul"], "{x} times {y}");
    }
}

#[test]
fn softmax_over_any_axis() {
    for axis in 0..3 {
        for dtype in ["f32", "f64", "f16"] {
            check(&format!(
                r#"input %0 "x": {dtype}[3, 5, 4]
                %1 = softmax %0 {{axis={axis}}}: {dtype}[3, 5, 4]
                %2 = neg %1: {dtype}[3, 5, 4]
                output "a" %2"#
            ));
        }
    }
}

#[test]
fn batch_norm_and_quantization_steps() {
    check(
        r#"input %0 "x": f32[2, 6, 3, 3]
        %1 = constant noise(1): f32[6]
        %2 = constant noise(2): f32[6]
        %3 = constant noise(3): f32[6]
        %4 = constant data(0.5, 1, 2, 0.25, 3, 1): f32[6]
        %5 = batch_norm %0, %1, %2, %3, %4 {epsilon=0x3727c5ac}: f32[2, 6, 3, 3]
        output "a" %5"#,
    );
    for (dtype, zero) in [("u8", 17), ("i8", -3), ("u16", 300), ("i16", -5)] {
        check(&format!(
            r#"input %0 "x": f32[2, 6, 4]
            %1 = constant splat(0.013): f32[]
            %2 = constant splat({zero}): {dtype}[]
            %3 = quantize %0, %1, %2 {{axis=0}}: {dtype}[2, 6, 4]
            %4 = dequantize %3, %1, %2 {{axis=0}}: f32[2, 6, 4]
            %5 = constant data(0.1, 0.2, 0.03, 0.5, 0.01, 1): f32[6]
            %6 = constant data(0, 1, 2, 3, 4, 5): {dtype}[6]
            %7 = quantize %0, %5, %6 {{axis=1}}: {dtype}[2, 6, 4]
            %8 = dequantize %7, %5, %6 {{axis=1}}: f32[2, 6, 4]
            %9 = constant noise(5): {dtype}[2, 2, 4]
            %10 = constant data(0.1, 0.2, 0.03, 0.5, 0.01, 1, 2, 3, 0.1, 0.2, 0.03, 0.5, 0.01, 1, 2, 3): f32[2, 2, 4]
            %11 = quantize %0, %10, %9 {{axis=1}}: {dtype}[2, 6, 4]
            output "a" %3
            output "b" %4
            output "c" %7
            output "d" %8
            output "e" %11"#
        ));
    }
    check(
        r#"input %0 "x": f32[2, 4]
        input %1 "scale": f32[]
        input %2 "zero": u8[]
        %3 = quantize %0, %1, %2 {axis=0}: u8[2, 4]
        output "a" %3"#,
    );
}

#[test]
fn a_tensor_without_elements() {
    check(
        r#"input %0 "x": f32[0, 3]
        input %1 "y": f32[2, 3]
        %2 = exp %0: f32[0, 3]
        %3 = concat %2, %1, %0 {axis=0}: f32[2, 3]
        %4 = reduce %0 {kind=sum, axes=[0], keep=false}: f32[3]
        %5 = constant splat(2): f32[]
        %6 = pad %2, %5 {before=[1, 0], after=[2, 0]}: f32[3, 3]
        output "a" %3
        output "b" %4
        output "c" %6
        output "d" %2"#,
    );
}

#[test]
fn photos_of_several_sizes() {
    let filters = ["triangle", "nearest", "cubic", "lanczos"];
    for (fit, filter) in ["crop_center", "stretch", "letterbox"].into_iter().flat_map(|fit| filters.map(|filter| (fit, filter))) {
        for (height, width) in [(6, 9), (8, 8)] {
            let graph = graph(&format!(
                r#"symbol sym0 "photo.height" max 64
                symbol sym1 "photo.width" max 80
                input %0 "photo": u8[sym0, sym1, 4]
                %1 = image_resize %0 {{height={height}, width={width}, fit={fit}, filter={filter}, fill=0x42e40000}}: f32[{height}, {width}, 3]
                %2 = constant data(0.5, 2, 0.1): f32[3]
                %3 = mul %1, %2: f32[{height}, {width}, 3]
                %4 = transpose %3 {{perm=[2, 0, 1]}}: f32[3, {height}, {width}]
                %5 = image_size %0: i32[2]
                output "a" %4
                output "size" %5"#
            ));
            for sizes in [[40, 60], [64, 80], [3, 5], [1, 1], [9, 6], [17, 80], [64, 7]] {
                compare(&graph, &inputs(&graph, &sizes), &sizes.map(|size| size as u32));
            }
        }
    }
}

#[test]
fn rows_are_one_kernel_with_what_they_read_and_what_follows() {
    for axis in 0..3 {
        let planned = check_both(&format!(
            r#"  input %0 "x": f32[3, 5, 7]
  %1 = constant noise(1): f32[3, 1, 7]
  %2 = add %0, %1: f32[3, 5, 7]
  %3 = softmax %2 {{axis={axis}}}: f32[3, 5, 7]
  %4 = normalize %3 {{axis={axis}, epsilon=0x3a83126f, centred=true}}: f32[3, 5, 7]
  %5 = constant noise(2): f32[7]
  %6 = mul %4, %5: f32[3, 5, 7]
  %7 = normalize %6 {{axis={axis}, epsilon=0x3f000000, centred=false}}: f32[3, 5, 7]
  %8 = reshape %7: f32[15, 7]
  output "y" %8"#
        ));
        assert_eq!(kernels(&planned), ["softmax", "normalize", "normalize"]);
    }
    // A row of one element, and rows without elements.
    assert_eq!(kernels(&check_both("  input %0 \"x\": f32[4, 1]\n  %1 = softmax %0 {axis=1}: f32[4, 1]\n  output \"y\" %1")), ["softmax"]);
    assert!(kernels(&check_both("  input %0 \"x\": f32[0, 3]\n  %1 = softmax %0 {axis=1}: f32[0, 3]\n  output \"y\" %1")).is_empty());
}

#[test]
fn attention_reads_and_writes_views() {
    // Query, key and value are parts of one product; the result has its heads side by side.
    let planned = check_both(
        r#"  input %0 "x": f32[2, 5, 6]
  %1 = constant noise(1): f32[6, 36]
  %2 = matmul %0, %1: f32[2, 5, 36]
  %3 = slice %2 {starts=[0, 0, 0], steps=[1, 1, 1]}: f32[2, 5, 12]
  %4 = slice %2 {starts=[0, 0, 12], steps=[1, 1, 1]}: f32[2, 5, 12]
  %5 = slice %2 {starts=[0, 0, 24], steps=[1, 1, 1]}: f32[2, 5, 12]
  %6 = reshape %3: f32[2, 5, 3, 4]
  %7 = reshape %4: f32[2, 5, 3, 4]
  %8 = reshape %5: f32[2, 5, 3, 4]
  input %9 "mask": f32[2, 1, 1, 5]
  %10 = attention %6, %7, %8, %9 {scale=0x3f000000, guarded=true}: f32[2, 5, 3, 4]
  %11 = reshape %10: f32[2, 5, 12]
  %12 = constant noise(2): f32[12, 6]
  %13 = matmul %11, %12: f32[2, 5, 6]
  output "y" %13"#,
    );
    assert_eq!(kernels(&planned), ["matmul", "attention", "matmul"]);
    // Features that lie apart are copied, and a result whose features lie apart is made dense first.
    let planned = check_both(
        r#"  input %0 "x": f32[1, 4, 2, 3]
  input %1 "key": f32[1, 3, 2, 4]
  %2 = transpose %1 {perm=[0, 3, 2, 1]}: f32[1, 4, 2, 3]
  %3 = attention %0, %2, %0 {scale=0x3f800000, guarded=false}: f32[1, 4, 2, 3]
  %4 = transpose %3 {perm=[0, 1, 3, 2]}: f32[1, 4, 3, 2]
  output "y" %4"#,
    );
    assert_eq!(kernels(&planned), ["copy", "attention", "move"]);
}
