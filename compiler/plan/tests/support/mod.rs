//! Compares plans, run by the loop IR's evaluator, with the graph's reference interpreter.
#![allow(dead_code)]

use mlp_bundle::loops::eval;
use mlp_bundle::plan::verify::verify;
use mlp_graph::{DType, Dim, Graph, Tensor};
use mlp_plan::{PlanOptions, Planned, plan};

/// A graph of `text`, the lines between the braces.
pub(crate) fn graph(text: &str) -> Graph {
    let text = format!("graph \"test\" {{\n{text}\n}}\n");
    let graph = mlp_graph::text::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    mlp_graph::verify::verify(&graph).unwrap_or_else(|error| panic!("{error}\n{text}"));
    graph
}

/// Plans a graph; the plan must pass the verifier.
pub(crate) fn planned(graph: &Graph) -> Planned {
    planned_with(graph, &PlanOptions::default())
}

/// As [`planned`], with these choices.
pub(crate) fn planned_with(graph: &Graph, options: &PlanOptions) -> Planned {
    let planned = plan(graph, options).unwrap_or_else(|error| panic!("{error}\n{}", mlp_graph::text::brief(graph)));
    verify(&planned.plan).unwrap_or_else(|error| panic!("{error}\n{}", planned.plan));
    planned
}

/// Numbers from a seed, in steps of 1/16 around 0 for floats, so that equal ones occur.
pub(crate) fn noise(dtype: DType, shape: &[u64], seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::new();
    for _ in 0..shape.iter().product::<u64>() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let number = (state >> 20) % 97;
        let value = match dtype {
            DType::Bool => (number % 2) as f64,
            dtype if dtype.is_float() => (number as f64 - 48.0) / 16.0,
            dtype if dtype.is_signed_int() => number as f64 - 48.0,
            _ => (number * 2) as f64,
        };
        bytes.extend_from_slice(Tensor::scalar_of(dtype, value).bytes());
    }
    Tensor::new(dtype, shape.to_vec(), bytes).unwrap()
}

/// Inputs for a graph: symbols take these values, in order.
pub(crate) fn inputs(graph: &Graph, symbols: &[u64]) -> Vec<Tensor> {
    let size = |dim: &Dim| match dim {
        Dim::Const(size) => *size,
        Dim::Symbol(symbol) => symbols[symbol.to_string()[3..].parse::<usize>().unwrap()],
    };
    let input = |(seed, port): (usize, &mlp_graph::ir::Port)| {
        let ty = graph.ty(port.value);
        noise(ty.dtype, &ty.shape.0.iter().map(size).collect::<Vec<_>>(), seed as u64 + 1)
    };
    graph.inputs.iter().enumerate().map(input).collect()
}

/// The first difference between two tensors: exact for integers, close for floats.
pub(crate) fn difference(expected: &Tensor, actual: &[u8]) -> Option<String> {
    let dtype = expected.dtype();
    let actual = match Tensor::new(dtype, expected.shape().to_vec(), actual.to_vec()) {
        Ok(actual) => actual,
        Err(error) => return Some(error.to_string()),
    };
    if !dtype.is_float() {
        let (a, b) = (expected.to_f64(), actual.to_f64());
        let at = a.iter().zip(&b).position(|(a, b)| a != b)?;
        return Some(format!("element {at} of {:?} is {}, not {}", expected.shape(), b[at], a[at]));
    }
    let (relative, absolute) = match dtype {
        DType::F16 | DType::BF16 => (2e-2, 2e-2),
        _ => (1e-4, 1e-5),
    };
    let close = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= absolute + relative * a.abs();
    let (a, b) = (expected.to_f64(), actual.to_f64());
    let at = a.iter().zip(&b).position(|(&a, &b)| !close(a, b))?;
    Some(format!("element {at} of {:?} is {}, not {}", expected.shape(), b[at], a[at]))
}

/// Runs a graph both ways and compares all outputs.
pub(crate) fn compare(graph: &Graph, inputs: &[Tensor], symbols: &[u32]) -> Planned {
    compare_with(graph, inputs, symbols, &PlanOptions::default())
}

/// As [`compare`], with these choices.
pub(crate) fn compare_with(graph: &Graph, inputs: &[Tensor], symbols: &[u32], options: &PlanOptions) -> Planned {
    let expected = mlp_graph::eval::run(graph, inputs).unwrap_or_else(|error| panic!("{error}"));
    let planned = planned_with(graph, options);
    let bytes: Vec<&[u8]> = inputs.iter().map(|input| input.bytes()).collect();
    let actual = eval::run(&planned.plan, &planned.weights, &bytes, symbols).unwrap_or_else(|error| panic!("{error}\n{}", planned.plan));
    assert_eq!(expected.len(), actual.len());
    for (port, (expected, actual)) in graph.outputs.iter().zip(expected.iter().zip(&actual)) {
        if let Some(difference) = difference(expected, actual) {
            panic!("output `{}`: {difference}\n{}\n{}", port.name, mlp_graph::text::brief(graph), planned.plan);
        }
    }
    planned
}

/// Checks a graph of constant sizes on noise.
pub(crate) fn check(text: &str) -> Planned {
    let graph = graph(text);
    let inputs = inputs(&graph, &[]);
    compare(&graph, &inputs, &[])
}

/// As [`check`], with all kinds of kernels and with none that may be left out: the former's plan.
pub(crate) fn check_both(text: &str) -> Planned {
    check(text);
    let graph = graph(text);
    let inputs = inputs(&graph, &[]);
    compare_with(&graph, &inputs, &[], &PlanOptions::all())
}

/// The names of a plan's kernels, without their numbers.
pub(crate) fn kernels(planned: &Planned) -> Vec<String> {
    let name = |kernel: &mlp_bundle::loops::Kernel| kernel.name.rsplit_once('_').unwrap().0.to_owned();
    planned.plan.kernels.iter().map(name).collect()
}
