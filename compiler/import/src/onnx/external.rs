//! Tensors whose data lie in files beside the model.

use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use crate::error::ImportError;
use mlp_bundle::contents::Bytes;
use std::collections::BTreeSet;

/// Where the data of a tensor lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The file, a path from the model's folder with `/` between names, inside that folder.
    pub file: String,
    /// The first byte.
    pub offset: u64,
    /// How many bytes; none where the data go on to the end of the file.
    pub length: Option<u64>,
}

/// Reads a part of a file beside the model, or says why it cannot.
pub type ReadPart<'a> = dyn FnMut(&Part) -> Result<Bytes, String> + 'a;

impl Part {
    fn of(tensor: &TensorProto) -> Result<Part, String> {
        let value = |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str());
        let number = |key: &str| match value(key) {
            Some(text) => text.parse().map(Some).map_err(|_| format!("the {key} of its data is `{text}`, which is no size")),
            None => Ok(None),
        };
        let file = value("location").ok_or("its data lie in another file, which it does not name")?;
        if !is_inside(file) {
            return Err(format!(
                "its data lie in `{file}`, and only files in the model's folder are read; save the model with its weights beside it"
            ));
        }
        Ok(Part { file: file.to_owned(), offset: number("offset")?.unwrap_or(0), length: number("length")? })
    }
}

/// Whether a location is a path from a folder to something in it, on every system.
fn is_inside(location: &str) -> bool {
    let rooted = location.starts_with(['/', '\\']) || location.contains([':', '\0']);
    let names = || location.split(['/', '\\']);
    !location.is_empty() && !rooted && names().all(|name| name != "..") && names().any(|name| !name.is_empty() && name != ".")
}

/// Whether the data of a tensor lie in another file.
fn is_outside(tensor: &TensorProto) -> bool {
    tensor.data_location != 0
}

/// The files beside the model that it names, each once.
pub(super) fn files(model: &ModelProto) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    if let Some(graph) = &model.graph {
        tensors(graph, &mut |tensor| {
            if is_outside(tensor)
                && let Ok(part) = Part::of(tensor)
            {
                files.insert(part.file);
            }
        });
    }
    files
}

/// Looks at every tensor of a graph and of its nodes.
fn tensors(graph: &GraphProto, look: &mut dyn FnMut(&TensorProto)) {
    graph.initializer.iter().for_each(&mut *look);
    for attribute in graph.node.iter().flat_map(|node| &node.attribute) {
        attribute.t.iter().for_each(|tensor| look(tensor));
        if let Some(body) = &attribute.g {
            tensors(body, look);
        }
    }
}

/// Puts the data of tensors that lie in other files into the message, as bytes that are shared with what `read` gives.
pub(super) fn attach(model: &mut ModelProto, read: &mut ReadPart<'_>) -> Result<(), ImportError> {
    model.graph.as_mut().map_or(Ok(()), |graph| attach_graph(graph, read))
}

fn attach_graph(graph: &mut GraphProto, read: &mut ReadPart<'_>) -> Result<(), ImportError> {
    graph.initializer.iter_mut().try_for_each(|tensor| attach_tensor(tensor, read))?;
    graph.node.iter_mut().try_for_each(|node| attach_node(node, read))
}

fn attach_node(node: &mut NodeProto, read: &mut ReadPart<'_>) -> Result<(), ImportError> {
    for AttributeProto { t, g, .. } in &mut node.attribute {
        if let Some(tensor) = t {
            attach_tensor(tensor, read)?;
        }
        if let Some(body) = g {
            attach_graph(body, read)?;
        }
    }
    Ok(())
}

fn attach_tensor(tensor: &mut TensorProto, read: &mut ReadPart<'_>) -> Result<(), ImportError> {
    if !is_outside(tensor) {
        return Ok(());
    }
    let bytes = Part::of(tensor).and_then(|part| {
        let bytes = read(&part).map_err(|error| format!("its data lie in `{}`, which cannot be read: {error}", part.file))?;
        match part.length {
            Some(length) if length != bytes.len() as u64 => {
                Err(format!("{length} bytes of `{}` are its data, and {} are there", part.file, bytes.len()))
            }
            _ => Ok(bytes),
        }
    });
    tensor.raw_data = bytes.map_err(|detail| ImportError::Tensor { name: tensor.name.clone(), detail })?;
    tensor.external_data.clear();
    tensor.data_location = 0;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_the_folder_is_inside() {
        for inside in ["weights.bin", "./weights.bin", "data/weights.bin", "model.onnx.data", "..weights"] {
            assert!(is_inside(inside), "{inside}");
        }
        for outside in
            ["", ".", "/etc/passwd", "../weights.bin", "data/../../weights", "C:\\weights", "\\\\server\\share", "..\\weights", "a\0b"]
        {
            assert!(!is_inside(outside), "{outside}");
        }
    }
}
