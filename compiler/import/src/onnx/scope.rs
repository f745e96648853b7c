//! Names and the values they stand for; a body of a node sees the names around it.

use super::node::Problem;
use mlp_graph::ValueId;
use std::collections::HashMap;

/// The version of each domain's operators.
pub(crate) type Opsets<'a> = HashMap<&'a str, i64>;

/// Bodies may lie this deep in one another.
const DEPTH: usize = 16;

/// The names of a graph, and of those around it.
pub(crate) struct Scope<'a> {
    pub(crate) opsets: &'a Opsets<'a>,
    /// How many bodies are around: 0 in the model's own graph.
    pub(crate) depth: usize,
    values: HashMap<&'a str, ValueId>,
    outer: Option<&'a Scope<'a>>,
}

impl<'a> Scope<'a> {
    /// The names of a model's own graph.
    pub(crate) fn of_model(opsets: &'a Opsets<'a>, values: HashMap<&'a str, ValueId>) -> Scope<'a> {
        Scope { opsets, depth: 0, values, outer: None }
    }

    /// No names yet but those around.
    pub(crate) fn inside(outer: &'a Scope<'a>) -> Result<Scope<'a>, Problem> {
        if outer.depth == DEPTH {
            return Err(Problem::Unsupported(format!("bodies lie more than {DEPTH} deep in one another; flatten the model")));
        }
        Ok(Scope { depth: outer.depth + 1, ..outer.beside() })
    }

    /// No names yet but those of a graph, to which more come in each of its runs.
    pub(crate) fn beside(&'a self) -> Scope<'a> {
        Scope { opsets: self.opsets, depth: self.depth, values: HashMap::new(), outer: Some(self) }
    }

    /// The value of a name; none where nothing defines it, or where it is empty, as that of an input left out.
    pub(crate) fn get(&self, name: &str) -> Option<ValueId> {
        match self.values.get(name) {
            Some(&value) => Some(value),
            None => self.outer?.get(name),
        }
    }

    pub(crate) fn insert(&mut self, name: &'a str, value: ValueId) {
        self.values.insert(name, value);
    }

    /// Names the results of a node; an empty name is that of a result that nobody wants.
    pub(crate) fn define(&mut self, names: &'a [String], results: Vec<ValueId>) {
        self.values.extend(names.iter().map(String::as_str).zip(results).filter(|(name, _)| !name.is_empty()));
    }
}
