//! Bare ONNX models: signatures, dims, and a graph ready to be compiled.

use mlp_graph::{Graph, Tensor};
use mlp_import::ImportError;
use mlp_import::onnx::{DimSignature, ImportOptions, ModelSignature};
use std::collections::BTreeMap;

/// Sizes of a model's symbolic dims, by name.
pub type Dims = BTreeMap<String, u64>;

/// Reads a model with its dims bound.
pub fn import(bytes: &[u8], dims: &Dims) -> Result<Graph, ImportError> {
    mlp_import::onnx::import(bytes, &ImportOptions { dims: dims.clone() })
}

/// Reads a model for given inputs. An input whose value an operator wants to know while compiling (a shape, axes, padding) is compiled in; gives the graph and
/// the positions of the inputs that it does not take any more.
pub fn import_for(bytes: &[u8], dims: &Dims, signature: &ModelSignature, given: &[Tensor]) -> Result<(Graph, Vec<usize>), ImportError> {
    let options = ImportOptions { dims: dims.clone() };
    let mut positions = Vec::new();
    let mut fixed = BTreeMap::new();
    loop {
        let error = match mlp_import::onnx::import_with_values(bytes, &options, &fixed) {
            Ok(graph) => {
                positions.sort_unstable();
                return Ok((graph, positions));
            }
            Err(error) => error,
        };
        let wanted = match &error {
            ImportError::NeedsValue { input, .. } => signature.inputs.iter().position(|port| port.name == *input),
            _ => None,
        };
        match wanted.filter(|position| !positions.contains(position)) {
            Some(position) => {
                fixed.insert(signature.inputs[position].name.clone(), given[position].clone());
                positions.push(position);
            }
            None => return Err(error),
        }
    }
}

/// The dims that make a model's inputs these shapes, in the order of its inputs; a shape that the model does not allow is an error that says so.
pub fn dims_of(signature: &ModelSignature, shapes: &[&[u64]]) -> Result<Dims, String> {
    if shapes.len() != signature.inputs.len() {
        return Err(format!("the model takes {} inputs, and {} are given", signature.inputs.len(), shapes.len()));
    }
    let mut bound = Dims::new();
    for (input, shape) in signature.inputs.iter().zip(shapes) {
        let Some(dims) = &input.dims else { continue };
        if dims.len() != shape.len() {
            return Err(format!("input `{}` has rank {}, and {shape:?} is given", input.name, dims.len()));
        }
        for (axis, (dim, &size)) in dims.iter().zip(*shape).enumerate() {
            let expected = match dim {
                DimSignature::Const(n) => *n,
                DimSignature::Symbol(name) => *bound.entry(name.clone()).or_insert(size),
                DimSignature::Unknown => size,
            };
            if expected != size {
                return Err(format!("axis {axis} of input `{}` is {expected}, and {shape:?} is given", input.name));
            }
        }
    }
    Ok(bound)
}

/// The dims of a model whose batch is the only thing left open: every symbol that leads an input's shape is 1, unless `given` says otherwise. Any other symbol must be
/// given; the error names it.
pub fn default_dims(signature: &ModelSignature, given: &Dims) -> Result<Dims, String> {
    let mut dims = given.clone();
    for input in &signature.inputs {
        for (axis, dim) in input.dims.iter().flatten().enumerate() {
            let DimSignature::Symbol(name) = dim else { continue };
            if axis == 0 {
                dims.entry(name.clone()).or_insert(1);
            } else if !dims.contains_key(name) {
                return Err(format!("input `{}` has an open size `{name}`; say it with --dim {name}=SIZE", input.name));
            }
        }
    }
    Ok(dims)
}
