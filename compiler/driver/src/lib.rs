//! The order of the compiler's phases, behind one door to the outside world.
//!
//! [`host`] is that door, [`cache`] what is kept between builds, and [`sources`] what is known of the files that come in. [`compile`] turns a graph into a plan and a
//! plan into code. [`onnx`] compiles a bare model, `layers` one that is written in the language, [`varying`] either for all sizes up to a bound; [`package`] checks, tests and builds `.mlp` files; [`bundle`] packs what was made, with what [`weights`] knows of large files.

pub mod bundle;
pub mod cache;
pub mod compile;
mod external;
pub mod host;
mod layers;
mod once;
pub mod onnx;
pub mod package;
pub mod sources;
mod tokenizers;
pub mod varying;
pub mod weights;
