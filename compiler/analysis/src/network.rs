//! Models whose layers are written in the language, as the checker leaves them: every call inlined, every loop unrolled, every choice made, every weight named.

use crate::intrinsic::{Intrinsic, intrinsics};
use crate::program::{Bound, Param, Value};
use crate::types::{TensorType, Type};
use mlp_syntax::Location;
use mlp_syntax::ast::Operator;

/// Index of a layer in [`Program::layers`](crate::Program::layers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerId(pub u32);

/// A layer: a function of parts of models.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Its doc comment.
    pub doc: String,
    /// Where its name stands.
    pub at: Location,
    /// What it takes, besides the path of its weights.
    pub params: Vec<Param>,
    /// What it gives.
    pub result: Type,
    /// The largest sizes of its symbols.
    pub bounds: Vec<Bound>,
    /// What it does.
    pub body: LayerBody,
}

/// What a layer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerBody {
    /// What the compiler provides.
    Intrinsic(LayerIntrinsic),
    /// Statements in the language, which are inlined where it is called.
    Written,
    /// An error left nothing.
    Broken,
}

intrinsics! {
    /// Layers of `std.nn` that the compiler provides; what they do is documented where they are declared.
    LayerIntrinsic:
    Dense "dense" "std.nn.dense"
    Conv "conv" "std.nn.conv"
    ConvTranspose "conv_transpose" "std.nn.conv_transpose"
    BatchNorm "batch_norm" "std.nn.batch_norm"
    LayerNorm "layer_norm" "std.nn.layer_norm"
    RmsNorm "rms_norm" "std.nn.rms_norm"
    Embedding "embedding" "std.nn.embedding"
    Positions "positions" "std.nn.positions"
    Attention "attention" "std.nn.attention"
    Lstm "lstm" "std.nn.lstm"
    Gru "gru" "std.nn.gru"
    MaxPool "max_pool" "std.nn.max_pool"
    AvgPool "avg_pool" "std.nn.avg_pool"
    GlobalAvgPool "global_avg_pool" "std.nn.global_avg_pool"
    GlobalMaxPool "global_max_pool" "std.nn.global_max_pool"
    Flatten "flatten" "std.nn.flatten"
    Pixels "pixels" "std.nn.pixels"
    First "first" "std.nn.first"
    MaskedMean "masked_mean" "std.nn.masked_mean"
    UnitLength "unit_length" "std.nn.unit_length"
    Concat "concat" "std.nn.concat"
    ConcatLast "concat_last" "std.nn.concat_last"
    ScaleChannels "scale_channels" "std.nn.scale_channels"
    Upsample "upsample" "std.nn.upsample"
    AsFloat "as_float" "std.nn.as_float"
    Relu6 "relu6" "std.nn.relu6"
    LeakyRelu "leaky_relu" "std.nn.leaky_relu"
    Gelu "gelu" "std.nn.gelu"
    Silu "silu" "std.nn.silu"
    HardSwish "hard_swish" "std.nn.hard_swish"
    HardSigmoid "hard_sigmoid" "std.nn.hard_sigmoid"
    Sigmoid "sigmoid" "std.nn.sigmoid"
    Tanh "tanh" "std.nn.tanh"
}

/// What a model with layers computes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    /// Its operations; each takes what is before it.
    pub nodes: Vec<NetworkNode>,
    /// What it gives, one value an output of the model, in the order of its outputs.
    pub outputs: Vec<NetworkValue>,
}

/// A value of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkValue {
    /// An input of the model, by position.
    Input(u32),
    /// What an operation gives, by position.
    Node(u32),
}

/// An operation of a network. It gives one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkNode {
    /// What is computed.
    pub op: NetworkOp,
    /// Of what: the parameter's name and what is given for it, in the order of the parameters. Of arithmetic they are `left` and `right`, of a sign `value`.
    pub operands: Vec<(String, Operand)>,
    /// The tensors of the file that take part.
    pub weights: Vec<NetworkWeight>,
    /// Its type, over the symbols of the model.
    pub ty: TensorType,
    /// The path of its weights and its name: `features.0 conv`.
    pub name: String,
    /// Where it is called.
    pub at: Location,
}

impl NetworkNode {
    /// What is given for a parameter.
    pub fn operand(&self, name: &str) -> Option<&Operand> {
        self.operands.iter().find(|(known, _)| known == name).map(|(_, operand)| operand)
    }
}

/// What an operation of a network computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkOp {
    /// A layer that the compiler provides.
    Layer(LayerIntrinsic),
    /// A pipeline of the standard library that the compiler provides.
    Pipeline(Intrinsic),
    /// `+`, `-`, `*` or `/`, elementwise.
    Arithmetic(Operator),
    /// `-a`
    Negate,
}

/// What an operation of a network takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A tensor.
    Value(NetworkValue),
    /// What is known when compiling.
    Constant(Value),
    /// Nothing, where nothing need be given.
    Absent,
}

/// A tensor of a model's file that takes part in an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkWeight {
    /// What it is to the operation: `weight`, `bias`.
    pub name: &'static str,
    /// Its name in the file.
    pub key: String,
    /// Its sizes.
    pub shape: Vec<u64>,
}
