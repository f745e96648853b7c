//! Values with more rows than mean anything: how many do is known only when the model runs.
//!
//! Every size is known when compiling, so an operator that selects rows makes as many as there could be, those that were selected first. Operators that treat rows
//! apart pass that on; those that mix rows are given, in those behind, what changes nothing; any other is refused, since the rows behind would change its answer.

use super::builder::Builder;
use super::extent::Extent;
use super::node::{NodeImport, One, Problem, unsupported};
use mlp_graph::ir::Definition;
use mlp_graph::op::{BinaryOp, CompareOp};
use mlp_graph::{DType, Op, Tensor, ValueId};

/// What is known of a value with rows that mean nothing: they come after those that do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Padded {
    /// The axis of the rows.
    pub(crate) axis: usize,
    /// How many mean something: an `I32` scalar.
    pub(crate) count: ValueId,
}

/// Operators that compute every element of their result from elements at its own place.
const MAPS: &[&str] = &[
    "Abs",
    "Acos",
    "Acosh",
    "Add",
    "And",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BitShift",
    "BitwiseAnd",
    "BitwiseNot",
    "BitwiseOr",
    "BitwiseXor",
    "Cast",
    "CastLike",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "Div",
    "Dropout",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "IsInf",
    "IsNaN",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "Max",
    "Mean",
    "Min",
    "Mish",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "PRelu",
    "Pow",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Sub",
    "Sum",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Where",
    "Xor",
];

/// Operators whose importers see to such rows themselves.
const OWN: &[&str] = &[
    "ArgMax",
    "ArgMin",
    "Compress",
    "Concat",
    "CumSum",
    "CumProd",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Gemm",
    "Hardmax",
    "LogSoftmax",
    "MatMul",
    "NonMaxSuppression",
    "NonZero",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Reshape",
    "ScatterElements",
    "ScatterND",
    "Shape",
    "Size",
    "Slice",
    "Softmax",
    "Squeeze",
    "TopK",
    "Unique",
    "Unsqueeze",
];

/// Operators that compute every image of a batch, axis 0 of their first input, from that image.
const IMAGES: &[&str] = &[
    "AveragePool",
    "BatchNormalization",
    "Conv",
    "ConvTranspose",
    "DepthToSpace",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "InstanceNormalization",
    "LRN",
    "MaxPool",
    "SpaceToDepth",
];

/// What to say where rows behind would change an answer.
pub(crate) const REFUSED: &str = "it would go by rows of which only a run knows how many there are (NonMaxSuppression, NonZero, Compress, Unique and what follows from them); end the model before it, and do this step in the app";

/// An input with its position, and what is known of it.
type Given = (usize, ValueId, Option<Padded>);

/// What the results of an operator are, some of whose inputs have rows that mean nothing; an error where that cannot be said.
pub(crate) fn follow(node: &NodeImport<'_>, op: &str, results: &[ValueId]) -> Result<Option<Padded>, Problem> {
    let inputs: Vec<Given> = (0..node.inputs.len())
        .filter_map(|index| node.optional(index).map(|value| (index, value, node.builder.padded_of(value))))
        .collect();
    let Some(&(first, value, Some(padded))) = inputs.iter().find(|input| input.2.is_some()) else { return Ok(None) };
    let Some(&result) = results.first() else { return Ok(None) };
    if OWN.contains(&op) {
        return Ok(None);
    }
    let alone = first == 0 && inputs.iter().filter(|input| input.2.is_some()).count() == 1;
    let (from, to) = (node.dims(value), node.dims(result));
    let axis = match op {
        _ if MAPS.contains(&op) => map_axis(node, &inputs, padded, &to),
        _ if IMAGES.contains(&op) => (alone && padded.axis == 0).then_some(0),
        "Split" | "Pad" | "Tile" | "Trilu" if alone => (to.get(padded.axis) == from.get(padded.axis)).then_some(padded.axis),
        "Transpose" if alone => match node.attributes.ints("perm")? {
            Some(perm) => perm.iter().position(|&axis| node.axis(axis, from.len()).is_ok_and(|axis| axis == padded.axis)),
            None => Some(from.len() - 1 - padded.axis),
        },
        "LayerNormalization" | "RMSNormalization" if alone => {
            let normalized = node.axis(node.attributes.int("axis")?.unwrap_or(-1), from.len())?;
            (padded.axis < normalized).then_some(padded.axis)
        }
        "OneHot" if alone => {
            let added = node.axis(node.attributes.int("axis")?.unwrap_or(-1), to.len())?;
            Some(padded.axis + usize::from(added <= padded.axis))
        }
        "RoiAlign" if first > 0 && inputs.iter().all(|input| input.0 > 0 || input.2.is_none()) => {
            inputs.iter().all(|input| input.2.is_none_or(|own| own.axis == 0 && node.builder.alike(own.count, padded.count))).then_some(0)
        }
        _ => None,
    };
    match axis {
        Some(axis) => Ok(Some(Padded { axis, ..padded })),
        None => unsupported(REFUSED),
    }
}

