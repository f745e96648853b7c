//! Bare ONNX models: signatures, dims, and a graph ready to be compiled.

use crate::cache::{Cache, Key};
use crate::compile::{CompileError, beside};
use crate::external;
use crate::host::{Host, timed};
use mlp_bundle::bundle::digest;
use mlp_graph::{Graph, Tensor, archive};
use mlp_import::ImportError;
use mlp_import::onnx::{DimSignature, ImportOptions, Model, ModelSignature};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use web_time::Instant;

/// Sizes of a model's symbolic dims, by name.
pub type Dims = BTreeMap<String, u64>;

/// Reads a model with its dims bound.
pub fn import(bytes: &[u8], dims: &Dims) -> Result<Graph, ImportError> {
    mlp_import::onnx::import(bytes, &ImportOptions { dims: dims.clone(), family: None })
}

/// Why a model could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Its file cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// Its file is not the one of which the digest was taken.
    #[error("the file changed while it was compiled; build again")]
    Changed,
    /// It cannot be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The layers of a model do not go together with its weights.
    #[error("{0}")]
    Layers(String),
    /// An input and an output cannot be a state.
    #[error("{0}")]
    State(String),
    /// A pass failed.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

/// Reads the model of that digest with its dims bound and runs the passes on it that need not know where it is used ([`mlp_graph::passes::prepare`]). The graph comes
/// from the cache where a build made it before, of a file with this digest, with the same weights beside it and the same dims.
pub fn prepared(host: &dyn Host, path: &Path, sha256: &str, dims: &Dims) -> Result<Graph, PrepareError> {
    let start = Instant::now();
    // Which other files there are depends on the model's own alone.
    let files_key = Key::new("files of a model", &[sha256.as_bytes()]);
    let files = host.cache().and_then(|cache| serde_json::from_slice::<Vec<String>>(&cache.get(&files_key)?).ok());
    let key = files.as_ref().map(|files| prepared_key(host, path, sha256, dims, files));
    if let Some(graph) = host.cache().zip(key.as_ref()).and_then(|(cache, key)| archive::read(&cache.get(key)?).ok()) {
        host.took("import (cached)", start.elapsed());
        return Ok(graph);
    }
    let bytes = host.read(path)?;
    let mut files = Vec::new();
    let mut import = || {
        Model::read(bytes.clone()).and_then(|mut model| {
            files = model.files();
            external::attach(host, path, &mut model)?;
            model.import(&ImportOptions { dims: dims.clone(), family: host.family(path) }, &BTreeMap::new())
        })
    };
    let (found, graph) = match host.digest(path) {
        Some(known) => (known, import()),
        None => beside(|| digest(&bytes), import),
    };
    host.has_digest(path, &found);
    if found != sha256 {
        return Err(PrepareError::Changed);
    }
    // The graph shares what it wants of them.
    drop(bytes);
    let mut graph = graph?;
    host.took("import", start.elapsed());
    let prepare = || mlp_graph::passes::prepare(&mut graph).map_err(|error| CompileError::Optimize(error.to_string()));
    timed(host, "prepare", prepare)?;
    if let Some(cache) = host.cache() {
        let key = key.unwrap_or_else(|| prepared_key(host, path, sha256, dims, &files));
        timed(host, "keep", || {
            cache.put(&files_key, &[&serde_json::to_vec(&files).expect("names are plain data")]);
            keep(cache, &key, &graph);
        });
    }
    Ok(graph)
}

/// An input of a bare model that takes what an output gave in the run before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The input.
    pub input: String,
    /// The output.
    pub output: String,
}

/// A model's graph with these states, which callers neither give nor get.
pub fn keeping(mut graph: Graph, states: &[State]) -> Result<Graph, PrepareError> {
    for State { input, output } in states {
        graph.make_state(input, output).map_err(PrepareError::State)?;
    }
    Ok(graph)
}

/// What a prepared model is kept under.
fn prepared_key(host: &dyn Host, path: &Path, sha256: &str, dims: &Dims, files: &[String]) -> Key {
    let beside = external::digests(host, path, files);
    let inputs = serde_json::to_vec(&(dims, files, beside)).expect("names and numbers are plain data");
    Key::new("prepared model", &[sha256.as_bytes(), &inputs])
}

/// Keeps a prepared graph.
pub(crate) fn keep(cache: &dyn Cache, key: &Key, graph: &Graph) {
    let parts = archive::write(graph);
    cache.put(key, &parts.iter().map(|part| &part[..]).collect::<Vec<_>>());
}

/// Reads a model for given inputs. An input whose value an operator wants to know while compiling (a shape, axes, padding) is compiled in; gives the graph and
/// the positions of the inputs that it does not take any more.
pub fn import_for(model: &Model, dims: &Dims, signature: &ModelSignature, given: &[Tensor]) -> Result<(Graph, Vec<usize>), ImportError> {
    let options = ImportOptions { dims: dims.clone(), family: None };
    let mut positions = Vec::new();
    let mut fixed = BTreeMap::new();
    loop {
        let error = match model.import(&options, &fixed) {
            Ok(graph) => {
                positions.sort_unstable();
                return Ok((graph, positions));
            }
            Err(error) => error,
        };
        let wanted = error.wanted_input().and_then(|input| signature.inputs.iter().position(|port| port.name == input));
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
