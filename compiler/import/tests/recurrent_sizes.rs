//! `LSTM`, `GRU` and `RNN` over a number of steps that varies: what the one graph gives at each number is what the model imported for that number gives.

#[path = "support/build.rs"]
mod build;

use build::*;
use mlp_graph::dynamic::{Varying, join};
use mlp_graph::{DType, Graph, Tensor, eval, passes};
use mlp_import::ImportError;
use mlp_import::onnx::proto::{AttributeProto, ModelProto, NodeProto, TensorProto};
use mlp_import::onnx::{FamilySizes, ImportOptions, import};

const BATCH: usize = 2;
const WIDTH: usize = 3;
const HIDDEN: usize = 4;
const MOST: u64 = 6;

fn weights(name: &str, dims: &[usize], seed: u64) -> TensorProto {
    let dims: Vec<u64> = dims.iter().map(|&dim| dim as u64).collect();
    let noise: Vec<f32> = Tensor::noise(DType::F32, &dims, seed).unwrap().to_f64().iter().map(|&value| value as f32).collect();
    let dims: Vec<i64> = dims.iter().map(|&dim| dim as i64).collect();
    floats_tensor(name, &dims, &noise)
}

/// A model whose input has `d0` steps, on axis 0 or, with the batch first, on axis 1.
fn model_of(stored: Vec<TensorProto>, nodes: Vec<NodeProto>, outputs: &[&str], batch_first: bool) -> ModelProto {
    let dims = if batch_first { [BATCH as i64, -1, WIDTH as i64] } else { [-1, BATCH as i64, WIDTH as i64] };
    model(17, vec![port("x", FLOAT, &dims)], stored, nodes, outputs)
}

fn layer(op: &str, direction: &str, batch_first: bool, names: [&str; 4], outputs: &[&str]) -> NodeProto {
    let mut attributes: Vec<AttributeProto> = vec![int("hidden_size", HIDDEN as i64), string("direction", direction)];
    if batch_first {
        attributes.push(int("layout", 1));
    }
    node(op, &names, outputs, attributes)
}

fn at(model: &[u8], steps: u64, family: Option<&FamilySizes>) -> Result<Graph, ImportError> {
    let mut graph = import(model, &ImportOptions { dims: [("d0".to_owned(), steps)].into(), family: family.cloned() })?;
    passes::optimize(&mut graph).expect("it is optimized");
    Ok(graph)
}

/// Runs a model at every number of steps, both ways.
fn check(model: &ModelProto, batch_first: bool, what: &str) {
    let model = bytes(model);
    let family = FamilySizes::default();
    let joined = join(&[Varying::new("d0", MOST)], &mut |sizes: &[u64]| at(&model, sizes[0], Some(&family)));
    let mut joined = joined.unwrap_or_else(|error| panic!("{what}: {error}"));
    passes::optimize(&mut joined).unwrap();
    for steps in 1..=MOST {
        let dims = if batch_first { [BATCH as u64, steps, WIDTH as u64] } else { [steps, BATCH as u64, WIDTH as u64] };
        let x = Tensor::noise(DType::F32, &dims, 7 + steps).unwrap();
        let expected = eval::run(&at(&model, steps, None).unwrap(), std::slice::from_ref(&x)).unwrap();
        let found = eval::run(&joined, &[x]).unwrap_or_else(|error| panic!("{what} at {steps}: {error}"));
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.shape(), expected.shape(), "{what} at {steps}");
            let far = found.to_f64().iter().zip(expected.to_f64()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(far < 1e-6, "{what} at {steps}: {far}");
        }
    }
}

#[test]
fn every_operator_runs_any_number_of_steps() {
    for (op, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
        for (direction, directions) in [("forward", 1), ("reverse", 1), ("bidirectional", 2)] {
            for batch_first in [false, true] {
                let stored = vec![
                    weights("w", &[directions, gates * HIDDEN, WIDTH], 1),
                    weights("r", &[directions, gates * HIDDEN, HIDDEN], 2),
                    weights("b", &[directions, 2 * gates * HIDDEN], 3),
                ];
                let outputs: &[&str] = if op == "LSTM" { &["y", "h", "c"] } else { &["y", "h"] };
                let nodes = vec![layer(op, direction, batch_first, ["x", "w", "r", "b"], outputs)];
                check(&model_of(stored, nodes, outputs, batch_first), batch_first, &format!("{op} {direction} {batch_first}"));
            }
        }
    }
}

#[test]
fn a_layer_takes_the_steps_of_another() {
    let stored = vec![
        weights("w", &[1, 4 * HIDDEN, WIDTH], 1),
        weights("r", &[1, 4 * HIDDEN, HIDDEN], 2),
        weights("b", &[1, 8 * HIDDEN], 3),
        weights("w2", &[1, 3 * HIDDEN, HIDDEN], 4),
        weights("r2", &[1, 3 * HIDDEN, HIDDEN], 5),
        weights("b2", &[1, 6 * HIDDEN], 6),
        longs_tensor("axis", &[1]),
    ];
    let nodes = vec![
        layer("LSTM", "forward", false, ["x", "w", "r", "b"], &["all"]),
        node("Squeeze", &["all", "axis"], &["steps"], vec![]),
        layer("GRU", "reverse", false, ["steps", "w2", "r2", "b2"], &["y", "h"]),
    ];
    check(&model_of(stored, nodes, &["y", "h"], false), false, "an LSTM before a GRU");
}
