//! What the recurrent operators share: operands, directions, lengths, the product of all inputs, the walk over the steps, and the results.

use super::activation::{Activation, activations};
use crate::onnx::builder::UNROLLED;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use crate::onnx::ops::quantization::dynamically_quantized;
use mlp_graph::op::{BinaryOp, CompareOp};
use mlp_graph::{DType, Op, Tensor, ValueId};

/// What a step takes of what may be unrolled: about its operations.
const STEP_COST: u64 = 32;

/// What differs between the operators.
pub(super) struct Kind<'a> {
    /// Gates, whose weights lie one after another.
    pub(super) gates: u64,
    /// The input that the state's second part begins with, where it has one (the cell of `LSTM`).
    pub(super) cell: Option<usize>,
    /// The functions of one direction, where the node names none.
    pub(super) activations: &'a [Activation],
    /// Leading gates whose two biases are added to one another. Those of the others stay apart, to be had from [`Direction::state_bias`].
    pub(super) joined_biases: u64,
    /// Inputs and states are rounded to 256 values over their range before they meet weights.
    pub(super) rounded: bool,
}

/// A recurrent node: sizes, and what all its steps share.
pub(super) struct Layer {
    /// How many steps are unrolled.
    steps: u64,
    /// How many of them there are in this graph, and that as a scalar, where graphs of other sizes have as many unrolled.
    live: Option<(u64, ValueId)>,
    batch: u64,
    pub(super) hidden: u64,
    gates: u64,
    /// The batch is axis 0, and the steps are axis 1.
    batch_first: bool,
    /// The bound of what activations are applied to.
    clip: Option<f64>,
    /// Whether each step is one of a sequence, `[batch, 1]` a step; none where all sequences have all steps.
    masks: Option<Vec<ValueId>>,
    /// `[steps * batch, directions * gates * hidden]`: the part of all gates that comes of the inputs, biases added.
    projected: ValueId,
    dtype: DType,
    rounded: bool,
    /// The type that is asked for.
    declared: DType,
    directions: Vec<Direction>,
}

/// One direction of a node.
pub(super) struct Direction {
    backwards: bool,
    /// `[hidden, gates * hidden]`: the weights of the state.
    pub(super) weights: ValueId,
    /// `[gates * hidden]`: the biases of the state that are not in the input's part already; none where there are none.
    pub(super) state_bias: Option<ValueId>,
    pub(super) activations: Vec<Activation>,
    /// `[batch, hidden]` each: the result before the first step, and the cell.
    initial: Vec<ValueId>,
}

/// One step: from the input's part of the gates, `[batch, gates * hidden]`, and the state, to the new state, whose first part is the step's result.
pub(super) type Step<'s> = dyn Fn(&mut NodeImport<'_>, &Layer, ValueId, &[ValueId]) -> Result<Vec<ValueId>, Problem> + 's;

