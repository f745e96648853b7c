//! What a file may say that is not so: every time an error that names the place, never a panic or an allocation without bound.

#[path = "support/build.rs"]
mod build;

use build::*;
use mlp_import::ImportError;
use mlp_import::onnx::proto::{ModelProto, StringStringEntryProto, TensorProto};
use mlp_import::onnx::{DimSignature, ImportOptions, import, signature};
use mlp_import::testdata::{read_npz, read_tensor_pb};
use npyz::WriterBuilder;
use std::io::Write;

fn convolution() -> ModelProto {
    let weights = floats_tensor("w", &[2, 3, 3, 3], &[0.5; 54]);
    let nodes = vec![
        node("Conv", &["x", "w"], &["a"], vec![ints("pads", &[1, 1, 1, 1]), ints("strides", &[2, 2])]),
        node("Relu", &["a"], &["b"], vec![]),
        node("Reshape", &["b", "shape"], &["y"], vec![]),
    ];
    model(13, vec![port("x", FLOAT, &[-1, 3, 8, 8])], vec![weights, longs_tensor("shape", &[0, -1])], nodes, &["y"])
}

fn options() -> ImportOptions {
    ImportOptions { dims: [("d0".to_owned(), 2)].into(), family: None }
}

fn refused(model: &ModelProto) -> ImportError {
    match import(&bytes(model), &options()) {
        Ok(graph) => panic!("imported {} operations", graph.order.len()),
        Err(error) => error,
    }
}

#[test]
fn the_sound_model_imports() {
    let graph = import(&bytes(&convolution()), &options()).expect("a graph");
    assert_eq!(graph.dims(graph.outputs[0].value), Some(vec![2, 32]));
    let signature = signature(&bytes(&convolution())).expect("a signature");
    let symbol = DimSignature::Symbol("d0".into());
    assert_eq!(signature.inputs[0].dims, Some(vec![symbol, DimSignature::Const(3), DimSignature::Const(8), DimSignature::Const(8)]));
}

#[test]
fn files_cut_short_or_damaged_are_refused_or_read_but_never_crash() {
    let sound = bytes(&convolution());
    for length in 0..sound.len() {
        let _ = import(&sound[..length], &options());
    }
    assert!(import(&[], &options()).is_err() && import(b"not a model", &options()).is_err());
    for place in 0..sound.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = sound.clone();
            damaged[place] ^= flip;
            let _ = import(&damaged, &options());
            let _ = signature(&damaged);
        }
    }
}

#[test]
fn an_unbound_dimension_is_named() {
    let error = import(&bytes(&convolution()), &ImportOptions::default()).expect_err("d0 is not bound");
    assert_eq!(error, ImportError::UnboundDim { symbol: "d0".into(), input: "x".into(), axis: 0 });
    assert!(error.to_string().contains("`d0` = 1"), "{error}");
}

#[test]
fn unknown_operators_and_attributes_are_named_with_their_node() {
    let mut unknown = convolution();
    let graph = unknown.graph.as_mut().unwrap();
    graph.node[1].op_type = "Frobnicate".into();
    graph.node[1].domain = "acme".into();
    let ImportError::Unsupported { node, op, index, .. } = refused(&unknown) else { panic!("another error") };
    assert_eq!((node.as_str(), op.as_str(), index), ("the Relu", "acme::Frobnicate", 1));

    let mut attribute = convolution();
    attribute.graph.as_mut().unwrap().node[0].attribute.push(int("winograd", 1));
    let error = refused(&attribute).to_string();
    assert!(error.contains("`the Conv` (Conv)") && error.contains("`winograd`"), "{error}");
}

#[test]
fn names_must_be_defined_once_and_before_use_and_without_cycles() {
    let change = |edit: fn(&mut mlp_import::onnx::proto::GraphProto)| {
        let mut model = convolution();
        edit(model.graph.as_mut().unwrap());
        refused(&model).to_string()
    };
    assert!(change(|graph| graph.node[1].output[0] = "a".into()).contains("`a` is defined twice"));
    assert!(change(|graph| graph.initializer[1].name = "w".into()).contains("`w` is defined twice"));
    assert!(change(|graph| graph.node[1].input[0] = "nowhere".into()).contains("`nowhere`, which nothing defines"));
    assert!(change(|graph| graph.output[0].name = "z".into()).contains("output `z` is computed by no node"));
    assert!(change(|graph| graph.node[0].input[0] = "b".into()).contains("cycle"));
    assert!(change(|graph| graph.node[0].input.clear()).contains("input 0 is missing"));
}

#[test]
fn nodes_in_another_order_are_sorted_and_dead_ones_left_out() {
    let mut shuffled = convolution();
    let graph = shuffled.graph.as_mut().unwrap();
    graph.node.reverse();
    graph.node.push(node("Frobnicate", &["a"], &["unused"], vec![]));
    assert!(import(&bytes(&shuffled), &options()).is_ok());
}

