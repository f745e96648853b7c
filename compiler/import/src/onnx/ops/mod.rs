//! The operators: one file a family, each with the rows of its part of the table.

mod activation;
mod classic;
mod compare;
mod constant;
mod control;
mod conv;
mod conv_transpose;
mod elementwise;
mod gather;
pub(crate) mod left_out;
mod matmul;
mod microsoft;
mod movement;
mod normalization;
mod pool;
mod quantization;
mod recurrent;
mod reduce;
mod reshape;
mod resize;
mod select;
mod softmax;

use super::node::{Imported, NodeImport};

/// What turns a node into operations of the graph.
pub(crate) type Importer = fn(&mut NodeImport<'_>) -> Imported;

/// One row of the table: domain, operator, importer.
type Row = (&'static str, &'static str, Importer);

const TABLES: [&[Row]; 20] = [
    activation::TABLE,
    classic::TABLE,
    compare::TABLE,
    constant::TABLE,
    control::TABLE,
    conv::TABLE,
    conv_transpose::TABLE,
    elementwise::TABLE,
    gather::TABLE,
    matmul::TABLE,
    movement::TABLE,
    normalization::TABLE,
    pool::TABLE,
    quantization::TABLE,
    recurrent::TABLE,
    reduce::TABLE,
    reshape::TABLE,
    resize::TABLE,
    select::TABLE,
    softmax::TABLE,
];

/// All rows of all tables.
fn rows() -> impl Iterator<Item = &'static Row> {
    TABLES.iter().chain(&microsoft::TABLES).flat_map(|table| table.iter())
}

/// The importer of an operator; the empty domain is ONNX's own.
pub(crate) fn importer(domain: &str, op: &str) -> Option<Importer> {
    rows().find(|row| row.0 == domain && row.1 == op).map(|row| row.2)
}

/// Every operator that can be imported, as `Operator` or `domain::Operator`, sorted.
pub fn supported_operators() -> Vec<String> {
    let mut names: Vec<String> =
        rows().map(|(domain, op, _)| if domain.is_empty() { (*op).to_owned() } else { format!("{domain}::{op}") }).collect();
    names.sort();
    names
}
