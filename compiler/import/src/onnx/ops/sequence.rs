//! Sequences and optional values, resolved while importing: a sequence is a list of values, of which nothing is left in the graph, and an optional value is
//! there or not.

use super::Row;
use crate::onnx::node::{Imported, NodeImport, Problem, invalid, unsupported};
use mlp_graph::{Op, Tensor, ValueId};

pub(super) const TABLE: &[Row] = &[
    ("", "SequenceConstruct", construct),
    ("", "SequenceEmpty", empty),
    ("", "SequenceAt", at),
    ("", "SequenceInsert", insert),
    ("", "SequenceErase", erase),
    ("", "SequenceLength", length),
    ("", "SplitToSequence", split),
    ("", "ConcatFromSequence", concat),
    ("", "Optional", optional),
    ("", "OptionalGetElement", optional),
    ("", "OptionalHasElement", has_element),
];

/// Most elements of a sequence: each is a value of the graph.
const MOST_ELEMENTS: u64 = 1 << 12;

/// The elements of an input that must be a sequence.
fn elements(node: &NodeImport<'_>, input: usize) -> Result<Vec<ValueId>, Problem> {
    let value = node.input(input)?;
    match node.builder.elements_of(value) {
        Some(elements) => Ok(elements.to_vec()),
        None => invalid(format!("input {input} is a tensor, but must be a sequence")),
    }
}

/// An input that must be no sequence.
fn tensor(node: &NodeImport<'_>, input: usize) -> Result<ValueId, Problem> {
    let value = node.input(input)?;
    if node.builder.elements_of(value).is_some() {
        return unsupported(format!("input {input} is a sequence inside of a sequence; only sequences of tensors are supported"));
    }
    Ok(value)
}

/// The position below `limit` that an input says in a sequence of `count` elements, from whose end it may be counted.
fn position(node: &NodeImport<'_>, input: usize, count: usize, limit: usize) -> Result<usize, Problem> {
    let value = tensor(node, input)?;
    let position = node.known_integer(value, "the position in the sequence")?;
    let resolved = if position < 0 { position.saturating_add(count as i64) } else { position };
    match usize::try_from(resolved) {
        Ok(resolved) if resolved < limit => Ok(resolved),
        _ => invalid(format!("position {position} is outside a sequence of {count} elements")),
    }
}

fn construct(node: &mut NodeImport<'_>) -> Imported {
    let elements = (0..node.inputs.len()).map(|input| tensor(node, input)).collect::<Result<Vec<_>, _>>()?;
    Ok(vec![node.builder.sequence(elements)])
}

/// The element type that the attribute says binds nobody: elements bring their own.
fn empty(node: &mut NodeImport<'_>) -> Imported {
    node.attributes.int("dtype")?;
    Ok(vec![node.builder.sequence(Vec::new())])
}

fn at(node: &mut NodeImport<'_>) -> Imported {
    let elements = elements(node, 0)?;
    let position = position(node, 1, elements.len(), elements.len())?;
    Ok(vec![elements[position]])
}

/// Before the given position, or at the end.
fn insert(node: &mut NodeImport<'_>) -> Imported {
    let mut elements = elements(node, 0)?;
    let element = tensor(node, 1)?;
    let place = match node.optional(2) {
        Some(_) => position(node, 2, elements.len(), elements.len() + 1)?,
        None => elements.len(),
    };
    elements.insert(place, element);
    Ok(vec![node.builder.sequence(elements)])
}

fn erase(node: &mut NodeImport<'_>) -> Imported {
    let mut elements = elements(node, 0)?;
    let place = match node.optional(1) {
        Some(_) => position(node, 1, elements.len(), elements.len())?,
        None if elements.is_empty() => return invalid("the sequence is empty"),
        None => elements.len() - 1,
    };
    elements.remove(place);
    Ok(vec![node.builder.sequence(elements)])
}

fn length(node: &mut NodeImport<'_>) -> Imported {
    let count = elements(node, 0)?.len();
    Ok(vec![node.constant(Tensor::scalar(count as i64))])
}

