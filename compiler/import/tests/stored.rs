//! Tensors that a model stores in other ways than whole: sparse, in other files, in few bits.

#[path = "support/build.rs"]
mod build;

use build::*;
use mlp_bundle::contents::Bytes;
use mlp_graph::{DType, Graph, Tensor, eval};
use mlp_import::onnx::proto::{AttributeProto, AttributeType, ModelProto, SparseTensorProto, StringStringEntryProto, TensorProto};
use mlp_import::onnx::{ImportOptions, Model, Part, import};
use std::collections::BTreeMap;

const UINT4: i32 = 21;
const INT4: i32 = 22;
const FLOAT8E4M3FN: i32 = 17;

fn imported(model: &ModelProto) -> Graph {
    import(&bytes(model), &ImportOptions::default()).expect("the model imports")
}

fn refused(model: &ModelProto) -> String {
    import(&bytes(model), &ImportOptions::default()).expect_err("the model breaks a rule").to_string()
}

/// The one output of a model without inputs, or with the given ones.
fn answer(model: &ModelProto, inputs: &[Tensor]) -> Tensor {
    eval::run(&imported(model), inputs).expect("it runs").remove(0)
}

fn sparse(values: &[f32], indices: TensorProto, dims: &[i64]) -> SparseTensorProto {
    let values = floats_tensor("w", &[values.len() as i64], values);
    SparseTensorProto { values: Some(values), indices: Some(indices), dims: dims.into() }
}

fn with_sparse(sparse: SparseTensorProto) -> ModelProto {
    let mut model = model(17, vec![], vec![], vec![node("Neg", &["w"], &["y"], vec![])], &["y"]);
    model.graph.as_mut().expect("a graph").sparse_initializer.push(sparse);
    model
}

#[test]
fn sparse_tensors_have_zeros_where_nothing_is_stored() {
    let listed = sparse(&[1.0, 2.0], longs_tensor("", &[1, 5]), &[2, 3]);
    let expected = Tensor::from_f32(&[2, 3], &[-0.0, -1.0, -0.0, -0.0, -0.0, -2.0]).expect("six numbers");
    assert_eq!(answer(&with_sparse(listed.clone()), &[]), expected);
    let by_axis = TensorProto { dims: vec![2, 2], ..longs_tensor("", &[0, 1, 1, 2]) };
    assert_eq!(answer(&with_sparse(sparse(&[1.0, 2.0], by_axis, &[2, 3])), &[]), expected);
    let attribute = AttributeProto {
        name: "sparse_value".into(),
        sparse_tensor: Some(Box::new(listed)),
        r#type: AttributeType::SparseTensor as i32,
        ..Default::default()
    };
    let nodes = vec![node("Constant", &[], &["w"], vec![attribute]), node("Neg", &["w"], &["y"], vec![])];
    assert_eq!(answer(&model(17, vec![], vec![], nodes, &["y"]), &[]), expected);
}

#[test]
fn sparse_tensors_that_make_no_sense_are_refused() {
    let with = |indices: &[i64], dims: &[i64]| refused(&with_sparse(sparse(&[1.0, 2.0], longs_tensor("", indices), dims)));
    assert!(with(&[1, 6], &[2, 3]).contains("outside its shape"));
    assert!(with(&[-1, 2], &[2, 3]).contains("outside its shape"));
    assert!(with(&[5, 1], &[2, 3]).contains("ascending"));
    assert!(with(&[1, 1], &[2, 3]).contains("ascending"));
    assert!(with(&[1], &[2, 3]).contains("2 values"));
    assert!(with(&[1, 2], &[2, -3]).contains("negative size"));
    assert!(with(&[1, 2], &[1 << 40, 1 << 40]).contains("too large"));
    assert!(with(&[1, 2], &[1 << 30]).contains("too large"));
    let nothing = SparseTensorProto { values: None, indices: None, dims: vec![2] };
    assert!(refused(&with_sparse(nothing)).contains("no values"));
}

/// A model whose two tensors lie in the file `weights.bin`.
fn outside(entries: &[(&str, &str)]) -> ModelProto {
    let outside = |name: &str, entries: &[(&str, &str)]| TensorProto {
        name: name.into(),
        data_type: FLOAT,
        dims: vec![2],
        data_location: 1,
        external_data: entries.iter().map(|(key, value)| StringStringEntryProto { key: (*key).into(), value: (*value).into() }).collect(),
        ..Default::default()
    };
    let first = outside("a", &[("location", "weights.bin"), ("offset", "4"), ("length", "8")]);
    let nodes = vec![node("Add", &["a", "b"], &["y"], vec![])];
    model(17, vec![], vec![first, outside("b", entries)], nodes, &["y"])
}

