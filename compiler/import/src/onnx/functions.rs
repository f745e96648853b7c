//! Model-local functions, put in the place of the nodes that call them, before anything is imported.

use super::graph::canonical;
use super::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
use crate::coverage;
use crate::error::ImportError;
use prost::Message;
use std::collections::HashMap;

/// Functions may call one another this deep.
const DEPTH: usize = 64;
/// Most nodes that all calls together may make ...
const NODES: usize = 1 << 18;
/// ... and most bytes of their messages.
const BYTES: usize = 1 << 28;

/// Domain, name and overload of a function.
type Key = (String, String, String);

/// Replaces every call of a function of the model by the function's nodes.
pub(super) fn inline(model: &mut ModelProto) -> Result<(), ImportError> {
    if model.functions.is_empty() {
        return Ok(());
    }
    let functions = std::mem::take(&mut model.functions);
    merge_opsets(model, &functions)?;
    let mut table = HashMap::new();
    for function in &functions {
        if table.insert(function_key(function), function).is_some() {
            return Err(graph_error(format!("the function `{}` is defined twice", function.name), "every function must be defined once"));
        }
    }
    let mut inliner = Inliner { functions: table, calls: 0, nodes: 0, bytes: 0 };
    match &mut model.graph {
        Some(graph) => inliner.graph(graph, 0),
        None => Ok(()),
    }
}

fn graph_error(detail: String, remedy: &str) -> ImportError {
    ImportError::Graph {
        detail,
        remedy: format!("{remedy}; export the model again, or inline its functions (onnx.inliner.inline_local_functions)"),
    }
}

fn function_key(function: &FunctionProto) -> Key {
    (canonical(&function.domain).to_owned(), function.name.clone(), function.overload.clone())
}

/// Adds the operator sets of functions to the model's. A set of both may have two versions, as long as no operator that is there in one is another in the other.
fn merge_opsets(model: &mut ModelProto, functions: &[FunctionProto]) -> Result<(), ImportError> {
    for function in functions {
        for set in &function.opset_import {
            let domain = canonical(&set.domain);
            match model.opset_import.iter().find(|own| canonical(&own.domain) == domain).map(|own| own.version) {
                None => model.opset_import.push(OperatorSetIdProto { domain: domain.to_owned(), version: set.version }),
                Some(version) if version != set.version => same_operators(function, domain, version, set.version)?,
                Some(_) => {}
            }
        }
    }
    Ok(())
}

/// Refuses a function whose nodes of a domain mean something else in the model's version.
fn same_operators(function: &FunctionProto, domain: &str, model: i64, own: i64) -> Result<(), ImportError> {
    let between = model.min(own) + 1..=model.max(own);
    let operators = coverage::operators();
    let changed = |node: &&NodeProto| {
        let schema = operators.iter().find(|one| one.domain == domain && one.name == node.op_type);
        canonical(&node.domain) == domain && schema.is_some_and(|schema| schema.since.iter().any(|since| between.contains(since)))
    };
    match function.node.iter().find(changed) {
        Some(node) => Err(graph_error(
            format!(
                "the function `{}` has {} of version {own}, and the model that of version {model}, which is another",
                function.name, node.op_type
            ),
            "a function's operator sets must fit those of its model",
        )),
        None => Ok(()),
    }
}

struct Inliner<'f> {
    functions: HashMap<Key, &'f FunctionProto>,
    calls: usize,
    nodes: usize,
    bytes: usize,
}

