//! CPU micro-kernels behind one table picked once at load.
//!
//! A tile is written once over a small vector trait (`simd::Simd`); each instruction set supplies the one-line primitives and the sizes of its
//! tiles. [`Kernels::get`] answers the table of an instruction set, [`Contraction`] and [`DepthwiseConv`] drive its tiles over a
//! whole convolution, a range of work items at a time, so that a caller may spread the items over threads.
//!
//! Nothing here allocates while running, knows of plans, or checks pointers: the functions that take pointers are `unsafe` and say what must hold.
#![allow(unsafe_code)]
// Tiles index several arrays of registers by one constant range: iterators hide which, and defeat unrolling.
#![allow(clippy::needless_range_loop)]

mod attention;
mod contraction;
mod depthwise;
mod finish;
mod isa;
mod peak;
mod program;
mod simd;
mod table;
#[cfg(test)]
mod tests;
mod tile;
mod window;
mod winograd;

pub use attention::{Attention, AttentionBuffers, AttentionShape, HeadStrides};
pub use contraction::{Contraction, ContractionBuffers, MAX_SCRATCH};
pub use depthwise::{DepthwiseBuffers, DepthwiseConv};
pub use finish::{FinishF32, FinishI8, Raw, Requantization, ResidualAdd, requantize};
pub use isa::Isa;
pub use peak::Peak;
pub use program::{
    ERF_DENOMINATOR, ERF_NUMERATOR, Element, EpilogueProgram, EpilogueSource, Fold as RowFold, Function, Operator, RowPlace, RowsProgram,
    Step, TANH, TANH_NEAR,
};
pub use table::Kernels;
pub use tile::widen::Stored;
pub use window::Window;
pub use winograd::Winograd;