impl Layer {
    /// Reads the node, and multiplies all inputs by their weights.
    pub(super) fn read(node: &mut NodeImport<'_>, kind: &Kind<'_>) -> Result<Layer, Problem> {
        let (x, weights, state_weights) = (node.input(0)?, node.input(1)?, node.input(2)?);
        let declared = node.dtype(x);
        if !declared.is_float() {
            return invalid(format!("the input holds {declared}, but must hold floats"));
        }
        let dtype = if declared == DType::F64 { DType::F64 } else { DType::F32 };
        let batch_first = flag(node, "layout")?;
        let mut dims = node.dims(x);
        let mut x = node.cast(dtype, x)?;
        if batch_first && dims.len() == 3 {
            x = node.transpose(&[1, 0, 2], x)?;
            dims = node.dims(x);
        }
        let backwards = backwards(node)?;
        let &[steps, batch, width] = dims.as_slice() else {
            return invalid(format!("the input has shape {dims:?}, but must have steps, a batch and a width"));
        };
        let given = steps;
        let (steps, live) = match node.builder.family_size(given)? {
            Some((greatest, size)) => (greatest, Some((given, size))),
            None => (given, None),
        };
        if let Some((_, size)) = live {
            x = up_to(node, x, 0, (steps, 0), size)?;
        }
        if kind.rounded {
            x = rounded(node, x)?;
        }
        let (directions, gates) = (backwards.len() as u64, kind.gates);
        let hidden = node.dims(state_weights).last().copied().unwrap_or(0);
        let mut layer = Layer {
            steps,
            live,
            batch,
            hidden,
            gates,
            batch_first,
            clip: node.attributes.float("clip")?.map(f64::from),
            masks: None,
            projected: x,
            dtype,
            rounded: kind.rounded,
            declared,
            directions: Vec::new(),
        };
        // The number of outputs that old files say beside naming them.
        node.attributes.int("output_sequence")?;
        if node.attributes.int("hidden_size")?.is_some_and(|size| u64::try_from(size) != Ok(hidden)) || hidden == 0 {
            return invalid(format!("hidden_size is not the last size of the recurrence weights, {hidden}"));
        }
        expect(node, weights, "W", &[directions, gates * hidden, width])?;
        expect(node, state_weights, "R", &[directions, gates * hidden, hidden])?;
        if !node.builder.may_unroll(STEP_COST.saturating_mul(directions).saturating_mul(steps)) {
            let most = UNROLLED / STEP_COST / directions;
            return unsupported(format!("its {steps} steps are unrolled, of which {most} are supported; give it shorter sequences"));
        }
        let biases = layer.biases(node, kind)?;
        layer.directions = layer.read_directions(node, kind, backwards, &biases)?;
        layer.masks = layer.read_lengths(node)?;
        layer.projected = layer.project(node, x, weights, biases.map(|biases| biases.input))?;
        Ok(layer)
    }

    /// Input `B`: for each direction the biases of the input's part of all gates, then those of the state's.
    fn biases(&self, node: &mut NodeImport<'_>, kind: &Kind<'_>) -> Result<Option<Biases>, Problem> {
        let Some(all) = node.optional(3) else { return Ok(None) };
        let directions = node.dims(node.input(2)?)[0];
        let width = self.gates * self.hidden;
        expect(node, all, "B", &[directions, 2 * width])?;
        let all = node.cast(self.dtype, all)?;
        let input = columns(node, all, 0, width)?;
        let state = columns(node, all, width, width)?;
        let joined = kind.joined_biases * self.hidden;
        let added = columns(node, state, 0, joined)?;
        let added = if joined == width {
            added
        } else {
            let zero = node.scalar(self.dtype, 0.0);
            node.emit(Op::Pad { before: vec![0, 0], after: vec![0, width - joined] }, &[added, zero])?
        };
        let apart = if joined == width { None } else { Some(columns(node, state, joined, width - joined)?) };
        Ok(Some(Biases { input: node.binary(BinaryOp::Add, input, added)?, apart }))
    }

    fn read_directions(
        &self,
        node: &mut NodeImport<'_>,
        kind: &Kind<'_>,
        backwards: &[bool],
        biases: &Option<Biases>,
    ) -> Result<Vec<Direction>, Problem> {
        let weights = node.cast(self.dtype, node.input(2)?)?;
        let states: Vec<usize> = [Some(5), kind.cell].into_iter().flatten().collect();
        let functions = activations(node, kind.activations, backwards.len())?;
        let mut directions = Vec::with_capacity(backwards.len());
        for (index, (&backwards, activations)) in backwards.iter().zip(functions).enumerate() {
            let own = row(node, weights, index as u64)?;
            let state_bias = match biases.as_ref().and_then(|biases| biases.apart) {
                Some(biases) => Some(row(node, biases, index as u64)?),
                None => None,
            };
            let initial = states.iter().map(|&input| self.initial(node, input, index as u64)).collect::<Result<_, _>>()?;
            directions.push(Direction { backwards, weights: node.transpose(&[1, 0], own)?, state_bias, activations, initial });
        }
        Ok(directions)
    }

