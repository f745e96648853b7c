//! Names resolved, dead nodes left out, and the rest in an order of execution.

use super::proto::{GraphProto, NodeProto};
use crate::error::ImportError;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

/// The names that a node reads: its inputs, and what its bodies read of what is around them.
pub(super) fn reads(node: &NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> = node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    for body in node.attribute.iter().filter_map(|attribute| attribute.g.as_deref()) {
        names.extend(captured(body));
    }
    names
}

/// The names that a body reads and does not define.
fn captured(body: &GraphProto) -> BTreeSet<&str> {
    let inputs = body.input.iter().map(|input| &input.name);
    let stored = body.initializer.iter().map(|tensor| &tensor.name);
    let computed = body.node.iter().flat_map(|node| &node.output);
    let defined: BTreeSet<&str> = inputs.chain(stored).chain(computed).map(String::as_str).collect();
    let returned = body.output.iter().map(|output| output.name.as_str());
    body.node.iter().flat_map(reads).chain(returned).filter(|name| !defined.contains(name)).collect()
}

/// The live nodes of a graph by position, every producer before its consumers; in the file's own order where that is one. `outer` knows the names around a body.
pub(super) fn execution_order(graph: &GraphProto, outer: &dyn Fn(&str) -> bool) -> Result<Vec<usize>, ImportError> {
    let given = Given { own: given_names(graph)?, outer };
    let producers = producers(graph, &given.own)?;
    let live = live_nodes(graph, &given, &producers)?;
    let mut waiting: HashMap<usize, usize> = HashMap::new();
    let mut consumers: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut ready = BinaryHeap::new();
    for &index in &live {
        let needs: BTreeSet<usize> = reads(&graph.node[index]).iter().filter_map(|name| producers.get(name).copied()).collect();
        if needs.is_empty() {
            ready.push(Reverse(index));
        }
        waiting.insert(index, needs.len());
        for need in needs {
            consumers.entry(need).or_default().push(index);
        }
    }
    let mut order = Vec::with_capacity(live.len());
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        for &consumer in consumers.get(&index).map_or(&[][..], Vec::as_slice) {
            if let Some(count) = waiting.get_mut(&consumer) {
                *count -= 1;
                if *count == 0 {
                    ready.push(Reverse(consumer));
                }
            }
        }
    }
    if order.len() < live.len() {
        let stuck = live.iter().find(|index| waiting.get(index).is_some_and(|&count| count > 0)).copied().unwrap_or_default();
        let node = &graph.node[stuck];
        return Err(ImportError::Graph {
            detail: format!("node {stuck} `{}` ({}) takes part in a cycle or needs the result of one", node.name, node.op_type),
            remedy: "a model's nodes must form no cycle; export it again".into(),
        });
    }
    Ok(order)
}

/// What needs no node of the graph.
struct Given<'a> {
    /// Inputs and stored tensors.
    own: BTreeSet<&'a str>,
    /// What is defined around the graph.
    outer: &'a dyn Fn(&str) -> bool,
}

impl Given<'_> {
    fn contains(&self, name: &str) -> bool {
        self.own.contains(name) || (self.outer)(name)
    }
}

/// The names of inputs and stored tensors.
fn given_names(graph: &GraphProto) -> Result<BTreeSet<&str>, ImportError> {
    let mut given = BTreeSet::new();
    for tensor in &graph.initializer {
        if !given.insert(tensor.name.as_str()) {
            return Err(twice(&tensor.name));
        }
    }
    // Old files repeat stored tensors among the inputs; two inputs of one name are an error all the same.
    let mut inputs = BTreeSet::new();
    for input in &graph.input {
        if !inputs.insert(input.name.as_str()) {
            return Err(twice(&input.name));
        }
    }
    given.extend(inputs);
    Ok(given)
}

/// Which node computes each name.
fn producers<'a>(graph: &'a GraphProto, given: &BTreeSet<&str>) -> Result<HashMap<&'a str, usize>, ImportError> {
    let mut producers = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if given.contains(name.as_str()) || producers.insert(name.as_str(), index).is_some() {
                return Err(twice(name));
            }
        }
    }
    Ok(producers)
}

/// The nodes that the outputs need, ascending.
fn live_nodes(graph: &GraphProto, given: &Given<'_>, producers: &HashMap<&str, usize>) -> Result<BTreeSet<usize>, ImportError> {
    let mut live = BTreeSet::new();
    let mut pending = Vec::new();
    let mut names = BTreeSet::new();
    if let Some(output) = graph.output.iter().find(|output| !names.insert(output.name.as_str())) {
        return Err(twice(&output.name));
    }
    for output in &graph.output {
        match producers.get(output.name.as_str()) {
            Some(&index) => pending.push(index),
            None if given.contains(&output.name) => {}
            None => {
                return Err(ImportError::Graph {
                    detail: format!("output `{}` is computed by no node", output.name),
                    remedy: "export the model again with that output, or without naming it".into(),
                });
            }
        }
    }
    while let Some(index) = pending.pop() {
        if !live.insert(index) {
            continue;
        }
        let node = &graph.node[index];
        for name in reads(node) {
            match producers.get(name) {
                Some(&producer) => pending.push(producer),
                None if given.contains(name) => {}
                None => {
                    return Err(ImportError::Graph {
                        detail: format!("node {index} `{}` ({}) reads `{name}`, which nothing defines", node.name, node.op_type),
                        remedy: "it must be an input, a stored tensor or another node's output; export the model again".into(),
                    });
                }
            }
        }
    }
    Ok(live)
}

fn twice(name: &str) -> ImportError {
    ImportError::Graph {
        detail: format!("the name `{name}` is defined twice"),
        remedy: "every name must be defined once; export the model again".into(),
    }
}
