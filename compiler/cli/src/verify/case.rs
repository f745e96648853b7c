//! Cases: a model with inputs and the outputs expected of it, found in folders or in one `.npz` file.

use crate::Failure;
use mlp_graph::Tensor;
use mlp_import::testdata;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A model file with its data sets.
pub(super) struct Case {
    /// The folder's or file's name; with several data sets, `name/0`, `name/1`, ...
    pub(super) name: String,
    /// The model.
    pub(super) model: PathBuf,
    /// Where inputs and outputs are.
    pub(super) data: Data,
}

/// Where inputs and outputs are.
pub(super) enum Data {
    /// A folder with `input_*.pb` and `output_*.pb`.
    Folder(PathBuf),
    /// An `.npz` file with arrays `in:NAME` and `out:NAME`.
    Npz(PathBuf),
}

/// Named tensors; names may be empty, and then their order counts.
pub(super) type Named = Vec<(String, Tensor)>;

/// Finds the cases under a path.
pub(super) fn find(path: &Path, data: Option<&Path>) -> Result<Vec<Case>, Failure> {
    if path.is_file() {
        let Some(data) = data else {
            return Err(Failure(format!("{}: say with --data FILE.npz what the model should compute", path.display())));
        };
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(vec![Case { name, model: path.into(), data: Data::Npz(data.into()) }]);
    }
    let mut cases = Vec::new();
    walk(path, &mut cases)?;
    if cases.is_empty() {
        return Err(Failure(format!("{}: no folder with a model.onnx and a test_data_set_* is in it", path.display())));
    }
    Ok(cases)
}

fn walk(folder: &Path, cases: &mut Vec<Case>) -> Result<(), Failure> {
    let mut folders = Vec::new();
    let entries = std::fs::read_dir(folder).map_err(|error| Failure(format!("{}: {error}", folder.display())))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    let model = folder.join("model.onnx");
    if !model.is_file() {
        return folders.iter().try_for_each(|folder| walk(folder, cases));
    }
    let name = folder.canonicalize().unwrap_or_else(|_| folder.into()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_set = |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("test_data_set_"));
    let sets: Vec<&PathBuf> = folders.iter().filter(is_set).collect();
    for (index, set) in sets.iter().enumerate() {
        let name = if sets.len() == 1 { name.clone() } else { format!("{name}/{index}") };
        cases.push(Case { name, model: model.clone(), data: Data::Folder((*set).clone()) });
    }
    Ok(())
}

/// What is given to a model and what is expected of it, in the order of its inputs and outputs.
pub(super) struct Recorded {
    /// The inputs.
    pub(super) inputs: Vec<Tensor>,
    /// The expected outputs, by position.
    pub(super) outputs: Vec<Tensor>,
}

impl Case {
    /// Reads the data for a model with these inputs and outputs.
    pub(super) fn read(&self, inputs: &[String], outputs: &[String]) -> Result<Recorded, Failure> {
        let (given, expected) = match &self.data {
            Data::Folder(folder) => (numbered(folder, "input_")?, numbered(folder, "output_")?),
            Data::Npz(file) => {
                let bytes = read_file(file)?;
                let arrays = testdata::read_npz(&bytes).map_err(|error| Failure(format!("{}: {error}", file.display())))?;
                let under = |prefix: &str| -> Named {
                    let named = |(name, tensor): &(String, Tensor)| Some((name.strip_prefix(prefix)?.to_string(), tensor.clone()));
                    arrays.iter().filter_map(named).collect()
                };
                (under("in:"), under("out:"))
            }
        };
        Ok(Recorded { inputs: ordered("input", given, inputs)?, outputs: ordered("output", expected, outputs)? })
    }
}

pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure(format!("{}: {error}", path.display())))
}

/// The tensors of `prefix0.pb`, `prefix1.pb`, ...
fn numbered(folder: &Path, prefix: &str) -> Result<Named, Failure> {
    let mut tensors = Vec::new();
    loop {
        let path = folder.join(format!("{prefix}{}.pb", tensors.len()));
        if !path.is_file() {
            return Ok(tensors);
        }
        let tensor = testdata::read_tensor_pb(&read_file(&path)?).map_err(|error| Failure(format!("{}: {error}", path.display())))?;
        tensors.push(tensor);
    }
}

/// Puts tensors in the order of the names: by name where all are named so, else by position.
fn ordered(what: &str, tensors: Named, names: &[String]) -> Result<Vec<Tensor>, Failure> {
    let by_name: BTreeMap<&str, &Tensor> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    if let Some(found) = names.iter().map(|name| by_name.get(name.as_str()).map(|tensor| (*tensor).clone())).collect() {
        return Ok(found);
    }
    if tensors.len() == names.len() {
        return Ok(tensors.into_iter().map(|(_, tensor)| tensor).collect());
    }
    let missing = names.iter().find(|name| !by_name.contains_key(name.as_str())).cloned().unwrap_or_default();
    Err(Failure(format!("the data has {} {what}s, the model {}: `{missing}` is missing", tensors.len(), names.len())))
}
