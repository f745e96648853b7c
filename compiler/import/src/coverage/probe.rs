//! A node to try element types on.

use super::Operator;
use crate::error::ImportError;
use crate::onnx::proto::*;
use crate::onnx::{ImportOptions, import_message, tensor};
use mlp_bundle::DType;
use mlp_graph::{Graph, Tensor};
use serde::Deserialize;
use std::collections::BTreeMap;

/// One node of an operator with its inputs.
#[derive(Clone, Debug, Deserialize)]
pub struct Probe {
    opset: i64,
    /// None where an optional input is left out.
    inputs: Vec<Option<Input>>,
    /// Whether each output is named.
    outputs: Vec<bool>,
    attributes: Vec<Attribute>,
}

#[derive(Clone, Debug, Deserialize)]
struct Input {
    /// Whether it has the element type that is tried.
    main: bool,
    /// ONNX's code of the element type that it has otherwise.
    r#type: i32,
    dims: Vec<u64>,
    /// Its elements; none where they are too many.
    values: Vec<f64>,
}

#[derive(Clone, Debug, Deserialize)]
struct Attribute {
    name: String,
    #[serde(flatten)]
    value: AttributeValue,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "UPPERCASE")]
enum AttributeValue {
    Float(f32),
    Int(i64),
    String(String),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Tensor(Stored),
}

#[derive(Clone, Debug, Deserialize)]
struct Stored {
    r#type: i32,
    dims: Vec<u64>,
    values: Vec<f64>,
}

impl Operator {
    /// The graph of the operator's [`Probe`], its first input and all others of the same type variable being of an element type, which is named as in
    /// [`types`](Operator::types); none where there is no probe, or where no tensor here can stand for one of that type.
    ///
    /// Inputs of that type are inputs of the graph, but for those whose values are wanted while compiling; all others are constants.
    pub fn graph_for(&self, element: &str) -> Option<Result<Graph, ImportError>> {
        let probe = self.probe.as_ref()?;
        let (code, dtype) = tensor::named(element)?;
        let model = probe.model(&self.domain, &self.name, code);
        let mut fixed = BTreeMap::new();
        loop {
            let error = match import_message(&model, &ImportOptions::default(), &fixed) {
                Err(error) => error,
                graph => return Some(graph),
            };
            let wanted = match &error {
                ImportError::NeedsValue { input, .. } if !fixed.contains_key(input) => input.clone(),
                _ => return Some(Err(error)),
            };
            let input = probe.inputs.iter().enumerate().find(|(index, _)| name("in", *index) == wanted);
            let Some(value) = input.and_then(|(_, input)| input.as_ref()?.value(dtype)) else { return Some(Err(error)) };
            fixed.insert(wanted, value);
        }
    }
}

fn name(kind: &str, index: usize) -> String {
    format!("{kind}{index}")
}

impl Probe {
    fn model(&self, domain: &str, op: &str, element: i32) -> ModelProto {
        let mut graph = GraphProto { name: "probe".into(), ..Default::default() };
        let mut node = NodeProto { op_type: op.into(), domain: domain.into(), ..Default::default() };
        for (index, input) in self.inputs.iter().enumerate() {
            let Some(input) = input else {
                node.input.push(String::new());
                continue;
            };
            node.input.push(name("in", index));
            match tensor::dtype_of(input.r#type).ok().and_then(|own| input.value(own)).filter(|_| !input.main) {
                Some(value) => graph.initializer.push(stored(&name("in", index), &value)),
                None => graph.input.push(input.port(&name("in", index), element)),
            }
        }
        for (index, &named) in self.outputs.iter().enumerate() {
            let output = if named { name("out", index) } else { String::new() };
            if named {
                graph.output.push(ValueInfoProto { name: output.clone(), r#type: None });
            }
            node.output.push(output);
        }
        node.attribute = self.attributes.iter().map(Attribute::proto).collect();
        graph.node.push(node);
        let mut opset_import = vec![OperatorSetIdProto { domain: domain.into(), version: self.opset }];
        if !domain.is_empty() {
            opset_import.push(OperatorSetIdProto { domain: String::new(), version: 18 });
        }
        ModelProto { graph: Some(graph), opset_import, ..Default::default() }
    }
}

impl Input {
    /// Its elements in an element type, where they are known.
    fn value(&self, dtype: DType) -> Option<Tensor> {
        Tensor::from_f64_as(dtype, &self.dims, &self.values).ok()
    }

    fn port(&self, name: &str, element: i32) -> ValueInfoProto {
        let elem_type = if self.main { element } else { self.r#type };
        let dim = self.dims.iter().map(|&size| Dimension { value: Some(DimensionValue::DimValue(size as i64)) }).collect();
        let tensor_type = Some(TensorTypeProto { elem_type, shape: Some(TensorShapeProto { dim }) });
        ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
    }
}

impl Attribute {
    fn proto(&self) -> AttributeProto {
        let mut proto = AttributeProto { name: self.name.clone(), ..Default::default() };
        let kind = match &self.value {
            AttributeValue::Float(f) => {
                proto.f = *f;
                AttributeType::Float
            }
            AttributeValue::Int(i) => {
                proto.i = *i;
                AttributeType::Int
            }
            AttributeValue::String(s) => {
                proto.s = s.clone().into_bytes();
                AttributeType::String
            }
            AttributeValue::Floats(floats) => {
                proto.floats = floats.clone();
                AttributeType::Floats
            }
            AttributeValue::Ints(ints) => {
                proto.ints = ints.clone();
                AttributeType::Ints
            }
            AttributeValue::Tensor(Stored { r#type, dims, values }) => {
                let value = tensor::dtype_of(*r#type).ok().and_then(|dtype| Tensor::from_f64_as(dtype, dims, values).ok());
                proto.t = value.map(|value| Box::new(stored("", &value)));
                AttributeType::Tensor
            }
        };
        proto.r#type = kind as i32;
        proto
    }
}

fn stored(name: &str, value: &Tensor) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type: tensor::code_of(value.dtype()),
        dims: value.shape().iter().map(|&size| size as i64).collect(),
        raw_data: value.bytes().to_vec().into(),
        ..Default::default()
    }
}
