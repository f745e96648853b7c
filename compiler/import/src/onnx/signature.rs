//! What a model takes and returns, read without importing it.

use super::message::decode;
use super::narrow::Narrow;
use super::proto::{Dimension, DimensionValue, GraphProto, ModelProto, TensorTypeProto, ValueInfoProto};
use super::tensor::dtype_of;
use crate::error::ImportError;
use mlp_bundle::DType;
use mlp_bundle::contents::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The size of one dimension, as a model declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DimSignature {
    /// A constant.
    Const(u64),
    /// A symbol, to be bound by [`ImportOptions::dims`](super::ImportOptions::dims); `<input>.<axis>` where an input's dimension has no name.
    Symbol(String),
    /// Not declared (outputs only).
    Unknown,
}

/// One input or output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSignature {
    /// Its name.
    pub name: String,
    /// Its element type; none where an output does not declare it.
    pub dtype: Option<DType>,
    /// Its sizes; none where the model declares not even how many there are.
    pub dims: Option<Vec<DimSignature>>,
}

/// What a model takes and returns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSignature {
    /// Its inputs, in order; stored tensors that old files list among them are left out.
    pub inputs: Vec<PortSignature>,
    /// Its outputs, in order.
    pub outputs: Vec<PortSignature>,
}

/// Reads what a model takes and returns.
pub fn signature(bytes: &[u8]) -> Result<ModelSignature, ImportError> {
    of_message(&decode(bytes)?)
}

/// [`signature`] without a copy of the model's constants.
pub fn signature_shared(bytes: Bytes) -> Result<ModelSignature, ImportError> {
    of_message(&decode(bytes)?)
}

pub(super) fn of_message(model: &ModelProto) -> Result<ModelSignature, ImportError> {
    let graph = model.graph.as_ref().ok_or_else(|| ImportError::Malformed { detail: "it holds no graph".into() })?;
    let inputs = inputs(graph)?;
    let outputs = graph.output.iter().map(output).collect::<Result<_, _>>()?;
    Ok(ModelSignature { inputs, outputs })
}

/// The inputs of a graph that callers give.
pub(super) fn inputs(graph: &GraphProto) -> Result<Vec<PortSignature>, ImportError> {
    let stored: BTreeSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    graph.input.iter().filter(|input| !stored.contains(input.name.as_str())).map(input).collect()
}

fn input(info: &ValueInfoProto) -> Result<PortSignature, ImportError> {
    let refuse = |detail: String| ImportError::Graph {
        detail: format!("input `{}` {detail}", info.name),
        remedy: "only tensors of a declared element type and rank can be inputs; export the model again with its input shapes".into(),
    };
    let tensor = tensor_type(info).ok_or_else(|| refuse("is not declared to be a tensor".into()))?;
    let dtype = port_dtype(tensor.elem_type).map_err(|detail| refuse(format!("cannot be read: {detail}")))?;
    let shape = tensor.shape.as_ref().ok_or_else(|| refuse("declares no shape".into()))?;
    let dims = shape.dim.iter().enumerate().map(|(axis, dim)| match size(dim) {
        DimSignature::Unknown => DimSignature::Symbol(format!("{}.{axis}", info.name)),
        known => known,
    });
    Ok(PortSignature { name: info.name.clone(), dtype: Some(dtype), dims: Some(dims.collect()) })
}

fn output(info: &ValueInfoProto) -> Result<PortSignature, ImportError> {
    let tensor = tensor_type(info);
    let dtype = tensor.and_then(|tensor| port_dtype(tensor.elem_type).ok());
    let dims = tensor.and_then(|tensor| tensor.shape.as_ref()).map(|shape| shape.dim.iter().map(size).collect());
    Ok(PortSignature { name: info.name.clone(), dtype, dims })
}

/// The element type of an input or output: integers of few bits are a byte each, floats of few bits the `F32` of their value.
fn port_dtype(code: i32) -> Result<DType, String> {
    Narrow::of(code).map_or_else(|| dtype_of(code), |narrow| Ok(narrow.dtype()))
}

fn tensor_type(info: &ValueInfoProto) -> Option<&TensorTypeProto> {
    info.r#type.as_ref()?.tensor_type.as_ref()
}

/// Exporters write an unknown size as nothing at all, an empty name, `?` or a negative number.
fn size(dim: &Dimension) -> DimSignature {
    match &dim.value {
        Some(DimensionValue::DimValue(value)) => u64::try_from(*value).map_or(DimSignature::Unknown, DimSignature::Const),
        Some(DimensionValue::DimParam(name)) if !name.is_empty() && name != "?" => DimSignature::Symbol(name.clone()),
        _ => DimSignature::Unknown,
    }
}