impl Inliner<'_> {
    /// Replaces the calls in a graph, and in the bodies of its nodes.
    fn graph(&mut self, graph: &mut GraphProto, depth: usize) -> Result<(), ImportError> {
        let nodes = std::mem::take(&mut graph.node);
        graph.node = self.expanded(nodes, depth)?;
        Ok(())
    }

    /// The nodes, each that calls a function replaced by what the function does.
    fn expanded(&mut self, nodes: Vec<NodeProto>, depth: usize) -> Result<Vec<NodeProto>, ImportError> {
        let mut all = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            let key = (canonical(&node.domain).to_owned(), node.op_type.clone(), node.overload.clone());
            let Some(&function) = self.functions.get(&key) else {
                for body in node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_deref_mut()) {
                    self.graph(body, depth + 1)?;
                }
                all.push(node);
                continue;
            };
            if depth == DEPTH {
                return Err(graph_error(
                    format!("the function `{}` is called more than {DEPTH} deep in other functions, or calls itself", function.name),
                    "functions must not call themselves",
                ));
            }
            let called = self.called(&node, function)?;
            all.extend(self.expanded(called, depth + 1)?);
        }
        Ok(all)
    }

    /// A function's nodes with the names and attributes of a call.
    fn called(&mut self, call: &NodeProto, function: &FunctionProto) -> Result<Vec<NodeProto>, ImportError> {
        if call.input.len() > function.input.len() || call.output.len() > function.output.len() {
            return Err(graph_error(
                format!(
                    "a call `{}` of the function `{}` has {} inputs and {} outputs, and the function {} and {}",
                    call.name,
                    function.name,
                    call.input.len(),
                    call.output.len(),
                    function.input.len(),
                    function.output.len()
                ),
                "a call must fit its function",
            ));
        }
        self.calls += 1;
        self.nodes += function.node.len();
        self.bytes = self.bytes.saturating_add(function.encoded_len()).saturating_add(call.encoded_len());
        if self.nodes > NODES || self.bytes > BYTES {
            return Err(graph_error(format!("calls of functions make more than {NODES} nodes, or too large ones"), "simplify the model"));
        }
        let mut names = Names::of(call, function, self.calls);
        let given = Given { call, function };
        let mut nodes: Vec<NodeProto> = Vec::with_capacity(function.node.len());
        for node in &function.node {
            let mut node = node.clone();
            node.name = format!("{}/{}", call.name, node.name);
            given.resolve(&mut node)?;
            names.rename(&mut node);
            nodes.push(node);
        }
        nodes.extend(names.passed_on);
        Ok(nodes)
    }
}

/// What a function's names are called where it is called.
struct Names {
    known: HashMap<String, String>,
    call: usize,
    /// Nodes for outputs that are an input, or another output.
    passed_on: Vec<NodeProto>,
}

impl Names {
    fn of(call: &NodeProto, function: &FunctionProto, number: usize) -> Names {
        let mut known = HashMap::new();
        for (index, name) in function.input.iter().enumerate() {
            known.insert(name.clone(), call.input.get(index).cloned().unwrap_or_default());
        }
        let mut passed_on = Vec::new();
        for (name, outside) in function.output.iter().zip(&call.output).filter(|(_, outside)| !outside.is_empty()) {
            match known.get(name) {
                Some(value) => passed_on.push(NodeProto {
                    input: vec![value.clone()],
                    output: vec![outside.clone()],
                    op_type: "Identity".into(),
                    name: call.name.clone(),
                    ..Default::default()
                }),
                None => {
                    known.insert(name.clone(), outside.clone());
                }
            }
        }
        Names { known, call: number, passed_on }
    }

    fn rename(&mut self, node: &mut NodeProto) {
        node.input.iter_mut().chain(&mut node.output).for_each(|name| self.name(name));
        for body in node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_deref_mut()) {
            self.rename_body(body);
        }
    }

    /// All names of a body: those of its own are told apart from those of other calls, too.
    fn rename_body(&mut self, body: &mut GraphProto) {
        body.input.iter_mut().chain(&mut body.output).for_each(|port| self.name(&mut port.name));
        body.initializer.iter_mut().for_each(|tensor| self.name(&mut tensor.name));
        body.node.iter_mut().for_each(|node| self.rename(node));
    }

    fn name(&mut self, name: &mut String) {
        if name.is_empty() {
            return;
        }
        let call = self.call;
        let own = self.known.entry(name.clone()).or_insert_with(|| format!("{name} (call {call})"));
        name.clone_from(own);
    }
}

/// The attributes of a call.
struct Given<'a> {
    call: &'a NodeProto,
    function: &'a FunctionProto,
}

impl Given<'_> {
    /// Replaces attributes that refer to one of the function by what the call gives, or by the default; without either the attribute is left out.
    fn resolve(&self, node: &mut NodeProto) -> Result<(), ImportError> {
        let attributes = std::mem::take(&mut node.attribute);
        for mut attribute in attributes {
            if !attribute.ref_attr_name.is_empty() {
                let Some(value) = self.value(&attribute)? else { continue };
                attribute = AttributeProto { name: attribute.name, ref_attr_name: String::new(), ..value.clone() };
            }
            if let Some(body) = &mut attribute.g {
                body.node.iter_mut().try_for_each(|node| self.resolve(node))?;
            }
            node.attribute.push(attribute);
        }
        Ok(())
    }

    fn value(&self, attribute: &AttributeProto) -> Result<Option<&AttributeProto>, ImportError> {
        let wanted = &attribute.ref_attr_name;
        let named = |one: &&AttributeProto| one.name == *wanted;
        let value = self.call.attribute.iter().find(named).or_else(|| self.function.attribute_proto.iter().find(named));
        match value {
            None if !self.function.attribute.contains(wanted) => Err(graph_error(
                format!("the function `{}` refers to the attribute `{wanted}`, which it does not have", self.function.name),
                "a function must list its attributes",
            )),
            value => Ok(value),
        }
    }
}
