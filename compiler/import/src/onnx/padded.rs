//! Values with more rows than mean anything: how many do is known only when the model runs.
//!
//! Every size is known when compiling, so an operator that selects rows makes as many as there could be, those that were selected first. Operators that treat rows
//! apart pass that on; any other is refused, since the rows behind would change its answer. Where such a value leaves the model, the rows behind are -1.

use super::builder::Builder;
use super::node::{NodeImport, One, Problem, unsupported};
use mlp_graph::ir::Type;
use mlp_graph::{DType, Op, Tensor, ValueId};

/// What is known of a value with rows that mean nothing.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Padded {
    /// The axis of the rows.
    pub(crate) axis: usize,
    /// Whether each row means something: `Bool [rows]`.
    pub(crate) valid: ValueId,
}

/// Operators that compute every element of their result from elements at its own place.
const MAPS: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "Cast",
    "Ceil",
    "Clip",
    "Div",
    "Equal",
    "Exp",
    "Floor",
    "Greater",
    "GreaterOrEqual",
    "Identity",
    "Less",
    "LessOrEqual",
    "Log",
    "Max",
    "Min",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "Pow",
    "Reciprocal",
    "Relu",
    "Round",
    "Sigmoid",
    "Sqrt",
    "Sub",
    "Tanh",
    "Where",
];

/// What the results of an operator are, some of whose inputs have rows that mean nothing; an error where that cannot be said.
pub(crate) fn follow(node: &NodeImport<'_>, op: &str, results: &[ValueId]) -> Result<Option<Padded>, Problem> {
    let inputs: Vec<(usize, ValueId, Option<Padded>)> = (0..node.inputs.len())
        .filter_map(|index| node.optional(index).map(|value| (index, value, node.builder.padded_of(value))))
        .collect();
    let Some(&(first, value, Some(padded))) = inputs.iter().find(|input| input.2.is_some()) else { return Ok(None) };
    let Some(&result) = results.first() else { return Ok(None) };
    let one = inputs.iter().filter(|input| input.2.is_some()).count() == 1;
    let (from, to) = (node.dims(value), node.dims(result));
    let axis = match op {
        _ if MAPS.contains(&op) => map_axis(node, &inputs, padded, to.len()),
        "Gather" if one && first == 1 => {
            Some(node.axis(node.attributes.int("axis")?.unwrap_or(0), node.rank(node.input(0)?))? + padded.axis)
        }
        "Gather" if one => {
            let along = node.axis(node.attributes.int("axis")?.unwrap_or(0), from.len())?;
            let added = node.rank(node.input(1)?);
            (along != padded.axis).then(|| if along < padded.axis { padded.axis + added - 1 } else { padded.axis })
        }
        "GatherND" if one && first == 1 && padded.axis + 1 < from.len() => Some(padded.axis),
        "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" if one && first == 0 => moved(&from, &to, padded.axis),
        "Slice" | "Split" if one && first == 0 => (to.get(padded.axis) == from.get(padded.axis)).then_some(padded.axis),
        "Concat" => {
            let alike = inputs.iter().all(|input| input.2 == Some(padded));
            (alike && to.get(padded.axis) == from.get(padded.axis)).then_some(padded.axis)
        }
        "Transpose" if one => match node.attributes.ints("perm")? {
            Some(perm) => perm.iter().position(|&axis| axis == padded.axis as i64),
            None => Some(from.len() - 1 - padded.axis),
        },
        _ => None,
    };
    match axis {
        Some(axis) => Ok(Some(Padded { axis, ..padded })),
        None => unsupported(
            "it would go by rows of which only a run knows how many there are (NonMaxSuppression selects them); end the model before it, and do this step in the app",
        ),
    }
}

/// The axis of the rows in the result of a map: all inputs that have it agree, and the others stretch along it.
fn map_axis(node: &NodeImport<'_>, inputs: &[(usize, ValueId, Option<Padded>)], padded: Padded, rank: usize) -> Option<usize> {
    let from_end = |(_, value, own): &(usize, ValueId, Option<Padded>)| own.map(|own| (node.rank(*value) - own.axis, own.valid));
    let wanted = inputs.iter().find_map(from_end)?;
    let fits = |input: &(usize, ValueId, Option<Padded>)| match from_end(input) {
        Some(own) => own == wanted,
        None => {
            let dims = node.dims(input.1);
            dims.len().checked_sub(wanted.0).is_none_or(|axis| dims[axis] == 1)
        }
    };
    (wanted.1 == padded.valid && inputs.iter().all(fits)).then(|| rank - wanted.0)
}

/// Where an axis is after a reshape: as many elements before it, and its own size.
fn moved(from: &[u64], to: &[u64], axis: usize) -> Option<usize> {
    let before: u64 = from[..axis].iter().product();
    (0..to.len())
        .find(|&place| to[place] == from[axis] && to[..place].iter().product::<u64>() == before && (to[place] != 1 || from[axis] == 1))
}

/// A value as it leaves the model: -1 (false, of truth values) in rows that mean nothing.
pub(crate) fn leaving(builder: &mut Builder, value: ValueId, padded: Padded) -> One {
    let (dtype, dims) = (builder.dtype(value), builder.dims(value));
    let mut shape = vec![1; dims.len()];
    shape[padded.axis] = dims[padded.axis];
    let valid = builder.emit(Op::Reshape, &[padded.valid], Some(Type::fixed(DType::Bool, &shape)))?[0];
    let nothing = builder.constant(Tensor::scalar_of(dtype, if dtype == DType::Bool { 0.0 } else { -1.0 }));
    Ok(builder.emit(Op::Select, &[valid, value, nothing], None)?[0])
}
