//! The reference interpreter against numbers worked out by other means.

use mlp_graph::ir::Type;
use mlp_graph::op::{BinaryOp, CompareOp, Filter, Fit, Layout, PoolKind, ReduceKind, Spatial, UnaryOp};
use mlp_graph::{DType, Graph, Op, Origin, Shape, Tensor, eval};

/// Evaluates one operation over constants; `declared` where its shape is a free choice.
fn all(op: Op, operands: &[Tensor], declared: Option<Type>) -> Vec<Tensor> {
    let mut graph = Graph::new("one");
    let inputs: Vec<_> = operands.iter().enumerate().map(|(i, tensor)| graph.add_input(format!("x{i}"), Type::of(tensor))).collect();
    let results = match declared {
        Some(ty) => graph.append_typed(op, &inputs, &[ty], Origin::new("one")).unwrap(),
        None => graph.append(op, &inputs, Origin::new("one")).unwrap(),
    };
    results.into_iter().for_each(|result| graph.add_output("y", result));
    eval::run(&graph, operands).unwrap()
}

fn one(op: Op, operands: &[Tensor]) -> Tensor {
    all(op, operands, None).remove(0)
}

fn f32s(shape: &[u64], values: &[f32]) -> Tensor {
    Tensor::from_f32(shape, values).unwrap()
}

fn iota(shape: &[u64]) -> Tensor {
    let count: u64 = shape.iter().product();
    f32s(shape, &(0..count).map(|i| i as f32).collect::<Vec<_>>())
}

/// Small integers that look random: sums of their products are exact in `f32`.
fn mixed(shape: &[u64], seed: u64) -> Vec<i64> {
    let count: u64 = shape.iter().product();
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 33) % 15) as i64 - 7
    };
    (0..count).map(|_| next()).collect()
}

fn mixed_f32(shape: &[u64], seed: u64) -> Tensor {
    f32s(shape, &mixed(shape, seed).iter().map(|&v| v as f32).collect::<Vec<_>>())
}

fn spatial(kernel: &[u64], strides: &[u64], dilations: &[u64], begin: &[u64], end: &[u64]) -> Spatial {
    Spatial {
        kernel: kernel.to_vec(),
        strides: strides.to_vec(),
        dilations: dilations.to_vec(),
        pads_begin: begin.to_vec(),
        pads_end: end.to_vec(),
    }
}

#[test]
fn maps_broadcast_as_numpy_does() {
    let sum = one(Op::Binary(BinaryOp::Add), &[iota(&[2, 1, 3]), f32s(&[2, 1], &[10.0, 20.0])]);
    assert_eq!(sum.shape(), [2, 2, 3]);
    assert_eq!(sum.as_f32().unwrap(), [10.0, 11.0, 12.0, 20.0, 21.0, 22.0, 13.0, 14.0, 15.0, 23.0, 24.0, 25.0]);
    let less = one(Op::Compare(CompareOp::Lt), &[iota(&[3]), Tensor::scalar(1.5f32)]);
    assert_eq!(less.values::<bool>().unwrap(), [true, true, false]);
    let picked = one(Op::Select, &[less, iota(&[3]), Tensor::scalar(-1f32)]);
    assert_eq!(picked.as_f32().unwrap(), [0.0, 1.0, -1.0]);
}

#[test]
fn narrow_integers_wrap_and_halves_round() {
    let bytes = |values: &[u8]| Tensor::from_values(&[values.len() as u64], values).unwrap();
    assert_eq!(one(Op::Binary(BinaryOp::Add), &[bytes(&[250]), bytes(&[10])]).to_i64().unwrap(), [4]);
    assert_eq!(one(Op::Unary(UnaryOp::Not), &[bytes(&[5])]).to_i64().unwrap(), [250]);
    let halves = Tensor::from_values(&[1], &[half::f16::from_f32(2048.0)]).unwrap();
    let ones = Tensor::from_values(&[1], &[half::f16::ONE]).unwrap();
    assert_eq!(one(Op::Binary(BinaryOp::Add), &[halves, ones]).to_f64(), [2048.0], "2049 is no binary16 and ties to even");
}

