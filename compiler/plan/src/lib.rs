//! Plans kernels, layouts, weights and memory of a tensor graph.
//!
//! [`plan`] takes an optimized graph whose sizes are constant (but for the height and width of photos) and yields a [`Plan`] that every backend lowers.
//! The steps, in order:
//! 1. `shapes`: all sizes, and what cannot be planned.
//! 2. `group`: which operations become one kernel, and which values get memory.
//! 3. `emit`: kernels, one file an operator family: `contract`, `pack` and `narrow` (convolutions and products over packed weights), `window`, `product`,
//!    `reduce`, `topk`, `softmax`, `rows`, `attention`, `resize`, `vary` (sizes known at run time alone); `value`, `map` and `interval` turn all that is fused into expressions; `draft` tidies a nest.
//! 4. `inplace`, `finish` and `arena`: maps that overwrite their operand, ports, lifetimes, offsets, and the weights file.

mod arena;
mod attention;
mod constants;
mod contract;
mod draft;
mod emit;
mod filters;
mod finish;
mod group;
mod inplace;
mod interval;
mod location;
mod map;
mod narrow;
mod pack;
mod planner;
mod product;
mod reduce;
mod report;
mod resize;
mod rows;
mod scope;
mod shapes;
mod softmax;
mod topk;
mod value;
mod vary;
mod window;

pub use mlp_bundle::plan::Plan;
pub use report::{KernelCost, Report, costs};

use mlp_graph::{Graph, Op, Port};
use planner::Planner;
use std::collections::HashSet;

/// What one storage binding of WebGPU can hold on every device, 128 MiB, less what aligning its ends takes.
const MAX_KERNEL_WEIGHTS: u64 = (128 << 20) - 4096;

/// Choices of planning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlanOptions {
    /// Makes attention one kernel, [`mlp_bundle::loops::Attention`]; products and softmax otherwise.
    pub attention: bool,
    /// Makes softmax and normalization of rows one kernel each, [`mlp_bundle::loops::Rows`]; nests otherwise.
    pub rows: bool,
    /// Most bytes of packed weights that one kernel reads, where its outputs can be made by several; no limit otherwise.
    pub kernel_weights: Option<u64>,
    /// Keeps the weights of products in fewer bits where those stand for exactly the same numbers ([`mlp_bundle::loops::Scales`]); floats of 32 bits otherwise.
    pub narrow_weights: bool,
}

impl PlanOptions {
    /// All kinds of kernels that there are.
    pub fn all() -> PlanOptions {
        PlanOptions { attention: true, rows: true, kernel_weights: Some(MAX_KERNEL_WEIGHTS), narrow_weights: true }
    }
}

/// A plan, its weights file, and what they cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// The weights file.
    pub weights: Vec<u8>,
    /// The costs.
    pub report: Report,
}

/// Why a graph cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A size is a symbol where a constant is needed.
    #[error("{place} has the size `{symbol}`, which is not known: bind `{symbol}` to a number")]
    Symbolic {
        /// Which value.
        place: String,
        /// The symbol's name.
        symbol: String,
    },
    /// A symbol of an input has no greatest value.
    #[error(
        "{place} has the size `{symbol}`, which has no greatest value, so its memory is unknown: declare one, such as `{symbol} <= 4096`"
    )]
    Unbounded {
        /// Which input.
        place: String,
        /// The symbol's name.
        symbol: String,
    },
    /// A value has more elements than indices can count.
    #[error("{place} takes {elements} elements, more than the {max} that one buffer can have: use smaller sizes")]
    TooLarge {
        /// Which value.
        place: String,
        /// Its elements.
        elements: u64,
        /// The limit.
        max: u64,
    },
    /// The arena or the weights file is too large.
    #[error("the {what} takes {bytes} bytes, more than the {max} of 32-bit memory: use smaller sizes or fewer weights")]
    Memory {
        /// Which of the two.
        what: &'static str,
        /// Its bytes.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// A composite operation could not be expanded: a fault of the compiler.
    #[error("{0}; please report this")]
    Expand(#[from] mlp_graph::passes::PassError),
    /// Two ports have one name.
    #[error("two inputs or outputs are called `{name}`: rename one")]
    DuplicatePort {
        /// The name.
        name: String,
    },
}

/// Plans a graph.
pub fn plan(graph: &Graph, options: &PlanOptions) -> Result<Planned, PlanError> {
    let mut names = HashSet::new();
    let is_port = |port: &&Port| !graph.states.contains(&port.name);
    if let Some(port) = graph.inputs.iter().chain(&graph.outputs).filter(is_port).find(|port| !names.insert(&port.name)) {
        return Err(PlanError::DuplicatePort { name: port.name.clone() });
    }
    let expands = |op: &Op| match op {
        Op::Attention { .. } => !options.attention,
        Op::Normalize { .. } => !options.rows,
        _ => false,
    };
    let mut expanded = None;
    if graph.order.iter().any(|&id| expands(&graph.ops[id].op)) {
        let graph = expanded.insert(graph.clone());
        mlp_graph::passes::expand(graph, expands)?;
    }
    let graph = expanded.as_ref().unwrap_or(graph);
    let shapes = shapes::Shapes::new(graph)?;
    let groups = group::group(graph, &shapes, options);
    let mut planner = Planner::new(graph, shapes, groups, options.clone());
    let inputs = planner.inputs()?;
    planner.emit_all()?;
    let mut ports = planner.outputs(inputs);
    planner.store_in_place(&mut ports);
    planner.finish(ports)
}
