//! Operators that are made of many operations, against plain loops and the functions of the standard library.

#[path = "support/build.rs"]
mod build;

use build::*;
use mlp_graph::{DType, Tensor, eval, passes};
use mlp_import::ImportError;
use mlp_import::onnx::proto::{AttributeProto, ModelProto, NodeProto, TensorProto};
use mlp_import::onnx::{ImportOptions, import};

const DOUBLE: i32 = 11;

/// The outputs of a model after all passes, which must be what they are before.
fn run(model: &ModelProto, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut graph = import(&bytes(model), &ImportOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    let before = eval::run(&graph, inputs).unwrap_or_else(|error| panic!("{error}"));
    passes::optimize(&mut graph).unwrap_or_else(|error| panic!("{error}"));
    let after = eval::run(&graph, inputs).unwrap_or_else(|error| panic!("{error}"));
    for (before, after) in before.iter().zip(&after) {
        for (a, b) in before.to_f64().iter().zip(after.to_f64()) {
            assert!(a.is_nan() && b.is_nan() || a == &b || (a - b).abs() <= 1e-5 * a.abs().max(1.0), "{a} becomes {b}");
        }
    }
    after
}

fn refusal(model: &ModelProto) -> ImportError {
    import(&bytes(model), &ImportOptions::default()).map(|graph| graph.order.len()).expect_err("a refusal")
}

fn floats(dims: &[u64], values: &[f32]) -> Tensor {
    Tensor::from_f32(dims, values).unwrap()
}

/// Whole numbers that differ, in no order.
fn mixed(count: usize, modulus: usize) -> Vec<f32> {
    (0..count).map(|index| ((index * 37 + 11) % modulus) as f32 - (modulus / 2) as f32).collect()
}

#[test]
fn functions_are_accurate_for_small_and_large_arguments() {
    let wide = [
        1e-30, 1e-8, 1e-4, 0.01, 0.1, 0.3, 0.34, 0.4, 0.42, 0.7, 0.99, 1.0, 1.01, 2.0, 2.4, 2.5, 5.0, 30.0, 88.0, 1e4, 1e8, 2e8, 1e19, 1e30,
    ];
    type Function = fn(f64) -> f64;
    let cases: [(&str, Function, f64, f64); 9] = [
        ("Tan", f64::tan, -1.5, 1.5),
        ("Atan", f64::atan, -1e30, 1e30),
        ("Asin", f64::asin, -1.0, 1.0),
        ("Acos", f64::acos, -1.0, 1.0),
        ("Sinh", f64::sinh, -88.0, 88.0),
        ("Cosh", f64::cosh, -88.0, 88.0),
        ("Asinh", f64::asinh, -1e30, 1e30),
        ("Acosh", f64::acosh, 1.0, 1e30),
        ("Atanh", f64::atanh, -0.99, 0.99),
    ];
    for (op, function, low, high) in cases {
        for (elem_type, tolerance) in [(FLOAT, 1.5e-6), (DOUBLE, 2e-14)] {
            let both: Vec<f64> = wide.iter().flat_map(|&x| [x, -x]).chain([0.0]).filter(|x| (low..=high).contains(x)).collect();
            // What is compared with is the function of the rounded argument.
            let xs: Vec<f64> = both
                .iter()
                .map(|&x| if elem_type == FLOAT { f64::from(x as f32) } else { x })
                .filter(|x| (low..=high).contains(x))
                .collect();
            let dims = [xs.len() as u64];
            let input = match elem_type {
                FLOAT => floats(&dims, &xs.iter().map(|&x| x as f32).collect::<Vec<_>>()),
                _ => Tensor::from_values(&dims, &xs).unwrap(),
            };
            let model = model(22, vec![port("x", elem_type, &[xs.len() as i64])], vec![], vec![node(op, &["x"], &["y"], vec![])], &["y"]);
            let results = run(&model, &[input])[0].to_f64();
            for (x, y) in xs.iter().zip(results) {
                // The standard library's own loses digits of small arguments.
                let expected = match op {
                    "Asinh" if x.abs() < 1e-3 => x - x.powi(3) / 6.0,
                    "Asinh" => x.signum() * (x.abs() + (x * x + 1.0).sqrt()).ln(),
                    _ => function(*x),
                };
                let off = (y - expected).abs();
                assert!(off <= tolerance * expected.abs() || off <= 1e-38, "{op}({x}) is {y}, not {expected}");
            }
        }
    }
}

#[test]
fn functions_have_no_value_outside_of_their_domain() {
    for (op, x) in [("Asin", 1.5), ("Acos", -1.5), ("Acosh", 0.5), ("Acosh", -3.0), ("Atanh", 2.0), ("Atan", f32::NAN), ("Sign", f32::NAN)]
    {
        let model = model(22, vec![port("x", FLOAT, &[1])], vec![], vec![node(op, &["x"], &["y"], vec![])], &["y"]);
        assert!(run(&model, &[floats(&[1], &[x])])[0].to_f64()[0].is_nan(), "{op}({x})");
    }
    for (op, x, y) in [
        ("Atanh", 1.0, f64::INFINITY),
        ("Atan", f32::INFINITY, std::f64::consts::FRAC_PI_2),
        ("Asinh", f32::NEG_INFINITY, f64::NEG_INFINITY),
    ] {
        let model = model(22, vec![port("x", FLOAT, &[1])], vec![], vec![node(op, &["x"], &["y"], vec![])], &["y"]);
        let result = run(&model, &[floats(&[1], &[x])])[0].to_f64()[0];
        assert!(result == y || (result - y).abs() < 1e-6, "{op}({x}) is {result}");
    }
}

/// An operator with its second and third inputs given when it runs, or stored.
fn scattering(
    op: &str,
    dims: &[u64],
    indices: (&[u64], &[i64]),
    updates: (&[u64], &[f32]),
    attributes: Vec<AttributeProto>,
    stored: bool,
) -> Vec<f64> {
    let sizes = |dims: &[u64]| dims.iter().map(|&dim| dim as i64).collect::<Vec<i64>>();
    let mut inputs = vec![port("x", FLOAT, &sizes(dims)), port("u", FLOAT, &sizes(updates.0))];
    let x: Vec<f32> = mixed(dims.iter().product::<u64>() as usize, 7);
    let mut values = vec![floats(dims, &x), floats(updates.0, updates.1)];
    let mut initializers: Vec<TensorProto> = Vec::new();
    if stored {
        let mut tensor = longs_tensor("i", indices.1);
        tensor.dims = sizes(indices.0);
        initializers.push(tensor);
    } else {
        inputs.push(port("i", INT64, &sizes(indices.0)));
        values.push(Tensor::from_i64(indices.0, indices.1).unwrap());
    }
    let model = model(18, inputs, initializers, vec![node(op, &["x", "i", "u"], &["y"], attributes)], &["y"]);
    run(&model, &values)[0].to_f64()
}

fn combined(reduction: &str, old: f64, new: f64) -> f64 {
    match reduction {
        "add" => old + new,
        "mul" => old * new,
        "max" => old.max(new),
        "min" => old.min(new),
        _ => new,
    }
}

#[test]
fn scattered_elements_meet_what_loops_say() {
    let (dims, counts) = ([4u64, 5, 3], [3u64, 6, 2]);
    let count = 36;
    let indices: Vec<i64> = (0..count).map(|index| (index * 7 + 3) % 10 - 5).collect();
    let updates = mixed(count as usize, 11);
    for reduction in ["none", "add", "mul", "max", "min"] {
        let mut expected: Vec<f64> = mixed(60, 7).into_iter().map(f64::from).collect();
        for (at, (&index, &update)) in indices.iter().zip(&updates).enumerate() {
            let (a, c) = (at / 12, at % 2);
            let place = a * 15 + index.rem_euclid(5) as usize * 3 + c;
            expected[place] = combined(reduction, expected[place], f64::from(update));
        }
        for stored in [true, false] {
            let attributes = vec![string("reduction", reduction), int("axis", 1)];
            let actual = scattering("ScatterElements", &dims, (&counts, &indices), (&counts, &updates), attributes, stored);
            assert_eq!(actual, expected, "{reduction}, stored: {stored}");
        }
    }
}

#[test]
fn scattered_slices_meet_what_loops_say() {
    let dims = [3u64, 4, 2];
    let indices: [i64; 10] = [0, 1, 2, -1, 0, 1, -3, 0, 0, 1];
    let updates = mixed(10, 11);
    for reduction in ["none", "add", "mul", "max", "min"] {
        let mut expected: Vec<f64> = mixed(24, 7).into_iter().map(f64::from).collect();
        for (tuple, update) in indices.chunks(2).zip(updates.chunks(2)) {
            let place = (tuple[0].rem_euclid(3) * 4 + tuple[1].rem_euclid(4)) as usize * 2;
            for (inner, &value) in update.iter().enumerate() {
                expected[place + inner] = combined(reduction, expected[place + inner], f64::from(value));
            }
        }
        for stored in [true, false] {
            let actual =
                scattering("ScatterND", &dims, (&[5, 2], &indices), (&[5, 2], &updates), vec![string("reduction", reduction)], stored);
            assert_eq!(actual, expected, "{reduction}, stored: {stored}");
        }
    }
}

/// An Einstein sum as its definition says: over all values of all labels.
fn defined(equation: &str, operands: &[(&[u64], &[f32])]) -> Vec<f64> {
    let (left, output) = equation.split_once("->").unwrap();
    let sides: Vec<Vec<char>> = left.split(',').map(|side| side.chars().collect()).collect();
    let mut labels: Vec<(char, u64)> = Vec::new();
    for (side, (dims, _)) in sides.iter().zip(operands) {
        for (&label, &size) in side.iter().zip(*dims) {
            match labels.iter_mut().find(|known| known.0 == label) {
                Some(known) => known.1 = known.1.max(size),
                None => labels.push((label, size)),
            }
        }
    }
    let size_of = |label: char| labels.iter().find(|known| known.0 == label).unwrap().1;
    let mut result = vec![0.0; output.chars().map(size_of).product::<u64>() as usize];
    for point in 0..labels.iter().map(|label| label.1).product::<u64>() {
        let mut rest = point;
        let position: Vec<(char, u64)> = labels
            .iter()
            .map(|&(label, size)| {
                let at = rest % size;
                rest /= size;
                (label, at)
            })
            .collect();
        let at = |label: char| position.iter().find(|known| known.0 == label).unwrap().1;
        let mut product = 1.0;
        for (side, (dims, values)) in sides.iter().zip(operands) {
            let index = side.iter().zip(*dims).fold(0, |index, (&label, &size)| index * size + if size == 1 { 0 } else { at(label) });
            product *= f64::from(values[index as usize]);
        }
        let place = output.chars().fold(0, |index, label| index * size_of(label) + at(label));
        result[place as usize] += product;
    }
    result
}

#[test]
fn einstein_sums_are_what_their_definition_says() {
    let cases: [(&str, &[&[u64]]); 11] = [
        ("ij,jk->ik", &[&[2, 3], &[3, 4]]),
        ("bij,bjk->bki", &[&[2, 3, 4], &[2, 4, 2]]),
        ("ij->j", &[&[3, 4]]),
        ("ii->i", &[&[4, 4]]),
        ("iij,j->i", &[&[3, 3, 2], &[2]]),
        ("ij,kl->ijkl", &[&[2, 2], &[3, 2]]),
        ("ijk,jl,kl->il", &[&[2, 3, 4], &[3, 2], &[4, 2]]),
        ("ij,ij->", &[&[3, 4], &[3, 4]]),
        ("bhid,bhjd->bhij", &[&[1, 2, 3, 4], &[1, 2, 5, 4]]),
        ("ab,b->a", &[&[3, 1], &[4]]),
        ("i,i,i->i", &[&[3], &[3], &[3]]),
    ];
    for (equation, shapes) in cases {
        let values: Vec<Vec<f32>> =
            shapes.iter().enumerate().map(|(index, dims)| mixed(dims.iter().product::<u64>() as usize, 7 + 2 * index)).collect();
        let names: Vec<String> = (0..shapes.len()).map(|index| format!("x{index}")).collect();
        let ports = names
            .iter()
            .zip(shapes)
            .map(|(name, dims)| port(name, FLOAT, &dims.iter().map(|&dim| dim as i64).collect::<Vec<_>>()))
            .collect();
        let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
        let model = model(12, ports, vec![], vec![node("Einsum", &inputs, &["y"], vec![string("equation", equation)])], &["y"]);
        let tensors: Vec<Tensor> = shapes.iter().zip(&values).map(|(dims, values)| floats(dims, values)).collect();
        let operands: Vec<(&[u64], &[f32])> = shapes.iter().zip(&values).map(|(dims, values)| (*dims, values.as_slice())).collect();
        assert_eq!(run(&model, &tensors)[0].to_f64(), defined(equation, &operands), "{equation}");
    }
    for (equation, part) in
        [("ij,jk->iz", "`iz`"), ("ijk,jk->i", "`ijk`"), ("ij,jk->ii", "`ii`"), ("i!,jk->i", "`i!`"), ("ij", "1 operands")]
    {
        let ports = vec![port("x", FLOAT, &[2, 2]), port("z", FLOAT, &[2, 2])];
        let model = model(12, ports, vec![], vec![node("Einsum", &["x", "z"], &["y"], vec![string("equation", equation)])], &["y"]);
        let error = refusal(&model).to_string();
        assert!(error.contains(part), "{equation}: {error}");
    }
}

fn sequences(nodes: Vec<NodeProto>, stored: Vec<TensorProto>, outputs: &[&str]) -> ModelProto {
    model(13, vec![port("x", FLOAT, &[2, 6]), port("z", FLOAT, &[2, 1])], stored, nodes, outputs)
}

#[test]
fn sequences_leave_nothing_but_their_elements() {
    let nodes = vec![
        node("SplitToSequence", &["x", "sizes"], &["parts"], vec![int("axis", 1)]),
        node("SequenceErase", &["parts", "first"], &["fewer"], vec![]),
        node("SequenceInsert", &["fewer", "z", "first"], &["more"], vec![]),
        node("Identity", &["more"], &["same"], vec![]),
        node("ConcatFromSequence", &["same"], &["joined"], vec![int("axis", -1)]),
        node("SequenceAt", &["same", "last"], &["end"], vec![]),
        node("SequenceLength", &["same"], &["count"], vec![]),
    ];
    let scalar = |name: &str, value: i64| TensorProto { dims: vec![], ..longs_tensor(name, &[value]) };
    let stored = vec![longs_tensor("sizes", &[1, 2, 3]), scalar("first", 0), scalar("last", -1)];
    let model = sequences(nodes, stored, &["joined", "end", "count"]);
    let x: Vec<f32> = (1..=12).map(|value| value as f32).collect();
    let results = run(&model, &[floats(&[2, 6], &x), floats(&[2, 1], &[-1.0, -2.0])]);
    assert_eq!((results[0].shape(), results[0].to_f64()), ([2, 6].as_slice(), vec![-1., 2., 3., 4., 5., 6., -2., 8., 9., 10., 11., 12.]));
    assert_eq!((results[1].shape(), results[1].to_f64()), ([2, 3].as_slice(), vec![4., 5., 6., 10., 11., 12.]));
    assert_eq!(results[2].to_f64(), [3.0]);
}

#[test]
fn sequences_are_refused_where_tensors_are_needed() {
    let make = || node("SequenceConstruct", &["x", "x"], &["s"], vec![]);
    let as_tensor = sequences(vec![make(), node("Relu", &["s"], &["y"], vec![])], vec![], &["y"]);
    assert!(refusal(&as_tensor).to_string().contains("an input is a sequence"));
    let leaving = sequences(vec![make()], vec![], &["s"]);
    assert!(refusal(&leaving).to_string().contains("output `s` is a sequence"));
    let nested = sequences(vec![make(), node("SequenceConstruct", &["s"], &["y"], vec![])], vec![], &["y"]);
    assert!(refusal(&nested).to_string().contains("a sequence inside of a sequence"));
    let no_sequence = sequences(vec![node("SequenceLength", &["x"], &["y"], vec![])], vec![], &["y"]);
    assert!(refusal(&no_sequence).to_string().contains("must be a sequence"));
}

#[test]
fn greatest_elements_of_regions_are_what_loops_find() {
    let (height, width) = (5usize, 6usize);
    let x = mixed(2 * height * width, 61);
    let rois: [f32; 15] = [0.0, 0.0, 0.0, 7.0, 6.0, 1.0, 2.0, 1.0, 9.0, 9.0, 1.0, 30.0, 30.0, 40.0, 40.0];
    let pool = node("MaxRoiPool", &["x", "r"], &["y"], vec![ints("pooled_shape", &[2, 3]), float("spatial_scale", 0.5)]);
    let model = model(22, vec![port("x", FLOAT, &[2, 1, 5, 6]), port("r", FLOAT, &[3, 5])], vec![], vec![pool], &["y"]);
    let actual = run(&model, &[floats(&[2, 1, 5, 6], &x), floats(&[3, 5], &rois)])[0].to_f64();
    let mut expected = Vec::new();
    for roi in rois.chunks(5) {
        let [x1, y1, x2, y2] = [1, 2, 3, 4].map(|index| (roi[index] * 0.5).round() as i64);
        let ends = |start: i64, end: i64, bins: usize, bin: usize, size: usize| {
            let length = (end - start + 1).max(1) as f64 / bins as f64;
            let first = (bin as f64 * length).floor() as i64 + start;
            let last = ((bin + 1) as f64 * length).ceil() as i64 + start;
            (first.clamp(0, size as i64), last.clamp(0, size as i64))
        };
        for bin in 0..6 {
            let ((top, bottom), (left, right)) = (ends(y1, y2, 2, bin / 3, height), ends(x1, x2, 3, bin % 3, width));
            let inside = (top..bottom).flat_map(|row| (left..right).map(move |column| (row, column)));
            let values = inside.map(|(row, column)| f64::from(x[roi[0] as usize * 30 + row as usize * 6 + column as usize]));
            expected.push(values.reduce(f64::max).unwrap_or(0.0));
        }
    }
    assert_eq!(actual, expected);
}

#[test]
fn transforms_undo_each_other() {
    // A real signal forward, and half of its spectrum back.
    for length in [1i64, 6, 7] {
        let nodes = vec![
            node("DFT", &["x", "", "axis"], &["half"], vec![int("onesided", 1)]),
            node("DFT", &["half", "length", "axis"], &["y"], vec![int("onesided", 1), int("inverse", 1)]),
            node("DFT", &["x", "", "axis"], &["whole"], vec![]),
            node("DFT", &["whole", "", "axis"], &["z"], vec![int("inverse", 1)]),
        ];
        let scalar = |name: &str, value: i64| TensorProto { dims: vec![], ..longs_tensor(name, &[value]) };
        let stored = vec![scalar("axis", 1), scalar("length", length)];
        let model = model(20, vec![port("x", FLOAT, &[2, length, 1])], stored, nodes, &["y", "z"]);
        let x = mixed(2 * length as usize, 11);
        let results = run(&model, &[floats(&[2, length as u64, 1], &x)]);
        assert_eq!(results[0].shape(), [2, length as u64, 1]);
        for (index, value) in x.iter().enumerate() {
            let complex = [results[1].to_f64()[2 * index], results[1].to_f64()[2 * index + 1]];
            assert!((results[0].to_f64()[index] - f64::from(*value)).abs() < 1e-5, "{length}");
            assert!((complex[0] - f64::from(*value)).abs() < 1e-5 && complex[1].abs() < 1e-5, "{length}");
        }
    }
}

#[test]
fn determinants_need_pivots() {
    let cases: [(usize, Vec<f32>, f64); 4] = [
        (2, vec![0.0, 1.0, 1.0, 0.0], -1.0),
        (3, vec![0.0, 2.0, 1.0, 3.0, 0.0, 1.0, 1.0, 1.0, 0.0], 5.0),
        (3, vec![1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 1.0, 0.0, 1.0], 0.0),
        (4, vec![2.0, 0.0, 0.0, 1.0, 0.0, 0.0, 3.0, 0.0, 0.0, 5.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0], -15.0),
    ];
    for (size, matrix, expected) in cases {
        let model =
            model(22, vec![port("x", FLOAT, &[size as i64, size as i64])], vec![], vec![node("Det", &["x"], &["y"], vec![])], &["y"]);
        let actual = run(&model, &[floats(&[size as u64, size as u64], &matrix)]).remove(0);
        assert!(actual.shape().is_empty() && (actual.to_f64()[0] - expected).abs() < 1e-5, "{matrix:?}: {:?}", actual.to_f64());
    }
}

#[test]
fn bits_stay_as_they_are() {
    let cast = |from: i32, to: i64, input: Tensor| {
        let model = model(26, vec![port("x", from, &[2])], vec![], vec![node("BitCast", &["x"], &["y"], vec![int("to", to)])], &["y"]);
        run(&model, &[input]).remove(0)
    };
    let ints = cast(FLOAT, 6, floats(&[2], &[1.0, -0.0]));
    assert_eq!((ints.dtype(), ints.to_i64().unwrap()), (DType::I32, vec![0x3f80_0000, i64::from(i32::MIN)]));
    let back = cast(INT32, 1, Tensor::from_i32(&[2], &[0x3f80_0000, i32::MIN]).unwrap());
    assert_eq!(back.as_f32().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>(), [0x3f80_0000, 0x8000_0000]);
    assert_eq!(cast(INT8, 2, Tensor::from_values(&[2], &[-1i8, 5]).unwrap()).to_i64().unwrap(), [255, 5]);
}

/// Greedy selection by loops: for each image and class the best box that is left, unless it overlaps one selected before.
fn suppressed(boxes: &[f32], scores: &[f32], [batch, classes, count]: [usize; 3], most: usize, iou: f32, least: f32) -> Vec<f64> {
    let area = |b: &[f32]| (b[2] - b[0]) * (b[3] - b[1]);
    let overlap = |a: &[f32], b: &[f32]| {
        let side = |low: usize| (a[low + 2].min(b[low + 2]) - a[low].max(b[low])).max(0.0);
        let common = side(0) * side(1);
        if common > 0.0 { common / (area(a) + area(b) - common) } else { 0.0 }
    };
    let mut rows = Vec::new();
    for (image, class) in (0..batch * classes).map(|pair| (pair / classes, pair % classes)) {
        let of = |index: usize| &boxes[(image * count + index) * 4..][..4];
        let score = |index: usize| scores[(image * classes + class) * count + index];
        let mut order: Vec<usize> = (0..count).filter(|&index| score(index) > least).collect();
        order.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
        let mut kept: Vec<usize> = Vec::new();
        for index in order {
            if kept.len() < most && kept.iter().all(|&other| overlap(of(other), of(index)) <= iou) {
                kept.push(index);
                rows.extend([image as f64, class as f64, index as f64]);
            }
        }
    }
    rows
}

#[test]
fn the_best_boxes_come_first_and_the_rest_is_marked() {
    let (batch, classes, count, most) = (2usize, 3usize, 12usize, 5usize);
    let boxes: Vec<f32> = (0..batch * count)
        .flat_map(|index| {
            let (y, x) = ((index * 7 % 10) as f32, (index * 3 % 8) as f32);
            [y, x, y + 4.0 + (index % 3) as f32, x + 5.0]
        })
        .collect();
    let scores: Vec<f32> = (0..batch * classes * count).map(|index| (index * 29 % 97) as f32 / 97.0).collect();
    let scalar = |name: &str, value: f32| floats_tensor(name, &[1], &[value]);
    let stored = vec![longs_tensor("most", &[most as i64]), scalar("iou", 0.4), scalar("least", 0.3), longs_tensor("box", &[2])];
    let nodes = vec![
        node("NonMaxSuppression", &["b", "s", "most", "iou", "least"], &["y"], vec![]),
        node("Gather", &["y", "box"], &["boxes"], vec![int("axis", 1)]),
        node("Cast", &["boxes"], &["places"], vec![int("to", 1)]),
    ];
    let ports = vec![port("b", FLOAT, &[2, 12, 4]), port("s", FLOAT, &[2, 3, 12])];
    let sound = model(13, ports, stored, nodes, &["y", "places"]);
    let results = run(&sound, &[floats(&[2, 12, 4], &boxes), floats(&[2, 3, 12], &scores)]);
    let mut expected = suppressed(&boxes, &scores, [batch, classes, count], most, 0.4, 0.3);
    assert!(expected.len() > 20 && expected.len() < batch * classes * most * 3, "some are dropped, some kept");
    expected.resize(batch * classes * most * 3, -1.0);
    assert_eq!(results[0].to_f64(), expected);
    let places: Vec<f64> = expected.chunks(3).map(|row| row[2]).collect();
    assert_eq!((results[1].shape(), results[1].to_f64()), ([30, 1].as_slice(), places));
}
