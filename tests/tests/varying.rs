//! One bundle for all sizes: what a pipeline with bounded sizes gives for each of them, on every runtime of processors, is what the same pipeline compiled for that size gives.

use mlp_bundle::{Bundle, DType};
use mlp_driver::host::Disk;
use mlp_driver::package::Package;
use mlp_engine::value::Tensor;
use mlp_engine::{BackendKind, Session, Value};
use std::collections::BTreeMap;

/// The source with `$N` and `$M`, which are declared by `$DN` and `$DM`.
const SOURCE: &str = r#"edition 2026

use std.tensor.{ concat_first, concat_last, matmul, max_first, mean_first, merge_first, reverse_first, softmax, sort, split_last }
use std.tensor.{ sum, transpose }

/// Scores of words against each other, and what is made of them.
pipeline Mixed(words: f32[$DN, 6], others: f32[$DM, 6]) -> {
  weights: f32[$N, $M],
  mixed: f32[$N, 6],
  mean: f32[6],
  most: f32[6],
  both: f32[$N + $M, 6],
  beside: f32[$N, 12],
  backwards: f32[$N, 6],
  sorted: f32[6, $N],
  flat: f32[$N * 3, 2],
  total: f32[],
  turned: f32[6, $M],
} {
  weights = matmul(words, transpose(others)) |> softmax
  parts = split_last(words, 3)
  return {
    weights = weights
    mixed = matmul(weights, others)
    mean = mean_first(words)
    most = max_first(others)
    both = concat_first(words, others)
    beside = concat_last(words, words)
    backwards = reverse_first(words)
    sorted = sort(transpose(words))
    flat = merge_first(parts)
    total = sum(words) + sum(others)
    turned = transpose(others)
  }
}
"#;

fn bundle(name: &str, sizes: [&str; 2], symbols: [&str; 2]) -> Bundle {
    let source = SOURCE.replace("$DN", sizes[0]).replace("$DM", sizes[1]).replace("$N", symbols[0]).replace("$M", symbols[1]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mixed.mlp");
    std::fs::write(&path, source).expect("the source is written");
    let host = Disk::default();
    let package = Package::check(&host, &path);
    assert!(package.diagnostics().is_empty() && package.left_out().is_empty(), "{:#?} {:#?}", package.diagnostics(), package.left_out());
    let built = package.build(&host, name, false, &|_| {}).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(built.remarks.is_empty(), "{:?}", built.remarks);
    built.bundle
}

fn tensor(shape: [u64; 2], seed: u64) -> Value {
    let numbers = (0..shape[0] * shape[1]).map(|at| ((at * 37 + seed * 11) % 23) as f32 / 8.0 - 1.2);
    Value::Tensor(Tensor { dtype: DType::F32, shape: shape.to_vec(), bytes: numbers.flat_map(f32::to_le_bytes).collect() })
}

fn inputs(n: u64, m: u64) -> BTreeMap<String, Value> {
    BTreeMap::from([("words".to_owned(), tensor([n, 6], n)), ("others".to_owned(), tensor([m, 6], m + 3))])
}

fn fields(answer: Value) -> BTreeMap<String, Value> {
    match answer {
        Value::Record(fields) => fields,
        other => panic!("{other:?} is no record"),
    }
}

#[test]
fn one_bundle_is_for_all_sizes() {
    let all = bundle("all", ["N <= 9", "M <= 5"], ["N", "M"]);
    let kinds = [BackendKind::Native, BackendKind::Wasm, BackendKind::WasmRelaxed];
    let open = |bundle: &Bundle, kind| Session::open(bundle, "Mixed", kind, 2).unwrap_or_else(|error| panic!("{kind}: {error}"));
    let mut sessions: Vec<Session> = kinds.into_iter().map(|kind| open(&all, kind)).collect();
    // Large sizes leave behind what small ones must not see.
    for (n, m) in [(9, 5), (1, 1), (4, 5), (9, 1), (2, 3), (7, 4)] {
        let one = bundle("one", [&n.to_string(), &m.to_string()], [&n.to_string(), &m.to_string()]);
        let expected = fields(open(&one, BackendKind::Native).run(&inputs(n, m)).expect("sizes that are compiled for"));
        for session in &mut sessions {
            let kind = session.kind();
            let actual = fields(session.run(&inputs(n, m)).unwrap_or_else(|error| panic!("{n}, {m} on {kind}: {error}")));
            assert!(actual.keys().eq(expected.keys()), "{:?}", actual.keys());
            for (name, expected) in &expected {
                let (Value::Tensor(expected), Value::Tensor(actual)) = (expected, &actual[name]) else { panic!("{name} is no tensor") };
                assert_eq!((&expected.shape, expected.dtype), (&actual.shape, actual.dtype), "{name} of {n}, {m} on {kind}");
                let near = |(a, b): (f64, f64)| (a - b).abs() <= 1e-5 + 1e-4 * b.abs();
                assert!(actual.numbers().zip(expected.numbers()).all(near), "{name} of {n}, {m} on {kind}: {actual:?} {expected:?}");
            }
        }
    }
}

#[test]
fn sizes_beyond_the_bound_are_refused() {
    let all = bundle("all", ["N <= 9", "M <= 5"], ["N", "M"]);
    let mut session = Session::open(&all, "Mixed", BackendKind::Native, 1).expect("it opens");
    let refused = |session: &mut Session, inputs: BTreeMap<String, Value>| session.run(&inputs).expect_err("it is refused").to_string();
    assert_eq!(refused(&mut session, inputs(10, 2)), "`N` is 10, outside 1..=9");
    let mut wrong = inputs(3, 2);
    wrong.insert("others".into(), tensor([2, 5], 1));
    assert_eq!(refused(&mut session, wrong), "`others` takes f32[M, 6], and was given f32[2, 5]");
}
