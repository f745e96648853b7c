//! What each layer that the compiler provides asks of its arguments beyond their types, and the weights that it reads.

use super::calls::Given;
use super::elaborate::Item;
use crate::network::LayerIntrinsic;
use crate::program::Value;
use crate::types::{Dim, TensorType};
use mlp_syntax::Code;

/// A tensor that a layer reads from the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WeightSpec {
    /// Its name, which stands at the end of its key.
    pub(super) name: &'static str,
    /// Its sizes.
    pub(super) shape: Vec<Extent>,
}

/// A size of a tensor in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Exactly(u64),
    AtLeast(u64),
}

/// Why a layer cannot be called so.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: Code,
    /// The parameter at fault, where it is one.
    pub(super) param: Option<&'static str>,
    pub(super) message: String,
    pub(super) remark: String,
    pub(super) help: String,
}

fn refuse<T>(code: Code, param: &'static str, message: String, remark: impl Into<String>, help: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, param: Some(param), message, remark: remark.into(), help: help.into() })
}

/// The weights that a call reads, in the order of the layer's formula, or why it cannot be.
pub(super) fn weights(layer: LayerIntrinsic, given: &Given<'_>) -> Result<Vec<WeightSpec>, Refusal> {
    use LayerIntrinsic::*;
    match layer {
        Dense => {
            let (out, columns) = (number(given, "out", 1)?, extent(given, "x", 1)?);
            Ok(with_bias(given, vec![spec("weight", &[out, columns])], out))
        }
        Conv | ConvTranspose => convolution(layer, given),
        BatchNorm => {
            positive(given, "epsilon")?;
            let channels = axis(given, "x", 1)?;
            Ok(["weight", "bias", "running_mean", "running_var"].map(|name| spec(name, &[channels])).into())
        }
        LayerNorm => {
            positive(given, "epsilon")?;
            let width = extent(given, "x", 1)?;
            Ok(with_bias(given, vec![spec("weight", &[width])], width))
        }
        RmsNorm => {
            positive(given, "epsilon")?;
            Ok(vec![spec("weight", &[extent(given, "x", 1)?])])
        }
        Embedding => {
            let width = Extent::Exactly(number(given, "width", 1)?);
            Ok(vec![WeightSpec { name: "weight", shape: vec![Extent::AtLeast(1), width] }])
        }
        Positions => positions(given),
        Attention => attention(given),
        Lstm => recurrent(given, 4),
        Gru => recurrent(given, 3),
        MaxPool | AvgPool => pool(given),
        LeakyRelu => finite(given, "slope").map(|()| Vec::new()),
        Upsample => number(given, "factor", 1).map(|_| Vec::new()),
        UnitLength => extent(given, "x", 1).map(|_| Vec::new()),
        GlobalAvgPool | GlobalMaxPool | Flatten | Pixels | First | MaskedMean | Concat | ConcatLast | ScaleChannels | AsFloat | Relu6
        | Gelu | Silu | HardSwish | HardSigmoid | Sigmoid | Tanh => Ok(Vec::new()),
    }
}

fn spec(name: &'static str, shape: &[u64]) -> WeightSpec {
    WeightSpec { name, shape: shape.iter().map(|&size| Extent::Exactly(size)).collect() }
}

fn with_bias(given: &Given<'_>, mut specs: Vec<WeightSpec>, size: u64) -> Vec<WeightSpec> {
    if is(given, "bias", "yes") {
        specs.push(spec("bias", &[size]));
    }
    specs
}

/// Whether a choice is that word.
fn is(given: &Given<'_>, name: &str, word: &str) -> bool {
    matches!(given.item(name), Some(Item::Constant(Value::Choice(chosen), _)) if chosen == word)
}

fn value(given: &Given<'_>, name: &str) -> Option<f64> {
    match given.item(name) {
        Some(Item::Constant(Value::Number(value, None), _)) => Some(*value),
        _ => None,
    }
}

/// A whole number from `least`.
fn number(given: &Given<'_>, name: &'static str, least: u64) -> Result<u64, Refusal> {
    match value(given, name) {
        Some(value) if value >= least as f64 && value <= 2f64.powi(32) && value.fract() == 0.0 => Ok(value as u64),
        found => {
            let found = found.map_or("nothing".to_owned(), |value| value.to_string());
            let message = format!("`{name}` is {found}");
            refuse(Code::E0211, name, message, format!("expected a whole number from {least}"), "write a whole number, or the name of one")
        }
    }
}

fn positive(given: &Given<'_>, name: &'static str) -> Result<(), Refusal> {
    match value(given, name) {
        Some(value) if value > 0.0 && (value as f32).is_finite() && value as f32 > 0.0 => Ok(()),
        _ => refuse(
            Code::E0211,
            name,
            format!("`{name}` is not above 0"),
            "expected a small number above 0",
            "write a number such as `1e-5`",
        ),
    }
}

fn finite(given: &Given<'_>, name: &'static str) -> Result<(), Refusal> {
    match value(given, name) {
        Some(value) if (value as f32).is_finite() => Ok(()),
        _ => refuse(Code::E0211, name, format!("`{name}` is out of range"), "expected a number", "write a number such as `0.01`"),
    }
}

