//! Code generation from a [`mlp_bundle::plan::Plan`]: [`wasm`] makes WebAssembly modules, [`wgsl`] GPU programs, and [`typescript`] the typed
//! package around them.
//!
//! Each emitter takes a plan that `mlp_bundle::plan::verify` accepts and validates what it made before it returns it, so that a
//! mistake here shows at build time and not in somebody's browser.

pub mod typescript;
pub mod wasm;
pub mod wgsl;

/// Why a plan could not be turned into code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodegenError {
    /// The target cannot do what a kernel asks for.
    #[error("kernel `{kernel}` (from {}) cannot be compiled for this target: {what}", from(.origin))]
    Unsupported {
        /// The kernel's name.
        kernel: String,
        /// The graph operations the kernel was made from.
        origin: Vec<String>,
        /// What it asks for, and what to do instead.
        what: String,
    },
    /// The emitter made something that does not validate: a defect of this compiler.
    #[error("the compiler made invalid code; please report this: {0}")]
    Internal(String),
}

fn from(origin: &[String]) -> String {
    if origin.is_empty() { "the compiler itself".to_owned() } else { origin.join(", ") }
}
