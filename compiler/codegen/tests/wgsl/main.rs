//! Generated WGSL against the evaluator of the loop IR, on whatever GPU adapter there is (a software one will do).

mod attention;
mod contractions;
mod groups;
mod harness;
#[path = "../images/mod.rs"]
mod images;
mod narrow;
mod nests;
#[path = "../narrow/mod.rs"]
mod products;
mod programs;
mod rows;