#[test]
fn stored_tensors_must_hold_what_they_declare() {
    let with = |weights: TensorProto| {
        let mut model = convolution();
        model.graph.as_mut().unwrap().initializer[0] = weights;
        refused(&model).to_string()
    };
    let sound = floats_tensor("w", &[2, 3, 3, 3], &[0.5; 54]);
    assert!(with(floats_tensor("w", &[2, 3, 3, 3], &[0.5; 53])).contains("54 elements, but float_data has 53"));
    assert!(
        with(TensorProto { raw_data: vec![0; 7].into(), float_data: vec![], ..sound.clone() })
            .contains("takes 216 bytes, but raw_data has 7")
    );
    assert!(with(TensorProto { dims: vec![-2, 3, 3, 3], ..sound.clone() }).contains("negative size -2"));
    assert!(with(TensorProto { dims: vec![i64::MAX, i64::MAX, 3, 3], ..sound.clone() }).contains("4 GiB"));
    assert!(with(TensorProto { dims: vec![0, i64::MAX, i64::MAX, 3], float_data: vec![], ..sound.clone() }).contains("4 GiB"));
    assert!(with(TensorProto { data_type: 8, ..sound.clone() }).contains("STRING"));
    assert!(with(TensorProto { data_type: 99, ..sound.clone() }).contains("code 99"));
    let location = StringStringEntryProto { key: "location".into(), value: "../../etc/passwd".into() };
    assert!(with(TensorProto { external_data: vec![location], data_location: 1, ..sound }).contains("another file"));
}

#[test]
fn sizes_that_no_memory_holds_are_refused() {
    let constant = |shape: &[i64]| {
        let nodes = vec![node("ConstantOfShape", &["shape"], &["y"], vec![])];
        refused(&model(13, vec![], vec![longs_tensor("shape", shape)], nodes, &["y"])).to_string()
    };
    assert!(constant(&[1 << 40, 1 << 40]).contains("4 GiB"));
    assert!(constant(&[0, i64::MAX, i64::MAX]).contains("4 GiB"));
    assert!(constant(&[-5]).contains("negative size"));
    assert!(constant(&[1; 1000]).contains("GiB"));

    // One such value is no memory; a thousand of them stay one element each.
    let names: Vec<String> = (0..1000).map(|index| format!("v{index}")).collect();
    let nodes = names.iter().map(|name| node("ConstantOfShape", &["shape"], &[name], vec![])).collect();
    let outputs: Vec<&str> = names.iter().map(String::as_str).collect();
    let many = model(13, vec![], vec![longs_tensor("shape", &[1 << 14, 1 << 13])], nodes, &outputs);
    let graph = import(&bytes(&many), &options()).expect("a graph");
    let stored: usize = graph.tensors.values().map(|tensor| tensor.bytes().len()).sum();
    assert!(stored < 1 << 29, "{stored} bytes are made");

    let pad = node("Pad", &["x", "pads"], &["y"], vec![string("mode", "edge")]);
    let far = model(13, vec![port("x", FLOAT, &[4])], vec![longs_tensor("pads", &[i64::MAX, i64::MAX])], vec![pad], &["y"]);
    assert!(refused(&far).to_string().contains("cannot be padded"));
    let tile = node("Tile", &["x", "repeats"], &["y"], vec![]);
    let tiled = model(13, vec![port("x", FLOAT, &[4])], vec![longs_tensor("repeats", &[i64::MAX])], vec![tile], &["y"]);
    assert!(refused(&tiled).to_string().contains("overflow"));
}

#[test]
fn windows_that_make_no_sense_are_refused() {
    let with = |attribute: mlp_import::onnx::proto::AttributeProto| {
        let mut model = convolution();
        model.graph.as_mut().unwrap().node[0].attribute = vec![attribute];
        refused(&model).to_string()
    };
    assert!(with(ints("strides", &[0, 1])).contains("`strides` holds 0"));
    assert!(with(ints("strides", &[1])).contains("1 values for 2 spatial axes"));
    assert!(with(ints("dilations", &[i64::MAX, 1])).contains("`dilations` holds"));
    assert!(with(ints("dilations", &[9, 9])).contains("does not fit"));
    assert!(with(ints("pads", &[-1, 0, 0, 0])).contains("negative padding"));
    assert!(with(ints("pads", &[i64::MAX, 0, 0, 0])).contains("padding"));
    assert!(with(int("group", 0)).contains("0 groups"));
    assert!(with(int("group", -1)).contains("`group` is -1"));
    assert!(with(string("auto_pad", "SAME")).contains("`SAME`"));
    assert!(with(float("group", 1.0)).contains("kind Int"));
}

#[test]
fn recordings_are_read_as_carefully() {
    use prost::Message;
    let sound = floats_tensor("t", &[2], &[1.0, 2.0]).encode_to_vec();
    assert_eq!(read_tensor_pb(&sound).expect("a tensor").1.to_f64(), [1.0, 2.0]);
    for length in 1..sound.len() {
        let _ = read_tensor_pb(&sound[..length]);
    }
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive.start_file("in:x.npy", zip::write::SimpleFileOptions::default()).unwrap();
    let mut array = Vec::new();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(&[2]).writer(&mut array).begin_nd().unwrap();
    writer.extend([1.5f32, 2.5]).unwrap();
    writer.finish().unwrap();
    archive.write_all(&array).unwrap();
    let sound = archive.finish().unwrap().into_inner();
    let arrays = read_npz(&sound).expect("an archive");
    assert_eq!((arrays[0].0.as_str(), arrays[0].1.to_f64()), ("in:x", vec![1.5, 2.5]));
    for length in 0..sound.len() {
        assert!(read_npz(&sound[..length]).is_err(), "{length} bytes were taken");
    }
    for place in 0..sound.len() {
        let mut damaged = sound.clone();
        damaged[place] ^= 0xff;
        let _ = read_npz(&damaged);
    }
}