    /// A part of the state before the first step, `[batch, hidden]`; zeros where it is not given.
    fn initial(&self, node: &mut NodeImport<'_>, input: usize, direction: u64) -> One {
        let Some(mut given) = node.optional(input) else {
            let zero = node.scalar(self.dtype, 0.0);
            return node.broadcast(zero, &[self.batch, self.hidden]);
        };
        let directions = node.dims(node.input(2)?)[0];
        if self.batch_first {
            expect(node, given, "an initial state", &[self.batch, directions, self.hidden])?;
            given = node.transpose(&[1, 0, 2], given)?;
        } else {
            expect(node, given, "an initial state", &[directions, self.batch, self.hidden])?;
        }
        let given = node.cast(self.dtype, given)?;
        row(node, given, direction)
    }

    /// Input `sequence_lens`, as a mask a step.
    fn read_lengths(&self, node: &mut NodeImport<'_>) -> Result<Option<Vec<ValueId>>, Problem> {
        let Some(lengths) = node.optional(4) else { return self.live_steps(node) };
        expect(node, lengths, "sequence_lens", &[self.batch])?;
        let steps = self.live.map_or(self.steps, |(given, _)| given);
        if let Some(known) = node.builder.known(lengths).and_then(Tensor::to_i64) {
            if let Some(wrong) = known.iter().find(|&&length| length < 0 || length as u64 > steps) {
                return invalid(format!("a sequence has {wrong} steps, but there are {steps}"));
            }
            if known.iter().all(|&length| length as u64 == steps) {
                return self.live_steps(node);
            }
        }
        let lengths = node.reshape(lengths, &[self.batch, 1])?;
        let mask = |step: u64| {
            let step = node.scalar(node.dtype(lengths), step as f64);
            node.compare(CompareOp::Lt, step, lengths)
        };
        (0..self.steps).map(mask).collect::<Result<_, _>>().map(Some)
    }

    /// Which of the steps that are unrolled there are; none where all are.
    fn live_steps(&self, node: &mut NodeImport<'_>) -> Result<Option<Vec<ValueId>>, Problem> {
        let Some((_, size)) = self.live else { return Ok(None) };
        let mask = |step: u64| {
            let step = node.scalar(DType::I32, step as f64);
            node.compare(CompareOp::Lt, step, size)
        };
        (0..self.steps).map(mask).collect::<Result<_, _>>().map(Some)
    }

    /// The one product of all inputs with the weights of all directions.
    fn project(&self, node: &mut NodeImport<'_>, x: ValueId, weights: ValueId, biases: Option<ValueId>) -> One {
        let dims = node.dims(weights);
        let (columns, width) = (dims[0] * dims[1], dims[2]);
        let rows = node.reshape(x, &[self.steps * self.batch, width])?;
        let weights = node.cast(self.dtype, weights)?;
        let weights = node.reshape(weights, &[columns, width])?;
        let weights = node.transpose(&[1, 0], weights)?;
        let product = node.emit(Op::MatMul, &[rows, weights])?;
        let Some(biases) = biases else { return Ok(product) };
        let biases = node.reshape(biases, &[columns])?;
        node.binary(BinaryOp::Add, product, biases)
    }

    /// The node's results: `Y`, `Y_h` and, with a cell, `Y_c`. `step` makes what one step computes in a direction.
    pub(super) fn run<'s>(
        &self,
        node: &mut NodeImport<'_>,
        step: impl Fn(&mut NodeImport<'_>, &Direction, usize) -> Result<Box<Step<'s>>, Problem>,
    ) -> Imported {
        let (mut sequences, mut finals) = (Vec::new(), Vec::new());
        for (index, direction) in self.directions.iter().enumerate() {
            let step = step(node, direction, index)?;
            let (results, state) = self.walk(node, direction, index as u64, &*step)?;
            sequences.push(self.sequence(node, &results)?);
            finals.push(state);
        }
        let mut outputs = vec![self.side_by_side(node, &sequences, if self.batch_first { 2 } else { 1 })?];
        for part in 0..finals[0].len() {
            let axis = usize::from(self.batch_first);
            let mut dims = vec![self.batch, self.hidden];
            dims.insert(axis, 1);
            let parts = finals.iter().map(|state| node.reshape(state[part], &dims)).collect::<Result<Vec<_>, _>>()?;
            outputs.push(self.side_by_side(node, &parts, axis)?);
        }
        outputs.into_iter().map(|output| node.cast(self.declared, output)).collect()
    }

