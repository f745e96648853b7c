//! One file an operator family: its shape rule, its reference evaluation and, for composites, its decomposition.
//!
//! To add an operation: write its exact semantics in [`crate::op`], its name and arity below, its rules in the file of its family, and a test there
//! that compares `eval` with numbers worked out by other means.

use crate::ir::Type;
use crate::numbers::Elements;
use crate::op::Op;
use crate::tensor::Tensor;
use mlp_bundle::DType;

pub(crate) mod attention;
pub(crate) mod composite;
pub(crate) mod conv;
pub(crate) mod image;
pub(crate) mod map;
pub(crate) mod matmul;
pub(crate) mod movement;
pub(crate) mod normalize;
pub(crate) mod pool;
pub(crate) mod quantize;
pub(crate) mod quantized;
pub(crate) mod reduce;
pub(crate) mod window;

impl Op {
    /// The operation's name in the text form and in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Constant(_) => "constant",
            Op::Symbol(_) => "symbol",
            Op::Size { .. } => "size",
            Op::Unary(op) => map::unary_name(*op),
            Op::Binary(op) => map::binary_name(*op),
            Op::Compare(op) => map::compare_name(*op),
            Op::Select => "select",
            Op::Cast(_) => "cast",
            Op::Bitcast(_) => "bitcast",
            Op::Reshape => "reshape",
            Op::Transpose { .. } => "transpose",
            Op::Broadcast => "broadcast",
            Op::Slice { .. } => "slice",
            Op::Pad { .. } => "pad",
            Op::Concat { .. } => "concat",
            Op::Gather { .. } => "gather",
            Op::Extend => "extend",
            Op::Trim => "trim",
            Op::Reduce { .. } => "reduce",
            Op::ArgReduce { .. } => "arg_reduce",
            Op::TopK { .. } => "top_k",
            Op::MatMul => "matmul",
            Op::Conv { .. } => "conv",
            Op::Pool { .. } => "pool",
            Op::MaxPoolIndices { .. } => "max_pool_indices",
            Op::Quantize { .. } => "quantize",
            Op::Dequantize { .. } => "dequantize",
            Op::QuantizedConv { .. } => "quantized_conv",
            Op::QuantizedMatMul { .. } => "quantized_matmul",
            Op::QuantizedAdd { .. } => "quantized_add",
            Op::QuantizedMean { .. } => "quantized_mean",
            Op::Softmax { .. } => "softmax",
            Op::BatchNorm { .. } => "batch_norm",
            Op::Normalize { .. } => "normalize",
            Op::Attention { .. } => "attention",
            Op::ImageResize { .. } => "image_resize",
            Op::ImageSize => "image_size",
        }
    }

    /// The least and the greatest number of operands.
    pub fn arity(&self) -> (usize, usize) {
        match self {
            Op::Constant(_) | Op::Symbol(_) | Op::Size { .. } => (0, 0),
            Op::Unary(_) | Op::Cast(_) | Op::Bitcast(_) | Op::Reshape | Op::Transpose { .. } | Op::Broadcast | Op::Slice { .. } => (1, 1),
            Op::Reduce { .. } | Op::ArgReduce { .. } | Op::TopK { .. } | Op::Pool { .. } | Op::MaxPoolIndices { .. } => (1, 1),
            Op::QuantizedMean { .. } | Op::Softmax { .. } | Op::Normalize { .. } => (1, 1),
            Op::Extend | Op::Trim | Op::ImageResize { .. } | Op::ImageSize => (1, 1),
            Op::Binary(_) | Op::Compare(_) | Op::Pad { .. } | Op::Gather { .. } | Op::MatMul | Op::QuantizedAdd { .. } => (2, 2),
            Op::Conv { .. } => (2, 3),
            Op::Select | Op::Quantize { .. } | Op::Dequantize { .. } => (3, 3),
            Op::QuantizedConv { .. } | Op::QuantizedMatMul { .. } | Op::Attention { .. } => (3, 4),
            Op::BatchNorm { .. } => (5, 5),
            Op::Concat { .. } => (1, usize::MAX),
        }
    }

    /// The number of results.
    pub fn results(&self) -> usize {
        if matches!(self, Op::TopK { .. }) { 2 } else { 1 }
    }
}

