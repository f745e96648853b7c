//! Binding named sizes to numbers.

use crate::infer::result_types;
use crate::ir::Graph;
use crate::op::Op;
use crate::shape::{Dim, SymId, Symbol};
use crate::tensor::Tensor;
use cranelift_entity::{PrimaryMap, SecondaryMap};
use std::collections::BTreeMap;

/// Why sizes cannot be bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecializeError {
    /// The graph has no symbol of that name.
    #[error("there is no size named `{name}` to bind; the graph has {known}")]
    Unknown {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The number is above the symbol's bound.
    #[error("`{name}` may be at most {max}, but is bound to {value}")]
    TooLarge {
        /// The symbol.
        name: String,
        /// Its bound.
        max: u64,
        /// The number given.
        value: u64,
    },
    /// With these numbers an operation no longer fits its operands.
    #[error("with these sizes {origin} is wrong: {message}")]
    Shape {
        /// Where the operation came from.
        origin: String,
        /// What is wrong.
        message: String,
    },
}

/// The graph with the named symbols replaced by numbers everywhere. Symbols that are not named stay.
pub fn specialize(graph: &Graph, bindings: &BTreeMap<String, u64>) -> Result<Graph, SpecializeError> {
    let mut sizes: SecondaryMap<SymId, Option<u64>> = SecondaryMap::new();
    for (name, &value) in bindings {
        let Some((id, symbol)) = graph.symbols.iter().find(|(_, symbol)| symbol.name == *name) else {
            let known: Vec<String> = graph.symbols.values().map(|symbol| format!("`{}`", symbol.name)).collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            return Err(SpecializeError::Unknown { name: name.clone(), known });
        };
        if let Some(max) = symbol.max.filter(|&max| value > max) {
            return Err(SpecializeError::TooLarge { name: name.clone(), max, value });
        }
        sizes[id] = Some(value);
    }
    // What is worked out of known sizes is known.
    for (id, symbol) in graph.symbols.iter() {
        if let Some(formula) = &symbol.formula {
            let value = formula.value(|factor| sizes[factor].and_then(|size| i64::try_from(size).ok()));
            sizes[id] = sizes[id].or(value.and_then(|value| u64::try_from(value).ok()));
        }
    }
    let mut bound = graph.clone();
    // What stays symbolic is numbered anew, without gaps.
    let mut symbols: PrimaryMap<SymId, Symbol> = PrimaryMap::new();
    let mut renamed: SecondaryMap<SymId, Option<SymId>> = SecondaryMap::new();
    for (id, symbol) in graph.symbols.iter().filter(|(id, _)| sizes[*id].is_none()) {
        renamed[id] = Some(symbols.push(symbol.clone()));
    }
    for id in graph.symbols.keys() {
        let Some(kept) = renamed[id] else { continue };
        let formula = graph.symbols[id].formula.as_ref();
        let whole = formula.filter(|formula| formula.terms.iter().all(|term| term.factors.iter().all(|&factor| renamed[factor].is_some())));
        symbols[kept].formula = whole.map(|formula| formula.map(|factor| renamed[factor].expect("all are kept")));
    }
    bound.symbols = symbols;
    for value in bound.values.values_mut() {
        value.ty = Graph::bind_type(&value.ty, &sizes);
        for dim in &mut value.ty.shape.0 {
            if let Dim::Symbol(symbol) = dim {
                *symbol = renamed[*symbol].expect("a symbol is bound or stays");
            }
        }
    }
    for id in bound.order.clone() {
        if let Op::Symbol(symbol) = bound.ops[id].op {
            bound.ops[id].op = match (renamed[symbol], sizes[symbol]) {
                (Some(kept), _) => Op::Symbol(kept),
                (None, size) => Op::Constant(bound.tensors.push(Tensor::scalar(size.unwrap_or_default() as i32))),
            };
        }
        let node = &bound.ops[id];
        result_types(&node.op, &bound.operand_types(&node.operands), Some(&bound.operand_types(&node.results)))
            .map_err(|error| SpecializeError::Shape { origin: bound.origin_name(id), message: error.to_string() })?;
    }
    Ok(bound)
}