    /// The result of every step, in the order of the sequence, and the state at the end.
    fn walk(
        &self,
        node: &mut NodeImport<'_>,
        direction: &Direction,
        index: u64,
        step: &Step<'_>,
    ) -> Result<(Vec<ValueId>, Vec<ValueId>), Problem> {
        let mut state = direction.initial.clone();
        let mut results = vec![state[0]; self.steps as usize];
        let width = self.gates * self.hidden;
        let zero = node.scalar(self.dtype, 0.0);
        for count in 0..self.steps {
            let position = if direction.backwards { self.steps - 1 - count } else { count };
            let mask = self.masks.as_ref().map(|masks| masks[position as usize]);
            let starts = vec![(position * self.batch) as i64, (index * width) as i64];
            let input = node.slice(self.projected, starts, vec![1, 1], &[self.batch, width])?;
            let mut next = step(node, self, input, &state)?;
            results[position as usize] = next[0];
            if let Some(mask) = mask {
                // After its end a sequence keeps its state, and gives zeros; backwards it begins later.
                results[position as usize] = node.select(mask, next[0], zero)?;
                for (new, &old) in next.iter_mut().zip(&state) {
                    *new = node.select(mask, *new, old)?;
                }
            }
            state = next;
        }
        Ok((results, state))
    }

    /// The results of all steps with an axis for the direction: `[steps, 1, batch, hidden]`, or `[batch, steps, 1, hidden]`.
    fn sequence(&self, node: &mut NodeImport<'_>, results: &[ValueId]) -> One {
        let (dims, axis) = if self.batch_first { ([self.batch, 1, 1, self.hidden], 1) } else { ([1, 1, self.batch, self.hidden], 0) };
        if results.is_empty() {
            let mut dims = dims;
            dims[axis] = 0;
            let tensor = Tensor::new(self.dtype, dims.to_vec(), Vec::new()).map_err(|error| error.to_string())?;
            return Ok(node.constant(tensor));
        }
        let rows = results.iter().map(|&result| node.reshape(result, &dims)).collect::<Result<Vec<_>, _>>()?;
        let all = self.side_by_side(node, &rows, axis)?;
        match self.live {
            Some((given, size)) => {
                // Counted from 1: at the greatest size alone the places would be one constant with those of the input.
                up_to(node, all, axis, (given, 1), size)
            }
            None => Ok(all),
        }
    }

    fn side_by_side(&self, node: &mut NodeImport<'_>, values: &[ValueId], axis: usize) -> One {
        match values {
            &[one] => Ok(one),
            _ => node.emit(Op::Concat { axis: axis as u32 }, values),
        }
    }

    /// The state as it meets its weights.
    pub(super) fn met(&self, node: &mut NodeImport<'_>, state: ValueId) -> One {
        if self.rounded { rounded(node, state) } else { Ok(state) }
    }

    /// The columns of a gate in `[batch, gates * hidden]`.
    pub(super) fn gate(&self, node: &mut NodeImport<'_>, gates: ValueId, gate: u64) -> One {
        columns(node, gates, gate * self.hidden, self.hidden)
    }

    /// A function of a gate, of what the clip leaves of it.
    pub(super) fn activate(&self, node: &mut NodeImport<'_>, activation: Activation, x: ValueId) -> One {
        let Some(clip) = self.clip else { return activation.apply(node, x) };
        let (low, high) = (node.scalar(self.dtype, -clip), node.scalar(self.dtype, clip));
        let bounded = node.binary(BinaryOp::Max, x, low)?;
        let bounded = node.binary(BinaryOp::Min, bounded, high)?;
        activation.apply(node, bounded)
    }

    /// `1 - x`.
    pub(super) fn complement(&self, node: &mut NodeImport<'_>, x: ValueId) -> One {
        let one = node.scalar(self.dtype, 1.0);
        node.binary(BinaryOp::Sub, one, x)
    }