fn tensor<'g>(given: &'g Given<'_>, name: &'static str) -> Result<&'g TensorType, Refusal> {
    match given.item(name) {
        Some(Item::Tensor(_, tensor)) => Ok(tensor),
        _ => refuse(Code::E0201, name, format!("`{name}` is no tensor"), "expected a tensor", "give it a tensor"),
    }
}

/// A size of a tensor that weights depend on, `back` axes from the end.
fn extent(given: &Given<'_>, name: &'static str, back: usize) -> Result<u64, Refusal> {
    let rank = tensor(given, name)?.dims.len();
    axis(given, name, rank.wrapping_sub(back))
}

/// A size of a tensor that weights depend on.
fn axis(given: &Given<'_>, name: &'static str, axis: usize) -> Result<u64, Refusal> {
    match tensor(given, name)?.dims.get(axis) {
        Some(Dim::Const(size)) => Ok(*size),
        Some(dim) => {
            let message = format!("the size `{dim}` of `{name}` must be known when compiling");
            refuse(Code::E0211, name, message, "weights have this size", "write the number at the model's input")
        }
        None => {
            refuse(Code::E0202, name, format!("`{name}` has too few dimensions"), "expected more dimensions", "give it a larger tensor")
        }
    }
}

/// Height and width of a kernel.
fn kernel(given: &Given<'_>) -> Result<[u64; 2], Refusal> {
    match given.item("kernel") {
        Some(Item::Constant(Value::Size { width, height }, _)) if *width > 0 && *height > 0 => Ok([u64::from(*height), u64::from(*width)]),
        _ => refuse(Code::E0211, "kernel", "a kernel has at least one element".to_owned(), "expected a size", "write a size such as `3x3`"),
    }
}

fn convolution(layer: LayerIntrinsic, given: &Given<'_>) -> Result<Vec<WeightSpec>, Refusal> {
    let (out, groups, channels) = (number(given, "out", 1)?, number(given, "groups", 1)?, axis(given, "x", 1)?);
    let [height, width] = kernel(given)?;
    let stride = number(given, "stride", 1)?;
    number(given, "padding", 0)?;
    if channels % groups != 0 || out % groups != 0 {
        let message = format!("{groups} groups do not divide {channels} channels into {out}");
        let remark = "expected a number that divides the channels on both sides";
        return refuse(Code::E0202, "groups", message, remark, "write another number of groups, or of channels");
    }
    let shape = if layer == LayerIntrinsic::Conv {
        number(given, "dilation", 1)?;
        [out, channels / groups, height, width]
    } else {
        let extra = number(given, "extra", 0)?;
        if extra >= stride {
            let message = format!("`extra` is {extra}, with a stride of {stride}");
            return refuse(Code::E0202, "extra", message, "expected less than the stride", "write a smaller number");
        }
        [channels, out / groups, height, width]
    };
    Ok(with_bias(given, vec![spec("weight", &shape)], out))
}

/// The table has a row for every position; where their number is decided when the model runs, it is compared then.
fn positions(given: &Given<'_>) -> Result<Vec<WeightSpec>, Refusal> {
    let offset = number(given, "offset", 0)?;
    let width = extent(given, "x", 1)?;
    let count = match tensor(given, "x")?.dims.get(1) {
        Some(Dim::Const(count)) => *count,
        _ => 1,
    };
    Ok(vec![WeightSpec { name: "weight", shape: vec![Extent::AtLeast(count.saturating_add(offset)), Extent::Exactly(width)] }])
}

fn attention(given: &Given<'_>) -> Result<Vec<WeightSpec>, Refusal> {
    let heads = number(given, "heads", 1)?;
    for name in ["query", "value"] {
        let width = extent(given, name, 1)?;
        if width % heads != 0 {
            let message = format!("{heads} heads do not divide the width {width} of `{name}`");
            return refuse(Code::E0202, "heads", message, "expected a number that divides the width", "write another number of heads");
        }
    }
    Ok(Vec::new())
}

/// The most steps that a recurrent layer is unrolled to.
const MAX_STEPS: u64 = 512;

fn recurrent(given: &Given<'_>, parts: u64) -> Result<Vec<WeightSpec>, Refusal> {
    let (hidden, columns) = (number(given, "hidden", 1)?, extent(given, "x", 1)?);
    if let Some(Dim::Const(steps)) = tensor(given, "x")?.dims.get(1)
        && *steps > MAX_STEPS
    {
        let message = format!("a sequence of {steps} steps is too long");
        return refuse(Code::E0202, "x", message, format!("at most {MAX_STEPS} steps are unrolled"), "give it a shorter sequence");
    }
    let rows = parts * hidden;
    Ok(vec![
        spec("weight_ih_l0", &[rows, columns]),
        spec("weight_hh_l0", &[rows, hidden]),
        spec("bias_ih_l0", &[rows]),
        spec("bias_hh_l0", &[rows]),
    ])
}

fn pool(given: &Given<'_>) -> Result<Vec<WeightSpec>, Refusal> {
    number(given, "stride", 1)?;
    let ([height, width], padding) = (kernel(given)?, number(given, "padding", 0)?);
    if 2 * padding > height.min(width) {
        let message = format!("a padding of {padding} is more than half of the {width}x{height} kernel");
        return refuse(Code::E0202, "padding", message, "a window of padding alone has no value", "write less padding");
    }
    Ok(Vec::new())
}
