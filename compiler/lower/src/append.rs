//! Appending to a graph at one place of the source, with errors as text.

use mlp_graph::op::{BinaryOp, CompareOp, UnaryOp};
use mlp_graph::{DType, Graph, InferError, Op, Origin, Tensor, ValueId};

/// A value of the graph, or what is wrong.
pub(crate) type Made = Result<ValueId, String>;

/// What appends operations to a graph.
pub(crate) trait Append {
    /// The graph.
    fn graph(&mut self) -> &mut Graph;

    /// Where what is appended stands.
    fn origin(&self) -> Origin;

    fn op(&mut self, op: Op, operands: &[ValueId]) -> Made {
        let origin = self.origin();
        text(self.graph().append_one(op, operands, origin))
    }

    fn unary(&mut self, op: UnaryOp, x: ValueId) -> Made {
        self.op(Op::Unary(op), &[x])
    }

    fn binary(&mut self, op: BinaryOp, x: ValueId, y: ValueId) -> Made {
        self.op(Op::Binary(op), &[x, y])
    }

    /// A map of a value and a number of its element type.
    fn with_number(&mut self, op: BinaryOp, x: ValueId, number: f64) -> Made {
        let number = self.scalar_like(x, number);
        self.binary(op, x, number)
    }

    fn compare(&mut self, op: CompareOp, x: ValueId, y: ValueId) -> Made {
        self.op(Op::Compare(op), &[x, y])
    }

    fn cast(&mut self, dtype: DType, x: ValueId) -> Made {
        let origin = self.origin();
        text(self.graph().cast(dtype, x, origin))
    }

    fn transpose(&mut self, x: ValueId, perm: &[u32]) -> Made {
        let origin = self.origin();
        text(self.graph().transpose(x, perm, origin))
    }

    /// A number of a value's element type.
    fn scalar_like(&mut self, x: ValueId, number: f64) -> ValueId {
        let origin = self.origin();
        let dtype = self.graph().ty(x).dtype;
        self.graph().scalar(dtype, number, origin)
    }

    /// A constant of `F32`.
    fn floats(&mut self, shape: &[u64], values: &[f32]) -> Made {
        let origin = self.origin();
        let tensor = Tensor::from_f32(shape, values).map_err(|error| error.to_string())?;
        Ok(self.graph().constant(tensor, origin))
    }
}

/// The error of the graph as text.
pub(crate) fn text<T>(result: Result<T, InferError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}
