//! Operators whose result's size depends on the data, which is known when compiling.

use super::Row;
use crate::onnx::node::{Imported, NodeImport, Problem, invalid};
use mlp_graph::{Tensor, ValueId};
use std::cmp::Ordering;

pub(super) const TABLE: &[Row] = &[("", "Unique", unique)];

/// The numbers of a value that must be known, in row-major order.
fn known_numbers(node: &NodeImport<'_>, x: ValueId) -> Result<Vec<f64>, Problem> {
    match node.builder.known(x) {
        Some(tensor) if tensor.dtype().is_float() => Ok(tensor.to_f64()),
        // What is missing is said as it is for integers.
        _ => Ok(node.known_integers(x, WHAT)?.into_iter().map(|value| value as f64).collect()),
    }
}

const WHAT: &str = "the data, which decides how many results there are,";

/// The positions of what is not 0, `[rank, count]`, of a value that is known.
pub(super) fn non_zero(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dims = node.dims(x);
    let set: Vec<usize> =
        known_numbers(node, x)?.into_iter().enumerate().filter(|(_, value)| *value != 0.0).map(|(position, _)| position).collect();
    let steps = super::gather::strides(&dims);
    let mut positions = Vec::with_capacity(set.len() * dims.len());
    for (axis, &step) in steps.iter().enumerate() {
        positions.extend(set.iter().map(|&position| position as i64 / step % dims[axis] as i64));
    }
    let tensor = Tensor::from_i64(&[dims.len() as u64, set.len() as u64], &positions).map_err(|error| error.to_string())?;
    Ok(vec![node.constant(tensor)])
}

/// The different slices along an axis (elements where none is given), sorted or in order of appearance, with where each first stands, which each slice is, and how
/// often each stands.
fn unique(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let sorted = node.attributes.int("sorted")?.unwrap_or(1) != 0;
    if node.builder.known(x).is_none() {
        return super::unique::in_a_run(node, x, sorted);
    }
    let numbers = known_numbers(node, x)?;
    let Some(tensor) = node.builder.known(x).cloned() else { return invalid("the data is not known") };
    let (dims, axis) = match node.attributes.int("axis")? {
        Some(axis) => (tensor.shape().to_vec(), node.axis(axis, tensor.shape().len())?),
        None => (vec![tensor.len() as u64], 0),
    };
    let (count, inner) = (dims[axis] as usize, dims[axis + 1..].iter().product::<u64>() as usize);
    let outer = dims[..axis].iter().product::<u64>() as usize;
    let places = |slice: usize| (0..outer).flat_map(move |block| (0..inner).map(move |at| (block * count + slice) * inner + at));
    let order = |a: usize, b: usize| {
        let pairs = places(a).zip(places(b)).map(|(a, b)| numbers[a].total_cmp(&numbers[b]));
        pairs.into_iter().find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
    };
    let mut slices: Vec<usize> = (0..count).collect();
    // Stable: of equal slices the first comes first.
    slices.sort_by(|&a, &b| order(a, b));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for slice in slices {
        match groups.last_mut() {
            Some(group) if order(group[0], slice).is_eq() => group.push(slice),
            _ => groups.push(vec![slice]),
        }
    }
    if !sorted {
        groups.sort_by_key(|group| group[0]);
    }
    let first: Vec<i64> = groups.iter().map(|group| group[0] as i64).collect();
    let counts: Vec<i64> = groups.iter().map(|group| group.len() as i64).collect();
    let mut inverse = vec![0i64; count];
    groups.iter().enumerate().for_each(|(number, group)| group.iter().for_each(|&slice| inverse[slice] = number as i64));
    let flat = node.constant(tensor);
    let flat = node.reshape(flat, &dims)?;
    let indices = node.integers(&first)?;
    let values = node.emit(mlp_graph::Op::Gather { axis: axis as u32 }, &[flat, indices])?;
    let (inverse, counts) = (node.integers(&inverse)?, node.integers(&counts)?);
    Ok(vec![values, indices, inverse, counts])
}
