//! The reference interpreter: what a graph means, computed as plainly as possible. Every faster path is tested against it.
//!
//! Maps compute in the compute type of their element type. Contractions, sums, means and products of floats accumulate in `f64` and round once;
//! of integers they wrap. Nothing is reordered for speed beyond a sensible inner loop.

use crate::ir::{Graph, OpId, Type, ValueId};
use crate::op::Op;
use crate::ops;
use crate::shape::{Dim, SymId};
use crate::tensor::Tensor;
use cranelift_entity::SecondaryMap;

/// Why a graph could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// Another number of inputs was given than the graph has.
    #[error("the graph takes {expected} inputs, but {actual} are given")]
    InputCount {
        /// Inputs of the graph.
        expected: usize,
        /// Inputs given.
        actual: usize,
    },
    /// An input does not have the declared type.
    #[error("input `{name}` is {expected}, but {actual} is given")]
    Input {
        /// The input's name.
        name: String,
        /// Its declared type.
        expected: String,
        /// What was given.
        actual: String,
    },
    /// An operation cannot be evaluated.
    #[error("{op} ({origin}): {message}")]
    Op {
        /// The operation's name.
        op: &'static str,
        /// Where it came from.
        origin: String,
        /// What is wrong.
        message: String,
    },
}

/// The outputs of a graph for these inputs. Symbols take their values from the inputs' sizes.
pub fn run(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    let values = trace(graph, inputs)?;
    let output = |value: ValueId| values[value].clone().expect("an output is an input or a result");
    Ok(graph.outputs.iter().map(|port| output(port.value)).collect())
}

/// The value of everything that a graph computes for these inputs: what one looks at to find the operation where two evaluations part.
pub fn trace(graph: &Graph, inputs: &[Tensor]) -> Result<SecondaryMap<ValueId, Option<Tensor>>, EvalError> {
    let symbols = bind(graph, inputs)?;
    let mut values: SecondaryMap<ValueId, Option<Tensor>> = SecondaryMap::new();
    for (port, tensor) in graph.inputs.iter().zip(inputs) {
        values[port.value] = Some(tensor.clone());
    }
    for &id in &graph.order {
        let node = &graph.ops[id];
        let operands: Vec<&Tensor> = node
            .operands
            .iter()
            .map(|&operand| values[operand].as_ref())
            .collect::<Option<_>>()
            .ok_or_else(|| fail(graph, id, "an operand is not defined yet".into()))?;
        let types: Vec<Type> = node.results.iter().map(|&result| Graph::bind_type(graph.ty(result), &symbols)).collect();
        let results = match node.op {
            Op::Constant(tensor) => vec![graph.tensors[tensor].clone()],
            Op::Symbol(symbol) => {
                let value = symbols[symbol].and_then(|value| i32::try_from(value).ok());
                vec![Tensor::scalar(value.ok_or_else(|| fail(graph, id, "no input binds the symbol".into()))?)]
            }
            ref op => evaluate(op, &operands, &types).map_err(|message| fail(graph, id, message))?,
        };
        for (&result, tensor) in node.results.iter().zip(results) {
            values[result] = Some(tensor);
        }
    }
    Ok(values)
}

/// The results of one operation, which is no `Constant`. `results` are its result types with constant sizes.
pub fn evaluate(op: &Op, operands: &[&Tensor], results: &[Type]) -> Result<Vec<Tensor>, String> {
    let types: Vec<Type> = operands.iter().map(|tensor| Type::of(tensor)).collect();
    // Sizes that symbols hid from the verifier are checked now that they are known.
    crate::infer::result_types(op, &types, Some(results)).map_err(|error| error.message)?;
    let shapes = results.iter().map(|ty| ty.shape.constants()).collect::<Option<Vec<_>>>();
    let tensors = ops::eval(op, operands, results, &shapes.ok_or("a result's size depends on a symbol that no input binds")?);
    debug_assert!(tensors.iter().zip(results).all(|(tensor, ty)| Type::of(tensor) == *ty), "{op:?} made another type than {results:?}");
    Ok(tensors)
}

fn fail(graph: &Graph, id: OpId, message: String) -> EvalError {
    EvalError::Op { op: graph.ops[id].op.name(), origin: graph.origin_name(id), message }
}

/// The values of symbols that the inputs' sizes imply.
fn bind(graph: &Graph, inputs: &[Tensor]) -> Result<SecondaryMap<SymId, Option<u64>>, EvalError> {
    if inputs.len() != graph.inputs.len() {
        return Err(EvalError::InputCount { expected: graph.inputs.len(), actual: inputs.len() });
    }
    let mut symbols: SecondaryMap<SymId, Option<u64>> = SecondaryMap::new();
    for (port, tensor) in graph.inputs.iter().zip(inputs) {
        let ty = graph.ty(port.value);
        let mut fits = ty.dtype == tensor.dtype() && ty.shape.rank() == tensor.shape().len();
        for (&dim, &size) in ty.shape.0.iter().zip(tensor.shape()) {
            fits &= match dim {
                Dim::Const(expected) => expected == size,
                Dim::Symbol(symbol) => note(graph, symbol, size, &mut symbols),
            };
        }
        if !fits {
            let (expected, actual) = (ty.to_string(), Type::of(tensor).to_string());
            return Err(EvalError::Input { name: port.name.clone(), expected, actual });
        }
    }
    for (id, symbol) in graph.symbols.iter() {
        let Some(formula) = &symbol.formula else { continue };
        let value = formula.value(|factor| symbols[factor].and_then(|value| i64::try_from(value).ok()));
        let Some(value) = value.and_then(|value| u64::try_from(value).ok()) else { continue };
        if *symbols[id].get_or_insert(value) != value {
            let name = symbol.name.clone();
            return Err(EvalError::Input { name, expected: value.to_string(), actual: format!("{:?}", symbols[id]) });
        }
    }
    Ok(symbols)
}

/// Notes that a symbol has the value that an input's size gives it, or the symbol that it is worked out of; false where it has another.
fn note(graph: &Graph, symbol: SymId, size: u64, symbols: &mut SecondaryMap<SymId, Option<u64>>) -> bool {
    let solved = graph.symbols[symbol].formula.as_ref().and_then(|formula| formula.solve(i64::try_from(size).ok()?));
    let (symbol, size) = solved.map_or((symbol, size), |(of, value)| (of, value.unsigned_abs()));
    graph.symbols[symbol].max.is_none_or(|max| size <= max) && *symbols[symbol].get_or_insert(size) == size
}
