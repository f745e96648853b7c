//! The operators: one file a family, each with the rows of its part of the table.

mod activation;
mod attention;
mod byte_weights;
mod classic;
mod compact;
mod compare;
mod constant;
mod control;
mod conv;
mod conv_integer;
mod conv_transpose;
mod cumulative;
mod data_dependent;
mod deform_conv;
mod determinant;
mod einsum;
mod elementwise;
mod gather;
mod grid_sample;
mod heads;
pub(crate) mod left_out;
mod linear_attention;
mod loss;
mod matmul;
mod microsoft;
mod movement;
mod narrowing;
mod normalization;
mod piecewise;
mod pool;
mod quantization;
mod rearrange;
mod recurrent;
mod reduce;
mod region;
mod reshape;
mod resize;
mod rotary;
mod rows;
mod sampling;
mod scatter;
mod select;
mod sequence;
mod signal;
mod softmax;
mod suppression;
mod trigonometry;
mod unfold;
mod unique;

use super::node::{Imported, NodeImport};

/// What turns a node into operations of the graph.
pub(crate) type Importer = fn(&mut NodeImport<'_>) -> Imported;

/// One row of the table: domain, operator, importer.
type Row = (&'static str, &'static str, Importer);

const TABLES: &[&[Row]] = &[
    activation::TABLE,
    attention::TABLE,
    classic::TABLE,
    compact::TABLE,
    compare::TABLE,
    constant::TABLE,
    control::TABLE,
    conv::TABLE,
    conv_integer::TABLE,
    conv_transpose::TABLE,
    cumulative::TABLE,
    data_dependent::TABLE,
    deform_conv::TABLE,
    determinant::TABLE,
    einsum::TABLE,
    elementwise::TABLE,
    gather::TABLE,
    grid_sample::TABLE,
    linear_attention::TABLE,
    loss::TABLE,
    matmul::TABLE,
    movement::TABLE,
    normalization::TABLE,
    piecewise::TABLE,
    pool::TABLE,
    quantization::TABLE,
    rearrange::TABLE,
    recurrent::TABLE,
    reduce::TABLE,
    region::TABLE,
    reshape::TABLE,
    resize::TABLE,
    rotary::TABLE,
    scatter::TABLE,
    select::TABLE,
    sequence::TABLE,
    signal::TABLE,
    softmax::TABLE,
    suppression::TABLE,
    trigonometry::TABLE,
    unfold::TABLE,
];

/// All rows of all tables.
fn rows() -> impl Iterator<Item = &'static Row> {
    TABLES.iter().chain(&microsoft::TABLES).flat_map(|table| table.iter())
}

/// The importer of an operator; the empty domain is ONNX's own.
pub(crate) fn importer(domain: &str, op: &str) -> Option<Importer> {
    rows().find(|row| row.0 == domain && row.1 == op).map(|row| row.2)
}

/// Whether an operator takes or makes sequences: no other may be given one.
pub(crate) fn takes_sequences(domain: &str, op: &str) -> bool {
    sequence::TABLE.iter().any(|row| row.0 == domain && row.1 == op) || (domain.is_empty() && op == "Identity")
}

/// Every operator that can be imported, as `Operator` or `domain::Operator`, sorted.
pub fn supported_operators() -> Vec<String> {
    let mut names: Vec<String> =
        rows().map(|(domain, op, _)| if domain.is_empty() { (*op).to_owned() } else { format!("{domain}::{op}") }).collect();
    names.sort();
    names
}
