//! The order of the compiler's phases, behind one door to the outside world.
//!
//! [`host`] is that door. [`compile`] turns a graph into a plan and a plan into code. [`onnx`] compiles a bare model; [`package`] checks, tests and builds
//! `.mlp` files; [`bundle`] packs what was made.

pub mod bundle;
pub mod compile;
pub mod host;
pub mod onnx;
pub mod package;
