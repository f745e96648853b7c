//! Models whose layers are written in the language: the operations of a [`Network`] as a graph of its own, with the weights of the model's file as constants.

mod activations;
mod attention;
mod convolution;
mod elementwise;
mod normalization;
mod recurrent;
mod sequences;

use crate::append::{Append, Made, text};
use mlp_analysis::{Dim, LayerIntrinsic, Model, Network, NetworkNode, NetworkOp, NetworkValue, Operand, TensorType, Type, Value};
use mlp_graph::ir::Type as GraphType;
use mlp_graph::op::UnaryOp;
use mlp_graph::{DType, Graph, Op, Origin, Shape, Tensor, ValueId};
use std::collections::BTreeMap;

/// Gives a tensor of floats of the model's file as `F32`, by its key.
pub type Weights<'a> = dyn Fn(&str) -> Result<Tensor, String> + 'a;

/// The graph of a model at these sizes of its symbols. Its ports are called as the model's.
pub fn network(model: &Model, network: &Network, sizes: &BTreeMap<String, u64>, weights: &Weights<'_>) -> Result<Graph, String> {
    let mut builder = Builder { graph: Graph::new(&model.name), sizes, weights, stored: BTreeMap::new(), origin: Origin::default() };
    let mut inputs = Vec::new();
    for port in &model.inputs {
        let Type::Tensor(tensor) = &port.ty else { return Err(format!("its input `{}` is no tensor", port.name)) };
        let shape = builder.shape(tensor).map_err(|reason| format!("its input `{}` {reason}", port.name))?;
        inputs.push(builder.graph.add_input(&port.name, GraphType::fixed(tensor.dtype, &shape)));
    }
    let mut nodes: Vec<ValueId> = Vec::with_capacity(network.nodes.len());
    for node in &network.nodes {
        builder.origin = Origin::new(format!("{}: {}", model.name, node.name));
        let value =
            Call { node, inputs: &inputs, nodes: &nodes }.lower(&mut builder).map_err(|reason| format!("`{}`: {reason}", node.name))?;
        builder.check(node, value)?;
        nodes.push(value);
    }
    for (port, &value) in model.outputs.iter().zip(&network.outputs) {
        let value = found(value, &inputs, &nodes).ok_or_else(|| format!("its output `{}` is computed by nothing", port.name))?;
        builder.graph.add_output(&port.name, value);
    }
    Ok(builder.graph)
}

fn found(value: NetworkValue, inputs: &[ValueId], nodes: &[ValueId]) -> Option<ValueId> {
    match value {
        NetworkValue::Input(index) => inputs.get(index as usize).copied(),
        NetworkValue::Node(index) => nodes.get(index as usize).copied(),
    }
}

/// A graph that is being made.
struct Builder<'a> {
    graph: Graph,
    sizes: &'a BTreeMap<String, u64>,
    weights: &'a Weights<'a>,
    /// Weights that are in the graph already: layers may share them.
    stored: BTreeMap<String, ValueId>,
    /// The operation that is being lowered.
    origin: Origin,
}

impl Append for Builder<'_> {
    fn graph(&mut self) -> &mut Graph {
        &mut self.graph
    }

    fn origin(&self) -> Origin {
        self.origin.clone()
    }
}

impl Builder<'_> {
    /// The sizes of a type.
    fn shape(&self, tensor: &TensorType) -> Result<Vec<u64>, String> {
        let size =
            |dim: &Dim| dim.size(&|name| self.sizes.get(name).copied()).ok_or_else(|| format!("has the size `{dim}`, which is not known"));
        tensor.dims.iter().map(size).collect()
    }

    /// What was made must be what the checker found; anything else is a mistake of the compiler, or a size that is too small for the layer.
    fn check(&self, node: &NetworkNode, value: ValueId) -> Result<(), String> {
        let wanted = self.shape(&node.ty).map_err(|reason| format!("`{}` {reason}: an input is too small for it", node.name))?;
        let ty = self.graph.ty(value);
        if self.graph.dims(value) == Some(wanted.clone()) && ty.dtype == node.ty.dtype {
            return Ok(());
        }
        Err(format!("`{}` is {ty}, but was checked as {}{wanted:?}; please report this", node.name, node.ty.dtype))
    }

    fn weight(&mut self, key: &str, shape: &[u64]) -> Made {
        if let Some(&value) = self.stored.get(key) {
            return Ok(value);
        }
        let tensor = (self.weights)(key)?;
        if tensor.shape() != shape || tensor.dtype() != DType::F32 {
            return Err(format!("`{key}` is {}{:?}, but was {shape:?} when it was checked; build again", tensor.dtype(), tensor.shape()));
        }
        let value = self.graph.constant(tensor, Origin::new(key));
        self.stored.insert(key.to_owned(), value);
        Ok(value)
    }

    fn dims(&self, value: ValueId) -> Vec<u64> {
        self.graph.dims(value).unwrap_or_default()
    }

    fn scalar(&mut self, number: f64) -> ValueId {
        self.graph.scalar(DType::F32, number, self.origin.clone())
    }

    fn reshape(&mut self, x: ValueId, shape: &[u64]) -> Made {
        text(self.graph.reshape(x, Shape::fixed(shape), self.origin.clone()))
    }

    fn broadcast(&mut self, x: ValueId, shape: &[u64]) -> Made {
        text(self.graph.broadcast(x, Shape::fixed(shape), self.origin.clone()))
    }

    /// Along each axis `counts` elements from `starts`.
    fn slice(&mut self, x: ValueId, starts: &[u64], counts: &[u64]) -> Made {
        let steps = vec![1; starts.len()];
        self.stepped(x, starts.iter().map(|&start| start as i64).collect(), steps, counts)
    }

    fn stepped(&mut self, x: ValueId, starts: Vec<i64>, steps: Vec<i64>, counts: &[u64]) -> Made {
        text(self.graph.slice(x, starts, steps, Shape::fixed(counts), self.origin.clone()))
    }

    fn pad(&mut self, x: ValueId, after: &[u64]) -> Made {
        if after.iter().all(|&count| count == 0) {
            return Ok(x);
        }
        let zero = self.scalar(0.0);
        self.op(Op::Pad { before: vec![0; after.len()], after: after.to_vec() }, &[x, zero])
    }
}

