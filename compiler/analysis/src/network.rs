//! Models whose layers are written in the language, as the checker leaves them: every call inlined, every loop unrolled, every choice made, every weight named.

use crate::intrinsic::Intrinsic;
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

/// Layers of `std.nn`; what they do is documented where they are declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "`stdlib/nn.mlp` documents each by its name")]
pub enum LayerIntrinsic {
    Dense,
    Conv,
    ConvTranspose,
    BatchNorm,
    LayerNorm,
    RmsNorm,
    Embedding,
    Positions,
    Attention,
    Lstm,
    Gru,
    MaxPool,
    AvgPool,
    GlobalAvgPool,
    GlobalMaxPool,
    Flatten,
    Pixels,
    First,
    MaskedMean,
    UnitLength,
    Concat,
    ConcatLast,
    ScaleChannels,
    Upsample,
    AsFloat,
    Relu6,
    LeakyRelu,
    Gelu,
    Silu,
    HardSwish,
    HardSigmoid,
    Sigmoid,
    Tanh,
}

impl LayerIntrinsic {
    /// Every intrinsic with its name in `std.nn`.
    pub const ALL: &[(&str, LayerIntrinsic)] = &[
        ("dense", LayerIntrinsic::Dense),
        ("conv", LayerIntrinsic::Conv),
        ("conv_transpose", LayerIntrinsic::ConvTranspose),
        ("batch_norm", LayerIntrinsic::BatchNorm),
        ("layer_norm", LayerIntrinsic::LayerNorm),
        ("rms_norm", LayerIntrinsic::RmsNorm),
        ("embedding", LayerIntrinsic::Embedding),
        ("positions", LayerIntrinsic::Positions),
        ("attention", LayerIntrinsic::Attention),
        ("lstm", LayerIntrinsic::Lstm),
        ("gru", LayerIntrinsic::Gru),
        ("max_pool", LayerIntrinsic::MaxPool),
        ("avg_pool", LayerIntrinsic::AvgPool),
        ("global_avg_pool", LayerIntrinsic::GlobalAvgPool),
        ("global_max_pool", LayerIntrinsic::GlobalMaxPool),
        ("flatten", LayerIntrinsic::Flatten),
        ("pixels", LayerIntrinsic::Pixels),
        ("first", LayerIntrinsic::First),
        ("masked_mean", LayerIntrinsic::MaskedMean),
        ("unit_length", LayerIntrinsic::UnitLength),
        ("concat", LayerIntrinsic::Concat),
        ("concat_last", LayerIntrinsic::ConcatLast),
        ("scale_channels", LayerIntrinsic::ScaleChannels),
        ("upsample", LayerIntrinsic::Upsample),
        ("as_float", LayerIntrinsic::AsFloat),
        ("relu6", LayerIntrinsic::Relu6),
        ("leaky_relu", LayerIntrinsic::LeakyRelu),
        ("gelu", LayerIntrinsic::Gelu),
        ("silu", LayerIntrinsic::Silu),
        ("hard_swish", LayerIntrinsic::HardSwish),
        ("hard_sigmoid", LayerIntrinsic::HardSigmoid),
        ("sigmoid", LayerIntrinsic::Sigmoid),
        ("tanh", LayerIntrinsic::Tanh),
    ];
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
