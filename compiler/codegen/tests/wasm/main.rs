//! Modules against the evaluator of plans, on both targets.

mod attention;
mod contractions;
#[path = "../images/mod.rs"]
mod images;
mod narrow;
mod nests;
#[path = "../narrow/mod.rs"]
mod products;
mod rows;
mod support;
