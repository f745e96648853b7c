//! Which operators of ONNX there are, which of them are imported, and why the others are not.
//!
//! `operators.jsonl` beside this file is written by `tests/conformance/schemas.py` from the onnx package: one operator a line. What is imported is read from
//! the table of importers itself, and a [`Probe`] asks the importers which element types they take.

mod probe;

use crate::onnx::ops;
pub use probe::Probe;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// An operator as its schemas declare it.
#[derive(Clone, Debug, Deserialize)]
pub struct Operator {
    /// Its domain; empty for ONNX's own.
    pub domain: String,
    /// Its name.
    pub name: String,
    /// The versions of the domain's operator set that changed it, ascending.
    pub since: Vec<i64>,
    /// Whether newer versions have another operator for it.
    pub deprecated: bool,
    /// The element types that its first input may have (of an operator without inputs, its output): names of
    /// [`DType`](mlp_bundle::DType), and ONNX's own for those that are none.
    pub types: Vec<String>,
    /// A node to try them on, where the schemas' source has one.
    pub probe: Option<Probe>,
}

/// What becomes of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Standing {
    /// It is imported.
    Imported,
    /// It is not, and this is why.
    LeftOut(&'static str),
    /// Neither an importer nor a reason is there: a hole in the tables, which the tests refuse.
    Unknown,
}

impl Operator {
    /// What becomes of it.
    pub fn standing(&self) -> Standing {
        match (ops::importer(&self.domain, &self.name), ops::left_out::reason(&self.domain, &self.name)) {
            (Some(_), _) => Standing::Imported,
            (None, Some(reason)) => Standing::LeftOut(reason),
            (None, None) => Standing::Unknown,
        }
    }
}

/// Every operator that a schema declares, by domain and name.
pub fn operators() -> &'static [Operator] {
    static OPERATORS: LazyLock<Vec<Operator>> = LazyLock::new(|| {
        let lines = include_str!("operators.jsonl").lines();
        lines.map(|line| serde_json::from_str(line).expect("the list of operators is written by a program")).collect()
    });
    &OPERATORS
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_operator_is_imported_or_left_out_for_a_reason() {
        let unknown: Vec<_> = operators()
            .iter()
            .filter(|one| one.standing() == Standing::Unknown)
            .map(|one| (one.domain.clone(), one.name.clone()))
            .collect();
        assert!(unknown.is_empty(), "add a row to ops/left_out.rs, or an importer, for {unknown:?}");
    }

    #[test]
    fn no_row_leaves_out_what_is_imported_or_unheard_of() {
        let operators = operators();
        let named: BTreeSet<(&str, &str)> = operators.iter().map(|one| (one.domain.as_str(), one.name.as_str())).collect();
        let mut seen = BTreeSet::new();
        for row in ops::left_out::all() {
            assert!(ops::importer(row.0, row.1).is_none(), "{row:?} is imported: take its row out of ops/left_out.rs");
            assert!(named.contains(&row), "{row:?} is no operator");
            assert!(seen.insert(row), "{row:?} has two rows");
        }
    }

    #[test]
    fn every_importer_is_of_an_operator_with_a_schema() {
        let named: BTreeSet<String> = operators()
            .iter()
            .map(|one| if one.domain.is_empty() { one.name.clone() } else { format!("{}::{}", one.domain, one.name) })
            .collect();
        let missing: Vec<String> = ops::supported_operators().into_iter().filter(|name| !named.contains(name)).collect();
        assert!(missing.is_empty(), "write operators.jsonl anew with tests/conformance/schemas.py: it lacks {missing:?}");
    }
}
