//! The text form of graphs: [`print`](print()) and [`parse`](parse()), one operation a line.
//!
//! ```text
//! graph "classifier" {
//!   symbol sym0 "N" max 8
//!   input %0 "input": f32[sym0, 3, 224, 224]
//!   %1 = constant splat(0.5): f32[3, 1, 1]
//!   %2 = mul %0, %1: f32[sym0, 3, 224, 224] @ "scale"
//!   %3 = softmax %2 {axis=1}: f32[sym0, 3, 224, 224]
//!   output "probabilities" %3
//! }
//! ```
//!
//! Values are numbered in the order they stand in, so a text does not tell how a graph came about. Data of a constant is `splat(x)`, `data(x, y, ...)` or
//! `hex(...)`, the little-endian bytes. [`brief`] prints `opaque(digest)` for long data, which tells equal data from other data but cannot be read
//! back; the parser also takes `noise(seed)`, small numbers that look random. A line's text after `;` is a comment.

mod attributes;
mod parse;
mod print;

pub use parse::{ParseError, parse};
pub use print::{brief, print};

#[cfg(test)]
mod tests;
