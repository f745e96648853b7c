//! The graph under construction: every operation is typed, bounded in size, and folded where it is small and constant.

use super::extent::Extents;
use super::graph::FamilySizes;
use super::narrow::Narrow;
use super::node::{Problem, unsupported};
use super::padded::Padded;
use super::sized::Sized;
use mlp_graph::infer::result_types;
use mlp_graph::ir::{Definition, Type};
use mlp_graph::{DType, Graph, Op, Origin, Tensor, ValueId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// No single value may take more than this: the address space of a wasm module.
const VALUE_BYTES: u64 = 1 << 32;
/// No value may have more axes than this: the types of very many values of very many axes would not fit in memory.
const RANK: usize = 64;
/// What a model may create of constants beyond those it stores (`ConstantOfShape` and the like).
const CREATED_BYTES: u64 = 1 << 28;
/// Operations are folded up to this many elements in and out ...
const FOLD_ELEMENTS: u64 = 1 << 16;
/// ... and up to this many of all operations together.
const FOLD_BUDGET: u64 = 1 << 24;

/// What unrolling may make: operations, or nodes of a body that each make a few.
pub(crate) const UNROLLED: u64 = 1 << 17;
/// What bodies that lie in bodies may have, counted each time they are made ready: nodes, names and tensors.
const PREPARED: u64 = 1 << 24;

/// A graph whose shapes are all constant.
pub(crate) struct Builder {
    pub(crate) graph: Graph,
    /// The origin of the operations being made.
    pub(crate) origin: Origin,
    created: u64,
    folded: u64,
    /// Values whose element type in the model is one of few bits.
    narrow: BTreeMap<ValueId, Narrow>,
    unrolled: u64,
    /// The greatest sizes, where the graph is one of several.
    pub(crate) family: Option<FamilySizes>,
    /// How many of them were asked for.
    family_sizes: u32,
    prepared: u64,
    /// Sequences, which exist while importing alone: the elements of each, by the value that stands for it.
    sequences: HashMap<ValueId, Vec<ValueId>>,
    /// How many rows of what is selected are looked at, by the names of results.
    pub(super) looked_at: HashMap<String, u64>,
    /// Values with rows that mean nothing.
    padded: HashMap<ValueId, Padded>,
    /// Values that hold integers of which a run decides some, and that have bounds.
    pub(super) extents: Extents,
    /// Values that follow from sizes and are computed when the model runs.
    pub(super) sized: Sized,
}

impl Builder {
    pub(crate) fn new(name: &str) -> Builder {
        Builder {
            graph: Graph::new(name),
            origin: Origin::default(),
            created: 0,
            folded: 0,
            narrow: BTreeMap::new(),
            unrolled: 0,
            family: None,
            family_sizes: 0,
            prepared: 0,
            sequences: HashMap::new(),
            looked_at: HashMap::new(),
            padded: HashMap::new(),
            extents: Extents::default(),
            sized: Sized::default(),
        }
    }

    pub(crate) fn dtype(&self, value: ValueId) -> DType {
        self.graph.ty(value).dtype
    }

    /// The sizes of a value. All are constant, since inputs are bound before anything else is made.
    pub(crate) fn dims(&self, value: ValueId) -> Vec<u64> {
        self.graph.dims(value).unwrap_or_default()
    }

    pub(crate) fn constant(&mut self, tensor: Tensor) -> ValueId {
        self.graph.constant(tensor, self.origin.clone())
    }

    /// Notes that a value has an element type of few bits in the model.
    pub(crate) fn mark_narrow(&mut self, value: ValueId, narrow: Narrow) {
        self.narrow.insert(value, narrow);
    }

    /// Notes that a value has the same element type in the model as here.
    pub(crate) fn unmark_narrow(&mut self, value: ValueId) {
        self.narrow.remove(&value);
    }

    /// The element type of few bits that a value has in the model, if it has one.
    pub(crate) fn narrow(&self, value: ValueId) -> Option<Narrow> {
        self.narrow.get(&value).copied()
    }

    /// The data of a value, where it is a constant, or follows from sizes that are known here.
    pub(crate) fn known(&self, value: ValueId) -> Option<&Tensor> {
        self.graph.constant_of(value).or_else(|| self.sized.known(value))
    }

    /// A value that stands for a sequence of these elements; nothing reads its own data.
    pub(crate) fn sequence(&mut self, elements: Vec<ValueId>) -> ValueId {
        let handle = self.constant(Tensor::scalar(elements.len() as i64));
        self.sequences.insert(handle, elements);
        handle
    }

    /// The elements of a value that stands for a sequence.
    pub(crate) fn elements_of(&self, value: ValueId) -> Option<&[ValueId]> {
        self.sequences.get(&value).map(Vec::as_slice)
    }

    /// Says that rows of a value may mean nothing.
    pub(crate) fn set_padded(&mut self, value: ValueId, padded: Padded) {
        self.padded.insert(value, padded);
    }

    /// What is known of a value with rows that mean nothing.
    pub(crate) fn padded_of(&self, value: ValueId) -> Option<Padded> {
        self.padded.get(&value).copied()
    }

    /// The name of an input of the model that a value depends on.
    pub(crate) fn input_behind(&self, value: ValueId) -> Option<String> {
        let mut seen = BTreeSet::new();
        let mut pending = vec![value];
        while let Some(value) = pending.pop() {
            if !seen.insert(value) {
                continue;
            }
            match self.graph.values[value].definition {
                Definition::Input(index) => return self.graph.inputs.get(index as usize).map(|port| port.name.clone()),
                Definition::Result(op, _) => pending.extend(&self.graph.ops[op].operands),
            }
        }
        None
    }

    /// Takes room for a constant that the model does not store; false where there is none left.
    pub(crate) fn may_create(&mut self, bytes: u64) -> bool {
        let created = self.created.saturating_add(bytes);
        let fits = created <= CREATED_BYTES;
        if fits {
            self.created = created;
        }
        fits
    }

    /// A size of a graph that is one of several: the greatest that it has in them, and a scalar of what it is here. None where the graph is made for itself.
    pub(crate) fn family_size(&mut self, value: u64) -> Result<Option<(u64, ValueId)>, Problem> {
        let Some(family) = &self.family else { return Ok(None) };
        let id = self.family_sizes;
        self.family_sizes += 1;
        let greatest = family.greatest(id, value);
        let here = u32::try_from(value).ok().filter(|_| value <= greatest);
        let Some(here) = here else {
            return unsupported(format!("a size is {value} here and {greatest} at the greatest sizes; give it a constant size"));
        };
        Ok(Some((greatest, self.emit(Op::Size { id, value: here }, &[], None)?[0])))
    }

    /// Takes room for what steps of a loop make; false where there is none left.
    pub(crate) fn may_unroll(&mut self, operations: u64) -> bool {
        self.unrolled = self.unrolled.saturating_add(operations);
        self.unrolled <= UNROLLED
    }

    /// Whether there is room for that, which is not taken.
    pub(crate) fn may_unroll_now(&self, operations: u64) -> bool {
        self.unrolled.saturating_add(operations) <= UNROLLED
    }

    /// Takes room for making a body of that size ready; false where there is none left.
    pub(crate) fn may_prepare(&mut self, size: u64) -> bool {
        self.prepared = self.prepared.saturating_add(size);
        self.prepared <= PREPARED
    }

    /// Appends an operation. `declared` is the result's type where the operation leaves it open.
    pub(crate) fn emit(&mut self, op: Op, operands: &[ValueId], declared: Option<Type>) -> Result<Vec<ValueId>, Problem> {
        if let Some(declared) = &declared {
            bounded(declared)?;
        }
        let types = result_types(&op, &self.graph.operand_types(operands), declared.as_ref().map(std::slice::from_ref))?;
        types.iter().try_for_each(|ty| bounded(ty).map(|_| ()))?;
        let narrow = operands.first().and_then(|&first| self.narrow(first)).filter(|_| is_movement(&op));
        let follows = operands.iter().any(|&operand| self.sized.has(operand));
        let results = match self.fold(&op, operands, &types)? {
            Some(tensors) if follows => {
                let results = self.graph.push(op, operands.to_vec(), types, self.origin.clone());
                results.iter().zip(tensors).for_each(|(&result, tensor)| self.sized.note(result, Some(tensor)));
                results
            }
            Some(tensors) => tensors.into_iter().map(|tensor| self.constant(tensor)).collect(),
            None => match self.extents_after(&op, operands, &types)? {
                Some(extents) => match self.exact_tensor(&extents, &types[0]) {
                    Some(tensor) => vec![self.constant(tensor)],
                    None => {
                        let results = self.graph.push(op, operands.to_vec(), types, self.origin.clone());
                        self.note_extents(results[0], extents);
                        results
                    }
                },
                None => self.graph.push(op, operands.to_vec(), types, self.origin.clone()),
            },
        };
        if let Some(narrow) = narrow {
            self.narrow.extend(results.iter().map(|&result| (result, narrow)));
        }
        Ok(results)
    }

    /// The results of a small operation over constants.
    fn fold(&mut self, op: &Op, operands: &[ValueId], types: &[Type]) -> Result<Option<Vec<Tensor>>, Problem> {
        if !is_cheap(op) || operands.is_empty() || operands.iter().any(|&operand| self.known(operand).is_none()) {
            return Ok(None);
        }
        let operand_types = self.graph.operand_types(operands);
        let mut elements = 0u64;
        for ty in operand_types.iter().chain(types) {
            let count = bounded(ty)?;
            if count > FOLD_ELEMENTS {
                return Ok(None);
            }
            elements += count;
        }
        if self.folded + elements > FOLD_BUDGET {
            return Ok(None);
        }
        self.folded += elements;
        let tensors: Vec<&Tensor> = operands.iter().filter_map(|&operand| self.known(operand)).collect();
        Ok(Some(mlp_graph::eval::evaluate(op, &tensors, types)?))
    }
}

/// Whether the work of an operation is of the order of its elements, and folding it hides nothing that a later pass looks for: quantization
/// stays visible.
fn is_cheap(op: &Op) -> bool {
    matches!(
        op,
        Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select
            | Op::Cast(_)
            | Op::Bitcast(_)
            | Op::Reshape
            | Op::Transpose { .. }
            | Op::Broadcast
            | Op::Slice { .. }
            | Op::Pad { .. }
            | Op::Concat { .. }
            | Op::Gather { .. }
            | Op::Reduce { .. }
    )
}

/// Whether an operation only picks and places elements of its first operand.
fn is_movement(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape | Op::Transpose { .. } | Op::Broadcast | Op::Slice { .. } | Op::Pad { .. } | Op::Concat { .. } | Op::Gather { .. }
    )
}

/// Whether a value of these sizes can be addressed at all. Sizes of 0 do not hide others that are absurd.
pub(crate) fn addressable(dtype: DType, dims: &[u64]) -> bool {
    let bytes = dims.iter().filter(|&&dim| dim > 0).try_fold(dtype.size() as u64, |product, &dim| product.checked_mul(dim));
    dims.len() <= RANK && bytes.is_some_and(|bytes| bytes <= VALUE_BYTES)
}

/// The number of elements of a type; an error where its value could not be addressed.
fn bounded(ty: &Type) -> Result<u64, Problem> {
    let dims = ty.shape.constants().unwrap_or_default();
    if !addressable(ty.dtype, &dims) {
        return unsupported(match dims.len() {
            rank if rank > RANK => format!("a value of {rank} axes is made; {RANK} are supported"),
            _ => format!("a value of type {ty} would take more than {} GiB", VALUE_BYTES >> 30),
        });
    }
    Ok(dims.iter().product())
}