/// The result types; `declared` is the first result's declared type, given to all operations whose shape is a free choice.
pub(crate) fn infer(op: &Op, x: &[Type], declared: Option<&Type>) -> Result<Vec<Type>, String> {
    let one = match op {
        Op::Unary(op) => map::infer_unary(*op, &x[0]),
        Op::Binary(op) => map::infer_binary(*op, &x[0], &x[1]),
        Op::Compare(op) => map::infer_compare(*op, &x[0], &x[1]),
        Op::Select => map::infer_select(&x[0], &x[1], &x[2]),
        Op::Cast(dtype) => Ok(Type::new(*dtype, x[0].shape.clone())),
        Op::Bitcast(dtype) => map::infer_bitcast(*dtype, &x[0]),
        Op::Constant(_) => movement::infer_constant(declared.expect("result_types asks for it")),
        Op::Symbol(_) | Op::Size { .. } => Ok(Type::fixed(DType::I32, &[])),
        Op::Extend => movement::infer_extend(&x[0], declared.expect("result_types asks for it")),
        Op::Trim => movement::infer_trim(&x[0], declared.expect("result_types asks for it")),
        Op::Reshape => movement::infer_reshape(&x[0], declared.expect("result_types asks for it")),
        Op::Broadcast => movement::infer_broadcast(&x[0], declared.expect("result_types asks for it")),
        Op::Slice { starts, steps } => movement::infer_slice(starts, steps, &x[0], declared.expect("result_types asks for it")),
        Op::Transpose { perm } => movement::infer_transpose(perm, &x[0]),
        Op::Pad { before, after } => movement::infer_pad(before, after, &x[0], &x[1]),
        Op::Concat { axis } => movement::infer_concat(*axis, x),
        Op::Gather { axis } => movement::infer_gather(*axis, &x[0], &x[1]),
        Op::Reduce { kind, axes, keep } => reduce::infer_reduce(*kind, axes, *keep, &x[0]),
        Op::ArgReduce { axis, keep, .. } => reduce::infer_arg(*axis, *keep, &x[0]),
        Op::TopK { k, axis, .. } => return reduce::infer_top_k(*k, *axis, &x[0]),
        Op::MatMul => matmul::infer(&x[0], &x[1]),
        Op::Conv { spatial, groups, layout } => conv::infer(spatial, *groups, *layout, x),
        Op::Pool { kind, spatial, layout } => pool::infer(*kind, spatial, *layout, &x[0]),
        Op::MaxPoolIndices { spatial, .. } => pool::infer_indices(spatial, &x[0]),
        Op::Quantize { axis } => quantize::infer_quantize(*axis, x),
        Op::Dequantize { axis } => quantize::infer_dequantize(*axis, x),
        Op::QuantizedConv { .. } => quantized::infer_conv(op, x),
        Op::QuantizedMatMul { .. } => quantized::infer_matmul(op, x),
        Op::QuantizedAdd { .. } => quantized::infer_add(op, x),
        Op::QuantizedMean { .. } => quantized::infer_mean(op, x),
        Op::Softmax { axis } => composite::infer_softmax(*axis, &x[0]),
        Op::BatchNorm { .. } => composite::infer_batch_norm(x),
        Op::Normalize { axis, .. } => normalize::infer(*axis, &x[0]),
        Op::Attention { .. } => attention::infer(x),
        Op::ImageResize { height, width, .. } => image::infer(*height, *width, &x[0]),
        Op::ImageSize => image::infer_size(&x[0]),
    };
    Ok(vec![one?])
}

/// The results of an operation whose operands and result types have been checked. `shapes` are the results' sizes.
pub(crate) fn eval(op: &Op, x: &[&Tensor], results: &[Type], shapes: &[Vec<u64>]) -> Vec<Tensor> {
    let (dtype, shape) = (results[0].dtype, &shapes[0]);
    let one = match op {
        Op::Constant(_) | Op::Symbol(_) => unreachable!("constants and symbols are read, not evaluated"),
        Op::Size { value, .. } => Tensor::scalar(*value as i32),
        Op::Unary(op) => Elements::load(x[0]).unary(*op).store(dtype, shape),
        Op::Binary(op) => map::eval_binary(*op, x[0], x[1], shape),
        Op::Compare(op) => map::eval_compare(*op, x[0], x[1], shape),
        Op::Select => map::eval_select(x, shape),
        Op::Cast(dtype) => Elements::load(x[0]).cast(dtype.compute()).store(*dtype, shape),
        Op::Bitcast(dtype) => map::eval_bitcast(*dtype, x[0]),
        Op::Reshape => x[0].reshaped(shape).expect("the shape rule counts elements"),
        Op::Broadcast => movement::broadcast_to(x[0], shape),
        Op::Slice { starts, steps } => movement::eval_slice(starts, steps, x[0], shape),
        Op::Transpose { perm } => movement::transposed(x[0], perm),
        Op::Pad { before, .. } => movement::eval_pad(before, x[0], x[1], shape),
        Op::Concat { axis } => movement::eval_concat(*axis, x, shape),
        Op::Gather { axis } => movement::eval_gather(*axis, x[0], x[1], shape),
        Op::Extend => movement::eval_extend(x[0], shape),
        Op::Trim => movement::eval_slice(&vec![0; shape.len()], &vec![1; shape.len()], x[0], shape),
        Op::Reduce { kind, axes, .. } => reduce::eval_reduce(*kind, axes, x[0], shape),
        Op::ArgReduce { max, axis, last, .. } => reduce::eval_arg(*max, *axis, *last, x[0], shape),
        Op::TopK { k, axis, largest } => return reduce::eval_top_k(*k, *axis, *largest, x[0]),
        Op::MatMul => matmul::eval(x[0], x[1], shape),
        Op::Conv { spatial, groups, layout } => conv::eval(spatial, *groups, *layout, x, shape),
        Op::Pool { kind, spatial, layout } => pool::eval(*kind, spatial, *layout, x[0], shape),
        Op::MaxPoolIndices { spatial, column_major } => pool::eval_indices(spatial, *column_major, x[0], shape),
        Op::Quantize { axis } => quantize::eval_quantize(*axis, x),
        Op::Dequantize { axis } => quantize::eval_dequantize(*axis, x),
        Op::QuantizedConv { .. } => quantized::eval_conv(op, x, shape),
        Op::QuantizedMatMul { .. } => quantized::eval_matmul(op, x, shape),
        Op::QuantizedAdd { .. } => quantized::eval_add(op, x, shape),
        Op::QuantizedMean { .. } => quantized::eval_mean(op, x, shape),
        Op::Softmax { axis } => composite::eval_softmax(*axis, x[0]),
        Op::BatchNorm { epsilon } => composite::eval_batch_norm(f32::from_bits(*epsilon), x),
        Op::Normalize { axis, epsilon, centred } => normalize::eval(*axis, f32::from_bits(*epsilon), *centred, x[0]),
        Op::Attention { scale, guarded } => attention::eval(f32::from_bits(*scale), *guarded, x, shape),
        Op::ImageResize { height, width, fit, filter, fill } => image::eval(*height, *width, *fit, *filter, f32::from_bits(*fill), x[0]),
        Op::ImageSize => image::eval_size(x[0]),
    };
    vec![one]
}
