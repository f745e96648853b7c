//! Small models, built from the messages themselves.
#![allow(dead_code)] // Each test file uses a part.

use mlp_import::onnx::proto::{
    AttributeProto, AttributeType, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use prost::Message;

/// ONNX's codes of element types.
pub(crate) const FLOAT: i32 = 1;
pub(crate) const UINT8: i32 = 2;
pub(crate) const INT8: i32 = 3;
pub(crate) const INT32: i32 = 6;
pub(crate) const INT64: i32 = 7;
pub(crate) const BOOL: i32 = 9;

pub(crate) fn node(op: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto {
        op_type: op.into(),
        name: format!("the {op}"),
        input: names(inputs),
        output: names(outputs),
        attribute,
        domain: String::new(),
        ..Default::default()
    }
}

pub(crate) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, r#type: AttributeType::Int as i32, ..Default::default() }
}

pub(crate) fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), ints: ints.into(), r#type: AttributeType::Ints as i32, ..Default::default() }
}

pub(crate) fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), f, r#type: AttributeType::Float as i32, ..Default::default() }
}

pub(crate) fn string(name: &str, s: &str) -> AttributeProto {
    AttributeProto { name: name.into(), s: s.into(), r#type: AttributeType::String as i32, ..Default::default() }
}

pub(crate) fn floats(name: &str, floats: &[f32]) -> AttributeProto {
    AttributeProto { name: name.into(), floats: floats.into(), r#type: AttributeType::Floats as i32, ..Default::default() }
}

pub(crate) fn strings(name: &str, strings: &[&str]) -> AttributeProto {
    let strings = strings.iter().map(|string| string.as_bytes().to_vec()).collect();
    AttributeProto { name: name.into(), strings, r#type: AttributeType::Strings as i32, ..Default::default() }
}

/// An attribute that holds a body: inputs of unsaid types, nodes, and outputs.
pub(crate) fn body(name: &str, inputs: &[&str], node: Vec<NodeProto>, outputs: &[&str]) -> AttributeProto {
    let ports = |names: &[&str]| names.iter().map(|name| ValueInfoProto { name: (*name).to_owned(), r#type: None }).collect();
    let g = GraphProto { name: name.into(), node, input: ports(inputs), output: ports(outputs), ..Default::default() };
    AttributeProto { name: name.into(), g: Some(Box::new(g)), r#type: AttributeType::Graph as i32, ..Default::default() }
}

pub(crate) fn tensor_attribute(name: &str, tensor: TensorProto) -> AttributeProto {
    AttributeProto { name: name.into(), t: Some(Box::new(tensor)), r#type: AttributeType::Tensor as i32, ..Default::default() }
}

pub(crate) fn floats_tensor(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto { name: name.into(), data_type: FLOAT, dims: dims.into(), float_data: values.into(), ..Default::default() }
}

/// A tensor of an integer type of 32 bits or fewer.
pub(crate) fn narrow_tensor(name: &str, data_type: i32, dims: &[i64], values: &[i32]) -> TensorProto {
    TensorProto { name: name.into(), data_type, dims: dims.into(), int32_data: values.into(), ..Default::default() }
}

pub(crate) fn longs_tensor(name: &str, values: &[i64]) -> TensorProto {
    TensorProto { name: name.into(), data_type: INT64, dims: vec![values.len() as i64], int64_data: values.into(), ..Default::default() }
}

/// An input or output; a negative size is a symbol, `d0` for -1 and so on.
pub(crate) fn port(name: &str, elem_type: i32, dims: &[i64]) -> ValueInfoProto {
    let size = |&size: &i64| match size {
        0.. => DimensionValue::DimValue(size),
        _ => DimensionValue::DimParam(format!("d{}", -1 - size)),
    };
    let dim = dims.iter().map(|dim| Dimension { value: Some(size(dim)) }).collect();
    let tensor = TensorTypeProto { elem_type, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}

/// A model in the operator set of that version.
pub(crate) fn model(
    opset: i64,
    inputs: Vec<ValueInfoProto>,
    initializer: Vec<TensorProto>,
    nodes: Vec<NodeProto>,
    outputs: &[&str],
) -> ModelProto {
    let output = outputs.iter().map(|name| ValueInfoProto { name: (*name).to_owned(), r#type: None }).collect();
    let graph = GraphProto { name: "g".into(), node: nodes, initializer, input: inputs, output, ..Default::default() };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: opset }];
    ModelProto { graph: Some(graph), opset_import, ..Default::default() }
}

pub(crate) fn bytes(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}