    /// The weights of peepholes in a direction, `[hidden]` a gate in ONNX's order; none where the node has none.
    pub(super) fn peepholes(&self, node: &mut NodeImport<'_>, input: usize, direction: usize) -> Result<Option<[ValueId; 3]>, Problem> {
        let Some(all) = node.optional(input) else { return Ok(None) };
        expect(node, all, "P", &[self.directions.len() as u64, 3 * self.hidden])?;
        let all = node.cast(self.dtype, all)?;
        let mut part = |gate: u64| {
            let starts = vec![direction as i64, (gate * self.hidden) as i64];
            let part = node.slice(all, starts, vec![1, 1], &[1, self.hidden])?;
            node.reshape(part, &[self.hidden])
        };
        Ok(Some([part(0)?, part(1)?, part(2)?]))
    }
}

/// The biases of all directions, `[directions, ...]`.
struct Biases {
    /// Of the input's part, and of the state's where that comes to the same.
    input: ValueId,
    /// The others of the state's part.
    apart: Option<ValueId>,
}

/// An attribute that is 0 or 1.
pub(super) fn flag(node: &NodeImport<'_>, name: &str) -> Result<bool, Problem> {
    match node.attributes.int(name)?.unwrap_or(0) {
        0 => Ok(false),
        1 => Ok(true),
        other => invalid(format!("attribute `{name}` is {other}, but must be 0 or 1")),
    }
}

fn expect(node: &NodeImport<'_>, value: ValueId, what: &str, dims: &[u64]) -> Result<(), Problem> {
    let found = node.dims(value);
    if found == dims { Ok(()) } else { invalid(format!("{what} has shape {found:?}, but must have {dims:?}")) }
}

/// `count` columns of a matrix.
pub(super) fn columns(node: &mut NodeImport<'_>, matrix: ValueId, start: u64, count: u64) -> One {
    let rows = node.dims(matrix)[0];
    node.slice(matrix, vec![0, start as i64], vec![1, 1], &[rows, count])
}

/// The first `count` of an axis of which there are `size`, an `I32` scalar; the last one again where there are less. They are counted from `from`.
fn up_to(node: &mut NodeImport<'_>, x: ValueId, axis: usize, (count, from): (u64, i32), size: ValueId) -> One {
    let places: Vec<i32> = (0..count as i32).map(|place| place + from).collect();
    let places = node.constant(Tensor::from_i32(&[count], &places).map_err(|error| error.to_string())?);
    let beyond = node.scalar(DType::I32, f64::from(1 - from));
    let last = node.binary(BinaryOp::Sub, size, beyond)?;
    let places = node.binary(BinaryOp::Min, places, last)?;
    let from = node.scalar(DType::I32, f64::from(from));
    let places = node.binary(BinaryOp::Sub, places, from)?;
    node.emit(Op::Gather { axis: axis as u32 }, &[x, places])
}

/// What lies at an index of axis 0.
fn row(node: &mut NodeImport<'_>, x: ValueId, index: u64) -> One {
    let mut dims = node.dims(x);
    let mut starts = vec![0; dims.len()];
    starts[0] = index as i64;
    dims[0] = 1;
    let row = node.slice(x, starts, vec![1; dims.len()], &dims)?;
    node.reshape(row, &dims[1..])
}

/// Of each direction whether it goes from the end to the start.
fn backwards(node: &NodeImport<'_>) -> Result<&'static [bool], Problem> {
    Ok(match node.attributes.string("direction")?.unwrap_or("forward") {
        "forward" => &[false],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        other => return invalid(format!("direction is `{other}`; forward, reverse and bidirectional are directions")),
    })
}

/// A value of `F32` as dynamic quantization to 8 bits leaves it.
fn rounded(node: &mut NodeImport<'_>, x: ValueId) -> One {
    let [quantized, scale, zero] = dynamically_quantized(node, x)?;
    node.emit(Op::Dequantize { axis: 0 }, &[quantized, scale, zero])
}
