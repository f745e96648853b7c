//! Sparse tensors, made dense before anything is imported.

use super::proto::{GraphProto, SparseTensorProto, TensorProto};
use super::tensor;
use crate::error::ImportError;

/// What all sparse tensors of a model may take when they are dense.
const BYTES: u64 = 1 << 30;
/// One tensor may be this many times as large as what is stored of it, beyond a floor that no memory notices.
const GROWTH: u64 = 1 << 12;
const FLOOR: u64 = 1 << 24;

/// Makes the sparse stored tensors of a graph, and of the bodies in it, dense ones.
pub(super) fn densify(graph: &mut GraphProto) -> Result<(), ImportError> {
    densify_within(graph, &mut { BYTES })
}

fn densify_within(graph: &mut GraphProto, room: &mut u64) -> Result<(), ImportError> {
    for body in graph.node.iter_mut().flat_map(|node| &mut node.attribute).filter_map(|attribute| attribute.g.as_deref_mut()) {
        densify_within(body, room)?;
    }
    for sparse in std::mem::take(&mut graph.sparse_initializer) {
        let name = sparse.values.as_ref().map(|values| values.name.clone()).unwrap_or_default();
        let refuse = |detail: String| ImportError::Tensor { name: name.clone(), detail };
        let tensor = dense(&sparse).map_err(refuse)?;
        *room = room
            .checked_sub(tensor.raw_data.len() as u64)
            .ok_or_else(|| refuse(format!("the sparse tensors of the model take more than {} MiB when they are dense", BYTES >> 20)))?;
        graph.initializer.push(tensor);
    }
    Ok(())
}

/// A sparse tensor with all its zeros.
pub(super) fn dense(sparse: &SparseTensorProto) -> Result<TensorProto, String> {
    let values = sparse.values.as_ref().ok_or("it has no values")?;
    let stored = tensor::read(values)?;
    let [count] = *stored.shape() else { return Err(format!("its values have shape {:?}, but must be a list", stored.shape())) };
    let mut shape = Vec::with_capacity(sparse.dims.len());
    for &dim in &sparse.dims {
        shape.push(u64::try_from(dim).map_err(|_| format!("it has the negative size {dim}"))?);
    }
    let size = stored.dtype().size();
    let elements = shape.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim));
    let bytes = elements.and_then(|count| count.checked_mul(size as u64));
    let most = (stored.bytes().len() as u64).saturating_mul(GROWTH).clamp(FLOOR, BYTES);
    let (Some(elements), Some(bytes)) = (elements, bytes.filter(|&bytes| bytes <= most)) else {
        return Err(format!("its shape {shape:?} is too large for the {count} values that it stores"));
    };
    let places = places(sparse, count, &shape, elements)?;
    let mut dense = vec![0; bytes as usize];
    for (place, value) in places.into_iter().zip(stored.bytes().chunks_exact(size)) {
        let start = place as usize * size;
        dense[start..start + size].copy_from_slice(value);
    }
    let data_type = tensor::code_of(stored.dtype());
    Ok(TensorProto { dims: sparse.dims.clone(), data_type, name: values.name.clone(), raw_data: dense.into(), ..Default::default() })
}

/// The most bytes that a sparse tensor takes when it is dense.
pub(super) fn most(sparse: &SparseTensorProto) -> u64 {
    sparse.dims.iter().fold(8, |bytes: u64, &dim| bytes.saturating_mul(dim.max(0) as u64))
}

/// Where each value stands in the dense tensor: indices are positions there, or one for each axis; each must be greater than the one before.
fn places(sparse: &SparseTensorProto, count: u64, shape: &[u64], elements: u64) -> Result<Vec<u64>, String> {
    let indices = sparse.indices.as_ref().ok_or("it has no indices")?;
    let stored = tensor::read(indices)?;
    let numbers = stored.to_i64().ok_or_else(|| format!("its indices are {}, but must be integers", stored.dtype()))?;
    let rank = shape.len() as u64;
    let places: Vec<u64> = match *stored.shape() {
        [listed] if listed == count => numbers.iter().map(|&index| u64::try_from(index).unwrap_or(u64::MAX)).collect(),
        [listed, axes] if listed == count && axes == rank => {
            numbers.chunks_exact(shape.len().max(1)).map(|index| place(index, shape)).collect()
        }
        ref other => return Err(format!("its indices have shape {other:?}, and it has {count} values of {rank} axes")),
    };
    if let Some(place) = places.iter().find(|&&place| place >= elements) {
        return Err(format!("one of its indices is outside its shape {shape:?} (position {place})"));
    }
    if places.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err("its indices are not in ascending order".into());
    }
    Ok(places)
}

/// The position of an index for each axis; the greatest number where it is outside.
fn place(index: &[i64], shape: &[u64]) -> u64 {
    index.iter().zip(shape).fold(0u64, |place, (&index, &size)| match u64::try_from(index) {
        Ok(index) if index < size && place != u64::MAX => place * size + index,
        _ => u64::MAX,
    })
}
