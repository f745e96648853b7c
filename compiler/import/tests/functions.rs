//! Functions of a model's own, as ONNX defines them: names, attributes and nodes of each call are its own, and what breaks the rules is refused.

#[path = "support/build.rs"]
mod build;

use build::*;
use mlp_graph::{Tensor, eval};
use mlp_import::onnx::proto::{AttributeProto, AttributeType, FunctionProto, ModelProto, NodeProto, OperatorSetIdProto};
use mlp_import::onnx::{ImportOptions, import};

const OWN: &str = "own";

/// A function of the domain `own`.
fn function(name: &str, inputs: &[&str], outputs: &[&str], attributes: &[&str], node: Vec<NodeProto>) -> FunctionProto {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let opset_import =
        vec![OperatorSetIdProto { domain: String::new(), version: 17 }, OperatorSetIdProto { domain: OWN.into(), version: 1 }];
    FunctionProto {
        name: name.into(),
        domain: OWN.into(),
        input: names(inputs),
        output: names(outputs),
        attribute: names(attributes),
        node,
        opset_import,
        ..Default::default()
    }
}

/// An attribute that is what the function's attribute `of` is.
fn reference(name: &str, of: &str) -> AttributeProto {
    AttributeProto { name: name.into(), ref_attr_name: of.into(), r#type: AttributeType::Float as i32, ..Default::default() }
}

fn call(name: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto { domain: OWN.into(), ..node(name, inputs, outputs, attribute) }
}

fn with(functions: Vec<FunctionProto>, nodes: Vec<NodeProto>, outputs: &[&str]) -> ModelProto {
    let mut model = model(17, vec![port("x", FLOAT, &[3])], vec![], nodes, outputs);
    model.opset_import.push(OperatorSetIdProto { domain: OWN.into(), version: 1 });
    model.functions = functions;
    model
}

/// What a model makes of `[-1, 0, 2]`.
fn run(model: &ModelProto) -> Vec<Vec<f64>> {
    let graph = import(&bytes(model), &ImportOptions::default()).expect("the model imports");
    let x = Tensor::from_f32(&[3], &[-1.0, 0.0, 2.0]).expect("three numbers");
    eval::run(&graph, &[x]).expect("it runs").iter().map(Tensor::to_f64).collect()
}

fn refused(model: &ModelProto) -> String {
    import(&bytes(model), &ImportOptions::default()).expect_err("the model breaks a rule").to_string()
}

/// `leaky(x) = x < 0 ? alpha x : x`, and `twice(x) = leaky(leaky(x))`.
fn leaky() -> Vec<FunctionProto> {
    let inner = vec![node("LeakyRelu", &["v"], &["w"], vec![reference("alpha", "slope")])];
    let outer = vec![
        call("leaky", &["v"], &["h"], vec![reference("slope", "slope")]),
        call("leaky", &["h"], &["w"], vec![reference("slope", "slope")]),
    ];
    vec![function("leaky", &["v"], &["w"], &["slope"], inner), function("twice", &["v"], &["w"], &["slope"], outer)]
}

#[test]
fn calls_in_calls_have_names_and_attributes_of_their_own() {
    let nodes = vec![
        call("twice", &["x"], &["h"], vec![float("slope", 0.5)]),
        call("twice", &["x"], &["w"], vec![float("slope", -1.0)]),
        node("Add", &["h", "w"], &["y"], vec![]),
    ];
    assert_eq!(run(&with(leaky(), nodes, &["y", "w", "h"])), [[0.75, 0.0, 4.0], [1.0, 0.0, 2.0], [-0.25, 0.0, 2.0]].map(Vec::from));
}

#[test]
fn an_attribute_that_is_not_given_has_its_default_or_that_of_the_operator() {
    let mut functions = leaky();
    let nodes = vec![call("leaky", &["x"], &["y"], vec![])];
    let answer = run(&with(functions.clone(), nodes.clone(), &["y"]));
    assert!((answer[0][0] + 0.01).abs() < 1e-6, "LeakyRelu's own default is 0.01: {answer:?}");
    functions[0].attribute.clear();
    functions[0].attribute_proto.push(float("slope", 0.25));
    assert_eq!(run(&with(functions, nodes, &["y"])), [vec![-0.25, 0.0, 2.0]]);
}

#[test]
fn an_output_may_be_an_input_and_be_left_out() {
    let both = function("both", &["v", "unused"], &["v", "w"], &[], vec![node("Neg", &["v"], &["w"], vec![])]);
    let nodes = vec![call("both", &["x"], &["same", "minus"], vec![]), call("both", &["x", ""], &["", "again"], vec![])];
    let answers = run(&with(vec![both], nodes, &["same", "minus", "again"]));
    assert_eq!(answers, [vec![-1.0, 0.0, 2.0], vec![1.0, 0.0, -2.0], vec![1.0, 0.0, -2.0]]);
}

#[test]
fn functions_of_one_name_are_told_apart_by_domain_and_overload() {
    let mut functions = leaky();
    functions.push(FunctionProto {
        overload: "minus".into(),
        ..function("leaky", &["v"], &["w"], &[], vec![node("Neg", &["v"], &["w"], vec![])])
    });
    let nodes = vec![NodeProto { overload: "minus".into(), ..call("leaky", &["x"], &["y"], vec![]) }];
    assert_eq!(run(&with(functions, nodes, &["y"])), [vec![1.0, 0.0, -2.0]]);
}

#[test]
fn a_function_that_calls_itself_is_refused() {
    let nodes = vec![call("again", &["x"], &["y"], vec![])];
    let again = function("again", &["v"], &["w"], &[], vec![call("again", &["v"], &["w"], vec![])]);
    let error = refused(&with(vec![again], nodes, &["y"]));
    assert!(error.contains("`again`") && error.contains("calls itself"), "{error}");
}

#[test]
fn calls_that_double_at_every_step_are_refused_before_they_fill_the_memory() {
    let mut functions = vec![function("f0", &["v"], &["w"], &[], vec![node("Neg", &["v"], &["w"], vec![])])];
    for step in 1..60 {
        let inner = format!("f{}", step - 1);
        let nodes = vec![call(&inner, &["v"], &["h"], vec![]), call(&inner, &["h"], &["w"], vec![])];
        functions.push(function(&format!("f{step}"), &["v"], &["w"], &[], nodes));
    }
    let error = refused(&with(functions, vec![call("f59", &["x"], &["y"], vec![])], &["y"]));
    assert!(error.contains("make more than"), "{error}");
}

#[test]
fn calls_and_operator_sets_must_fit() {
    let one = |nodes: Vec<NodeProto>| refused(&with(leaky(), nodes, &["y"]));
    assert!(one(vec![call("leaky", &["x", "x"], &["y"], vec![])]).contains("has 2 inputs"));
    assert!(one(vec![call("unheard", &["x"], &["y"], vec![])]).contains("own::unheard"));
    let mut twice = leaky();
    twice.push(twice[0].clone());
    assert!(refused(&with(twice, vec![call("leaky", &["x"], &["y"], vec![])], &["y"])).contains("defined twice"));
    let mut unlisted = leaky();
    unlisted[0].attribute.clear();
    let error = refused(&with(unlisted, vec![call("leaky", &["x"], &["y"], vec![])], &["y"]));
    assert!(error.contains("attribute `slope`, which it does not have"), "{error}");

    // LeakyRelu has been the same since version 16, and was another in version 6.
    let mut older = leaky();
    older[0].opset_import[0].version = 16;
    assert_eq!(run(&with(older.clone(), vec![call("leaky", &["x"], &["y"], vec![float("slope", 1.0)])], &["y"])), [vec![-1.0, 0.0, 2.0]]);
    older[0].opset_import[0].version = 6;
    let error = refused(&with(older, vec![call("leaky", &["x"], &["y"], vec![])], &["y"]));
    assert!(error.contains("LeakyRelu of version 6"), "{error}");
}

#[test]
fn damaged_functions_never_crash() {
    let nodes = vec![call("twice", &["x"], &["y"], vec![float("slope", 0.5)])];
    let sound = bytes(&with(leaky(), nodes, &["y"]));
    for place in 0..sound.len() {
        let _ = import(&sound[..place], &ImportOptions::default());
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = sound.clone();
            damaged[place] ^= flip;
            let _ = import(&damaged, &ImportOptions::default());
        }
    }
}
