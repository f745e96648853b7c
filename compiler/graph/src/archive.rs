//! Graphs as bytes, for caches: a compiler reads what the same compiler wrote.
//!
//! First the length of a header, then the header (JSON: all but the data of constants), then each constant's bytes, aligned to [`CONTENT_ALIGN`] from the start. A graph
//! that is read goes on sharing the bytes that it is read from.

use crate::ir::Graph;
use crate::tensor::Tensor;
use crate::verify::verify;
use mlp_bundle::DType;
use mlp_bundle::contents::{Bytes, CONTENT_ALIGN};
use serde::{Deserialize, Serialize};

/// A constant without its data.
#[derive(Serialize, Deserialize)]
struct Constant {
    dtype: DType,
    shape: Vec<u64>,
    bytes: usize,
}

#[derive(Serialize)]
struct Header<'g> {
    graph: &'g Graph,
    constants: Vec<Constant>,
}

#[derive(Deserialize)]
struct OwnedHeader {
    graph: Graph,
    constants: Vec<Constant>,
}

/// Writes a graph: parts that belong one after another.
pub fn write(graph: &Graph) -> Vec<Bytes> {
    let tensors = graph.tensors.values();
    let constants = tensors.map(|tensor| Constant { dtype: tensor.dtype(), shape: tensor.shape().to_vec(), bytes: tensor.bytes().len() });
    let header = serde_json::to_vec(&Header { graph, constants: constants.collect() }).expect("a graph is plain data");
    let mut parts = vec![Bytes::copy_from_slice(&(header.len() as u64).to_le_bytes()), header.into()];
    let mut length: usize = parts.iter().map(Bytes::len).sum();
    for tensor in graph.tensors.values() {
        let padding = length.next_multiple_of(CONTENT_ALIGN) - length;
        parts.extend([vec![0; padding].into(), tensor.shared_bytes()]);
        length += padding + tensor.bytes().len();
    }
    parts
}

/// Reads a graph; the error says what is wrong with the bytes.
pub fn read(bytes: &Bytes) -> Result<Graph, String> {
    let short = || "it is cut short".to_string();
    let length: [u8; 8] = bytes.get(..8).and_then(|length| length.try_into().ok()).ok_or_else(short)?;
    let end = usize::try_from(u64::from_le_bytes(length)).ok().and_then(|length| length.checked_add(8)).ok_or_else(short)?;
    let header: OwnedHeader = serde_json::from_slice(bytes.get(8..end).ok_or_else(short)?).map_err(|error| error.to_string())?;
    let (mut graph, mut position) = (header.graph, end);
    for Constant { dtype, shape, bytes: size } in header.constants {
        let start = position.checked_next_multiple_of(CONTENT_ALIGN).ok_or_else(short)?;
        position = start.checked_add(size).filter(|&end| end <= bytes.len()).ok_or_else(short)?;
        graph.tensors.push(Tensor::of_shared(dtype, shape, bytes.slice(start..position)).map_err(|error| error.to_string())?);
    }
    verify(&graph).map_err(|error| error.to_string())?;
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Origin, Type};
    use crate::op::Op;

    fn graph() -> Graph {
        let mut graph = Graph::new("sample");
        let x = graph.add_input("x", Type::fixed(DType::F32, &[2, 3]));
        let weights = graph.constant(Tensor::noise(DType::F32, &[3, 5], 1).unwrap(), Origin::new("weights"));
        let bytes = graph.constant(Tensor::noise(DType::I8, &[7], 2).unwrap(), Origin::new("bytes"));
        let y = graph.append_one(Op::MatMul, &[x, weights], Origin::new("product")).unwrap();
        graph.add_output("y", y);
        graph.add_output("bytes", bytes);
        graph
    }

    fn bytes(graph: &Graph) -> Bytes {
        write(graph).concat().into()
    }

    #[test]
    fn a_graph_is_read_as_it_was_written() {
        let graph = graph();
        let read = read(&bytes(&graph)).unwrap();
        assert_eq!(crate::text::print(&read), crate::text::print(&graph));
        assert_eq!(read.tensors.values().collect::<Vec<_>>(), graph.tensors.values().collect::<Vec<_>>());
        assert_eq!(bytes(&read), bytes(&graph));
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        let bytes = bytes(&graph());
        for length in 0..bytes.len() {
            assert!(read(&bytes.slice(..length)).is_err(), "{length} bytes were taken for a graph");
        }
    }
}