/// Parts of a size (the last possibly smaller), of several sizes, or of size 1, which then may lose the axis.
fn split(node: &mut NodeImport<'_>) -> Imported {
    let x = tensor(node, 0)?;
    let dims = node.dims(x);
    let axis = node.axis(node.attributes.int("axis")?.unwrap_or(0), dims.len())?;
    let keep = node.attributes.int("keepdims")?.unwrap_or(1) != 0;
    let size = dims[axis];
    let equal = |each: u64| (0..size.div_ceil(each)).map(|part| each.min(size - part * each)).collect::<Vec<u64>>();
    let count = match node.optional(1) {
        Some(_) => {
            let sizes = tensor(node, 1)?;
            let given = super::constant::sizes(&node.known_integers(sizes, "the list of sizes")?)?;
            match (node.rank(sizes), given.as_slice()) {
                (0, &[each]) if each > 0 => Parts { sizes: bounded(size.div_ceil(each)).map(|()| equal(each))?, keep: true },
                (0, _) => return invalid("the size of the parts is 0"),
                _ => Parts { sizes: bounded(given.len() as u64).map(|()| given)?, keep: true },
            }
        }
        None => Parts { sizes: bounded(size).map(|()| equal(1))?, keep },
    };
    if count.sizes.iter().try_fold(0u64, |sum, &part| sum.checked_add(part)) != Some(size) {
        return invalid(format!("parts of {:?} do not make up the {size} positions of axis {axis}", count.sizes));
    }
    let (mut parts, mut first) = (Vec::with_capacity(count.sizes.len()), 0);
    for part in count.sizes {
        let (mut starts, mut counts) = (vec![0; dims.len()], dims.clone());
        (starts[axis], counts[axis]) = (first as i64, part);
        let mut value = node.slice(x, starts, vec![1; dims.len()], &counts)?;
        if !count.keep {
            counts.remove(axis);
            value = node.reshape(value, &counts)?;
        }
        parts.push(value);
        first += part;
    }
    Ok(vec![node.builder.sequence(parts)])
}

/// How an axis is split.
struct Parts {
    sizes: Vec<u64>,
    /// Whether parts keep the axis.
    keep: bool,
}

fn bounded(count: u64) -> Result<(), Problem> {
    if count > MOST_ELEMENTS {
        return unsupported(format!("a sequence of {count} elements; at most {MOST_ELEMENTS} are supported"));
    }
    Ok(())
}

/// Along an axis that the elements have, or along a new one.
fn concat(node: &mut NodeImport<'_>) -> Imported {
    let mut elements = elements(node, 0)?;
    let Some(&first) = elements.first() else { return invalid("the sequence is empty") };
    let new = node.attributes.int("new_axis")?.unwrap_or(0) != 0;
    let Some(axis) = node.attributes.int("axis")? else { return invalid("attribute `axis` is missing") };
    let axis = node.axis(axis, node.rank(first) + usize::from(new))?;
    if new {
        for element in &mut elements {
            let mut dims = node.dims(*element);
            if axis > dims.len() {
                return invalid(format!("an element has shape {dims:?}, which has no place for axis {axis}"));
            }
            dims.insert(axis, 1);
            *element = node.reshape(*element, &dims)?;
        }
    }
    Ok(vec![node.emit(Op::Concat { axis: axis as u32 }, &elements)?])
}

/// A value that is there is its own optional.
fn optional(node: &mut NodeImport<'_>) -> Imported {
    // Its type is known from the value itself; attributes of types are not read.
    let _ = node.attributes.int("type");
    match node.optional(0) {
        Some(value) => Ok(vec![value]),
        None => unsupported("an optional value that is not there; leave the part of the model that asks for it out before exporting"),
    }
}

fn has_element(node: &mut NodeImport<'_>) -> Imported {
    let there = node.optional(0).is_some();
    Ok(vec![node.constant(Tensor::scalar(there))])
}
