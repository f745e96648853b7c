//! What an operator's importer sees of its node, and the small steps that importers are made of.

use super::attributes::Attributes;
use super::builder::Builder;
use super::scope::Scope;
use crate::error::ImportError;
use mlp_graph::infer::InferError;
use mlp_graph::ir::Type;
use mlp_graph::op::{BinaryOp, CompareOp, ReduceKind, UnaryOp};
use mlp_graph::{DType, Op, Shape, Tensor, ValueId};

/// Why a node could not be imported; who called the importer knows the place.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The model is right, but this cannot be compiled.
    Unsupported(String),
    /// An operand must be known when compiling, but depends on an input of the model.
    NeedsValue {
        /// The operand.
        what: String,
        /// The input.
        input: String,
    },
    /// The model breaks the operator's rules.
    Invalid(String),
    /// A node of a body could not be imported.
    Inside {
        /// The attribute that holds the body.
        body: String,
        /// Why.
        error: Box<ImportError>,
    },
}

impl Problem {
    /// True where a node of a body breaks its operator's rules.
    pub(crate) fn is_invalid_inside(&self) -> bool {
        matches!(self, Problem::Inside { error, .. } if error.is_invalid_node())
    }
}

impl From<String> for Problem {
    fn from(detail: String) -> Problem {
        Problem::Invalid(detail)
    }
}

impl From<&str> for Problem {
    fn from(detail: &str) -> Problem {
        Problem::Invalid(detail.to_owned())
    }
}

impl From<InferError> for Problem {
    fn from(error: InferError) -> Problem {
        Problem::Invalid(error.to_string())
    }
}

pub(crate) fn unsupported<T>(detail: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Unsupported(detail.into()))
}

pub(crate) fn invalid<T>(detail: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Invalid(detail.into()))
}

/// What an importer returns: a value an output, possibly fewer than the node names.
pub(crate) type Imported = Result<Vec<ValueId>, Problem>;

/// One value, or why there is none.
pub(crate) type One = Result<ValueId, Problem>;

/// A node being imported.
pub(crate) struct NodeImport<'a> {
    pub(crate) builder: &'a mut Builder,
    pub(crate) attributes: Attributes<'a>,
    /// The version of the operator set of the node's domain.
    pub(crate) opset: i64,
    /// Inputs; none where one is left out.
    pub(crate) inputs: Vec<Option<ValueId>>,
    /// How many rows of the first output are looked at, from the first on, where it is known that not all are.
    pub(crate) looked_at: Option<u64>,
    /// Whether each output is named, and so wanted.
    pub(crate) wanted: Vec<bool>,
    /// What the node's bodies see.
    pub(crate) scope: &'a Scope<'a>,
}

