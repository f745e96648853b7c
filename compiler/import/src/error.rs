//! Why a model could not be read, as data.

use std::fmt;

/// A node of a model: where an error arose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The node's name; empty where it has none.
    pub node: String,
    /// The operator, with its domain where that is not ONNX's own.
    pub op: String,
    /// The position in the list of nodes.
    pub index: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.node.is_empty() {
            write!(f, "node {} ({})", self.index, self.op)
        } else {
            write!(f, "node {} `{}` ({})", self.index, self.node, self.op)
        }
    }
}

/// Why a model could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The bytes are no ONNX model, or a damaged one.
    #[error("not a readable ONNX model: {detail}")]
    Malformed {
        /// What is wrong, and what to do about it.
        detail: String,
    },
    /// The model's graph as a whole breaks a rule.
    #[error("invalid ONNX graph: {detail}; {remedy}")]
    Graph {
        /// What is wrong.
        detail: String,
        /// What to do about it.
        remedy: String,
    },
    /// An operator, or a use of one, that cannot be compiled.
    #[error("node {index} {}({op}) is not supported: {detail}", quoted(.node))]
    Unsupported {
        /// The node's name; empty where it has none.
        node: String,
        /// The operator, with its domain where that is not ONNX's own.
        op: String,
        /// The position in the list of nodes.
        index: usize,
        /// What exactly is not supported, and what is.
        detail: String,
    },
    /// An operator wants to know the value of an input while compiling: a shape, a list of axes.
    #[error(
        "{place} is not supported with {what} from input `{input}`, which is known only when the model runs: store it in the model as a constant, or give its value when importing"
    )]
    NeedsValue {
        /// Which node.
        place: Place,
        /// What it wants to know.
        what: String,
        /// The input of the model.
        input: String,
    },
    /// A node that breaks the rules of its operator.
    #[error("{place} is invalid: {detail}; {remedy}")]
    Node {
        /// Which node.
        place: Place,
        /// What is wrong.
        detail: String,
        /// What to do about it.
        remedy: String,
    },
    /// An error in a body of a node: an arm of `If`, or what `Loop` or `Scan` repeat.
    #[error("{error} (in `{body}` of {place})")]
    Inside {
        /// Which node.
        place: Place,
        /// The attribute that holds the body.
        body: String,
        /// The error; places in it are counted in the body.
        error: Box<ImportError>,
    },
    /// A tensor stored in the model cannot be read.
    #[error("tensor `{name}` cannot be read: {detail}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong, and what to do about it.
        detail: String,
    },
    /// A symbolic dimension of an input has no size.
    #[error("axis {axis} of input `{input}` has the symbolic size `{symbol}`, which is not bound: give it a size, as in `{symbol}` = 1")]
    UnboundDim {
        /// The symbol; `<input>.<axis>` where the model names none.
        symbol: String,
        /// The input.
        input: String,
        /// The axis.
        axis: usize,
    },
}

impl ImportError {
    /// True where the model is right and this compiler lacks something, rather than the model being wrong.
    pub fn is_unsupported(&self) -> bool {
        match self {
            ImportError::Inside { error, .. } => error.is_unsupported(),
            _ => matches!(self, ImportError::Unsupported { .. } | ImportError::NeedsValue { .. }),
        }
    }

    /// True where a node, in a body or not, breaks its operator's rules.
    pub(crate) fn is_invalid_node(&self) -> bool {
        match self {
            ImportError::Inside { error, .. } => error.is_invalid_node(),
            _ => matches!(self, ImportError::Node { .. }),
        }
    }

    /// The input whose value is wanted while compiling, where that is what is wrong.
    pub fn wanted_input(&self) -> Option<&str> {
        match self {
            ImportError::Inside { error, .. } => error.wanted_input(),
            ImportError::NeedsValue { input, .. } => Some(input),
            _ => None,
        }
    }
}

/// A node's name as the start of a message.
fn quoted(node: &str) -> String {
    if node.is_empty() { String::new() } else { format!("`{node}` ") }
}
