//! Comparisons and logic.

use super::Row;
use super::elementwise::operands;
use crate::onnx::node::{Imported, NodeImport};
use mlp_graph::op::{BinaryOp, CompareOp, UnaryOp};

pub(super) const TABLE: &[Row] = &[
    ("", "Equal", |node| compare(node, CompareOp::Eq, false)),
    ("", "Less", |node| compare(node, CompareOp::Lt, false)),
    ("", "LessOrEqual", |node| compare(node, CompareOp::Le, false)),
    ("", "Greater", |node| compare(node, CompareOp::Lt, true)),
    ("", "GreaterOrEqual", |node| compare(node, CompareOp::Le, true)),
    ("", "Not", not),
    ("", "And", |node| logic(node, BinaryOp::Mul)),
    ("", "Or", |node| logic(node, BinaryOp::Add)),
    ("", "Xor", xor),
    ("", "IsNaN", is_nan),
];

fn compare(node: &mut NodeImport<'_>, op: CompareOp, swapped: bool) -> Imported {
    let (x, y) = operands(node)?;
    Ok(vec![if swapped { node.compare(op, y, x)? } else { node.compare(op, x, y)? }])
}

fn not(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    Ok(vec![node.unary(UnaryOp::Not, x)?])
}

/// A sum of truth values is their or, a product their and.
fn logic(node: &mut NodeImport<'_>, op: BinaryOp) -> Imported {
    let (x, y) = operands(node)?;
    Ok(vec![node.binary(op, x, y)?])
}

fn xor(node: &mut NodeImport<'_>) -> Imported {
    compare(node, CompareOp::Ne, false)
}

/// Only a NaN differs from itself.
fn is_nan(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    Ok(vec![node.compare(CompareOp::Ne, x, x)?])
}
