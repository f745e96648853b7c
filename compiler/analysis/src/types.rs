//! Types of the language, and how they are written in messages.

use crate::dims::Formula;
use mlp_bundle::DType;
use mlp_syntax::units::Dimension;
use std::fmt;

/// Index of a set of labels in [`Program::labels`](crate::Program::labels).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelsId(pub u32);

/// The type of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// `f32[N, 3]`
    Tensor(TensorType),
    /// `image<rgb>`: a photo of any size.
    Image,
    /// `label<Objects.logits>`
    Label(Labels),
    /// `ranking<label<Objects.logits>, 5>`: the best labels with their scores.
    Ranking {
        /// The labels.
        labels: Labels,
        /// How many.
        count: Dim,
    },
    /// `{ top: ..., scores: ... }`
    Record(Vec<(String, Type)>),
    /// `T?`: a value, or none.
    Optional(Box<Type>),
    /// `list<T, 16>`: some values of one type.
    List {
        /// Their type.
        item: Box<Type>,
        /// The most there are, where that is known.
        most: Option<u64>,
    },
    /// `stream<T>`: values that come one after another, without end.
    Stream(Box<Type>),
    /// `audio<16kHz, mono>`; `audio<mono>` at any rate, as a part of a pipeline that others call.
    Audio {
        /// Samples a second, where they are known.
        rate: Option<f64>,
        /// How many channels.
        channels: u8,
    },
    /// `text`: text that is known when running.
    Text,
    /// `tokens<Bert.input_ids, 128>`: numbers of parts of text.
    Tokens {
        /// What numbers them.
        vocabulary: Vocabulary,
        /// The most there are, where that is known.
        most: Option<Dim>,
    },
    /// `number`: a number without a unit, known when compiling.
    Number,
    /// `time`, `bytes`, `rate`, `ratio`: a number with a unit, known when compiling.
    Quantity(Dimension),
    /// `string`: text that is known when compiling.
    String,
    /// `size`: a width and a height, known when compiling.
    Size,
    /// `center | none`: one of these words, known when compiling.
    Choice(Vec<String>),
    /// What an error left; fits everything, so that one error is reported once.
    Unknown,
}

/// What numbers tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    /// The kind of tokenizer, `WordPiece`, or a model's input, `Bert.input_ids`.
    Named(String),
    /// Whatever numbers the argument's tokens; only in signatures of the standard library.
    Variable(String),
}

/// The type of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorType {
    /// The element type.
    pub dtype: DType,
    /// The dimensions, outermost first.
    pub dims: Vec<Dim>,
    /// What the positions along the last dimension stand for.
    pub labels: Labels,
}

/// What positions stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// Nothing is known.
    None,
    /// A set of labels.
    Of(LabelsId),
    /// Whatever the argument's positions stand for; only in the signature and body of a pipeline with `@labels(L)`.
    Variable(String),
}

/// The size of a dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// A constant.
    Const(u64),
    /// A symbol of the signature: `N`.
    Symbol(String),
    /// Any number of dimensions: `..S`.
    Rest(String),
    /// A number parameter of the signature.
    Param(String),
    /// The width of a size parameter of the signature: `size.width`.
    Width(String),
    /// The height of a size parameter of the signature: `size.height`.
    Height(String),
    /// Computed from others: `(W + 1) / 2`.
    Formula(Formula),
}

impl Dim {
    /// Its size where every symbol has one.
    pub fn size(&self, sizes: &dyn Fn(&str) -> Option<u64>) -> Option<u64> {
        match self {
            Dim::Const(size) => Some(*size),
            Dim::Symbol(name) => sizes(name),
            Dim::Formula(formula) => formula.size(sizes),
            Dim::Rest(_) | Dim::Param(_) | Dim::Width(_) | Dim::Height(_) => None,
        }
    }
}

impl Type {
    /// True where values of the type are known when compiling.
    pub fn is_constant(&self) -> bool {
        matches!(self, Type::Number | Type::Quantity(_) | Type::String | Type::Size | Type::Choice(_))
    }

    /// True where a compiled pipeline can take a value of this type: a photo, a text, a sound of one channel at a whole rate, or a tensor of constant shape.
    pub fn is_input(&self) -> bool {
        match self {
            Type::Image | Type::Text => true,
            Type::Audio { rate: Some(rate), channels: 1 } => rate.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(rate),
            Type::Tensor(tensor) => {
                tensor.dims.iter().all(|dim| matches!(dim, Dim::Const(_))) && !matches!(tensor.labels, Labels::Variable(_))
            }
            _ => false,
        }
    }

