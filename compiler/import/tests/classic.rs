//! Classical models: trees against walks by hand, and attributes that are not so. What ONNX Runtime computes is compared by `mlpc verify`.

#[path = "support/build.rs"]
mod build;

use build::*;
use mlp_graph::{Tensor, eval, passes};
use mlp_import::onnx::proto::{AttributeProto, ModelProto, NodeProto, OperatorSetIdProto};
use mlp_import::onnx::{ImportOptions, import};

/// A model of one operator over rows of two features.
fn model_of(op: &str, attributes: Vec<AttributeProto>, outputs: &[&str]) -> ModelProto {
    let node = NodeProto { domain: "ai.onnx.ml".into(), ..node(op, &["x"], outputs, attributes) };
    let mut model = model(17, vec![port("x", FLOAT, &[4, 2])], vec![], vec![node], outputs);
    model.opset_import.push(OperatorSetIdProto { domain: "ai.onnx.ml".into(), version: 3 });
    model
}

/// The results for the rows (-1, 0), (1, 0), (1, 2) and (NaN, 3), as imported and after all passes.
fn run(model: &ModelProto) -> Vec<Vec<f64>> {
    let mut graph = import(&bytes(model), &ImportOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    let x = Tensor::from_f32(&[4, 2], &[-1.0, 0.0, 1.0, 0.0, 1.0, 2.0, f32::NAN, 3.0]).unwrap();
    let numbers = |outputs: Vec<Tensor>| outputs.iter().map(Tensor::to_f64).collect::<Vec<_>>();
    let before = numbers(eval::run(&graph, std::slice::from_ref(&x)).unwrap());
    passes::optimize(&mut graph).unwrap();
    // As text, so that a NaN is equal to a NaN.
    assert_eq!(format!("{:?}", numbers(eval::run(&graph, &[x]).unwrap())), format!("{before:?}"));
    before
}

fn refusal(model: &ModelProto) -> String {
    import(&bytes(model), &ImportOptions::default()).expect_err("it is refused").to_string()
}

/// `x0 <= 0 ? leaf 1 : (x1 <= 1 ? leaf 3 : leaf 4)`, with changes.
fn tree(change: impl Fn(&mut Tree)) -> Vec<AttributeProto> {
    let mut tree = Tree {
        yes: vec![1, 0, 3, 0, 0],
        no: vec![2, 0, 4, 0, 0],
        features: vec![0, 0, 1, 0, 0],
        modes: vec!["BRANCH_LEQ", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"],
        leaves: vec![1, 3, 4],
        missing: vec![0; 5],
    };
    change(&mut tree);
    let count = tree.modes.len();
    vec![
        ints("nodes_treeids", &vec![0; count]),
        ints("nodes_nodeids", &(0..count as i64).collect::<Vec<_>>()),
        ints("nodes_featureids", &tree.features),
        ints("nodes_truenodeids", &tree.yes),
        ints("nodes_falsenodeids", &tree.no),
        ints("nodes_missing_value_tracks_true", &tree.missing),
        floats("nodes_values", &[0.0, 0.0, 1.0, 0.0, 0.0][..count.min(5)]),
        strings("nodes_modes", &tree.modes),
        ints("target_treeids", &vec![0; tree.leaves.len()]),
        ints("target_nodeids", &tree.leaves),
        ints("target_ids", &vec![0; tree.leaves.len()]),
        floats("target_weights", &[10.0, 20.0, 30.0][..tree.leaves.len().min(3)]),
        int("n_targets", 1),
    ]
}

struct Tree {
    yes: Vec<i64>,
    no: Vec<i64>,
    features: Vec<i64>,
    modes: Vec<&'static str>,
    leaves: Vec<i64>,
    missing: Vec<i64>,
}

#[test]
fn a_tree_is_walked_to_its_leaves() {
    let results = |change: fn(&mut Tree)| run(&model_of("TreeEnsembleRegressor", tree(change), &["y"])).remove(0);
    assert_eq!(results(|_| ()), [10.0, 20.0, 30.0, 30.0]);
    assert_eq!(results(|tree| tree.missing[0] = 1), [10.0, 20.0, 30.0, 10.0], "a missing feature goes where the node says");
    assert_eq!(results(|tree| tree.modes[0] = "BRANCH_GT"), [20.0, 10.0, 10.0, 30.0]);
    assert_eq!(results(|tree| tree.modes[0] = "BRANCH_NEQ"), [10.0, 10.0, 10.0, 10.0], "a missing feature differs from every number");
}

#[test]
fn nodes_that_are_no_trees_are_refused() {
    type Case = (fn(&mut Tree), &'static str);
    let refused = |change: fn(&mut Tree)| refusal(&model_of("TreeEnsembleRegressor", tree(change), &["y"]));
    let cases: [Case; 7] = [
        (|tree| tree.yes[2] = 0, "comes back to it"),
        (|tree| tree.no[0] = 9, "has no node 9"),
        (|tree| tree.features[2] = 2, "reads feature 2 of 2"),
        (|tree| tree.features[2] = -1, "reads feature -1"),
        (|tree| tree.modes[0] = "BRANCH_SOMEHOW", "mode is `BRANCH_SOMEHOW`"),
        (|tree| tree.leaves[0] = 7, "has no node 7"),
        (|tree| tree.yes.truncate(4), "nodes_truenodeids has 4 entries for 5 nodes"),
    ];
    for (change, reason) in cases {
        let refusal = refused(change);
        assert!(refusal.contains(reason) && refusal.contains("TreeEnsembleRegressor"), "{refusal}");
    }
}

#[test]
fn set_membership_takes_every_member() {
    let integers = |name: &str, values: &[i64]| ints(name, values);
    let node_of = |members: &[f32]| {
        let tensor = |name: &str, data_type: i32, values: &[f32]| {
            let mut proto = floats_tensor("", &[values.len() as i64], values);
            if data_type == UINT8 {
                proto = narrow_tensor("", UINT8, &[values.len() as i64], &values.iter().map(|&value| value as i32).collect::<Vec<_>>());
            }
            tensor_attribute(name, proto)
        };
        vec![
            tensor("nodes_modes", UINT8, &[6.0]),
            tensor("nodes_splits", FLOAT, &[0.0]),
            tensor("leaf_weights", FLOAT, &[1.0, 2.0]),
            tensor("membership_values", FLOAT, members),
            integers("nodes_featureids", &[1]),
            integers("nodes_truenodeids", &[0]),
            integers("nodes_trueleafs", &[1]),
            integers("nodes_falsenodeids", &[1]),
            integers("nodes_falseleafs", &[1]),
            integers("tree_roots", &[0]),
            integers("leaf_targetids", &[0, 0]),
        ]
    };
    let results = |members: &[f32]| run(&model_of("TreeEnsemble", node_of(members), &["y"])).remove(0);
    assert_eq!(results(&[2.0, 3.0, f32::NAN]), [2.0, 2.0, 1.0, 1.0]);
    assert_eq!(results(&[f32::NAN]), [2.0; 4]);
}

#[test]
fn text_is_refused_and_labels_that_are_text_become_positions() {
    let encoder = vec![strings("keys_strings", &["a"]), ints("values_int64s", &[1])];
    assert!(refusal(&model_of("LabelEncoder", encoder, &["y"])).contains("encode categories as numbers"));
    let classifier = vec![
        floats("coefficients", &[1.0, 0.0, -1.0, 0.0, 0.0, 1.0]),
        floats("intercepts", &[0.0, 0.0, 0.0]),
        strings("classlabels_strings", &["cat", "dog", "owl"]),
    ];
    let results = run(&model_of("LinearClassifier", classifier, &["label", "scores"]));
    assert_eq!(results[0][..3], [1.0, 0.0, 2.0]);
}

#[test]
fn counts_that_do_not_fit_are_refused() {
    let machine = vec![ints("vectors_per_class", &[1, 1]), floats("support_vectors", &[1.0; 4]), floats("rho", &[0.0])];
    let with = |more: Vec<AttributeProto>| refusal(&model_of("SVMClassifier", [machine.clone(), more].concat(), &["label", "scores"]));
    assert!(with(vec![ints("classlabels_ints", &[0, 1, 2])]).contains("2 classes are given for 3 labels"));
    assert!(
        with(vec![ints("classlabels_ints", &[0, 1]), floats("coefficients", &[1.0])])
            .contains("1 coefficients are given for 2 support vectors")
    );
    assert!(with(vec![]).contains("must list the labels"));
    let huge = vec![ints("vectors_per_class", &[i64::MAX, i64::MAX, 3]), ints("classlabels_ints", &[0, 1, 2]), floats("rho", &[0.0; 3])];
    assert!(refusal(&model_of("SVMClassifier", huge, &["label", "scores"])).contains("absurd"));
}

#[test]
fn tables_that_would_not_fit_memory_are_refused() {
    let mut targets = tree(|_| ());
    targets.pop();
    targets.push(int("n_targets", i64::from(u32::MAX)));
    assert!(refusal(&model_of("TreeEnsembleRegressor", targets, &["y"])).contains("5 weights of 4294967295 targets are too many"));

    // Of 1000 classes there are 499500 pairs, and a table of votes has two rows for each.
    let classes = 1000;
    let labels: Vec<i64> = (0..classes as i64).collect();
    let sizes: Vec<i64> = labels.iter().map(|&label| i64::from(label < 2)).collect();
    let machine = vec![
        ints("vectors_per_class", &sizes),
        ints("classlabels_ints", &labels),
        floats("support_vectors", &[1.0; 4]),
        floats("coefficients", &vec![1.0; 2 * (classes - 1)]),
    ];
    let with =
        |rho: usize| refusal(&model_of("SVMClassifier", [machine.clone(), vec![floats("rho", &vec![0.0; rho])]].concat(), &["y", "z"]));
    assert!(with(1).contains("fewer than 499500 numbers"));
    assert!(with(499_500).contains("2 support vectors of 1000 classes are too many"));
}
