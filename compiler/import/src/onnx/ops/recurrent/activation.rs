//! The functions that gates apply, by name, with their numbers.

use super::super::activation::{exponential_tail, ramp, sigmoid, softplus, where_positive};
use crate::onnx::node::{NodeImport, One, Problem, invalid};
use mlp_graph::ValueId;
use mlp_graph::op::{BinaryOp, CompareOp, UnaryOp};

/// A function of a gate, with the numbers that it takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Activation {
    Affine { alpha: f64, beta: f64 },
    Relu,
    LeakyRelu { alpha: f64 },
    ThresholdedRelu { alpha: f64 },
    Tanh,
    ScaledTanh { alpha: f64, beta: f64 },
    Sigmoid,
    HardSigmoid { alpha: f64, beta: f64 },
    Elu { alpha: f64 },
    Softsign,
    Softplus,
}

/// Takes the next number of a list for each function that has one, as ONNX says: in the order of the functions, those without being passed over.
struct Numbers<'a>(std::slice::Iter<'a, f32>);

impl Numbers<'_> {
    fn next_or(&mut self, default: f64) -> f64 {
        // Decimal as they were written: 0.01 and not the nearest f32 of it would change nothing, since the graph computes in f32.
        self.0.next().map_or(default, |&number| f64::from(number))
    }
}

/// The functions of all directions, `defaults` those of one; the attributes name them one direction after another.
pub(super) fn activations(node: &NodeImport<'_>, defaults: &[Activation], directions: usize) -> Result<Vec<Vec<Activation>>, Problem> {
    let names = node.attributes.strings("activations")?;
    let mut alphas = Numbers(node.attributes.floats("activation_alpha")?.unwrap_or_default().iter());
    let mut betas = Numbers(node.attributes.floats("activation_beta")?.unwrap_or_default().iter());
    let Some(names) = names.filter(|names| !names.is_empty()) else { return Ok(vec![defaults.to_vec(); directions]) };
    if names.len() != defaults.len() * directions {
        let wanted = defaults.len() * directions;
        return invalid(format!("attribute `activations` names {} functions, and {wanted} are needed", names.len()));
    }
    let all = names.iter().map(|name| named(name, &mut alphas, &mut betas)).collect::<Result<Vec<_>, _>>()?;
    Ok(all.chunks(defaults.len()).map(<[Activation]>::to_vec).collect())
}

/// Names are written in capitals or not.
fn named(name: &str, alphas: &mut Numbers<'_>, betas: &mut Numbers<'_>) -> Result<Activation, Problem> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "affine" => Activation::Affine { alpha: alphas.next_or(1.0), beta: betas.next_or(0.0) },
        "relu" => Activation::Relu,
        "leakyrelu" => Activation::LeakyRelu { alpha: alphas.next_or(0.01) },
        "thresholdedrelu" => Activation::ThresholdedRelu { alpha: alphas.next_or(1.0) },
        "tanh" => Activation::Tanh,
        "scaledtanh" => Activation::ScaledTanh { alpha: alphas.next_or(1.0), beta: betas.next_or(1.0) },
        "sigmoid" => Activation::Sigmoid,
        "hardsigmoid" => Activation::HardSigmoid { alpha: alphas.next_or(0.2), beta: betas.next_or(0.5) },
        "elu" => Activation::Elu { alpha: alphas.next_or(1.0) },
        "softsign" => Activation::Softsign,
        "softplus" => Activation::Softplus,
        _ => {
            return invalid(format!(
                "the activation `{name}` is none of Affine, Relu, LeakyRelu, ThresholdedRelu, Tanh, ScaledTanh, Sigmoid, HardSigmoid, Elu, Softsign and Softplus"
            ));
        }
    })
}

impl Activation {
    pub(super) fn apply(self, node: &mut NodeImport<'_>, x: ValueId) -> One {
        match self {
            Activation::Affine { alpha, beta } => {
                let scaled = node.with_number(BinaryOp::Mul, x, alpha)?;
                node.with_number(BinaryOp::Add, scaled, beta)
            }
            Activation::Relu => node.with_number(BinaryOp::Max, x, 0.0),
            Activation::LeakyRelu { alpha } => {
                let scaled = node.with_number(BinaryOp::Mul, x, alpha)?;
                where_positive(node, x, x, scaled)
            }
            Activation::ThresholdedRelu { alpha } => {
                let (alpha, zero) = (node.scalar(node.dtype(x), alpha), node.scalar(node.dtype(x), 0.0));
                let above = node.compare(CompareOp::Lt, alpha, x)?;
                node.select(above, x, zero)
            }
            Activation::Tanh => node.unary(UnaryOp::Tanh, x),
            Activation::ScaledTanh { alpha, beta } => {
                let inner = node.with_number(BinaryOp::Mul, x, beta)?;
                let tanh = node.unary(UnaryOp::Tanh, inner)?;
                node.with_number(BinaryOp::Mul, tanh, alpha)
            }
            Activation::Sigmoid => sigmoid(node, x),
            Activation::HardSigmoid { alpha, beta } => ramp(node, x, alpha, beta),
            Activation::Elu { alpha } => {
                let tail = exponential_tail(node, x, alpha, 1.0)?;
                where_positive(node, x, x, tail)
            }
            Activation::Softsign => {
                let size = node.unary(UnaryOp::Abs, x)?;
                let sum = node.with_number(BinaryOp::Add, size, 1.0)?;
                node.binary(BinaryOp::Div, x, sum)
            }
            Activation::Softplus => softplus(node, x),
        }
    }
}
