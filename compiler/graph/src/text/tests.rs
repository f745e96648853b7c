use super::*;
use crate::ir::Graph;
use crate::specialize::{SpecializeError, specialize};
use crate::verify::verify;
use mlp_bundle::DType;
use std::collections::BTreeMap;

/// One of every operation, with attributes that differ from each other.
const ALL: &str = r#"graph "all \"of\" \u{a} them" {
  symbol sym0 "N" max 8
  symbol sym1 "rows"
  symbol sym2 "columns"
  input %0 "x": f32[sym0, 4, 6, 5]
  input %1 "photo": u8[sym1, sym2, 4]
  %2 = constant hex(0000803f0000c07f): f32[2]
  %3 = constant data(0.1, -1e-40, inf, -inf): f32[4]
  %4 = constant splat(0.5): f32[]
  %5 = constant data(true, false): bool[2]
  %6 = constant data(18446744073709551615, 0): u64[2]
  %7 = constant data(0.33325195, 65504): f16[2]
  %8 = constant data(): i8[0]
  %9 = constant splat(-3): i64[2, 2]
  %10 = tanh %0: f32[sym0, 4, 6, 5] @ "layer/1"
  %11 = max %10, %4: f32[sym0, 4, 6, 5]
  %12 = le %11, %0: bool[sym0, 4, 6, 5]
  %13 = select %12, %11, %4: f32[sym0, 4, 6, 5]
  %14 = cast %13 {to=f64}: f64[sym0, 4, 6, 5]
  %15 = reshape %13: f32[sym0, 4, 30]
  %16 = transpose %15 {perm=[1, 0, 2]}: f32[4, sym0, 30]
  %17 = broadcast %15: f32[2, sym0, 4, 30]
  %18 = slice %15 {starts=[0, 3, 29], steps=[1, -1, -3]}: f32[sym0, 2, 10]
  %19 = pad %15, %4 {before=[0, 1, 0], after=[0, 0, 2]}: f32[sym0, 5, 32]
  %20 = concat %15, %15 {axis=1}: f32[sym0, 8, 30]
  %21 = gather %15, %9 {axis=1}: f32[sym0, 2, 2, 30]
  %22 = reduce %15 {kind=prod, axes=[1, 2], keep=true}: f32[sym0, 1, 1]
  %23 = arg_reduce %15 {max=false, axis=2, keep=false, last=true}: i64[sym0, 4]
  %24, %25 = top_k %15 {k=3, axis=2, largest=false}: f32[sym0, 4, 3], i64[sym0, 4, 3]
  %26 = constant splat(0.0): f32[30, 7]
  %27 = matmul %15, %26: f32[sym0, 4, 7]
  %28 = constant splat(1.0): f32[6, 2, 3, 3]
  %29 = conv %0, %28 {kernel=[3, 3], strides=[2, 1], dilations=[1, 2], pads_begin=[1, 2], pads_end=[0, 2], groups=2, layout=channels_first}: f32[sym0, 6, 3, 5]
  %30 = pool %29 {kernel=[2, 1], strides=[1, 1], dilations=[1, 1], pads_begin=[0, 0], pads_end=[0, 0], kind=mean_with_padding, layout=channels_first}: f32[sym0, 6, 2, 5]
  %31 = max_pool_indices %29 {kernel=[2, 1], strides=[1, 1], dilations=[1, 1], pads_begin=[0, 0], pads_end=[0, 0], column_major=true}: i64[sym0, 6, 2, 5]
  %32 = constant splat(128): u8[]
  %33 = quantize %0, %4, %32 {axis=0}: u8[sym0, 4, 6, 5]
  %34 = dequantize %33, %4, %32 {axis=0}: f32[sym0, 4, 6, 5]
  %35 = constant splat(-1): i8[6, 2, 1, 1]
  %36 = constant splat(7): i32[6]
  %37 = quantized_conv %33, %35, %36, %36 {kernel=[1, 1], strides=[1, 1], dilations=[1, 1], pads_begin=[0, 0], pads_end=[0, 0], groups=2, layout=channels_first, in_zero=128, out_zero=-3, shift=9, to=i8, lo=-128, hi=100}: i8[sym0, 6, 6, 5]
  %38 = quantized_add %37, %37 {x_zero=-3, y_zero=-3, x_mult=9, y_mult=11, out_zero=1, shift=4, to=u8, lo=1, hi=255}: u8[sym0, 6, 6, 5]
  %39 = quantized_mean %38 {axes=[2, 3], in_zero=1, multiplier=77, out_zero=0, shift=11, to=u8, lo=0, hi=255}: u8[sym0, 6, 1, 1]
  %40 = reshape %39: u8[sym0, 6]
  %41 = constant splat(2): i8[6, 6]
  %42 = quantized_matmul %40, %41, %36 {out_zero=0, shift=1, to=i32, lo=0, hi=0}: i32[sym0, 6]
  %43 = softmax %15 {axis=2}: f32[sym0, 4, 30]
  %44 = batch_norm %0, %3, %3, %3, %3 {epsilon=0x3727c5ac}: f32[sym0, 4, 6, 5]
  %45 = image_resize %1 {height=8, width=9, fit=crop_center, filter=lanczos, fill=0x42e40000}: f32[8, 9, 3]
  %46 = image_size %1: i32[2]
  output "a" %45
  output "b" %25
  output "b again" %25
}
"#;