    /// A single truth value: what comparisons give and conditions take.
    pub fn truth() -> Type {
        Type::scalar(DType::Bool)
    }

    /// A tensor of one element without dimensions.
    pub fn scalar(dtype: DType) -> Type {
        Type::Tensor(TensorType { dtype, dims: Vec::new(), labels: Labels::None })
    }

    /// How many types it is made of, itself included, counted up to `limit`.
    pub(crate) fn weight(&self, limit: usize) -> usize {
        match self {
            Type::Record(fields) => fields.iter().fold(1, |sum, (_, ty)| if sum > limit { sum } else { sum + ty.weight(limit - sum) }),
            Type::Optional(inner) | Type::Stream(inner) | Type::List { item: inner, .. } if limit > 0 => 1 + inner.weight(limit - 1),
            _ => 1,
        }
    }

    /// `a value of type X` is too long for most messages; this is `X` in backquotes, with labels named by `names`.
    pub(crate) fn quoted(&self, names: &[String]) -> String {
        format!("`{}`", Named { ty: self, names })
    }
}

/// A type with the names of the sets of labels.
struct Named<'a> {
    ty: &'a Type,
    names: &'a [String],
}

impl Named<'_> {
    fn labels(&self, labels: &Labels) -> String {
        match labels {
            Labels::None => "?".to_owned(),
            Labels::Of(id) => self.names.get(id.0 as usize).cloned().unwrap_or_else(|| "?".to_owned()),
            Labels::Variable(name) => name.clone(),
        }
    }
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ty {
            Type::Tensor(tensor) => write!(f, "{}[{}]", tensor.dtype, dims(&tensor.dims)),
            Type::Image => f.write_str("image<rgb>"),
            Type::Label(labels) => write!(f, "label<{}>", self.labels(labels)),
            Type::Ranking { labels, count } => write!(f, "ranking<label<{}>, {count}>", self.labels(labels)),
            Type::Record(fields) => {
                let one = |(name, ty): &(String, Type)| format!("{name}: {}", Named { ty, names: self.names });
                write!(f, "{{ {} }}", fields.iter().map(one).collect::<Vec<_>>().join(", "))
            }
            Type::Number => f.write_str("number"),
            Type::Quantity(dimension) => f.write_str(dimension.name()),
            Type::String => f.write_str("string"),
            Type::Optional(inner) => write!(f, "{}?", Named { ty: inner, names: self.names }),
            Type::List { item, most } => {
                write!(f, "list<{}", Named { ty: item, names: self.names })?;
                most.map_or(Ok(()), |most| write!(f, ", {most}"))?;
                f.write_str(">")
            }
            Type::Stream(item) => write!(f, "stream<{}>", Named { ty: item, names: self.names }),
            Type::Audio { rate, channels } => {
                let channels = if *channels == 1 { "mono" } else { "stereo" };
                match rate {
                    Some(rate) if *rate >= 1e3 => write!(f, "audio<{}kHz, {channels}>", rate / 1e3),
                    Some(rate) => write!(f, "audio<{rate}Hz, {channels}>"),
                    None => write!(f, "audio<{channels}>"),
                }
            }
            Type::Text => f.write_str("text"),
            Type::Tokens { vocabulary, most } => {
                let (Vocabulary::Named(name) | Vocabulary::Variable(name)) = vocabulary;
                write!(f, "tokens<{name}")?;
                most.as_ref().map_or(Ok(()), |most| write!(f, ", {most}"))?;
                f.write_str(">")
            }
            Type::Size => f.write_str("size"),
            Type::Choice(options) => f.write_str(&options.join(" | ")),
            Type::Unknown => f.write_str("unknown"),
        }
    }
}

/// `N, 3, 224`
pub(crate) fn dims(dims: &[Dim]) -> String {
    dims.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Const(size) => write!(f, "{size}"),
            Dim::Symbol(name) | Dim::Param(name) => f.write_str(name),
            Dim::Rest(name) => write!(f, "..{name}"),
            Dim::Width(name) => write!(f, "{name}.width"),
            Dim::Height(name) => write!(f, "{name}.height"),
            Dim::Formula(formula) => write!(f, "{formula}"),
        }
    }
}