impl NodeImport<'_> {
    pub(crate) fn input(&self, index: usize) -> One {
        self.optional(index).ok_or_else(|| Problem::Invalid(format!("input {index} is missing")))
    }

    /// Puts another value in the place of an input.
    pub(crate) fn replace_input(&mut self, index: usize, value: ValueId) {
        if let Some(input) = self.inputs.get_mut(index) {
            *input = Some(value);
        }
    }

    pub(crate) fn optional(&self, index: usize) -> Option<ValueId> {
        self.inputs.get(index).copied().flatten()
    }

    /// All inputs of a variadic operator.
    pub(crate) fn all_inputs(&self) -> Result<Vec<ValueId>, Problem> {
        match self.inputs.iter().copied().collect::<Option<Vec<_>>>() {
            Some(inputs) if !inputs.is_empty() => Ok(inputs),
            _ => invalid("an input is missing"),
        }
    }

    /// Whether an output past the first is named.
    pub(crate) fn wants(&self, output: usize) -> bool {
        self.wanted.get(output).copied().unwrap_or(false)
    }

    pub(crate) fn dtype(&self, value: ValueId) -> DType {
        self.builder.dtype(value)
    }

    pub(crate) fn dims(&self, value: ValueId) -> Vec<u64> {
        self.builder.dims(value)
    }

    pub(crate) fn rank(&self, value: ValueId) -> usize {
        self.builder.graph.ty(value).shape.rank()
    }

    /// The integers in a value that must be known while compiling.
    pub(crate) fn known_integers(&self, value: ValueId, what: &str) -> Result<Vec<i64>, Problem> {
        let Some(tensor) = self.builder.known(value) else {
            if let Some(input) = self.builder.input_behind(value) {
                return Err(Problem::NeedsValue { what: what.to_owned(), input });
            }
            return unsupported(format!(
                "{what} is computed while the model runs; only one that is known when compiling is supported (simplify the model, or bind more dimensions)"
            ));
        };
        tensor.to_i64().ok_or_else(|| Problem::Invalid(format!("{what} should hold integers, but holds {}", tensor.dtype())))
    }

    /// The one integer in a value that must be known while compiling.
    pub(crate) fn known_integer(&self, value: ValueId, what: &str) -> Result<i64, Problem> {
        match self.known_integers(value, what)?.as_slice() {
            &[one] => Ok(one),
            several => invalid(format!("{what} should hold one integer, but holds {}", several.len())),
        }
    }

    /// The one truth value in a value, where it is known while compiling.
    pub(crate) fn known_condition(&self, value: ValueId) -> Result<Option<bool>, Problem> {
        let (dtype, count) = (self.dtype(value), self.dims(value).iter().product::<u64>());
        if dtype != DType::Bool || count != 1 {
            return invalid(format!("a condition should be one bool, but is {}", self.builder.graph.ty(value)));
        }
        Ok(self.builder.known(value).map(|tensor| tensor.bytes() == [1]))
    }

    /// What to say where something must be known while compiling and is not: with the input of the model that it depends on, if there is one.
    pub(crate) fn unknown(&self, value: ValueId, what: String, remedy: &str) -> Problem {
        match self.builder.input_behind(value) {
            Some(input) => Problem::NeedsValue { what, input },
            None => Problem::Unsupported(format!("{what} is computed while the model runs; {remedy}")),
        }
    }

    /// The one float in a value that must be known while compiling.
    pub(crate) fn needed_float(&self, value: ValueId, what: &str) -> Result<f64, Problem> {
        match self.known_float(value) {
            Some(number) => Ok(number),
            // What is missing is said as it is for integers.
            None => self.known_integers(value, what).and_then(|_| invalid(format!("{what} should be one float"))),
        }
    }

    /// The one number in a value, where it is known while compiling and a float.
    pub(crate) fn known_float(&self, value: ValueId) -> Option<f64> {
        match self.builder.known(value)? {
            tensor if tensor.dtype().is_float() && tensor.len() == 1 => tensor.to_f64().first().copied(),
            _ => None,
        }
    }

    /// An axis of ONNX, possibly counted from the end, as a position below `rank`.
    pub(crate) fn axis(&self, axis: i64, rank: usize) -> Result<usize, Problem> {
        let resolved = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
        match usize::try_from(resolved) {
            Ok(resolved) if resolved < rank => Ok(resolved),
            _ => invalid(format!("axis {axis} is outside a value of rank {rank}")),
        }
    }

    /// Several axes, resolved, ascending, none twice.
    pub(crate) fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>, Problem> {
        let mut resolved = axes.iter().map(|&axis| self.axis(axis, rank)).collect::<Result<Vec<_>, _>>()?;
        resolved.sort_unstable();
        if resolved.windows(2).any(|pair| pair[0] == pair[1]) {
            return invalid(format!("an axis is given twice in {axes:?}"));
        }
        Ok(resolved)
    }

    pub(crate) fn emit(&mut self, op: Op, operands: &[ValueId]) -> One {
        Ok(self.builder.emit(op, operands, None)?[0])
    }

    pub(crate) fn unary(&mut self, op: UnaryOp, x: ValueId) -> One {
        self.emit(Op::Unary(op), &[x])
    }

    pub(crate) fn binary(&mut self, op: BinaryOp, x: ValueId, y: ValueId) -> One {
        self.emit(Op::Binary(op), &[x, y])
    }

    /// `op(x, number)`.
    pub(crate) fn with_number(&mut self, op: BinaryOp, x: ValueId, number: f64) -> One {
        let number = self.scalar(self.dtype(x), number);
        self.binary(op, x, number)
    }

    pub(crate) fn compare(&mut self, op: CompareOp, x: ValueId, y: ValueId) -> One {
        self.emit(Op::Compare(op), &[x, y])
    }

    pub(crate) fn select(&mut self, condition: ValueId, yes: ValueId, no: ValueId) -> One {
        self.emit(Op::Select, &[condition, yes, no])
    }

    /// `x` where a number is not 0, and 1 where it is.
    pub(crate) fn select_bit(&mut self, bit: ValueId, x: ValueId) -> One {
        let (zero, one) = (self.scalar(self.dtype(bit), 0.0), self.scalar(self.dtype(x), 1.0));
        let set = self.compare(CompareOp::Ne, bit, zero)?;
        self.select(set, x, one)
    }

    pub(crate) fn cast(&mut self, dtype: DType, x: ValueId) -> One {
        if self.dtype(x) == dtype { Ok(x) } else { self.emit(Op::Cast(dtype), &[x]) }
    }

    /// A cast whose result has in the model the element type that it has here, even where that of `x` is one of few bits.
    pub(crate) fn cast_plainly(&mut self, dtype: DType, x: ValueId) -> One {
        if self.builder.narrow(x).is_none() || self.dtype(x) != dtype {
            return self.cast(dtype, x);
        }
        let dims = self.dims(x);
        let same = self.shaped(Op::Reshape, x, &dims)?;
        self.builder.unmark_narrow(same);
        Ok(same)
    }

    pub(crate) fn reduce(&mut self, kind: ReduceKind, axes: &[usize], keep: bool, x: ValueId) -> One {
        if axes.is_empty() {
            return Ok(x);
        }
        self.emit(Op::Reduce { kind, axes: axes.iter().map(|&axis| axis as u32).collect(), keep }, &[x])
    }

    pub(crate) fn transpose(&mut self, perm: &[usize], x: ValueId) -> One {
        if perm.iter().enumerate().all(|(position, &axis)| position == axis) {
            return Ok(x);
        }
        self.emit(Op::Transpose { perm: perm.iter().map(|&axis| axis as u32).collect() }, &[x])
    }

    /// An operation whose result's shape is a free choice: `Reshape`, `Broadcast` or `Slice`.
    pub(crate) fn shaped(&mut self, op: Op, x: ValueId, dims: &[u64]) -> One {
        let ty = Type::new(self.dtype(x), Shape::fixed(dims));
        Ok(self.builder.emit(op, &[x], Some(ty))?[0])
    }

    pub(crate) fn reshape(&mut self, x: ValueId, dims: &[u64]) -> One {
        if self.dims(x) == dims { Ok(x) } else { self.shaped(Op::Reshape, x, dims) }
    }

    pub(crate) fn broadcast(&mut self, x: ValueId, dims: &[u64]) -> One {
        if self.dims(x) == dims { Ok(x) } else { self.shaped(Op::Broadcast, x, dims) }
    }

    /// `counts` elements from `starts` in `steps`, an axis.
    pub(crate) fn slice(&mut self, x: ValueId, starts: Vec<i64>, steps: Vec<i64>, counts: &[u64]) -> One {
        if starts.iter().all(|&start| start == 0) && steps.iter().all(|&step| step == 1) && self.dims(x) == counts {
            return Ok(x);
        }
        self.shaped(Op::Slice { starts, steps }, x, counts)
    }

    /// A rank 1 constant of `I64`.
    pub(crate) fn integers(&mut self, values: &[i64]) -> One {
        let tensor = Tensor::from_i64(&[values.len() as u64], values).map_err(|error| error.to_string())?;
        Ok(self.builder.constant(tensor))
    }

    /// The positions `0, 1, ...` along `axis` of `I32`, of size 1 along the other axes of `rank`: what an index is compared with. An error where the model
    /// creates too many constants.
    pub(crate) fn positions(&mut self, size: u64, axis: usize, rank: usize) -> One {
        if size > i32::MAX as u64 || !self.builder.may_create(size.saturating_mul(4)) {
            return unsupported(format!("the positions of an axis of {size} elements are too many to be stored; use smaller sizes"));
        }
        let values: Vec<i32> = (0..size as i32).collect();
        let mut shape = vec![1; rank];
        shape[axis] = size;
        let tensor = Tensor::from_i32(&shape, &values).map_err(|error| error.to_string())?;
        Ok(self.builder.constant(tensor))
    }

    pub(crate) fn constant(&mut self, tensor: Tensor) -> ValueId {
        self.builder.constant(tensor)
    }

    /// A rank 0 constant.
    pub(crate) fn scalar(&mut self, dtype: DType, value: f64) -> ValueId {
        self.builder.constant(Tensor::scalar_of(dtype, value))
    }

    /// A value of one element as rank 0, for operands that ONNX wants to be scalars but that files store with shape `[1]`.
    pub(crate) fn as_scalar(&mut self, x: ValueId, what: &str) -> One {
        let dims = self.dims(x);
        if dims.iter().any(|&dim| dim != 1) {
            return invalid(format!("{what} should be a scalar, but has shape {dims:?}"));
        }
        self.reshape(x, &[])
    }
}
