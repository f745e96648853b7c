//! The operators of ONNX Runtime's own domain that exported and optimized models use: one file a family, each with the rows of its part of the table.
//!
//! Their rules are those of `ContribOperators.md` in ONNX Runtime's documentation, and where that is silent, what its processor kernels do: the cases that
//! `tests/conformance/generate_microsoft.py` writes are recordings of it.

mod activation;
mod attention;
mod blocks;
mod embedding;
mod group_query;
mod multi_head;
mod normalization;
mod product;
mod quantized;
mod recurrent;
mod rotary;

use super::Row;

const DOMAIN: &str = "com.microsoft";

pub(super) const TABLES: [&[Row]; 10] = [
    activation::TABLE,
    blocks::TABLE,
    embedding::TABLE,
    group_query::TABLE,
    multi_head::TABLE,
    normalization::TABLE,
    product::TABLE,
    quantized::TABLE,
    recurrent::TABLE,
    rotary::TABLE,
];
