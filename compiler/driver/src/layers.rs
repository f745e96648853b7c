//! Models whose layers are written in the language, with the weights of their files.

use crate::cache::Key;
use crate::compile::CompileError;
use crate::host::{Host, timed};
use crate::onnx::{Dims, PrepareError, keep};
use mlp_analysis::{Model, Network};
use mlp_bundle::bundle::digest;
use mlp_graph::{Graph, archive};
use mlp_import::safetensors::Safetensors;
use std::path::Path;
use web_time::Instant;

/// Reads the weights of that digest, lowers the layers at these sizes, and runs the passes that need not know where the model is used. The graph comes from the cache where a
/// build made it before, of a file with this digest, the same layers and the same sizes.
pub(crate) fn prepared(
    host: &dyn Host,
    path: &Path,
    sha256: &str,
    model: &Model,
    network: &Network,
    sizes: &Dims,
) -> Result<Graph, PrepareError> {
    let sizes_json = serde_json::to_vec(sizes).expect("names and numbers are plain data");
    // What the layers are made into says all of them; places in the source are names of operations there.
    let made_of = format!("{:?} {:?} {:?} {network:?}", model.name, model.inputs, model.outputs);
    let key = Key::new("prepared layers", &[sha256.as_bytes(), &sizes_json, made_of.as_bytes()]);
    let start = Instant::now();
    if let Some(graph) = host.cache().and_then(|cache| archive::read(&cache.get(&key)?).ok()) {
        host.took("import (cached)", start.elapsed());
        return Ok(graph);
    }
    let bytes = host.read(path)?;
    let found = host.digest(path).unwrap_or_else(|| digest(&bytes));
    host.has_digest(path, &found);
    if found != sha256 {
        return Err(PrepareError::Changed);
    }
    let weights = Safetensors::read(bytes).map_err(|error| PrepareError::Layers(error.to_string()))?;
    let tensor = |key: &str| weights.floats(key).map_err(|error| error.to_string());
    let mut graph = timed(host, "import", || mlp_lower::network(model, network, sizes, &tensor)).map_err(PrepareError::Layers)?;
    let prepare = || mlp_graph::passes::prepare(&mut graph).map_err(|error| CompileError::Optimize(error.to_string()));
    timed(host, "prepare", prepare)?;
    if let Some(cache) = host.cache() {
        timed(host, "keep", || keep(cache, &key, &graph));
    }
    Ok(graph)
}
