//! Modules against the evaluator of plans, on both targets.

mod contractions;
mod nests;
mod support;