/// The axis of the rows in the result of a map: all inputs that have it agree, and the others stretch along it or have as many rows as there could be.
fn map_axis(node: &NodeImport<'_>, inputs: &[Given], padded: Padded, to: &[u64]) -> Option<usize> {
    let from_end = |(_, value, own): &Given| own.map(|own| (node.rank(*value) - own.axis, own.count));
    let wanted = inputs.iter().find_map(from_end)?;
    let axis = to.len().checked_sub(wanted.0)?;
    let rows = |value: ValueId| {
        let dims = node.dims(value);
        dims.len().checked_sub(wanted.0).map(|axis| dims[axis])
    };
    let fits = |input: &Given| match from_end(input) {
        // Rows of which there could be one would stretch where there are more.
        Some(own) => own.0 == wanted.0 && node.builder.alike(own.1, padded.count) && rows(input.1) == Some(to[axis]),
        None => rows(input.1).is_none_or(|rows| rows == 1 || rows == to[axis]),
    };
    inputs.iter().all(fits).then_some(axis)
}

impl Builder {
    /// Whether two values are the same, since they are computed alike of the same.
    pub(crate) fn alike(&self, a: ValueId, b: ValueId) -> bool {
        let mut pending = vec![(a, b)];
        let mut seen = std::collections::BTreeSet::new();
        while let Some((a, b)) = pending.pop() {
            if a == b || !seen.insert((a, b)) {
                continue;
            }
            let (Definition::Result(x, i), Definition::Result(y, j)) = (self.graph.values[a].definition, self.graph.values[b].definition)
            else {
                return false;
            };
            let (x, y) = (&self.graph.ops[x], &self.graph.ops[y]);
            let same = match (&x.op, &y.op) {
                (Op::Constant(x), Op::Constant(y)) => self.graph.tensors[*x] == self.graph.tensors[*y],
                (x, y) => x == y,
            };
            if !same || i != j || x.operands.len() != y.operands.len() || self.graph.ty(a) != self.graph.ty(b) {
                return false;
            }
            pending.extend(x.operands.iter().copied().zip(y.operands.iter().copied()));
        }
        true
    }
}