/// Four numbers.
fn weights() -> Bytes {
    [1.0f32, 2.0, 3.0, 4.0].iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn attached(model: &ModelProto) -> Result<Graph, String> {
    let mut model = Model::read(&bytes(model)[..]).map_err(|error| error.to_string())?;
    let mut read = |part: &Part| {
        let (start, data) = (part.offset as usize, weights());
        let end = part.length.map_or(data.len(), |length| start.saturating_add(length as usize));
        if end <= data.len() && start <= end { Ok(data.slice(start..end)) } else { Err("it ends before".to_owned()) }
    };
    model.attach(&mut read).map_err(|error| error.to_string())?;
    model.import(&ImportOptions::default(), &BTreeMap::new()).map_err(|error| error.to_string())
}

#[test]
fn data_in_another_file_are_taken_from_where_the_model_says() {
    let sound = outside(&[("location", "weights.bin"), ("offset", "8")]);
    assert_eq!(Model::read(&bytes(&sound)[..]).expect("a model").files(), ["weights.bin"]);
    let graph = attached(&sound).expect("the model imports");
    let sum = eval::run(&graph, &[]).expect("it runs").remove(0);
    assert_eq!(sum.to_f64(), [5.0, 7.0]);
    assert!(refused(&sound).contains("lie in another file"), "bytes alone have no folder");
}

#[test]
fn data_in_another_file_must_lie_in_the_folder_and_have_their_size() {
    let with = |entries: &[(&str, &str)]| attached(&outside(entries)).expect_err("the model breaks a rule");
    for place in ["../weights.bin", "/etc/passwd", "a/../../b", "C:\\weights.bin", ""] {
        let error = with(&[("location", place)]);
        assert!(error.contains("tensor `b`") && error.contains("model's folder"), "{error}");
    }
    assert!(with(&[]).contains("does not name"));
    assert!(with(&[("location", "weights.bin"), ("offset", "-8")]).contains("`-8`, which is no size"));
    assert!(with(&[("location", "weights.bin"), ("offset", "12"), ("length", "8")]).contains("it ends before"));
    assert!(with(&[("location", "weights.bin"), ("length", "99999999999999999999")]).contains("no size"));
    assert!(with(&[("location", "weights.bin"), ("offset", "0"), ("length", "12")]).contains("takes 8 bytes"));
}

#[test]
fn weights_of_four_bits_are_dequantized_by_their_blocks() {
    let data = |code: i32, packed: &[u8]| TensorProto {
        name: "w".into(),
        data_type: code,
        dims: vec![2, 4],
        raw_data: packed.to_vec().into(),
        ..Default::default()
    };
    let build = |weights: TensorProto| {
        let scale = TensorProto { dims: vec![2, 2], ..floats_tensor("s", &[], &[1.0, 2.0, 3.0, 4.0]) };
        let attributes = vec![int("axis", 1), int("block_size", 2)];
        let nodes = vec![node("DequantizeLinear", &["w", "s"], &["y"], attributes)];
        model(21, vec![], vec![weights, scale], nodes, &["y"])
    };
    let signed = answer(&build(data(INT4, &[0x21, 0x83, 0xff, 0x07])), &[]);
    assert_eq!(signed.to_f64(), [1.0, 2.0, 6.0, -16.0, -3.0, -3.0, 28.0, 0.0]);
    let unsigned = answer(&build(data(UINT4, &[0x21, 0x83, 0xff, 0x07])), &[]);
    assert_eq!(unsigned.to_f64(), [1.0, 2.0, 6.0, 16.0, 45.0, 45.0, 28.0, 0.0]);
    assert!(refused(&build(data(INT4, &[0x21, 0x83, 0xff]))).contains("take 4 bytes, but raw_data has 3"));
    // One byte a number of its own, as the typed field has them.
    let typed = TensorProto { int32_data: vec![0x21, 0x83, 0xff, 0x07], ..data(INT4, &[]) };
    assert_eq!(answer(&build(typed), &[]), signed);
}

#[test]
fn numbers_of_few_bits_are_cast_and_quantized_within_their_range() {
    let cast = vec![node("Cast", &["x"], &["y"], vec![int("to", FLOAT.into())])];
    let graph = imported(&model(21, vec![port("x", INT4, &[3])], vec![], cast, &["y"]));
    assert_eq!(graph.ty(graph.inputs[0].value).dtype, DType::I8);
    let zero = TensorProto { name: "z".into(), data_type: INT4, int32_data: vec![0], ..Default::default() };
    let quantize = vec![node("QuantizeLinear", &["x", "s", "z"], &["y"], vec![])];
    let quantized = model(21, vec![port("x", FLOAT, &[4])], vec![floats_tensor("s", &[], &[1.0]), zero.clone()], quantize, &["y"]);
    let x = Tensor::from_f32(&[4], &[-100.0, -7.6, 3.2, 100.0]).expect("four numbers");
    assert_eq!(answer(&quantized, &[x]).to_f64(), [-8.0, -8.0, 3.0, 7.0]);
    let like = vec![node("CastLike", &["x", "z"], &["y"], vec![])];
    let cast = model(21, vec![port("x", FLOAT, &[4])], vec![zero], like, &["y"]);
    let x = Tensor::from_f32(&[4], &[-9.0, -8.9, 7.5, 8.0]).expect("four numbers");
    assert_eq!(answer(&cast, &[x]).to_f64(), [7.0, -8.0, 7.0, -8.0]);
    let eight = vec![node("Cast", &["x"], &["y"], vec![int("to", FLOAT8E4M3FN.into())])];
    let cast = model(19, vec![port("x", FLOAT, &[4])], vec![], eight, &["y"]);
    let x = Tensor::from_f32(&[4], &[-1e6, 17.0, 19.0, 0.3]).expect("four numbers");
    assert_eq!(answer(&cast, &[x]).to_f64(), [-448.0, 16.0, 20.0, 0.3125]);
}

#[test]
fn floats_of_eight_bits_are_what_they_stand_for() {
    let weights = TensorProto {
        name: "w".into(),
        data_type: FLOAT8E4M3FN,
        dims: vec![3],
        raw_data: vec![0x38, 0xb8, 0x7e].into(),
        ..Default::default()
    };
    let nodes = vec![node("DequantizeLinear", &["w", "s"], &["y"], vec![])];
    let dequantized = model(19, vec![], vec![weights.clone(), floats_tensor("s", &[], &[2.0])], nodes, &["y"]);
    assert_eq!(answer(&dequantized, &[]).to_f64(), [2.0, -2.0, 896.0]);
    let cast = vec![node("Cast", &["w"], &["y"], vec![int("to", FLOAT.into())])];
    assert_eq!(answer(&model(19, vec![], vec![weights], cast, &["y"]), &[]).to_f64(), [1.0, -1.0, 448.0]);
}
