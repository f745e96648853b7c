//! The contract between the compiler and everything that runs what it made.
//!
//! A *bundle* is a folder of content-hashed files and one `manifest.json` ([`manifest`]). Each pipeline in it carries a
//! portable [`plan::Plan`]: buffers placed in one arena, and kernels written in the *loop IR* ([`loops`]). Native hosts lower the plan to machine
//! code; browsers get the same plan as a WebAssembly module and as a GPU dispatch list ([`gpu`]). Texts become its inputs by a [`tokenizer`] that lies beside it.
//!
//! Nothing here knows the compiler, and everything read here is untrusted until [`plan`] verification and the digests say otherwise.

pub mod bundle;
pub mod compressed;
pub mod contents;
pub mod dtype;
pub mod gpu;
pub mod loops;
pub mod manifest;
pub mod plan;
pub mod tokenizer;

pub use bundle::{Bundle, BundleError};
pub use dtype::{DType, Scalar};
