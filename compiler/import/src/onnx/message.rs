//! A model's message, read once, from which its signature and its graph are made.

use super::external::{self, ReadPart};
use super::functions;
use super::graph::{ImportOptions, import_message};
use super::proto::ModelProto;
use super::signature::{ModelSignature, of_message};
use super::sparse;
use crate::error::ImportError;
use mlp_graph::{Graph, Tensor};
use prost::Message;
use std::collections::BTreeMap;

/// A model that was read.
#[derive(Clone, Debug)]
pub struct Model(ModelProto);

impl Model {
    /// Reads a model; shared bytes go on being shared by its constants.
    pub fn read(bytes: impl prost::bytes::Buf) -> Result<Model, ImportError> {
        decode(bytes).map(Model)
    }

    /// The files beside the model that hold data of its tensors: paths from its folder, inside it.
    pub fn files(&self) -> Vec<String> {
        external::files(&self.0).into_iter().collect()
    }

    /// Takes the data of tensors that lie in other files from there.
    pub fn attach(&mut self, read: &mut ReadPart<'_>) -> Result<(), ImportError> {
        external::attach(&mut self.0, read)
    }

    /// What the model takes and returns.
    pub fn signature(&self) -> Result<ModelSignature, ImportError> {
        of_message(&self.0)
    }

    /// The model's graph; inputs with a value in `fixed` become constants, and the graph does not take them.
    pub fn import(&self, options: &ImportOptions, fixed: &BTreeMap<String, Tensor>) -> Result<Graph, ImportError> {
        import_message(&self.0, options, fixed)
    }
}

/// The message in the bytes, without functions and sparse tensors.
pub(super) fn decode(bytes: impl prost::bytes::Buf) -> Result<ModelProto, ImportError> {
    let mut model = ModelProto::decode(bytes).map_err(|error| ImportError::Malformed {
        detail: format!("{error}; the file is damaged, cut short, or not ONNX: download or export it again"),
    })?;
    plain(&mut model)?;
    Ok(model)
}

/// Puts what is said in short (calls of functions, sparse tensors) in full.
pub(crate) fn plain(model: &mut ModelProto) -> Result<(), ImportError> {
    functions::inline(model)?;
    model.graph.as_mut().map_or(Ok(()), sparse::densify)
}
