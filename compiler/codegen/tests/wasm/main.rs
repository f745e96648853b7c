//! Modules against the evaluator of plans, on both targets.

mod attention;
mod contractions;
mod nests;
mod rows;
mod support;
