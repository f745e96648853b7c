//! `Scan`, unrolled: a body over the elements along an axis of its inputs. Up to operator set 8 there is a batch besides, each element of which is scanned apart.

use super::{none_of, part, stacked};
use crate::onnx::body::{Body, too_long};
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use mlp_graph::ir::Type;
use mlp_graph::{Op, Tensor, ValueId};

/// An input that is scanned, or an output that is stacked.
#[derive(Clone, Copy)]
struct Track {
    axis: usize,
    backwards: bool,
}

pub(super) fn scan(node: &mut NodeImport<'_>) -> Imported {
    if node.opset < 9 { batched(node) } else { plain(node) }
}

/// The number of scanned inputs, and of states before them.
fn counts(node: &NodeImport<'_>, inputs: usize) -> Result<(usize, usize), Problem> {
    let scanned = node.attributes.int("num_scan_inputs")?.ok_or("attribute `num_scan_inputs` is missing")?;
    let scanned = usize::try_from(scanned).ok().filter(|&scanned| scanned >= 1 && scanned <= inputs);
    let scanned = scanned.ok_or_else(|| format!("attribute `num_scan_inputs` does not fit {inputs} inputs"))?;
    Ok((scanned, inputs - scanned))
}

/// One number a scanned input or output; 0 for all where they are not given.
fn list(node: &NodeImport<'_>, name: &str, count: usize) -> Result<Vec<i64>, Problem> {
    match node.attributes.ints(name)? {
        None => Ok(vec![0; count]),
        Some(list) if list.len() == count => Ok(list.to_vec()),
        Some(list) => invalid(format!("attribute `{name}` has {} numbers for {count} scanned values", list.len())),
    }
}

fn backwards(node: &NodeImport<'_>, name: &str, count: usize) -> Result<Vec<bool>, Problem> {
    let flags = list(node, name, count)?;
    match flags.iter().find(|flag| !(0..=1).contains(*flag)) {
        Some(other) => invalid(format!("attribute `{name}` holds {other}, and 0 and 1 are directions")),
        None => Ok(flags.iter().map(|&flag| flag == 1).collect()),
    }
}

fn plain(node: &mut NodeImport<'_>) -> Imported {
    let inputs = node.all_inputs()?;
    let (scanned, states) = counts(node, inputs.len())?;
    let body = Body::ready(node, "body", inputs.len())?;
    let outputs = body.outputs().checked_sub(states).ok_or("`body` has fewer outputs than there are states")?;
    let (axes, directions) = (list(node, "scan_input_axes", scanned)?, backwards(node, "scan_input_directions", scanned)?);
    let mut tracks = Vec::with_capacity(scanned);
    for (index, (&axis, &backwards)) in axes.iter().zip(&directions).enumerate() {
        tracks.push(Track { axis: node.axis(axis, node.rank(inputs[states + index]))?, backwards });
    }
    let steps = length(node, &inputs[states..], &tracks)?;
    let (mut results, stacks) = run(node, &body, inputs[..states].to_vec(), &inputs[states..], &tracks, steps)?;
    let (axes, directions) = (list(node, "scan_output_axes", outputs)?, backwards(node, "scan_output_directions", outputs)?);
    for (index, mut stack) in stacks.into_iter().enumerate() {
        let axis = node.axis(axes[index], stack.element.shape.rank() + 1)?;
        if directions[index] {
            stack.values.reverse();
        }
        results.push(stack.joined(node, axis, &format!("scan output {index}"))?);
    }
    Ok(results)
}

/// The number of steps: the size of all scanned axes.
fn length(node: &NodeImport<'_>, scanned: &[ValueId], tracks: &[Track]) -> Result<u64, Problem> {
    let sizes: Vec<u64> = scanned.iter().zip(tracks).map(|(&value, track)| node.dims(value)[track.axis]).collect();
    if sizes.iter().any(|&size| size != sizes[0]) {
        return invalid(format!("the scanned axes have different sizes: {sizes:?}"));
    }
    Ok(sizes[0])
}

/// The values of one output in all steps.
struct Stack {
    element: Type,
    values: Vec<ValueId>,
}

impl Stack {
    fn joined(&self, node: &mut NodeImport<'_>, axis: usize, what: &str) -> One {
        if self.values.is_empty() { none_of(node, &self.element, axis) } else { stacked(node, &self.values, axis, what) }
    }
}

/// Runs the body over `steps` elements; gives the states at the end, and what every step gave.
fn run(
    node: &mut NodeImport<'_>,
    body: &Body<'_>,
    mut states: Vec<ValueId>,
    scanned: &[ValueId],
    tracks: &[Track],
    steps: u64,
) -> Result<(Vec<ValueId>, Vec<Stack>), Problem> {
    if body.outputs() < states.len() {
        return invalid(format!("`body` has {} outputs, fewer than there are states", body.outputs()));
    }
    if !node.builder.may_unroll_now(body.cost().saturating_mul(steps)) {
        return Err(too_long(node, body));
    }
    let mut stacks: Vec<Stack> = Vec::new();
    // Without a step, what one would give over zeros says the types.
    for step in 0..steps.max(1) {
        let mut inputs = states.clone();
        for (&value, track) in scanned.iter().zip(tracks) {
            inputs.push(if steps == 0 { zeros_like(node, value, track.axis)? } else { element(node, value, *track, step, steps)? });
        }
        let mut results = body.run(node, &inputs)?;
        let given = results.split_off(states.len());
        if steps > 0 {
            states = results;
        }
        if stacks.is_empty() {
            let stack = |&value: &ValueId| Stack { element: node.builder.graph.ty(value).clone(), values: Vec::new() };
            stacks = given.iter().map(stack).collect();
        }
        if steps > 0 {
            stacks.iter_mut().zip(given).for_each(|(stack, value)| stack.values.push(value));
        }
    }
    Ok((states, stacks))
}

