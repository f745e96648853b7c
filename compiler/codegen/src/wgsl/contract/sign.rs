//! Unsigned bytes in signed dot products: each is taken 128 less, and 128 times the sum of the weights is added in the end.

use super::super::window::Source;

/// Four bytes of 1: their product with weights is the weights' sum.
pub(super) const ONES: &str = "16843009u";

/// A word of the input as signed bytes.
pub(super) fn word(source: &Source, load: &str) -> String {
    if source.is_unsigned() { format!("({load})^2155905152u") } else { load.to_owned() }
}

/// A sum of products, a name, with what the sum of the weights of its quad, `z` and a number, adds to it.
pub(super) fn corrected(source: &Source, sum: &str, quad: u32) -> String {
    if source.is_unsigned() { format!("{sum}+z{quad}*128") } else { sum.to_owned() }
}
