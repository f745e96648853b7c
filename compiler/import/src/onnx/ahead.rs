//! How many of the rows that an operator selects a model looks at, found before anything is imported.
//!
//! `NonMaxSuppression` is asked for all boxes that are left by models that then keep the best 100 of them. Each box is a step, so that what comes after it decides what it takes.

use super::proto::{GraphProto, NodeProto};
use super::tensor;
use std::collections::HashMap;

/// Longer lists are no bounds of a slice.
const MOST_NUMBERS: i64 = 16;
/// Operators looked through, one after another.
const DEPTH: usize = 64;

/// How a value is looked at along its first axis.
enum Use<'a> {
    /// All of it.
    All,
    /// The first rows.
    First(u64),
    /// As much as of another value.
    Like(&'a str),
}

/// What reads each name, and the numbers that names stand for, in a graph and its bodies.
#[derive(Default)]
struct Uses<'a> {
    uses: HashMap<&'a str, Vec<Use<'a>>>,
    /// None where two graphs have a name in common.
    numbers: HashMap<&'a str, Option<Vec<i64>>>,
    selecting: Vec<&'a str>,
}

/// How many rows of the results of `NonMaxSuppression` are looked at, where not all are, by their names.
pub(super) fn looked_at(graph: &GraphProto) -> HashMap<String, u64> {
    let mut found = Uses::default();
    found.constants(graph);
    found.graph(graph);
    graph.output.iter().for_each(|output| found.note(&output.name, Use::All));
    let mut known = HashMap::new();
    let rows = found.selecting.iter().map(|&name| (name.to_owned(), found.rows(name, DEPTH, &mut known)));
    rows.filter(|(_, rows)| *rows < u64::MAX).collect()
}

impl<'a> Uses<'a> {
    fn note(&mut self, name: &'a str, what: Use<'a>) {
        self.uses.entry(name).or_default().push(what);
    }

    fn constants(&mut self, graph: &'a GraphProto) {
        let small = |proto: &super::proto::TensorProto| proto.dims.iter().product::<i64>() <= MOST_NUMBERS;
        let read = |proto: &super::proto::TensorProto| tensor::read(proto).ok().and_then(|tensor| tensor.to_i64());
        for proto in graph.initializer.iter().filter(|proto| small(proto)) {
            self.constant(&proto.name, read(proto));
        }
        for node in &graph.node {
            for body in node.attribute.iter().filter_map(|attribute| attribute.g.as_deref()) {
                self.constants(body);
            }
            let ([name], [attribute], "Constant") = (node.output.as_slice(), node.attribute.as_slice(), node.op_type.as_str()) else {
                continue;
            };
            let numbers = match attribute.name.as_str() {
                "value" => attribute.t.as_deref().filter(|proto| small(proto)).and_then(read),
                "value_int" => Some(vec![attribute.i]),
                "value_ints" => Some(attribute.ints.clone()),
                _ => None,
            };
            self.constant(name, numbers);
        }
    }

    fn constant(&mut self, name: &'a str, numbers: Option<Vec<i64>>) {
        self.numbers.entry(name).and_modify(|known| *known = None).or_insert(numbers);
    }

    fn graph(&mut self, graph: &'a GraphProto) {
        for node in &graph.node {
            for (index, name) in node.input.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                let what = if index == 0 { self.first(node) } else { Use::All };
                self.note(name, what);
            }
            if node.op_type == "NonMaxSuppression" {
                self.selecting.extend(node.output.first().map(String::as_str));
            }
            for body in node.attribute.iter().filter_map(|attribute| attribute.g.as_deref()) {
                self.graph(body);
                for (index, output) in body.output.iter().enumerate() {
                    let outer = node.output.get(index).filter(|_| node.op_type == "If");
                    self.note(&output.name, outer.map_or(Use::All, |outer| Use::Like(outer)));
                }
            }
        }
    }

    fn list(&self, node: &NodeProto, input: usize) -> Option<&[i64]> {
        self.numbers.get(node.input.get(input)?.as_str())?.as_deref()
    }

    /// How a node looks at its first input.
    fn first(&self, node: &'a NodeProto) -> Use<'a> {
        let Some(result) = node.output.first() else { return Use::All };
        let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
        let apart = |axes: &[i64]| !axes.is_empty() && axes.iter().all(|&axis| axis > 0);
        let like = match node.op_type.as_str() {
            "Cast" | "Identity" => true,
            "Gather" => attribute("axis").is_some_and(|axis| axis.i > 0),
            "Squeeze" => attribute("axes").map(|axes| axes.ints.as_slice()).or(self.list(node, 1)).is_some_and(apart),
            "Slice" => match (self.list(node, 1), self.list(node, 2), self.list(node, 3), node.input.get(4)) {
                (Some(&[0]), Some(&[end]), Some(&[0]), steps) if end > 0 && (steps.is_none() || self.list(node, 4) == Some(&[1])) => {
                    return Use::First(end as u64);
                }
                (_, _, Some(axes), _) => apart(axes),
                _ => false,
            },
            _ => false,
        };
        if like { Use::Like(result) } else { Use::All }
    }

    fn rows(&self, name: &'a str, depth: usize, known: &mut HashMap<&'a str, u64>) -> u64 {
        if let Some(&rows) = known.get(name) {
            return rows;
        }
        if depth == 0 {
            return u64::MAX;
        }
        let rows = self.uses.get(name).into_iter().flatten().map(|what| match what {
            Use::All => u64::MAX,
            Use::First(rows) => *rows,
            Use::Like(other) => self.rows(other, depth - 1, known),
        });
        let rows = rows.max().unwrap_or(u64::MAX);
        known.insert(name, rows);
        rows
    }
}
