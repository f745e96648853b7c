//! Rows of which only a run knows how many there are: what selects them, what goes on with them, and what is refused.

#[path = "support/build.rs"]
mod build;

use build::*;
use mlp_graph::{DType, Tensor, eval, passes, verify};
use mlp_import::onnx::proto::{ModelProto, NodeProto, TensorProto};
use mlp_import::onnx::{ImportOptions, import};

const BOOL: i32 = 9;

/// What callers see of a model's outputs, which must be the same before and after all passes.
fn run(model: &ModelProto, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut graph = import(&bytes(model), &ImportOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    verify::verify(&graph).unwrap_or_else(|error| panic!("{error}"));
    let before = graph.shown(eval::run(&graph, inputs).unwrap_or_else(|error| panic!("{error}"))).unwrap();
    passes::optimize(&mut graph).unwrap_or_else(|error| panic!("{error}"));
    let after = graph.shown(eval::run(&graph, inputs).unwrap_or_else(|error| panic!("{error}"))).unwrap();
    assert_eq!(before, after);
    after
}

fn refusal(model: &ModelProto) -> String {
    import(&bytes(model), &ImportOptions::default()).map(|graph| graph.order.len()).expect_err("a refusal").to_string()
}

fn truths(values: &[bool]) -> Tensor {
    Tensor::new(DType::Bool, vec![values.len() as u64], values.iter().map(|&value| u8::from(value)).collect()).unwrap()
}

fn numbers(dims: &[u64], values: &[f32]) -> Tensor {
    Tensor::from_f32(dims, values).unwrap()
}

/// Rows of `x [5, 2]` that a mask selects, and what comes after them.
fn selecting(stored: Vec<TensorProto>, mut nodes: Vec<NodeProto>, outputs: &[&str]) -> ModelProto {
    nodes.insert(0, node("Compress", &["x", "mask"], &["rows"], vec![int("axis", 0)]));
    model(18, vec![port("x", FLOAT, &[5, 2]), port("mask", BOOL, &[5])], stored, nodes, outputs)
}

/// The shapes and numbers of the results for a mask; `x` counts from 0.
fn answers(model: &ModelProto, mask: [bool; 5]) -> Vec<(Vec<u64>, Vec<f64>)> {
    let x: Vec<f32> = (0..10).map(|number| number as f32).collect();
    let results = run(model, &[numbers(&[5, 2], &x), truths(&mask)]);
    results.iter().map(|tensor| (tensor.shape().to_vec(), tensor.to_f64())).collect()
}

const SOME: [bool; 5] = [false, true, false, true, true];

#[test]
fn selected_rows_leave_the_model_alone() {
    let model = selecting(vec![], vec![], &["rows"]);
    assert_eq!(answers(&model, SOME), [(vec![3, 2], vec![2.0, 3.0, 6.0, 7.0, 8.0, 9.0])]);
    assert_eq!(answers(&model, [false; 5]), [(vec![0, 2], vec![])]);
    assert_eq!(answers(&model, [true; 5])[0].0, [5, 2]);
}

#[test]
fn one_hidden_output_counts_the_rows_of_all_that_have_as_many() {
    let nodes = vec![node("Neg", &["rows"], &["negative"], vec![]), node("Transpose", &["rows"], &["turned"], vec![])];
    let graph = import(&bytes(&selecting(vec![], nodes, &["rows", "negative", "turned"])), &ImportOptions::default()).unwrap();
    let names: Vec<&str> = graph.outputs.iter().map(|port| port.name.as_str()).collect();
    assert_eq!(names, ["rows", "negative", "turned", "rows/rows"]);
    let counted: Vec<(&str, u32, &str)> =
        graph.counted.iter().map(|counted| (counted.output.as_str(), counted.rows.axis, counted.rows.port.as_str())).collect();
    assert_eq!(counted, [("rows", 0, "rows/rows"), ("negative", 0, "rows/rows"), ("turned", 1, "rows/rows")]);
}

#[test]
fn positions_of_a_mask_are_gathered_at() {
    let nodes = vec![
        node("NonZero", &["x"], &["columns"], vec![]),
        node("Transpose", &["columns"], &["places"], vec![ints("perm", &[1, 0])]),
        node("GatherND", &["y", "places"], &["picked"], vec![]),
        node("ReduceMean", &["picked", "zero"], &["mean"], vec![int("keepdims", 0)]),
    ];
    let ports = vec![port("x", FLOAT, &[2, 3]), port("y", FLOAT, &[2, 3])];
    let model = model(18, ports, vec![longs_tensor("zero", &[0])], nodes, &["columns", "picked", "mean"]);
    let x = numbers(&[2, 3], &[0.0, 1.5, 0.0, -1.0, 0.0, f32::NAN]);
    let y = numbers(&[2, 3], &[10.0, 11.0, 12.0, 13.0, 14.0, 15.0]);
    let results = run(&model, &[x, y]);
    assert_eq!((results[0].shape(), results[0].to_f64()), ([2, 3].as_slice(), vec![0.0, 1.0, 1.0, 1.0, 0.0, 2.0]));
    assert_eq!(results[1].to_f64(), [11.0, 13.0, 15.0]);
    assert_eq!((results[2].shape(), results[2].to_f64()), ([].as_slice(), vec![13.0]));
}

#[test]
fn rows_behind_change_no_reduction() {
    for (op, expected) in [
        ("ReduceSum", [-10.0, -12.0]),
        ("ReduceMax", [-2.0, -3.0]),
        ("ReduceMin", [-8.0, -9.0]),
        ("ReduceProd", [16.0, 27.0]),
        ("ReduceMean", [-5.0, -6.0]),
        ("ReduceSumSquare", [68.0, 90.0]),
    ] {
        let nodes = vec![node("Neg", &["rows"], &["negative"], vec![]), node(op, &["negative", "zero"], &["y"], vec![int("keepdims", 0)])];
        let model = selecting(vec![longs_tensor("zero", &[0])], nodes, &["y"]);
        assert_eq!(answers(&model, [false, true, false, false, true]), [(vec![2], expected.to_vec())], "{op}");
    }
}

#[test]
fn the_shape_of_rows_is_a_number_with_a_bound() {
    let nodes = vec![
        node("Shape", &["rows"], &["shape"], vec![]),
        node("Gather", &["shape", "first"], &["count"], vec![]),
        node("Gather", &["shape", "second"], &["columns"], vec![]),
        node("Concat", &["three", "count"], &["pair"], vec![int("axis", 0)]),
        node("ReduceMin", &["pair"], &["least"], vec![]),
        node("Gather", &["rows", "column"], &["line"], vec![int("axis", 1)]),
        node("TopK", &["line", "least"], &["best", "order"], vec![]),
        node("ConstantOfShape", &["shape"], &["zeros"], vec![]),
        node("Squeeze", &["count"], &["end"], vec![]),
        node("Range", &["zero", "end", "one"], &["range"], vec![]),
        // Two columns are known, so that a weight may have as many rows.
        node("Reshape", &["weight", "columns"], &["flat"], vec![]),
    ];
    let scalar = |name: &str, value: i64| TensorProto { dims: vec![], ..longs_tensor(name, &[value]) };
    let stored = vec![
        longs_tensor("first", &[0]),
        longs_tensor("second", &[1]),
        longs_tensor("three", &[3]),
        scalar("column", 1),
        scalar("zero", 0),
        scalar("one", 1),
        floats_tensor("weight", &[1, 2], &[1.0, 2.0]),
    ];
    let model = selecting(stored, nodes, &["shape", "best", "order", "zeros", "range", "flat"]);
    let flat = (vec![2], vec![1.0, 2.0]);
    let two = answers(&model, [true, false, false, true, false]);
    let zeros = (vec![2, 2], vec![0.0; 4]);
    let expected =
        [(vec![2], vec![2.0, 2.0]), (vec![2], vec![7.0, 1.0]), (vec![2], vec![1.0, 0.0]), zeros, (vec![2], vec![0.0, 1.0]), flat];
    assert_eq!(two, expected);
    let all = answers(&model, [true; 5]);
    assert_eq!((&all[0].1, &all[1].1, &all[2].1), (&vec![5.0, 2.0], &vec![9.0, 7.0, 5.0], &vec![4.0, 3.0, 2.0]));
    assert_eq!((&all[3].0, &all[4].1), (&vec![5, 2], &vec![0.0, 1.0, 2.0, 3.0, 4.0]));
    assert_eq!(answers(&model, [false; 5])[1], (vec![0], vec![]));
}

#[test]
fn what_is_joined_and_cut_moves_up() {
    let nodes = vec![
        node("Concat", &["rows", "more", "rows"], &["joined"], vec![int("axis", 0)]),
        node("Slice", &["rows", "minus_one", "most", "zero"], &["last"], vec![]),
        node("Gather", &["rows", "minus_one"], &["picked"], vec![]),
    ];
    let stored = vec![
        floats_tensor("more", &[1, 2], &[-1.0, -2.0]),
        longs_tensor("minus_one", &[-1]),
        longs_tensor("most", &[i64::MAX]),
        longs_tensor("zero", &[0]),
    ];
    let model = selecting(stored, nodes, &["joined", "last", "picked"]);
    let found = answers(&model, [true, false, false, true, false]);
    assert_eq!(found[0], (vec![5, 2], vec![0.0, 1.0, 6.0, 7.0, -1.0, -2.0, 0.0, 1.0, 6.0, 7.0]));
    assert_eq!(found[1], (vec![1, 2], vec![6.0, 7.0]));
    assert_eq!(found[2], (vec![1, 2], vec![6.0, 7.0]));
    let none = answers(&model, [false; 5]);
    assert_eq!((&none[0], &none[1]), (&(vec![1, 2], vec![-1.0, -2.0]), &(vec![0, 2], vec![])));
}

#[test]
fn different_numbers_are_found_in_both_orders() {
    for (sorted, values, first, inverse, counts) in [
        (1, [-2.0, 1.0, 3.0], [1.0, 0.0, 3.0], [1.0, 0.0, 0.0, 2.0, 1.0, 0.0], [3.0, 2.0, 1.0]),
        (0, [1.0, -2.0, 3.0], [0.0, 1.0, 3.0], [0.0, 1.0, 1.0, 2.0, 0.0, 1.0], [2.0, 3.0, 1.0]),
    ] {
        let unique = node("Unique", &["x"], &["values", "first", "inverse", "counts"], vec![int("sorted", sorted)]);
        let model = model(18, vec![port("x", FLOAT, &[2, 3])], vec![], vec![unique], &["values", "first", "inverse", "counts"]);
        let results = run(&model, &[numbers(&[2, 3], &[1.0, -2.0, -2.0, 3.0, 1.0, -2.0])]);
        let found: Vec<Vec<f64>> = results.iter().map(Tensor::to_f64).collect();
        assert_eq!(found, [values.to_vec(), first.to_vec(), inverse.to_vec(), counts.to_vec()]);
    }
}

#[test]
fn suppression_goes_on_to_what_detectors_do() {
    // Three boxes of which the second lies on the first, and a score that is too low.
    let nodes = vec![
        node("NonMaxSuppression", &["boxes", "scores", "most", "iou", "least"], &["rows"], vec![]),
        node("Slice", &["rows", "two", "three", "one"], &["column"], vec![]),
        node("Squeeze", &["column", "one"], &["which"], vec![]),
        node("Gather", &["line", "which"], &["kept"], vec![]),
    ];
    let stored = vec![
        longs_tensor("most", &[4]),
        floats_tensor("iou", &[1], &[0.5]),
        floats_tensor("least", &[1], &[0.1]),
        longs_tensor("one", &[1]),
        longs_tensor("two", &[2]),
        longs_tensor("three", &[3]),
    ];
    let ports = vec![port("boxes", FLOAT, &[1, 4, 4]), port("scores", FLOAT, &[1, 1, 4]), port("line", FLOAT, &[4])];
    let model = model(18, ports, stored, nodes, &["rows", "kept"]);
    let boxes = [0.0, 0.0, 4.0, 4.0, 0.0, 0.0, 4.0, 4.5, 10.0, 0.0, 14.0, 4.0, 20.0, 0.0, 24.0, 4.0];
    let scores = [0.6, 0.9, 0.7, 0.05];
    let results = run(&model, &[numbers(&[1, 4, 4], &boxes), numbers(&[1, 1, 4], &scores), numbers(&[4], &[5.0, 6.0, 7.0, 8.0])]);
    assert_eq!((results[0].shape(), results[0].to_f64()), ([2, 3].as_slice(), vec![0.0, 0.0, 1.0, 0.0, 0.0, 2.0]));
    assert_eq!(results[1].to_f64(), [6.0, 7.0]);
}

/// `If` there are rows, the results of one body, else no rows; and what comes after it.
fn where_there_are_any(
    body_nodes: Vec<NodeProto>,
    returned: &str,
    after: Vec<NodeProto>,
    stored: Vec<TensorProto>,
    outputs: &[&str],
) -> ModelProto {
    let none = TensorProto { dims: vec![0, 2], ..floats_tensor("none", &[0], &[]) };
    let nothing = node("Constant", &[], &["nothing"], vec![tensor_attribute("value", none)]);
    let mut nodes = vec![
        node("Size", &["rows"], &["size"], vec![]),
        node("Equal", &["size", "zero"], &["empty"], vec![]),
        node(
            "If",
            &["empty"],
            &["chosen"],
            vec![body("then_branch", &[], vec![nothing], &["nothing"]), body("else_branch", &[], body_nodes, &[returned])],
        ),
    ];
    nodes.extend(after);
    let mut all = vec![TensorProto { dims: vec![], ..longs_tensor("zero", &[0]) }];
    all.extend(stored);
    selecting(all, nodes, outputs)
}

#[test]
fn arms_may_have_as_many_rows_as_a_run_decides() {
    let model = where_there_are_any(vec![node("Neg", &["rows"], &["negative"], vec![])], "negative", vec![], vec![], &["chosen"]);
    assert_eq!(answers(&model, SOME), [(vec![3, 2], vec![-2.0, -3.0, -6.0, -7.0, -8.0, -9.0])]);
    assert_eq!(answers(&model, [false; 5]), [(vec![0, 2], vec![])]);
    // Arms that differ in another axis have no shape in common.
    let wide = vec![node("Concat", &["rows", "rows"], &["wide"], vec![int("axis", 1)])];
    let error = refusal(&where_there_are_any(wide, "wide", vec![], vec![], &["chosen"]));
    assert!(error.contains("only a run knows how many there are"), "{error}");
}

#[test]
fn no_more_boxes_are_suppressed_than_are_looked_at() {
    let steps = |last: Vec<NodeProto>, output: &str| {
        let mut nodes = vec![node("NonMaxSuppression", &["boxes", "scores", "most", "iou"], &["rows"], vec![])];
        nodes.extend(last);
        let stored = vec![
            longs_tensor("most", &[i64::MAX]),
            floats_tensor("iou", &[1], &[0.5]),
            longs_tensor("start", &[0]),
            longs_tensor("end", &[3]),
            longs_tensor("column", &[2]),
            longs_tensor("one", &[1]),
        ];
        let ports = vec![port("boxes", FLOAT, &[1, 50, 4]), port("scores", FLOAT, &[1, 1, 50])];
        let graph = import(&bytes(&model(18, ports, stored, nodes, &[output])), &ImportOptions::default()).unwrap();
        graph.order.iter().filter(|&&op| matches!(graph.ops[op].op, mlp_graph::Op::ArgReduce { .. })).count()
    };
    let column = || node("Gather", &["rows", "column"], &["column_of"], vec![int("axis", 1)]);
    let line = || node("Squeeze", &["column_of", "one"], &["which"], vec![]);
    let best = || node("Slice", &["which", "start", "end", "start"], &["best"], vec![]);
    assert_eq!(steps(vec![column(), line(), best()], "best"), 3);
    assert_eq!(steps(vec![column(), line(), best()], "which"), 50);
    assert_eq!(
        steps(
            vec![column(), line(), best(), node("Shape", &["rows"], &["shape"], vec![]), node("Add", &["best", "shape"], &["y"], vec![])],
            "shape"
        ),
        50
    );
}

#[test]
fn what_rows_behind_would_change_is_refused() {
    let refused = |nodes: Vec<NodeProto>, stored: Vec<TensorProto>| {
        let error = refusal(&selecting(stored, nodes, &["y"]));
        assert!(error.contains("only a run knows how many there are"), "{error}");
    };
    refused(vec![node("Split", &["rows"], &["y", "z"], vec![int("num_outputs", 2)])], vec![]);
    refused(
        vec![node("ReverseSequence", &["rows", "ends"], &["y"], vec![int("time_axis", 0), int("batch_axis", 1)])],
        vec![longs_tensor("ends", &[2, 2])],
    );
    // Which of two selections has more rows is not known.
    let other = || node("Compress", &["x", "other"], &["others"], vec![int("axis", 0)]);
    let not = || node("Not", &["mask"], &["other"], vec![]);
    refused(vec![not(), other(), node("Add", &["rows", "others"], &["y"], vec![])], vec![]);
    // All pairs of rows have two axes of which a run decides.
    refused(vec![node("Transpose", &["rows"], &["turned"], vec![]), node("MatMul", &["rows", "turned"], &["y"], vec![])], vec![]);
}

#[test]
fn the_same_selection_made_twice_has_as_many_rows() {
    let nodes = vec![node("Compress", &["x", "mask"], &["again"], vec![int("axis", 0)]), node("Add", &["rows", "again"], &["y"], vec![])];
    assert_eq!(answers(&selecting(vec![], nodes, &["y"]), SOME), [(vec![3, 2], vec![4.0, 6.0, 12.0, 14.0, 16.0, 18.0])]);
}