#[test]
fn every_operation_prints_as_it_was_read() {
    let graph = parse(ALL).unwrap();
    verify(&graph).unwrap();
    assert_eq!(print(&graph), ALL);
}

#[test]
fn printing_numbers_values_as_they_stand() {
    let mut graph = parse(ALL).unwrap();
    let dead = graph.order.iter().position(|&op| graph.ops[op].op == crate::Op::Unary(crate::op::UnaryOp::Tanh));
    assert!(dead.is_some());
    graph.scalar(DType::F32, 9.0, crate::Origin::default());
    let last = graph.order.pop().unwrap();
    graph.order.insert(0, last);
    let text = print(&graph);
    assert_ne!(text, ALL);
    assert_eq!(print(&parse(&text).unwrap()), text);
    graph.compact();
    assert_eq!(print(&graph), text, "compacting changes no text");
}

#[test]
fn wrong_texts_are_refused_with_their_line() {
    let wrong = |body: &str| parse(&format!("graph \"g\" {{\n  input %0 \"x\": f32[2]\n{body}\n}}\n")).unwrap_err().to_string();
    assert_eq!(wrong("  %1 = frobnicate %0: f32[2]"), "line 3: frobnicate: is no operation");
    assert_eq!(wrong("  %1 = neg %7: f32[2]"), "line 3: %7 is not defined before this line");
    assert_eq!(wrong("  %1 = neg %0: f32[3]"), "line 3: neg: the result is f32[2], but f32[3] is declared");
    assert_eq!(wrong("  %1 = softmax %0: f32[2]"), "line 3: softmax: needs the attribute `axis`");
    assert_eq!(wrong("  %1 = softmax %0 {axis=-1}: f32[2]"), "line 3: softmax: -1 is no `axis`");
    assert_eq!(wrong("  %1 = softmax %0 {axis=0, groups=1}: f32[2]"), "line 3: softmax: has no attribute `groups`");
    assert_eq!(wrong("  %0 = neg %0: f32[2]"), "line 3: %0 is defined twice");
    assert_eq!(wrong("  %1 = constant data(1, 2, 3): i32[2]"), "line 3: [2] of i32 takes Some(8) bytes, but there are 12");
    assert_eq!(wrong("  %1 = constant splat(300): u8[2]"), "line 3: `300` is no u8");
    assert!(wrong("  %1 = constant opaque(00): u8[2]").contains("cannot be read back"));
    assert_eq!(wrong("  %1 = neg %0: f32[n]"), "line 3: `n` is no declared symbol");
    assert_eq!(parse("").unwrap_err().to_string(), "line 1: the graph is not closed by `}`");
    assert!(parse("graph \"g\" {\n}\n}").is_err());
}

#[test]
fn long_data_is_read_back_and_hidden_in_brief() {
    let text = "graph \"g\" {\n  %0 = constant noise(3): f32[40] ; random\n  output \"y\" %0\n}\n";
    let graph = parse(text).unwrap();
    assert!(print(&graph).contains("hex("));
    assert_eq!(parse(&print(&graph)).unwrap().tensors, graph.tensors);
    assert!(brief(&graph).contains("opaque("));
    assert_ne!(brief(&graph), brief(&parse(&text.replace("noise(3)", "noise(4)")).unwrap()));
}

#[test]
fn specializing_binds_some_symbols_and_checks_all() {
    let graph = parse(ALL).unwrap();
    let bind =
        |pairs: &[(&str, u64)]| specialize(&graph, &pairs.iter().map(|&(name, size)| (name.to_owned(), size)).collect::<BTreeMap<_, _>>());
    let bound: Graph = bind(&[("N", 3)]).unwrap();
    verify(&bound).unwrap();
    let text = print(&bound);
    assert!(text.contains("input %0 \"x\": f32[3, 4, 6, 5]") && text.contains("symbol sym0 \"rows\""), "{text}");
    assert!(text.contains("input %1 \"photo\": u8[sym0, sym1, 4]"), "{text}");
    assert_eq!(bind(&[("N", 9)]).unwrap_err(), SpecializeError::TooLarge { name: "N".into(), max: 8, value: 9 });
    let unknown = bind(&[("batch", 9)]).unwrap_err().to_string();
    assert_eq!(unknown, "there is no size named `batch` to bind; the graph has `N`, `rows`, `columns`");
}

proptest::proptest! {
    #[test]
    fn the_parser_never_panics(at in 0..ALL.len(), with in "[ -~\n]{0,6}", length in 0..20usize) {
        // The text is ASCII, so every cut is between characters.
        let end = (at + length).min(ALL.len());
        let changed = format!("{}{with}{}", &ALL[..at], &ALL[end..]);
        if let Ok(graph) = parse(&changed) {
            // What is read prints to what is read.
            let text = print(&graph);
            proptest::prop_assert_eq!(print(&parse(&text).unwrap()), text);
        }
    }
}
