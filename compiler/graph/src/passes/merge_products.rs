//! Products of one value with several weights, read by attention alone, become one product: query, key and value are then parts of one buffer.
//!
//! Each is `x W`, or `x W + b` with a bias of `W`'s columns, all constant, and reaches attention through reshapes and transposes. Its place is taken
//! by a slice of the one product's last axis, which costs nothing: attention reads views.

use super::rewrite::count_uses;
use crate::infer::InferError;
use crate::ir::{Graph, OpId, Origin, ValueId};
use crate::op::{BinaryOp, Op};
use crate::ops::movement;
use crate::shape::Dim;
use crate::tensor::Tensor;
use cranelift_entity::SecondaryMap;
use mlp_bundle::DType;

/// One product.
struct Product {
    /// The product, its bias added.
    result: ValueId,
    x: ValueId,
    weights: Tensor,
    bias: Option<Tensor>,
}

pub(super) fn run(graph: &mut Graph) -> Result<(), InferError> {
    let uses = count_uses(graph);
    let attentions: Vec<OpId> = graph.order.iter().copied().filter(|&id| matches!(graph.ops[id].op, Op::Attention { .. })).collect();
    for id in attentions {
        let operands = graph.ops[id].operands[..3].to_vec();
        let mut left: Vec<Product> = operands.iter().filter_map(|&operand| product_behind(graph, &uses, operand)).collect();
        while !left.is_empty() {
            let first = left.remove(0);
            let like = |other: &Product| other.x == first.x && other.bias.is_some() == first.bias.is_some();
            let (mut alike, others): (Vec<Product>, Vec<Product>) = left.into_iter().partition(like);
            left = others;
            if !alike.is_empty() {
                alike.insert(0, first);
                merge(graph, &alike)?;
            }
        }
    }
    Ok(())
}

/// The product that a value is a view of, where nobody else reads it.
fn product_behind(graph: &Graph, uses: &SecondaryMap<ValueId, u32>, mut value: ValueId) -> Option<Product> {
    loop {
        let node = graph.defining(value).filter(|_| uses[value] == 1)?;
        match node.op {
            Op::Reshape | Op::Transpose { .. } => value = node.operands[0],
            Op::Binary(BinaryOp::Add) => {
                let columns = graph.ty(value).shape.0.last().copied()?;
                let constant = |value: ValueId| {
                    graph.constant_of(value).filter(|tensor| tensor.shape().len() == 1 && Dim::Const(tensor.shape()[0]) == columns)
                };
                let (product, bias) = match (constant(node.operands[1]), constant(node.operands[0])) {
                    (Some(bias), _) => (node.operands[0], bias),
                    (None, Some(bias)) => (node.operands[1], bias),
                    (None, None) => return None,
                };
                let product = plain_product(graph, uses, product)?;
                return Some(Product { result: value, bias: Some(bias.clone()), ..product });
            }
            _ => return plain_product(graph, uses, value),
        }
    }
}

fn plain_product(graph: &Graph, uses: &SecondaryMap<ValueId, u32>, value: ValueId) -> Option<Product> {
    let node = graph.defining(value).filter(|node| node.op == Op::MatMul && uses[value] == 1)?;
    let weights = graph.constant_of(node.operands[1]).filter(|weights| weights.shape().len() == 2 && weights.dtype() == DType::F32)?;
    Some(Product { result: value, x: node.operands[0], weights: weights.clone(), bias: None })
}

/// Puts one product in the place of several.
fn merge(graph: &mut Graph, products: &[Product]) -> Result<(), InferError> {
    let results: Vec<ValueId> = products.iter().map(|product| product.result).collect();
    // The first of the results stands where all operands are defined: constants may move, and `x` is defined before any product of it.
    let place = graph.order.iter().position(|&id| graph.ops[id].results.iter().any(|result| results.contains(result)));
    let place = place.expect("the products are live");
    let id = graph.order[place];
    let (origin, x) = (graph.origins[id].clone(), products[0].x);
    let tail = graph.order.split_off(place);
    let joined = joined(graph, products.iter().map(|product| &product.weights), &origin);
    let mut value = graph.append_one(Op::MatMul, &[x, joined], origin.clone())?;
    if products[0].bias.is_some() {
        let bias = joined_bias(graph, products, &origin);
        value = graph.binary(BinaryOp::Add, value, bias, origin.clone())?;
    }
    let mut start = 0;
    let mut renamed = Vec::new();
    for product in products.iter() {
        let counts = graph.ty(product.result).shape.clone();
        let mut starts = vec![0; counts.rank()];
        *starts.last_mut().expect("a product has an axis") = start;
        start += product.weights.shape()[1] as i64;
        let part = graph.slice(value, starts, vec![1; counts.rank()], counts, origin.clone())?;
        renamed.push((product.result, part));
    }
    graph.order.extend(tail);
    renamed.into_iter().for_each(|(old, new)| graph.replace_uses(old, new));
    Ok(())
}

/// Weights side by side.
fn joined<'t>(graph: &mut Graph, weights: impl Iterator<Item = &'t Tensor>, origin: &Origin) -> ValueId {
    let weights: Vec<&Tensor> = weights.collect();
    let columns = weights.iter().map(|tensor| tensor.shape()[1]).sum();
    let tensor = movement::eval_concat(1, &weights, &[weights[0].shape()[0], columns]);
    graph.constant(tensor, origin.clone())
}

fn joined_bias(graph: &mut Graph, products: &[Product], origin: &Origin) -> ValueId {
    let biases: Vec<&Tensor> = products.iter().filter_map(|product| product.bias.as_ref()).collect();
    let tensor = movement::eval_concat(0, &biases, &[biases.iter().map(|bias| bias.shape()[0]).sum()]);
    graph.constant(tensor, origin.clone())
}
