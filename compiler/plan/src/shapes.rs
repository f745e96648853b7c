//! The constant sizes of every value; what varies from run to run counts with its greatest sizes.

use crate::PlanError;
use crate::scope::Scope;
use cranelift_entity::SecondaryMap;
use mlp_bundle::loops::Affine;
use mlp_graph::{Dim, Graph, Op, ValueId};

/// Elements that a value may have, so that indices stay inside 30 bits.
const MAX_ELEMENTS: u64 = 1 << 30;

/// The sizes of every value.
pub(crate) struct Shapes {
    dims: SecondaryMap<ValueId, Vec<u64>>,
}

impl Shapes {
    /// Collects the sizes, and refuses those that are not known or too large.
    pub(crate) fn new(graph: &Graph) -> Result<Shapes, PlanError> {
        let mut shapes = Shapes { dims: SecondaryMap::new() };
        for port in &graph.inputs {
            shapes.dims[port.value] = sizes(graph, port.value, &format!("input `{}`", port.name), true)?;
        }
        for &op in &graph.order {
            let node = &graph.ops[op];
            for &result in &node.results {
                let place = format!("the result of `{}`", graph.origin_name(op));
                shapes.dims[result] = sizes(graph, result, &place, node.op == Op::Trim)?;
            }
            let symbolic = |operand: &&ValueId| graph.dims(**operand).is_none();
            if !matches!(node.op, Op::ImageResize { .. } | Op::ImageSize | Op::Extend)
                && let Some(&operand) = node.operands.iter().find(symbolic)
            {
                let place = format!("an operand of `{}`", graph.origin_name(op));
                return Err(PlanError::Symbolic { place, symbol: first_symbol(graph, operand) });
            }
        }
        Ok(shapes)
    }

    /// The sizes of a value.
    pub(crate) fn dims(&self, value: ValueId) -> &[u64] {
        &self.dims[value]
    }

    /// How many elements a value has.
    pub(crate) fn elements(&self, value: ValueId) -> u64 {
        self.dims[value].iter().product()
    }

    /// Whether coordinates of `from` become coordinates of `to`, another shape of the same elements, without a division.
    pub(crate) fn joins(&self, from: ValueId, to: ValueId) -> bool {
        let from = self.dims(from);
        let mut scope = Scope::new(from.iter().map(|&size| size as u32).collect());
        let coords: Vec<Affine> = (0..from.len()).map(|axis| Affine::axis(axis as u8)).collect();
        scope.reshaped(&coords, from, self.dims(to)).is_some()
    }
}

fn first_symbol(graph: &Graph, value: ValueId) -> String {
    let symbol = graph.ty(value).shape.0.iter().find_map(|dim| match dim {
        Dim::Symbol(symbol) => Some(graph.symbols[*symbol].name.clone()),
        Dim::Const(_) => None,
    });
    symbol.unwrap_or_default()
}

fn sizes(graph: &Graph, value: ValueId, place: &str, may_vary: bool) -> Result<Vec<u64>, PlanError> {
    let mut elements = 1u64;
    let mut dims = Vec::new();
    for dim in &graph.ty(value).shape.0 {
        let size = match *dim {
            Dim::Const(size) => size,
            Dim::Symbol(symbol) if may_vary => {
                let symbol = &graph.symbols[symbol];
                symbol.max.ok_or_else(|| PlanError::Unbounded { place: place.to_owned(), symbol: symbol.name.clone() })?
            }
            Dim::Symbol(_) => return Err(PlanError::Symbolic { place: place.to_owned(), symbol: first_symbol(graph, value) }),
        };
        elements = elements.saturating_mul(size);
        dims.push(size);
    }
    if elements > MAX_ELEMENTS || dims.iter().any(|&size| size > MAX_ELEMENTS) {
        return Err(PlanError::TooLarge { place: place.to_owned(), elements, max: MAX_ELEMENTS });
    }
    Ok(dims)
}
