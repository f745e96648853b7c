//! Modules against the evaluator of plans, on both targets.

mod attention;
mod contractions;
mod narrow;
mod nests;
#[path = "../narrow/mod.rs"]
mod products;
mod rows;
mod support;
