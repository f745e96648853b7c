//! What the intrinsic pipelines of the standard library become.

use crate::body::Lowered;
use mlp_analysis::{Intrinsic, Value};
use mlp_graph::op::{BinaryOp, Fit, ReduceKind};
use mlp_graph::{DType, Graph, Op, Origin, Shape};

/// Appends the operations of an intrinsic; the error says what its arguments lack.
pub(crate) fn lower(graph: &mut Graph, intrinsic: Intrinsic, args: &[Lowered], origin: &Origin) -> Result<Lowered, String> {
    match (intrinsic, args) {
        (
            Intrinsic::Resize,
            [Lowered::Image(photo), Lowered::Constant(Value::Size { width, height }), Lowered::Constant(Value::Choice(crop))],
        ) => {
            let fit = if crop == "center" { Fit::CropCenter } else { Fit::Stretch };
            let op = Op::ImageResize { height: u64::from(*height), width: u64::from(*width), fit };
            one(graph.append_one(op, &[*photo], origin.clone()))
        }
        (Intrinsic::ToNchw, [Lowered::Tensor(pixels)]) => {
            let planes = graph.transpose(*pixels, &[2, 0, 1], origin.clone()).map_err(|error| error.to_string())?;
            let shape = batched(graph, planes);
            one(graph.reshape(planes, shape, origin.clone()))
        }
        (Intrinsic::ToNhwc, [Lowered::Tensor(pixels)]) => {
            let shape = batched(graph, *pixels);
            one(graph.reshape(*pixels, shape, origin.clone()))
        }
        (Intrinsic::Unbatch, [Lowered::Tensor(batch)]) => {
            let shape = Shape(graph.ty(*batch).shape.0.iter().copied().skip(1).collect());
            one(graph.reshape(*batch, shape, origin.clone()))
        }
        (Intrinsic::Softmax, [Lowered::Tensor(scores)]) => {
            let axis = last_axis(graph, *scores)?;
            one(graph.append_one(Op::Softmax { axis }, &[*scores], origin.clone()))
        }
        (Intrinsic::Argmax, [Lowered::Tensor(scores)]) => {
            let axis = last_axis(graph, *scores)?;
            let op = Op::ArgReduce { max: true, axis, keep: false, last: false };
            let index = graph.append_one(op, &[*scores], origin.clone()).map_err(|error| error.to_string())?;
            graph.cast(DType::I32, index, origin.clone()).map(Lowered::Label).map_err(|error| error.to_string())
        }
        (Intrinsic::TopK, [Lowered::Tensor(scores), Lowered::Constant(Value::Number(count, None))]) => {
            let axis = last_axis(graph, *scores)?;
            let op = Op::TopK { k: *count as u64, axis, largest: true };
            let results = graph.append(op, &[*scores], origin.clone()).map_err(|error| error.to_string())?;
            let [scores, indices] = results[..] else { return Err("a top-k has two results".to_owned()) };
            let indices = graph.cast(DType::I32, indices, origin.clone()).map_err(|error| error.to_string())?;
            Ok(Lowered::Ranking { indices, scores })
        }
        (
            Intrinsic::Clip,
            [Lowered::Tensor(x), Lowered::Constant(Value::Number(low, None)), Lowered::Constant(Value::Number(high, None))],
        ) => {
            if low > high {
                return Err(format!("its range is empty: {low} is more than {high}"));
            }
            let dtype = graph.ty(*x).dtype;
            let (low, high) = (graph.scalar(dtype, *low, origin.clone()), graph.scalar(dtype, *high, origin.clone()));
            let raised = graph.binary(BinaryOp::Max, *x, low, origin.clone()).map_err(|error| error.to_string())?;
            one(graph.binary(BinaryOp::Min, raised, high, origin.clone()))
        }
        (Intrinsic::Relu, [Lowered::Tensor(x)]) => {
            let zero = graph.scalar(graph.ty(*x).dtype, 0.0, origin.clone());
            one(graph.binary(BinaryOp::Max, *x, zero, origin.clone()))
        }
        (Intrinsic::Max, [Lowered::Tensor(x)]) => reduce(graph, ReduceKind::Max, *x, origin),
        (Intrinsic::Min, [Lowered::Tensor(x)]) => reduce(graph, ReduceKind::Min, *x, origin),
        (Intrinsic::Sum, [Lowered::Tensor(x)]) => reduce(graph, ReduceKind::Sum, *x, origin),
        (Intrinsic::Mean, [Lowered::Tensor(x)]) => reduce(graph, ReduceKind::Mean, *x, origin),
        _ => Err("the arguments are not what it takes".to_owned()),
    }
}

/// Over all axes, to a single value.
fn reduce(graph: &mut Graph, kind: ReduceKind, x: mlp_graph::ValueId, origin: &Origin) -> Result<Lowered, String> {
    let axes = (0..graph.ty(x).shape.rank() as u32).collect();
    one(graph.append_one(Op::Reduce { kind, axes, keep: false }, &[x], origin.clone()))
}

fn one(result: Result<mlp_graph::ValueId, mlp_graph::InferError>) -> Result<Lowered, String> {
    result.map(Lowered::Tensor).map_err(|error| error.to_string())
}

fn last_axis(graph: &Graph, value: mlp_graph::ValueId) -> Result<u32, String> {
    let rank = graph.ty(value).shape.rank() as u32;
    rank.checked_sub(1).ok_or_else(|| "it needs at least one dimension".to_owned())
}

/// The shape of a value with a dimension of one before it.
fn batched(graph: &Graph, value: mlp_graph::ValueId) -> Shape {
    let dims = &graph.ty(value).shape.0;
    Shape(std::iter::once(mlp_graph::Dim::Const(1)).chain(dims.iter().copied()).collect())
}