impl NodeImport<'_> {
    /// What is known of a value with rows that mean nothing.
    pub(crate) fn padded(&self, value: ValueId) -> Option<Padded> {
        self.builder.padded_of(value)
    }

    /// How many rows along an axis of a value mean something.
    pub(crate) fn rows_along(&self, value: ValueId, axis: usize) -> Extent {
        let size = self.dims(value)[axis];
        match self.padded(value) {
            Some(padded) if padded.axis == axis => Extent::count(size, padded.count),
            _ => Extent::exact(size as i64),
        }
    }

    /// The value with rows of which only so many mean something; the value itself where all do.
    pub(crate) fn with_rows(&mut self, value: ValueId, axis: usize, rows: Extent) -> One {
        let Some(count) = rows.term() else { return Ok(value) };
        self.marked(value, Padded { axis, count })
    }

    /// The value with rows that mean nothing, as one of its own: others may go on with the one that it is made of.
    pub(crate) fn marked(&mut self, value: ValueId, padded: Padded) -> One {
        let dims = self.dims(value);
        let own = self.shaped(Op::Reshape, value, &dims)?;
        self.builder.set_padded(own, padded);
        Ok(own)
    }

    /// Which of `size` rows mean something, along `axis` of `rank`.
    pub(crate) fn meaningful(&mut self, size: u64, count: ValueId, axis: usize, rank: usize) -> One {
        let positions = self.positions(size, axis, rank)?;
        self.compare(CompareOp::Lt, positions, count)
    }

    /// The value with a number in rows that mean nothing, so that all of it means something.
    pub(crate) fn filled(&mut self, value: ValueId, number: f64) -> One {
        let Some(padded) = self.padded(value) else { return Ok(value) };
        let dims = self.dims(value);
        let meaningful = self.meaningful(dims[padded.axis], padded.count, padded.axis, dims.len())?;
        let dtype = self.dtype(value);
        let nothing = match dtype {
            DType::Bool => self.constant(Tensor::scalar(number > 0.0)),
            _ => self.scalar(dtype, number),
        };
        self.select(meaningful, value, nothing)
    }

    /// Positions along an axis, those below 0 counted from the end of the rows that mean something.
    pub(crate) fn counted_back(&mut self, x: ValueId, axis: usize, indices: ValueId) -> One {
        let Some(padded) = self.padded(x).filter(|padded| padded.axis == axis) else { return Ok(indices) };
        let dtype = self.dtype(indices);
        let (zero, count) = (self.scalar(dtype, 0.0), self.cast(dtype, padded.count)?);
        let negative = self.compare(CompareOp::Lt, indices, zero)?;
        let from_end = self.binary(BinaryOp::Add, indices, count)?;
        self.select(negative, from_end, indices)
    }

    /// The one pair of axis and count that several inputs put their rows at; none where no input has such rows.
    pub(crate) fn agreed(&self, rows: &[Option<Padded>]) -> Result<Option<Padded>, Problem> {
        let mut given = rows.iter().flatten();
        let Some(&first) = given.next() else { return Ok(None) };
        if given.all(|other| other.axis == first.axis && self.builder.alike(other.count, first.count)) {
            return Ok(Some(first));
        }
        unsupported(REFUSED)
    }

    /// Results with the rows that inputs agree on.
    pub(crate) fn agreeing(&mut self, results: Vec<ValueId>, rows: &[Option<Padded>]) -> Result<Vec<ValueId>, Problem> {
        match self.agreed(rows)? {
            Some(padded) => results.into_iter().map(|result| self.marked(result, padded)).collect(),
            None => Ok(results),
        }
    }
}

/// A value as it leaves the model: -1 (false, of truth values) in rows that mean nothing.
pub(crate) fn leaving(builder: &mut Builder, value: ValueId, padded: Padded) -> One {
    let (dtype, dims) = (builder.dtype(value), builder.dims(value));
    let mut shape = vec![1; dims.len()];
    shape[padded.axis] = dims[padded.axis];
    let rows = i32::try_from(dims[padded.axis]).map_err(|_| "it has more rows than can be numbered")?;
    let positions = Tensor::from_i32(&shape, &(0..rows).collect::<Vec<_>>()).map_err(|error| error.to_string())?;
    let positions = builder.constant(positions);
    let meaningful = builder.emit(Op::Compare(CompareOp::Lt), &[positions, padded.count], None)?[0];
    let nothing = builder.constant(Tensor::scalar_of(dtype, if dtype == DType::Bool { 0.0 } else { -1.0 }));
    Ok(builder.emit(Op::Select, &[meaningful, value, nothing], None)?[0])
}

/// Where rows are after a reshape at the place of the result's axis that a run decides, if one does, and how many of them there are.
pub(crate) fn reshaped(node: &mut NodeImport<'_>, x: ValueId, to: &[u64], open: Option<usize>) -> Result<Option<Padded>, Problem> {
    let Some(padded) = node.padded(x) else { return Ok(None) };
    let from = node.dims(x);
    let before: u64 = from[..padded.axis].iter().product();
    let same = |place: &usize| to[*place] == from[padded.axis] && (to[*place] != 1 || from[padded.axis] == 1);
    let starts = |place: &usize| to[..*place].iter().product::<u64>() == before;
    let place = match open {
        Some(place) => Some(place).filter(starts),
        None => (0..to.len()).find(|place| starts(place) && same(place)),
    };
    let Some(place) = place else { return unsupported(REFUSED) };
    let (inner, other): (u64, u64) = (from[padded.axis + 1..].iter().product(), to[place + 1..].iter().product());
    let rows = Extent::count(from[padded.axis], padded.count);
    let elements = node.combined(BinaryOp::Mul, rows, Extent::exact(inner as i64))?;
    let rows = if inner == other { rows } else { node.combined(BinaryOp::Div, elements, Extent::exact(other.max(1) as i64))? };
    Ok(rows.term().map(|count| Padded { axis: place, count }))
}
