//! Control flow: arms, loops and scans against what their steps say, and what a hostile file may make of them.

#[path = "support/build.rs"]
mod build;

use build::*;
use mlp_graph::{DType, Tensor, eval, passes};
use mlp_import::ImportError;
use mlp_import::onnx::proto::{ModelProto, NodeProto, TensorProto};
use mlp_import::onnx::{ImportOptions, import, import_with_values};
use std::time::{Duration, Instant};

/// The outputs of a model as imported, which must stay the same under all passes.
fn run(model: &ModelProto, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut graph = import(&bytes(model), &ImportOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    let outputs = eval::run(&graph, inputs).unwrap_or_else(|error| panic!("{error}"));
    passes::optimize(&mut graph).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(outputs, eval::run(&graph, inputs).unwrap_or_else(|error| panic!("{error}")), "optimized");
    outputs
}

fn refused(model: &ModelProto) -> ImportError {
    match import(&bytes(model), &ImportOptions::default()) {
        Ok(graph) => panic!("imported {} operations", graph.order.len()),
        Err(error) => error,
    }
}

fn floats_of(values: &[f32]) -> Tensor {
    Tensor::from_f32(&[values.len() as u64], values).unwrap()
}

fn flag_tensor(name: &str, value: bool) -> TensorProto {
    narrow_tensor(name, BOOL, &[], &[i32::from(value)])
}

/// `y = c ? x + x : x * k`, `k` being stored in the model.
fn branches() -> NodeProto {
    let yes = body("then_branch", &[], vec![node("Add", &["x", "x"], &["sum"], vec![])], &["sum"]);
    let no = body("else_branch", &[], vec![node("Mul", &["x", "k"], &["product"], vec![])], &["product"]);
    node("If", &["c"], &["y"], vec![yes, no])
}

#[test]
fn a_constant_condition_takes_one_arm_and_does_not_look_into_the_other() {
    for (value, expected) in [(true, [4.0, 6.0]), (false, [20.0, 30.0])] {
        let mut choice = branches();
        let other = choice.attribute[usize::from(value)].g.as_mut().unwrap();
        other.node[0].op_type = "Frobnicate".into();
        let stored = vec![flag_tensor("c", value), floats_tensor("k", &[], &[10.0])];
        let model = model(13, vec![port("x", FLOAT, &[2])], stored, vec![choice], &["y"]);
        assert_eq!(run(&model, &[floats_of(&[2.0, 3.0])])[0].to_f64(), expected);
    }
}

#[test]
fn a_condition_of_the_running_model_chooses_between_both_arms() {
    let inputs = vec![port("x", FLOAT, &[2]), port("c", BOOL, &[1])];
    let model = model(13, inputs, vec![floats_tensor("k", &[], &[10.0])], vec![branches()], &["y"]);
    for (value, expected) in [(true, [4.0, 6.0]), (false, [20.0, 30.0])] {
        let condition = Tensor::new(DType::Bool, vec![1], vec![u8::from(value)]).unwrap();
        assert_eq!(run(&model, &[floats_of(&[2.0, 3.0]), condition])[0].to_f64(), expected);
    }
}

#[test]
fn arms_of_different_shapes_need_a_constant_condition() {
    let mut choice = branches();
    choice.attribute[1].g.as_mut().unwrap().node[0] = node("Concat", &["x", "x"], &["product"], vec![int("axis", 0)]);
    let inputs = vec![port("x", FLOAT, &[2]), port("c", BOOL, &[])];
    let model = model(13, inputs, vec![], vec![choice], &["y"]);
    let error = refused(&model);
    assert_eq!(error.wanted_input(), Some("c"));
    assert!(error.to_string().contains("f32[2] or f32[4]"), "{error}");
    let fixed = [("c".to_owned(), Tensor::scalar_of(DType::Bool, 0.0))].into();
    let graph = import_with_values(&bytes(&model), &ImportOptions::default(), &fixed).expect("a graph");
    assert_eq!(graph.dims(graph.outputs[0].value), Some(vec![4]));
}

#[test]
fn an_arm_that_breaks_a_rule_at_these_sizes_gives_no_number() {
    for (arm, condition) in [(0, false), (1, true)] {
        let mut choice = branches();
        // Five elements are no two rows.
        let rows = vec![node("Reshape", &["x", "rows"], &["square"], vec![]), node("Add", &["square", "k"], &["sum"], vec![])];
        let graph = choice.attribute[arm].g.as_mut().unwrap();
        graph.output[0].name = "sum".into();
        graph.node = rows;
        let inputs = vec![port("x", FLOAT, &[5]), port("c", BOOL, &[])];
        let stored = vec![floats_tensor("k", &[], &[10.0]), longs_tensor("rows", &[2, 2])];
        let model = model(13, inputs, stored, vec![choice], &["y"]);
        let x = floats_of(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        let given = |condition: bool| Tensor::scalar_of(DType::Bool, f64::from(u8::from(condition)));
        let right: Vec<f64> = (1..6).map(|x| if condition { f64::from(x) * 2.0 } else { f64::from(x) * 10.0 }).collect();
        assert_eq!(run(&model, &[x.clone(), given(condition)])[0].to_f64(), right, "arm {arm}");
        assert!(run(&model, &[x, given(!condition)])[0].to_f64().iter().all(|y| y.is_nan()), "arm {arm}");
    }
}

#[test]
fn an_arm_that_cannot_be_compiled_is_an_error() {
    let mut choice = branches();
    choice.attribute[1].g.as_mut().unwrap().node[0].op_type = "Frobnicate".into();
    let inputs = vec![port("x", FLOAT, &[2]), port("c", BOOL, &[])];
    assert!(refused(&model(13, inputs, vec![floats_tensor("k", &[], &[10.0])], vec![choice], &["y"])).is_unsupported());
}

/// A loop whose state is `s`, and whose step adds what `nodes` call `t` and says in `more` whether to go on.
fn looping(count: &str, condition: &str, nodes: Vec<NodeProto>, scans: &[&str]) -> NodeProto {
    let outputs = [&["more", "t"], scans].concat();
    let results: Vec<String> = (0..scans.len()).map(|index| format!("scan{index}")).collect();
    let results: Vec<&str> = std::iter::once("y").chain(results.iter().map(String::as_str)).collect();
    node("Loop", &[count, condition, "x"], &results, vec![body("body", &["i", "on", "s"], nodes, &outputs)])
}

#[test]
fn a_loop_counts_carries_stacks_and_grows() {
    // t = s joined with the step's number as a float; each step also gives the number.
    let nodes = vec![
        node("Cast", &["i"], &["f"], vec![int("to", 1)]),
        node("Reshape", &["f", "one"], &["row"], vec![]),
        node("Concat", &["s", "row"], &["t"], vec![int("axis", 0)]),
        node("Identity", &["on"], &["more"], vec![]),
    ];
    let stored = |count| vec![longs_tensor("n", &[count]), longs_tensor("one", &[1]), flag_tensor("true", true)];
    let inputs = || vec![port("x", FLOAT, &[1])];
    let four = model(13, inputs(), stored(4), vec![looping("n", "true", nodes.clone(), &["row"])], &["y", "scan0"]);
    let results = run(&four, &[floats_of(&[7.0])]);
    assert_eq!(results[0].to_f64(), [7.0, 0.0, 1.0, 2.0, 3.0]);
    assert_eq!((results[1].shape(), results[1].to_f64()), ([4, 1].as_slice(), vec![0.0, 1.0, 2.0, 3.0]));
    // No step leaves the state as it was, and stacks nothing.
    let none = model(13, inputs(), stored(0), vec![looping("n", "true", nodes, &["row"])], &["y", "scan0"]);
    let results = run(&none, &[floats_of(&[7.0])]);
    assert_eq!((results[0].to_f64(), results[1].shape()), (vec![7.0], [0, 1].as_slice()));
}

/// `t = 2 s`, going on while `i + 1 < limit`.
fn doubling() -> Vec<NodeProto> {
    vec![
        node("Add", &["s", "s"], &["t"], vec![]),
        node("Add", &["i", "one"], &["next"], vec![]),
        node("Less", &["next", "limit"], &["more"], vec![]),
    ]
}

#[test]
fn a_condition_known_when_compiling_ends_a_loop_without_a_bound() {
    let stored = vec![longs_tensor("one", &[1]), longs_tensor("limit", &[3]), flag_tensor("true", true)];
    let loops = looping("", "true", [doubling(), vec![node("Identity", &["t"], &["u"], vec![])]].concat(), &["u"]);
    let model = model(13, vec![port("x", FLOAT, &[2])], stored, vec![loops], &["y", "scan0"]);
    let results = run(&model, &[floats_of(&[1.0, 3.0])]);
    assert_eq!(results[0].to_f64(), [8.0, 24.0]);
    assert_eq!((results[1].shape(), results[1].to_f64()), ([3, 2].as_slice(), vec![2.0, 6.0, 4.0, 12.0, 8.0, 24.0]));
}

#[test]
fn a_body_without_a_condition_around_it_takes_all_steps() {
    let nodes = vec![node("Add", &["s", "s"], &["t"], vec![]), node("Less", &["i", "i"], &["more"], vec![])];
    let model = model(13, vec![port("x", FLOAT, &[1])], vec![longs_tensor("n", &[3])], vec![looping("n", "", nodes, &[])], &["y"]);
    assert_eq!(run(&model, &[floats_of(&[1.0])])[0].to_f64(), [8.0]);
}

/// Doubles the state while it is less than the input `limit`, five times at most.
fn searching(count: i64) -> ModelProto {
    let nodes = vec![node("Add", &["s", "s"], &["t"], vec![]), node("Less", &["t", "limit"], &["more"], vec![])];
    let stored = vec![longs_tensor("n", &[count]), flag_tensor("true", true)];
    let inputs = vec![port("x", FLOAT, &[1]), port("limit", FLOAT, &[1])];
    model(13, inputs, stored, vec![looping("n", "true", nodes, &[])], &["y"])
}

#[test]
fn a_condition_of_the_running_model_keeps_the_state_from_the_end_on() {
    for (limit, expected) in [(1.5, 2.0), (9.0, 16.0), (8.0, 8.0), (1e6, 32.0), (-1.0, 2.0)] {
        let results = run(&searching(5), &[floats_of(&[1.0]), floats_of(&[limit])]);
        assert_eq!(results[0].to_f64(), [expected], "limit {limit}");
    }
}

#[test]
fn loops_that_end_by_data_need_a_bound_and_no_stacks() {
    for count in [i64::MAX, 10_000_000] {
        let error = refused(&searching(count));
        assert_eq!(error.wanted_input(), Some("limit"), "{error}");
        assert!(error.to_string().contains("too many to compute all of them"), "{error}");
    }
    let nodes = vec![
        node("Add", &["s", "s"], &["t"], vec![]),
        node("Less", &["t", "limit"], &["more"], vec![]),
        node("Neg", &["t"], &["u"], vec![]),
    ];
    let stored = vec![longs_tensor("n", &[5]), flag_tensor("true", true)];
    let inputs = vec![port("x", FLOAT, &[1]), port("limit", FLOAT, &[1])];
    let stacking = model(13, inputs, stored, vec![looping("n", "true", nodes, &["u"])], &["y", "scan0"]);
    assert!(refused(&stacking).to_string().contains("scan outputs"));
    // The state that is kept must have one shape.
    let nodes = vec![
        node("Concat", &["s", "s"], &["t"], vec![int("axis", 0)]),
        node("ReduceSum", &["t"], &["sum"], vec![int("keepdims", 0)]),
        node("Less", &["sum", "limit"], &["more"], vec![]),
    ];
    let stored = vec![longs_tensor("n", &[5]), flag_tensor("true", true)];
    let inputs = vec![port("x", FLOAT, &[1]), port("limit", FLOAT, &[])];
    let growing = model(13, inputs, stored, vec![looping("n", "true", nodes, &[])], &["y"]);
    assert!(refused(&growing).to_string().contains("changes the shape of carried value 0 from f32[2] to f32[4]"));
}

#[test]
fn scans_walk_axes_in_either_direction() {
    // A running sum over the columns of x from the last on, its rows stacked as columns in the order of the columns.
    let nodes = vec![node("Add", &["s", "e"], &["t"], vec![]), node("Identity", &["t"], &["row"], vec![])];
    let attributes = vec![
        body("body", &["s", "e"], nodes, &["t", "row"]),
        int("num_scan_inputs", 1),
        ints("scan_input_axes", &[-1]),
        ints("scan_input_directions", &[1]),
        ints("scan_output_axes", &[1]),
        ints("scan_output_directions", &[1]),
    ];
    let scan = node("Scan", &["z", "x"], &["end", "y"], attributes);
    let model = model(11, vec![port("x", FLOAT, &[2, 3])], vec![floats_tensor("z", &[2], &[0.0, 100.0])], vec![scan], &["end", "y"]);
    let x = Tensor::from_f32(&[2, 3], &[1.0, 2.0, 3.0, 10.0, 20.0, 30.0]).unwrap();
    let results = run(&model, &[x]);
    assert_eq!(results[0].to_f64(), [6.0, 160.0]);
    assert_eq!((results[1].shape(), results[1].to_f64()), ([2, 3].as_slice(), vec![6.0, 5.0, 3.0, 160.0, 150.0, 130.0]));
}

#[test]
fn scans_of_operator_set_8_walk_each_sequence_of_a_batch_to_its_length() {
    let nodes = vec![node("Add", &["s", "e"], &["t"], vec![]), node("Identity", &["t"], &["row"], vec![])];
    let attributes = vec![body("body", &["s", "e"], nodes, &["t", "row"]), int("num_scan_inputs", 1)];
    let scan = node("Scan", &["lengths", "z", "x"], &["end", "y"], attributes);
    let stored = vec![floats_tensor("z", &[2, 1], &[0.0, 100.0]), longs_tensor("lengths", &[3, 1])];
    let model = model(8, vec![port("x", FLOAT, &[2, 3, 1])], stored, vec![scan], &["end", "y"]);
    let x = Tensor::from_f32(&[2, 3, 1], &[1.0, 2.0, 3.0, 10.0, 20.0, 30.0]).unwrap();
    let results = run(&model, &[x]);
    assert_eq!(results[0].to_f64(), [6.0, 110.0]);
    assert_eq!((results[1].shape(), results[1].to_f64()), ([2, 3, 1].as_slice(), vec![1.0, 3.0, 6.0, 110.0, 0.0, 0.0]));
}

/// Loops in loops, each of that many steps.
fn nested(depth: usize, steps: i64) -> ModelProto {
    let mut inner = node("Add", &["s0", "x"], &["t0"], vec![]);
    for level in 1..=depth {
        let names = |letter: &str| format!("{letter}{}", level - 1);
        let (i, on, s, t) = (names("i"), names("on"), names("s"), names("t"));
        let attribute = body("body", &[&i, &on, &s], vec![inner], &[&on, &t]);
        inner = node("Loop", &["n", "true", &format!("s{level}")], &[&format!("t{level}")], vec![attribute]);
    }
    let stored = vec![longs_tensor("n", &[steps]), flag_tensor("true", true), floats_tensor(&format!("s{depth}"), &[1], &[0.0])];
    model(13, vec![port("x", FLOAT, &[1])], stored, vec![inner], &[&format!("t{depth}")])
}

#[test]
fn bodies_in_bodies_are_unrolled_up_to_a_depth() {
    assert_eq!(run(&nested(3, 3), &[floats_of(&[1.0])])[0].to_f64(), [27.0]);
    assert_eq!(run(&nested(16, 1), &[floats_of(&[1.0])])[0].to_f64(), [1.0]);
    let error = refused(&nested(17, 1));
    assert!(error.is_unsupported() && error.to_string().contains("more than 16 deep"), "{error}");
    // What is deeper than the reader of messages goes is no model at all.
    assert!(matches!(refused(&nested(200, 1)), ImportError::Malformed { .. }));
}

#[test]
fn no_file_is_unrolled_without_end() {
    let start = Instant::now();
    for model in [nested(1, i64::MAX), nested(3, 1_000_000), nested(16, 3)] {
        let error = refused(&model);
        assert!(error.is_unsupported() && error.to_string().contains("steps"), "{error}");
        assert!(error.to_string().len() < 2000, "{error}");
    }
    let scan = node(
        "Scan",
        &["x"],
        &["y"],
        vec![body("body", &["e"], vec![node("Neg", &["e"], &["o"], vec![])], &["o"]), int("num_scan_inputs", 1)],
    );
    let long = model(11, vec![port("x", FLOAT, &[100_000_000])], vec![], vec![scan], &["y"]);
    assert!(refused(&long).to_string().contains("its steps are unrolled"));
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn what_is_wrong_in_a_body_is_named_with_its_place() {
    let with = |nodes: Vec<NodeProto>| {
        let stored = vec![longs_tensor("n", &[2]), flag_tensor("true", true)];
        let model = model(13, vec![port("x", FLOAT, &[1])], stored, vec![looping("n", "true", nodes, &[])], &["y"]);
        refused(&model).to_string()
    };
    let more = || node("Identity", &["on"], &["more"], vec![]);
    let missing = with(vec![more(), node("Add", &["s", "nowhere"], &["t"], vec![])]);
    // Missing names are found before a body is looked into, since they decide what must be computed before the loop.
    assert!(missing.contains("`nowhere`, which nothing defines"), "{missing}");
    let unknown = with(vec![more(), node("Frobnicate", &["s"], &["t"], vec![])]);
    assert!(
        unknown.contains("node 1 `the Frobnicate` (Frobnicate)") && unknown.contains("in `body` of node 0 `the Loop` (Loop)"),
        "{unknown}"
    );
    let cyclic = with(vec![more(), node("Add", &["s", "u"], &["t"], vec![]), node("Neg", &["t"], &["u"], vec![])]);
    assert!(cyclic.contains("cycle") && cyclic.contains("in `body` of"), "{cyclic}");
    let twice = with(vec![more(), node("Neg", &["s"], &["t"], vec![]), node("Neg", &["s"], &["t"], vec![])]);
    assert!(twice.contains("`t` is defined twice"), "{twice}");
    let absent = with(vec![more()]);
    assert!(absent.contains('t') && absent.contains("nothing defines"), "{absent}");

    let stored = vec![longs_tensor("n", &[2]), flag_tensor("true", true)];
    let few = node("Loop", &["n", "true", "x"], &["y"], vec![body("body", &["i", "on"], vec![more()], &["more"])]);
    let error = refused(&model(13, vec![port("x", FLOAT, &[1])], stored, vec![few], &["y"])).to_string();
    assert!(error.contains("takes 2 inputs, and the node gives it 3"), "{error}");
}

#[test]
fn a_cycle_through_what_a_body_reads_around_it_is_found() {
    let arm = |name: &str| body(name, &[], vec![node("Neg", &["z"], &["w"], vec![])], &["w"]);
    let nodes = vec![node("If", &["c"], &["y"], vec![arm("then_branch"), arm("else_branch")]), node("Neg", &["y"], &["z"], vec![])];
    let error = refused(&model(13, vec![port("c", BOOL, &[])], vec![], nodes, &["y"]));
    assert!(error.to_string().contains("cycle"), "{error}");
}

#[test]
fn constants_of_bodies_are_not_copied_without_end() {
    // An inner body of a constant of 4 MB, which the outer loop would make ready a thousand times.
    let constant = |name: &str| {
        let mut attribute = floats("value_floats", &vec![1.5; 1 << 20]);
        attribute.name = "value_floats".into();
        node("Constant", &[], &[name], vec![attribute])
    };
    let inner =
        vec![constant("k"), node("ReduceMax", &["k"], &["m"], vec![int("keepdims", 0)]), node("Add", &["s0", "m"], &["t0"], vec![])];
    let inner = node("Loop", &["one", "true", "s1"], &["t1"], vec![body("body", &["i0", "on0", "s0"], inner, &["on0", "t0"])]);
    let outer = node("Loop", &["n", "true", "x"], &["y"], vec![body("body", &["i1", "on1", "s1"], vec![inner], &["on1", "t1"])]);
    let stored = vec![longs_tensor("n", &[1000]), longs_tensor("one", &[1]), flag_tensor("true", true)];
    let error = refused(&model(13, vec![port("x", FLOAT, &[1])], stored, vec![outer], &["y"]));
    assert!(error.to_string().contains("take too much memory"), "{error}");
}
