//! Operators whose meaning hangs on attributes and operator sets, against numbers worked out by hand or by plain loops.

#[path = "support/build.rs"]
mod build;

use build::*;
use mlp_graph::{Op, Tensor, eval, passes};
use mlp_import::onnx::proto::{AttributeProto, ModelProto};
use mlp_import::onnx::{ImportOptions, import};

/// The outputs of a model, as imported; it must give the same after all passes.
fn run(model: &ModelProto, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut graph = import(&bytes(model), &ImportOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    let outputs = eval::run(&graph, inputs).unwrap_or_else(|error| panic!("{error}"));
    passes::optimize(&mut graph).unwrap_or_else(|error| panic!("{error}"));
    let optimized = eval::run(&graph, inputs).unwrap_or_else(|error| panic!("{error}"));
    for (before, after) in outputs.iter().zip(&optimized) {
        for (a, b) in before.to_f64().iter().zip(after.to_f64()) {
            assert!(a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-5 * a.abs().max(1.0), "{a} becomes {b}");
        }
    }
    outputs
}

/// One operator over one input of floats.
fn one(opset: i64, op: &str, attributes: Vec<AttributeProto>, dims: &[u64], values: &[f32]) -> Tensor {
    let sizes: Vec<i64> = dims.iter().map(|&dim| dim as i64).collect();
    let model = model(opset, vec![port("x", FLOAT, &sizes)], vec![], vec![node(op, &["x"], &["y"], attributes)], &["y"]);
    run(&model, &[Tensor::from_f32(dims, values).unwrap()]).remove(0)
}

fn counted(count: usize) -> Vec<f32> {
    (1..=count).map(|number| number as f32).collect()
}

#[test]
fn padding_the_same_goes_where_the_name_says() {
    // Three ones summed over 1 2 3 4 with stride 2: one element of padding, at the end or at the start.
    let sums = |mode: &str| {
        let conv = node("Conv", &["x", "w"], &["y"], vec![string("auto_pad", mode), ints("strides", &[2])]);
        let weights = floats_tensor("w", &[1, 1, 3], &[1.0; 3]);
        let model = model(11, vec![port("x", FLOAT, &[1, 1, 4])], vec![weights], vec![conv], &["y"]);
        run(&model, &[Tensor::from_f32(&[1, 1, 4], &counted(4)).unwrap()])[0].to_f64()
    };
    assert_eq!(sums("SAME_UPPER"), [6.0, 7.0]);
    assert_eq!(sums("SAME_LOWER"), [3.0, 9.0]);
    assert_eq!(sums("VALID"), [6.0]);
}

#[test]
fn counting_windows_upwards_adds_one_that_padding_does_not_fill() {
    // 1 2 3 4 5, two at a time in steps of two: the third window holds only the 5.
    let pool = |op: &str, more: Vec<AttributeProto>| {
        let attributes = [vec![ints("kernel_shape", &[2]), ints("strides", &[2]), int("ceil_mode", 1)], more].concat();
        one(19, op, attributes, &[1, 1, 5], &counted(5)).to_f64()
    };
    assert_eq!(pool("MaxPool", vec![]), [2.0, 4.0, 5.0]);
    assert_eq!(pool("AveragePool", vec![]), [1.5, 3.5, 5.0]);
    assert_eq!(pool("AveragePool", vec![int("count_include_pad", 1)]), [1.5, 3.5, 5.0], "what is added does not count");
    // Real padding does: windows 0 1, 2 3, 4 5; one of only the padding after the end is left out.
    let padded = pool("AveragePool", vec![int("count_include_pad", 1), ints("pads", &[1, 1])]);
    assert_eq!(padded, [0.5, 2.5, 4.5]);
    // A window that would start in the padding after the end is left out.
    let short = one(19, "MaxPool", vec![ints("kernel_shape", &[1]), ints("strides", &[2]), int("ceil_mode", 1)], &[1, 1, 4], &counted(4));
    assert_eq!(short.to_f64(), [1.0, 3.0]);
}

#[test]
fn softmax_joined_the_axes_from_its_own_on_before_operator_set_13() {
    let x = [0.0, 1.0, 2.0, 3.0, 0.5, 0.25, 0.0, -1.0];
    let exp: Vec<f64> = x.iter().map(|&x| f64::from(x).exp()).collect();
    let close = |actual: Tensor, expected: Vec<f64>| {
        for (a, b) in actual.to_f64().iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{a} instead of {b}");
        }
    };
    let joined = exp.iter().enumerate().map(|(at, exp_at)| exp_at / exp[at / 4 * 4..at / 4 * 4 + 4].iter().sum::<f64>()).collect();
    close(one(11, "Softmax", vec![], &[2, 2, 2], &x), joined);
    let last = exp.iter().enumerate().map(|(at, exp_at)| exp_at / (exp[at] + exp[at ^ 1])).collect();
    close(one(13, "Softmax", vec![], &[2, 2, 2], &x), last);
}

