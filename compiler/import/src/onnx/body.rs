//! Bodies: the graphs that `If`, `Loop` and `Scan` hold, imported as often as they run.

use super::builder::UNROLLED;
use super::graph::{import_node, read_stored, result};
use super::node::{NodeImport, Problem, invalid};
use super::order::{execution_order, reads};
use super::proto::{GraphProto, NodeProto, ValueInfoProto};
use super::scope::Scope;
use crate::error::ImportError;
use mlp_graph::{Origin, ValueId};
use std::collections::BTreeSet;

/// A body, ready to run: what does not depend on its inputs is imported already, and serves every run.
pub(crate) struct Body<'a> {
    attribute: &'static str,
    graph: &'a GraphProto,
    /// The inputs that a run gives.
    inputs: Vec<&'a ValueInfoProto>,
    /// What is the same in every run.
    scope: Scope<'a>,
    /// The nodes that depend on the inputs, in an order of execution.
    nodes: Vec<usize>,
    origin: Origin,
}

impl<'a> Body<'a> {
    /// Reads the body that an attribute of the node holds. What it needs alone of what is around it is imported here.
    pub(crate) fn ready(node: &mut NodeImport<'a>, attribute: &'static str, inputs: usize) -> Result<Body<'a>, Problem> {
        let graph = node.attributes.graph(attribute)?.ok_or_else(|| format!("attribute `{attribute}` is missing"))?;
        let stored: BTreeSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
        let ports: Vec<&ValueInfoProto> = graph.input.iter().filter(|input| !stored.contains(input.name.as_str())).collect();
        if ports.len() != inputs {
            return invalid(format!("`{attribute}` takes {} inputs, and the node gives it {inputs}", ports.len()));
        }
        let scope = Scope::inside(node.scope)?;
        if scope.depth > 1 && !node.builder.may_prepare(size(graph)) {
            return Err(Problem::Unsupported("the bodies in repeated bodies are too large together; simplify the model".into()));
        }
        let origin = node.builder.origin.clone();
        let mut body = Body { attribute, graph, inputs: ports, scope, nodes: Vec::new(), origin };
        let prepared = body.prepare(node);
        body.leave(node, prepared)?;
        Ok(body)
    }

    fn prepare(&mut self, node: &mut NodeImport<'a>) -> Result<(), ImportError> {
        let graph = self.graph;
        let order = execution_order(graph, &|name| node.scope.get(name).is_some())?;
        read_stored(graph, &order, node.builder, &mut self.scope)?;
        let mut varying: BTreeSet<&str> = self.inputs.iter().map(|input| input.name.as_str()).collect();
        for index in order {
            let inner = &graph.node[index];
            if reads(inner).iter().any(|name| varying.contains(name)) {
                varying.extend(inner.output.iter().map(String::as_str).filter(|name| !name.is_empty()));
                self.nodes.push(index);
            } else {
                let results = import_node(inner, index, node.builder, &self.scope)?;
                self.scope.define(&inner.output, results);
            }
        }
        Ok(())
    }

    /// What one of several runs computes from these inputs.
    pub(crate) fn run(&self, node: &mut NodeImport<'_>, inputs: &[ValueId]) -> Result<Vec<ValueId>, Problem> {
        let results = self.run_once(node, inputs)?;
        if results.iter().any(|&value| node.builder.padded_of(value).is_some()) {
            return self.leave(node, Err(self.returns("rows of which only a run knows how many there are")));
        }
        Ok(results)
    }

    /// What the only run computes from these inputs: how many rows there are may be known to a run alone.
    pub(crate) fn run_once(&self, node: &mut NodeImport<'_>, inputs: &[ValueId]) -> Result<Vec<ValueId>, Problem> {
        if !node.builder.may_unroll(self.cost()) {
            return Err(too_long(node, self));
        }
        let outcome = self.import(node, inputs);
        self.leave(node, outcome)
    }

    fn returns(&self, what: &str) -> ImportError {
        ImportError::Graph { detail: format!("`{}` returns {what}", self.attribute), remedy: "move what makes it out of the body".into() }
    }

    fn import(&self, node: &mut NodeImport<'_>, inputs: &[ValueId]) -> Result<Vec<ValueId>, ImportError> {
        let mut scope = self.scope.beside();
        for (port, &value) in self.inputs.iter().zip(inputs) {
            scope.insert(&port.name, value);
        }
        for &index in &self.nodes {
            let inner = &self.graph.node[index];
            let results = import_node(inner, index, node.builder, &scope)?;
            scope.define(&inner.output, results);
        }
        let results: Vec<ValueId> = self.graph.output.iter().map(|output| result(&scope, &output.name)).collect::<Result<_, _>>()?;
        if results.iter().any(|&value| node.builder.elements_of(value).is_some()) {
            return Err(self.returns("a sequence"));
        }
        Ok(results)
    }

    /// What comes after it belongs to the node again.
    fn leave<T>(&self, node: &mut NodeImport<'_>, outcome: Result<T, ImportError>) -> Result<T, Problem> {
        node.builder.origin = self.origin.clone();
        outcome.map_err(|error| Problem::Inside { body: self.attribute.to_owned(), error: Box::new(error) })
    }

    /// What a run takes of what may be unrolled.
    pub(crate) fn cost(&self) -> u64 {
        self.nodes.len().max(1) as u64
    }

    /// How many outputs it has.
    pub(crate) fn outputs(&self) -> usize {
        self.graph.output.len()
    }

    /// The rank that an input is declared to have.
    pub(crate) fn input_rank(&self, input: usize) -> Option<usize> {
        let tensor = self.inputs.get(input)?.r#type.as_ref()?.tensor_type.as_ref()?;
        Some(tensor.shape.as_ref()?.dim.len())
    }
}

/// The error of a loop that takes more steps than can be unrolled.
pub(crate) fn too_long(node: &NodeImport<'_>, body: &Body<'_>) -> Problem {
    // Bodies in bodies take from the same room.
    let inside = if node.scope.depth > 0 { " with the bodies around it" } else { "" };
    Problem::Unsupported(format!(
        "its steps are unrolled, and its body of {} nodes takes{inside} more than {UNROLLED} nodes so; give it fewer steps, or a smaller body",
        body.cost()
    ))
}

/// How much there is to look at in a body: nodes, names and tensors, those of the bodies in it included.
fn size(graph: &GraphProto) -> u64 {
    let names = graph.input.len() + graph.output.len() + graph.initializer.len();
    let of_node = |node: &NodeProto| {
        let bodies = node.attribute.iter().filter_map(|attribute| attribute.g.as_deref());
        1 + (node.input.len() + node.output.len() + node.attribute.len()) as u64 + bodies.map(size).sum::<u64>()
    };
    1 + names as u64 + graph.node.iter().map(of_node).sum::<u64>()
}
