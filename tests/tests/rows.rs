//! Outputs of which a run decides how many rows they have: every runtime gives as many as there are, out of a bundle, and shows nobody what counts them.

use mlp_bundle::DType;
use mlp_bundle::manifest::{Dim, Rows, ValueType};
use mlp_driver::{bundle, compile};
use mlp_engine::value::Tensor;
use mlp_engine::{BackendKind, EngineError, Session, Value};
use mlp_graph::ir::Type;
use mlp_graph::op::{Op, UnaryOp};
use mlp_graph::{Graph, Origin};
use std::collections::BTreeMap;

/// The negative of `x`, its first rows, its first columns and all of it; `n` says how many.
fn graph() -> Graph {
    let mut graph = Graph::new("rows");
    let x = graph.add_input("x", Type::fixed(DType::F32, &[3, 2]));
    let n = graph.add_input("n", Type::fixed(DType::I32, &[]));
    let of = |graph: &mut Graph, op: UnaryOp, value| graph.append(Op::Unary(op), &[value], Origin::new("test")).expect("it has a type")[0];
    let (y, count) = (of(&mut graph, UnaryOp::Neg, x), of(&mut graph, UnaryOp::Abs, n));
    for name in ["rows", "columns", "all"] {
        graph.add_output(name, y);
    }
    graph.count_rows("rows", 0, count);
    graph.count_rows("columns", 1, count);
    graph
}

fn floats(shape: &[u64], values: &[f32]) -> Value {
    Value::Tensor(Tensor { dtype: DType::F32, shape: shape.to_vec(), bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect() })
}

fn run(session: &mut Session, count: i32) -> Result<Value, EngineError> {
    let count = Tensor { dtype: DType::I32, shape: vec![], bytes: count.to_le_bytes().to_vec() };
    let x = floats(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    session.run(&BTreeMap::from([("x".to_owned(), x), ("n".to_owned(), Value::Tensor(count))]))
}

#[test]
fn every_runtime_gives_as_many_rows_as_there_are() {
    let compiled = compile::compile(graph()).expect("it compiles");
    let code = compile::emit(&compiled.plan).expect("it has code");
    let bundle = bundle::of_model("rows", &[], compiled, code);
    let pipeline = bundle.manifest.pipelines[0].clone();
    assert_eq!((pipeline.outputs.len(), pipeline.output_ports.len()), (3, 4));
    let rows = |axis| Some(Rows { axis, port: "rows/rows".into() });
    for (field, (name, expected)) in pipeline.outputs.iter().zip([("rows", rows(0)), ("columns", rows(1)), ("all", None)]) {
        let ValueType::Tensor { shape, rows, .. } = &field.ty else { panic!("`{}` is no tensor", field.name) };
        assert_eq!((field.name.as_str(), rows, shape), (name, &expected, &vec![Dim::Const(3), Dim::Const(2)]));
    }
    let all = floats(&[3, 2], &[-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]);
    for kind in [BackendKind::Native, BackendKind::Wasm, BackendKind::WasmRelaxed, BackendKind::Gpu] {
        let mut session = Session::open(&bundle, &pipeline.name, kind, 1).unwrap_or_else(|error| panic!("{kind}: {error}"));
        for (count, rows, columns) in [
            (1, floats(&[1, 2], &[-1.0, -2.0]), floats(&[3, 1], &[-1.0, -3.0, -5.0])),
            (0, floats(&[0, 2], &[]), floats(&[3, 0], &[])),
            (2, floats(&[2, 2], &[-1.0, -2.0, -3.0, -4.0]), all.clone()),
        ] {
            let answer = run(&mut session, count).unwrap_or_else(|error| panic!("{kind}: {error}"));
            let expected = [("rows", rows), ("columns", columns), ("all", all.clone())].map(|(name, value)| (name.to_owned(), value));
            assert_eq!(answer.to_json(), Value::Record(BTreeMap::from(expected)).to_json(), "{kind} with {count}");
        }
    }
}