#[test]
fn bounds_are_attributes_or_inputs() {
    let values = [-2.0, 0.5, 9.0];
    assert_eq!(one(6, "Clip", vec![float("min", 0.0), float("max", 6.0)], &[3], &values).to_f64(), [0.0, 0.5, 6.0]);
    let clip = node("Clip", &["x", "", "six"], &["y"], vec![]);
    let model = model(13, vec![port("x", FLOAT, &[3])], vec![floats_tensor("six", &[1], &[6.0])], vec![clip], &["y"]);
    assert_eq!(run(&model, &[Tensor::from_f32(&[3], &values).unwrap()])[0].to_f64(), [-2.0, 0.5, 6.0]);
}

#[test]
fn gemm_scales_turns_and_stretches() {
    let attributes = vec![float("alpha", 0.5), float("beta", 2.0), int("transA", 1), int("transB", 1)];
    let gemm = node("Gemm", &["x", "b", "c"], &["y"], attributes);
    let stored = vec![floats_tensor("b", &[2, 3], &[1.0, 0.0, 2.0, 0.0, 1.0, 0.0]), floats_tensor("c", &[2], &[10.0, 20.0])];
    let model = model(13, vec![port("x", FLOAT, &[3, 2])], stored, vec![gemm], &["y"]);
    // x transposed is [1 3 5; 2 4 6], b transposed [1 0; 0 1; 2 0].
    let y = run(&model, &[Tensor::from_f32(&[3, 2], &counted(6)).unwrap()]);
    assert_eq!(y[0].to_f64(), [0.5 * 11.0 + 20.0, 0.5 * 3.0 + 40.0, 0.5 * 14.0 + 20.0, 0.5 * 4.0 + 40.0]);
}

#[test]
fn a_reshape_keeps_infers_and_may_mean_zero() {
    let shape = |asked: &[i64], allow: i64, dims: &[i64]| {
        let reshape = node("Reshape", &["x", "shape"], &["y"], vec![int("allowzero", allow)]);
        let model = model(14, vec![port("x", FLOAT, dims)], vec![longs_tensor("shape", asked)], vec![reshape], &["y"]);
        import(&bytes(&model), &ImportOptions::default()).map(|graph| graph.dims(graph.outputs[0].value).unwrap())
    };
    assert_eq!(shape(&[0, -1], 0, &[2, 3, 4]).unwrap(), [2, 12]);
    assert_eq!(shape(&[-1, 0], 0, &[2, 6]).unwrap(), [2, 6]);
    assert_eq!(shape(&[0, 5], 1, &[0, 3]).unwrap(), [0, 5]);
    for (asked, allow, dims) in [(&[-1, -1][..], 0, &[4][..]), (&[5], 0, &[4]), (&[0, 0, 0], 0, &[2, 2]), (&[-1, 0], 1, &[0, 3])] {
        assert!(shape(asked, allow, dims).is_err(), "{asked:?} was taken");
    }
}

