//! A model imported for one set of recorded inputs.

use crate::ImportError;
use crate::onnx::{DimSignature, ImportOptions, import_with_values, signature};
use mlp_graph::{Graph, Tensor};
use std::collections::BTreeMap;

/// A model for recorded inputs, and those of them that it still takes.
pub struct ImportedCase {
    /// The graph.
    pub graph: Graph,
    /// Its inputs, in order.
    pub inputs: Vec<Tensor>,
}

/// Imports a model for these inputs, in the order of its signature: symbolic dimensions get the sizes that the inputs have, and inputs whose
/// values an operator wants to know when compiling (a shape, a list of axes) become constants.
pub fn import_case(model: &[u8], inputs: &[Tensor]) -> Result<ImportedCase, ImportError> {
    let signature = signature(model)?;
    let mut options = ImportOptions::default();
    for (port, tensor) in signature.inputs.iter().zip(inputs) {
        for (dim, &size) in port.dims.iter().flatten().zip(tensor.shape()) {
            if let DimSignature::Symbol(name) = dim {
                options.dims.insert(name.clone(), size);
            }
        }
    }
    let mut fixed = BTreeMap::new();
    loop {
        let error = match import_with_values(model, &options, &fixed) {
            Ok(graph) => {
                let left = signature.inputs.iter().zip(inputs).filter(|(port, _)| !fixed.contains_key(&port.name));
                return Ok(ImportedCase { graph, inputs: left.map(|(_, tensor)| tensor.clone()).collect() });
            }
            Err(error) => error,
        };
        let wanted = error.wanted_input().filter(|input| !fixed.contains_key(*input));
        let given = signature.inputs.iter().zip(inputs).find(|(port, _)| wanted == Some(port.name.as_str()));
        let Some((port, tensor)) = given else { return Err(error) };
        fixed.insert(port.name.clone(), tensor.clone());
    }
}
