//! The attributes of operations, as names and values.

use crate::ir::TensorId;
use crate::op::{BinaryOp, CompareOp, Filter, Fit, Layout, Op, PoolKind, ReduceKind, Spatial, UnaryOp};
use crate::shape::SymId;
use cranelift_entity::EntityRef;
use mlp_bundle::DType;
use std::fmt;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Attribute {
    Int(i128),
    Ints(Vec<i128>),
    Word(String),
    /// The bits of an `F32`.
    Float(u32),
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attribute::Int(value) => write!(f, "{value}"),
            Attribute::Ints(values) => write!(f, "{values:?}"),
            Attribute::Word(word) => f.write_str(word),
            Attribute::Float(bits) => write!(f, "0x{bits:08x}"),
        }
    }
}

pub(super) type Attributes = Vec<(&'static str, Attribute)>;

fn int(value: impl Into<i128>) -> Attribute {
    Attribute::Int(value.into())
}

fn ints<T: Copy + Into<i128>>(values: &[T]) -> Attribute {
    Attribute::Ints(values.iter().map(|&value| value.into()).collect())
}

fn word(value: impl fmt::Display) -> Attribute {
    Attribute::Word(value.to_string())
}

fn spatial_attributes(spatial: &Spatial) -> Attributes {
    vec![
        ("kernel", ints(&spatial.kernel)),
        ("strides", ints(&spatial.strides)),
        ("dilations", ints(&spatial.dilations)),
        ("pads_begin", ints(&spatial.pads_begin)),
        ("pads_end", ints(&spatial.pads_end)),
    ]
}

fn window_attributes(spatial: &Spatial, groups: u64, layout: Layout) -> Attributes {
    let mut attributes = spatial_attributes(spatial);
    attributes.extend([("groups", int(groups)), ("layout", word(layout_name(layout)))]);
    attributes
}

const LAYOUTS: [(Layout, &str); 2] = [(Layout::ChannelsFirst, "channels_first"), (Layout::ChannelsLast, "channels_last")];
const REDUCTIONS: [(ReduceKind, &str); 5] =
    [(ReduceKind::Sum, "sum"), (ReduceKind::Mean, "mean"), (ReduceKind::Prod, "prod"), (ReduceKind::Max, "max"), (ReduceKind::Min, "min")];
const POOLS: [(PoolKind, &str); 3] = [(PoolKind::Max, "max"), (PoolKind::Mean, "mean"), (PoolKind::MeanWithPadding, "mean_with_padding")];
const FITS: [(Fit, &str); 3] = [(Fit::CropCenter, "crop_center"), (Fit::Stretch, "stretch"), (Fit::Letterbox, "letterbox")];
const FILTERS: [(Filter, &str); 4] =
    [(Filter::Nearest, "nearest"), (Filter::Triangle, "triangle"), (Filter::Cubic, "cubic"), (Filter::Lanczos, "lanczos")];

fn name_in<T: Copy + PartialEq>(names: &[(T, &'static str)], value: T) -> &'static str {
    names.iter().find(|(known, _)| *known == value).expect("every value has a name").1
}

fn layout_name(layout: Layout) -> &'static str {
    name_in(&LAYOUTS, layout)
}

/// What an operation's line says in braces.
pub(super) fn attributes(op: &Op) -> Attributes {
    match op {
        Op::Constant(_) | Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Reshape | Op::Broadcast | Op::MatMul => vec![],
        Op::Symbol(symbol) => vec![("of", int(symbol.as_u32()))],
        Op::Size { id, value } => vec![("id", int(*id)), ("value", int(*value))],
        Op::Extend | Op::Trim | Op::ImageSize => vec![],
        Op::Cast(dtype) | Op::Bitcast(dtype) => vec![("to", word(dtype))],
        Op::Transpose { perm } => vec![("perm", ints(perm))],
        Op::Slice { starts, steps } => vec![("starts", ints(starts)), ("steps", ints(steps))],
        Op::Pad { before, after } => vec![("before", ints(before)), ("after", ints(after))],
        Op::Concat { axis } | Op::Gather { axis } | Op::Softmax { axis } => vec![("axis", int(*axis))],
        Op::Quantize { axis } | Op::Dequantize { axis } => vec![("axis", int(*axis))],
        Op::Reduce { kind, axes, keep } => {
            vec![("kind", word(name_in(&REDUCTIONS, *kind))), ("axes", ints(axes)), ("keep", word(keep))]
        }
        Op::ArgReduce { max, axis, keep, last } => {
            vec![("max", word(max)), ("axis", int(*axis)), ("keep", word(keep)), ("last", word(last))]
        }
        Op::TopK { k, axis, largest } => vec![("k", int(*k)), ("axis", int(*axis)), ("largest", word(largest))],
        Op::Conv { spatial, groups, layout } => window_attributes(spatial, *groups, *layout),
        Op::Pool { kind, spatial, layout } => {
            let mut attributes = spatial_attributes(spatial);
            attributes.extend([("kind", word(name_in(&POOLS, *kind))), ("layout", word(layout_name(*layout)))]);
            attributes
        }
        Op::MaxPoolIndices { spatial, column_major } => {
            let mut attributes = spatial_attributes(spatial);
            attributes.push(("column_major", word(column_major)));
            attributes
        }
        Op::QuantizedConv { .. } | Op::QuantizedMatMul { .. } | Op::QuantizedAdd { .. } | Op::QuantizedMean { .. } => quantized(op),
        Op::BatchNorm { epsilon } => vec![("epsilon", Attribute::Float(*epsilon))],
        Op::Normalize { axis, epsilon, centred } => {
            vec![("axis", int(*axis)), ("epsilon", Attribute::Float(*epsilon)), ("centred", word(centred))]
        }
        Op::Attention { scale, guarded } => vec![("scale", Attribute::Float(*scale)), ("guarded", word(guarded))],
        Op::ImageResize { height, width, fit, filter, fill } => vec![
            ("height", int(*height)),
            ("width", int(*width)),
            ("fit", word(name_in(&FITS, *fit))),
            ("filter", word(name_in(&FILTERS, *filter))),
            ("fill", Attribute::Float(*fill)),
        ],
    }
}

fn quantized(op: &Op) -> Attributes {
    let output = |out_zero: i32, shift: u8, dtype: DType, lo: i32, hi: i32| {
        [("out_zero", int(out_zero)), ("shift", int(shift)), ("to", word(dtype)), ("lo", int(lo)), ("hi", int(hi))]
    };
    match op {
        Op::QuantizedConv { spatial, groups, layout, in_zero, out_zero, shift, dtype, lo, hi } => {
            let mut attributes = window_attributes(spatial, *groups, *layout);
            attributes.push(("in_zero", int(*in_zero)));
            attributes.extend(output(*out_zero, *shift, *dtype, *lo, *hi));
            attributes
        }
        Op::QuantizedMatMul { out_zero, shift, dtype, lo, hi } => output(*out_zero, *shift, *dtype, *lo, *hi).to_vec(),
        Op::QuantizedAdd { x_zero, y_zero, x_mult, y_mult, out_zero, shift, dtype, lo, hi } => {
            let mut attributes =
                vec![("x_zero", int(*x_zero)), ("y_zero", int(*y_zero)), ("x_mult", int(*x_mult)), ("y_mult", int(*y_mult))];
            attributes.extend(output(*out_zero, *shift, *dtype, *lo, *hi));
            attributes
        }
        Op::QuantizedMean { axes, in_zero, multiplier, shift, out_zero, dtype, lo, hi } => {
            let mut attributes = vec![("axes", ints(axes)), ("in_zero", int(*in_zero)), ("multiplier", int(*multiplier))];
            attributes.extend(output(*out_zero, *shift, *dtype, *lo, *hi));
            attributes
        }
        _ => unreachable!("dispatched by kind"),
    }
}

/// Attributes as read, of which each is taken once.
pub(super) struct Given(pub(super) Vec<(String, Attribute)>);

impl Given {
    fn take(&mut self, name: &str) -> Result<Attribute, String> {
        let index = self.0.iter().position(|(given, _)| given == name).ok_or_else(|| format!("needs the attribute `{name}`"))?;
        Ok(self.0.remove(index).1)
    }

    fn int<T: TryFrom<i128>>(&mut self, name: &str) -> Result<T, String> {
        match self.take(name)? {
            Attribute::Int(value) => T::try_from(value).map_err(|_| format!("{value} is no `{name}`")),
            other => Err(format!("`{name}` must be a whole number, but is {other}")),
        }
    }

    fn ints<T: TryFrom<i128>>(&mut self, name: &str) -> Result<Vec<T>, String> {
        let one = |value: i128| T::try_from(value).map_err(|_| format!("{value} is no element of `{name}`"));
        match self.take(name)? {
            Attribute::Ints(values) => values.into_iter().map(one).collect(),
            other => Err(format!("`{name}` must be a list, but is {other}")),
        }
    }

    fn word(&mut self, name: &str) -> Result<String, String> {
        match self.take(name)? {
            Attribute::Word(word) => Ok(word),
            other => Err(format!("`{name}` must be a word, but is {other}")),
        }
    }

    fn truth(&mut self, name: &str) -> Result<bool, String> {
        let word = self.word(name)?;
        word.parse().map_err(|_| format!("`{name}` must be true or false, but is {word}"))
    }

    fn choice<T: Copy>(&mut self, name: &str, choices: &[(T, &str)]) -> Result<T, String> {
        let word = self.word(name)?;
        let known = || choices.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
        choices.iter().find(|(_, name)| *name == word).map(|(value, _)| *value).ok_or_else(|| format!("`{word}` is none of {}", known()))
    }

    fn dtype(&mut self, name: &str) -> Result<DType, String> {
        let word = self.word(name)?;
        DType::from_name(&word).ok_or_else(|| format!("`{word}` is no element type"))
    }

    /// The bits of an `F32`.
    fn float(&mut self, name: &str) -> Result<u32, String> {
        match self.take(name)? {
            Attribute::Float(bits) => Ok(bits),
            other => Err(format!("`{name}` must be a number, but is {other}")),
        }
    }

    fn spatial(&mut self) -> Result<Spatial, String> {
        Ok(Spatial {
            kernel: self.ints("kernel")?,
            strides: self.ints("strides")?,
            dilations: self.ints("dilations")?,
            pads_begin: self.ints("pads_begin")?,
            pads_end: self.ints("pads_end")?,
        })
    }
}

/// The operation of that name with these attributes. A constant's data is not among them: `Op::Constant` comes back with the first id.
pub(super) fn operation(name: &str, given: &mut Given) -> Result<Op, String> {
    let op = match name {
        "constant" => Op::Constant(TensorId::new(0)),
        "select" => Op::Select,
        "cast" => Op::Cast(given.dtype("to")?),
        "bitcast" => Op::Bitcast(given.dtype("to")?),
        "reshape" => Op::Reshape,
        "broadcast" => Op::Broadcast,
        "matmul" => Op::MatMul,
        "transpose" => Op::Transpose { perm: given.ints("perm")? },
        "slice" => Op::Slice { starts: given.ints("starts")?, steps: given.ints("steps")? },
        "pad" => Op::Pad { before: given.ints("before")?, after: given.ints("after")? },
        "concat" => Op::Concat { axis: given.int("axis")? },
        "gather" => Op::Gather { axis: given.int("axis")? },
        "softmax" => Op::Softmax { axis: given.int("axis")? },
        "quantize" => Op::Quantize { axis: given.int("axis")? },
        "dequantize" => Op::Dequantize { axis: given.int("axis")? },
        "reduce" => Op::Reduce { kind: given.choice("kind", &REDUCTIONS)?, axes: given.ints("axes")?, keep: given.truth("keep")? },
        "arg_reduce" => {
            let (max, keep, last) = (given.truth("max")?, given.truth("keep")?, given.truth("last")?);
            Op::ArgReduce { max, axis: given.int("axis")?, keep, last }
        }
        "top_k" => Op::TopK { k: given.int("k")?, axis: given.int("axis")?, largest: given.truth("largest")? },
        "conv" => Op::Conv { spatial: given.spatial()?, groups: given.int("groups")?, layout: given.choice("layout", &LAYOUTS)? },
        "pool" => Op::Pool { kind: given.choice("kind", &POOLS)?, spatial: given.spatial()?, layout: given.choice("layout", &LAYOUTS)? },
        "max_pool_indices" => Op::MaxPoolIndices { spatial: given.spatial()?, column_major: given.truth("column_major")? },
        "batch_norm" => Op::BatchNorm { epsilon: given.float("epsilon")? },
        "normalize" => Op::Normalize { axis: given.int("axis")?, epsilon: given.float("epsilon")?, centred: given.truth("centred")? },
        "attention" => Op::Attention { scale: given.float("scale")?, guarded: given.truth("guarded")? },
        "image_resize" => {
            let (height, width) = (given.int("height")?, given.int("width")?);
            let (fit, filter) = (given.choice("fit", &FITS)?, given.choice("filter", &FILTERS)?);
            Op::ImageResize { height, width, fit, filter, fill: given.float("fill")? }
        }
        "image_size" => Op::ImageSize,
        "extend" => Op::Extend,
        "trim" => Op::Trim,
        "symbol" => Op::Symbol(SymId::from_u32(given.int("of")?)),
        "size" => Op::Size { id: given.int("id")?, value: given.int("value")? },
        name => match map_operation(name) {
            Some(op) => op,
            None => quantized_operation(name, given)?,
        },
    };
    match given.0.first() {
        Some((left, _)) => Err(format!("has no attribute `{left}`")),
        None => Ok(op),
    }
}

fn quantized_operation(name: &str, given: &mut Given) -> Result<Op, String> {
    if !matches!(name, "quantized_conv" | "quantized_matmul" | "quantized_add" | "quantized_mean") {
        return Err("is no operation".into());
    }
    let (out_zero, shift, dtype) = (given.int("out_zero")?, given.int("shift")?, given.dtype("to")?);
    let (lo, hi) = (given.int("lo")?, given.int("hi")?);
    Ok(match name {
        "quantized_conv" => {
            let (spatial, groups, layout) = (given.spatial()?, given.int("groups")?, given.choice("layout", &LAYOUTS)?);
            Op::QuantizedConv { spatial, groups, layout, in_zero: given.int("in_zero")?, out_zero, shift, dtype, lo, hi }
        }
        "quantized_matmul" => Op::QuantizedMatMul { out_zero, shift, dtype, lo, hi },
        "quantized_add" => {
            let (x_zero, y_zero) = (given.int("x_zero")?, given.int("y_zero")?);
            let (x_mult, y_mult) = (given.int("x_mult")?, given.int("y_mult")?);
            Op::QuantizedAdd { x_zero, y_zero, x_mult, y_mult, out_zero, shift, dtype, lo, hi }
        }
        _ => {
            let (axes, in_zero, multiplier) = (given.ints("axes")?, given.int("in_zero")?, given.int("multiplier")?);
            Op::QuantizedMean { axes, in_zero, multiplier, shift, out_zero, dtype, lo, hi }
        }
    })
}

fn map_operation(name: &str) -> Option<Op> {
    use BinaryOp::{Add, And, Div, Max, Min, Mul, Or, Pow, Rem, Shl, Shr, Sub, Xor};
    use CompareOp::{Eq, Le, Lt, Ne};
    use UnaryOp::{Abs, Ceil, Cos, Erf, Exp, Floor, Log, Neg, Not, RoundEven, Sin, Sqrt, Tanh, Trunc};
    let unary = [Neg, Abs, Not, Sqrt, RoundEven, Floor, Ceil, Trunc, Exp, Log, Tanh, Erf, Sin, Cos].map(Op::Unary);
    let binary = [Add, Sub, Mul, Div, Rem, Min, Max, Pow, And, Or, Xor, Shl, Shr].map(Op::Binary);
    let compare = [Eq, Ne, Lt, Le].map(Op::Compare);
    unary.into_iter().chain(binary).chain(compare).find(|op| op.name() == name)
}