#[test]
fn slices_count_from_either_end_and_back() {
    let slice = |start: i64, end: i64, step: i64| {
        let stored = vec![longs_tensor("s", &[start]), longs_tensor("e", &[end]), longs_tensor("a", &[-1]), longs_tensor("t", &[step])];
        let nodes = vec![node("Slice", &["x", "s", "e", "a", "t"], &["y"], vec![])];
        let model = model(13, vec![port("x", FLOAT, &[5])], stored, nodes, &["y"]);
        run(&model, &[Tensor::from_f32(&[5], &counted(5)).unwrap()])[0].to_f64()
    };
    assert_eq!(slice(-3, i64::MAX, 1), [3.0, 4.0, 5.0]);
    assert_eq!(slice(-1, i64::MIN, -2), [5.0, 3.0, 1.0]);
    assert_eq!(slice(1, -1, 2), [2.0, 4.0]);
    assert_eq!(slice(4, 2, 1), [0.0; 0]);
    assert_eq!(slice(i64::MIN, i64::MAX, i64::MAX), [1.0]);
}

#[test]
fn padding_reflects_repeats_and_wraps() {
    let pad = |mode: &str, before: i64, after: i64| {
        let pad = node("Pad", &["x", "pads"], &["y"], vec![string("mode", mode)]);
        let model = model(19, vec![port("x", FLOAT, &[3])], vec![longs_tensor("pads", &[before, after])], vec![pad], &["y"]);
        run(&model, &[Tensor::from_f32(&[3], &counted(3)).unwrap()])[0].to_f64()
    };
    assert_eq!(pad("constant", 1, -1), [0.0, 1.0, 2.0]);
    assert_eq!(pad("edge", 2, 1), [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]);
    assert_eq!(pad("reflect", 2, 2), [3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]);
    assert_eq!(pad("wrap", 1, 1), [3.0, 1.0, 2.0, 3.0, 1.0]);
}

#[test]
fn old_maps_align_where_the_axis_says() {
    let add = node("Add", &["x", "b"], &["y"], vec![int("broadcast", 1), int("axis", 0)]);
    let model = model(6, vec![port("x", FLOAT, &[2, 2])], vec![floats_tensor("b", &[2], &[10.0, 20.0])], vec![add], &["y"]);
    assert_eq!(run(&model, &[Tensor::from_f32(&[2, 2], &counted(4)).unwrap()])[0].to_f64(), [11.0, 12.0, 23.0, 24.0]);
}

#[test]
fn shapes_computed_from_shapes_are_constants() {
    // y = reshape(x, concat(shape(x)[0:1], [-1])), with the cast and gather that exporters write.
    let nodes = vec![
        node("Shape", &["x"], &["s"], vec![]),
        node("Gather", &["s", "zero"], &["n"], vec![]),
        node("Cast", &["n"], &["n32"], vec![int("to", 6)]),
        node("Cast", &["n32"], &["n64"], vec![int("to", 7)]),
        node("Concat", &["n64", "rest"], &["shape"], vec![int("axis", 0)]),
        node("Reshape", &["x", "shape"], &["y"], vec![]),
    ];
    let stored = vec![longs_tensor("zero", &[0]), longs_tensor("rest", &[-1])];
    let model = model(13, vec![port("x", FLOAT, &[2, 3, 4])], stored, nodes, &["y"]);
    let graph = import(&bytes(&model), &ImportOptions::default()).expect("a graph");
    assert_eq!(graph.dims(graph.outputs[0].value), Some(vec![2, 12]));
}