fn element(node: &mut NodeImport<'_>, value: ValueId, track: Track, step: u64, steps: u64) -> One {
    let position = if track.backwards { steps - 1 - step } else { step };
    part(node, value, track.axis, position, 1, false)
}

/// A value of the shape that elements along an axis would have.
fn zeros_like(node: &mut NodeImport<'_>, value: ValueId, axis: usize) -> One {
    let mut dims = node.dims(value);
    dims.remove(axis);
    let zero = node.scalar(node.dtype(value), 0.0);
    node.broadcast(zero, &dims)
}

/// Operator set 8: input 0 may say how long each sequence of the batch is; states and scanned values have the batch as axis 0, scanned ones the steps as axis 1.
fn batched(node: &mut NodeImport<'_>) -> Imported {
    let inputs: Vec<ValueId> = node.inputs.iter().skip(1).copied().collect::<Option<_>>().ok_or("an input is missing")?;
    let (scanned, states) = counts(node, inputs.len())?;
    let body = Body::ready(node, "body", inputs.len())?;
    let directions = backwards(node, "directions", scanned)?;
    if let Some(&value) =
        inputs.iter().enumerate().find(|&(index, &value)| node.rank(value) <= usize::from(index >= states)).map(|(_, value)| value)
    {
        return invalid(format!("an input has shape {:?}, too few axes for a batch of sequences", node.dims(value)));
    }
    let (batch, steps) = (node.dims(inputs[0])[0], node.dims(inputs[states])[1]);
    let fits = |index: usize, dims: &[u64]| dims[0] == batch && (index < states || dims[1] == steps);
    if !inputs.iter().enumerate().all(|(index, &value)| fits(index, &node.dims(value))) {
        return invalid("the inputs have different numbers of sequences or steps");
    }
    let lengths = lengths(node, batch, steps)?;
    if batch == 0 {
        return unsupported("a batch of no sequences");
    }
    let mut rows: Vec<Vec<ValueId>> = Vec::new();
    for (sequence, &length) in lengths.iter().enumerate() {
        rows.push(sequence_of(node, &body, &inputs, states, &directions, sequence as u64, length, steps)?);
    }
    (0..rows[0].len())
        .map(|output| {
            let values: Vec<ValueId> = rows.iter().map(|row| row[output]).collect();
            stacked(node, &values, 0, &format!("output {output}"))
        })
        .collect()
}

fn lengths(node: &NodeImport<'_>, batch: u64, steps: u64) -> Result<Vec<u64>, Problem> {
    let Some(lengths) = node.optional(0) else { return Ok(vec![steps; batch as usize]) };
    let lengths = node.known_integers(lengths, "the list of sequence lengths")?;
    let lengths: Vec<u64> = lengths.iter().filter_map(|&length| u64::try_from(length).ok().filter(|&length| length <= steps)).collect();
    if lengths.len() as u64 != batch {
        return invalid(format!("there is not one length from 0 to {steps} for each of {batch} sequences"));
    }
    Ok(lengths)
}

/// The results of one sequence; what it is shorter than the longest is filled with zeros.
#[expect(clippy::too_many_arguments, reason = "all of them say which sequence it is")]
fn sequence_of(
    node: &mut NodeImport<'_>,
    body: &Body<'_>,
    inputs: &[ValueId],
    states: usize,
    directions: &[bool],
    sequence: u64,
    length: u64,
    steps: u64,
) -> Result<Vec<ValueId>, Problem> {
    let mut own = Vec::with_capacity(inputs.len());
    for (index, &input) in inputs.iter().enumerate() {
        let row = part(node, input, 0, sequence, 1, false)?;
        own.push(if index < states { row } else { part(node, row, 0, 0, length, true)? });
    }
    let tracks: Vec<Track> = directions.iter().map(|&backwards| Track { axis: 0, backwards }).collect();
    let (mut results, stacks) = run(node, body, own[..states].to_vec(), &own[states..], &tracks, length)?;
    for (index, stack) in stacks.iter().enumerate() {
        let joined = stack.joined(node, 0, &format!("scan output {index}"))?;
        results.push(padded(node, joined, length, steps)?);
    }
    Ok(results)
}

fn padded(node: &mut NodeImport<'_>, x: ValueId, length: u64, steps: u64) -> One {
    if length == steps {
        return Ok(x);
    }
    let rank = node.rank(x);
    let mut after = vec![0; rank];
    after[0] = steps - length;
    let zero = node.constant(Tensor::scalar_of(node.dtype(x), 0.0));
    node.emit(Op::Pad { before: vec![0; rank], after }, &[x, zero])
}