/// An operation with what it takes.
struct Call<'n> {
    node: &'n NetworkNode,
    inputs: &'n [ValueId],
    nodes: &'n [ValueId],
}

impl Call<'_> {
    fn lower(&self, to: &mut Builder<'_>) -> Made {
        match self.node.op {
            NetworkOp::Layer(layer) => self.layer(layer, to),
            NetworkOp::Pipeline(intrinsic) => self.pipeline(intrinsic, to),
            NetworkOp::Arithmetic(op) => elementwise::arithmetic(self, op, to),
            NetworkOp::Negate => {
                let x = self.value("value")?;
                to.unary(UnaryOp::Neg, x)
            }
        }
    }

    fn layer(&self, layer: LayerIntrinsic, to: &mut Builder<'_>) -> Made {
        use LayerIntrinsic::*;
        match layer {
            Dense => elementwise::dense(self, to),
            Conv => convolution::conv(self, to),
            ConvTranspose => convolution::conv_transpose(self, to),
            MaxPool | AvgPool => convolution::pool(self, layer, to),
            GlobalAvgPool | GlobalMaxPool => convolution::global_pool(self, layer, to),
            Upsample => convolution::upsample(self, to),
            Flatten | Pixels => convolution::flatten(self, layer, to),
            ScaleChannels => convolution::scale_channels(self, to),
            BatchNorm => normalization::batch_norm(self, to),
            LayerNorm | RmsNorm => normalization::rows(self, layer, to),
            UnitLength => normalization::unit_length(self, to),
            Embedding => sequences::embedding(self, to),
            Positions => sequences::positions(self, to),
            First => sequences::first(self, to),
            MaskedMean => sequences::masked_mean(self, to),
            Attention => attention::attention(self, to),
            Lstm => recurrent::lstm(self, to),
            Gru => recurrent::gru(self, to),
            Concat | ConcatLast => elementwise::concat(self, layer, to),
            AsFloat => {
                let x = self.value("x")?;
                to.cast(DType::F32, x)
            }
            Relu6 | LeakyRelu | Gelu | Silu | HardSwish | HardSigmoid | Sigmoid | Tanh => activations::activation(self, layer, to),
        }
    }

    fn pipeline(&self, intrinsic: mlp_analysis::Intrinsic, to: &mut Builder<'_>) -> Made {
        let mut args = Vec::with_capacity(self.node.operands.len());
        for (name, operand) in &self.node.operands {
            args.push(match operand {
                Operand::Value(_) => crate::body::Lowered::Tensor(self.value(name)?),
                Operand::Constant(value) => crate::body::Lowered::Constant(value.clone()),
                Operand::Absent => return Err(format!("nothing is given for `{name}`")),
            });
        }
        match crate::intrinsics::lower(&mut to.graph, intrinsic, &args, &to.origin)? {
            crate::body::Lowered::Tensor(value) => Ok(value),
            _ => Err("it gives no tensor".to_owned()),
        }
    }

    /// The tensor that is given for a parameter.
    fn value(&self, name: &str) -> Made {
        self.optional(name)?.ok_or_else(|| format!("nothing is given for `{name}`"))
    }

    /// The tensor that is given for a parameter that may be left out.
    fn optional(&self, name: &str) -> Result<Option<ValueId>, String> {
        match self.node.operand(name) {
            Some(Operand::Value(value)) => {
                found(*value, self.inputs, self.nodes).map(Some).ok_or_else(|| format!("`{name}` is computed by nothing"))
            }
            Some(Operand::Absent) => Ok(None),
            _ => Err(format!("`{name}` is no tensor")),
        }
    }

    fn number(&self, name: &str) -> Result<f64, String> {
        match self.node.operand(name) {
            Some(Operand::Constant(Value::Number(number, _))) => Ok(*number),
            _ => Err(format!("`{name}` is no number")),
        }
    }

    /// A number that the checker found to be whole and not negative.
    fn count(&self, name: &str) -> Result<u64, String> {
        self.number(name).map(|number| number as u64)
    }

    /// Height and width.
    fn size(&self, name: &str) -> Result<[u64; 2], String> {
        match self.node.operand(name) {
            Some(Operand::Constant(Value::Size { width, height })) => Ok([u64::from(*height), u64::from(*width)]),
            _ => Err(format!("`{name}` is no size")),
        }
    }

    /// Whether a choice is that word.
    fn is(&self, name: &str, word: &str) -> bool {
        matches!(self.node.operand(name), Some(Operand::Constant(Value::Choice(chosen))) if chosen == word)
    }

    /// A weight, by what it is to the layer.
    fn weight(&self, name: &str, to: &mut Builder<'_>) -> Made {
        self.optional_weight(name, to)?.ok_or_else(|| format!("it has no weight `{name}`"))
    }

    fn optional_weight(&self, name: &str, to: &mut Builder<'_>) -> Result<Option<ValueId>, String> {
        let Some(weight) = self.node.weights.iter().find(|weight| weight.name == name) else { return Ok(None) };
        to.weight(&weight.key, &weight.shape).map(Some)
    }
}