/// `QLinearConv` against loops over exact integers, every zero point and scale in play.
#[test]
fn quantized_convolution_is_exact() {
    let (x_scale, y_scale, x_zero, y_zero) = (0.5f32, 0.75f32, 7i32, 100i32);
    let w_scales = [0.25f32, 0.5];
    let weights: Vec<i32> = (0..2 * 2 * 9).map(|index| (index * 37 + 11) % 255 - 127).collect();
    let bias = [300, -1000];
    let stored = vec![
        floats_tensor("xs", &[], &[x_scale]),
        narrow_tensor("xz", UINT8, &[], &[x_zero]),
        narrow_tensor("w", INT8, &[2, 2, 3, 3], &weights),
        floats_tensor("ws", &[2], &w_scales),
        narrow_tensor("wz", INT8, &[2], &[0, 0]),
        floats_tensor("ys", &[], &[y_scale]),
        narrow_tensor("yz", UINT8, &[], &[y_zero]),
        narrow_tensor("b", INT32, &[2], &bias),
    ];
    let conv = node("QLinearConv", &["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], &["y"], vec![ints("pads", &[1, 1, 1, 1])]);
    let model = model(10, vec![port("x", UINT8, &[1, 2, 4, 4])], stored, vec![conv], &["y"]);
    let x: Vec<u8> = (0..32).map(|index| (index * 91 % 256) as u8).collect();
    let input = Tensor::from_values(&[1, 2, 4, 4], &x).unwrap();

    let mut graph = import(&bytes(&model), &ImportOptions::default()).expect("a graph");
    passes::optimize(&mut graph).expect("a graph");
    assert!(graph.order.iter().any(|&op| matches!(graph.ops[op].op, Op::QuantizedConv { .. })), "it computes in integers");
    let y = eval::run(&graph, &[input]).expect("a result").remove(0).to_i64().unwrap();
    for (place, &actual) in y.iter().enumerate() {
        let (channel, row, column) = (place / 16, place / 4 % 4, place % 4);
        let mut sum = i64::from(bias[channel]);
        for (k, i, j) in (0..18).map(|tap| (tap / 9, tap / 3 % 3, tap % 3)) {
            if (1..5).contains(&(row + i)) && (1..5).contains(&(column + j)) {
                let value = i64::from(x[k * 16 + (row + i - 1) * 4 + column + j - 1]) - i64::from(x_zero);
                sum += value * i64::from(weights[channel * 18 + k * 9 + i * 3 + j]);
            }
        }
        // All scales are short binary fractions but for the division, which ties cannot come from here.
        let real = sum as f64 * f64::from(x_scale) * f64::from(w_scales[channel]) / f64::from(y_scale);
        let expected = (real.round_ties_even() as i64 + i64::from(y_zero)).clamp(0, 255);
        assert_eq!(actual, expected, "channel {channel}, row {row}, column {column}");
    }
    assert!(y.iter().any(|&value| value > 0 && value < 255), "not all results are at a bound");
}

#[test]
fn tuples_of_indices_pick_parts() {
    let pick = |op: &str, shape: &[i64], indices: &[i64], attributes: Vec<AttributeProto>| {
        let stored = vec![longs_tensor("flat", indices), longs_tensor("shape", shape)];
        let nodes = vec![node("Reshape", &["flat", "shape"], &["i"], vec![]), node(op, &["x", "i"], &["y"], attributes)];
        let model = model(13, vec![port("x", FLOAT, &[2, 2, 3])], stored, nodes, &["y"]);
        run(&model, &[Tensor::from_f32(&[2, 2, 3], &counted(12)).unwrap()]).remove(0)
    };
    // Elements, rows, and a row of each image.
    assert_eq!(pick("GatherND", &[2, 3], &[0, 1, 2, -1, 0, -3], vec![]).to_f64(), [6.0, 7.0]);
    let rows = pick("GatherND", &[1, 2, 2], &[1, 1, 0, 0], vec![]);
    assert_eq!((rows.shape(), rows.to_f64()), ([1, 2, 3].as_slice(), vec![10.0, 11.0, 12.0, 1.0, 2.0, 3.0]));
    assert_eq!(pick("GatherND", &[2, 1], &[1, 0], vec![int("batch_dims", 1)]).to_f64(), [4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    assert_eq!(pick("GatherElements", &[1, 2, 2], &[0, 2, -1, 1], vec![int("axis", 2)]).to_f64(), [1.0, 3.0, 6.0, 5.0]);
}

#[test]
fn resizing_repeats_weighs_and_rounds() {
    let resize = |size: i64, attributes: Vec<AttributeProto>| {
        let nodes = vec![node("Resize", &["x", "", "", "sizes"], &["y"], attributes)];
        let model = model(19, vec![port("x", FLOAT, &[1, 4])], vec![longs_tensor("sizes", &[1, size])], nodes, &["y"]);
        run(&model, &[Tensor::from_f32(&[1, 4], &counted(4)).unwrap()])[0].to_f64()
    };
    let mode = |mode: &str, coordinates: &str| vec![string("mode", mode), string("coordinate_transformation_mode", coordinates)];
    assert_eq!(resize(8, mode("nearest", "half_pixel")), [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
    assert_eq!(resize(3, mode("nearest", "asymmetric")), [1.0, 2.0, 4.0], "4/3 and 8/3 to the nearest");
    assert_eq!(resize(7, mode("linear", "align_corners")), [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]);
    assert_eq!(resize(8, mode("linear", "half_pixel")), [1.0, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4.0]);
    assert_eq!(resize(2, mode("cubic", "half_pixel")), [1.40625, 3.59375], "weights -3/32, 19/32, 19/32, -3/32 with edges repeated");
    let narrow = resize(1, [mode("linear", "half_pixel"), vec![int("antialias", 1)]].concat());
    assert!((narrow[0] - 2.5).abs() < 1e-6, "the mean, by symmetry");
}

/// Transposed convolution of one axis against its definition, with every attribute in play.
#[test]
fn transposed_convolution_spreads_every_element() {
    for (groups, taps, stride, dilation, pads, extra) in
        [(1, 2, 2, 1, [0, 0], 0), (1, 3, 2, 1, [1, 0], 1), (2, 3, 1, 2, [0, 2], 0), (2, 2, 3, 1, [0, 0], 2), (1, 1, 1, 1, [0, 0], 0)]
    {
        let (channels, outputs, size) = (4usize, 6 / groups, 5usize);
        let x: Vec<f32> = (0..channels * size).map(|i| ((i * 7) % 11) as f32 - 5.0).collect();
        let w: Vec<f32> = (0..channels * outputs * taps).map(|i| ((i * 5) % 13) as f32 - 6.0).collect();
        let bias: Vec<f32> = (0..6).map(|i| i as f32).collect();
        let length = stride * (size - 1) + extra + (taps - 1) * dilation + 1 - pads[0] - pads[1];
        let mut expected: Vec<f64> = (0..6 * length).map(|at| (at / length) as f64).collect();
        for (c, i, o, k) in (0..channels * size * outputs * taps)
            .map(|flat| (flat / (size * outputs * taps), flat / (outputs * taps) % size, flat / taps % outputs, flat % taps))
        {
            let at = (i * stride + k * dilation).wrapping_sub(pads[0]);
            if at < length {
                let output = c / (channels / groups) * outputs + o;
                expected[output * length + at] += f64::from(x[c * size + i] * w[(c * outputs + o) * taps + k]);
            }
        }
        let attributes = vec![
            int("group", groups as i64),
            ints("strides", &[stride as i64]),
            ints("dilations", &[dilation as i64]),
            ints("pads", &pads.map(|pad| pad as i64)),
            ints("output_padding", &[extra as i64]),
        ];
        let weights = floats_tensor("w", &[channels as i64, outputs as i64, taps as i64], &w);
        let nodes = vec![node("ConvTranspose", &["x", "w", "b"], &["y"], attributes)];
        let stored = vec![weights, floats_tensor("b", &[6], &bias)];
        let model = model(11, vec![port("x", FLOAT, &[1, channels as i64, size as i64])], stored, nodes, &["y"]);
        let y = run(&model, &[Tensor::from_f32(&[1, channels as u64, size as u64], &x).unwrap()]).remove(0);
        assert_eq!((y.shape(), y.to_f64()), ([1, 6, length as u64].as_slice(), expected), "{groups} {taps} {stride} {dilation}");
    }
}