#[test]
fn movement_moves() {
    let moved = one(Op::Transpose { perm: vec![2, 0, 1] }, &[iota(&[2, 1, 3])]);
    assert_eq!((moved.shape(), moved.as_f32().unwrap()), (&[3, 2, 1][..], vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
    let slice = Op::Slice { starts: vec![1, 3], steps: vec![1, -2] };
    let sliced = all(slice, &[iota(&[2, 4])], Some(Type::fixed(DType::F32, &[1, 2]))).remove(0);
    assert_eq!(sliced.as_f32().unwrap(), [7.0, 5.0]);
    let padded = one(Op::Pad { before: vec![1, 0], after: vec![0, 2] }, &[iota(&[2, 2]), Tensor::scalar(9f32)]);
    assert_eq!(padded.as_f32().unwrap(), [9.0, 9.0, 9.0, 9.0, 0.0, 1.0, 9.0, 9.0, 2.0, 3.0, 9.0, 9.0]);
    let joined = one(Op::Concat { axis: 1 }, &[iota(&[2, 1]), iota(&[2, 2])]);
    assert_eq!(joined.as_f32().unwrap(), [0.0, 0.0, 1.0, 1.0, 2.0, 3.0]);
    let wide = all(Op::Broadcast, &[iota(&[2, 1])], Some(Type::fixed(DType::F32, &[2, 2, 2]))).remove(0);
    assert_eq!(wide.as_f32().unwrap(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
    let indices = Tensor::from_i64(&[4], &[-1, 0, 5, -9]).unwrap();
    let gathered = one(Op::Gather { axis: 1 }, &[iota(&[2, 3]), indices]);
    assert_eq!(gathered.as_f32().unwrap(), [2.0, 0.0, 2.0, 0.0, 5.0, 3.0, 5.0, 3.0]);
}

#[test]
fn reductions_take_any_axes() {
    let reduce = |kind, axes: &[u32], x: Tensor| one(Op::Reduce { kind, axes: axes.to_vec(), keep: false }, &[x]);
    assert_eq!(reduce(ReduceKind::Sum, &[0, 2], iota(&[2, 2, 2])).as_f32().unwrap(), [10.0, 18.0]);
    assert_eq!(reduce(ReduceKind::Mean, &[1], iota(&[2, 4])).as_f32().unwrap(), [1.5, 5.5]);
    let ints = Tensor::from_i32(&[2], &[i32::MAX, 2]).unwrap();
    assert_eq!(reduce(ReduceKind::Sum, &[0], ints.clone()).as_i32().unwrap(), [i32::MIN + 1]);
    assert_eq!(reduce(ReduceKind::Prod, &[0], ints.clone()).as_i32().unwrap(), [-2]);
    assert_eq!(reduce(ReduceKind::Min, &[0], ints).as_i32().unwrap(), [2]);
    let spoiled = f32s(&[3], &[1.0, f32::NAN, 3.0]);
    assert!(reduce(ReduceKind::Max, &[0], spoiled.clone()).as_f32().unwrap()[0].is_nan());
    // A thousand small terms next to a great one: `f32` sums would lose them.
    let mut terms = vec![1e-4f32; 1001];
    terms[0] = 1e4;
    assert_eq!(reduce(ReduceKind::Sum, &[0], f32s(&[1001], &terms)).as_f32().unwrap(), [10000.1]);

    let arg = |max, last, x: Tensor| one(Op::ArgReduce { max, axis: 1, keep: false, last }, &[x]).as_i64().unwrap();
    let rows = f32s(&[2, 3], &[3.0, 1.0, 3.0, f32::NAN, 9.0, 0.0]);
    assert_eq!(arg(true, false, rows.clone()), [0, 0]);
    assert_eq!(arg(true, true, rows.clone()), [2, 0]);
    assert_eq!(arg(false, false, rows), [1, 0]);

    let top = all(Op::TopK { k: 2, axis: 0, largest: true }, &[f32s(&[4, 1], &[1.0, 5.0, f32::NAN, 5.0])], None);
    assert_eq!((top[0].as_f32().unwrap(), top[1].as_i64().unwrap()), (vec![5.0, 5.0], vec![1, 3]));
    let least = all(Op::TopK { k: 3, axis: 1, largest: false }, &[f32s(&[1, 4], &[2.0, -1.0, 2.0, 0.0])], None);
    assert_eq!((least[0].as_f32().unwrap(), least[1].as_i64().unwrap()), (vec![-1.0, 0.0, 2.0], vec![1, 3, 0]));
}

#[test]
fn matrix_products_broadcast_batches() {
    let product = one(Op::MatMul, &[iota(&[2, 1, 2, 3]), iota(&[2, 3, 1])]);
    assert_eq!(product.shape(), [2, 2, 2, 1]);
    // Rows 0..3 and 3..6, then 6..9 and 9..12, times the columns 0..3 and 3..6.
    assert_eq!(product.as_f32().unwrap(), [5.0, 14.0, 14.0, 50.0, 23.0, 32.0, 86.0, 122.0]);
    let vector = one(Op::MatMul, &[iota(&[3]), iota(&[3])]);
    assert_eq!((vector.shape(), vector.as_f32().unwrap()), (&[][..], vec![5.0]));
    let ints = Tensor::from_values(&[1, 2], &[200u8, 100]).unwrap();
    assert_eq!(one(Op::MatMul, &[ints.clone(), ints.reshaped(&[2, 1]).unwrap()]).to_i64().unwrap(), [50000 % 256]);
}

/// Convolution by its definition, in NCHW over integers.
fn convolve(x: &[i64], xs: &[u64], w: &[i64], ws: &[u64], s: &Spatial, groups: u64, pad: i64, out: &[u64]) -> Vec<i64> {
    let mut sums = Vec::new();
    for n in 0..out[0] {
        for o in 0..out[1] {
            for (i, j) in (0..out[2]).flat_map(|i| (0..out[3]).map(move |j| (i, j))) {
                let mut sum = 0;
                for c in 0..ws[1] {
                    for (a, b) in (0..ws[2]).flat_map(|a| (0..ws[3]).map(move |b| (a, b))) {
                        let row = (i * s.strides[0] + a * s.dilations[0]) as i64 - s.pads_begin[0] as i64;
                        let column = (j * s.strides[1] + b * s.dilations[1]) as i64 - s.pads_begin[1] as i64;
                        let channel = o / (out[1] / groups) * ws[1] + c;
                        let inside = (0..xs[2] as i64).contains(&row) && (0..xs[3] as i64).contains(&column);
                        let at = (n * xs[1] + channel) * xs[2] * xs[3];
                        let value = if inside { x[at as usize + (row * xs[3] as i64 + column) as usize] } else { pad };
                        sum += value * w[(((o * ws[1] + c) * ws[2] + a) * ws[3] + b) as usize];
                    }
                }
                sums.push(sum);
            }
        }
    }
    sums
}

/// Convolutions that differ in every parameter: `(x, weights, spatial, groups)`.
fn conv_cases() -> Vec<(Vec<u64>, Vec<u64>, Spatial, u64)> {
    vec![
        (vec![2, 3, 5, 6], vec![4, 3, 3, 3], spatial(&[3, 3], &[1, 1], &[1, 1], &[1, 1], &[1, 1]), 1),
        (vec![1, 4, 7, 5], vec![4, 1, 3, 2], spatial(&[3, 2], &[2, 1], &[1, 2], &[0, 1], &[1, 2]), 4),
        (vec![1, 4, 4, 4], vec![6, 2, 1, 1], spatial(&[1, 1], &[2, 2], &[1, 1], &[0, 0], &[0, 0]), 2),
    ]
}

const TO_LAST: [u32; 4] = [0, 2, 3, 1];
const TO_FIRST: [u32; 4] = [0, 3, 1, 2];

#[test]
fn convolutions_match_their_definition_in_both_layouts() {
    for (xs, ws, s, groups) in conv_cases() {
        let (x, w, b) = (mixed_f32(&xs, 1), mixed_f32(&ws, 2), mixed_f32(&ws[..1], 3));
        let first = one(Op::Conv { spatial: s.clone(), groups, layout: Layout::ChannelsFirst }, &[x.clone(), w.clone(), b.clone()]);
        let mut expected = convolve(&mixed(&xs, 1), &xs, &mixed(&ws, 2), &ws, &s, groups, 0, first.shape());
        let plane = (first.shape()[2] * first.shape()[3]) as usize;
        let bias = mixed(&ws[..1], 3);
        expected.iter_mut().enumerate().for_each(|(i, sum)| *sum += bias[i / plane % bias.len()]);
        let expected: Vec<f32> = expected.into_iter().map(|sum| sum as f32).collect();
        assert_eq!(first.as_f32().unwrap(), expected);
        let last = Op::Conv { spatial: s, groups, layout: Layout::ChannelsLast };
        let last = one(last, &[one(Op::Transpose { perm: TO_LAST.to_vec() }, &[x]), w, b]);
        assert_eq!(one(Op::Transpose { perm: TO_FIRST.to_vec() }, &[last]), first);
    }
}

#[test]
fn convolutions_have_any_number_of_axes() {
    let line = Op::Conv { spatial: spatial(&[3], &[1], &[1], &[1], &[0]), groups: 1, layout: Layout::ChannelsFirst };
    let y = one(line, &[f32s(&[1, 1, 4], &[1.0, 2.0, 3.0, 4.0]), f32s(&[1, 1, 3], &[1.0, 10.0, 100.0])]);
    assert_eq!(y.as_f32().unwrap(), [210.0, 321.0, 432.0]);
    let cube = Op::Conv { spatial: spatial(&[2, 2, 2], &[1; 3], &[1; 3], &[0; 3], &[0; 3]), groups: 1, layout: Layout::ChannelsLast };
    assert_eq!(one(cube, &[iota(&[1, 2, 2, 2, 1]), iota(&[1, 1, 2, 2, 2])]).as_f32().unwrap(), [140.0]);
}

#[test]
fn quantized_convolutions_sum_exactly_and_requantize() {
    for (xs, ws, s, groups) in conv_cases() {
        for dtype in [DType::U8, DType::I8] {
            let zero = 3;
            let raw: Vec<i64> = mixed(&xs, 4).iter().map(|v| v + 7 * i64::from(dtype == DType::U8)).collect();
            let x = match dtype {
                DType::U8 => Tensor::from_values(&xs, &raw.iter().map(|&v| v as u8).collect::<Vec<_>>()).unwrap(),
                _ => Tensor::from_values(&xs, &raw.iter().map(|&v| v as i8).collect::<Vec<_>>()).unwrap(),
            };
            let weights = mixed(&ws, 5);
            let w = Tensor::from_values(&ws, &weights.iter().map(|&v| v as i8).collect::<Vec<_>>()).unwrap();
            let bias: Vec<i32> = (0..ws[0] as i32).map(|o| o * 11 - 20).collect();
            let multiplier: Vec<i32> = (0..ws[0] as i32).map(|o| 100 + 37 * o).collect();
            let channel = |values: &[i32]| Tensor::from_i32(&ws[..1], values).unwrap();
            let op = Op::QuantizedConv {
                spatial: s.clone(),
                groups,
                layout: Layout::ChannelsFirst,
                in_zero: zero,
                out_zero: 5,
                shift: 9,
                dtype: DType::I8,
                lo: -60,
                hi: 90,
            };
            let y = one(op, &[x, w, channel(&bias), channel(&multiplier)]);
            let sums = convolve(&raw, &xs, &weights, &ws, &s, groups, zero.into(), y.shape());
            let plane = (y.shape()[2] * y.shape()[3]) as usize;
            let expected: Vec<i64> = sums
                .into_iter()
                .enumerate()
                .map(|(i, sum)| {
                    let o = i / plane % bias.len();
                    let scaled = (sum + i64::from(bias[o])) as f64 * f64::from(multiplier[o]) / 512.0;
                    (scaled.round_ties_even() as i64 + 5).clamp(-60, 90)
                })
                .collect();
            assert_eq!(y.to_i64().unwrap(), expected);
        }
    }
}

#[test]
fn integer_products_sums_and_means() {
    let x = Tensor::from_values(&[2, 2], &[10u8, 20, 30, 40]).unwrap();
    let w = Tensor::from_values(&[2, 3], &[1i8, -2, 3, 4, 5, -6]).unwrap();
    let bias = Tensor::from_i32(&[3], &[1, 2, 3]).unwrap();
    let plain = Op::QuantizedMatMul { out_zero: 0, shift: 1, dtype: DType::I32, lo: 0, hi: 0 };
    assert_eq!(one(plain, &[x.clone(), w.clone(), bias.clone()]).as_i32().unwrap(), [91, 82, -87, 191, 142, -147]);
    let scaled = Op::QuantizedMatMul { out_zero: 100, shift: 2, dtype: DType::U8, lo: 70, hi: 255 };
    let multiplier = Tensor::from_i32(&[3], &[1, 2, 4]).unwrap();
    // 91/4 = 22.75, 82/2, -87 (held at 70), 191/4 = 47.75, 142/2, -147 (held at 70).
    assert_eq!(one(scaled, &[x.clone(), w, bias, multiplier]).to_i64().unwrap(), [123, 141, 70, 148, 171, 70]);
    let add = Op::QuantizedAdd { x_zero: 10, y_zero: 0, x_mult: 3, y_mult: -2, out_zero: 50, shift: 2, dtype: DType::I8, lo: -128, hi: 60 };
    let y = Tensor::from_values(&[2], &[1i8, -1]).unwrap();
    // (0 - 2)/4 = -0.5 to even, (30 + 2)/4 = 8, (60 - 2)/4 = 14.5 to even held at 60, 23 held at 60.
    assert_eq!(one(add, &[x.clone(), y]).to_i64().unwrap(), [50, 58, 60, 60]);
    let mean = Op::QuantizedMean { axes: vec![1], in_zero: 5, multiplier: 1, shift: 1, out_zero: 0, dtype: DType::U8, lo: 0, hi: 255 };
    assert_eq!(one(mean, &[x]).to_i64().unwrap(), [10, 30]);
}

#[test]
fn pools_in_both_layouts() {
    let windows = spatial(&[2, 2], &[2, 1], &[1, 1], &[1, 0], &[0, 1]);
    let pool = |kind, layout| Op::Pool { kind, spatial: windows.clone(), layout };
    let x = iota(&[1, 2, 3, 2]);
    let cases = [
        (PoolKind::Max, vec![1.0, 1.0, 5.0, 5.0, 7.0, 7.0, 11.0, 11.0]),
        (PoolKind::Mean, vec![0.5, 1.0, 3.5, 4.0, 6.5, 7.0, 9.5, 10.0]),
        (PoolKind::MeanWithPadding, vec![0.25, 0.25, 3.5, 2.0, 3.25, 1.75, 9.5, 5.0]),
    ];
    for (kind, expected) in cases {
        let first = one(pool(kind, Layout::ChannelsFirst), std::slice::from_ref(&x));
        assert_eq!(first.as_f32().unwrap(), expected, "{kind:?}");
        let last = one(pool(kind, Layout::ChannelsLast), &[one(Op::Transpose { perm: TO_LAST.to_vec() }, std::slice::from_ref(&x))]);
        assert_eq!(one(Op::Transpose { perm: TO_FIRST.to_vec() }, &[last]), first, "{kind:?}");
    }
    let indices =
        |column_major| one(Op::MaxPoolIndices { spatial: windows.clone(), column_major }, std::slice::from_ref(&x)).as_i64().unwrap();
    assert_eq!(indices(false), [1, 1, 5, 5, 7, 7, 11, 11]);
    assert_eq!(indices(true), [3, 3, 5, 5, 9, 9, 11, 11]);
}

#[test]
fn quantization_scales_by_tensor_axis_and_block() {
    let scale = |shape: &[u64], values: &[f32]| f32s(shape, values);
    let zero = |shape: &[u64], values: &[u8]| Tensor::from_values(shape, values).unwrap();
    let x = f32s(&[2, 2], &[0.5, 1.5, -3.0, 1e9]);
    let whole = one(Op::Quantize { axis: 0 }, &[x.clone(), scale(&[], &[1.0]), zero(&[], &[2])]);
    assert_eq!(whole.to_i64().unwrap(), [2, 4, 0, 255]);
    let columns = one(Op::Quantize { axis: 1 }, &[x.clone(), scale(&[2], &[0.25, 0.5]), zero(&[2], &[20, 0])]);
    assert_eq!(columns.to_i64().unwrap(), [22, 3, 8, 255]);
    let blocks = one(
        Op::Dequantize { axis: 0 },
        &[zero(&[2, 4], &[1, 2, 3, 4, 5, 6, 7, 8]), scale(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), zero(&[2, 2], &[0, 1, 2, 3])],
    );
    assert_eq!(blocks.as_f32().unwrap(), [1.0, 2.0, 4.0, 6.0, 9.0, 12.0, 16.0, 20.0]);
    // The reciprocal comes first: 7 / 0.1 is 70 exactly in no other order.
    let tenth = one(Op::Quantize { axis: 0 }, &[Tensor::scalar(0.35f32), Tensor::scalar(0.1f32), Tensor::scalar(0u8)]);
    assert_eq!(tenth.to_i64().unwrap(), [(0.35f32 * (1.0 / 0.1f32)).round_ties_even() as i64]);
}

#[test]
fn composites_equal_their_decompositions() {
    let x = mixed_f32(&[2, 3, 4], 7);
    let channel = |values: &[f32]| f32s(&[3], values);
    let norm = [x.clone(), channel(&[1.5, -2.0, 0.1]), channel(&[0.0, 1.0, 2.0]), channel(&[0.5, -0.5, 3.0]), channel(&[1.0, 0.3, 9.0])];
    let cases: Vec<(Op, Vec<Tensor>)> = vec![
        (Op::Softmax { axis: 0 }, vec![x.clone()]),
        (Op::Softmax { axis: 1 }, vec![x.clone()]),
        (Op::Softmax { axis: 2 }, vec![x]),
        (Op::BatchNorm { epsilon: 1e-5f32.to_bits() }, norm.to_vec()),
    ];
    for (op, operands) in cases {
        let mut graph = Graph::new("composite");
        let inputs: Vec<_> = operands.iter().map(|tensor| graph.add_input("x", Type::of(tensor))).collect();
        let whole = graph.append_one(op.clone(), &inputs, Origin::new("whole")).unwrap();
        let id = graph.definition(whole).unwrap().0;
        let parts = graph.decompose(id).unwrap().expect("a composite")[0];
        assert!(graph.order.iter().skip(1).all(|&op| graph.origin_name(op) == "whole"));
        graph.add_output("whole", whole);
        graph.add_output("parts", parts);
        let results = eval::run(&graph, &operands).unwrap();
        assert_eq!(results[0], results[1], "{op:?}");
    }
    let row = one(Op::Softmax { axis: 0 }, &[f32s(&[3], &[1.0, 2.0, 1000.0])]);
    assert_eq!(row.as_f32().unwrap(), [0.0, 0.0, 1.0]);
}

#[test]
fn inputs_bind_symbols_and_are_checked() {
    let mut graph = Graph::new("symbols");
    let n = graph.symbol("n", Some(4));
    let shape = Shape(vec![mlp_graph::Dim::Symbol(n)]);
    let x = graph.add_input("x", Type::new(DType::F32, shape.clone()));
    let y = graph.add_input("y", Type::new(DType::F32, shape));
    let sum = graph.binary(BinaryOp::Add, x, y, Origin::new("sum")).unwrap();
    graph.add_output("sum", sum);
    assert_eq!(eval::run(&graph, &[iota(&[3]), iota(&[3])]).unwrap()[0].as_f32().unwrap(), [0.0, 2.0, 4.0]);
    let message = |inputs: &[Tensor]| eval::run(&graph, inputs).unwrap_err().to_string();
    assert_eq!(message(&[iota(&[3])]), "the graph takes 2 inputs, but 1 are given");
    assert_eq!(message(&[iota(&[3]), iota(&[2])]), "input `y` is f32[sym0], but f32[2] is given");
    assert_eq!(message(&[iota(&[5]), iota(&[5])]), "input `x` is f32[sym0], but f32[5] is given");
    assert_eq!(message(&[Tensor::scalar(1i32), iota(&[2])]), "input `x` is f32[sym0], but i32[] is given");
}

#[test]
fn images_keep_constant_colours_and_crop_the_centre() {
    let photo = |rows: u64, columns: u64, colour: &dyn Fn(u64, u64) -> [u8; 3]| {
        let pixel = |i: u64| {
            let [r, g, b] = colour(i / columns, i % columns);
            [r, g, b, 255]
        };
        Tensor::from_values(&[rows, columns, 4], &(0..rows * columns).flat_map(pixel).collect::<Vec<u8>>()).unwrap()
    };
    let resize =
        |height, width, fit, photo: Tensor| one(Op::ImageResize { height, width, fit, filter: Filter::Triangle, fill: 0 }, &[photo]);
    for (rows, columns) in [(7, 3), (224, 224), (500, 333)] {
        let flat = resize(9, 5, Fit::CropCenter, photo(rows, columns, &|_, _| [10, 128, 255]));
        for pixel in flat.as_f32().unwrap().chunks(3) {
            assert!(pixel.iter().zip([10.0, 128.0, 255.0]).all(|(a, b)| (a - b).abs() < 1e-4), "{pixel:?}");
        }
    }
    // At scale 1 nothing changes, and a wide photo loses its sides.
    let ramp = photo(2, 6, &|row, column| [column as u8 * 10, row as u8, 0]);
    let cropped = resize(2, 2, Fit::CropCenter, ramp.clone());
    assert_eq!(cropped.as_f32().unwrap(), [20.0, 0.0, 0.0, 30.0, 0.0, 0.0, 20.0, 1.0, 0.0, 30.0, 1.0, 0.0]);
    // Halving takes four columns with weights 1, 3, 3, 1, of which the edge lacks one.
    let halved = resize(2, 3, Fit::Stretch, ramp).as_f32().unwrap();
    let reds: Vec<f32> = halved.chunks(3).take(3).map(|pixel| pixel[0]).collect();
    let expected = [(3.0 * 0.0 + 3.0 * 10.0 + 20.0) / 7.0, 25.0, (30.0 + 3.0 * 40.0 + 3.0 * 50.0) / 7.0];
    assert!(reds.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-4), "{reds:?}");

    // Pillow 12 on 11 rows and 17 columns of such numbers, a channel at a time in 32-bit floats (mode "F"), `resize(size, BILINEAR, box)`.
    let photo = photo(11, 17, &|r, c| [0, 1, 2].map(|k| ((r * 37 + c * 53 + k * 91 + r * c % 7 * 19) % 256) as u8));
    for (height, width, fit, every, expected) in PILLOW {
        let resized = resize(height, width, fit, photo.clone()).as_f32().unwrap();
        let pixels: Vec<f32> = resized.chunks(width as usize * 3).step_by(every).flatten().copied().collect();
        assert_eq!(pixels.len(), expected.len());
        let worst = pixels.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-3, "{height}x{width} {fit:?}: {worst}");
    }
}

/// `(height, width, fit, every how many rows are listed, values)`.
const PILLOW: [(u64, u64, Fit, usize, &[f32]); 3] = [
    (
        4,
        5,
        Fit::Stretch,
        2,
        &[
            106.351, 125.404, 120.381, 134.370, 145.277, 139.216, 141.938, 111.688, 128.443, 118.221, 122.557, 141.863, 105.777, 141.748,
            121.759, 121.310, 128.399, 110.892, 110.832, 123.535, 153.379, 126.983, 111.388, 143.378, 114.436, 152.514, 96.951, 122.756,
            155.528, 109.744,
        ],
    ),
    (
        4,
        3,
        Fit::CropCenter,
        1,
        &[
            133.108, 149.689, 142.788, 149.569, 112.682, 126.476, 123.292, 117.382, 135.066, 110.381, 152.265, 143.246, 121.283, 115.267,
            130.686, 120.459, 112.929, 125.243, 101.926, 122.972, 166.543, 128.310, 115.792, 138.627, 109.195, 129.745, 126.779, 138.689,
            144.907, 134.588, 155.082, 108.262, 127.248, 122.916, 87.349, 122.232,
        ],
    ),
    (
        13,
        2,
        Fit::Stretch,
        4,
        &[
            105.146, 132.399, 142.451, 119.549, 112.399, 137.628, 122.817, 149.369, 117.312, 131.013, 122.073, 115.857, 117.092, 124.420,
            140.309, 121.865, 130.904, 109.977, 147.715, 113.245, 111.154, 110.364, 108.273, 118.324,
        ],
    ),
];

/// The composites whose evaluation sums in `f64` equal their parts but for rounding.
#[test]
fn normalization_and_attention_equal_their_decompositions() {
    let x = mixed_f32(&[2, 3, 4], 7);
    let [q, k, v] = [11, 12, 13].map(|seed| mixed_f32(&[2, 3, 2, 4], seed));
    let mask = mixed_f32(&[1, 2, 1, 3], 14);
    let attention = |guarded| Op::Attention { scale: 0.5f32.to_bits(), guarded };
    let normalize = |axis, centred| Op::Normalize { axis, epsilon: 0.25f32.to_bits(), centred };
    let cases: Vec<(Op, Vec<Tensor>)> = vec![
        (normalize(0, true), vec![x.clone()]),
        (normalize(2, true), vec![x.clone()]),
        (normalize(1, false), vec![x]),
        (attention(false), vec![q.clone(), k.clone(), v.clone()]),
        (attention(true), vec![q, k, v, mask]),
    ];
    for (op, operands) in cases {
        let mut graph = Graph::new("composite");
        let inputs: Vec<_> = operands.iter().map(|tensor| graph.add_input("x", Type::of(tensor))).collect();
        let whole = graph.append_one(op.clone(), &inputs, Origin::new("whole")).unwrap();
        let id = graph.definition(whole).unwrap().0;
        let parts = graph.decompose(id).unwrap().expect("a composite")[0];
        graph.add_output("whole", whole);
        graph.add_output("parts", parts);
        let results = eval::run(&graph, &operands).unwrap();
        assert_eq!(results[0].shape(), results[1].shape());
        for (a, b) in results[0].to_f64().iter().zip(results[1].to_f64()) {
            assert!((a - b).abs() <= 1e-5 + 1e-5 * b.abs(), "{op:?}: {a} is not {b}");
        }
    }
    // Rows that are masked altogether.
    let one_head = f32s(&[1, 1, 1, 2], &[1.0, 2.0]);
    let hidden = f32s(&[1, 1, 1, 1], &[f32::NEG_INFINITY]);
    let row = |guarded| one(attention(guarded), &[one_head.clone(), one_head.clone(), one_head.clone(), hidden.clone()]);
    assert_eq!(row(true).as_f32().unwrap(), [0.0, 0.0]);
    assert!(row(false).as_f32().unwrap().iter().all(|value| value.is_nan()));
    let normal = one(normalize(0, true), &[f32s(&[2], &[1.0, 2.0])]);
    let unit = 0.5 / 0.5f32.sqrt();
    assert_eq!(normal.as_f32().unwrap(), [-unit, unit]);
}
