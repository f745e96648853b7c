//! Runs bundles on the machine at hand: typed values in, typed values out, on whichever backend is asked for.
//!
//! [`backend`] puts the native, GPU and WebAssembly runtimes behind one trait; [`bundle`] opens bundles and loads what is in them; [`session`] opens a pipeline of a bundle and converts between its
//! signature and the plan's ports; [`photo`] reads image files as pipelines take them, [`sound`] WAV files.

pub mod backend;
pub mod bundle;
pub mod photo;
pub mod session;
pub mod sound;
pub mod value;

pub use backend::{Backend, BackendKind};
pub use bundle::Storage;
pub use mlp_native::Peak;
pub use mlp_text::Encoder;
pub use session::{Session, Signature};
pub use value::Value;

/// Why something could not be run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The bundle is refused.
    #[error(transparent)]
    Bundle(#[from] mlp_bundle::BundleError),
    /// An image is refused.
    #[error(transparent)]
    Photo(#[from] photo::PhotoError),
    /// A text does not become tokens.
    #[error(transparent)]
    Text(#[from] mlp_text::TextError),
    /// The backend cannot run the pipeline.
    #[error("the {backend} backend cannot run it: {reason}")]
    Backend {
        /// The backend.
        backend: BackendKind,
        /// Why, and what helps.
        reason: String,
    },
    /// The inputs are not those of the pipeline.
    #[error("{0}")]
    Input(String),
}
